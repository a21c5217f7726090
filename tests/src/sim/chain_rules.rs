//! What must hold of blocks at every step: checked where a command is taken, a write ends, and bytes leave.

use timed_core::{Command, Event, FinalBlock, Height, RecordKey, Ticket};

use super::context::Context;
use super::host::{Host, HostId, Process};
use super::ledger::Reach;
use super::notary::Statement;
use super::promises::Departure;

/// After a call of the core: notes what it signed.
pub(crate) fn after_call(process: &mut Process) {
    process.promises.note();
}

/// Before a command is carried out.
pub(crate) fn command(host: &Host, process: &mut Process, cx: &mut Context, command: &Command) {
    let me = host.id;
    match command {
        Command::Persist { ticket, key: RecordKey::Voting, record } => {
            let read = process.promises.record(*ticket, record);
            if !read {
                cx.violate(format!("{me}: writes a voting record that the simulator cannot read"));
            }
        }
        Command::Persist { key: RecordKey::Tip, .. } => {
            cx.violate(format!("{me}: writes the tip, which is the store's"));
        }
        Command::Commit { hash, block, bytes, .. } => {
            let height = block.block.header.height;
            // At a start the newest two come once more.
            let stored = host.disk.load(height, height, 1).pop();
            let again =
                height.0 + 2 > process.committed.0 && stored.is_some_and(|stored| stored.bytes == *bytes);
            if again {
                return;
            }
            if height != process.committed.next() {
                cx.violate(format!("{me}: commits height {height} after {}", process.committed));
            }
            process.committed = height;
            if *hash != block.block.header.hash(&host.config.genesis) || *bytes != block.encode() {
                cx.violate(format!("{me}: the block of height {height} is not what its hash and bytes say"));
            }
            let changes = host.application.changes.get(&height).map_or(&[][..], Vec::as_slice);
            decided(me, cx, block, changes);
        }
        Command::Produce { max_bytes, transactions, .. } => {
            let bytes: usize = transactions.iter().map(bytes::Bytes::len).sum();
            if bytes > *max_bytes {
                cx.violate(format!("{me}: offers {bytes} bytes for a payload of {max_bytes}"));
            }
        }
        Command::Event(Event::BlockCommitted { height, hash, .. }) => {
            if host.disk.height() < *height {
                cx.violate(format!("{me}: tells of height {height} before it is durable"));
            }
            if cx.ledger.as_ref().is_some_and(|ledger| ledger.hash(*height) != Some(*hash)) {
                cx.violate(format!("{me}: tells of a block at height {height} that is not final"));
            }
        }
        _ => {}
    }
}

fn decided(me: HostId, cx: &mut Context, block: &FinalBlock, changes: &[timed_core::RegistryChange]) {
    if let Some(Err(what)) = cx.ledger.as_mut().map(|ledger| ledger.decided(block, changes)) {
        cx.violate(format!("{me}: {what}"));
    }
}

/// A write has ended well, whether or not the process lives to hear of it.
pub(crate) fn durable(host: &Host, process: &mut Process, cx: &mut Context, ticket: Ticket) {
    for statement in process.promises.durable(ticket) {
        uttered(host, cx, statement, Reach::Durable);
    }
}

/// Bytes are on their way.
pub(crate) fn leaving(host: &Host, process: &mut Process, cx: &mut Context, bytes: &[u8]) {
    for departure in process.promises.leaving(bytes) {
        let statement = match departure {
            Departure::Recorded(statement) => statement,
            Departure::Loose(statement) => {
                // With another data directory a key may say again what others show it of an earlier life.
                let ledger = cx.ledger.as_ref();
                if !ledger.is_some_and(|ledger| ledger.was_sent(host.node_id, statement)) {
                    cx.violate(format!("{}: sends {statement:?} before that is durable", host.id));
                }
                statement
            }
        };
        uttered(host, cx, statement, Reach::Sent);
    }
}

fn uttered(host: &Host, cx: &mut Context, statement: Statement, reach: Reach) {
    let uttered = cx.ledger.as_mut().map(|ledger| ledger.uttered(host.node_id, statement, reach));
    if let Some(Err(what)) = uttered {
        cx.violate(format!("{}: {what}", host.id));
    }
}

/// Looks at a disk: its blocks are those of the chain, from the first to the newest without a gap.
pub(crate) fn sweep(host: &Host, cx: &mut Context) {
    let Some(ledger) = &cx.ledger else { return };
    let height = host.disk.height();
    // Earlier ones were looked at when they were the newest.
    let wrong = match host.disk.block(height).map(|bytes| FinalBlock::decode(bytes)) {
        _ if height == Height(0) => false,
        Some(Ok(block)) => ledger.hash(height) != Some(block.block.header.hash(&host.config.genesis)),
        _ => true,
    };
    let gap = height.0 != host.disk.count() as u64;
    if wrong || gap {
        cx.violate(format!("{}: the disk's blocks up to {height} are not the chain's", host.id));
    }
}
