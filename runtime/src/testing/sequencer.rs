//! Making several tasks go on in an order that the test has chosen.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use crate::sync::Event;

/// Forces code in different tasks to run in an order that is written down: Trio's `Sequencer`.
///
/// Each piece of code takes the [`point`](Self::point) with its number in the sequence, and holds it as long as it runs.
/// The next one begins when that is dropped, however that comes about.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use trio::testing::{Sequencer, SequencerError};
/// async fn odd(order: &Sequencer, log: &RefCell<Vec<u64>>) -> Result<(), SequencerError> {
///     let _turn = order.point(1).await?;
///     log.borrow_mut().push(1);
///     Ok(())
/// }
/// async fn even(order: &Sequencer, log: &RefCell<Vec<u64>>) -> Result<(), SequencerError> {
///     for number in [0, 2] {
///         let _turn = order.point(number).await?;
///         log.borrow_mut().push(number);
///     }
///     Ok(())
/// }
/// trio::run(async {
///     let (order, log) = (Sequencer::new(), RefCell::default());
///     trio::try_nursery! { |n|
///         n.start_soon(odd(&order, &log));
///         n.start_soon(even(&order, &log));
///     }
///     .unwrap();
///     assert_eq!(log.into_inner(), [0, 1, 2]);
/// });
/// ```
#[derive(Default)]
pub struct Sequencer {
    /// What each point waits for: the end of the one before.
    turns: RefCell<HashMap<u64, Rc<Event>>>,
    taken: RefCell<HashSet<u64>>,
    broken: Cell<bool>,
}

impl Sequencer {
    /// A sequence that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until every point before this one has been taken and dropped, and takes it. The first is number 0.
    ///
    /// A checkpoint, but for number 0, which goes on at once, as in Trio.
    ///
    /// # Cancellation
    ///
    /// If it is cancelled or dropped while it waits, the sequence can't go on: it is *broken*. All who wait, and all who
    /// come later, get [`SequencerError::Broken`]. (In Trio the cancelled one gets that error as well; here it is dropped.)
    ///
    /// # Errors
    ///
    /// [`SequencerError::Reused`] if this point has been taken before, or somebody waits for it;
    /// [`SequencerError::Broken`] after a cancellation, at once or while it waits.
    pub async fn point(&self, number: u64) -> Result<SequencePoint<'_>, SequencerError> {
        if self.broken.get() {
            return Err(SequencerError::Broken);
        }
        if !self.taken.borrow_mut().insert(number) {
            return Err(SequencerError::Reused(number));
        }
        if number > 0 {
            let turn = self.turn(number);
            let unfinished = BreaksSequence(self);
            turn.wait().await;
            std::mem::forget(unfinished);
            if self.broken.get() {
                return Err(SequencerError::Broken);
            }
        }
        Ok(SequencePoint { sequencer: self, number })
    }

    fn turn(&self, number: u64) -> Rc<Event> {
        Rc::clone(self.turns.borrow_mut().entry(number).or_default())
    }

    fn break_up(&self) {
        self.broken.set(true);
        let mut turns: Vec<_> = self.turns.borrow().iter().map(|(number, turn)| (*number, Rc::clone(turn))).collect();
        // The earlier points are told first, so that nothing depends on the order of a hash map.
        turns.sort_unstable_by_key(|(number, _)| *number);
        for (_, turn) in turns {
            turn.set();
        }
    }
}

/// What is left of a wait that is dropped.
struct BreaksSequence<'a>(&'a Sequencer);

impl Drop for BreaksSequence<'_> {
    fn drop(&mut self) {
        self.0.break_up();
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut taken: Vec<_> = self.taken.borrow().iter().copied().collect();
        taken.sort_unstable();
        f.debug_struct("Sequencer").field("taken", &taken).field("broken", &self.broken.get()).finish()
    }
}

/// A place in a sequence. The next one may begin when it is dropped. Made by [`Sequencer::point`].
#[derive(Debug)]
#[must_use = "the sequence goes on as soon as this is dropped: give it a name"]
pub struct SequencePoint<'a> {
    sequencer: &'a Sequencer,
    number: u64,
}

impl Drop for SequencePoint<'_> {
    fn drop(&mut self) {
        if let Some(next) = self.number.checked_add(1) {
            self.sequencer.turn(next).set();
        }
    }
}

/// A point of a sequence can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SequencerError {
    /// The point with this number has been taken before.
    Reused(u64),
    /// Somebody who waited for a point was cancelled, so that the sequence can't go on.
    Broken,
}

impl fmt::Display for SequencerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reused(number) => write!(f, "point {number} of the sequence has been taken before"),
            Self::Broken => f.write_str("the sequence is broken: somebody was cancelled while waiting for a point"),
        }
    }
}

impl std::error::Error for SequencerError {}
