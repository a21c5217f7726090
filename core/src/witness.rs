//! Who hears of what a node decides by and no input says: what was drawn, what verified, what was opened.
//!
//! A recorder is present during each call on its node and notes these; a replay is present in its place and says
//! them again. Without either, nothing here changes anything (contract C7). It is per thread and only for the time of
//! a call: so it needs no place in every machine that draws or hashes.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::{Authenticity, CryptoError, TAG};
use crate::event::CloseReason;
use crate::ids::{NodeId, SessionHash, Signature};
use crate::wire::frame::FrameKind;

/// Hears what happened, or says what happened then. What is `fresh` is what happened now; a replay has none of what
/// only a key could tell.
pub(crate) trait Witness: Send {
    /// A number was drawn, from a stream or by a secret.
    fn drawn(&mut self, fresh: u64) -> u64;
    /// The hash of a transaction or a chunk was taken.
    fn hashed(&mut self, fresh: [u8; 32]) -> [u8; 32];
    /// This node signed.
    fn signed(&mut self, fresh: Option<Signature>) -> Signature;
    /// A signature was judged.
    fn verified(&mut self, fresh: Option<Authenticity>) -> Authenticity;
    /// Keys were prepared, or this one was refused.
    fn trusted(&mut self, fresh: Option<Option<NodeId>>) -> Option<NodeId>;
    /// A handshake message of this length was written.
    fn wrote(&mut self, fresh: Option<Result<usize, CryptoError>>) -> Result<usize, CryptoError>;
    /// A handshake message with this payload was read.
    fn read(&mut self, fresh: Option<Result<&[u8], CryptoError>>) -> Result<Vec<u8>, CryptoError>;
    /// A handshake was done.
    fn finished(
        &mut self,
        fresh: Option<Result<SessionHash, CryptoError>>,
    ) -> Result<SessionHash, CryptoError>;
    /// A record that ended with this tag was opened in place, which left that many bytes of plaintext at its beginning.
    fn opened(
        &mut self,
        tag: [u8; TAG],
        record: &mut [u8],
        fresh: Option<Result<usize, CryptoError>>,
    ) -> Result<usize, CryptoError>;
    /// This is about to be sealed.
    fn sealing(&mut self, plain: &[u8]);
    /// This was read next of a lane's plaintext; what is said instead holds. A replay's question, like the next.
    fn framed(&mut self, fresh: &Result<Option<(FrameKind, &[u8])>, CloseReason>) -> Option<Framed> {
        let _ = fresh;
        None
    }
    /// This is about to be decoded as a block; what is said instead is.
    fn block(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let _ = bytes;
        None
    }
}

/// What was read next of a lane's plaintext: a frame, none that is whole, or a fault.
pub(crate) type Framed = Result<Option<(FrameKind, Vec<u8>)>, CloseReason>;

/// A witness that several may hold.
pub(crate) type Shared = Arc<Mutex<dyn Witness>>;

/// What a witness is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// To hear.
    Record,
    /// To say what was heard.
    Replay,
}

thread_local! {
    static PRESENT: RefCell<Option<(Duty, Shared)>> = const { RefCell::new(None) };
}

/// Ends a presence, also on the way of a panic.
struct Until(Option<(Duty, Shared)>);

impl Drop for Until {
    fn drop(&mut self) {
        PRESENT.set(self.0.take());
    }
}

/// Has `witness` present while `act` runs.
pub(crate) fn during<T>(duty: Duty, witness: &Shared, act: impl FnOnce() -> T) -> T {
    let _until = Until(PRESENT.replace(Some((duty, Arc::clone(witness)))));
    act()
}

/// Asks the one who is present, if anybody is.
pub(crate) fn ask<T>(question: impl FnOnce(&mut dyn Witness) -> T) -> Option<T> {
    PRESENT.with_borrow(|present| {
        let (_, witness) = present.as_ref()?;
        Some(question(&mut *witness.lock().unwrap_or_else(PoisonError::into_inner)))
    })
}

/// Asks whoever says what was heard: a question that a recorder has no use for.
pub(crate) fn ask_replay<T>(question: impl FnOnce(&mut dyn Witness) -> Option<T>) -> Option<T> {
    PRESENT.with_borrow(|present| match present {
        Some((Duty::Replay, witness)) => {
            question(&mut *witness.lock().unwrap_or_else(PoisonError::into_inner))
        }
        Some((Duty::Record, _)) | None => None,
    })
}

/// A number that was drawn now, or what was drawn then.
pub(crate) fn drawn(fresh: u64) -> u64 {
    ask(|witness| witness.drawn(fresh)).unwrap_or(fresh)
}

/// The hash of content, or what it was before the content was replaced.
pub(crate) fn hashed(fresh: [u8; 32]) -> [u8; 32] {
    ask_replay(|witness| Some(witness.hashed(fresh))).unwrap_or(fresh)
}
