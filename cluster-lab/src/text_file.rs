//! Files that people write: profiles, statements, lessons.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest file that is read: a device or a download that is named by mistake has no end.
const MOST: u64 = 4 << 20;

/// Reads it whole.
///
/// # Errors
/// If it cannot be read, is longer than anybody writes, or no text.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(format!("it is longer than {} MiB", MOST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_a_bounded_length_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), "text");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("UTF-8"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than 4 MiB"));
        assert!(read(folder.path()).is_err());
    }
}
