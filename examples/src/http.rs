//! A small HTTP/1.1 client: one `GET` a connection, over any of trio's byte streams.
//!
//! It is here so that the quickstart fetches real pages. It does what a client must to understand
//! every correct answer (interim answers, `Content-Length`, chunks, end of connection), it refuses
//! what is not HTTP with a message that says why, and it bounds what a server can make it remember.
//! It doesn't follow redirects and keeps no connection open.
//!
//! Nothing in here knows about deadlines or cancellation. That is the point: the caller puts a
//! scope around the call, and when the scope is cancelled the future is dropped at whichever
//! `.await` it waits, and the connection with it.

use std::error;
use std::fmt;
use std::io;

use trio::{ReceiveStream, open_tcp_stream};

use crate::url::Url;

/// The longest line, and the most bytes of header lines together, that an answer may have.
const HEAD_LIMIT: usize = 64 * 1024;

/// How much is asked of the stream at once.
const READ_SIZE: usize = 16 * 1024;

/// A whole answer, of which only the length of the body is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The three digits: 200 for a page, 404 for one that isn't there.
    pub status: u16,

    /// The words after them, which are for people and may be missing.
    pub reason: String,

    /// How many bytes the body had, without the framing.
    pub bytes: u64,
}

/// Why a page could not be had.
#[derive(Debug)]
pub enum Error {
    /// No connection: the name has no address, nobody listens there, or the network is down.
    Connect(io::Error),

    /// The connection broke before the answer was whole.
    Broken(io::Error),

    /// The server said something that is not HTTP/1.1; the text says what was wrong with it.
    NotHttp(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::NotHttp(what) => write!(f, "not an HTTP answer: {what}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Broken(error) => Some(error),
            Self::NotHttp(_) => None,
        }
    }
}

/// Reading is the only thing that fails with a plain `io::Error` once the connection stands.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Fetches one page: connects, asks, and reads the answer to its end.
///
/// An answer that says "not found" is an answer, not an error: look at [`Page::status`].
///
/// # Cancellation
///
/// Every wait in it is a checkpoint. Cancelled at any of them, the connection is closed, and
/// nothing is left behind.
///
/// # Errors
///
/// When there is no connection, when it breaks, and when what comes back is not HTTP.
pub async fn get(url: &Url) -> Result<Page, Error> {
    // `open_tcp_stream` looks the name up on another thread and tries the addresses it finds, the
    // next one a moment before the last has failed; whichever connects first is ours and the other
    // attempts are cancelled.
    let mut stream = open_tcp_stream(url.host(), url.port()).await.map_err(Error::Connect)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: trio-quickstart\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path(),
        url.authority(),
    );
    stream.send_all(request.as_bytes()).await?;
    read_page(stream).await
}

/// Reads an answer to a `GET`, from its status line to the end of its body.
///
/// # Errors
///
/// When the stream fails or ends early, and when what it carries is not HTTP.
pub async fn read_page<S: ReceiveStream>(stream: S) -> Result<Page, Error> {
    let mut reader = Reader::new(stream);
    loop {
        let (status, reason) = status_line(&reader.line().await?)?;
        let body = body_framing(status, &reader.header_lines().await?)?;
        // An interim answer ("I am still here") has no body, and the real one follows it. 101 would
        // mean that the server changes to a protocol nobody asked for.
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let bytes = match body {
            Body::Sized(length) => {
                reader.skip(length).await?;
                length
            }
            Body::Chunked => reader.skip_chunks().await?,
            Body::UntilClose => reader.skip_to_end().await?,
        };
        return Ok(Page { status, reason, bytes });
    }
}

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// After this many bytes.
    Sized(u64),

    /// Each piece says its own length; one of length 0 ends it.
    Chunked,

    /// When the server closes the connection.
    UntilClose,
}

/// Takes `HTTP/1.1 404 Not Found` apart.
fn status_line(line: &str) -> Result<(u16, String), Error> {
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let digits = words.next().unwrap_or_default();
    if !version.starts_with("HTTP/1.") {
        return Err(Error::NotHttp(format!("it begins with {}", shortened(line))));
    }
    let status = digits.parse().ok().filter(|status| (100..1000).contains(status) && digits.len() == 3);
    let status = status.ok_or_else(|| Error::NotHttp(format!("{} is no status", shortened(digits))))?;
    Ok((status, words.next().unwrap_or_default().trim().to_owned()))
}

