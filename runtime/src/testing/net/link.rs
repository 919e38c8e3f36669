//! What lies between two hosts.

use std::time::Duration;

/// What lies between two hosts of a virtual network: how long data takes, and what becomes of it on the way.
///
/// Without more said, everything arrives at once and unharmed. Both directions are alike. A host's way to itself is always
/// perfect.
///
/// Probabilities are between 0 (never) and 1 (always). Loss, duplication and reordering are what happens to UDP datagrams.
/// TCP sends again what was lost, so that there a loss is a delay; what it delivers is always whole and in order.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::testing::net::Link;
/// let mobile = Link::new().latency(Duration::from_millis(80)).jitter(Duration::from_millis(40)).loss(0.02);
/// # drop(mobile);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a link does nothing by itself: give it to a network"]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) reordering: f64,
    pub(super) bandwidth: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A perfect link.
    pub const fn new() -> Self {
        let (latency, jitter) = (Duration::ZERO, Duration::ZERO);
        Self { latency, jitter, loss: 0.0, duplication: 0.0, reordering: 0.0, bandwidth: None }
    }

    /// How long everything takes at least, in one direction.
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How much longer it may take: a part of this, drawn anew each time. Datagrams may overtake each other by it.
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The probability that a datagram is lost.
    ///
    /// # Panics
    ///
    /// If it is not between 0 and 1; so do the other two.
    #[track_caller]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = checked(probability);
        self
    }

    /// The probability that a datagram arrives twice.
    ///
    /// # Panics
    ///
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn duplication(mut self, probability: f64) -> Self {
        self.duplication = checked(probability);
        self
    }

    /// The probability that a datagram is held back, for up to the latency and jitter once more and at least a
    /// millisecond, so that others overtake it.
    ///
    /// # Panics
    ///
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn reordering(mut self, probability: f64) -> Self {
        self.reordering = checked(probability);
        self
    }

    /// How many bytes a second go through, in each direction; what comes faster queues. Headers are not counted.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        assert!(bytes_per_second > 0, "nothing would ever arrive: use a partition");
        self.bandwidth = Some(bytes_per_second);
        self
    }
}

#[track_caller]
fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "a probability is between 0 and 1, not {probability}");
    probability
}
