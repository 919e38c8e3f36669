//! The queue of calls that are made once, however often they are asked for meanwhile.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::inbox::Call;

/// What tells whether two calls are the same.
pub(crate) struct Key {
    /// Taken when the key is made, so that hashing, which is foreign code, happens outside of any lock.
    hash: u64,
    value: Box<dyn AnyKey>,
}

trait AnyKey: Any + Send {
    fn equals(&self, other: &dyn Any) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<K: Eq + Send + 'static> AnyKey for K {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<K>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Key {
    pub(crate) fn new<K: Hash + Eq + Send + 'static>(key: K) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self { hash: hasher.finish(), value: Box::new(key) }
    }

    fn equals(&self, other: &Self) -> bool {
        self.value.equals((*other.value).as_any())
    }
}

/// Calls with different keys, in the order in which they came.
#[derive(Default)]
pub(crate) struct Idempotent {
    calls: VecDeque<(Key, Call)>,
    /// The number of the first call; each has the next number.
    first: u64,
    /// The calls' numbers, by the hashes of their keys.
    numbers: HashMap<u64, Vec<u64>>,
}

impl Idempotent {
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether a call with this key is there. Compares keys, which is foreign code and may panic.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        let rivals = self.numbers.get(&key.hash).map_or(&[][..], Vec::as_slice);
        rivals.iter().any(|number| self.calls[(number - self.first) as usize].0.equals(key))
    }

    /// Adds a call whose key is not there.
    pub(crate) fn push(&mut self, key: Key, call: Call) {
        let number = self.first + self.calls.len() as u64;
        self.numbers.entry(key.hash).or_default().push(number);
        self.calls.push_back((key, call));
    }

    /// Takes the call that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<(Key, Call)> {
        let (key, call) = self.calls.pop_front()?;
        let number = self.first;
        self.first += 1;
        if let Some(numbers) = self.numbers.get_mut(&key.hash) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.numbers.remove(&key.hash);
            }
        }
        Some((key, call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key whose hashes are all the same.
    #[derive(PartialEq, Eq)]
    struct Colliding(u32);

    impl Hash for Colliding {
        fn hash<H: Hasher>(&self, _state: &mut H) {}
    }

    fn push<K: Hash + Eq + Send + 'static>(queue: &mut Idempotent, key: K) -> bool {
        let key = Key::new(key);
        let known = queue.knows(&key);
        if !known {
            queue.push(key, Box::new(|| ()));
        }
        !known
    }

    #[test]
    fn a_key_is_known_until_its_call_is_taken() {
        let mut queue = Idempotent::default();
        for round in 0..3 {
            assert!(push(&mut queue, Colliding(1)), "round {round}");
            assert!(push(&mut queue, Colliding(2)));
            assert!(!push(&mut queue, Colliding(1)));
            assert!(!push(&mut queue, Colliding(2)));
            assert_eq!(queue.len(), 2);
            assert!(queue.pop().is_some());
            assert!(push(&mut queue, Colliding(1)));
            assert!(!push(&mut queue, Colliding(2)));
            assert!(queue.pop().is_some());
            assert!(queue.pop().is_some());
            assert!(queue.pop().is_none());
            assert!(queue.numbers.is_empty());
        }
    }

    #[test]
    fn keys_of_different_types_are_different() {
        let mut queue = Idempotent::default();
        assert!(push(&mut queue, 1_u32));
        assert!(push(&mut queue, 1_i32));
        assert!(push(&mut queue, Colliding(1)));
        assert!(!push(&mut queue, 1_i32));
    }
}
