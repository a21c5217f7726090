//! The files of a data directory, as the daemon has them.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use timed_tokio::core::CanonicalAddr;
use timed_tokio::{Config, Genesis, Identity};
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::shared::read_genesis;

/// Why this process cannot go on, with its exit code.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) const fn failed(message: String) -> Self {
        Self { code: 1, message }
    }

    fn config(path: &Path, why: impl Display) -> Self {
        Self { code: 78, message: format!("{}: {why}", path.display()) }
    }
}

/// A data directory that this process holds.
pub(crate) struct DataDir {
    path: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) name: Option<String>,
    pub(crate) api: SocketAddr,
    listen: SocketAddr,
    advertised: CanonicalAddr,
    seed: Zeroizing<[u8; 32]>,
    _lock: File,
}

/// The keys of `config.toml` that this program understands; any other one is refused rather than left out.
const KEYS: [(&str, &[&str]); 3] =
    [("node", &["name", "network"]), ("network", &["local_ip", "listen", "port"]), ("api", &["listen"])];

impl DataDir {
    /// Reads everything, and takes the lock.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Refused> {
        let lock = lock(&path.join("LOCK"))?;
        // The records of one key must not be forgotten by changing the shell.
        let other = path.join("timed.redb");
        if other.exists() {
            let why = "the daemon has run here, and what its key has promised is in there; give this shell a \
                       directory of its own";
            return Err(Refused::config(&other, why));
        }
        let genesis = path.join("genesis.toml");
        let genesis = read_genesis(&genesis).map_err(|error| Refused::config(&genesis, error))?;
        let file = path.join("config.toml");
        let wrong = |why: &str| Refused::config(&file, why);
        let text = fs::read_to_string(&file).map_err(|error| Refused::config(&file, error))?;
        let table: Table = text.parse().map_err(|error| Refused::config(&file, error))?;
        check_keys(&table).map_err(|why| wrong(&why))?;
        let find = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key));
        let text = |section, key| find(section, key).and_then(Value::as_str);
        let listen: SocketAddr = text("network", "listen")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong("network.listen is missing, or no address"))?;
        let local: IpAddr = text("network", "local_ip")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong("network.local_ip is missing, or no IP address"))?;
        let advertised = CanonicalAddr::new(SocketAddr::new(local, listen.port()))
            .map_err(|error| wrong(&error.to_string()))?;
        let api = text("api", "listen").unwrap_or("127.0.0.1:8332");
        let api = api.parse().map_err(|_| wrong("api.listen is no address"))?;
        let name = text("node", "name").map(str::to_owned);
        let seed = read_key(&path.join("node_key"))?;
        Ok(Self { path, genesis, name, api, listen, advertised, seed, _lock: lock })
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("tokio-store")
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_seed(self.seed.clone())
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::reachable(&self.genesis, self.advertised);
        config.listen = Some(self.listen);
        let ip = self.listen.ip();
        config.tcp.dial_from = (!ip.is_unspecified()).then_some(ip);
        config.core.agent = concat!("timed/", env!("CARGO_PKG_VERSION")).to_owned();
        config
    }

    /// Draws the token that orders need, and leaves it for this user's clients.
    pub(crate) fn write_cookie(&self) -> Result<Zeroizing<String>, Refused> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|error| Refused::failed(error.to_string()))?;
        let token = Zeroizing::new(secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let path = self.cookie();
        let failed = |error| Refused::failed(format!("cannot write {}: {error}", path.display()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.write_all(token.as_bytes()).map_err(failed)?;
        Ok(token)
    }

    pub(crate) fn remove_cookie(&self) {
        let _ = fs::remove_file(self.cookie());
    }

    fn cookie(&self) -> PathBuf {
        self.path.join(".cookie")
    }
}

fn lock(path: &Path) -> Result<File, Refused> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| Refused::config(path, error))?;
    if file.try_lock().is_err() {
        return Err(Refused { code: 75, message: format!("{} is held by another process", path.display()) });
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(|error| Refused::failed(format!("{}: {error}", path.display())))?;
    Ok(file)
}

fn check_keys(table: &Table) -> Result<(), String> {
    for (section, content) in table {
        let known = KEYS.iter().find(|(name, _)| name == section).map(|(_, keys)| *keys);
        for key in content.as_table().into_iter().flat_map(Table::keys) {
            if !known.is_some_and(|keys| keys.contains(&key.as_str())) {
                return Err(format!("{section}.{key} is not understood by timed-tokio-node"));
            }
        }
    }
    Ok(())
}

/// An ed25519 seed as 64 hexadecimal digits, in a file that nobody else can read.
fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, Refused> {
    let read = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Refused::config(path, "there is no such file; make one with: timed init"),
        _ => Refused::config(path, error),
    };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("others can read it: chmod 600 {}", path.display());
        return Err(Refused { code: 77, message });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(read)?);
    let damaged = || Refused::config(path, "expected one line of 64 hexadecimal digits");
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let digits = line.filter(|line| line.len() == 64 && line.is_ascii()).ok_or_else(damaged)?;
    let mut seed = Zeroizing::new([0; 32]);
    for (byte, pair) in seed.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| damaged())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| damaged())?;
    }
    Ok(seed)
}
