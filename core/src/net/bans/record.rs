//! The durable form of the bans: little-endian, a version in front, a checksum behind. Spans of time that are left,
//! and when they were written down: a clock that was set back in between adds nothing to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Kept;
use crate::ban::{BanCause, BanNote, BanTarget, IpNet};
use crate::event::Offence;
use crate::ids::NodeId;
use crate::net::scores::LONGEST_BAN;
use crate::time::{Now, Wall};

const VERSION: u8 = 1;
const CHECKSUM: usize = 8;
/// No end.
const FOR_EVER: u64 = u64::MAX;

/// Version ‖ wall time ‖ count ‖ each: kind ‖ target ‖ cause ‖ since ‖ milliseconds left ‖ length of the note ‖ note.
pub(super) fn encode(bans: &BTreeMap<BanTarget, Kept>, now: Now) -> Bytes {
    let mut out = vec![VERSION];
    out.extend_from_slice(&now.wall.0.to_le_bytes());
    out.extend_from_slice(&u32::try_from(bans.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (target, kept) in bans {
        match target {
            BanTarget::Key(id) => {
                out.push(0);
                out.extend_from_slice(&id.0);
            }
            BanTarget::Net(net) => match net.ip() {
                IpAddr::V4(ip) => {
                    out.extend_from_slice(&[4, net.bits()]);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.extend_from_slice(&[6, net.bits()]);
                    out.extend_from_slice(&ip.octets());
                }
            },
        }
        out.push(cause_code(kept.cause));
        out.extend_from_slice(&kept.since.0.to_le_bytes());
        let left = kept.until.map(|until| until.since(now.mono).as_millis());
        let left = left.map_or(FOR_EVER, |left| u64::try_from(left).unwrap_or(FOR_EVER).min(FOR_EVER - 1));
        out.extend_from_slice(&left.to_le_bytes());
        let note = kept.note.as_ref().map_or("", BanNote::as_str);
        out.push(u8::try_from(note.len()).unwrap_or(0));
        out.extend_from_slice(note.as_bytes());
    }
    let sum = checksum(&out);
    out.extend_from_slice(&sum);
    out.into()
}

/// Reads what [`encode`] wrote; what is over by now is left out. `None` if it wrote no such thing.
pub(super) fn decode(record: &[u8], now: Now) -> Option<Vec<(BanTarget, Kept)>> {
    let (content, sum) = record.split_last_chunk::<CHECKSUM>()?;
    if checksum(content) != *sum {
        return None;
    }
    let mut reader = Reader(content);
    if reader.u8()? != VERSION {
        return None;
    }
    let passed = now.wall.since(Wall(reader.u64()?));
    let count = reader.u32()?;
    let mut bans = Vec::new();
    for _ in 0..count {
        let target = match reader.u8()? {
            0 => BanTarget::Key(NodeId(reader.array()?)),
            4 => reader.net(|reader| Some(IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?))))?,
            6 => reader.net(|reader| Some(IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?))))?,
            _ => return None,
        };
        let cause = cause_of(reader.u8()?)?;
        let since = Wall(reader.u64()?);
        let left = reader.u64()?;
        let length = usize::from(reader.u8()?);
        let note = std::str::from_utf8(reader.take(length)?).ok()?;
        let note = if note.is_empty() { None } else { Some(BanNote::new(note)?) };
        let left = (left != FOR_EVER).then(|| Duration::from_millis(left));
        // Nothing that this node decides lasts longer than an hour, whatever was written.
        let left = if cause == BanCause::Operator { left } else { Some(left?.min(LONGEST_BAN)) };
        if left.is_none_or(|left| left > passed) {
            let left = left.map(|left| left.saturating_sub(passed));
            bans.push((target, Kept::new(now, cause, since, left, note)));
        }
    }
    reader.0.is_empty().then_some(bans)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// These numbers stay as they are for ever.
const fn cause_code(cause: BanCause) -> u8 {
    match cause {
        BanCause::Operator => 0,
        BanCause::Score(Offence::Malformed) => 1,
        BanCause::Score(Offence::BadSignature) => 2,
        BanCause::Score(Offence::InvalidBlock) => 3,
        BanCause::Score(Offence::Unasked) => 4,
        BanCause::Score(Offence::Flood) => 5,
    }
}

fn cause_of(code: u8) -> Option<BanCause> {
    BanCause::ALL.iter().copied().find(|cause| cause_code(*cause) == code)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A block of addresses, in its one form.
    fn net(&mut self, ip: impl Fn(&mut Self) -> Option<IpAddr>) -> Option<BanTarget> {
        let bits = self.u8()?;
        let ip = ip(self)?;
        let net = IpNet::new(ip, bits).ok()?;
        (net.ip() == ip && net.bits() == bits).then_some(BanTarget::Net(net))
    }
}
