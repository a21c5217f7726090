//! Every key of `config.toml`: its default and its explanation, stated once. The reader takes defaults from
//! here, and `timed init` writes the commented file from here.

/// What holds when a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// This value, in TOML.
    Value(&'static str),
    /// Nothing; the text is an example in TOML.
    Unset(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its section.
    pub(crate) section: &'static str,
    /// Its name within the section.
    pub(crate) name: &'static str,
    /// Its default.
    pub(crate) standard: Standard,
    /// What it does, for the commented file.
    pub(crate) doc: &'static str,
}

const fn key(section: &'static str, name: &'static str, standard: Standard, doc: &'static str) -> Key {
    Key { section, name, standard, doc }
}

use Standard::{Unset, Value};

/// The sections in the order of the file, with their explanation.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("node", "This node."),
    ("network", "Connections to other nodes."),
    ("masternode", "What a registered masternode does."),
    ("block", "Blocks. The interval between them comes from genesis.toml."),
    ("api", "The HTTP API for operators."),
    (
        "limits",
        "One bound a line: what this node holds at most, whatever others do. A plain value is short for\n\
         { max = VALUE, enforce = \"on\" }. Those called rate_ limit how fast a peer sends of its own accord: what is\n\
         too much is dropped, or its sender slowed if it is a masternode. With enforce = \"observe\" they only count\n\
         and log; auto is four times what honest peers send at worst. All others bound memory and stay in force.",
    ),
    (
        "recorder",
        "The flight recorder: what this node did of late, in memory, written down by SIGUSR2, `timed record`, or when\n\
         the node halts, and run again by `timed replay`. No key is in it, but everything that was said.",
    ),
    ("logging", "Log lines."),
];

