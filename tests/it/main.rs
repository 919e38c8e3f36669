//! Integration tests: one binary, a module for each subject.

mod cancel;
mod channel_lock_event;
mod checkpoint;
mod clock;
mod completion;
mod deadline;
mod io_readiness;
mod layers;
mod leaks;
mod macros;
mod net;
mod nursery;
mod quickstart;
mod rules;
mod scheduler;
mod shield;
mod soundness;
mod source;
mod start;
mod support;
mod sync;
mod tidy;
mod ui;
mod vectors;
