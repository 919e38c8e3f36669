//! A queue of bytes without a limit, which memory streams are made of.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read};

use super::changes::Changes;
use super::conflict::Conflict;
use crate::kernel::reactor::ClosedResourceError;

/// Bytes that were put and not taken yet. One at a time may take.
#[derive(Default)]
pub(super) struct ByteQueue {
    data: RefCell<VecDeque<u8>>,
    closed: Cell<bool>,
    changes: Changes,
    fetching: Conflict,
}

impl ByteQueue {
    pub(super) fn put(&self, data: &[u8]) -> io::Result<()> {
        if self.closed.get() {
            return Err(io::Error::other(ClosedResourceError));
        }
        self.data.borrow_mut().extend(data);
        self.changes.tell();
        Ok(())
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changes.tell();
    }

    /// Nothing more will come, and what is there is lost.
    pub(super) fn close_and_wipe(&self) {
        self.data.borrow_mut().clear();
        self.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> usize {
        self.data.borrow().len()
    }

    /// At most so many bytes, or all; none if the queue is closed and empty.
    pub(super) fn get_nowait(&self, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
        let _inside = self.fetching.enter()?;
        check_max_bytes(max_bytes)?;
        if !self.has_something() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.take(max_bytes))
    }

    /// As `get_nowait`, but waits. A checkpoint; cancelled, it has taken nothing.
    pub(super) async fn get(&self, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
        let _inside = self.fetching.enter()?;
        check_max_bytes(max_bytes)?;
        self.changes.wait_until(|| self.has_something()).await;
        Ok(self.take(max_bytes))
    }

    /// Whether there is data, or the end.
    fn has_something(&self) -> bool {
        self.closed.get() || !self.data.borrow().is_empty()
    }

    fn take(&self, max_bytes: Option<usize>) -> Vec<u8> {
        let mut data = self.data.borrow_mut();
        let count = max_bytes.map_or(data.len(), |max| max.min(data.len()));
        // In pieces, not by the byte, which takes long without optimization.
        let mut taken = vec![0; count];
        data.read_exact(&mut taken).expect("so many bytes are there");
        taken
    }
}

/// None would look like the end.
fn check_max_bytes(max_bytes: Option<usize>) -> io::Result<()> {
    if max_bytes == Some(0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "at least one byte has to be asked for"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builder::Builder;
    use crate::kernel::nursery::open_nursery;
    use crate::kernel::reactor::BusyResourceError;
    use crate::testing::{assert_checkpoints, wait_all_tasks_blocked};
    use std::time::Duration;

    fn run<T>(test: impl Future<Output = T>) -> T {
        Builder::new().checkpoint_budget(1).fail_on_deadlock().run(test)
    }

    fn is<E: std::error::Error + 'static>(result: &io::Result<impl Sized>) -> bool {
        result.as_ref().is_err_and(|error| error.get_ref().is_some_and(|inner| inner.is::<E>()))
    }

    // trio: _tests/test_testing.py::test__UnboundeByteQueue
    #[test]
    fn what_is_put_is_got_in_pieces() {
        let queue = ByteQueue::default();
        queue.put(b"abc").unwrap();
        queue.put(b"def").unwrap();
        assert_eq!(queue.get_nowait(Some(5)).unwrap(), b"abcde");
        assert_eq!(queue.get_nowait(Some(10)).unwrap(), b"f");
        queue.put(b"ghi").unwrap();
        assert_eq!(queue.get_nowait(None).unwrap(), b"ghi");
        assert_eq!(queue.get_nowait(None).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(queue.get_nowait(Some(0)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        run(async {
            queue.put(b"123").unwrap();
            assert_eq!(assert_checkpoints(queue.get(None)).await.unwrap(), b"123");
        });
    }

    #[test]
    fn one_at_a_time_waits_until_something_is_put() {
        let queue = ByteQueue::default();
        run(open_nursery(async |n| {
            let first = n.spawn(queue.get(Some(2)));
            let second = n.spawn(queue.get(None));
            assert!(is::<BusyResourceError>(&second.join().await.unwrap()));
            assert!(is::<BusyResourceError>(&queue.get_nowait(None)));
            queue.put(b"").unwrap();
            wait_all_tasks_blocked(Duration::ZERO).await;
            assert!(!first.is_finished(), "nothing is no data");
            queue.put(b"xyz").unwrap();
            assert_eq!(first.join().await.unwrap().unwrap(), b"xy");
        }));
        assert_eq!(queue.get_nowait(None).unwrap(), b"z");
    }

    #[test]
    fn closing_lets_the_rest_be_got_and_wakes_who_waits() {
        let queue = ByteQueue::default();
        run(open_nursery(async |n| {
            let waiting = n.spawn(queue.get(None));
            wait_all_tasks_blocked(Duration::ZERO).await;
            queue.close();
            assert_eq!(waiting.join().await.unwrap().unwrap(), b"");
        }));
        queue.close();
        assert!(is::<ClosedResourceError>(&queue.put(b"---")));
        assert_eq!(queue.get_nowait(None).unwrap(), b"");
        assert_eq!(queue.get_nowait(Some(10)).unwrap(), b"");
        assert_eq!(run(queue.get(None)).unwrap(), b"");

        let queue = ByteQueue::default();
        queue.put(b"abc").unwrap();
        queue.close();
        assert_eq!(queue.get_nowait(Some(1)).unwrap(), b"a");
        assert_eq!(run(queue.get(None)).unwrap(), b"bc");
        assert_eq!(queue.get_nowait(None).unwrap(), b"");
    }
}
