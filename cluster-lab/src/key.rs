//! The cluster's key: who has it is of the cluster, and nobody else is.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A key file holds so many hexadecimal digits.
const DIGITS: usize = 2 * ClusterKey::LEN;

/// 32 random bytes that every stack of a cluster knows. It has no readable `Debug` form.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; ClusterKey::LEN]);

impl ClusterKey {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// A new one, from the operating system's random source.
    ///
    /// # Errors
    /// If the system has none.
    pub fn random() -> io::Result<ClusterKey> {
        let mut key = [0; ClusterKey::LEN];
        SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
        Ok(ClusterKey(key))
    }

    /// A key of these bytes.
    pub fn of(bytes: [u8; ClusterKey::LEN]) -> ClusterKey {
        ClusterKey(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; ClusterKey::LEN] {
        &self.0
    }

    fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(digits: &str) -> Option<ClusterKey> {
        let whole = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let mut key = [0; ClusterKey::LEN];
        for (byte, at) in key.iter_mut().zip((0..DIGITS).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2).filter(|_| whole)?, 16).ok()?;
        }
        Some(ClusterKey(key))
    }

    /// Reads a key file that nobody but its owner can read.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do.
    pub fn read(path: &Path) -> Result<ClusterKey, String> {
        let name = path.display();
        // Not blocking: the name may be that of a pipe.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| {
            format!("the key file {name} cannot be read: {error}; make one with 'cluster-lab key {name}'")
        })?;
        // Of the open file: what is checked is what is read.
        let about = file.metadata().map_err(|error| format!("the key file {name} cannot be read: {error}"))?;
        if !about.is_file() {
            return Err(format!("the key file {name} is no regular file; make one with 'cluster-lab key FILE'"));
        }
        let user = geteuid().as_raw();
        if about.uid() != user && about.uid() != 0 {
            return Err(format!("the key file {name} is another user's: its owner must be you or root; use chown"));
        }
        if about.mode() & 0o077 != 0 {
            let mode = about.mode() & 0o777;
            return Err(format!("others can get at the key file {name} (mode {mode:03o}): run 'chmod 600 {name}'"));
        }
        let mut text = String::new();
        let read = file.take(4096).read_to_string(&mut text);
        let key = read.ok().and_then(|_| ClusterKey::parse(text.trim_end()));
        key.ok_or_else(|| {
            format!("{name} holds no key: expected {DIGITS} hexadecimal digits, as 'cluster-lab key FILE' writes them")
        })
    }

    /// Writes a key file that nobody but this user can read.
    ///
    /// # Errors
    /// If there is such a file already, or none can be made.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", self.digits())
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey")
    }
}

/// For the control channel between the lab's own processes, and nothing else.
impl Serialize for ClusterKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digits())
    }
}

impl<'de> Deserialize<'de> for ClusterKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ClusterKey::parse(&String::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("no key"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_random_and_never_shown() {
        let key = ClusterKey::random().unwrap();
        assert_ne!(key, ClusterKey::random().unwrap());
        assert_eq!(format!("{key:?}"), "ClusterKey");
        let line = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<ClusterKey>(&line).unwrap(), key);
        assert!(serde_json::from_str::<ClusterKey>("\"00\"").is_err());
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(ClusterKey::read(&path).unwrap_err().contains("cluster-lab key"));
        let key = ClusterKey::random().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(ClusterKey::read(&path).unwrap(), key);
        assert_eq!(key.write(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(ClusterKey::read(&path).unwrap_err().contains("chmod 600"), "{mode:o}");
        }
        assert!(ClusterKey::read(folder.path()).unwrap_err().contains("no regular file"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"é".repeat(32), &"+".repeat(64)] {
            let path = folder.path().join(text.len().to_string());
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            fs::write(&path, text).unwrap();
            assert!(ClusterKey::read(&path).unwrap_err().contains("64 hexadecimal digits"), "{text}");
        }
    }
}
