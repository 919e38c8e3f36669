//! `BufferedReceiveStream`, over a stream that gives what it is told to.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use trio::{AsyncResource, BufferedReceiveStream, LimitExceededError, ReceiveStream, move_on_after};

/// Gives these pieces, a second apart.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    closed: bool,
}

impl AsyncResource for Pieces {
    async fn aclose(&mut self) -> io::Result<()> {
        self.closed = true;
        Ok(())
    }
}

impl ReceiveStream for Pieces {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        trio::sleep(Duration::from_secs(1)).await;
        let Some(mut piece) = self.pieces.pop_front() else { return Ok(0) };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
        Ok(count)
    }
}

fn pieces(pieces: &[&str]) -> BufferedReceiveStream<Pieces> {
    let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
    BufferedReceiveStream::new(Pieces { pieces, closed: false })
}

#[trio::test(autojump)]
async fn lines_come_whole_wherever_they_were_cut() {
    let text = "one\r\ntwo\n\nlast";
    for cut in 0..=text.len() {
        for second in cut..=text.len() {
            let cuts = [&text[..cut], &text[cut..second], &text[second..]];
            let cuts: Vec<&str> = cuts.into_iter().filter(|piece| !piece.is_empty()).collect();
            let mut stream = pieces(&cuts);
            let mut lines = Vec::new();
            while let Some(line) = stream.read_line(100).await.unwrap() {
                lines.push(line);
            }
            assert_eq!(lines, ["one", "two", "", "last"], "{cuts:?}");
            assert_eq!(stream.read_line(100).await.unwrap(), None);
        }
    }
}

#[trio::test(autojump)]
async fn a_delimiter_may_be_long_and_cut() {
    let mut stream = pieces(&["a--bou", "nd", "ary", "--boundar", "y--boundary", "tail"]);
    let mut parts = Vec::new();
    while let Some(part) = stream.read_until(b"--boundary", 100).await.unwrap() {
        parts.push(String::from_utf8(part).unwrap());
    }
    assert_eq!(parts, ["a", "", "", "tail"]);
}

#[trio::test(autojump)]
async fn exact_amounts_come_whole_or_not_at_all() {
    let mut stream = pieces(&["abc", "defg"]);
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!((&five, stream.buffer()), (b"abcde", &b"fg"[..]));
    let error = stream.read_exact(&mut five).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(stream.into_parts().1, b"fg", "nothing was taken");
}

#[trio::test(autojump)]
async fn what_is_too_long_is_an_error_and_stays() {
    let mut stream = pieces(&["12345", "678\nrest\n"]);
    for _ in 0..2 {
        let error = stream.read_line(7).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let limit = error.get_ref().and_then(|error| error.downcast_ref());
        assert_eq!(limit, Some(&LimitExceededError { limit: 7 }));
    }
    assert_eq!(stream.read_line(8).await.unwrap().unwrap(), "12345678");
    assert_eq!(stream.read_line(4).await.unwrap().unwrap(), "rest");
    // No more is buffered for a delimiter that does not come than is needed to know it.
    let mut endless = pieces(&["x".repeat(100_000).as_str()]);
    assert!(endless.read_line(10).await.is_err());
    assert!(endless.buffer().len() <= 8 * 1024);
}

#[trio::test(autojump)]
async fn a_cancelled_read_has_taken_nothing() {
    let mut stream = pieces(&["first ", "half, ", "second half\n"]);
    assert!(move_on_after(Duration::from_millis(2500), stream.read_line(100)).await.is_none());
    assert_eq!(stream.buffer(), b"first half, ");
    assert_eq!(stream.read_line(100).await.unwrap().unwrap(), "first half, second half");
}

#[trio::test(autojump)]
async fn it_is_a_stream_itself() {
    let mut stream = pieces(&["line\nmore", "end"]);
    stream.read_line(10).await.unwrap();
    let mut two = [0; 2];
    assert_eq!((stream.receive_some(&mut two).await.unwrap(), &two), (2, b"mo"));
    let mut ten = [0; 10];
    assert_eq!(stream.receive_some(&mut ten).await.unwrap(), 2);
    assert_eq!(stream.receive_some(&mut ten).await.unwrap(), 3);
    assert_eq!(&ten[..3], b"end");
    assert_eq!(stream.receive_some(&mut ten).await.unwrap(), 0);
    stream.aclose().await.unwrap();
    assert!(stream.get_ref().closed && stream.get_mut().closed);
}

#[trio::test(autojump)]
async fn a_line_that_is_not_text_is_an_error() {
    let stream = Pieces { pieces: VecDeque::from([vec![0xff, b'\n', b'a', b'\n']]), closed: false };
    let mut stream = BufferedReceiveStream::new(stream);
    assert_eq!(stream.read_line(10).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(stream.read_line(10).await.unwrap().unwrap(), "a");
}
