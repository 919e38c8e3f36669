//! Channel round trip: one task sends a number and waits for it to come back from another, over two channels of
//! capacity 16. Both tasks park at every turn, so a round trip is two wakes and two hand-overs.
//!
//! The asking task is a child of one nursery; the answering task sits inside `d` nested ones, the outermost being the
//! same. So at depth 1 they are siblings, as two spawned tasks are elsewhere, and every further level is one more
//! nursery that a wake must pass on the way down to the answering task. Peers have no depth: they spawn both.
//! `FuturesUnordered` can be nested in the same way.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::harness::{Benchmark, Sample};
use crate::hosts::{self, Hosted};
use crate::options::Scale;
use crate::parts::{BareReceiver, BareSender, bare_channel};

const CAPACITY: usize = 16;

pub(crate) fn benchmarks(scale: Scale) -> [Benchmark; 2] {
    let trips = scale.of(50_000);
    let own = Benchmark::new(
        "round trip, own",
        "A number sent to another task and back, each runtime's own channel of capacity 16; time per round trip.",
    )
    .contender("trio, depth 1", move || on_trio::<Trio>(1, trips))
    .contender("trio, depth 2", move || on_trio::<Trio>(2, trips))
    .contender("trio, depth 4", move || on_trio::<Trio>(4, trips))
    .contender("trio, depth 8", move || on_trio::<Trio>(8, trips))
    .contender("tokio LocalRuntime, mpsc", move || hosts::tokio_local_runtime(on_tokio::<Tokio>(trips)))
    .contender("tokio LocalSet, mpsc", move || hosts::tokio_local_set(on_tokio::<Tokio>(trips)))
    .contender("smol, async-channel", move || hosts::smol(move |executor| on_smol::<Smol>(executor, trips)))
    .contender("FuturesUnordered, futures mpsc, depth 1", move || on_futures::<Futures>(1, trips))
    .contender("FuturesUnordered, futures mpsc, depth 2", move || on_futures::<Futures>(2, trips))
    .contender("FuturesUnordered, futures mpsc, depth 4", move || on_futures::<Futures>(4, trips))
    .contender("FuturesUnordered, futures mpsc, depth 8", move || on_futures::<Futures>(8, trips))
    .contender("monoio, futures mpsc", move || hosts::monoio(on_monoio::<Futures>(trips)));
    #[cfg(target_os = "linux")]
    let own = own.contender("glommio, local_channel", move || hosts::glommio(on_glommio::<Glommio>(trips)));
    let own = own.goal("trio, depth 1", "tokio LocalRuntime, mpsc", 2.0).goal(
        "trio, depth 4",
        "tokio LocalRuntime, mpsc",
        1.0,
    );

    let bare = Benchmark::new(
        "round trip, bare",
        "The same over one runtime-agnostic channel for all (a queue and two wakers); time per round trip.",
    )
    .contender("trio, depth 1", move || on_trio::<Bare>(1, trips))
    .contender("trio, depth 2", move || on_trio::<Bare>(2, trips))
    .contender("trio, depth 4", move || on_trio::<Bare>(4, trips))
    .contender("trio, depth 8", move || on_trio::<Bare>(8, trips))
    .contender("tokio LocalRuntime", move || hosts::tokio_local_runtime(on_tokio::<Bare>(trips)))
    .contender("tokio LocalSet", move || hosts::tokio_local_set(on_tokio::<Bare>(trips)))
    .contender("smol", move || hosts::smol(move |executor| on_smol::<Bare>(executor, trips)))
    .contender("FuturesUnordered, depth 1", move || on_futures::<Bare>(1, trips))
    .contender("FuturesUnordered, depth 2", move || on_futures::<Bare>(2, trips))
    .contender("FuturesUnordered, depth 4", move || on_futures::<Bare>(4, trips))
    .contender("FuturesUnordered, depth 8", move || on_futures::<Bare>(8, trips))
    .contender("monoio", move || hosts::monoio(on_monoio::<Bare>(trips)));
    #[cfg(target_os = "linux")]
    let bare = bare.contender("glommio", move || hosts::glommio(on_glommio::<Bare>(trips)));
    [own, bare]
}

