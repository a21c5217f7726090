//! A recording as it is played: says again what was said, in the same order.

use std::sync::Arc;

use crate::crypto::{Authenticity, CryptoError, TAG};
use crate::event::CloseReason;
use crate::flight::digest::Digest;
use crate::flight::entry::{Entry, Raw};
use crate::flight::file::{Content, Segment};
use crate::ids::{NodeId, SessionHash, Signature};
use crate::wire::frame::FrameKind;
use crate::witness::{Framed, Witness};

/// What is different from what was recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// In the segment's log.
    pub(super) at: usize,
    pub(super) what: String,
}

/// What was heard that a redacted recording has to say by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Hash([u8; 32]),
    /// The code of a frame and its body, or of the fault.
    Frame(Result<Option<(u16, Vec<u8>)>, u16>),
    Block(Vec<u8>),
}

/// The segment that is played.
#[derive(Debug)]
pub(super) struct Playback {
    pub(super) segment: Arc<Segment>,
    content: Content,
    /// How far its log is played.
    pub(super) at: usize,
    /// What this run says.
    pub(super) digest: Digest,
    /// The first difference; what comes after it means nothing.
    pub(super) difference: Option<Difference>,
    /// Whether the log ended within a call: in that call the recorded process died.
    pub(super) cut: bool,
    /// What a redacted recording will have to say, if it is asked for, in order: before which place in the log.
    pub(super) noted: Option<Vec<(usize, Heard)>>,
    /// Instead of being compared, the digests are kept here.
    pub(super) said: Option<Vec<(u32, u32)>>,
}

impl Playback {
    pub(super) const fn new(segment: Arc<Segment>, content: Content) -> Self {
        Self {
            segment,
            content,
            at: 0,
            digest: Digest::NONE,
            difference: None,
            cut: false,
            noted: None,
            said: None,
        }
    }

    /// Notes the first difference.
    pub(super) fn differs(&mut self, what: String) {
        let at = self.at;
        self.difference.get_or_insert(Difference { at, what });
    }

    fn note(&mut self, heard: impl FnOnce() -> Heard) {
        let at = self.at;
        if let Some(noted) = &mut self.noted {
            noted.push((at, heard()));
        }
    }

    /// All commands of this run are taken where the recorded run had so many and this digest.
    pub(super) fn drained(&mut self, commands: u32, sum: u32) {
        let (here, reached) = self.digest.look().unwrap_or((0, 0));
        match &mut self.said {
            Some(said) => said.push((here, reached)),
            None if here == commands && reached != sum => {
                self.differs("the commands or what is sent with them are not the recorded ones".to_owned());
            }
            None => {}
        }
        if here != commands {
            self.differs(format!("{commands} commands were recorded, this run has {here}"));
        }
    }

    /// What was heard next in the call under way; `expected` says what this run asks for.
    fn heard<T>(&mut self, expected: &str, find: impl FnOnce(&Entry<'_>) -> Option<T>) -> Option<T> {
        if self.difference.is_some() || self.cut {
            return None;
        }
        let segment = Arc::clone(&self.segment);
        let Some(rest) = segment.log.get(self.at..).filter(|rest| !rest.is_empty()) else {
            self.cut = true;
            return None;
        };
        let (entry, length) = match Entry::read(rest) {
            Ok(read) => read,
            Err(error) => {
                self.differs(format!("the entry cannot be read: {error}"));
                return None;
            }
        };
        let found = find(&entry);
        match found {
            Some(_) => self.at += length,
            None => self.differs(format!("this run asks for {expected}, the recorded one had {entry:?}")),
        }
        found
    }
}

impl Witness for Playback {
    fn drawn(&mut self, fresh: u64) -> u64 {
        let drawn = self.heard("a draw", |entry| match entry {
            Entry::Drawn(number) => Some(*number),
            _ => None,
        });
        drawn.unwrap_or(fresh)
    }