/// Decides from the header lines where the body ends, in the order of RFC 9112, section 6.3.
fn body_framing(status: u16, lines: &[String]) -> Result<Body, Error> {
    let mut length = None;
    let mut chunked = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Error::NotHttp(format!("a header line without a colon: {}", shortened(line))));
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            // Only the last encoding counts: chunks must be the outermost wrapping.
            chunked = Some(value.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked")));
        } else if name.eq_ignore_ascii_case("content-length") {
            // The same length may be said twice. Two different ones mean that somebody on the way
            // is being fooled.
            for digits in value.split(',').map(str::trim) {
                let this = parse_length(digits, 10)
                    .ok_or_else(|| Error::NotHttp(format!("{} is no Content-Length", shortened(digits))))?;
                if length.replace(this).is_some_and(|before| before != this) {
                    return Err(Error::NotHttp("two different Content-Length headers".to_owned()));
                }
            }
        }
    }
    Ok(match (status, chunked, length) {
        // These never have a body, whatever their headers say.
        (100..200 | 204 | 304, _, _) => Body::Sized(0),
        (_, Some(true), _) => Body::Chunked,
        (_, None, Some(length)) => Body::Sized(length),
        (_, Some(false), _) | (_, None, None) => Body::UntilClose,
    })
}

/// A length in digits only: `from_str_radix` by itself would also take a sign.
fn parse_length(digits: &str, radix: u32) -> Option<u64> {
    if digits.chars().all(|c| c.is_digit(radix)) { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// What a message quotes of a server's words: enough to recognise them, and no control characters
/// on a terminal.
fn shortened(text: &str) -> String {
    let mut quoted: String = text.chars().take(40).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    format!("{quoted:?}")
}

/// A stream read line by line or byte by byte, as a protocol with headers needs.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,

    /// Room for what is received. Only `used..held` means anything.
    buffer: Vec<u8>,

    /// Where what nobody has asked for yet begins.
    used: usize,

    /// Where it ends. Moved only after a receive has returned, so that a cancelled one leaves the
    /// reader as it was.
    held: usize,
}

impl<S: ReceiveStream> Reader<S> {
    /// Reads from `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), used: 0, held: 0 }
    }

    /// Gives the stream back; what was received and not asked for is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// One line without its end, which may be a bare line feed.
    ///
    /// # Errors
    ///
    /// When the stream fails or ends first, and when the line is too long.
    pub async fn line(&mut self) -> Result<String, Error> {
        // Bytes that were searched without finding an end are not searched again.
        let mut searched = 0;
        loop {
            let unused = &self.buffer[self.used..self.held];
            if let Some(end) = unused[searched..].iter().position(|&byte| byte == b'\n') {
                let line = &unused[..searched + end];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = String::from_utf8_lossy(line).into_owned();
                self.used += searched + end + 1;
                return Ok(text);
            }
            searched = unused.len();
            if searched > HEAD_LIMIT {
                return Err(Error::NotHttp(format!("a line of more than {HEAD_LIMIT} bytes")));
            }
            self.fill().await?;
        }
    }

    /// The lines up to the empty one that ends a head, without it.
    ///
    /// # Errors
    ///
    /// As [`line`](Self::line), and when they are too long together.
    pub async fn header_lines(&mut self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        let mut size = 0;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(lines);
            }
            size += line.len();
            if size > HEAD_LIMIT {
                return Err(Error::NotHttp(format!("headers of more than {HEAD_LIMIT} bytes")));
            }
            lines.push(line);
        }
    }

    /// Receives and forgets exactly this many bytes.
    async fn skip(&mut self, mut count: u64) -> Result<(), Error> {
        loop {
            let taken = usize::try_from(count).unwrap_or(usize::MAX).min(self.held - self.used);
            self.used += taken;
            count -= taken as u64;
            if count == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Receives and forgets a chunked body with its trailers; its length without the framing is
    /// returned.
    async fn skip_chunks(&mut self) -> Result<u64, Error> {
        let mut total: u64 = 0;
        loop {
            let line = self.line().await?;
            // After the size there may be extensions, which nobody uses.
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = parse_length(digits, 16)
                .ok_or_else(|| Error::NotHttp(format!("{} is no chunk size", shortened(digits))))?;
            if size == 0 {
                self.header_lines().await?;
                return Ok(total);
            }
            self.skip(size).await?;
            if !self.line().await?.is_empty() {
                return Err(Error::NotHttp("a chunk longer than its size".to_owned()));
            }
            total = total.saturating_add(size);
        }
    }

    /// Receives and forgets everything until the peer closes the connection; how much it was is
    /// returned.
    async fn skip_to_end(&mut self) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            total += (self.held - self.used) as u64;
            self.used = self.held;
            if self.receive().await? == 0 {
                return Ok(total);
            }
        }
    }

    /// Receives more, where the end of the stream would be too early.
    async fn fill(&mut self) -> Result<(), Error> {
        match self.receive().await? {
            0 => Err(Error::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended in the middle"))),
            _ => Ok(()),
        }
    }

    /// Appends what the stream has; 0 bytes mean its end.
    async fn receive(&mut self) -> io::Result<usize> {
        // Move what is unused to the front first, so that a long body passes through one small
        // buffer.
        self.buffer.copy_within(self.used..self.held, 0);
        self.held -= self.used;
        self.used = 0;
        if self.buffer.len() < self.held + READ_SIZE {
            self.buffer.resize(self.held + READ_SIZE, 0);
        }
        let received = self.stream.receive_some(&mut self.buffer[self.held..]).await?;
        self.held += received;
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use trio::AsyncResource;

    use super::*;

    /// A stream that hands out these pieces, one a call, and then ends.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncResource for Pieces {
        async fn aclose(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl ReceiveStream for Pieces {
        async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.0.pop_front() else {
                return Ok(0);
            };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            if count < piece.len() {
                self.0.push_front(piece.split_off(count));
            }
            Ok(count)
        }
    }

    /// Reads the answer whole and again byte by byte, since a server may cut it anywhere; both must
    /// agree.
    fn read(answer: impl AsRef<[u8]>) -> Result<Page, String> {
        let answer = answer.as_ref();
        let whole = VecDeque::from([answer.to_vec()]);
        let bytes = answer.iter().map(|&byte| vec![byte]).collect();
        let [whole, bytes] =
            [whole, bytes].map(|pieces| trio::run(read_page(Pieces(pieces))).map_err(|error| error.to_string()));
        assert_eq!(whole, bytes);
        whole
    }

    fn page(status: u16, reason: &str, bytes: u64) -> Result<Page, String> {
        Ok(Page { status, reason: reason.to_owned(), bytes })
    }

    #[test]
    fn a_body_of_a_known_length() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), page(200, "OK", 5));
        assert_eq!(read("HTTP/1.0 404 Not Found\r\ncontent-length:0\r\n\r\n"), page(404, "Not Found", 0));
        assert_eq!(read("HTTP/1.1 200\ncontent-length: 1\n\n!"), page(200, "", 1));
        // What follows belongs to nobody, since each connection carries one answer.
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n!!!"), page(200, "OK", 1));
    }

    #[test]
    fn a_body_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
        let body = "5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n";
        assert_eq!(read(format!("{head}{body}")), page(200, "OK", 15));
        assert_eq!(read(format!("{head}0\r\n\r\n")), page(200, "OK", 0));
    }

    #[test]
    fn a_body_that_ends_with_the_connection() {
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nhello"), page(200, "OK", 5));
        assert_eq!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"), page(200, "OK", 5));
    }

    #[test]
    fn answers_that_never_have_a_body() {
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), page(204, "No Content", 0));
        assert_eq!(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), page(304, "Not Modified", 0));
    }

    #[test]
    fn an_interim_answer_is_passed_over() {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read(answer), page(200, "OK", 2));
    }

    #[test]
    fn a_large_body_passes_through_a_small_buffer() {
        let body = vec![b'x'; 1 << 20];
        let mut pieces: VecDeque<_> = body.chunks(100_000).map(<[u8]>::to_vec).collect();
        pieces.push_front(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".to_vec());
        let mut reader = Reader::new(Pieces(pieces));
        trio::run(async {
            assert_eq!(reader.line().await.unwrap(), "HTTP/1.1 200 OK");
            reader.header_lines().await.unwrap();
            reader.skip(1 << 20).await.unwrap();
        });
        assert!(reader.buffer.capacity() <= 4 * READ_SIZE, "{}", reader.buffer.capacity());
    }

    #[test]
    fn what_is_not_http_says_why() {
        for (answer, reason) in [
            ("", "ended in the middle"),
            ("HTTP/1.1 200 OK\r\n", "ended in the middle"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "ended in the middle"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", "ended in the middle"),
            ("SSH-2.0-server\r\n", "begins with \"SSH-2.0-server\""),
            ("HTTP/2 200 OK\r\n\r\n", "begins with"),
            ("HTTP/1.1 20 OK\r\n\r\n", "\"20\" is no status"),
            ("HTTP/1.1 +20 OK\r\n\r\n", "is no status"),
            ("HTTP/1.1 two OK\r\n\r\n", "is no status"),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "without a colon"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "is no Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "is no Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "is no chunk size"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "is no chunk size"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n22\r\n", "longer than its size"),
        ] {
            let error = read(answer).expect_err(answer);
            assert!(error.contains(reason), "{answer:?}: {error}");
        }
        let endless = "x".repeat(HEAD_LIMIT + READ_SIZE);
        assert!(read(format!("HTTP/1.1 200 {endless}")).unwrap_err().contains("a line of more than"));
        let many = "Name: value\r\n".repeat(HEAD_LIMIT / 10);
        assert!(read(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).unwrap_err().contains("headers of more than"));
    }
}