/// A bounded channel.
trait Channel {
    type Sender: 'static;
    type Receiver: 'static;
    fn open() -> (Self::Sender, Self::Receiver);
    async fn send(sender: &mut Self::Sender, value: u64);
    async fn receive(receiver: &mut Self::Receiver) -> u64;
}

/// Two channels, as the two tasks hold them.
struct Ends<C: Channel>(C::Sender, C::Receiver);

fn open<C: Channel>() -> (Ends<C>, Ends<C>) {
    let (to_answering, from_asking) = C::open();
    let (to_asking, from_answering) = C::open();
    (Ends(to_answering, from_answering), Ends(to_asking, from_asking))
}

/// The one task: sends, waits for the answer, checks it. It tells how long that took.
async fn ask<C: Channel>(mut ends: Ends<C>, trips: u64) -> Duration {
    let start = Instant::now();
    for number in 0..trips {
        C::send(&mut ends.0, number).await;
        assert_eq!(C::receive(&mut ends.1).await, number);
    }
    start.elapsed()
}

/// The other task: sends back what it gets.
async fn answer<C: Channel>(mut ends: Ends<C>, trips: u64) {
    for _ in 0..trips {
        let number = C::receive(&mut ends.1).await;
        C::send(&mut ends.0, number).await;
    }
}

/// Where the answering task sits. Levels are types, so that no level costs a box,
/// and each level's future is made by the level above it, as in a program of nested handlers.
trait Level {
    async fn run<C: Channel>(answering: Ends<C>, trips: u64);
}

/// The answering task itself.
struct Answer;

impl Level for Answer {
    async fn run<C: Channel>(answering: Ends<C>, trips: u64) {
        answer(answering, trips).await;
    }
}

/// A nursery, and in it the level below.
struct InNursery<L>(PhantomData<L>);

impl<L: Level> Level for InNursery<L> {
    async fn run<C: Channel>(answering: Ends<C>, trips: u64) {
        trio::nursery! { |n|
            n.start_soon(L::run(answering, trips));
        }
    }
}

fn on_trio<C: Channel>(depth: u32, trips: u64) -> Hosted<Sample> {
    match depth {
        1 => hosts::trio(trio_siblings::<C, Answer>(trips)),
        2 => hosts::trio(trio_siblings::<C, InNursery<Answer>>(trips)),
        4 => hosts::trio(trio_siblings::<C, InNursery<InNursery<InNursery<Answer>>>>(trips)),
        8 => {
            type Four<L> = InNursery<InNursery<InNursery<InNursery<L>>>>;
            hosts::trio(trio_siblings::<C, Four<InNursery<InNursery<InNursery<Answer>>>>>(trips))
        }
        other => Err(format!("depth {other} is not written out")),
    }
}

async fn trio_siblings<C: Channel, L: Level>(trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let time = Cell::new(Duration::ZERO);
    let ask = async { time.set(ask(asking, trips).await) };
    trio::nursery! { |n|
        n.start_soon(ask);
        n.start_soon(L::run(answering, trips));
    }
    Sample::new(time.get(), trips)
}

async fn on_tokio<C: Channel + 'static>(trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let ask = tokio::task::spawn_local(ask(asking, trips));
    let answer = tokio::task::spawn_local(answer(answering, trips));
    let time = ask.await.expect("the asking task can't panic");
    answer.await.expect("the answering task can't panic");
    Sample::new(time, trips)
}

async fn on_smol<C: Channel + 'static>(executor: std::rc::Rc<smol::LocalExecutor<'static>>, trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let ask = executor.spawn(ask(asking, trips));
    let answer = executor.spawn(answer(answering, trips));
    let time = ask.await;
    answer.await;
    Sample::new(time, trips)
}

/// A `FuturesUnordered`, and in it the level below.
struct InUnordered<L>(PhantomData<L>);

