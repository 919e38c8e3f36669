//! The scheduler, nurseries and cancellation: everything that the rest of the crate stands on.
//!
//! From the bottom: [`word`], [`inbox`] and [`waker`] wake tasks; [`tree`] knows who is whose child and what is
//! cancelled; [`timers`], [`clock`] and [`reactor`] bring events; [`child`], [`core`] and [`driver`] are the nursery;
//! [`scope`] and [`finally`] the other nodes; [`run`] turns it all. [`context`] knows which run a thread
//! is in, and [`guest`] turns a run in somebody else's loop.
//!
//! This is the only folder with `unsafe` code. Two arguments carry all of it. *Children*: a child's future is polled
//! only inside its nursery's poll and dropped with the nursery's driver (see [`core`]). *Wakers*: a waker is a number
//! (see [`word`]), so it can be used from any thread at any time.

pub(crate) mod attempt;
mod bell;
pub(crate) mod blocked;
pub(crate) mod builder;
pub(crate) mod checkpoint;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod core;
pub(crate) mod deadlock;
pub(crate) mod defer;
mod doubts;
pub(crate) mod driver;
pub(crate) mod finally;
pub(crate) mod group;
pub(crate) mod guest;
pub(crate) mod guest_host;
pub(crate) mod guest_wait;
pub(crate) mod handle;
pub(crate) mod header;
pub(crate) mod idempotent;
pub(crate) mod inbox;
pub(crate) mod instrument;
pub(crate) mod interrupt;
pub(crate) mod lazy;
pub(crate) mod link;
pub(crate) mod nursery;
pub(crate) mod park;
pub(crate) mod question;
pub(crate) mod reactor;
pub(crate) mod reason;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod scope;
pub(crate) mod shutdown;
pub(crate) mod signal;
pub(crate) mod sleep;
pub(crate) mod spin;
pub(crate) mod start;
pub(crate) mod system;
pub(crate) mod task;
pub(crate) mod thread_name;
pub(crate) mod timers;
pub(crate) mod token;
pub(crate) mod tree;
pub(crate) mod variables;
pub(crate) mod view;
pub(crate) mod waker;
pub(crate) mod word;
