//! Proofs of equivocation as JSON: both signed statements, with all that their signatures are over.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse as _;
use serde::Serialize;
use timed_core::{BlockHash, Evidence, NodeId, Reply, Request, Signature, Statement};

use super::answers::{optional_text, text};
use super::routes::{Answer, Shared, unexpected};

/// What a masternode signed.
#[derive(Serialize)]
pub(super) struct StatementJson {
    kind: &'static str,
    height: u64,
    round: u32,
    /// The block; none for a vote for no block.
    #[serde(serialize_with = "optional_text")]
    block: Option<BlockHash>,
    /// The round of the polka that a proposal refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_round: Option<u32>,
    #[serde(serialize_with = "text")]
    signer: NodeId,
    #[serde(serialize_with = "text")]
    signature: Signature,
}

impl From<Statement> for StatementJson {
    fn from(statement: Statement) -> Self {
        match statement {
            Statement::Vote(vote) => Self {
                kind: vote.kind.as_str(),
                height: vote.height.0,
                round: vote.round.0,
                block: vote.block,
                valid_round: None,
                signer: vote.voter,
                signature: vote.signature,
            },
            Statement::Proposal(proposal) => Self {
                kind: "proposal",
                height: proposal.height.0,
                round: proposal.round.0,
                block: Some(proposal.block),
                valid_round: proposal.valid_round.map(|round| round.0),
                signer: proposal.proposer,
                signature: proposal.signature,
            },
        }
    }
}

/// Two statements of one masternode that contradict each other.
#[derive(Serialize)]
pub(super) struct EvidenceJson {
    #[serde(serialize_with = "text")]
    node_id: NodeId,
    kind: &'static str,
    height: u64,
    round: u32,
    first: StatementJson,
    second: StatementJson,
}

impl From<Evidence> for EvidenceJson {
    fn from(evidence: Evidence) -> Self {
        let (first, second) = (StatementJson::from(evidence.first), StatementJson::from(evidence.second));
        Self {
            node_id: evidence.node,
            kind: first.kind,
            height: first.height,
            round: first.round,
            first,
            second,
        }
    }
}

/// `GET /evidence`: newest first.
pub(super) async fn list(State(context): Shared) -> Answer {
    match context.ask(Request::Evidence).await? {
        Reply::Evidence(list) => {
            Ok(Json(list.into_iter().map(EvidenceJson::from).collect::<Vec<_>>()).into_response())
        }
        _ => Err(unexpected()),
    }
}
