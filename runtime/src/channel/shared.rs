//! What the ends of a channel share, and what they ask of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Deref;

use super::error::{EndOfChannel, TryReceiveError, TrySendError};
use super::statistics::MemoryChannelStatistics;
use crate::sync::wait_queue::{Request, WaitQueue};

/// What the ends of a channel share.
///
/// Invariant: no receiver waits while a value is to be had, and no sender while there is room.
pub(super) struct Shared<T> {
    capacity: usize,
    pub(super) buffer: RefCell<VecDeque<T>>,
    peak: Cell<usize>,
    pub(super) senders: Cell<usize>,
    pub(super) receivers: Cell<usize>,
    /// Senders wait with their value; it comes back to them if the last receiver closes.
    pub(super) sending: WaitQueue<T, Result<(), T>>,
    pub(super) receiving: WaitQueue<(), Result<T, EndOfChannel>>,
    /// Here a producer waits that makes values only when they are asked for.
    pub(super) asking: WaitQueue<(), ()>,
}

impl<T> Shared<T> {
    /// With one end open on each side.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            buffer: RefCell::default(),
            peak: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(1),
            sending: WaitQueue::new(),
            receiving: WaitQueue::new(),
            asking: WaitQueue::new(),
        }
    }

    pub(super) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.receivers.get() == 0 {
            return Err(TrySendError::Broken(value));
        }
        let mut value = Some(value);
        let handed = self.receiving.hand_off(|()| value.take().ok_or(EndOfChannel));
        let Some(value) = value.filter(|_| !handed) else { return Ok(()) };
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() >= self.capacity {
            return Err(TrySendError::WouldBlock(value));
        }
        buffer.push_back(value);
        self.peak.set(self.peak.get().max(buffer.len()));
        Ok(())
    }

    pub(super) fn try_receive(&self) -> Result<T, TryReceiveError> {
        let (buffered, room) = {
            let mut buffer = self.buffer.borrow_mut();
            // There may still be no room: a value that was given back has a place beyond the capacity.
            (buffer.pop_front(), buffer.len() < self.capacity)
        };
        if let Some(value) = buffered {
            if room && self.sending.len() > 0 {
                let waiting = self.take_from_sender();
                self.buffer.borrow_mut().extend(waiting);
            }
            return Ok(value);
        }
        let closed = self.senders.get() == 0;
        self.take_from_sender().ok_or(if closed { TryReceiveError::EndOfChannel } else { TryReceiveError::WouldBlock })
    }

    /// The value of the sender that has waited longest, whose wait is over.
    #[inline]
    fn take_from_sender(&self) -> Option<T> {
        let mut taken = None;
        self.sending.hand_off(|value| {
            taken = Some(value);
            Ok(())
        });
        taken
    }

    /// Puts a value back that was received but not delivered.
    fn give_back(&self, value: T) {
        let mut value = Some(value);
        self.receiving.hand_off(|()| value.take().ok_or(EndOfChannel));
        if let Some(value) = value {
            let mut buffer = self.buffer.borrow_mut();
            buffer.push_front(value);
            self.peak.set(self.peak.get().max(buffer.len()));
        }
    }

    pub(super) fn statistics(&self) -> MemoryChannelStatistics {
        MemoryChannelStatistics {
            current_buffer_used: self.buffer.borrow().len(),
            max_buffer_size: self.capacity,
            peak_buffer_used: self.peak.get(),
            open_senders: self.senders.get(),
            open_receivers: self.receivers.get(),
            tasks_waiting_send: self.sending.len(),
            tasks_waiting_receive: self.receiving.len(),
        }
    }
}

/// What [`MemorySender::send`](super::MemorySender::send) asks of the channel: it gets its value back if there is no
/// receiver.
pub(super) struct Send<S>(pub(super) S);

impl<T, S: Deref<Target = Shared<T>>> Request for Send<S> {
    type Payload = T;
    type Grant = Result<(), T>;

    fn queue(&self) -> &WaitQueue<T, Result<(), T>> {
        &self.0.sending
    }

    #[inline]
    fn attempt(&self, value: &mut Option<T>) -> Option<Result<(), T>> {
        match self.0.try_send(value.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Broken(value)) => Some(Err(value)),
            Err(TrySendError::WouldBlock(back)) => {
                *value = Some(back);
                None
            }
        }
    }

    fn give_back(&self, _sent: Result<(), T>) {}
}

/// What [`MemoryReceiver::receive`](super::MemoryReceiver::receive) asks of the channel.
pub(super) struct Receive<S>(pub(super) S);

impl<T, S: Deref<Target = Shared<T>>> Request for Receive<S> {
    type Payload = ();
    type Grant = Result<T, EndOfChannel>;

    fn queue(&self) -> &WaitQueue<(), Result<T, EndOfChannel>> {
        &self.0.receiving
    }

    #[inline]
    fn attempt(&self, _payload: &mut Option<()>) -> Option<Result<T, EndOfChannel>> {
        match self.0.try_receive() {
            Ok(value) => Some(Ok(value)),
            Err(TryReceiveError::EndOfChannel) => Some(Err(EndOfChannel)),
            Err(TryReceiveError::WouldBlock) => {
                // Whoever is told looks who waits in its next step, when this receiver is in the queue.
                self.0.asking.hand_off(|()| ());
                None
            }
        }
    }

    fn give_back(&self, received: Result<T, EndOfChannel>) {
        if let Ok(value) = received {
            self.0.give_back(value);
        }
    }
}

/// What a producer that works on demand waits for: that somebody waits for a value.
pub(super) struct Demand<'a, T>(pub(super) &'a Shared<T>);

impl<T> Request for Demand<'_, T> {
    type Payload = ();
    type Grant = ();

    fn queue(&self) -> &WaitQueue<(), ()> {
        &self.0.asking
    }

    fn attempt(&self, _payload: &mut Option<()>) -> Option<()> {
        (self.0.receiving.len() > 0).then_some(())
    }

    fn give_back(&self, _grant: ()) {}
}
