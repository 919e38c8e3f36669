//! The chances of a network: the same each time for the same seed.

use std::time::Duration;

/// Numbers that look random (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and below 1.
    fn fraction(&mut self) -> f64 {
        // As many bits as an `f64` has exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that has this probability. Nothing is drawn for what is certain.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && (probability >= 1.0 || self.fraction() < probability)
    }

    /// Some part of this time. Nothing is drawn for none.
    pub(super) fn part_of(&mut self, most: Duration) -> Duration {
        if most.is_zero() { most } else { most.mul_f64(self.fraction()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_as_large_as_they_are_said_to_be() {
        let mut random = Random::new(1);
        let count = (0..10_000).filter(|_| random.happens(0.25)).count();
        assert!((2300..2700).contains(&count), "{count}");
        assert!((0..100).all(|_| random.happens(1.0) && !random.happens(0.0)));
        let most = Duration::from_millis(10);
        let parts: Vec<_> = (0..1000).map(|_| random.part_of(most)).collect();
        assert!(parts.iter().all(|part| *part < most));
        assert!(parts.iter().any(|part| *part < most / 10) && parts.iter().any(|part| *part > most * 9 / 10));
    }
}
