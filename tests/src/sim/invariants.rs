//! What must hold at every step, whatever happens: checked on each command and wake-up, and by a full sweep
//! every thousand steps. A broken one fails the world with its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::{BanCause, BanTarget, Command, ConnId, Event, Holding};

use super::chain_rules;
use super::clock::SimTime;
use super::context::Context;
use super::host::{Durability, Host, HostId, Links, Process, Reads, Role, RunState, Setback, Socket};
use super::net::Net;

/// Bytes that may leave on a connection before the first record of a start is durable: preambles and the
/// channel's own handshake, never a `Hello` or `HelloAck`.
const BEFORE_BOOT_RECORD: u64 = 96;
/// Calls of `handle` within one instant of virtual time.
const CALLS_AN_INSTANT: usize = 50_000;
/// Commands kept between two wake-ups: none, so one wake-up may make this many.
pub(crate) const SWEEP_EVERY: u64 = 1_000;
/// After nothing has disturbed a host for so long its links must be true: silence closes a link after 15 s,
/// and what is late by a turn of the clock or of the network is late by less than the rest.
const SETTLED: Duration = Duration::from_secs(20);
/// A link on which nothing is heard, and one that takes nothing, must have ended (rules L-2 and L-3), give or take a
/// turn of the clock.
const SILENT: Duration = Duration::from_secs(16);
const STUCK: Duration = Duration::from_secs(6);
/// Two connections of a pair, both held by both processes for so long, are one too many.
const LASTING: Duration = Duration::from_secs(10);

/// Before a command is carried out.
pub(crate) fn command(host: &Host, process: &mut Process, cx: &mut Context, command: &Command) {
    let me = host.id;
    match command {
        Command::Dial { conn, addr } => {
            if host.config.advertised == Some(*addr) {
                cx.violate(format!("{me}: dials its own address {addr}"));
            }
            // Whoever has left the registry is an observer, whose address may be probed beside its link (rule P-6):
            // as soon as the block that says so is committed here.
            let registry = match &cx.ledger {
                Some(ledger) => ledger.registry_at(ledger.height().next()),
                None => &host.config.registry,
            };
            if let Some(peer) = registry.by_addr(addr)
                && let Some(link) = host.seen.link(&peer.id)
            {
                cx.violate(format!("{me}: dials {addr} although link {} to it is live", link.conn));
            }
            after_close(me, process, cx, *conn, "Dial");
        }
        Command::Send { conn } => after_close(me, process, cx, *conn, "Send"),
        Command::Reading { conn, .. } => after_close(me, process, cx, *conn, "Reading"),
        Command::Close { conn, .. } => {
            after_close(me, process, cx, *conn, "Close");
            process.commanded.insert(*conn);
        }
        Command::Produce { .. }
        | Command::Validate { .. }
        | Command::Commit { .. }
        | Command::Load { .. }
        | Command::Resolve { .. } => {}
        Command::Event(Event::LinkUp { peer, .. }) if *peer == host.node_id => {
            cx.violate(format!("{me}: has a link to itself"));
        }
        Command::Event(Event::LinkUp { conn, .. }) if process.commanded.contains(conn) => {
            cx.violate(format!("{me}: link {conn} comes up after its close"));
        }
        Command::Event(Event::LinkDown { conn, .. }) => {
            if !host.seen.live.iter().any(|link| link.conn == *conn) {
                cx.violate(format!("{me}: link {conn} goes down that was not up"));
            }
        }
        // Nothing that befalls an honest node makes it send too much (BAN-01).
        Command::Event(Event::RateExceeded { peer, class, .. }) if !cx.played.contains(peer) => {
            cx.violate(format!("{me}: {peer:?} sends too much of the class {}", class.as_str()));
        }
        // Nor does it break a rule that is anybody's fault (BAN-01, BAN-03).
        Command::Event(Event::Misbehaved { peer, offence, .. }) if !cx.played.contains(peer) => {
            cx.violate(format!("{me}: charges {peer:?} with {}", offence.as_str()));
        }
        Command::Event(Event::Banned(ban)) => {
            if let (BanTarget::Key(peer), BanCause::Score(offence)) = (ban.target, ban.cause)
                && !cx.played.contains(&peer)
            {
                cx.violate(format!("{me}: bans {peer:?} for {}", offence.as_str()));
            }
        }
        Command::Event(Event::Stopped) if !process.sockets.is_empty() => {
            cx.violate(format!("{me}: stopped with {} connections open", process.sockets.len()));
        }
        Command::Persist { .. } | Command::Event(_) => {}
    }
}

fn after_close(me: HostId, process: &Process, cx: &mut Context, conn: ConnId, what: &str) {
    if process.commanded.contains(&conn) {
        cx.violate(format!("{me}: {what} on {conn} after its Close"));
    }
}

/// After bytes were taken for a connection.
pub(crate) fn sent(host: &Host, process: &Process, cx: &mut Context, conn: ConnId) {
    if process.durability == Durability::NothingYet
        && let Some(socket) = process.sockets.get(&conn)
        && socket.sent > BEFORE_BOOT_RECORD
    {
        cx.violate(format!("{}: {} bytes on {conn} before the boot record is durable", host.id, socket.sent));
    }
}

