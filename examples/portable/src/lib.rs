//! Questions and answers, a line each, over any stream: a library that knows no runtime.
//!
//! It runs on trio, on tokio, and on whatever else has the traits of `futures-io`; the tests beside it show how. What it does for
//! that, and what every library of its kind can do, is the guide in the documentation of `trio::compat::embedding`:
//!
//! * it asks for traits, neither for a runtime's types nor for more than it needs (`Send`, `'static`);
//! * it starts no tasks and has no clock: both are the caller's;
//! * all its state is in its objects and none in its futures, so that a call that is dropped, at any await, loses nothing.
//!
//! ```
//! use futures::io::Cursor;
//! use portable::Lines;
//! futures::executor::block_on(async {
//!     let mut lines = Lines::new(Cursor::new(b"one\ntwo\n".to_vec()));
//!     assert_eq!(lines.receive().await?.as_deref(), Some("one"));
//!     assert_eq!(lines.receive().await?.as_deref(), Some("two"));
//!     assert_eq!(lines.receive().await?, None);
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// No line is longer.
pub const LONGEST: usize = 64 * 1024;

/// A stream of lines.
#[derive(Debug)]
pub struct Lines<S> {
    stream: S,
    /// What has come and has not been taken.
    received: Vec<u8>,
    /// What has been sent and has not been written.
    unwritten: Vec<u8>,
}

impl<S> Lines<S> {
    /// Lines over a stream.
    pub const fn new(stream: S) -> Self {
        Self { stream, received: Vec::new(), unwritten: Vec::new() }
    }

    /// Takes the first line that has come whole.
    fn take_line(&mut self) -> io::Result<Option<String>> {
        let Some(end) = self.received.iter().position(|&byte| byte == b'\n') else {
            return if self.received.len() < LONGEST { Ok(None) } else { Err(invalid("a line is too long")) };
        };
        let line = self.received.drain(..=end).take(end).collect();
        String::from_utf8(line).map(Some).map_err(|_| invalid("a line is not UTF-8"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<S: AsyncRead + Unpin> Lines<S> {
    /// The next line, without its end; `None` where the stream ends.
    ///
    /// Dropped, it has lost nothing: what has come is there for the next call.
    ///
    /// # Errors
    ///
    /// The stream's; [`InvalidData`](io::ErrorKind::InvalidData) for what is no line, and
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for half of one.
    pub async fn receive(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(Some(line));
            }
            let mut buffer = [0; 4096];
            let (stream, target) = (&mut self.stream, &mut buffer);
            // Between this and the next await the data is put where it is kept.
            match poll_fn(|context| Pin::new(&mut *stream).poll_read(context, target)).await? {
                0 if self.received.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Lines<S> {
    /// Sends a line.
    ///
    /// Dropped once it has been polled, the line is sent nevertheless: by the next call, or by [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// The stream's; [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no line, of which nothing is sent.
    pub async fn send(&mut self, line: &str) -> io::Result<()> {
        self.put(line)?;
        self.flush().await
    }

    /// Has a line sent by the next [`flush`](Self::flush).
    fn put(&mut self, line: &str) -> io::Result<()> {
        if line.contains('\n') || line.len() >= LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no line"));
        }
        self.unwritten.extend_from_slice(line.as_bytes());
        self.unwritten.push(b'\n');
        Ok(())
    }

    /// Completes what calls that were dropped have left.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.unwritten))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.unwritten.drain(..count)),
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Says that no more lines come.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|context| Pin::new(&mut self.stream).poll_close(context)).await
    }
}

/// Who asks.
#[derive(Debug)]
pub struct Client<S> {
    lines: Lines<S>,
    /// How many answers are still to come that nobody waits for any more.
    unwanted: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a stream.
    pub const fn new(stream: S) -> Self {
        Self { lines: Lines::new(stream), unwanted: 0 }
    }

    /// Asks, and gives the answer.
    ///
    /// Dropped once it has been polled, the question is asked nevertheless, and its answer is nobody's: the next call gets its own.
    ///
    /// # Errors
    ///
    /// Those of [`Lines`]; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the other side has gone.
    pub async fn ask(&mut self, question: &str) -> io::Result<String> {
        self.lines.put(question)?;
        // This call can be dropped at every await: until its answer is here, that is one that nobody may want.
        let before = self.unwanted;
        self.unwanted += 1;
        self.lines.flush().await?;
        for _ in 0..before {
            self.next_answer().await?;
        }
        self.next_answer().await
    }

    /// The next answer, which is not to come any more from now on.
    async fn next_answer(&mut self) -> io::Result<String> {
        let answer = self.lines.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.unwanted -= 1;
        Ok(answer)
    }

    /// Says that no more questions come.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn close(&mut self) -> io::Result<()> {
        self.lines.close().await
    }
}

/// Answers all questions on a stream, one after the other, until they end.
///
/// Returns a future instead of starting a task: whoever runs it decides where, with what time limit, and when it ends. So it
/// may borrow, and is `Send` if the stream and the answers are.
///
/// # Errors
///
/// Those of [`Lines`].
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    mut answer: impl AsyncFnMut(&str) -> String,
) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    while let Some(question) = lines.receive().await? {
        let answer = answer(&question).await;
        lines.send(&answer).await?;
    }
    lines.close().await
}
