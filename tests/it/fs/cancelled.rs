//! What has happened when an operation was cancelled, dropped by foreign code, or forgotten.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use trio::fs::{self, File, TempDir, wrap_file};
use trio::testing::{assert_checkpoints, assert_no_checkpoints};
use trio::{CancelScope, checkpoint};

/// Long enough for anything that will happen to have happened.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets each call wait until the test says so; writes down what was called.
struct Slow {
    go: Receiver<()>,
    begun: Sender<&'static str>,
    data: std::io::Cursor<Vec<u8>>,
    closed: Option<Sender<()>>,
}

struct Remote {
    go: Sender<()>,
    begun: Receiver<&'static str>,
    closed: Receiver<()>,
}

impl Remote {
    /// Waits, with the run, for the thread to be in the call.
    async fn begun(&self, what: &str) {
        let started = Instant::now();
        loop {
            match self.begun.try_recv() {
                Ok(call) => return assert_eq!(call, what),
                Err(_) => assert!(started.elapsed() < PATIENCE, "the thread did not begin"),
            }
            trio::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn slow(data: &[u8]) -> (Slow, Remote) {
    let ((go, told), (begin, begun), (close, closed)) = (channel(), channel(), channel());
    let data = std::io::Cursor::new(data.to_vec());
    (Slow { go: told, begun: begin, data, closed: Some(close) }, Remote { go, begun, closed })
}

impl Slow {
    fn pass(&self, what: &'static str) {
        self.begun.send(what).unwrap();
        self.go.recv_timeout(PATIENCE).unwrap();
    }
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.pass("read");
        self.data.read(buffer)
    }
}

impl Write for Slow {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.pass("write");
        self.data.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pass("flush");
        Ok(())
    }
}

impl Seek for Slow {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.pass("seek");
        self.data.seek(to)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.closed.take().unwrap().send(());
    }
}

/// Polls a future until `enough`, and drops it.
async fn abandon_after<T>(enough: impl Future<Output = ()>, future: impl Future<Output = T>) {
    match select(pin!(future), pin!(enough)).await {
        Either::Left(_) => panic!("it has come to its end"),
        Either::Right(((), _)) => {}
    }
}

/// Polls a future until its thread is in the call, and drops it.
async fn abandon<T>(remote: &Remote, call: &str, future: impl Future<Output = T>) {
    abandon_after(remote.begun(call), future).await;
}

/// Enough turns for an operation to come to its thread.
async fn some_turns() {
    for _ in 0..5 {
        checkpoint().await;
    }
}

// trio: _tests/test_file_io.py::test_aclose_cancelled
#[trio::test]
async fn a_cancelled_close_closes() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(file.write_all(b"a")).await.is_none());
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(file.aclose()).await.is_none(), "it meets the cancellation");
    assert!(file.is_closed());
    assert_eq!(remote.closed.try_recv(), Ok(()));
    assert_eq!(remote.begun.try_recv().ok(), None, "nothing was written");
}

#[trio::test]
async fn a_close_that_was_polled_once_closes() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    {
        let mut close = pin!(file.aclose());
        let pending = poll_fn(|context| Poll::Ready(close.as_mut().poll(context).is_pending())).await;
        assert!(pending);
    }
    assert!(file.is_closed());
    assert_eq!(remote.closed.recv_timeout(PATIENCE), Ok(()));
}

#[trio::test]
async fn cancelled_before_it_begins_nothing_has_happened() {
    let folder = TempDir::new().await.unwrap();
    let path = folder.path() / "file";
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(File::create(&path)).await.is_none());
    assert!(!path.exists().await.unwrap());

    let mut file = File::create(&path).await.unwrap();
    let scope = CancelScope::new();
    scope.handle().cancel();
    assert!(scope.run(file.write_all(b"text")).await.is_none());
    assert_eq!(path.read().await.unwrap(), b"");
}

#[trio::test]
async fn what_was_begun_is_brought_to_its_end_and_gives_its_result() {
    let (file, remote) = slow(b"12345");
    let mut file = wrap_file(file);
    let scope = CancelScope::new();
    let handle = scope.handle();
    let mut done = None;
    trio::nursery! { |n|
        n.start_soon(async {
            remote.begun("read").await;
            handle.cancel();
            checkpoint().await;
            remote.go.send(()).unwrap();
        });
        let (file, done) = (&mut file, &mut done);
        let left = scope.run(async move {
            let mut buffer = [0; 3];
            *done = Some((file.read(&mut buffer).await.unwrap(), buffer));
            checkpoint().await;
            unreachable!("the cancellation is met here at the latest")
        });
        assert!(left.await.is_none());
    };
    assert_eq!(done, Some((3, *b"123")));
    assert_eq!(file.wrapped().unwrap().data.position(), 3);
}