/// After a call of `handle`.
pub(crate) fn count_call(host: &Host, process: &mut Process, cx: &mut Context) {
    if process.busy.0 != cx.now {
        process.busy = (cx.now, 0);
    }
    process.busy.1 += 1;
    if process.busy.1 == CALLS_AN_INSTANT {
        cx.violate(format!("{}: live-lock: {CALLS_AN_INSTANT} inputs at one instant", host.id));
    }
}

/// When a wake-up has come to rest.
pub(crate) fn after_wake(host: &Host, process: &mut Process, cx: &mut Context) {
    if process.setback == Setback::Unsaid {
        cx.violate(format!("{}: its monotonic clock has gone backwards, and it does not say so", host.id));
    }
    if std::mem::replace(&mut process.links, Links::Unchanged) == Links::Unchanged {
        return;
    }
    for (index, link) in host.seen.live.iter().enumerate() {
        if host.seen.live[..index].iter().any(|other| other.peer == link.peer) {
            cx.violate(format!("{}: two live links to {:?}", host.id, link.peer));
        }
        if !process.sockets.contains_key(&link.conn) {
            cx.violate(format!("{}: live link {} has no socket", host.id, link.conn));
        }
    }
}

/// Looks at the whole world.
pub(crate) fn sweep(hosts: &[Host], net: &Net, cx: &mut Context) {
    for host in hosts {
        links_are_true(host, hosts, cx);
        links_live(host, cx);
        tables_are_bounded(host, cx);
        chain_rules::sweep(host, cx);
    }
    one_connection_a_pair(hosts, net, cx);
}

/// No table holds more than its bound (contract C8).
fn tables_are_bounded(host: &Host, cx: &mut Context) {
    let Some(process) = &host.process else { return };
    for Holding { what, held, bound } in process.node.node().holdings() {
        if held > bound {
            cx.violate(format!("{}: {what}: {held} are held, {bound} is the bound", host.id));
        }
    }
}

/// Every live link that had time to settle is live at the other end too, under the same name.
fn links_are_true(host: &Host, hosts: &[Host], cx: &mut Context) {
    let now = cx.now;
    let Some(process) = host.process.as_ref().filter(|_| host.is_running()) else { return };
    // Who reads little and late hears of an end only when it has read what came before. To who had its clock set back
    // a silence is shorter than it is.
    let since = host.disturbed_at.max(process.steady_since);
    if !settled(since, now) || host.reads != Reads::Promptly {
        return;
    }
    for link in host.seen.live.iter().filter(|link| settled(link.since, now)) {
        let mut holders = hosts.iter().filter(|other| other.node_id == link.peer);
        let (Some(peer), None) = (holders.next(), holders.next()) else { continue };
        if peer.role == Role::Stranger || !settled(peer.disturbed_at, now) {
            continue;
        }
        // What one that is frozen said before may still be on its way: its link falls silent when all has come.
        let fault = if !peer.is_up() {
            Some("which is down".to_owned())
        } else if !peer.is_running() {
            None
        } else {
            match peer.seen.link(&host.node_id) {
                None => Some("which has none to it".to_owned()),
                Some(there) if there.session != link.session => {
                    Some(format!("which names it {:?}", there.session))
                }
                Some(_) => None,
            }
        };
        if let Some(fault) = fault {
            cx.violate(format!("{}: link {:?} to {}, {fault}", host.id, link.session, peer.id));
        }
    }
}

/// No link goes on that brings nothing or takes nothing, whatever befell it.
fn links_live(host: &Host, cx: &mut Context) {
    let now = cx.now;
    let Some(process) = host.process.as_ref().filter(|process| process.run == RunState::Running) else {
        return;
    };
    let over = |since: SimTime, limit| now.since(since.max(process.steady_since)) > limit;
    let fault = |socket: &Socket| {
        if over(socket.heard_at, SILENT) {
            Some(format!("has brought nothing for {:?}", now.since(socket.heard_at)))
        } else {
            let since = socket.stuck_since.filter(|since| over(*since, STUCK))?;
            Some(format!("has taken nothing for {:?}", now.since(since)))
        }
    };
    for link in &host.seen.live {
        if let Some(fault) = process.sockets.get(&link.conn).and_then(fault) {
            cx.violate(format!("{}: link {} to {:?} {fault}", host.id, link.conn, link.peer));
        }
    }
}

fn settled(since: SimTime, now: SimTime) -> bool {
    now.since(since) > SETTLED
}

/// As the kernels' socket tables show it.
fn one_connection_a_pair(hosts: &[Host], net: &Net, cx: &mut Context) {
    let mut pairs: BTreeMap<(HostId, HostId), usize> = BTreeMap::new();
    let now = cx.now;
    for (a, b, since) in net.established() {
        let calm = |id: HostId| {
            hosts.get(id.0).is_some_and(|host| host.is_running() && settled(host.disturbed_at, now))
        };
        if now.since(since) > LASTING && calm(a) && calm(b) {
            *pairs.entry((a.min(b), a.max(b))).or_default() += 1;
        }
    }
    for ((a, b), count) in pairs {
        if count > 1 {
            cx.violate(format!("{a} and {b} hold {count} connections for more than {LASTING:?}"));
        }
    }
}
