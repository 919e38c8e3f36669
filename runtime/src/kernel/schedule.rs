//! Which of the orders that nobody promised a run takes.
//!
//! A run has three kinds of choices that its program must not depend on: the order in which the ready children of a
//! nursery take their turns, the order in which deadlines of the same instant come, and whether an operation that need
//! not wait lets the others take a step (it may skip that within the step's budget). Whoever chooses is asked with the
//! number of alternatives, and 0 is always what happens without anybody: the one woken or set first, and a yield.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Who chooses.
pub(super) enum Schedule {
    /// Nobody: first in, first out, and operations yield when the step's budget is used up.
    Fifo,
    Seeded(Seeded),
    Guided(Rc<Guide>),
}

impl Schedule {
    pub(super) fn is_fifo(&self) -> bool {
        matches!(self, Self::Fifo)
    }

    /// A number below `alternatives`, which is at least 1.
    pub(super) fn choose(&self, alternatives: usize) -> usize {
        match self {
            Self::Fifo => 0,
            Self::Seeded(seeded) => seeded.below(alternatives),
            Self::Guided(guide) => guide.choose(alternatives),
        }
    }

    /// Whether an operation that need not wait goes on without a yield.
    pub(super) fn skips_yield(&self) -> bool {
        match self {
            Self::Fifo => false,
            Self::Seeded(seeded) => seeded.below(8) >= seeded.yields_of_eight,
            Self::Guided(guide) => guide.choose(2) == 1,
        }
    }

    /// A number for chances that are no choices of the schedule, if it is a random one.
    pub(super) fn draw(&self) -> Option<u64> {
        match self {
            Self::Seeded(seeded) => Some(seeded.next()),
            Self::Fifo | Self::Guided(_) => None,
        }
    }

    /// Puts things into an order of its choice.
    pub(super) fn shuffle<T>(&self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            // What is first is to stay first unless something is chosen, so the choice counts from the end.
            things.swap(last, last - self.choose(last + 1));
        }
    }
}

/// Chooses at random.
pub(super) struct Seeded {
    state: Cell<u64>,
    /// How many of eight operations that need not wait yield. It differs from seed to seed: some mistakes show only
    /// where every operation yields, some only where hardly any does.
    yields_of_eight: usize,
}

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        let mut seeded = Self { state: Cell::new(seed), yields_of_eight: 8 };
        seeded.yields_of_eight = [8, 6, 4, 1][seeded.below(4)];
        seeded
    }

    fn below(&self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A choice other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deviation {
    /// How many choices came before it.
    pub(crate) at: usize,
    pub(crate) choice: usize,
    /// Among how many, if that is known from an earlier run.
    pub(crate) of: Option<usize>,
}

/// Makes the choices it was told to make, and 0 everywhere else; writes down how many alternatives there were.
pub(crate) struct Guide {
    /// In the order in which they come.
    deviations: Vec<Deviation>,
    next: Cell<usize>,
    /// The number of alternatives at each choice so far.
    alternatives: RefCell<Vec<usize>>,
    astray: Cell<bool>,
}

impl Guide {
    pub(crate) fn new(deviations: Vec<Deviation>) -> Self {
        Self { deviations, next: Cell::new(0), alternatives: RefCell::default(), astray: Cell::new(false) }
    }

    fn choose(&self, alternatives: usize) -> usize {
        let at = {
            let mut seen = self.alternatives.borrow_mut();
            seen.push(alternatives);
            seen.len() - 1
        };
        let Some(deviation) = self.deviations.get(self.next.get()).filter(|deviation| deviation.at == at) else {
            return 0;
        };
        self.next.set(self.next.get() + 1);
        if deviation.choice >= alternatives || deviation.of.is_some_and(|of| of != alternatives) {
            self.astray.set(true);
            return 0;
        }
        deviation.choice
    }

    /// How many alternatives there were at each choice.
    pub(crate) fn alternatives(&self) -> Vec<usize> {
        self.alternatives.borrow().clone()
    }

    /// Whether the run took another course than the one that the choices were made for.
    pub(crate) fn is_astray(&self) -> bool {
        self.astray.get() || self.next.get() < self.deviations.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_chosen_leaves_the_order() {
        let guide = Rc::new(Guide::new(Vec::new()));
        let mut things = [1, 2, 3, 4];
        Schedule::Guided(Rc::clone(&guide)).shuffle(&mut things);
        assert_eq!(things, [1, 2, 3, 4]);
        assert_eq!(guide.alternatives(), [4, 3, 2]);
        assert!(!guide.is_astray());
    }

    #[test]
    fn every_order_has_its_choices() {
        let mut orders = std::collections::BTreeSet::new();
        for (first, second) in (0..3).flat_map(|first| (0..2).map(move |second| (first, second))) {
            let choices = [(0, first, 3), (1, second, 2)];
            let deviations = choices.into_iter().filter(|(_, choice, _)| *choice > 0);
            let deviations = deviations.map(|(at, choice, of)| Deviation { at, choice, of: Some(of) }).collect();
            let mut things = [1, 2, 3];
            Schedule::Guided(Rc::new(Guide::new(deviations))).shuffle(&mut things);
            orders.insert(things);
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn choices_for_another_program_are_noticed() {
        let astray = |at, choice, of| {
            let guide = Rc::new(Guide::new(vec![Deviation { at, choice, of }]));
            Schedule::Guided(Rc::clone(&guide)).choose(3);
            guide.is_astray()
        };
        assert!(!astray(0, 2, None) && !astray(0, 2, Some(3)));
        assert!(astray(0, 3, None), "there is no such alternative");
        assert!(astray(0, 2, Some(4)), "there were four before");
        assert!(astray(1, 1, None), "the run ended before");
    }

    #[test]
    fn a_seed_chooses_evenly() {
        let seeded = Seeded::new(7);
        let mut counts = [0_u32; 5];
        for _ in 0..10_000 {
            counts[seeded.below(5)] += 1;
        }
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    }
}
