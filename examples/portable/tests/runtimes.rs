//! The same library on each runtime.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::executor::block_on;
use futures::io::Cursor;
use futures_io::{AsyncRead, AsyncWrite};
use portable::{Client, LONGEST, Lines, serve};

/// Asks many questions, of which some are given up at the first await, the second, and so on.
async fn ask_many<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> std::io::Result<usize> {
    let (mut client, mut given_up) = (Client::new(stream), 0);
    for number in 0..100_usize {
        let question = format!("question {number}");
        let mut left = number % 4;
        {
            let mut asking = pin!(client.ask(&question));
            // As many polls, then dropped.
            let early = poll_fn(|context| match asking.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            });
            match early.await {
                Some(answer) => assert_eq!(answer?, format!("QUESTION {number}")),
                None => given_up += 1,
            }
        }
        let question = format!("once more {number}");
        assert_eq!(client.ask(&question).await?, question.to_uppercase());
    }
    client.close().await?;
    Ok(given_up)
}

async fn answer(question: &str) -> String {
    question.to_uppercase()
}

#[trio::test]
async fn on_trio() {
    let listeners = trio::open_tcp_listeners(0, Some("127.0.0.1")).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    // What answers may borrow, since the server is a task of the nursery.
    let answered = Cell::new(0);
    trio::nursery! { |n, scope|
        let handler = async |stream| {
            let counting = async |question: &str| {
                answered.set(answered.get() + 1);
                trio::checkpoint().await;
                answer(question).await
            };
            serve(stream, counting).await
        };
        let serving = trio::serve_listeners(handler, listeners);
        n.start_soon(async { serving.await.unwrap() });
        let stream = trio::net::TcpStream::connect(address).await.unwrap();
        let given_up = trio::fail_after(Duration::from_secs(60), ask_many(stream)).await.unwrap();
        assert!(given_up.unwrap() > 0);
        scope.cancel();
    };
    assert!(answered.get() >= 100);
}

#[trio::test(autojump, schedules = 20)]
async fn on_trio_in_memory_with_deadlines_in_every_call() {
    let (near, far) = trio::testing::memory_stream_pair();
    trio::nursery! { |n|
        let slow = async |question: &str| {
            trio::sleep(Duration::from_millis(10)).await;
            answer(question).await
        };
        n.start_soon(async move { serve(trio::compat::Polled::new(far), slow).await.unwrap() });
        let mut client = Client::new(trio::compat::Polled::new(near));
        for number in 0..20 {
            // Too short for every other answer.
            let limit = Duration::from_millis(5 + 100 * (number % 2));
            let question = format!("question {number}");
            let asked = trio::move_on_after(limit, client.ask(&question)).await;
            assert_eq!(asked.map(Result::unwrap), (number % 2 == 1).then(|| question.to_uppercase()));
        }
        client.close().await.unwrap();
    };
}

#[test]
fn on_tokio() {
    use tokio_util::compat::TokioAsyncReadCompatExt;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing of the library asks for it, but what is `Send` stays so.
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream.compat(), answer).await.unwrap();
        });
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // The clock is the runtime's.
        let asked = tokio::time::timeout(Duration::from_secs(60), ask_many(stream.compat())).await;
        assert!(asked.unwrap().unwrap() > 0);
        server.await.unwrap();
    });
}

/// A stream that is a piece of memory, a byte a time, and pending every other time.
struct Slow<'a> {
    incoming: Cursor<Vec<u8>>,
    written: &'a RefCell<Vec<u8>>,
    turn: Cell<bool>,
}

impl<'a> Slow<'a> {
    fn new(incoming: &[u8], written: &'a RefCell<Vec<u8>>) -> Self {
        Self { incoming: Cursor::new(incoming.to_vec()), written, turn: Cell::new(false) }
    }

    fn wait(&self, context: &Context<'_>) -> bool {
        context.waker().wake_by_ref();
        self.turn.replace(!self.turn.get())
    }
}

impl AsyncRead for Slow<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.wait(context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.incoming).poll_read(context, &mut buffer[..1])
    }
}

impl AsyncWrite for Slow<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.wait(context) {
            return Poll::Pending;
        }
        self.written.borrow_mut().push(data[0]);
        Poll::Ready(Ok(1))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn on_no_runtime_at_all_and_dropped_at_every_await() {
    for polls in 0..40 {
        let written = RefCell::new(Vec::new());
        let mut client = Client::new(Slow::new(b"first\nsecond\n", &written));
        let first = block_on(async {
            let mut asking = pin!(client.ask("one"));
            let mut left = polls;
            poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                left -= 1;
                asking.as_mut().poll(context).map(Some)
            })
            .await
        });
        let second = block_on(client.ask("two")).unwrap();
        // A call that was never polled has asked nothing.
        let (sent, answer) = if polls == 0 { ("two\n", "first") } else { ("one\ntwo\n", "second") };
        assert_eq!((String::from_utf8_lossy(&written.borrow()).as_ref(), second.as_str()), (sent, answer));
        if let Some(first) = first {
            assert_eq!(first.unwrap(), "first");
        }
    }
}

#[test]
fn what_is_no_line() {
    let written = RefCell::new(Vec::new());
    block_on(async {
        let mut lines = Lines::new(Slow::new(b"half", &written));
        assert_eq!(lines.receive().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(lines.send("a\nb").await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(lines.send(&"a".repeat(LONGEST)).await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert!(written.borrow().is_empty());
        let mut lines = Lines::new(Cursor::new(vec![b'a'; LONGEST]));
        assert_eq!(lines.receive().await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
        let mut lines = Lines::new(Cursor::new(vec![0xff, b'\n']));
        assert_eq!(lines.receive().await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    });
}
