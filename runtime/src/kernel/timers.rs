//! Deadlines in the order they fall due: an indexed 4-ary heap.
//!
//! Setting a deadline later than the others (the usual timeout) and taking out one that never fired cost a
//! few steps near the bottom of the heap; nothing is left behind by a removal.
//! Invariant: every entry of `heap` names a live timer whose `place` is the entry's index.

use slab::Slab;

use super::header::NodeId;
use super::waker::StoredWaker;

/// Nanoseconds since the run's start, on the run's clock.
pub(crate) type Time = u64;
/// A deadline that never comes.
pub(crate) const NEVER: Time = Time::MAX;

/// Names a timer while it exists.
pub(crate) type TimerKey = u32;
/// "No timer" where a key is expected.
pub(crate) const NO_TIMER: TimerKey = u32::MAX;
/// "A timer that has not been set yet" where a key is expected: see [`lazy`](super::lazy).
pub(crate) const UNARMED: TimerKey = u32::MAX - 1;

/// The number of children of a heap entry.
const ARITY: usize = 4;
/// The `place` of a timer that has fired.
const FIRED: u32 = u32::MAX;

/// What a timer does when it falls due.
#[derive(Debug)]
pub(crate) enum Target {
    /// Cancel this scope or nursery. The timer is gone once it has fired.
    Scope(NodeId),
    /// Wake a sleeper, who then takes the timer out.
    Sleeper(StoredWaker),
}

struct Timer {
    place: u32,
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Time,
    /// Breaks ties, so that equal deadlines fire in the order in which they were set.
    number: u64,
    key: TimerKey,
}

/// The deadlines of one run.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Entry>,
    timers: Slab<Timer>,
    next_number: u64,
}

