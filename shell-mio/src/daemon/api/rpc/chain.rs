//! Blocks and transactions.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use timed_core::{BlockHash, FinalBlock, Height, StoredBlock, TxId};

use super::super::blocks::{Named, read};
use super::super::routes::Context;
use super::super::transactions::{self, Submitted};
use super::Done;
use super::call::Fault;
use super::parameters::Parameters;
use crate::Inclusion;
use crate::application::FifoPayload;
use crate::daemon::hex::{hex, unhex};

fn out_of_range(newest: Height) -> Fault {
    Fault::new(Fault::OUT_OF_RANGE, format!("Block height out of range: the newest is {newest}"))
}

/// `getblockcount`: what the store has, as `getblock` does.
pub(super) async fn count(context: &Arc<Context>) -> Done {
    let latest = read(context, |context| context.blocks.latest()).await?;
    Ok(latest.map_or(0, |latest| latest.height.0).into())
}

/// `getbestblockhash`; all zero before the first block.
pub(super) async fn best_hash(context: &Arc<Context>) -> Done {
    let latest = read(context, |context| context.blocks.latest()).await?;
    let found = latest.and_then(|stored| FinalBlock::decode(&stored.bytes).ok());
    Ok(found.map_or(BlockHash([0; 32]), |block| block.certificate.block).to_string().into())
}

/// `getblockhash`.
pub(super) async fn block_hash(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let height = given.number("height")?.unwrap_or_default();
    let (found, newest) = read(context, move |context| {
        let newest = context.blocks.latest()?.map_or(Height(0), |latest| latest.height);
        let found = if height > newest.0 { None } else { context.blocks.block(Height(height))? };
        Ok((found.and_then(|stored| FinalBlock::decode(&stored.bytes).ok()), newest))
    })
    .await?;
    let block = found.ok_or_else(|| out_of_range(newest))?;
    Ok(block.certificate.block.to_string().into())
}

/// How much of a block is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verbosity {
    Bytes,
    Ids,
    Transactions,
}

impl Verbosity {
    fn of(given: &Parameters<'_>) -> Result<Self, Fault> {
        match given.any("verbosity") {
            None | Some(Value::Bool(true)) => Ok(Self::Ids),
            Some(Value::Bool(false)) => Ok(Self::Bytes),
            Some(value) => match value.as_u64() {
                Some(0) => Ok(Self::Bytes),
                Some(1) => Ok(Self::Ids),
                Some(2) => Ok(Self::Transactions),
                _ => Err(Fault::parameter("verbosity", "expected 0, 1 or 2")),
            },
        }
    }
}

/// The block that a call names: Bitcoin's scripts by hash, people by height.
fn named(given: &Parameters<'_>) -> Result<Named, Fault> {
    let expected = || Fault::parameter("blockhash", "expected a block's hash in hex, or its height");
    let value = given.any("blockhash").ok_or_else(expected)?;
    let number = value.as_u64().map(|height| Named::At(Height(height)));
    let text = || value.as_str()?.parse().ok().map(Named::Hash);
    number.or_else(text).ok_or_else(expected)
}

/// `getblock`.
pub(super) async fn block(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let (named, verbosity) = (named(given)?, Verbosity::of(given)?);
    let (found, newest) = read(context, move |context| {
        let (stored, newest) = named.find(context)?;
        let Some(stored) = stored else { return Ok((None, newest)) };
        let next = Height(stored.height.0 + 1);
        let next = if next > newest { None } else { context.blocks.block(next)? };
        let next = next.and_then(|stored| FinalBlock::decode(&stored.bytes).ok());
        Ok((Some((stored, next.map(|block| block.certificate.block))), newest))
    })
    .await?;
    let not_found = || match named {
        Named::Hash(_) => Fault::new(Fault::NOT_FOUND, "Block not found"),
        Named::At(_) | Named::Latest => out_of_range(newest),
    };
    let (stored, next): (StoredBlock, Option<BlockHash>) = found.ok_or_else(not_found)?;
    if verbosity == Verbosity::Bytes {
        return Ok(text(&stored.bytes).into());
    }
    let damaged = || Fault::new(Fault::INTERNAL, "the stored block cannot be read");
    let FinalBlock { block, certificate } = FinalBlock::decode(&stored.bytes).map_err(|_| damaged())?;
    let header = &block.header;
    let transactions = FifoPayload::read(&block.payload).unwrap_or_default();
    let shown: Vec<Value> = match verbosity {
        Verbosity::Transactions => transactions.iter().map(transaction).collect(),
        _ => transactions.iter().map(|bytes| TxId::of(bytes).to_string().into()).collect(),
    };
    Ok(json!({
        "hash": certificate.block.to_string(),
        "confirmations": newest.0 - header.height.0 + 1,
        "height": header.height.0,
        "version": 1,
        "merkleroot": header.payload.to_string(),
        "time": header.slot.0 / 1000,
        "mediantime": header.slot.0 / 1000,
        "nTx": transactions.len(),
        "previousblockhash": header.parent.to_string(),
        "nextblockhash": next.map(|hash| hash.to_string()),
        "size": stored.bytes.len(),
        "tx": shown,
        "round": certificate.round.0,
        "proposer": header.proposer.to_string(),
        "signatures": certificate.signatures.len(),
    }))
}

fn transaction(bytes: &&[u8]) -> Value {
    json!({ "txid": TxId::of(bytes).to_string(), "size": bytes.len(), "hex": text(bytes) })
}

/// `sendrawtransaction`.
pub(super) async fn send(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let text = given.required_text("hexstring")?;
    let bytes = unhex(text).map(|bytes| Bytes::copy_from_slice(&bytes)).ok_or_else(|| {
        Fault::new(Fault::DESERIALIZATION, "TX decode failed: expected pairs of hex digits")
    })?;
    let rejected = |fault: Fault| match fault.code {
        Fault::SERVER | Fault::INTERNAL => fault,
        _ => fault.with_code(Fault::REJECTED),
    };
    match transactions::take(context, bytes).await.map_err(|error| rejected(error.into()))? {
        Submitted::Taken(id) => Ok(id.to_string().into()),
        Submitted::InBlock(id, Inclusion { height, .. }) => Err(Fault::new(
            Fault::ALREADY_IN_CHAIN,
            format!("transaction {id} is in the final block of height {height} already"),
        )),
    }
}

/// Bytes in hex.
fn text(bytes: &[u8]) -> String {
    hex(bytes).as_str().to_owned()
}

/// `getmempoolinfo`.
pub(super) fn mempool(context: &Context) -> Value {
    let held = context.remote.summary().mempool;
    json!({
        "loaded": true,
        "size": held.transactions,
        "bytes": held.bytes,
        "usage": held.bytes,
        "maxmempool": context.facts.max_mempool,
    })
}
