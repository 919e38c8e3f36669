//! Reading lines and other pieces of a byte stream.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use crate::kernel::checkpoint::free_checkpoint;
use crate::stream::{AsyncResource, ReceiveStream, SendProgress, SendStream};

/// How much is asked of the stream at a time.
const PIECE: usize = 8 * 1024;

/// A byte stream with a buffer in front, to be read in exact amounts and up to delimiters.
///
/// Every method either gives all that was asked for, or takes nothing: cancelled, dropped or failed, what has come so far
/// stays in the buffer, and the next call finds it there.
///
/// # Examples
///
/// ```
/// use trio::BufferedReceiveStream;
/// use trio::net::{TcpListener, TcpStream};
/// trio::run(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     client.send_all(b"HELO there\r\nlength 4\nbody").await?;
///     let mut server = BufferedReceiveStream::new(server);
///     assert_eq!(server.read_line(100).await?.as_deref(), Some("HELO there"));
///     assert_eq!(server.read_line(100).await?.as_deref(), Some("length 4"));
///     let mut body = [0; 4];
///     server.read_exact(&mut body).await?;
///     assert_eq!(&body, b"body");
///     drop(client);
///     assert_eq!(server.read_line(100).await?, None);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct BufferedReceiveStream<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Where in the buffer begins what has not been taken.
    start: usize,
}

/// What was to be read up to a delimiter is longer than allowed. Nothing was taken from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceededError {
    /// How many bytes were allowed.
    pub limit: usize,
}

impl fmt::Display for LimitExceededError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no delimiter within {} bytes", self.limit)
    }
}

impl std::error::Error for LimitExceededError {}

impl<S> BufferedReceiveStream<S> {
    /// With an empty buffer, which grows to what is asked for.
    pub const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), start: 0 }
    }

    /// What has come and has not been taken.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The stream behind the buffer. What is received there directly goes around the buffer.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream behind the buffer, to send on for instance. What is received there directly goes around the buffer.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, and what has come and has not been taken.
    pub fn into_parts(mut self) -> (S, Vec<u8>) {
        self.buffer.drain(..self.start);
        (self.stream, self.buffer)
    }

    /// Takes this many bytes, which are there.
    fn take(&mut self, count: usize) {
        self.start += count;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }
}

impl<S: ReceiveStream> BufferedReceiveStream<S> {
    /// Waits for more data, and adds it to the buffer; gives how much it was, 0 at the end of the stream.
    ///
    /// A checkpoint.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn fill(&mut self) -> io::Result<usize> {
        // What has been taken makes room before the buffer grows.
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        let mut piece = Unfilled { buffer: &mut self.buffer, filled };
        piece.buffer.resize(filled + PIECE, 0);
        let count = self.stream.receive_some(&mut piece.buffer[filled..]).await?;
        piece.filled += count;
        Ok(count)
    }

    /// Fills `target` with the next bytes.
    ///
    /// A checkpoint if it has to wait.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends before; the stream's own.
    pub async fn read_exact(&mut self, target: &mut [u8]) -> io::Result<()> {
        while self.buffer().len() < target.len() {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        target.copy_from_slice(&self.buffer()[..target.len()]);
        self.take(target.len());
        Ok(())
    }

    /// Reads up to a delimiter and past it, and gives what was before it. `None` at the end of the stream, if nothing
    /// is left; what follows the last delimiter is given as if there were another.
    ///
    /// A checkpoint if it has to wait.
    ///
    /// # Errors
    ///
    /// [`LimitExceededError`] (inside an [`InvalidData`](io::ErrorKind::InvalidData)) if there are more than `limit` bytes
    /// before the delimiter; the stream's own.
    ///
    /// # Panics
    ///
    /// If the delimiter is empty.
    pub async fn read_until(&mut self, delimiter: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
        assert!(!delimiter.is_empty(), "an empty delimiter is everywhere");
        let mut searched = 0;
        loop {
            let found = position(&self.buffer()[searched..], delimiter).map(|at| searched + at);
            let waiting = self.buffer().len();
            // A delimiter may have begun among the last bytes.
            searched = (waiting + 1).saturating_sub(delimiter.len());
            let length = match found {
                Some(length) => length,
                None if searched > limit => return Err(too_long(limit)),
                None if self.fill().await? > 0 => continue,
                None => waiting,
            };
            if length > limit {
                return Err(too_long(limit));
            }
            let piece = self.buffer()[..length].to_vec();
            self.take(length + if found.is_some() { delimiter.len() } else { 0 });
            return Ok((found.is_some() || length > 0).then_some(piece));
        }
    }

    /// Reads a line, and gives it without its `\n` or `\r\n`. `None` at the end of the stream.
    ///
    /// Otherwise as [`read_until`](Self::read_until).
    ///
    /// # Errors
    ///
    /// As `read_until`; [`InvalidData`](io::ErrorKind::InvalidData) if the line is not UTF-8, which is then taken all the
    /// same.
    pub async fn read_line(&mut self, limit: usize) -> io::Result<Option<String>> {
        let Some(mut line) = self.read_until(b"\n", limit).await? else { return Ok(None) };
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let line = String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(line))
    }
}

/// Room at the end of the buffer, which is taken away again when what has come into it is known.
struct Unfilled<'a> {
    buffer: &'a mut Vec<u8>,
    filled: usize,
}

impl Drop for Unfilled<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.filled);
    }
}

fn position(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    match delimiter {
        [byte] => bytes.iter().position(|other| other == byte),
        _ => bytes.windows(delimiter.len()).position(|window| window == delimiter),
    }
}

fn too_long(limit: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, LimitExceededError { limit })
}

impl<S: AsyncResource> AsyncResource for BufferedReceiveStream<S> {
    /// Closes the stream behind. What is in the buffer can still be read.
    async fn aclose(&mut self) -> io::Result<()> {
        self.stream.aclose().await
    }
}

impl<S: ReceiveStream> ReceiveStream for BufferedReceiveStream<S> {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.buffer().is_empty() || buffer.is_empty() {
            return self.stream.receive_some(buffer).await;
        }
        free_checkpoint().await;
        let count = buffer.len().min(self.buffer().len());
        buffer[..count].copy_from_slice(&self.buffer()[..count]);
        self.take(count);
        Ok(count)
    }
}

impl<S: SendStream> SendStream for BufferedReceiveStream<S> {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.send_all(data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.stream.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.stream.wait_send_all_might_not_block().await
    }
}

impl<S> fmt::Debug for BufferedReceiveStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedReceiveStream").field("buffered", &self.buffer().len()).finish_non_exhaustive()
    }
}
