//! What a lab keeps on disk while it runs: a folder with its socket and who its processes are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde::{Deserialize, Serialize};

use crate::wait;

/// Longest path of a lab's folder: with the longest name of a socket in it, that of a capture, it fits the 107 bytes
/// of unix(7).
const LONGEST: usize = 70;

/// How long processes of a lab that crashed may take to end by themselves.
const LEFTOVERS_WAIT: Duration = Duration::from_secs(4);

/// A process that this lab started, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: u32,
    /// When it began, in the kernel's clock ticks since boot.
    began: u64,
}

impl Process {
    /// The process `pid`, which runs.
    ///
    /// # Errors
    /// If it does not.
    pub fn of(pid: u32) -> io::Result<Process> {
        let stat = stat(pid)?;
        let mut fields = stat.split_ascii_whitespace();
        // One that has ended, and whose parent has not asked yet how, runs no more.
        if fields.next().is_some_and(|state| state == "Z") {
            return Err(io::ErrorKind::NotFound.into());
        }
        // The start time is field 22.
        let began = fields.nth(18).and_then(|field| field.parse().ok());
        began.map(|began| Process { pid, began }).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether it still runs, and not another in its place.
    pub fn runs(self) -> bool {
        Process::of(self.pid).is_ok_and(|now| now == self)
    }

    fn kill(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.runs()) {
            // It may end by itself this very moment.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// What the host says of a process: the fields of /proc/PID/stat from the third on, the process's state.
///
/// # Errors
/// There is no such process.
pub(crate) fn stat(pid: u32) -> io::Result<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, a name in parentheses, may hold anything.
    let fields = line.rsplit_once(')').map(|(_, fields)| fields.to_owned());
    fields.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What is left to clean up if the supervisor crashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The supervisor.
    pub supervisor: Process,
    /// Its children.
    pub children: Vec<Process>,
    /// TUN devices on the host, with `--host`.
    pub devices: Vec<String>,
}

/// Where anybody may make folders, somebody else's may stand in the place of ours: whoever owns it could answer for
/// our labs.
///
/// # Errors
/// If `folder` is there and not this user's alone.
fn is_own(folder: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // A link is not followed.
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be looked at", folder.display())),
    };
    if !found.is_dir() || found.uid() != geteuid().as_raw() || found.permissions().mode() & 0o022 != 0 {
        bail!(
            "{} is not a folder that only you can write to: remove it, or set XDG_RUNTIME_DIR to one of your own",
            folder.display()
        );
    }
    Ok(())
}

/// A name that a lab can have; it is also the name of a folder.
///
/// # Errors
/// What it can be.
pub(crate) fn lab_name(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if text.is_empty() || text.len() > 40 || text.starts_with('.') || !text.chars().all(fits) {
        return Err(format!("'{text}' cannot name a lab: use up to 40 letters, digits, '-', '_' and '.'"));
    }
    Ok(text.to_owned())
}

/// The folder of one lab.
#[derive(Clone, Debug)]
pub struct StateDir {
    /// The folder of all labs.
    root: PathBuf,
    path: PathBuf,
}

fn root() -> PathBuf {
    if geteuid().is_root() {
        return "/run/cluster-lab".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir()) {
        Some(folder) => folder.join("cluster-lab"),
        None => std::env::temp_dir().join(format!("cluster-lab-{}", geteuid().as_raw())),
    }
}

impl StateDir {
    /// The folder of the lab called `name`, which need not exist.
    ///
    /// # Errors
    /// If no lab can have that name, or somebody else owns the folder of all labs.
    pub fn of(name: &str) -> Result<StateDir> {
        StateDir::below(root(), name)
    }

    fn below(root: PathBuf, name: &str) -> Result<StateDir> {
        let name = lab_name(name).map_err(Error::msg)?;
        is_own(&root)?;
        let path = root.join(&name);
        if path.as_os_str().len() > LONGEST {
            bail!("{} is too long for sockets in it: choose a shorter --name, or XDG_RUNTIME_DIR", path.display());
        }
        Ok(StateDir { path, root })
    }

    /// The names of all labs that have a folder.
    pub fn names() -> Vec<String> {
        let entries = fs::read_dir(root()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The supervisor's socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    fn record_file(&self) -> PathBuf {
        self.path.join("lab.json")
    }

    /// Waits until no other process makes, cleans or removes folders of labs, and keeps them from it.
    ///
    /// # Errors
    /// If the folder of all labs cannot be made.
    pub fn lock(&self) -> Result<Lock> {
        use std::os::unix::fs::MetadataExt;
        loop {
            folder(&self.root)?;
            let root = match fs::File::open(&self.root) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                root => root.with_context(|| format!("{} cannot be locked", self.root.display()))?,
            };
            flock(&root, FlockOperation::LockExclusive)?;
            // The one before may have removed it, and somebody have made another.
            let (locked, there) = (root.metadata()?, fs::metadata(&self.root));
            if there.is_ok_and(|there| there.ino() == locked.ino()) {
                return Ok(Lock { root: self.root.clone(), _locked: root });
            }
        }
    }

