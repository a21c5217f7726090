//! What this node knows of each registered masternode.

use timed_core::{Activity, MasternodeInfo};

use super::text::Text;

/// The numbers of the registry: one sample a masternode, so that there are never more than it has entries.
pub(super) fn masternode_numbers(out: &mut Text, masternodes: &[MasternodeInfo]) {
    let labels = |info: &MasternodeInfo| format!("{{node_id=\"{}\",addr=\"{}\"}}", info.node, info.addr);
    type Number = fn(&MasternodeInfo) -> Option<f64>;
    let numbers: [(&str, &str, Number); 5] = [
        ("masternode_active", "Whether a masternode is active in this node's view.", |info| {
            Some(f64::from(u8::from(info.activity == Activity::Active)))
        }),
        ("masternode_heartbeat_age_seconds", "Since its newest heartbeat was verified here.", |info| {
            info.heard.map(|heard| heard.as_secs_f64())
        }),
        // Never more than the registry.
        ("masternode_witnesses", "Others that have named its newest attested heartbeat.", |info| {
            u32::try_from(info.witnesses.len()).ok().map(f64::from)
        }),
        ("masternode_attested", "Whether its newest attested heartbeat is recent.", |info| {
            Some(f64::from(u8::from(info.attested)))
        }),
        // Heights stay far below 2^52, where this would lose precision.
        ("masternode_height", "Its newest final block, by its newest heartbeat.", |info| {
            info.height.map(|height| height.0 as f64)
        }),
    ];
    for (name, help, number) in numbers {
        out.header(name, "gauge", help);
        for info in masternodes {
            if let Some(value) = number(info) {
                out.sample(name, &labels(info), value);
            }
        }
    }
}