impl Timers {
    /// How many timers exist, fired ones that were not taken out yet included.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.deadline)
    }

    pub(crate) fn insert(&mut self, deadline: Time, target: Target) -> TimerKey {
        let key = self.timers.insert(Timer { place: self.heap.len() as u32, target }) as TimerKey;
        let number = self.next_number;
        self.next_number += 1;
        self.heap.push(Entry { deadline, number, key });
        self.rise(self.heap.len() - 1);
        key
    }

    /// Takes a timer out, fired or not. The target is the caller's to drop, when nothing is borrowed.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Target> {
        let timer = self.timers.try_remove(key as usize)?;
        if timer.place != FIRED {
            self.take_out(timer.place as usize);
        }
        Some(timer.target)
    }

    pub(crate) fn has_fired(&self, key: TimerKey) -> bool {
        self.timers.get(key as usize).is_none_or(|timer| timer.place == FIRED)
    }

    /// Sets whom to wake; gives back what was there before, to be dropped when nothing is borrowed.
    pub(crate) fn set_sleeper(&mut self, key: TimerKey, waker: StoredWaker) -> Option<Target> {
        let timer = self.timers.get_mut(key as usize)?;
        Some(std::mem::replace(&mut timer.target, Target::Sleeper(waker)))
    }

    pub(crate) fn sleeper(&self, key: TimerKey) -> Option<&StoredWaker> {
        match &self.timers.get(key as usize)?.target {
            Target::Sleeper(waker) => Some(waker),
            Target::Scope(_) => None,
        }
    }

    /// Takes the earliest timer if it is due. A scope's timer is then gone; a sleeper's stays, marked fired.
    pub(crate) fn expire(&mut self, now: Time) -> Option<Target> {
        let first = self.heap.first().filter(|entry| entry.deadline <= now)?;
        Some(self.fire(first.key))
    }

    /// The timers with the earliest deadline, in the order in which they were set; none unless they are due.
    pub(crate) fn first_due(&self, now: Time) -> Vec<TimerKey> {
        let Some(deadline) = self.next().filter(|deadline| *deadline <= now) else { return Vec::new() };
        // They are all at the top of the heap: nothing below a later one is earlier.
        let (mut places, mut tied) = (vec![0], Vec::new());
        while let Some(place) = places.pop() {
            if let Some(entry) = self.heap.get(place).filter(|entry| entry.deadline == deadline) {
                tied.push((entry.number, entry.key));
                places.extend(place * ARITY + 1..=place * ARITY + ARITY);
            }
        }
        tied.sort_unstable();
        tied.into_iter().map(|(_, key)| key).collect()
    }

    /// As [`expire`](Self::expire), for this timer, if it still exists and is due.
    pub(crate) fn expire_this(&mut self, key: TimerKey, now: Time) -> Option<Target> {
        let timer = self.timers.get(key as usize).filter(|timer| timer.place != FIRED)?;
        let due = self.heap[timer.place as usize].deadline <= now;
        due.then(|| self.fire(key))
    }

    fn fire(&mut self, key: TimerKey) -> Target {
        let key = key as usize;
        self.take_out(self.timers[key].place as usize);
        match &self.timers[key].target {
            Target::Scope(_) => self.timers.remove(key).target,
            Target::Sleeper(waker) => {
                let waker = waker.clone();
                self.timers[key].place = FIRED;
                Target::Sleeper(waker)
            }
        }
    }

    fn take_out(&mut self, place: usize) {
        let removed = self.heap.swap_remove(place);
        if place < self.heap.len() {
            if self.heap[place] < removed {
                self.rise(place);
            } else {
                self.sink(place);
            }
        }
    }

    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent] <= entry {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let last = (first + ARITY).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|&child| self.heap[child]) else { break };
            if entry <= self.heap[least] {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.timers[entry.key as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{Arena, Kind};
    use super::*;

    fn scope(serial: u64) -> Target {
        let arena = Box::leak(Box::new(Arena::new(1)));
        Target::Scope(arena.id(arena.take(Kind::Scope, serial)))
    }

    fn serials(timers: &mut Timers, now: Time) -> Vec<u64> {
        std::iter::from_fn(|| timers.expire(now))
            .map(|target| match target {
                Target::Scope(id) => id.serial(),
                Target::Sleeper(_) => unreachable!("only scopes were set"),
            })
            .collect()
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_they_were_set() {
        let mut timers = Timers::default();
        for serial in 1..=10 {
            timers.insert(7, scope(serial));
        }
        assert_eq!(serials(&mut timers, 6), []);
        assert_eq!(serials(&mut timers, 7), (1..=10).collect::<Vec<_>>());
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn those_that_are_due_first_are_found_in_the_order_they_were_set_and_fire_in_any() {
        let mut timers = Timers::default();
        let keys: Vec<_> = [7, 9, 7, 8, 7, 7].into_iter().map(|deadline| timers.insert(deadline, scope(1))).collect();
        assert_eq!(timers.first_due(6), []);
        assert_eq!(timers.first_due(9), [keys[0], keys[2], keys[4], keys[5]]);
        assert!(timers.expire_this(keys[5], 9).is_some());
        assert!(timers.expire_this(keys[5], 9).is_none(), "it is gone");
        assert!(timers.expire_this(keys[1], 8).is_none(), "it is not due");
        assert!(timers.remove(keys[0]).is_some());
        assert_eq!(timers.first_due(9), [keys[2], keys[4]]);
    }

    #[test]
    fn agrees_with_a_sorted_map_on_random_operations() {
        let mut timers = Timers::default();
        let mut model = std::collections::BTreeMap::new();
        let mut keys = Vec::new();
        let mut random = 12345_u64;
        for serial in 1..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let deadline = (random >> 33) % 1000;
            if random & 1 == 0 || keys.is_empty() {
                keys.push((timers.insert(deadline, scope(serial)), deadline, serial));
                model.insert((deadline, serial), ());
            } else {
                let (key, deadline, serial) = keys.swap_remove((random >> 40) as usize % keys.len());
                assert!(timers.remove(key).is_some());
                model.remove(&(deadline, serial));
            }
            assert_eq!(timers.next(), model.keys().next().map(|key| key.0));
        }
        let expected: Vec<u64> = model.keys().map(|key| key.1).collect();
        assert_eq!(serials(&mut timers, 1000), expected);
        assert!(timers.heap.is_empty());
    }

    #[test]
    fn a_fired_sleeper_stays_until_it_is_taken_out() {
        let mut timers = Timers::default();
        let key = timers.insert(3, Target::Sleeper(StoredWaker::None));
        assert!(!timers.has_fired(key));
        assert!(timers.expire(3).is_some());
        assert!(timers.has_fired(key));
        assert_eq!(timers.len(), 1);
        assert!(timers.remove(key).is_some());
        assert_eq!(timers.len(), 0);
    }
}
