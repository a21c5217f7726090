//! Final blocks as JSON, one or a range: read from the store beside the event loop, on threads that may wait
//! for a disk.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use timed_core::{
    BlockHash, CertificateHash, FinalBlock, Header, Height, NodeId, PayloadRoot, Registry, RegistryHash,
    Round, Signature, StoredBlock, TxId, Wall,
};
use tokio::task::spawn_blocking;

use super::answers::{optional_texts, text, texts, time};
use super::error::ApiError;
use super::input::{Query, Segment};
use super::routes::{Answer, Context, Shared};
use crate::StoreError;
use crate::application::FifoPayload;

/// Blocks of one listing, if its reader does not say.
const LISTED: u64 = 20;
/// Blocks of one listing at most.
const MAX_LISTED: u64 = 100;
/// A listing ends early once its blocks have so many transactions together.
const MAX_LISTED_TRANSACTIONS: usize = 20_000;

/// All that the hash of a block is made of, beside the genesis hash.
#[derive(Serialize)]
struct HeaderJson {
    height: u64,
    round: u32,
    #[serde(serialize_with = "time")]
    slot_time: Wall,
    #[serde(serialize_with = "text")]
    parent: BlockHash,
    #[serde(serialize_with = "text")]
    parent_certificate: CertificateHash,
    #[serde(serialize_with = "text")]
    payload_root: PayloadRoot,
    #[serde(serialize_with = "text")]
    registry_hash: RegistryHash,
    #[serde(serialize_with = "text")]
    proposer: NodeId,
}

impl From<&Header> for HeaderJson {
    fn from(header: &Header) -> Self {
        let Round(round) = header.round;
        Self {
            height: header.height.0,
            round,
            slot_time: header.slot,
            parent: header.parent,
            parent_certificate: header.certificate,
            payload_root: header.payload,
            registry_hash: header.registry,
            proposer: header.proposer,
        }
    }
}

/// The precommits that make a block final.
#[derive(Serialize)]
struct CertificateJson {
    round: u32,
    /// Positions in the registry in force.
    seats: Vec<u8>,
    /// The keys at those positions, where that registry is known.
    #[serde(serialize_with = "optional_texts")]
    signers: Vec<Option<NodeId>>,
    /// One for each signer, in the same order.
    #[serde(serialize_with = "texts")]
    signatures: Vec<Signature>,
}

/// A final block.
#[derive(Serialize)]
struct BlockJson {
    height: u64,
    #[serde(serialize_with = "text")]
    hash: BlockHash,
    #[serde(serialize_with = "text")]
    parent: BlockHash,
    /// The round that decided: the header's, or a later one in which the block was proposed again.
    round: u32,
    #[serde(serialize_with = "text")]
    proposer: NodeId,
    #[serde(serialize_with = "time")]
    time: Wall,
    payload_bytes: usize,
    header: HeaderJson,
    commit_certificate: CertificateJson,
    #[serde(serialize_with = "texts")]
    transaction_ids: Vec<TxId>,
}

impl BlockJson {
    fn new(found: FinalBlock, transaction_ids: Vec<TxId>, registry: &Registry) -> Self {
        let FinalBlock { block, certificate } = found;
        let header = &block.header;
        // Another registry than the first is not known here: then positions must do.
        let known = header.registry == registry.hash();
        let signer = |seat| registry.at(seat).filter(|_| known).map(|entry| entry.id);
        Self {
            height: header.height.0,
            hash: certificate.block,
            parent: header.parent,
            round: certificate.round.0,
            proposer: header.proposer,
            time: header.slot,
            payload_bytes: block.payload.len(),
            header: header.into(),
            commit_certificate: CertificateJson {
                round: certificate.round.0,
                seats: certificate.signers.iter().map(|seat| seat.0).collect(),
                signers: certificate.signers.iter().map(signer).collect(),
                signatures: certificate.signatures,
            },
            transaction_ids,
        }
    }
}

/// Reads on a thread that may wait for the disk.
pub(super) async fn read<T: Send + 'static>(
    context: &Arc<Context>,
    question: impl FnOnce(&Context) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let context = Arc::clone(context);
    let failed = |why| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", why);
    match spawn_blocking(move || question(&context)).await {
        Ok(Err(StoreError::Closed { .. })) => Err(ApiError::unavailable("stopping", "the node has stopped")),
        Ok(answer) => answer.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("reading the store failed".to_owned())),
    }
}

/// A stored block as JSON. The store has checked that it is what was written.
fn describe(context: &Context, stored: &StoredBlock) -> Option<BlockJson> {
    let found = FinalBlock::decode(&stored.bytes).ok()?;
    let transactions = FifoPayload::transactions(&found.block.payload).unwrap_or_default();
    Some(BlockJson::new(found, transactions, &context.facts.registry))
}

/// How a request names one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Latest,
    At(Height),
    Hash(BlockHash),
}

impl Named {
    fn read(text: &str) -> Result<Self, ApiError> {
        // The hash first: one of decimal digits alone is no height, whose digits are fewer.
        let hash = text.parse().map(Self::Hash).ok();
        let number = || text.parse().map(|height| Self::At(Height(height))).ok();
        let latest = (text == "latest").then_some(Self::Latest);
        latest.or(hash).or_else(number).ok_or_else(|| {
            ApiError::bad_request(format!("{text:?} names no block: give a height, a hash, or latest"))
        })
    }