    /// Makes the folder for a lab of this process. It is there from the first moment with a record of this process,
    /// so that nobody takes it for what a crashed lab left behind.
    ///
    /// # Errors
    /// If a lab of that name runs.
    pub fn create(&self, name: &str, _lock: &Lock) -> Result<()> {
        let new = StateDir { path: self.root.join(format!(".{}", std::process::id())), root: self.root.clone() };
        // Of a process of the same number that ended in the middle of this.
        drop(fs::remove_dir_all(&new.path));
        folder(&new.path)?;
        let made = Process::of(std::process::id()).map_err(Error::from).and_then(|supervisor| {
            new.write(&Record { supervisor, children: Vec::new(), devices: Vec::new() })?;
            match fs::rename(&new.path, &self.path) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
                {
                    bail!(
                        "lab '{name}' runs already: take it down with 'cluster-lab down{}', or choose another --name",
                        crate::name_option(name)
                    )
                }
                made => made.with_context(|| format!("{} cannot be made", self.path.display())),
            }
        });
        if made.is_err() {
            drop(fs::remove_dir_all(&new.path));
        }
        made
    }

    /// Notes what would have to be cleaned up.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, record: &Record) -> Result<()> {
        // In one step: whoever reads it reads a whole one.
        let new = self.path.join("lab.json.new");
        fs::write(&new, serde_json::to_vec(record)?)?;
        Ok(fs::rename(new, self.record_file())?)
    }

    fn read(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record_file()).ok()?).ok()
    }

    /// Whether a lab of that name runs.
    pub fn runs(&self) -> bool {
        self.read().is_some_and(|record| record.supervisor.runs())
    }

    /// Whether anything of such a lab is there, running or not.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Ends what a crashed lab left running, and says which devices it left on the host.
    pub fn kill_leftovers(&self) -> Vec<String> {
        let Some(record) = self.read() else { return Vec::new() };
        // They end by themselves, having ended others perhaps.
        wait::until(LEFTOVERS_WAIT, || !record.children.iter().any(|child| child.runs()));
        record.children.iter().for_each(|child| child.kill());
        record.devices
    }

    /// Removes the folder.
    pub fn remove(&self, _lock: &Lock) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Held by who makes, cleans or removes folders of labs: one at a time.
#[derive(Debug)]
pub struct Lock {
    root: PathBuf,
    /// Locked as long as it is open.
    _locked: fs::File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If there is no lab, there need not be a folder of all labs.
        drop(fs::remove_dir(&self.root));
    }
}

/// Makes a folder that is this user's alone, unless it is there.
fn folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("{} cannot be made", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lab that is just starting is not taken for one that crashed.
    #[test]
    fn a_folder_is_there_with_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::below(folder.path().join("labs"), "one").unwrap();
        let lock = dir.lock().unwrap();
        dir.create("one", &lock).unwrap();
        assert!(dir.runs());
        let again = dir.create("one", &lock).unwrap_err().to_string();
        assert!(again.contains("runs already"), "{again}");
        dir.remove(&lock);
        assert!(!dir.exists());
        drop(lock);
        assert!(!dir.root.exists());
    }

    /// Each of many makes, counts and removes alone, though the folder of all labs goes and comes between them.
    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::below(folder.path().join("labs"), "one").unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        let turns = || {
            for _ in 0..50 {
                let lock = dir.lock().unwrap();
                assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                dir.create("one", &lock).unwrap();
                dir.remove(&lock);
                inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(turns))));
        assert!(!dir.root.exists());
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_used() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        is_own(&own).unwrap();
        super::folder(&own).unwrap();
        is_own(&own).unwrap();
        symlink(&own, &link).unwrap();
        assert!(is_own(&link).is_err());
        fs::set_permissions(&own, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(is_own(&own).is_err());
        // Not even by root.
        assert!(is_own(Path::new("/proc/self/stat")).is_err());
    }

    #[test]
    fn a_process_is_told_from_another_with_its_number() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.runs());
        assert!(!Process { began: own.began + 1, ..own }.runs());
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a b"] {
            assert!(StateDir::of(name).is_err(), "{name}");
        }
        assert!(StateDir::of("lab-2").is_ok());
        let deep = PathBuf::from(format!("/nonexistent/{}", "deep".repeat(20)));
        assert!(StateDir::below(deep, "lab").unwrap_err().to_string().contains("shorter --name"));
    }
}
