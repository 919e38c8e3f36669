//! Memory channels: many values from some tasks to others, one way, until the channel ends.
//!
//! One sender and one receiver, eight senders and one receiver, and eight of both; bounded to 16 values, where the two
//! sides wait for each other all the time, and unbounded, where only receivers ever wait. Each runtime uses its own
//! channel on its own executor: tokio its mpsc, which has one receiver, smol its `async-channel`, which may have many
//! and is also what users of tokio take for that. The senders are spawned first.

use std::rc::Rc;
use std::time::Instant;

use smol::LocalExecutor;

use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

const CAPACITY: usize = 16;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 6] {
    let values = scale.of(200_000);
    [
        to_one::<true>("channel 1→1, bounded", "One sender, one receiver, a channel of 16; time per value.", 1, values),
        to_one::<false>("channel 1→1, unbounded", "One sender, one receiver, no bound; time per value.", 1, values),
        to_one::<true>(
            "channel 8→1, bounded",
            "Eight senders, one receiver, a channel of 16; time per value.",
            8,
            values,
        ),
        to_one::<false>("channel 8→1, unbounded", "Eight senders, one receiver, no bound; time per value.", 8, values),
        to_many::<true>(
            "channel 8→8, bounded",
            "Eight senders, eight receivers, a channel of 16; time per value.",
            values,
        ),
        to_many::<false>("channel 8→8, unbounded", "Eight senders, eight receivers, no bound; time per value.", values),
    ]
}

/// A benchmark with one receiver.
fn to_one<const BOUNDED: bool>(name: &'static str, what: &'static str, senders: usize, values: u64) -> Benchmark
where
    Tokio<BOUNDED>: Channel,
{
    let open = Ends::<Trio<BOUNDED>>::to_one;
    let open_tokio = Ends::<Tokio<BOUNDED>>::to_one;
    let open_async = Ends::<AsyncChannel<BOUNDED>>::to_one;
    Benchmark::new(name, what)
        .contender("trio", move || hosts::trio(on_trio(open(senders), values)))
        .contender("tokio LocalRuntime, mpsc", move || {
            hosts::tokio_local_runtime(on_tokio(open_tokio(senders), values))
        })
        .contender("tokio LocalSet, mpsc", move || hosts::tokio_local_set(on_tokio(open_tokio(senders), values)))
        .contender("smol, async-channel", move || {
            hosts::smol(move |executor| on_smol(executor, open_async(senders), values))
        })
        .goal("trio", "tokio LocalRuntime, mpsc", 1.5)
        .goal("trio", "smol, async-channel", 1.5)
}

/// A benchmark with eight senders and eight receivers.
fn to_many<const BOUNDED: bool>(name: &'static str, what: &'static str, values: u64) -> Benchmark {
    let open = || Ends::<Trio<BOUNDED>>::to_many(8, 8);
    let open_async = || Ends::<AsyncChannel<BOUNDED>>::to_many(8, 8);
    Benchmark::new(name, what)
        .contender("trio", move || hosts::trio(on_trio(open(), values)))
        .contender("tokio LocalRuntime, async-channel", move || {
            hosts::tokio_local_runtime(on_tokio(open_async(), values))
        })
        .contender("smol, async-channel", move || hosts::smol(move |executor| on_smol(executor, open_async(), values)))
        .goal("trio", "tokio LocalRuntime, async-channel", 1.5)
        .goal("trio", "smol, async-channel", 1.5)
}

/// A channel with many senders.
trait Channel: 'static {
    type Sender: Clone + 'static;
    type Receiver: 'static;
    fn open() -> (Self::Sender, Self::Receiver);
    async fn send(sender: &Self::Sender, value: u64);
    /// `None` when every sender is gone.
    async fn receive(receiver: &mut Self::Receiver) -> Option<u64>;
}

/// A channel with many receivers, too.
trait ManyReceivers: Channel<Receiver: Clone> {}

/// All ends of one channel.
struct Ends<C: Channel> {
    senders: Vec<C::Sender>,
    receivers: Vec<C::Receiver>,
}

impl<C: Channel> Ends<C> {
    fn to_one(senders: usize) -> Self {
        let (sender, receiver) = C::open();
        Self { senders: vec![sender; senders], receivers: vec![receiver] }
    }

