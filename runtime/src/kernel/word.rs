//! The packed data word of a waker: which run, which generation of a slot, which slot.
//!
//! A word is a plain number, so cloning and dropping a waker touch no reference count, and a waker may be
//! kept for ever: a word whose node is gone fails the generation check. After a wrap of the generation it
//! names a stranger, who is then polled once without need, which the `Waker` contract allows.

/// The bits of a word, lowest first: slot index, generation, run.
#[cfg(target_pointer_width = "64")]
mod layout {
    pub(super) const INDEX: u32 = 32;
    pub(super) const GENERATION: u32 = 16;
    pub(super) const RUN: u32 = 16;
}
#[cfg(not(target_pointer_width = "64"))]
mod layout {
    pub(super) const INDEX: u32 = 18;
    pub(super) const GENERATION: u32 = 8;
    pub(super) const RUN: u32 = 6;
}

const INDEX_MASK: usize = (1 << layout::INDEX) - 1;
const GENERATION_MASK: usize = (1 << layout::GENERATION) - 1;

/// How many runs can be alive at one time in the process.
pub(crate) const MAX_RUNS: usize = 1 << layout::RUN;
/// How many nodes (tasks, bodies, nurseries and scopes) can be alive at one time in a run.
pub(crate) const MAX_NODES: usize = INDEX_MASK;

/// Names a task or a nursery body of some run, past or present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(usize);

impl Word {
    pub(crate) const fn new(run: u16, serial: u64, index: u32) -> Self {
        let generation = serial as usize & GENERATION_MASK;
        Self((run as usize) << (layout::GENERATION + layout::INDEX) | generation << layout::INDEX | index as usize)
    }

    pub(crate) const fn run(self) -> u16 {
        (self.0 >> (layout::GENERATION + layout::INDEX)) as u16
    }

    pub(crate) const fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    /// Whether a node with this serial number may be the one the word was made for.
    pub(crate) const fn matches(self, serial: u64) -> bool {
        self.0 >> layout::INDEX & GENERATION_MASK == serial as usize & GENERATION_MASK
    }

    pub(crate) const fn to_data(self) -> *const () {
        core::ptr::without_provenance(self.0)
    }

    pub(crate) fn from_data(data: *const ()) -> Self {
        Self(data.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_its_parts() {
        let word = Word::new(7, 0x1_2345, 99);
        assert_eq!((word.run(), word.index()), (7, 99));
        assert!(word.matches(0x1_2345));
        assert!(!word.matches(0x1_2346));
        assert_eq!(Word::from_data(word.to_data()), word);
    }

    #[test]
    fn the_generation_wraps() {
        let word = Word::new(0, 5, 0);
        assert!(word.matches(5 + (1 << layout::GENERATION)));
    }
}
