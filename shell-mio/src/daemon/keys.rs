//! The node key: an ed25519 seed in a private file, as hexadecimal text.

use std::io;
use std::path::Path;

use ed25519_dalek::SigningKey;
use timed_core::NodeId;
use zeroize::Zeroizing;

use super::data_dir::{Existing, Secrecy, read_secret, write_durably};
use super::failure::Failure;
use super::hex::{hex, unhex};

/// A node's secret.
pub(crate) struct NodeKey {
    seed: Zeroizing<[u8; 32]>,
}

impl NodeKey {
    /// Draws a new key.
    pub(crate) fn generate() -> Result<Self, Failure> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(&mut *seed)?;
        Ok(Self { seed })
    }

    /// The public key: the node's identity.
    pub(crate) fn id(&self) -> NodeId {
        NodeId(SigningKey::from_bytes(&self.seed).verifying_key().to_bytes())
    }

    /// The seed, for the cryptographic provider.
    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// Reads the key of a data directory.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let Some(text) = read_secret(path)? else {
            let dir = path.parent().unwrap_or(path).display();
            return Err(Failure::config(format!(
                "there is no node key {shown}; make one with: timed init --data-dir {dir}"
            )));
        };
        let damaged = || {
            Failure::config(format!(
                "the node key {shown} is damaged: expected one line of 64 hexadecimal digits. Restore it from a \
                 backup; a new key is another node"
            ))
        };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let digits = lines.next().ok_or_else(damaged)?;
        let bytes = unhex(digits).filter(|_| lines.next().is_none()).ok_or_else(damaged)?;
        let seed = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| damaged())?);
        Ok(Self { seed })
    }

    /// Writes the key; an existing file stays, which is an [`io::ErrorKind::AlreadyExists`] error.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = Zeroizing::new(format!(
            "# Secret key of timed node {}.\n# Whoever has it is this node. Never run it in two processes.\n",
            self.id()
        ));
        text.push_str(&hex(&*self.seed));
        text.push('\n');
        write_durably(path, text.as_bytes(), Secrecy::Private, Existing::Keep)
    }
}

/// Fills a buffer from the system's entropy.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(buffer)
        .map_err(|error| Failure::failed(format!("no randomness from the system: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_saved_key_is_read_back_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node_key");
        let key = NodeKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(NodeKey::load(&path).unwrap().id(), key.id());
        let other = NodeKey::generate().unwrap();
        assert_eq!(other.save(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(NodeKey::load(&path).unwrap().id(), key.id());
    }

    #[test]
    fn unsafe_and_damaged_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node_key");
        let refusal = |path| NodeKey::load(path).map(|key| key.id()).unwrap_err();
        assert_eq!(refusal(&path).exit, Exit::BadConfiguration);
        NodeKey::generate().unwrap().save(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let failure = refusal(&path);
        assert_eq!(failure.exit, Exit::UnsafePermissions);
        assert!(failure.message.ends_with(&format!("chmod 600 {}", path.display())), "{failure}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for damage in
            ["", "# only a comment\n", "abcd\n", &"g".repeat(64), &format!("{0}\n{0}", "a".repeat(64))]
        {
            fs::write(&path, damage).unwrap();
            assert!(refusal(&path).message.contains("damaged"), "{damage}");
        }
    }
}
