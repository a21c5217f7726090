//! A provider whose results a witness hears, and the same without a provider behind it: a replay, in which the
//! witness says what the results were.

use zeroize::Zeroizing;

use crate::crypto::{Authenticity, CryptoError, Handshake, Provider, Session, TAG, WeakKey};
use crate::ids::{NodeId, SessionHash, Signature};
use crate::witness;

/// A provider under witness; in a replay there is none.
#[derive(Debug)]
struct Witnessed(Option<Box<dyn Provider>>);

/// A handshake under witness.
#[derive(Debug)]
struct WitnessedHandshake(Option<Box<dyn Handshake>>);

/// A channel under witness.
#[derive(Debug)]
struct WitnessedSession(Option<Box<dyn Session>>);

/// The same provider, whose results a recorder hears.
pub(crate) fn witnessed(provider: Box<dyn Provider>) -> Box<dyn Provider> {
    Box::new(Witnessed(Some(provider)))
}

/// The provider of a replay. It knows no key, and so nothing but what the witness says.
pub(crate) fn replayed_provider() -> Box<dyn Provider> {
    Box::new(Witnessed(None))
}

/// A handshake of a replay.
pub(crate) fn replayed_handshake() -> Box<dyn Handshake> {
    Box::new(WitnessedHandshake(None))
}

/// A channel of a replay.
pub(crate) fn replayed_session() -> Box<dyn Session> {
    Box::new(WitnessedSession(None))
}

impl Provider for Witnessed {
    fn node_id(&self) -> NodeId {
        self.0.as_ref().map(|provider| provider.node_id()).unwrap_or_default()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        let fresh = self.0.as_mut().map(|provider| provider.sign(message));
        witness::ask(|witness| witness.signed(fresh)).or(fresh).unwrap_or_default()
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        let fresh = self.0.as_mut().map(|provider| provider.verify(signer, message, signature));
        witness::ask(|witness| witness.verified(fresh)).or(fresh).unwrap_or(Authenticity::Forged)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        let weak = |trusted: Result<(), WeakKey>| trusted.err().map(|WeakKey(id)| id);
        let fresh = self.0.as_mut().map(|provider| weak(provider.trust(keys)));
        match witness::ask(|witness| witness.trusted(fresh)).or(fresh).flatten() {
            Some(id) => Err(WeakKey(id)),
            None => Ok(()),
        }
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        let inner = self.0.as_mut().map(|provider| provider.initiate(prologue, ephemeral));
        Box::new(WitnessedHandshake(inner))
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        let inner = self.0.as_mut().map(|provider| provider.respond(prologue, ephemeral));
        Box::new(WitnessedHandshake(inner))
    }
}

impl Handshake for WitnessedHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
        let start = out.len();
        let inner = self.0.as_mut().map(|handshake| handshake.write(payload, out));
        let fresh = inner.map(|written| written.map(|()| out.len() - start));
        let length = witness::ask(|witness| witness.wrote(fresh)).or(fresh).unwrap_or(Err(CryptoError))?;
        // What a replay writes is looked at by nobody but for its length.
        out.resize(start + length, 0);
        Ok(())
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> Result<(), CryptoError> {
        let Some(inner) = &mut self.0 else {
            payload.extend(witness::ask(|witness| witness.read(None)).unwrap_or(Err(CryptoError))?);
            return Ok(());
        };
        let start = payload.len();
        let result = inner.read(message, payload);
        let fresh = result.map(|()| payload.get(start..).unwrap_or_default());
        witness::ask(|witness| witness.read(Some(fresh)).map(drop)).unwrap_or(result)
    }

    fn finish(self: Box<Self>) -> Result<(SessionHash, Box<dyn Session>), CryptoError> {
        let inner = self.0.map(|handshake| handshake.finish());
        let fresh = inner.as_ref().map(|done| done.as_ref().map(|(hash, _)| *hash).map_err(|error| *error));
        let hash = witness::ask(|witness| witness.finished(fresh)).or(fresh).unwrap_or(Err(CryptoError))?;
        let session = inner.transpose()?.map(|(_, session)| session);
        Ok((hash, Box::new(WitnessedSession(session))))
    }
}

impl Session for WitnessedSession {
    fn seal(&mut self, buffer: &mut Vec<u8>, start: usize) {
        witness::ask(|witness| witness.sealing(buffer.get(start..).unwrap_or_default()));
        match &mut self.0 {
            Some(session) => session.seal(buffer, start),
            None => buffer.extend_from_slice(&[0; TAG]),
        }
    }

    fn open(&mut self, record: &mut [u8]) -> Result<usize, CryptoError> {
        let place = witness::ask(|witness| witness.arrived(record)).flatten();
        let fresh = self.0.as_mut().map(|session| session.open(record));
        witness::ask(|witness| witness.opened(place, record, fresh)).or(fresh).unwrap_or(Err(CryptoError))
    }
}
