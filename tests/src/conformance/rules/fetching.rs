//! Blocks for whoever lacks them, and transactions: rules, Y-1 to Y-4.

use std::time::Duration;

use bytes::Bytes;
use timed_core::limits::PART;
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{BlockPart, BlocksEnd, GetBlocks, Kind, Lane, Message, Served, Tip};
use timed_core::{CloseReason, FinalBlock, Height, Reply, Request, TxId};

use crate::conformance::council::{Council, fetch};
use crate::conformance::table::listed;
use crate::conformance::{Case, Channel, Exam, Miss, Verdict, broken};

pub(super) const CASES: &[Case] = listed![
    "Y-1" Blocks tells_an_observer_its_new_tip,
    "Y-2" Blocks asks_whoever_has_more_for_blocks,
    "Y-3" Blocks answers_with_what_it_has_and_with_an_end,
    "Y-4" Blocks takes_no_block_that_does_not_verify,
    "X-1" Blocks closes_on_an_empty_transaction,
    "X-2" Blocks keeps_what_it_has_acknowledged,
    "X-3" Blocks sends_what_is_wanted_of_its_offer,
    "X-4" Blocks proposes_nothing_twice_that_was_final,
];

fn tells_an_observer_its_new_tip(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let header = council.decide(exam)?;
    // Who comes now is told in the handshake.
    let mut late = exam.guest();
    let channel = exam.live(&mut late)?;
    let told = channel.ack.map(|ack| (ack.from.height, ack.from.tip));
    if told == Some((header.height, council.tip.hash)) { Ok(()) } else { Err(broken(format!("{told:?}"))) }
}

/// The node's next request on a link.
fn asked(exam: &mut Exam<'_>, channel: &mut Channel) -> Result<GetBlocks, Miss> {
    let limit = exam.patience(Duration::from_secs(4));
    exam.hear(channel, limit, "GetBlocks", |message| match message {
        Message::GetBlocks(asked) => Some(*asked),
        _ => None,
    })
}

/// Answers a request with some of these blocks.
fn serve(exam: &mut Exam<'_>, channel: &mut Channel, asked: GetBlocks, blocks: &[FinalBlock]) {
    for block in blocks {
        let height = block.block.header.height;
        if height < asked.from || height > asked.to {
            continue;
        }
        let bytes = block.encode();
        let count = u16::try_from(bytes.len().div_ceil(PART)).unwrap_or(u16::MAX);
        for (index, part) in (0..).zip(bytes.chunks(PART)) {
            let bytes = Bytes::copy_from_slice(part);
            let part = BlockPart { id: asked.id, height, index, count, bytes };
            exam.say(channel, &Message::BlockPart(Box::new(part)));
        }
    }
    exam.say(channel, &Message::BlocksEnd(BlocksEnd { id: asked.id, served: Served::All }));
}

fn tip_of(blocks: &[FinalBlock]) -> Result<Message, Miss> {
    let last = blocks.last().ok_or_else(|| broken("no blocks"))?;
    Ok(Message::Tip(Tip { height: last.block.header.height, block: last.certificate.block }))
}

/// The node says to somebody new that it has this block.
fn has_come_to(exam: &mut Exam<'_>, blocks: &[FinalBlock]) -> Verdict {
    let last = blocks.last().map(|block| (block.block.header.height, block.certificate.block));
    let limit = exam.patience(Duration::from_secs(3));
    exam.until(limit, "the blocks in the node's chain", |exam| {
        let mut guest = exam.guest();
        let channel = exam.live(&mut guest)?;
        exam.close(channel.wire);
        exam.pass(Duration::from_millis(100));
        Ok((channel.ack.map(|ack| (ack.from.height, ack.from.tip)) == last).then_some(()))
    })
}

fn asks_whoever_has_more_for_blocks(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let before = council.tip.height;
    let blocks = council.decide_elsewhere(exam, 5);
    let channel = &mut council.seats[0].channel;
    exam.say(channel, &tip_of(&blocks)?);
    let first = asked(exam, channel)?;
    if first.from != before.next() || first.to < first.from {
        return Err(broken(format!("asks for {} to {}", first.from, first.to)));
    }
    serve(exam, channel, first, &blocks);
    has_come_to(exam, &blocks)
}

fn answers_with_what_it_has_and_with_an_end(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    council.decide(exam)?;
    let tip = council.tip.height;
    // Order of parts and heights is looked at on the way.
    let blocks = fetch(exam, &mut council.observer, tip, Height(tip.0 + 9))?;
    if blocks.len() != 1 {
        return Err(broken(format!("{} blocks from the tip on", blocks.len())));
    }
    if !fetch(exam, &mut council.observer, Height(tip.0 + 1_000), Height(tip.0 + 2_000))?.is_empty() {
        return Err(broken("blocks that nobody has"));
    }
    Ok(())
}

