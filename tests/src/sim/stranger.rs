//! Machines that no node runs on: a test plays them byte by byte.

use std::net::{IpAddr, SocketAddr};

use super::host::{HostId, Role};
use super::net::Read;
use super::setup::{HostPlan, PORT, derived_key};
use super::wire::{Side, TcpId};
use super::world::World;

/// Keys of strangers are drawn from here on, apart from those of the plan.
const FIRST_KEY: u64 = 1 << 32;

impl World {
    /// Adds a machine without a node.
    pub fn add_stranger(&mut self, ip: IpAddr) -> HostId {
        let key = derived_key(self.seed(), FIRST_KEY + self.hosts.len() as u64);
        let config = self.host(HostId(0)).config.clone();
        let host = self.add_host(HostPlan { key, ip, seen_as: ip, port: PORT, config });
        self.host_mut(host).role = Role::Stranger;
        host
    }

    /// Connects from a stranger.
    pub fn raw_dial(&mut self, from: HostId, to: SocketAddr) -> TcpId {
        self.net.connect(from, to, &mut self.cx)
    }

    /// Writes as much as the window takes; returns how much that is.
    pub fn raw_write(&mut self, tcp: TcpId, bytes: &[u8]) -> usize {
        let len = self.net.space(tcp, Side::Dialer, self.cx.now).min(bytes.len());
        self.net.write(tcp, Side::Dialer, &bytes[..len], &mut self.cx);
        len
    }

    /// Takes what has arrived; `None` once the other side has closed and all is read.
    pub fn raw_read(&mut self, tcp: TcpId) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match self.net.read(tcp, Side::Dialer, usize::MAX, &mut bytes, &mut self.cx) {
                Read::Bytes(_) => {}
                Read::Nothing => return Some(bytes),
                Read::Eof | Read::Failed(_) => return (!bytes.is_empty()).then_some(bytes),
            }
        }
    }

    /// Whether the kernel's handshake is done.
    #[must_use]
    pub fn raw_connected(&self, tcp: TcpId) -> bool {
        self.net.connected(tcp).is_some()
    }

    /// Closes a stranger's connection.
    pub fn raw_close(&mut self, tcp: TcpId) {
        self.net.close(tcp, Side::Dialer, &mut self.cx);
    }

    /// Connections that a host's process holds at present, whether anything is proven on them or not.
    #[must_use]
    pub fn held(&self, host: HostId) -> usize {
        self.host(host).process.as_ref().map_or(0, |process| process.sockets.len())
    }
}