    /// The block, where it is final here, and the newest height.
    pub(super) fn find(self, context: &Context) -> Result<(Option<StoredBlock>, Height), StoreError> {
        let latest = context.blocks.latest()?;
        let newest = latest.as_ref().map_or(Height(0), |latest| latest.height);
        let at = |height| if height > newest { Ok(None) } else { context.blocks.block(height) };
        let stored = match self {
            Self::Latest => latest,
            Self::At(height) => at(height)?,
            Self::Hash(hash) => context.blocks.height_of(hash)?.map(at).transpose()?.flatten(),
        };
        Ok((stored, newest))
    }
}

/// `GET /blocks/{height}`, `GET /blocks/{hash}` and `GET /blocks/latest`.
pub(super) async fn one(State(context): Shared, Segment(text): Segment) -> Answer {
    let named = Named::read(&text)?;
    let (found, newest) = read(&context, move |context| {
        let (stored, newest) = named.find(context)?;
        Ok((stored.and_then(|stored| describe(context, &stored)), newest))
    })
    .await?;
    found.map(|block| Json(block).into_response()).ok_or_else(|| {
        let message = match (named, newest) {
            (_, Height(0)) => "there is no block yet".to_owned(),
            (Named::At(Height(0)), _) => {
                "height 0 is the genesis itself; the first block has height 1".to_owned()
            }
            (Named::Hash(_), _) => "no final block has this hash".to_owned(),
            (_, newest) => format!("there is no block at height {text}: the newest is at {newest}"),
        };
        ApiError::new(StatusCode::NOT_FOUND, "unknown_block", message)
    })
}

/// Which blocks to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listing {
    /// The first height; without one the newest blocks are meant.
    from: Option<u64>,
    limit: u64,
}

impl Listing {
    fn read(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let mut listing = Self { from: None, limit: LISTED };
        for (name, value) in pairs {
            let number = value.parse::<u64>();
            match (name.as_str(), number) {
                ("from", Ok(from)) => listing.from = Some(from),
                ("from", Err(_)) => {
                    return Err(ApiError::bad_request(format!("from={value}: expected a height")));
                }
                ("limit", Ok(limit @ 1..=MAX_LISTED)) => listing.limit = limit,
                ("limit", _) => {
                    let message = format!("limit={value}: expected 1 to {MAX_LISTED}");
                    return Err(ApiError::bad_request(message));
                }
                _ => {
                    let message = format!("{name} is not understood: give from=HEIGHT and limit=NUMBER");
                    return Err(ApiError::bad_request(message));
                }
            }
        }
        Ok(listing)
    }

    /// The heights that are meant where the newest is `tip`.
    fn heights(self, tip: u64) -> std::ops::RangeInclusive<u64> {
        let newest = tip.saturating_sub(self.limit - 1);
        let from = self.from.unwrap_or(newest).max(1);
        from..=tip.min(from.saturating_add(self.limit - 1))
    }
}

/// `GET /blocks?from=&limit=`: by ascending height. A listing may be shorter than asked for where blocks are full.
pub(super) async fn list(State(context): Shared, Extension(Query(pairs)): Extension<Query>) -> Answer {
    let listing = Listing::read(&pairs)?;
    let blocks: Vec<BlockJson> = read(&context, move |context| {
        let newest = context.blocks.latest()?.map_or(0, |latest| latest.height.0);
        let (mut blocks, mut transactions) = (Vec::new(), 0);
        for height in listing.heights(newest) {
            let stored = context.blocks.block(Height(height))?;
            let Some(block) = stored.and_then(|stored| describe(context, &stored)) else { break };
            transactions += block.transaction_ids.len();
            if transactions > MAX_LISTED_TRANSACTIONS && !blocks.is_empty() {
                break;
            }
            blocks.push(block);
        }
        Ok(blocks)
    })
    .await?;
    Ok(in_json(blocks).await)
}

/// Encodes away from the other answers: a listing can be megabytes.
async fn in_json(blocks: Vec<BlockJson>) -> Response {
    match spawn_blocking(move || Json(blocks).into_response()).await {
        Ok(response) => response,
        Err(_) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "encoding failed").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(pairs: &[(&str, &str)]) -> Result<Listing, ApiError> {
        let owned: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Listing::read(&owned)
    }

    #[test]
    fn a_hash_of_digits_alone_is_no_height() {
        let hash = format!("{:064}", 1);
        assert_eq!(Named::read(&hash).unwrap(), Named::Hash(hash.parse().unwrap()));
        assert_eq!(Named::read("001").unwrap(), Named::At(Height(1)));
    }

    #[test]
    fn a_listing_is_bounded_and_says_so() {
        for (pairs, told) in [
            (&[("limit", "0")][..], "expected 1 to 100"),
            (&[("limit", "101")], "expected 1 to 100"),
            (&[("limit", "x")], "expected 1 to 100"),
            (&[("from", "-1")], "expected a height"),
            (&[("from", "")], "expected a height"),
            (&[("form", "1")], "form is not understood"),
        ] {
            let error = listing(pairs).unwrap_err();
            assert!(error.status == StatusCode::BAD_REQUEST && error.message.contains(told), "{error:?}");
        }
        assert_eq!(listing(&[("from", "3"), ("limit", "100")]), Ok(Listing { from: Some(3), limit: 100 }));
    }

    #[test]
    fn heights_begin_at_one_and_end_at_the_tip() {
        let heights = |from, limit, tip| {
            let heights = Listing { from, limit }.heights(tip);
            heights.map(|height| height.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(heights(None, 3, 17), "15 16 17");
        assert_eq!(heights(None, 20, 2), "1 2");
        assert_eq!(heights(Some(0), 2, 9), "1 2");
        assert_eq!(heights(Some(9), 2, 9), "9");
        assert_eq!(heights(Some(10), 2, 9), "");
        assert_eq!(heights(Some(u64::MAX), 100, 9), "");
        assert_eq!(heights(None, 20, 0), "");
    }
}