/// All keys, section by section.
pub(crate) const KEYS: &[Key] = &[
    key("node", "name", Unset("\"alpha\""), "A name for this node, shown in its status."),
    key(
        "node",
        "network",
        Value("\"testnet\""),
        "The network's name. Where this key is given, genesis.toml must have the same.",
    ),
    key(
        "network",
        "local_ip",
        Unset("\"203.0.113.7\""),
        "This node's public address, which others dial. Required for a masternode, and then it must be\n\
         the registered one. A node without it dials others and is never dialed.",
    ),
    key(
        "network",
        "listen",
        Value("\"0.0.0.0:24100\""),
        "Where to listen. A specific address is also the source of outbound connections. Without this key:\n\
         all addresses, at `port`.",
    ),
    key(
        "network",
        "port",
        Value("24100"),
        "The port that others dial. Without this key: the port of `listen`.",
    ),
    key("network", "max_peers", Value("\"auto\""), "Live sessions at most. auto: max(50, registry + 20)."),
    key(
        "network",
        "masternode_slots",
        Value("\"auto\""),
        "Sessions kept for masternodes. auto: 40 % of max_peers, at least 20, at most 30, never fewer than\n\
         the registry, never above max_peers. A smaller number counts as the registry's size.",
    ),
    key(
        "network",
        "peers",
        Value("[]"),
        "Peers to start from, beside the registry: \"IP:PORT\", \"NODE_ID@IP:PORT\" or a host name, which is\n\
         resolved again whenever it has no link.",
    ),
    key(
        "network",
        "reserved_peers",
        Value("[]"),
        "Peers that are always sought, always have a slot and are never banned automatically, in the same forms.\n\
         \"NODE_ID@IP:PORT\" means that key; without a key whoever answers at the address is meant.",
    ),
    key("network", "peer_check_interval", Value("\"2m\""), "Between two checks of all peers."),
    key(
        "network",
        "passive_wait",
        Value("\"5s\""),
        "How long the higher address waits to be dialed before it asks for it.",
    ),
    key("network", "dial_timeout", Value("\"5s\""), "A dial that is not answered by then has failed."),
    key(
        "network",
        "handshake_timeout",
        Value("\"5s\""),
        "From connect or accept to a live session; partial data does not extend it.",
    ),
    key(
        "network",
        "write_timeout",
        Value("\"5s\""),
        "A link that takes no byte for so long while some wait is closed as slow.",
    ),
    key("network", "keepalive_time", Value("\"30s\""), "TCP keepalive: first probe after so much silence."),
    key("network", "keepalive_interval", Value("\"10s\""), "TCP keepalive: between two probes."),
    key(
        "network",
        "allow_private",
        Value("\"auto\""),
        "Whether private and loopback addresses of nodes that are not registered are believed and told.\n\
         auto: if local_ip is such a one.",
    ),
    key(
        "masternode",
        "enabled",
        Value("\"auto\""),
        "auto: on if this node's key is in the genesis registry. true: refuse to start if it is not. false: never.",
    ),
    key("masternode", "heartbeat_interval", Value("\"10s\""), "Between two signed heartbeats."),
    key("block", "max_bytes", Value("\"1MiB\""), "Payload of a block at most."),
    key(
        "block",
        "min_peers",
        Value("\"auto\""),
        "Linked masternodes, this node not counted, below which it proposes nothing. auto: with this node a\n\
         quorum. A number is honoured, with a warning where it forbids what a quorum could decide.",
    ),
    key("api", "enabled", Value("true"), "Whether the API is served."),
    key(
        "api",
        "listen",
        Value("\"127.0.0.1:8332\""),
        "Where. Reads need no token on a loopback address; on any other every request does.",
    ),
    key(
        "api",
        "hosts",
        Value("[]"),
        "Host names the API answers to, beside node.name, localhost and literal addresses.",
    ),
    key(
        "limits",
        "max_memory",
        Value("\"1GiB\""),
        "Memory that all limits and the recorder together may add up to. With limits that could need more the node\n\
         does not start.",
    ),
    key("limits", "unauthenticated", Value("64"), "Inbound connections that have not proven an identity."),
    key(
        "limits",
        "unauthenticated_kept",
        Value("16"),
        "How many of these are kept for addresses of the registry and of reserved peers.",
    ),
    key("limits", "dialing", Value("32"), "Own dials whose handshake is not done."),
    key(
        "limits",
        "known_peers",
        Value("1024"),
        "Peers remembered: no fewer than network.max_peers (or masternodes, if those are more) and configured peers.",
    ),
    key("limits", "own_addrs", Value("64"), "Addresses remembered as this node's own."),
    key(
        "limits",
        "address_book",
        Value("2048"),
        "Addresses of others remembered: half as they were told, a quarter as this node reached them itself,\n\
         a quarter as not worth a dial for a day. At least 256.",
    ),
    key(
        "limits",
        "outbound",
        Value("8"),
        "Links below which an observer seeks more from its address book; so many slots it keeps for them.",
    ),
    key("limits", "bans", Value("1024"), "Bans in force; those that this node sets itself give way."),
    key(
        "limits",
        "scores",
        Value("1024"),
        "Peers whose conduct is remembered. enforce = \"observe\": what they do wrong is counted and logged,\n\
         nobody is banned or slowed for it.",
    ),
    key("limits", "control_lane", Value("\"256KiB\""), "Waiting control messages of a link; more closes it."),
    key("limits", "payload_lane", Value("\"2MiB\""), "Waiting chunks of a proposed block of a link."),
    key("limits", "relay_lane", Value("\"256KiB\""), "Waiting relayed messages of a link; the oldest go."),
    key("limits", "bulk_lane", Value("\"1MiB\""), "Waiting blocks for a peer that catches up."),
    key("limits", "sync_window", Value("\"16MiB\""), "Blocks fetched and not applied yet."),
    key("limits", "serving", Value("\"16MiB\""), "Loaded blocks that are being served to peers."),
    key("limits", "serving_rate", Value("\"32MiB\""), "Served blocks a second; half of it to one peer."),
    key("limits", "mempool", Value("\"16MiB\""), "Memory for transactions that wait to be in a block."),
    key(
        "limits",
        "attestations",
        Value("\"64MiB\""),
        "Heartbeats kept on disk as proof of who was there: the newest samples, one every thirty heartbeat\n\
         intervals. Seven masternodes fill this in nineteen days, 128 in two hours.",
    ),
    key("limits", "gate", Value("128"), "Answers that wait for a durable write."),
    key("limits", "frame_pool", Value("64"), "Free frame buffers kept for reuse."),
    key("limits", "rate_liveness", Value("\"auto\""), "Pings a second."),
    key("limits", "rate_heartbeat", Value("\"auto\""), "Heartbeats a second, forwarded ones included."),
    key(
        "limits",
        "rate_consensus",
        Value("\"auto\""),
        "Proposals, votes, certificates and what goes with them, a second.",
    ),
    key("limits", "rate_payload_request", Value("\"auto\""), "Requests for chunks of a block, a second."),
    key("limits", "rate_payload", Value("\"auto\""), "Chunks of proposed blocks, in bytes a second."),
    key("limits", "rate_block_request", Value("\"auto\""), "Requests for final blocks a second."),
    key("limits", "rate_transaction", Value("\"auto\""), "Transactions, in bytes a second."),
    key("limits", "rate_transaction_offer", Value("\"auto\""), "Offers of transactions a second."),
    key("limits", "rate_addresses", Value("\"auto\""), "Requests for addresses a second."),
    key("limits", "rate_datagram", Value("\"auto\""), "Messages to the application, in bytes a second."),
    key("limits", "rate_unknown", Value("\"auto\""), "Messages of later versions, in bytes a second."),
    key(
        "limits",
        "rate_total",
        Value("\"auto\""),
        "All of these and what is none of them, in bytes a second.",
    ),
    key("recorder", "enabled", Value("true"), "Whether it records."),
    key(
        "recorder",
        "memory",
        Value("\"8MiB\""),
        "How much it holds, 1MiB to 1GiB; the oldest goes. It counts twice in limits.max_memory: while it is written\n\
         there is a copy.",
    ),
    key(
        "recorder",
        "keep",
        Value("4"),
        "Recordings kept in the data directory, 1 to 100; the oldest is removed.",
    ),
    key("logging", "level", Value("\"info\""), "error, warn, info, debug or trace."),
    key(
        "logging",
        "format",
        Value("\"text\""),
        "text or json on standard error, or journald: native fields to the systemd journal.",
    ),
];

/// The entry of a key.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_unique_and_in_known_sections() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert((key.section, key.name)), "{}.{}", key.section, key.name);
            assert!(SECTIONS.iter().any(|(section, _)| *section == key.section), "{}", key.section);
        }
    }
}
