//! The four steps to a link (rules H-1 to H-6): preambles and keys in the clear, then each side's signed word
//! inside the channel. Nothing here knows other links; whether a proven peer is admitted is decided above.

use zeroize::Zeroizing;

use crate::addr::CanonicalAddr;
use crate::crypto::{Authenticity, HANDSHAKE_INIT, Provider};
use crate::event::CloseReason;
use crate::ids::{BlockHash, DialOrdinal, GenesisHash, Height, NodeId, SessionHash, Signature};
use crate::limits::HELLO_RECORD;
use crate::link::{Channel, Link, Phase, REPLY};
use crate::rng::Rng;
use crate::wire::message::{Answer, Ballot, Boot, Hello, HelloAck, Intent, Introduction, ProvenBoot, Role};
use crate::wire::preamble::{NetworkId, Opening, PREAMBLE, Preamble, VersionRange, read_opening};
use crate::wire::record::RecordReader;
use crate::wire::signing;

/// What this node says of itself in every handshake.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    pub(crate) advertised: Option<CanonicalAddr>,
    pub(crate) boot: Boot,
    /// Our own signature over `boot` (rule E-7).
    pub(crate) proof: Signature,
    pub(crate) network: NetworkId,
    pub(crate) versions: VersionRange,
    pub(crate) genesis: GenesisHash,
    pub(crate) role: Role,
    pub(crate) agent: String,
    pub(crate) height: Height,
    pub(crate) tip: BlockHash,
}

impl Identity {
    pub(crate) const fn preamble(&self) -> Preamble {
        Preamble { network: self.network, versions: self.versions }
    }

    /// Signs the boot anew, after a change of its epoch.
    pub(crate) fn prove(&mut self, crypto: &mut dyn Provider) {
        self.proof = crypto.sign(&signing::boot(&self.genesis, &self.node, self.boot));
    }

    fn introduce(&self, theirs: &Preamble, regard: Regard) -> Introduction {
        let versions = self.versions;
        Introduction {
            node: self.node,
            advertised: self.advertised,
            boot: self.boot,
            proof: self.proof,
            seen: regard.seen,
            observed: regard.observed,
            versions,
            // A preamble without a common version never gets this far.
            chosen: versions.common(theirs.versions).unwrap_or(versions.max),
            features: 0,
            network: self.network,
            genesis: self.genesis,
            height: self.height,
            tip: self.tip,
            role: self.role,
            agent: self.agent.clone(),
        }
    }
}

/// What this node says of the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regard {
    /// The highest boot of its key that was seen here.
    pub(crate) seen: Option<ProvenBoot>,
    /// Where it is, seen from here (rule P-7).
    pub(crate) observed: Option<CanonicalAddr>,
}

/// Why the opening of a connection failed, and what the cleartext says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpeningFault {
    /// We read a preamble or a reject that rules a session out: a hint, for it is not authenticated.
    Incompatible(CloseReason),
    /// The bytes are no handshake.
    Broken(CloseReason),
}

impl OpeningFault {
    pub(crate) const fn reason(self) -> CloseReason {
        match self {
            Self::Incompatible(reason) | Self::Broken(reason) => reason,
        }
    }
}

/// How far the opening has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpeningProgress {
    /// More bytes are needed.
    Incomplete,
    /// All of it is here, and nothing in the clear speaks against it.
    Complete,
}

fn draw(rng: &mut Rng) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill(key.as_mut());
    key
}

/// Step 1, the dialer: our preamble and key.
pub(crate) fn begin(
    link: &mut Link,
    ours: &Identity,
    crypto: &mut dyn Provider,
    rng: &mut Rng,
) -> Result<(), CloseReason> {
    let preamble = ours.preamble().encode();
    let mut handshake = crypto.initiate(&preamble, draw(rng));
    link.raw_out.extend_from_slice(&preamble);
    handshake.write(&[], &mut link.raw_out).map_err(|_| CloseReason::BadHandshake)?;
    link.phase = Phase::AwaitReply(handshake);
    Ok(())
}

