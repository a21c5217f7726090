//! Machines of the plan on which a test stands in for a node: it dials and listens there, byte by byte.

use std::net::{IpAddr, SocketAddr};

use timed_core::NodeId;

use super::host::{HostId, Role};
use super::net::Read;
use super::wire::{Side, TcpId};
use super::world::World;

impl World {
    /// Has a test stand in for a host, whose process never runs: nothing is promised of its conduct.
    pub fn stand_in(&mut self, host: HostId) {
        assert!(!self.host(host).is_up(), "{host} runs");
        self.host_mut(host).role = Role::Stranger;
        let node = self.host(host).node_id;
        self.excuse(node);
        self.distrust(host);
    }

    /// Promises nothing of the conduct of a key.
    pub fn excuse(&mut self, node: NodeId) {
        self.cx.played.insert(node);
    }

    /// The host at an address.
    #[must_use]
    pub fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        self.net.kernels.iter().position(|kernel| kernel.is_at(ip)).map(HostId)
    }

    /// Takes connections at a host's port from now on.
    pub fn raw_listen(&mut self, host: HostId) {
        self.net.listen(host);
    }

    /// The next connection that came in there.
    pub fn raw_accept(&mut self, host: HostId) -> Option<TcpId> {
        self.net.accept(host, &mut self.cx).map(|(tcp, _)| tcp)
    }

    /// The dialing end's address, once the kernel's handshake is done.
    #[must_use]
    pub fn raw_local(&self, tcp: TcpId) -> Option<SocketAddr> {
        self.net.connected(tcp)
    }

    /// As [`World::raw_write`], at either end.
    pub fn raw_write_at(&mut self, tcp: TcpId, side: Side, bytes: &[u8]) -> usize {
        let len = self.net.space(tcp, side, self.cx.now).min(bytes.len());
        self.net.write(tcp, side, &bytes[..len], &mut self.cx);
        len
    }

    /// Appends what has arrived at an end; whether more may come.
    pub fn raw_read_at(&mut self, tcp: TcpId, side: Side, out: &mut Vec<u8>) -> bool {
        loop {
            match self.net.read(tcp, side, usize::MAX, out, &mut self.cx) {
                Read::Bytes(_) => {}
                Read::Nothing => return true,
                Read::Eof | Read::Failed(_) => return false,
            }
        }
    }

    /// Closes an end.
    pub fn raw_close_at(&mut self, tcp: TcpId, side: Side) {
        self.net.close(tcp, side, &mut self.cx);
    }
}
