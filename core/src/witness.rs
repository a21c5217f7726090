//! Who hears of what a node decides by and no input says: what was drawn, what verified, what was opened.
//!
//! A recorder is present during each call on its node and notes these; a replay is present in its place and says
//! them again. Without either, nothing here changes anything (contract C7). It is per thread and only for the time of
//! a call: so it needs no place in every machine that draws or hashes, and no lock, which a witness that the node's
//! machines shared with whoever calls the node would.

use std::any::Any;
use std::cell::RefCell;

use crate::crypto::{Authenticity, CryptoError, TAG};
use crate::event::CloseReason;
use crate::ids::{NodeId, SessionHash, Signature};
use crate::wire::frame::FrameKind;

/// Hears what happened, or says what happened then. What is `fresh` is what happened now; a replay has none of what
/// only a key could tell.
pub(crate) trait Witness: Any + Send {
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

/// What a witness is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// To hear.
    Record,
    /// To say what was heard.
    Replay,
}

/// Who is present, and what for.
type Present = Option<(Duty, Box<dyn Witness>)>;

thread_local! {
    static PRESENT: RefCell<Present> = const { RefCell::new(None) };
}

/// Ends a presence, also on the way of a panic.
struct Until<'a, W: Witness> {
    before: Present,
    home: &'a mut Option<Box<W>>,
}

impl<W: Witness> Drop for Until<'_, W> {
    fn drop(&mut self) {
        let present = PRESENT.replace(self.before.take());
        let back = present.and_then(|(_, witness)| (witness as Box<dyn Any>).downcast().ok());
        if back.is_some() {
            *self.home = back;
        }
    }
}

/// Has the `witness` present while `act` runs, and puts it back. Nobody else can reach it meanwhile, so it needs no lock.
pub(crate) fn during<W: Witness, T>(duty: Duty, witness: &mut Option<Box<W>>, act: impl FnOnce() -> T) -> T {
    let present: Present = witness.take().map(|witness| (duty, witness as Box<dyn Witness>));
    let _until = Until { before: PRESENT.replace(present), home: witness };
    act()
}

/// Asks the one who is present, if anybody is.
pub(crate) fn ask<T>(question: impl FnOnce(&mut dyn Witness) -> T) -> Option<T> {
    PRESENT.with_borrow_mut(|present| present.as_mut().map(|(_, witness)| question(&mut **witness)))
}

/// Asks whoever says what was heard: a question that a recorder has no use for.
pub(crate) fn ask_replay<T>(question: impl FnOnce(&mut dyn Witness) -> Option<T>) -> Option<T> {
    PRESENT.with_borrow_mut(|present| match present {
        Some((Duty::Replay, witness)) => question(&mut **witness),
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
