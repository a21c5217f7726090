//! Whom to dial and whom to tell of, drawn so that whoever told most is not drawn most.

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;
use crate::net::book::table::{Entry, Table};
use crate::net::book::{Book, Moment, TOLD_FOR};
use crate::rng::Rng;
use crate::time::Now;
use crate::wire::peers::PeerAddress;

/// A node that may be dialed, at an address that may be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Candidate {
    /// Whom to expect.
    pub(crate) id: NodeId,
    /// Where.
    pub(crate) addr: CanonicalAddr,
}

/// Whether an address is of use to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// It is.
    Fit,
    /// If there is none better: for example of a network that there are links to already.
    Spare,
    /// It is not.
    Unfit,
}

impl Book {
    /// Up to `wanted` addresses that are due for a dial, from both tables with equal chance, and within each from
    /// any bucket with equal chance: a teller's chance is that of the buckets it can reach, not of what it told.
    /// Looks at each entry once.
    pub(crate) fn choose(
        &self,
        now: Now,
        rng: &mut Rng,
        wanted: usize,
        fitness: impl Fn(&NodeId, &CanonicalAddr) -> Fitness,
    ) -> Vec<Candidate> {
        let now = self.moment(now);
        let mut chosen = Vec::new();
        for wish in [Fitness::Fit, Fitness::Spare] {
            let due = |entry: &&Entry| entry.retry <= now && fitness(&entry.id, &entry.addr) == wish;
            let mut urns = [urn(&self.tried, due), urn(&self.heard, due)];
            while chosen.len() < wanted {
                let Some(drawn) = draw(rng, &mut urns) else { break };
                // One node may be said to be at several addresses: one of them at a time.
                if chosen.iter().all(|before: &Candidate| before.id != drawn.id) {
                    chosen.push(drawn);
                }
            }
        }
        chosen
    }

    /// Up to `most` addresses that this node reached within a day, without those that `hidden` names, in the
    /// order of addresses.
    pub(crate) fn sample(
        &self,
        now: Now,
        rng: &mut Rng,
        most: usize,
        hidden: impl Fn(&NodeId, &CanonicalAddr) -> bool,
    ) -> Vec<PeerAddress> {
        let now = self.moment(now);
        let age = |entry: &Entry, now: Moment| now.since(entry.seen);
        let tellable = self.tried.iter().filter(|entry| {
            entry.failures == 0 && age(entry, now) < TOLD_FOR && !hidden(&entry.id, &entry.addr)
        });
        let mut sample: Vec<PeerAddress> = Vec::new();
        for (number, entry) in (1_u64..).zip(tellable) {
            let age = u32::try_from(age(entry, now).as_secs()).unwrap_or(u32::MAX);
            let telling = PeerAddress { node: entry.id, addr: entry.addr, age };
            if sample.len() < most {
                sample.push(telling);
            } else if let Ok(place) = usize::try_from(rng.below(number))
                && let Some(before) = sample.get_mut(place)
            {
                *before = telling;
            }
        }
        sample.sort_unstable_by_key(|telling| telling.addr);
        sample
    }
}

/// What may be drawn from a table, bucket by bucket.
fn urn(table: &Table, due: impl Fn(&&Entry) -> bool) -> Vec<Vec<Candidate>> {
    let candidate = |entry: &Entry| Candidate { id: entry.id, addr: entry.addr };
    let buckets = table.buckets().map(|bucket| bucket.iter().filter(&due).map(candidate).collect());
    buckets.filter(|bucket: &Vec<Candidate>| !bucket.is_empty()).collect()
}

fn draw(rng: &mut Rng, [tried, heard]: &mut [Vec<Vec<Candidate>>; 2]) -> Option<Candidate> {
    let urn = match (tried.is_empty(), heard.is_empty()) {
        (true, true) => return None,
        (false, true) => tried,
        (true, false) => heard,
        (false, false) if rng.below(2) == 0 => tried,
        (false, false) => heard,
    };
    let place = usize::try_from(rng.below(urn.len() as u64)).ok()?;
    let bucket = urn.get_mut(place)?;
    let within = usize::try_from(rng.below(bucket.len() as u64)).ok()?;
    let drawn = (within < bucket.len()).then(|| bucket.swap_remove(within));
    if bucket.is_empty() {
        urn.swap_remove(place);
    }
    drawn
}
