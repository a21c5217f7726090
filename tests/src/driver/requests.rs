//! Requests of every kind, with sound values and odd ones.

use std::time::Duration;

use bytes::Bytes;
use timed_core::{BanNote, BanTarget, CanonicalAddr, IpNet, NodeId, PeerRef, Request};

use super::{CAST, Choices, Driver, addr};

impl Driver {
    pub(super) fn draw_request(&mut self, choices: &mut Choices<'_>) -> Request {
        match choices.below(24) {
            0 => Request::Status,
            1 | 2 => Request::Peers,
            3 => Request::Matrix,
            4 => Request::Masternodes,
            5..=7 => Request::Why(self.draw_peer(choices)),
            8..=10 => Request::Connect { addr: draw_addr(choices), id: self.draw_id(choices) },
            11..=13 => Request::ConnectKnown(self.draw_peer(choices)),
            14..=16 => Request::Disconnect(self.draw_peer(choices)),
            17 | 18 => {
                let lasts = [None, Some(0), Some(1), Some(600)][choices.below(4)].map(Duration::from_secs);
                let note = BanNote::new(["", "a note"][choices.below(2)]);
                Request::Ban { target: self.draw_target(choices), lasts, note }
            }
            19 => Request::Unban(self.draw_target(choices)),
            20 => Request::Bans,
            23 if choices.byte() >= 250 => Request::Stop,
            _ => {
                let length = [0, 1, 100, 5_000, 65_536, 65_537][choices.below(6)];
                Request::Send { to: self.draw_id(choices), payload: Bytes::from(vec![7; length]) }
            }
        }
    }

    fn draw_target(&self, choices: &mut Choices<'_>) -> BanTarget {
        let id = self.draw_id(choices);
        id.map_or_else(
            || {
                let bits = [8, 16, 24, 32, 64, 128][choices.below(6)];
                let ip = draw_addr(choices).ip();
                BanTarget::Net(IpNet::new(ip, bits).unwrap_or(IpNet::host(ip)))
            },
            BanTarget::Key,
        )
    }

    fn draw_id(&self, choices: &mut Choices<'_>) -> Option<NodeId> {
        match choices.below(10) {
            player @ 0..6 => Some(self.cast[player].id()),
            6 => Some(NodeId([choices.byte(); 32])),
            7 => Some(NodeId([0; 32])),
            _ => None,
        }
    }

    fn draw_peer(&self, choices: &mut Choices<'_>) -> PeerRef {
        match choices.below(5) {
            0 | 1 => PeerRef::Id(self.draw_id(choices).unwrap_or_default()),
            2 => PeerRef::Addr(draw_addr(choices)),
            3 => PeerRef::Ip(draw_addr(choices).ip()),
            _ => {
                let prefix = ["", "0", "03", "0303", "FF", "\u{e9}", "0909090909"][choices.below(7)];
                PeerRef::IdPrefix(prefix.to_owned())
            }
        }
    }
}

fn draw_addr(choices: &mut Choices<'_>) -> CanonicalAddr {
    match choices.below(8) {
        player @ 0..6 => addr(CAST[player]),
        6 => addr(choices.byte()),
        _ => "[2001:db8::7]:1".parse().unwrap_or(addr(1)),
    }
}
