//! The checks of a stream in both directions.

use super::makers::{CloggedStreamMaker, Flipped};
use super::{aclose, both, one_way, receives, works};
use crate::stream::{ReceiveStream, SendStream, SplitStream};

/// How much is sent in each direction at once.
const DUPLEX_SIZE: usize = 1 << 20;
const MAX_CHUNK: usize = 1 << 14;

/// Checks that a stream in both directions does what every one must do: Trio's `check_two_way_stream`.
///
/// `maker` and `clogged` are as for [`check_one_way_stream`](super::check_one_way_stream), with two ends that are connected
/// to each other; clogged pairs have to be so in both directions. This checks all that that one does, in each of the two
/// directions, and:
///
/// 1. A mebibyte of random data goes each way at the same time, in pieces of random size, and arrives as it was sent. This
///    is what the halves ([`SplitStream`]) are needed for.
/// 2. When one side closes, the other gets the end, and can close too.
///
/// A checkpoint, with what the other function says of hanging and cancellation.
///
/// # Panics
///
/// When a check fails.
///
/// # Examples
///
/// ```
/// use trio::testing::{check_two_way_stream, lockstep_stream_pair};
/// // A stream that holds nothing is always clogged.
/// trio::run(check_two_way_stream(async || lockstep_stream_pair(), async || lockstep_stream_pair()));
/// ```
pub async fn check_two_way_stream<A: SplitStream, B: SplitStream>(
    maker: impl AsyncFn() -> (A, B),
    clogged: impl CloggedStreamMaker<A, B>,
) {
    check(&maker, &clogged).await;
}

pub(super) async fn check<A: SplitStream, B: SplitStream>(
    maker: &impl AsyncFn() -> (A, B),
    clogged: &impl CloggedStreamMaker<A, B>,
) {
    Box::pin(one_way::check(maker, clogged)).await;
    let flipped = async || {
        let (left, right) = maker().await;
        (right, left)
    };
    Box::pin(one_way::check(&flipped, &Flipped(clogged))).await;
    Box::pin(duplex(maker().await)).await;
}

async fn duplex((mut left, mut right): (impl SplitStream, impl SplitStream)) {
    let to_the_right = Random(0x5eed).bytes(DUPLEX_SIZE);
    let to_the_left: Vec<u8> = to_the_right.iter().rev().copied().collect();
    {
        let (from_right, into_left) = left.split();
        let (from_left, into_right) = right.split();
        let sending = both(send_in_pieces(into_left, &to_the_right, 1), send_in_pieces(into_right, &to_the_left, 2));
        let receiving =
            both(receive_in_pieces(from_right, &to_the_left, 3), receive_in_pieces(from_left, &to_the_right, 4));
        both(sending, receiving).await;
    }
    let end = async {
        receives(&mut right, 10, b"").await;
        aclose(&mut right).await;
    };
    both(end, aclose(&mut left)).await;
}

async fn send_in_pieces(mut stream: impl SendStream, data: &[u8], seed: u64) {
    let (mut random, mut rest) = (Random(seed), data);
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(random.up_to(MAX_CHUNK).min(rest.len()));
        works("send_all", stream.send_all(piece).await);
        rest = others;
    }
}

async fn receive_in_pieces(mut stream: impl ReceiveStream, expected: &[u8], seed: u64) {
    let (mut random, mut rest, mut buffer) = (Random(seed), expected, vec![0; MAX_CHUNK]);
    while !rest.is_empty() {
        let size = random.up_to(MAX_CHUNK);
        let count = works("receive_some", stream.receive_some(&mut buffer[..size]).await);
        assert!(count > 0, "the stream ended {} bytes too early", rest.len());
        assert!(count <= size && count <= rest.len(), "receive_some gave more than was asked for, or sent");
        assert!(buffer[..count] == rest[..count], "what was received is not what was sent");
        rest = &rest[count..];
    }
}

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 1, at most `max`.
    fn up_to(&mut self, max: usize) -> usize {
        1 + (self.next() as usize) % max
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }
}