/// Steps 1 and 2 as they arrive. Takes from `input` no more than the opening needs, buffers at most that much,
/// and costs nothing but the copy.
pub(crate) fn collect_opening(
    link: &mut Link,
    input: &mut &[u8],
    ours: &Identity,
) -> Result<OpeningProgress, OpeningFault> {
    let whole = if matches!(link.phase, Phase::AwaitReply(_)) { REPLY } else { PREAMBLE + HANDSHAKE_INIT };
    let missing = whole.saturating_sub(link.raw_in.len()).min(input.len());
    if let Some((bytes, rest)) = input.split_at_checked(missing) {
        link.raw_in.extend_from_slice(bytes);
        *input = rest;
    }
    let Some((opening, _)) = link.raw_in.split_first_chunk::<PREAMBLE>() else {
        return Ok(OpeningProgress::Incomplete);
    };
    let theirs = match read_opening(opening) {
        Opening::Preamble(theirs) => theirs,
        Opening::Reject(reason) if matches!(link.phase, Phase::AwaitReply(_)) => return Err(hint(reason)),
        Opening::Reject(_) => return Err(OpeningFault::Incompatible(CloseReason::WrongMagic)),
        Opening::Alien => return Err(OpeningFault::Incompatible(CloseReason::WrongMagic)),
    };
    if let Some(reason) = ours.preamble().objection(&theirs) {
        return Err(OpeningFault::Incompatible(reason));
    }
    if link.raw_in.len() < whole {
        return Ok(OpeningProgress::Incomplete);
    }
    if matches!(link.phase, Phase::AwaitPreamble) && !input.is_empty() {
        // Whoever has not seen our key has nothing to say yet.
        return Err(OpeningFault::Broken(CloseReason::BadHandshake));
    }
    Ok(OpeningProgress::Complete)
}

/// The key agreement of a complete opening: the expensive part, which makes the channel.
pub(crate) fn open_channel(
    link: &mut Link,
    ours: &Identity,
    crypto: &mut dyn Provider,
    rng: &mut Rng,
) -> Result<(), OpeningFault> {
    let collected = std::mem::take(&mut link.raw_in);
    let alien = OpeningFault::Incompatible(CloseReason::WrongMagic);
    let (prologue, message) = collected.split_first_chunk::<PREAMBLE>().ok_or(alien)?;
    let Opening::Preamble(theirs) = read_opening(prologue) else { return Err(alien) };
    let broken = |_| OpeningFault::Broken(CloseReason::BadHandshake);
    let message = Zeroizing::new(message.to_vec());
    let mut payload = Vec::with_capacity(PREAMBLE);
    let (mut handshake, dialing) = match std::mem::replace(&mut link.phase, Phase::Closing(None)) {
        Phase::AwaitReply(handshake) => (handshake, true),
        _ => (crypto.respond(prologue, draw(rng)), false),
    };
    handshake.read(&message, &mut payload).map_err(broken)?;
    if dialing {
        // The acceptor repeats its preamble under the channel's keys: nobody changed it on the way.
        if payload != theirs.encode() {
            return Err(OpeningFault::Broken(CloseReason::Downgrade));
        }
    } else {
        let preamble = ours.preamble().encode();
        link.raw_out.extend_from_slice(&preamble);
        handshake.write(&preamble, &mut link.raw_out).map_err(broken)?;
    }
    let (hash, session) = handshake.finish().map_err(broken)?;
    // An acceptor's answer may share a record with what follows it; a `Hello` has nothing to follow.
    let records = if dialing { RecordReader::new() } else { RecordReader::up_to(HELLO_RECORD) };
    let channel = Box::new(Channel::new(session, hash, theirs, records));
    link.phase = if dialing { Phase::HelloParked(channel) } else { Phase::AwaitHello(channel) };
    Ok(())
}