#[trio::test]
async fn a_long_write_that_was_begun_is_written_whole() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    let data = vec![7; 5 << 20];
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        n.start_soon(async {
            remote.begun("write").await;
            handle.cancel();
            for _ in 0..3 {
                remote.go.send(()).unwrap();
            }
        });
        let mut written = false;
        let (file, data, mark) = (&mut file, &data, &mut written);
        scope.run(async move { *mark = file.write_all(data).await.is_ok() }).await;
        assert!(written);
    };
    assert_eq!(file.wrapped().unwrap().data.get_ref(), &data);
}

#[trio::test]
async fn a_read_that_foreign_code_drops_loses_nothing() {
    let (file, remote) = slow(b"12345");
    let mut file = wrap_file(file);
    let mut buffer = [0; 5];
    abandon(&remote, "read", file.read(&mut buffer[..3])).await;
    assert_eq!(file.wrapped().err().unwrap().kind(), ErrorKind::WouldBlock);
    remote.go.send(()).unwrap();
    // The next one waits for the first one's thread and takes what that has read.
    assert_eq!(file.read(&mut buffer).await.unwrap(), 3);
    assert_eq!(buffer[..3], *b"123");
    remote.go.send(()).unwrap();
    assert_eq!(file.read(&mut buffer).await.unwrap(), 2);
}

#[trio::test]
async fn a_read_that_is_forgotten_loses_nothing() {
    let (file, remote) = slow(b"12345");
    let mut file = wrap_file(file);
    let mut buffer = [0; 2];
    match select(Box::pin(file.read(&mut buffer)), pin!(remote.begun("read"))).await {
        Either::Left(_) => panic!("it has come to its end"),
        Either::Right(((), read)) => std::mem::forget(read),
    }
    remote.go.send(()).unwrap();
    assert_eq!(file.read(&mut buffer).await.unwrap(), 2);
    assert_eq!(buffer, *b"12");
}

#[trio::test]
async fn operations_keep_their_order_when_foreign_code_drops_them() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    abandon(&remote, "write", file.write_all(b"one ")).await;
    // These wait for the first, and are gone before it has ended.
    for text in ["two ", "three "] {
        abandon_after(some_turns(), file.write_all(text.as_bytes())).await;
    }
    remote.go.send(()).unwrap();
    // The next one waits for the first as well, and comes to its thread.
    abandon(&remote, "write", file.write_all(b"four ")).await;
    assert_eq!(remote.begun.try_recv().ok(), None);
    for _ in 0..2 {
        remote.go.send(()).unwrap();
    }
    file.write_all(b"five").await.unwrap();
    assert_eq!(file.wrapped().unwrap().data.get_ref(), b"one four five");
}

/// As many operations as this are dropped or forgotten: more than the run has threads.
const MANY: usize = 60;

/// What else may be done meanwhile.
async fn others_have_their_threads() {
    let others = async {
        let mut other = wrap_file(std::io::Cursor::new(b"text".to_vec()));
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");
        assert_eq!(trio::to_thread::run_sync(|| 7).await, 7);
    };
    trio::fail_after(PATIENCE / 2, others).await.expect("there are threads for others");
    let limiter = trio::to_thread::current_default_thread_limiter();
    assert_eq!((limiter.borrowed_tokens(), limiter.statistics().tasks_waiting), (1, 0));
}

#[trio::test]
async fn operations_that_were_dropped_keep_one_thread_at_most() {
    let (file, remote) = slow(b"12345");
    let mut file = wrap_file(file);
    abandon(&remote, "read", file.read(&mut [0; 4])).await;
    for _ in 0..MANY {
        abandon_after(some_turns(), file.read(&mut [0; 4])).await;
    }
    others_have_their_threads().await;
    remote.go.send(()).unwrap();
    let mut buffer = [0; 5];
    assert_eq!(file.read(&mut buffer).await.unwrap(), 4, "what the first has read; the others have read nothing");
}

#[trio::test]
async fn operations_that_are_forgotten_while_they_wait_hold_up_nobody() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    abandon(&remote, "write", file.write_all(b"one ")).await;
    let scope = CancelScope::new();
    let held = scope.run(async {
        for _ in 0..MANY {
            match select(Box::pin(file.write_all(b"two ")), pin!(some_turns())).await {
                Either::Left(_) => panic!("it has come to its end"),
                Either::Right(((), write)) => std::mem::forget(write),
            }
        }
    });
    assert!(held.await.is_some());
    others_have_their_threads().await;
    for _ in 0..2 {
        remote.go.send(()).unwrap();
    }
    file.write_all(b"three").await.unwrap();
    assert_eq!(file.wrapped().unwrap().data.get_ref(), b"one three");
}

