//! Synchronisation: who gets what, in which order, and that nothing is lost when somebody who waits goes away.

mod async_value;
mod barrier;
mod capacity_limiter;
mod combinators;
mod condition;
mod gate;
mod gates;
mod lock;
mod matrix;
mod parking_lot;
mod rw_lock;
mod semaphore;
mod subject;