fn takes_no_block_that_does_not_verify(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let second = Height(council.height().0 + 1);
    let blocks = council.decide_elsewhere(exam, 3);
    let tip = tip_of(&blocks)?;
    let mut forged = blocks.clone();
    forged[1].certificate.signatures[0].0[0] ^= 1;
    let [liar, honest] = &mut council.seats[..2] else { return Err(broken("two masternodes")) };
    exam.say(&mut liar.channel, &tip);
    let request = asked(exam, &mut liar.channel)?;
    serve(exam, &mut liar.channel, request, &forged);
    // The first block was sound. What failed is asked of another, who has it; the liar is left alone.
    exam.say(&mut honest.channel, &tip);
    let request = asked(exam, &mut honest.channel)?;
    if request.from > second {
        return Err(broken(format!("asks for {} on, having taken a forged block", request.from)));
    }
    serve(exam, &mut honest.channel, request, &blocks);
    has_come_to(exam, &blocks)?;
    exam.pump(&mut liar.channel)?;
    if liar.channel.messages().any(|message| matches!(message, Message::GetBlocks(_))) {
        return Err(broken("asks at once again who has served a forged block"));
    }
    Ok(())
}

fn closes_on_an_empty_transaction(exam: &mut Exam<'_>) -> Verdict {
    let mut guest = exam.guest();
    let mut channel = exam.live(&mut guest)?;
    let mut frame = Vec::new();
    append_encoded(Kind::Transaction, &[], &mut frame);
    let bytes = channel.line.seal(Lane::Relay, &frame);
    exam.write(channel.wire, &bytes);
    let limit = exam.soon();
    exam.ends(&mut channel, limit, CloseReason::BadMessage)
}

/// Gives the node a transaction, as its application does.
fn submitted(exam: &mut Exam<'_>) -> Result<(TxId, Bytes), Miss> {
    let bytes = Bytes::from(exam.draw().repeat(3));
    match exam.process()?.ask(Request::Submit(bytes.clone())) {
        Some(Reply::Submitted(id)) => Ok((id, bytes)),
        other => Err(broken(format!("not acknowledged: {other:?}"))),
    }
}

/// The offer on a link that has this transaction, wanted and delivered.
fn delivered(exam: &mut Exam<'_>, channel: &mut Channel, id: TxId) -> Result<Bytes, Miss> {
    let limit = exam.patience(Duration::from_secs(6));
    // It is offered again as long as it waits; whoever has it already is offered it no less.
    exam.hear(channel, limit, "an offer of what waits", |message| match message {
        Message::TransactionOffer(ids) if ids.contains(&id) => Some(()),
        _ => None,
    })?;
    exam.say(channel, &Message::TransactionWant(vec![id]));
    exam.hear(channel, limit, "what was wanted", |message| match message {
        Message::Transaction(bytes) => Some(bytes.clone()),
        _ => None,
    })
}

fn keeps_what_it_has_acknowledged(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    exam.start();
    let (id, bytes) = submitted(exam)?;
    exam.restart()?;
    let mut caller = exam.caller()?;
    let mut channel = exam.live(&mut caller)?;
    if delivered(exam, &mut channel, id)? == bytes { Ok(()) } else { Err(broken("it is another one now")) }
}

fn sends_what_is_wanted_of_its_offer(exam: &mut Exam<'_>) -> Verdict {
    exam.process()?;
    let mut caller = exam.caller()?;
    let mut channel = exam.live(&mut caller)?;
    exam.lives(&mut channel)?;
    // Pushed to whoever is linked.
    let (_, bytes) = submitted(exam)?;
    let limit = exam.soon();
    let pushed = exam.hear(&mut channel, limit, "the transaction", |message| match message {
        Message::Transaction(bytes) => Some(bytes.clone()),
        _ => None,
    })?;
    if pushed != bytes {
        return Err(broken("another one is pushed"));
    }
    // Offered to whoever comes.
    exam.close(channel.wire);
    let (id, bytes) = submitted(exam)?;
    caller.next_ordinal();
    let mut channel = exam.live(&mut caller)?;
    if delivered(exam, &mut channel, id)? == bytes { Ok(()) } else { Err(broken("another one is sent")) }
}

fn proposes_nothing_twice_that_was_final(exam: &mut Exam<'_>) -> Verdict {
    let mut council = Council::convene(exam)?;
    let transaction = Bytes::from(exam.draw().repeat(5));
    exam.say(&mut council.seats[0].channel, &Message::Transaction(transaction.clone()));
    let mut carried = 0;
    for _ in 0..4 {
        council.decide(exam)?;
        let tip = council.tip.height;
        for block in fetch(exam, &mut council.observer, tip, tip)? {
            let payload = &block.block.payload;
            carried += payload.windows(transaction.len()).filter(|part| *part == &transaction[..]).count();
        }
        // A late copy.
        exam.say(&mut council.seats[1].channel, &Message::Transaction(transaction.clone()));
    }
    match carried {
        1 => Ok(()),
        count => Err(broken(format!("in {count} of four blocks"))),
    }
}