#[trio::test]
async fn a_cancelled_operation_does_not_wait_for_one_that_was_dropped() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    abandon(&remote, "write", file.write_all(b"one ")).await;
    let scope = CancelScope::new();
    let handle = scope.handle();
    trio::nursery! { |n|
        let file = &mut file;
        n.start_soon(async move {
            some_turns().await;
            handle.cancel();
        });
        assert!(scope.run(file.write_all(b"two ")).await.is_none());
    }
    for _ in 0..2 {
        remote.go.send(()).unwrap();
    }
    file.write_all(b"three").await.unwrap();
    assert_eq!(file.wrapped().unwrap().data.get_ref(), b"one three");
}

#[trio::test]
async fn a_seek_after_a_dropped_read_counts_from_where_the_user_is() {
    let (file, remote) = slow(b"0123456789");
    let mut file = wrap_file(file).read_ahead(false);
    abandon(&remote, "read", file.read(&mut [0; 4])).await;
    for _ in 0..2 {
        remote.go.send(()).unwrap();
    }
    assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 1, "nothing of it has come to the user");
    // And a write goes to where the user is.
    remote.begun("seek").await;
    abandon(&remote, "read", file.read(&mut [0; 4])).await;
    for _ in 0..3 {
        remote.go.send(()).unwrap();
    }
    file.write_all(b"x").await.unwrap();
    assert_eq!(file.wrapped().unwrap().data.get_ref(), b"0x23456789");
}

#[trio::test]
async fn a_file_dropped_in_the_middle_of_an_operation_is_closed_behind_it() {
    let (file, remote) = slow(b"");
    let mut file = wrap_file(file);
    abandon(&remote, "write", file.write_all(b"text")).await;
    drop(file);
    assert!(remote.closed.try_recv().is_err());
    remote.go.send(()).unwrap();
    assert_eq!(remote.closed.recv_timeout(PATIENCE), Ok(()));
}

#[trio::test]
async fn many_calls_that_never_came_to_a_thread_leave_nothing_behind() {
    let (file, remote) = slow(b"12345");
    let mut file = wrap_file(file);
    let limiter = trio::to_thread::current_default_thread_limiter();
    let total = limiter.total_tokens();
    limiter.set_total_tokens(1);
    abandon(&remote, "read", file.read(&mut [0; 4])).await;
    for _ in 0..1000 {
        abandon_after(checkpoint(), file.read(&mut [0; 4])).await;
    }
    remote.go.send(()).unwrap();
    let mut buffer = [0; 5];
    assert_eq!(file.read(&mut buffer).await.unwrap(), 4);
    limiter.set_total_tokens(total);
}

#[trio::test]
async fn every_operation_is_a_checkpoint() {
    let folder = TempDir::new().await.unwrap();
    let path = folder.path() / "file";
    path.write("one\ntwo\nthree\n").await.unwrap();
    let mut file = assert_checkpoints(File::open(&path)).await.unwrap();
    let (mut byte, mut line) = ([0], String::new());
    // The first goes to a thread, and the others find it in the buffer.
    for _ in 0..2 {
        assert_checkpoints(file.read(&mut byte)).await.unwrap();
        assert_checkpoints(file.read_exact(&mut byte)).await.unwrap();
        assert_checkpoints(file.read(&mut [])).await.unwrap();
        assert_checkpoints(file.read_exact(&mut [])).await.unwrap();
    }
    assert_checkpoints(file.read_line(&mut line)).await.unwrap();
    assert_checkpoints(file.seek(SeekFrom::Start(0))).await.unwrap();
    assert_checkpoints(file.read_to_end(&mut Vec::new())).await.unwrap();
    let mut file = File::create(&path).await.unwrap();
    assert_checkpoints(file.write(b"")).await.unwrap();
    assert_checkpoints(file.write_all(b"")).await.unwrap();
    assert_checkpoints(file.flush()).await.unwrap();
    assert_checkpoints(file.aclose()).await.unwrap();
    assert_checkpoints(file.aclose()).await.unwrap();
    let mut walk = fs::walk(folder.path());
    for _ in 0..3 {
        assert_checkpoints(walk.next()).await;
    }
    assert_no_checkpoints(async { wrap_file(1).is_closed() }).await;
}