/// What a dialer makes of a cleartext reject. Anyone on the path can forge one, so it may say no more than a
/// preamble shows; other reasons would be believed by those who book the end of a dial (rule H-5).
const fn hint(reason: CloseReason) -> OpeningFault {
    match reason {
        CloseReason::WrongMagic | CloseReason::WrongNetwork | CloseReason::VersionUnsupported => {
            OpeningFault::Incompatible(reason)
        }
        _ => OpeningFault::Broken(CloseReason::RejectHint),
    }
}

/// What a `Hello` says beside who we are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HelloTerms {
    pub(crate) to: Option<NodeId>,
    pub(crate) ordinal: DialOrdinal,
    pub(crate) intent: Intent,
    pub(crate) regard: Regard,
    pub(crate) register: Option<Ballot>,
}

/// Step 3: our signed word as the dialer.
pub(crate) fn compose_hello(
    channel: &Channel,
    ours: &Identity,
    terms: HelloTerms,
    crypto: &mut dyn Provider,
) -> Hello {
    let mut hello = Hello {
        from: ours.introduce(&channel.theirs, terms.regard),
        to: terms.to,
        ordinal: terms.ordinal,
        intent: terms.intent,
        register: terms.register,
        signature: Signature::default(),
    };
    hello.signature = crypto.sign(&signing::hello(&channel.hash, &hello));
    hello
}

/// Step 4: our signed word as the acceptor.
pub(crate) fn compose_ack(
    channel: &Channel,
    ours: &Identity,
    hello: &Hello,
    regard: Regard,
    highest: DialOrdinal,
    answer: Answer,
    crypto: &mut dyn Provider,
) -> HelloAck {
    let mut ack = HelloAck {
        from: ours.introduce(&channel.theirs, regard),
        highest,
        answer,
        signature: Signature::default(),
    };
    ack.signature = crypto.sign(&signing::hello_ack(&channel.hash, hello, &ack));
    ack
}

/// What a signed word turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Word {
    /// Proven, and of our network.
    Proven,
    /// Proven, and incompatible for this reason.
    Incompatible(CloseReason),
}

/// Checks the dialer's word (rule H-3).
///
/// # Errors
/// If it is not signed by whom it claims.
pub(crate) fn check_hello(
    session: &SessionHash,
    theirs: &Preamble,
    ours: &Identity,
    hello: &Hello,
    crypto: &mut dyn Provider,
) -> Result<Word, CloseReason> {
    match crypto.verify(&hello.from.node, &signing::hello(session, hello), &hello.signature) {
        Authenticity::Genuine => Ok(compatible(theirs, ours, &hello.from)),
        Authenticity::Forged => Err(CloseReason::BadSignature),
    }
}

/// Checks the acceptor's word (rule H-4).
///
/// # Errors
/// If it is not signed by whom it claims.
pub(crate) fn check_ack(
    session: &SessionHash,
    theirs: &Preamble,
    ours: &Identity,
    hello: &Hello,
    ack: &HelloAck,
    crypto: &mut dyn Provider,
) -> Result<Word, CloseReason> {
    match crypto.verify(&ack.from.node, &signing::hello_ack(session, hello, ack), &ack.signature) {
        Authenticity::Genuine => Ok(compatible(theirs, ours, &ack.from)),
        Authenticity::Forged => Err(CloseReason::BadSignature),
    }
}

fn compatible(theirs: &Preamble, ours: &Identity, from: &Introduction) -> Word {
    if from.network != ours.network {
        Word::Incompatible(CloseReason::WrongNetwork)
    } else if from.versions != theirs.versions || Some(from.chosen) != ours.versions.common(from.versions) {
        Word::Incompatible(CloseReason::Downgrade)
    } else if from.genesis != ours.genesis {
        Word::Incompatible(CloseReason::WrongGenesis)
    } else {
        Word::Proven
    }
}
