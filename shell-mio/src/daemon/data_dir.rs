//! The data directory: where it is, who may read it, who holds it, and how files get into it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::failure::{Exit, Failure};

/// How long a holder that was killed may take to let go of the directory.
const DYING_WITHIN: Duration = Duration::from_secs(5);
/// A process that was killed a moment ago looks alive for a moment longer: nobody is refused before.
const PATIENCE: Duration = Duration::from_millis(500);

/// A node's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir {
    path: PathBuf,
}

/// The right to be the only process that works in a data directory; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Who works in a data directory at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// No process.
    Nobody,
    /// A process, by its id as it wrote it.
    Process(String),
}

/// What a file may let others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Only its owner reads it.
    Private,
    /// Anyone who can enter the directory reads it.
    Readable,
}

impl Secrecy {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Readable => 0o644,
        }
    }
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is replaced in one step.
    Replace,
    /// It stays, and the write fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

impl DataDir {
    /// The directory in force: the flag, else `$STATE_DIRECTORY`, else `/var/lib/timed` for root, else
    /// `~/.timed`.
    pub(crate) fn locate(flag: Option<&Path>) -> Result<Self, Failure> {
        let state = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
        let path = match (flag, state) {
            (Some(path), _) => path.to_owned(),
            (None, Some(list)) => std::env::split_paths(&list).next().unwrap_or_default(),
            (None, None) if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/timed"),
            (None, None) => match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
                Some(home) => Path::new(&home).join(".timed"),
                None => return Err(Failure::usage("HOME is not set: give --data-dir DIR")),
            },
        };
        Ok(Self { path })
    }

    /// A directory at a known place.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration, where no other file is named.
    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The network's identity and registry.
    pub(crate) fn genesis(&self) -> PathBuf {
        self.path.join("genesis.toml")
    }

    /// This node's secret.
    pub(crate) fn node_key(&self) -> PathBuf {
        self.path.join("node_key")
    }

    /// The API's write token.
    pub(crate) fn cookie(&self) -> PathBuf {
        self.path.join(".cookie")
    }

    /// The embedded database.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("timed.redb")
    }

    /// Makes the directory with mode 0700, or closes an empty one to others.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::failed(format!("cannot create the data directory {}: {error}", self.path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        let mut entries = fs::read_dir(&self.path).map_err(failed)?;
        let mode = fs::metadata(&self.path).map_err(failed)?.mode();
        if mode & 0o077 != 0 && entries.next().is_none() {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(())
    }

    /// Refuses a directory in which others could replace files.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let shown = self.path.display();
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return Err(Failure::config(format!("the data directory {shown} is not a directory"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::config(format!(
                    "there is no data directory {shown}; make one with: timed init --data-dir {shown}"
                )));
            }
            Err(error) => return Err(unusable(&self.path, &error)),
        };
        if metadata.mode() & 0o022 != 0 {
            return Err(Failure::permissions(format!(
                "others may write to the data directory {shown} (mode {:04o}); run: chmod 700 {shown}",
                metadata.mode() & 0o7777
            )));
        }
        Ok(())
    }

    /// Who holds the directory; it is not taken for longer than the question lasts.
    pub(crate) fn holder(&self) -> Holder {
        let path = self.path.join("LOCK");
        let Ok(file) = File::open(&path) else { return Holder::Nobody };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Holder::Process(fs::read_to_string(&path).unwrap_or_default().trim().to_owned())
            }
            _ => Holder::Nobody,
        }
    }

    /// Takes the directory for this process.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        let path = self.path.join("LOCK");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&path, &error))?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(unusable(&path, &error.into())),
            }
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = holder.trim();
            let waited = begun.elapsed();
            if waited < PATIENCE || (waited < DYING_WITHIN && is_dying(holder)) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let holder = if holder.is_empty() { "another process" } else { &format!("process {holder}") };
            let message =
                format!("{holder} is already running with the data directory {}", self.path.display());
            return Err(Failure { exit: Exit::AlreadyRunning, message });
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|error| unusable(&path, &error))?;
        Ok(Lock { _file: file })
    }
}

/// Whether a process that held the lock was killed, but keeps its files until its last thread is back from a
/// write to the disk.
fn is_dying(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // Behind the name, which may hold anything: Z or X is a process that has ended.
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
        // It ended a moment ago, unless this system does not tell.
        Err(_) => Path::new("/proc/self").exists(),
    }
}

/// Reads a text file of the data directory; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Failure::config(format!("{} is not a text file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Reads a secret; refuses one that others can read or own. `None` if there is none.
pub(crate) fn read_secret(path: &Path) -> Result<Option<zeroize::Zeroizing<String>>, Failure> {
    let shown = path.display();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
    };
    let metadata = file.metadata().map_err(|error| unusable(path, &error))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Failure::permissions(format!(
            "others can use the secret {shown} (mode {mode:04o}); run: chmod 600 {shown}"
        )));
    }
    let user = rustix::process::geteuid();
    if metadata.uid() != user.as_raw() && !user.is_root() {
        return Err(Failure::permissions(format!(
            "{shown} belongs to user {}, this process runs as user {}; run: chown {} {shown}",
            metadata.uid(),
            user.as_raw(),
            user.as_raw()
        )));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    match file.read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::config(format!("{shown} is not a text file")))
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

/// The failure for a file that cannot be used: a matter of permissions, or of the disk.
fn unusable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot use {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::permissions(format!(
            "{message}; this process runs as user {} and must be able to read and write it",
            rustix::process::geteuid().as_raw()
        )),
        _ => Failure::failed(message),
    }
}

/// Writes a file so that after a crash it is whole: the old one, the new one, or none.
pub(crate) fn write_durably(
    path: &Path,
    content: &[u8],
    secrecy: Secrecy,
    existing: Existing,
) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = parent.join(format!("{name}.{}.new", std::process::id()));
    let written = write_draft(&draft, content, secrecy).and_then(|()| match existing {
        Existing::Replace => fs::rename(&draft, path),
        Existing::Keep => fs::hard_link(&draft, path).and_then(|()| fs::remove_file(&draft)),
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|()| File::open(parent)?.sync_all())
}

fn write_draft(draft: &Path, content: &[u8], secrecy: Secrecy) -> io::Result<()> {
    let _ = fs::remove_file(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(secrecy.mode()).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_keeps_or_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_durably(&path, b"1", Secrecy::Private, Existing::Keep).unwrap();
        let error = write_durably(&path, b"2", Secrecy::Private, Existing::Keep).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"1");
        write_durably(&path, b"3", Secrecy::Private, Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::at(dir.path());
        let lock = data.lock().unwrap();
        let failure = data.lock().unwrap_err();
        assert_eq!(failure.exit, Exit::AlreadyRunning);
        assert!(failure.message.contains(&format!("process {}", std::process::id())), "{failure}");
        assert_eq!(data.holder(), Holder::Process(std::process::id().to_string()));
        drop(lock);
        assert_eq!(data.holder(), Holder::Nobody);
        data.lock().unwrap();
    }

    #[test]
    fn a_killed_holder_is_waited_for_until_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::at(dir.path());
        let lock = data.lock().unwrap();
        let mut killed = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(dir.path().join("LOCK"), format!("{}\n", killed.id())).unwrap();
        assert_eq!(data.lock().unwrap_err().exit, Exit::AlreadyRunning, "its holder lives");
        killed.kill().unwrap();
        let begun = Instant::now();
        while !is_dying(&killed.id().to_string()) {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(lock);
        });
        data.lock().unwrap();
        letting_go.join().unwrap();
        killed.wait().unwrap();
    }
}