impl<L: Level> Level for InUnordered<L> {
    async fn run<C: Channel>(answering: Ends<C>, trips: u64) {
        let mut children = FuturesUnordered::new();
        children.push(L::run(answering, trips));
        while children.next().await.is_some() {}
    }
}

fn on_futures<C: Channel>(depth: u32, trips: u64) -> Hosted<Sample> {
    match depth {
        1 => hosts::futures(futures_siblings::<C, Answer>(trips)),
        2 => hosts::futures(futures_siblings::<C, InUnordered<Answer>>(trips)),
        4 => hosts::futures(futures_siblings::<C, InUnordered<InUnordered<InUnordered<Answer>>>>(trips)),
        8 => {
            type Four<L> = InUnordered<InUnordered<InUnordered<InUnordered<L>>>>;
            hosts::futures(futures_siblings::<C, Four<InUnordered<InUnordered<InUnordered<Answer>>>>>(trips))
        }
        other => Err(format!("depth {other} is not written out")),
    }
}

async fn futures_siblings<C: Channel, L: Level>(trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let time = Cell::new(Duration::ZERO);
    let mut children: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    children.push(Box::pin(async { time.set(ask(asking, trips).await) }));
    children.push(Box::pin(L::run(answering, trips)));
    while children.next().await.is_some() {}
    Sample::new(time.get(), trips)
}

async fn on_monoio<C: Channel + 'static>(trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let ask = monoio::spawn(ask(asking, trips));
    let answer = monoio::spawn(answer(answering, trips));
    let time = ask.await;
    answer.await;
    Sample::new(time, trips)
}

#[cfg(target_os = "linux")]
async fn on_glommio<C: Channel + 'static>(trips: u64) -> Sample {
    let (asking, answering) = open::<C>();
    let ask = glommio::spawn_local(ask(asking, trips));
    let answer = glommio::spawn_local(answer(answering, trips));
    let time = ask.await;
    answer.await;
    Sample::new(time, trips)
}

/// What a channel says when its other end is gone, which does not happen here.
const OPEN: &str = "both ends stay open";

struct Bare;

impl Channel for Bare {
    type Sender = BareSender;
    type Receiver = BareReceiver;

    fn open() -> (BareSender, BareReceiver) {
        bare_channel(CAPACITY)
    }

    async fn send(sender: &mut BareSender, value: u64) {
        sender.send(value).await;
    }

    async fn receive(receiver: &mut BareReceiver) -> u64 {
        receiver.receive().await
    }
}

struct Trio;

impl Channel for Trio {
    type Sender = trio::MemorySender<u64>;
    type Receiver = trio::MemoryReceiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        trio::open_memory_channel(CAPACITY)
    }

    async fn send(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.receive().await.expect(OPEN)
    }
}

struct Tokio;

impl Channel for Tokio {
    type Sender = tokio::sync::mpsc::Sender<u64>;
    type Receiver = tokio::sync::mpsc::Receiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(CAPACITY)
    }

    async fn send(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect(OPEN)
    }
}

struct Smol;

impl Channel for Smol {
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(CAPACITY)
    }

    async fn send(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect(OPEN)
    }
}

/// The channel of the `futures` crates, for those that bring none of their own.
struct Futures;

impl Channel for Futures {
    type Sender = futures_channel::mpsc::Sender<u64>;
    type Receiver = futures_channel::mpsc::Receiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        futures_channel::mpsc::channel(CAPACITY)
    }

    async fn send(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect(OPEN);
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.next().await.expect(OPEN)
    }
}

#[cfg(target_os = "linux")]
struct Glommio;

#[cfg(target_os = "linux")]
impl Channel for Glommio {
    type Sender = glommio::channels::local_channel::LocalSender<u64>;
    type Receiver = glommio::channels::local_channel::LocalReceiver<u64>;

    fn open() -> (Self::Sender, Self::Receiver) {
        glommio::channels::local_channel::new_bounded(CAPACITY)
    }

    async fn send(sender: &mut Self::Sender, value: u64) {
        assert!(sender.send(value).await.is_ok(), "{OPEN}");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect(OPEN)
    }
}
