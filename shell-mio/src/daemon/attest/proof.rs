//! What a proof shows, judged by signatures and the genesis file alone.
//!
//! A masternode was *there* in a period if one of its heartbeats of that period is attested: signed by it, and named by
//! enough other masternodes in heartbeats that those have signed (rule M-6) within [`NAMED_WITHIN`] of it. Nobody can
//! be shown to have been there without its own signature and those of its witnesses; who kept the proof, and who
//! hands it out, has no say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ed25519_dalek::{Signature, VerifyingKey};
use timed_core::wire::message::Heartbeat;
use timed_core::wire::preamble::NetworkId;
use timed_core::wire::signing;
use timed_core::{GenesisHash, MasternodeIndex, NodeId, Registry, Wall};

use super::super::genesis::Genesis;
use super::text::{Head, heartbeat, sample};

/// A witness names a heartbeat that it holds for recent, and whose clock agrees with its own (rules M-3, M-6).
const NAMED_WITHIN: Duration = Duration::from_secs(60 + 35);

/// A line that proves nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// The file, by its position among those that were given.
    pub(super) file: usize,
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) why: String,
}

/// Consecutive periods in which a masternode is not shown to have been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Start of the first period.
    pub(super) from: Wall,
    /// End of the last one.
    pub(super) to: Wall,
}

/// What a proof shows of one masternode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) node: NodeId,
    pub(super) addr: String,
    /// Periods with an attested heartbeat.
    pub(super) attested: usize,
    /// Periods with a heartbeat, attested or not.
    pub(super) heard: usize,
    pub(super) gaps: Vec<Gap>,
    /// Who has named its heartbeats.
    pub(super) witnesses: Vec<NodeId>,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// From the first period to the end of the last one; none without a sound heartbeat.
    pub(super) span: Option<(Wall, Wall)>,
    pub(super) period: Duration,
    /// How many periods lie in that span.
    pub(super) periods: usize,
    /// Witnesses that make a heartbeat attested.
    pub(super) needed: usize,
    /// Sound heartbeats, each counted once.
    pub(super) heartbeats: usize,
    /// Of these, those that refer to another registry than the genesis file's: whom they name is not known here.
    pub(super) elsewhere: usize,
    /// As the registry.
    pub(super) nodes: Vec<Presence>,
    pub(super) invalid: Vec<Invalid>,
}

/// Why there is nothing to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The proof is of another network than the genesis file.
    OtherNetwork { file: usize, line: usize, genesis: GenesisHash },
}

/// One sound heartbeat.
struct Sound {
    signer: MasternodeIndex,
    beat: Box<Heartbeat>,
    digest: [u8; 8],
    at: (usize, usize),
}

/// Judges what the texts of several files show together.
pub(super) fn judge(genesis: &Genesis, texts: &[&str]) -> Result<Shown, Refused> {
    let mut court = Court::new(genesis);
    for (file, text) in texts.iter().enumerate() {
        court.read(file, text)?;
    }
    Ok(court.verdict())
}

struct Court<'a> {
    registry: &'a Registry,
    genesis: GenesisHash,
    network: NetworkId,
    keys: Vec<Option<VerifyingKey>>,
    period: Option<Duration>,
    sound: BTreeMap<(MasternodeIndex, u64, u64), Sound>,
    invalid: Vec<Invalid>,
}

impl<'a> Court<'a> {
    fn new(genesis: &'a Genesis) -> Self {
        let registry = &genesis.registry;
        let key = |node: &NodeId| VerifyingKey::from_bytes(&node.0).ok();
        Self {
            registry,
            genesis: genesis.hash(),
            network: NetworkId::of(&genesis.network),
            keys: registry.entries().iter().map(|entry| key(&entry.id)).collect(),
            period: None,
            sound: BTreeMap::new(),
            invalid: Vec::new(),
        }
    }

