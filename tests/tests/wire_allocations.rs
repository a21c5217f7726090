//! Steady traffic costs no allocation: what is sealed, opened, cut into frames and signed reuses its buffers.
//!
//! Counts what Rust allocates; aws-lc takes and returns one block of its own for each record.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use timed_core::FinalBlock;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Provider, Session};
use timed_core::wire::codec::BadBody;
use timed_core::wire::frame::{FrameKind, FrameReader, append_frame};
use timed_core::wire::message::{Kind, Lane, Message, Ping};
use timed_core::wire::record::{self, RecordReader};
use timed_core::wire::{codec, signing};
use timed_tests::samples;
use zeroize::Zeroizing;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

fn channel() -> (Box<dyn Session>, Box<dyn Session>) {
    let mut provider = NoiseProvider::new(Zeroizing::new([1; 32]));
    let mut dialer = provider.initiate(b"", Zeroizing::new([2; 32]));
    let mut acceptor = provider.respond(b"", Zeroizing::new([3; 32]));
    let (mut first, mut second, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    dialer.write(&[], &mut first).unwrap();
    acceptor.read(&first, &mut payload).unwrap();
    acceptor.write(&[], &mut second).unwrap();
    dialer.read(&second, &mut payload).unwrap();
    (dialer.finish().unwrap().1, acceptor.finish().unwrap().1)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(Vec::<u8>::with_capacity(10))), 1);
}

#[test]
fn a_record_is_sealed_opened_and_read_without_allocation() {
    let (mut dialer, mut acceptor) = channel();
    let (mut wire, mut scratch) = (Vec::new(), Vec::new());
    let (mut records, mut frames) = (RecordReader::new(), FrameReader::new());
    let mut pings = 0;
    let mut exchange = |token: u64| {
        wire.clear();
        for _ in 0..2 {
            let start = record::begin(&mut wire, Lane::Control);
            for _ in 0..10 {
                append_frame(&Message::Ping(Ping { token }), &mut wire);
            }
            record::finish(&mut wire, start, dialer.as_mut());
        }
        let mut input = &wire[..];
        while let Some(lane) = records.next(&mut input, &mut scratch, acceptor.as_mut()).unwrap() {
            let mut plaintext = record::frames(&scratch);
            while let Some((kind, body)) = frames.next(lane, &mut plaintext).unwrap() {
                let FrameKind::Known(kind) = kind else { panic!("{kind:?}") };
                assert_eq!(codec::decode_body(kind, body), Ok(Message::Ping(Ping { token })));
                pings += 1;
            }
        }
    };
    exchange(0);
    let count = allocations(|| (1..20_000).for_each(&mut exchange));
    assert_eq!((count, pings), (0, 400_000));
}

/// What a body claims to hold costs nothing before it is there (rule W-7).
#[test]
fn frame_02_a_claim_in_a_body_reserves_nothing() {
    let votes = [&[1u8; 45][..], &[0xff; 16]].concat();
    let offer = 512u16.to_le_bytes();
    let held = [&[0u8; 13][..], &[4, 0]].concat();
    let chunk = [&[0u8; 42][..], &15_000u32.to_le_bytes()].concat();
    let block = [&[0u8; 181][..], &1_000_000u32.to_le_bytes()].concat();
    let count = allocations(|| {
        assert_eq!(codec::decode_body(Kind::Commit, &votes), Err(BadBody::Truncated));
        assert_eq!(codec::decode_body(Kind::TransactionOffer, &offer), Err(BadBody::Truncated));
        assert_eq!(codec::decode_body(Kind::Held, &held), Err(BadBody::Truncated));
        assert_eq!(codec::decode_body(Kind::Chunk, &chunk), Err(BadBody::Truncated));
        assert_eq!(FinalBlock::decode(&block), Err(BadBody::Truncated));
    });
    assert_eq!(count, 0);
}

#[test]
fn signing_bytes_reuse_the_callers_buffer() {
    let beat = samples::heartbeat(NoiseProvider::new(Zeroizing::new([1; 32])).node_id());
    let mut buffer = Vec::new();
    signing::append_heartbeat(&beat, &mut buffer);
    let count = allocations(|| {
        for _ in 0..100 {
            buffer.clear();
            signing::append_heartbeat(&beat, &mut buffer);
            assert_ne!(signing::digest(&buffer), [0; 8]);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_known_signer_is_verified_without_allocation() {
    let mut provider = NoiseProvider::new(Zeroizing::new([1; 32]));
    let id = provider.node_id();
    provider.trust(&[id]).unwrap();
    let signature = provider.sign(b"message");
    let count = allocations(|| {
        assert_eq!(provider.verify(&id, b"message", &signature), Authenticity::Genuine);
    });
    assert_eq!(count, 0);
}