    fn hashed(&mut self, fresh: [u8; 32]) -> [u8; 32] {
        let hash = match self.content {
            Content::Original => fresh,
            Content::Redacted => {
                let hash = self.heard("a hash of content", |entry| match entry {
                    Entry::Hashed(hash) => Some(*hash),
                    _ => None,
                });
                hash.unwrap_or(fresh)
            }
        };
        self.note(|| Heard::Hash(hash));
        hash
    }

    fn signed(&mut self, _: Option<Signature>) -> Signature {
        let signature = self.heard("a signature", |entry| match entry {
            Entry::Signed(signature) => Some(*signature),
            _ => None,
        });
        signature.unwrap_or_default()
    }

    fn verified(&mut self, _: Option<Authenticity>) -> Authenticity {
        let verdict = self.heard("a verdict on a signature", |entry| match entry {
            Entry::Genuine => Some(Authenticity::Genuine),
            Entry::Forged => Some(Authenticity::Forged),
            _ => None,
        });
        verdict.unwrap_or(Authenticity::Forged)
    }

    fn trusted(&mut self, _: Option<Option<NodeId>>) -> Option<NodeId> {
        let weak = self.heard("a verdict on keys", |entry| match entry {
            Entry::Trusted(weak) => Some(*weak),
            _ => None,
        });
        weak.flatten()
    }

    fn wrote(&mut self, _: Option<Result<usize, CryptoError>>) -> Result<usize, CryptoError> {
        let length = self.heard("a handshake message written", |entry| match entry {
            Entry::Wrote(length) => Some(length.map(usize::from)),
            _ => None,
        });
        length.flatten().ok_or(CryptoError)
    }

    fn read(&mut self, _: Option<Result<&[u8], CryptoError>>) -> Result<Vec<u8>, CryptoError> {
        let payload = self.heard("a handshake message read", |entry| match entry {
            Entry::Read(payload) => Some(payload.map(|Raw(payload)| payload.to_vec())),
            _ => None,
        });
        payload.flatten().ok_or(CryptoError)
    }

    fn finished(&mut self, _: Option<Result<SessionHash, CryptoError>>) -> Result<SessionHash, CryptoError> {
        let hash = self.heard("a handshake done", |entry| match entry {
            Entry::Finished(hash) => Some(*hash),
            _ => None,
        });
        hash.flatten().ok_or(CryptoError)
    }

    fn opened(
        &mut self,
        _: [u8; TAG],
        record: &mut [u8],
        _: Option<Result<usize, CryptoError>>,
    ) -> Result<usize, CryptoError> {
        let opened = self.heard("a record opened", |entry| match entry {
            Entry::Opened(Raw(plain)) => Some(record.get_mut(..plain.len()).map(|place| {
                place.copy_from_slice(plain);
                plain.len()
            })),
            Entry::OpenFailed => Some(None),
            _ => None,
        });
        opened.flatten().ok_or(CryptoError)
    }

    fn framed(&mut self, fresh: &Result<Option<(FrameKind, &[u8])>, CloseReason>) -> Option<Framed> {
        let code = |kind: &FrameKind| match kind {
            FrameKind::Known(kind) => kind.code(),
            FrameKind::Unknown(code) => *code,
        };
        match self.content {
            Content::Original => {
                self.note(|| {
                    Heard::Frame(match fresh {
                        Ok(frame) => Ok(frame.as_ref().map(|(kind, body)| (code(kind), body.to_vec()))),
                        Err(reason) => Err(reason.code()),
                    })
                });
                None
            }
            Content::Redacted => self.heard("a frame", |entry| match entry {
                Entry::Frame(frame) => {
                    Some(Ok(frame.map(|(code, Raw(body))| (FrameKind::of(code), body.to_vec()))))
                }
                Entry::FrameFault(code) => Some(Err(CloseReason::from_code(*code))),
                _ => None,
            }),
        }
    }

    fn block(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.content {
            Content::Original => {
                self.note(|| Heard::Block(bytes.to_vec()));
                None
            }
            Content::Redacted => self.heard("a block", |entry| match entry {
                Entry::Block(Raw(bytes)) => Some(bytes.to_vec()),
                _ => None,
            }),
        }
    }

    fn sealing(&mut self, plain: &[u8]) {
        self.digest.plain(plain);
    }
}