    fn read(&mut self, file: usize, text: &str) -> Result<(), Refused> {
        let mut headed = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() {
                continue;
            }
            let judged = match line.parse::<Head>() {
                Ok(head) if head.genesis != self.genesis => {
                    return Err(Refused::OtherNetwork { file, line: number, genesis: head.genesis });
                }
                Ok(head) if self.period.is_some_and(|period| period != head.period) => {
                    Err("another distance between samples than before: give such files one by one".to_owned())
                }
                Ok(head) => {
                    (headed, self.period) = (true, Some(head.period));
                    Ok(())
                }
                // Without a first line nothing tells what the rest is of.
                Err(expected) if !headed => Err(expected.to_owned()),
                Err(_) => self.hear((file, number), line),
            };
            if let Err(why) = judged {
                self.invalid.push(Invalid { file, line: number, why });
            }
        }
        Ok(())
    }

    /// Takes a heartbeat in.
    fn hear(&mut self, at: (usize, usize), line: &str) -> Result<(), String> {
        let beat = heartbeat(line)?;
        if beat.network != self.network {
            return Err("the heartbeat is of another network".to_owned());
        }
        let signer = self
            .registry
            .index_of(&beat.signer)
            .ok_or_else(|| format!("{} is not in the genesis registry", beat.signer))?;
        let key = self.keys.get(usize::from(signer.0)).and_then(Option::as_ref);
        let key = key.ok_or("the registry's key is none")?;
        let signed = signing::heartbeat(&beat);
        key.verify_strict(&signed, &Signature::from_bytes(&beat.signature.0))
            .map_err(|_| format!("the signature is not that of {}", beat.signer))?;
        if beat.sequence == 0 {
            return Err("the sequence is 0: heartbeats are counted from 1".to_owned());
        }
        if self.is_ours(&beat) {
            self.lists(&beat, signer)?;
        }
        let digest = signing::digest(&signed);
        let name = (signer, beat.epoch.0, beat.sequence);
        match self.sound.get(&name) {
            None => {
                self.sound.insert(name, Sound { signer, beat, digest, at });
                Ok(())
            }
            Some(before) if before.digest == digest => Ok(()),
            Some(before) => Err(format!(
                "{} has signed another heartbeat of the same epoch and sequence in line {} of file {}",
                beat.signer,
                before.at.1,
                before.at.0 + 1
            )),
        }
    }

    /// Whether a heartbeat's positions are those of the genesis registry.
    fn is_ours(&self, beat: &Heartbeat) -> bool {
        beat.registry == self.registry.hash().tag()
    }

    fn lists(&self, beat: &Heartbeat, signer: MasternodeIndex) -> Result<(), String> {
        let links = beat.links.iter().map(|link| link.peer);
        let named = beat.witnessed.iter().map(|witness| witness.signer);
        let sound = |seat: MasternodeIndex| seat != signer && usize::from(seat.0) < self.registry.size();
        if links.chain(named).all(sound) {
            Ok(())
        } else {
            Err("it names itself, or somebody whom the registry does not have".to_owned())
        }
    }

    /// Who has named which heartbeat.
    fn named(&self) -> BTreeMap<(MasternodeIndex, u64, u64), BTreeSet<MasternodeIndex>> {
        // A witness names no epoch; the digest is over it.
        let mut by_digest = BTreeMap::new();
        for (name, sound) in &self.sound {
            by_digest.insert((sound.signer, sound.beat.sequence, sound.digest), (*name, sound.beat.wall));
        }
        let mut named: BTreeMap<_, BTreeSet<MasternodeIndex>> = BTreeMap::new();
        for witness in self.sound.values().filter(|sound| self.is_ours(&sound.beat)) {
            for entry in &witness.beat.witnessed {
                let seen = by_digest.get(&(entry.signer, entry.sequence, entry.digest));
                if let Some((name, wall)) = seen
                    && distance(*wall, witness.beat.wall) <= NAMED_WITHIN
                {
                    named.entry(*name).or_default().insert(witness.signer);
                }
            }
        }
        named
    }

    fn verdict(self) -> Shown {
        let period = self.period.unwrap_or(Duration::from_secs(300));
        let size = self.registry.size();
        let needed = (size / 2).min(3);
        let of = |sound: &Sound| sample(sound.beat.wall, period);
        let named = self.named();
        let mut heard = vec![BTreeSet::new(); size];
        let mut attested = vec![BTreeSet::new(); size];
        let mut witnesses = vec![BTreeSet::new(); size];
        for (name, sound) in &self.sound {
            let seat = usize::from(sound.signer.0);
            let by = named.get(name);
            heard[seat].insert(of(sound));
            if by.map_or(0, BTreeSet::len) >= needed {
                attested[seat].insert(of(sound));
            }
            witnesses[seat].extend(by.into_iter().flatten().copied());
        }
        // What is not attested may bear any date.
        let first = attested.iter().filter_map(BTreeSet::first).min().copied();
        let last = attested.iter().filter_map(BTreeSet::last).max().copied();
        let periods = first.zip(last).map_or(0..0, |(first, last)| first..last + 1);
        let id = |seat: &MasternodeIndex| Some(self.registry.at(*seat)?.id);
        let nodes = self.registry.entries().iter().zip(attested).zip(heard).zip(witnesses);
        let nodes = nodes.map(|(((entry, attested), heard), witnesses)| Presence {
            node: entry.id,
            addr: entry.addr.to_string(),
            attested: attested.len(),
            heard: heard.range(periods.clone()).count(),
            gaps: gaps(periods.clone(), &attested, period),
            witnesses: witnesses.iter().filter_map(id).collect(),
        });
        Shown {
            span: first.zip(last).map(|(first, last)| (start(first, period), start(last + 1, period))),
            period,
            periods: usize::try_from(periods.end - periods.start).unwrap_or(usize::MAX),
            needed,
            heartbeats: self.sound.len(),
            elsewhere: self.sound.values().filter(|sound| !self.is_ours(&sound.beat)).count(),
            nodes: nodes.collect(),
            invalid: self.invalid,
        }
    }
}

fn distance(a: Wall, b: Wall) -> Duration {
    Duration::from_millis(a.0.abs_diff(b.0))
}

fn start(sample: u64, period: Duration) -> Wall {
    Wall(sample.saturating_mul(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)))
}

/// The runs of periods that are not in a set. Walks the set, not the periods: clocks may lie years apart.
fn gaps(periods: std::ops::Range<u64>, there: &BTreeSet<u64>, period: Duration) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut next = periods.start;
    for present in there.iter().copied().chain([periods.end]) {
        if present > next {
            gaps.push(Gap { from: start(next, period), to: start(present, period) });
        }
        next = present + 1;
    }
    gaps
}

#[cfg(test)]
mod tests;