    fn to_many(senders: usize, receivers: usize) -> Self
    where
        C: ManyReceivers,
    {
        let (sender, receiver) = C::open();
        Self { senders: vec![sender; senders], receivers: vec![receiver; receivers] }
    }
}

async fn send<C: Channel>(sender: C::Sender, count: u64) {
    for value in 0..count {
        C::send(&sender, value).await;
    }
}

/// Receives until the channel ends; gives the sum, so that no value is received for nothing.
async fn receive<C: Channel>(mut receiver: C::Receiver) -> u64 {
    let mut sum = 0;
    while let Some(value) = C::receive(&mut receiver).await {
        sum += value;
    }
    sum
}

/// How many values each sender sends, and what the receivers' sums are together.
fn shares(senders: usize, values: u64) -> (u64, u64) {
    let each = (values / senders as u64).max(1);
    (each, senders as u64 * (each * (each - 1) / 2))
}

async fn on_trio<C: Channel>(ends: Ends<C>, values: u64) -> Sample {
    let senders = ends.senders.len();
    let (each, expected) = shares(senders, values);
    let start = Instant::now();
    let sum = trio::nursery! { |n|
        for sender in ends.senders {
            n.start_soon(send::<C>(sender, each));
        }
        let receivers: Vec<_> = ends.receivers.into_iter().map(|receiver| n.spawn(receive::<C>(receiver))).collect();
        let mut sum = 0;
        for receiver in receivers {
            sum += receiver.join().await.expect("nobody cancels a receiver");
        }
        sum
    };
    assert_eq!(sum, expected);
    Sample::new(start.elapsed(), each * senders as u64)
}

async fn on_tokio<C: Channel>(ends: Ends<C>, values: u64) -> Sample {
    let senders = ends.senders.len();
    let (each, expected) = shares(senders, values);
    let start = Instant::now();
    for sender in ends.senders {
        tokio::task::spawn_local(send::<C>(sender, each));
    }
    let receivers: Vec<_> =
        ends.receivers.into_iter().map(|receiver| tokio::task::spawn_local(receive::<C>(receiver))).collect();
    let mut sum = 0;
    for receiver in receivers {
        sum += receiver.await.expect("a receiver can't panic");
    }
    assert_eq!(sum, expected);
    Sample::new(start.elapsed(), each * senders as u64)
}

async fn on_smol<C: Channel>(executor: Rc<LocalExecutor<'static>>, ends: Ends<C>, values: u64) -> Sample {
    let senders = ends.senders.len();
    let (each, expected) = shares(senders, values);
    let start = Instant::now();
    for sender in ends.senders {
        executor.spawn(send::<C>(sender, each)).detach();
    }
    let receivers: Vec<_> = ends.receivers.into_iter().map(|receiver| executor.spawn(receive::<C>(receiver))).collect();
    let mut sum = 0;
    for receiver in receivers {
        sum += receiver.await;
    }
    assert_eq!(sum, expected);
    Sample::new(start.elapsed(), each * senders as u64)
}

/// What a channel says when its other end is gone, which does not happen here while somebody sends.
const OPEN: &str = "the receivers stay open";

struct Trio<const BOUNDED: bool>;

impl<const BOUNDED: bool> Channel for Trio<BOUNDED> {
    type Sender = trio::MemorySender<u64>;
    type Receiver = trio::MemoryReceiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        trio::open_memory_channel(if BOUNDED { CAPACITY } else { usize::MAX })
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.receive().await.ok()
    }
}

impl<const BOUNDED: bool> ManyReceivers for Trio<BOUNDED> {}

struct Tokio<const BOUNDED: bool>;

impl Channel for Tokio<true> {
    type Sender = tokio::sync::mpsc::Sender<u64>;
    type Receiver = tokio::sync::mpsc::Receiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(CAPACITY)
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Channel for Tokio<false> {
    type Sender = tokio::sync::mpsc::UnboundedSender<u64>;
    type Receiver = tokio::sync::mpsc::UnboundedReceiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::unbounded_channel()
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

struct AsyncChannel<const BOUNDED: bool>;

impl<const BOUNDED: bool> Channel for AsyncChannel<BOUNDED> {
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        if BOUNDED { smol::channel::bounded(CAPACITY) } else { smol::channel::unbounded() }
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }
}

impl<const BOUNDED: bool> ManyReceivers for AsyncChannel<BOUNDED> {}
