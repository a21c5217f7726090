//! Every method: its name, its parameters, and whether it changes anything.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::routes::Context;
use super::call::Fault;
use super::parameters::Parameters;
use super::{Done, chain, masternodes, network};

/// Whether a method needs the token on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only tells something.
    Reads,
    /// It changes something: it needs the token everywhere.
    Changes,
}

/// Names every method, with its parameters: those before the bar are required.
macro_rules! methods {
    ($($method:ident = $name:literal ($($required:literal),* ; $($optional:literal),*) $effect:ident $about:literal,)*) => {
        /// A method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Method { $($method),* }

        impl Method {
            /// All of them.
            pub(super) const ALL: &'static [Self] = &[$(Self::$method),*];

            /// The name.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$method => $name),* }
            }

            /// Names of parameters, required ones first.
            pub(super) const fn parameters(self) -> &'static [&'static str] {
                match self { $(Self::$method => &[$($required,)* $($optional),*]),* }
            }

            /// How many are required.
            pub(super) const fn required(self) -> usize {
                match self { $(Self::$method => { const REQUIRED: &[&str] = &[$($required),*]; REQUIRED.len() }),* }
            }

            /// Whether it changes anything.
            pub(super) const fn effect(self) -> Effect {
                match self { $(Self::$method => Effect::$effect),* }
            }

            /// What it is for, in a line.
            pub(super) const fn about(self) -> &'static str {
                match self { $(Self::$method => $about),* }
            }
        }
    };
}

methods! {
    GetBlockCount = "getblockcount" (;) Reads "height of the newest final block",
    GetBestBlockHash = "getbestblockhash" (;) Reads "hash of the newest final block",
    GetBlockHash = "getblockhash" ("height";) Reads "hash of the final block at a height",
    GetBlock = "getblock" ("blockhash"; "verbosity")
        Reads "a final block by hash or height: 0 its bytes in hex, 1 with transaction ids, 2 with transactions",
    GetNetworkInfo = "getnetworkinfo" (;) Reads "this node in its network: versions, connections, addresses, clock",
    GetPeerInfo = "getpeerinfo" (;) Reads "one object a live session",
    GetConnectionCount = "getconnectioncount" (;) Reads "how many live sessions there are",
    MasternodeList = "masternodelist" (; "mode", "filter")
        Reads "the registry by node id; mode json, status, addr, lastseen or attested; filter by id or address",
    MasternodeStatus = "masternodestatus" (;) Reads "this node as a masternode",
    GetConsensusInfo = "getconsensusinfo" (;) Reads "what /consensus_info says, and the height under way",
    GetAttestationStats = "getattestationstats" (;) Reads "heartbeats and who has witnessed them",
    SendRawTransaction = "sendrawtransaction" ("hexstring";)
        Changes "take a transaction in hex; its id, once it is durable here",
    GetMempoolInfo = "getmempoolinfo" (;) Reads "what waits for a block",
    AddNode = "addnode" ("node", "command";)
        Changes "onetry and add: dial now, and whenever the link is lost, until remove or the next start",
    DisconnectNode = "disconnectnode" (; "address", "nodeid")
        Changes "close the link to a peer and stay apart for ten minutes",
    SetBan = "setban" ("subnet", "command"; "bantime", "absolute", "reason")
        Changes "add or remove a ban on an address, a prefix or a node id; a day without bantime",
    ListBanned = "listbanned" (;) Reads "bans in force",
    ClearBanned = "clearbanned" (;) Changes "lift every ban",
    Uptime = "uptime" (;) Reads "seconds since the start",
    Stop = "stop" (;) Changes "stop this node",
    Help = "help" (; "command") Reads "this list, or one method of it",
}

impl Method {
    /// The method of a name.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name)
    }

    /// Its parameters as a person reads them.
    pub(super) fn usage(self) -> String {
        let names = self.parameters();
        if names.is_empty() {
            return format!("{} takes no parameters", self.name());
        }
        let shown = names.iter().enumerate().map(|(place, name)| {
            if place < self.required() { format!(" {name}") } else { format!(" [{name}]") }
        });
        format!("usage: {}{}", self.name(), shown.collect::<String>())
    }
}

/// Carries a call out.
pub(super) async fn run(context: &Arc<Context>, method: Method, given: &Parameters<'_>) -> Done {
    match method {
        Method::GetBlockCount => chain::count(context).await,
        Method::GetBestBlockHash => chain::best_hash(context).await,
        Method::GetBlockHash => chain::block_hash(context, given).await,
        Method::GetBlock => chain::block(context, given).await,
        Method::GetNetworkInfo => network::info(context).await,
        Method::GetPeerInfo => network::peers(context).await,
        Method::GetConnectionCount => network::count(context).await,
        Method::MasternodeList => masternodes::list(context, given).await,
        Method::MasternodeStatus => masternodes::status(context).await,
        Method::GetConsensusInfo => masternodes::consensus(context).await,
        Method::GetAttestationStats => masternodes::attestations(context).await,
        Method::SendRawTransaction => chain::send(context, given).await,
        Method::GetMempoolInfo => Ok(chain::mempool(context)),
        Method::AddNode => network::add(context, given).await,
        Method::DisconnectNode => network::disconnect(context, given).await,
        Method::SetBan => network::set_ban(context, given).await,
        Method::ListBanned => network::bans(context).await,
        Method::ClearBanned => network::clear_bans(context).await,
        Method::Uptime => Ok(context.facts.since.elapsed().as_secs().into()),
        Method::Stop => {
            super::super::routes::order_stop(context).await;
            Ok(json!("timed stopping"))
        }
        Method::Help => help(given),
    }
}

fn help(given: &Parameters<'_>) -> Done {
    let line =
        |method: Method| format!("{}: {}", method.usage().trim_start_matches("usage: "), method.about());
    let Some(name) = given.text("command")? else {
        return Ok(Method::ALL.iter().map(|method| line(*method)).collect::<Vec<_>>().join("\n").into());
    };
    let method = Method::find(name).ok_or_else(|| Fault::unknown_method(name))?;
    Ok(Value::String(line(method)))
}

/// The table of the handbook.
#[cfg(test)]
pub(crate) fn table() -> String {
    use std::fmt::Write as _;
    let mut out = String::from("| method | parameters | token | |\n|---|---|---|---|\n");
    for method in Method::ALL {
        let names = method.parameters().iter().enumerate().map(|(place, name)| {
            if place < method.required() { format!("`{name}`") } else { format!("[`{name}`]") }
        });
        let token = if method.effect() == Effect::Changes { "yes" } else { "" };
        let names: Vec<String> = names.collect();
        let _ = writeln!(out, "| `{}` | {} | {token} | {} |", method.name(), names.join(" "), method.about());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_scripts_use_is_there() {
        let contract = "getblockcount getblock getnetworkinfo getpeerinfo getconnectioncount masternodelist \
                        masternodestatus getconsensusinfo getattestationstats sendrawtransaction getmempoolinfo \
                        addnode disconnectnode setban listbanned clearbanned uptime stop";
        for name in contract.split_whitespace() {
            assert!(Method::find(name).is_some(), "{name}");
        }
        let changes: Vec<&str> =
            Method::ALL.iter().filter(|m| m.effect() == Effect::Changes).map(|m| m.name()).collect();
        let expected = ["sendrawtransaction", "addnode", "disconnectnode", "setban", "clearbanned", "stop"];
        assert_eq!(changes, expected);
        assert_eq!(Method::SetBan.usage(), "usage: setban subnet command [bantime] [absolute] [reason]");
    }
}
