//! What this version will see of the next one: it speaks both, and says things that are not known here. For the tests
//! of upgrades.

use crate::ids::ConnId;
use crate::node::Node;
use crate::wire::frame;
use crate::wire::message::Lane;
use crate::wire::preamble::{VERSION, Version, VersionRange};

impl Node {
    /// From now on this node passes for one of the next version, which speaks this one, too. To be called before any
    /// connection is open. No part of the interface.
    #[doc(hidden)]
    pub fn pass_for_next_version(&mut self) {
        self.identity.versions = VersionRange { min: VERSION, max: Version(VERSION.0 + 1) };
    }

    /// Sends a frame of any kind to every live peer. No part of the interface.
    #[doc(hidden)]
    pub fn say_anything(&mut self, lane: Lane, kind: u16, body: &[u8]) {
        let frame = self.frames.fill(|out| frame::append_raw(kind, body, out));
        let live: Vec<ConnId> = self.pool.live().map(|(_, conn)| conn).collect();
        for conn in live {
            self.queue_frame(conn, lane, &frame);
        }
    }
}
