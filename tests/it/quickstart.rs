//! The quickstart, as a person runs it: the built program, its output, its exit code, and Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::examples::example;

/// Far more than any of these programs needs, so that only one that hangs comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A quickstart that is running. It is killed if a test fails in the middle.
struct Running {
    child: Child,
    began: Instant,
    /// The lines of its standard output as they come. Disconnected at its end.
    lines: Receiver<String>,
    /// Those that were received.
    seen: Vec<String>,
}

/// A quickstart that has ended.
struct Ended {
    code: Option<i32>,
    out: Vec<String>,
    error: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(example("quickstart"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the quickstart can be started");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, began: Instant::now(), lines, seen: Vec::new() }
    }

    /// Waits for a line that holds all of these words.
    fn wait_for(&mut self, words: &[&str]) {
        while !self.seen.last().is_some_and(|line| words.iter().all(|word| line.contains(word))) {
            let left = PATIENCE.saturating_sub(self.began.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line with {words:?}: {error}; so far: {:#?}", self.seen),
            }
        }
    }

    /// What a terminal does on Ctrl-C. The shell has `kill` built in, so nothing needs to be
    /// installed for this.
    fn press_ctrl_c(&self) {
        let id = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -INT \"$1\"", "sh", &id]).status();
        assert!(status.expect("there is a shell").success(), "the signal could not be sent");
    }

    /// Waits for its end.
    fn end(mut self) -> Ended {
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(self.began.elapsed())) {
                Ok(line) => self.seen.push(line),
                // Its standard output is closed: it has ended, or is about to.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it didn't end; so far: {:#?}", self.seen),
            }
        }
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(self.began.elapsed() < PATIENCE, "it closed its output and didn't end: {:#?}", self.seen);
            thread::sleep(Duration::from_millis(5));
        };
        let mut error = String::new();
        self.child.stderr.take().expect("it was piped").read_to_string(&mut error).expect("it writes UTF-8");
        Ended { code: status.code(), out: mem::take(&mut self.seen), error }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without effect on a program that has ended.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Ended {
    /// The place of the only line that holds all of these words.
    #[track_caller]
    fn line(&self, words: &[&str]) -> usize {
        let found: Vec<usize> =
            (0..self.out.len()).filter(|&at| words.iter().all(|word| self.out[at].contains(word))).collect();
        assert_eq!(found.len(), 1, "lines with {words:?} in {:#?}\n{}", self.out, self.error);
        found[0]
    }

    /// The closing table by the last part of each URL, and its last line's numbers: pages, total,
    /// sum.
    #[track_caller]
    fn table(&self) -> (Vec<Row<'_>>, [u64; 3]) {
        let heading = self.line(&["URL", "status", "bytes", "ms"]);
        let closing = self.line(&["one after another"]);
        let rows = self.out[heading + 1..closing].iter().filter(|line| !line.is_empty());
        let rows = rows.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [url, status @ .., bytes, took] = words.as_slice() else { panic!("no row: {line:?}") };
            let page = url.rsplit('/').next().unwrap_or_default();
            Row { page, status: status.join(" "), bytes, took: took.parse().expect("milliseconds") }
        });
        let numbers = self.out[closing].split_whitespace().filter_map(|word| word.parse().ok());
        (rows.collect(), numbers.collect::<Vec<u64>>().try_into().expect("three numbers"))
    }
}

/// A row of the closing table.
#[derive(Debug)]
struct Row<'a> {
    page: &'a str,
    status: String,
    bytes: &'a str,
    took: u64,
}

#[test]
fn the_quickstart_without_arguments_shows_everything() {
    let ended = Running::start(&[]).end();
    assert_eq!(ended.code, Some(0), "{:#?}\n{}", ended.out, ended.error);
    assert_eq!(ended.error, "");

    // Concurrency: every page is started before the first has ended.
    let pages = ["quick", "slow", "in-pieces", "until-close", "missing", "never", "refused"];
    let last_start = pages.iter().map(|page| ended.line(&[" ms  start ", &format!("/{page}")])).max();
    let first_end =
        ended.out.iter().position(|line| [" ms  end ", " ms  failed "].iter().any(|word| line.contains(word)));
    assert!(last_start < first_end, "{:#?}", ended.out);

    // Each page ends in its own way.
    ended.line(&[" ms  end ", "/quick", "200 OK, 500 bytes"]);
    ended.line(&[" ms  end ", "/missing", "404 Not Found, 90 bytes"]);
    ended.line(&[" ms  failed ", "/refused", "onnection refused"]);
    let cancelled = ended.line(&[" ms  cancelled ", "/never"]);

    // The deadline cancels what is left; the site goes with its nursery, and only then is the table
    // printed.
    let closed = ended.line(&["the site is closed"]);
    let deadline = ended.line(&["the deadline cancelled"]);
    assert!(cancelled < deadline && closed < deadline, "{:#?}", ended.out);

    let (rows, [count, total, sum]) = ended.table();
    let row = |page: &str| {
        let row = rows.iter().find(|row| row.page == page).unwrap_or_else(|| panic!("no {page} in {rows:#?}"));
        (row.status.as_str(), row.bytes)
    };
    assert_eq!(row("quick"), ("200", "500"));
    assert_eq!(row("slow"), ("200", "20000"));
    assert_eq!(row("in-pieces"), ("200", "3072"));
    assert_eq!(row("until-close"), ("200", "4096"));
    assert_eq!(row("missing"), ("404", "90"));
    assert_eq!(row("never"), ("timed out", "-"));
    assert_eq!(row("refused"), ("failed", "-"));
    assert_eq!((rows.len(), count), (7, 7));

    // The sum is of the rows, each cut to whole milliseconds. Waiting at once is what makes the
    // total the smaller one.
    let rows_sum: u64 = rows.iter().map(|row| row.took).sum();
    assert!((rows_sum..rows_sum + 8).contains(&sum), "{sum}, {rows:#?}");
    assert!(total >= 1500 && sum > total, "{total} and {sum}");
}

#[test]
fn ctrl_c_in_the_middle_of_the_quickstart_ends_it_cleanly() {
    let mut running = Running::start(&[]);
    running.wait_for(&[" ms  end ", "/quick"]);
    running.press_ctrl_c();
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{:#?}\n{}", ended.out, ended.error);
    assert!(!ended.error.contains("panicked"), "{}", ended.error);

    // Every task was dropped, and so each that had begun has said how it ended.
    ended.line(&[" ms  cancelled ", "/never"]);
    ended.line(&["the site is closed"]);
    let with = |word: &str| ended.out.iter().filter(|line| line.contains(word)).count();
    assert_eq!(
        with(" ms  start "),
        with(" ms  end ") + with(" ms  failed ") + with(" ms  cancelled "),
        "{:#?}",
        ended.out
    );
    // What follows the nursery in `main` is not reached.
    assert!(!ended.out.iter().any(|line| line.contains("URL") || line.contains("deadline")), "{:#?}", ended.out);
}

/// A server on this machine that answers nobody before everybody has asked, and then each path in
/// its own way.
fn serve(clients: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let waiting: Vec<(TcpStream, String)> = listener
            .incoming()
            .take(clients)
            .map(|stream| {
                let stream = stream.expect("a client");
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                assert!(headers.contains(&format!("Host: {address}")), "{headers:?}");
                (stream, request)
            })
            .collect();
        for (mut stream, request) in waiting {
            let answer: &[u8] = match request.as_str() {
                "GET /length?q HTTP/1.1" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "GET /chunks HTTP/1.1" => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nT: t\r\n\r\n"
                }
                "GET /close HTTP/1.0" | "GET /close HTTP/1.1" => b"HTTP/1.0 200 OK\r\n\r\nuntil it is closed",
                _ => b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            };
            stream.write_all(answer).expect("the client is there");
        }
    });
    format!("http://{address}")
}

#[test]
fn the_quickstart_with_arguments_fetches_those_pages() {
    let server = serve(3);
    let urls = ["/length?q#part", "/chunks", "/close"].map(|path| format!("{server}{path}"));
    let ended = Running::start(&urls.each_ref().map(String::as_str)).end();
    assert_eq!(ended.code, Some(0), "{:#?}\n{}", ended.out, ended.error);
    let (rows, [count, ..]) = ended.table();
    let mut rows: Vec<_> = rows.iter().map(|row| (row.page, row.status.as_str(), row.bytes)).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("chunks", "200", "7"), ("close", "200", "18"), ("length?q#part", "200", "5")]);
    assert_eq!(count, 3);
}

#[test]
fn the_quickstart_fails_when_a_page_that_was_asked_for_fails() {
    let server = serve(2);
    let urls = [format!("{server}/length?q"), format!("{server}/else"), "http://127.0.0.1:1/refused".to_owned()];
    let ended = Running::start(&urls.each_ref().map(String::as_str)).end();
    assert_eq!(ended.code, Some(1), "{:#?}\n{}", ended.out, ended.error);
    // An error of one page is no reason to give up another.
    ended.line(&[" ms  end ", "/length?q", "200 OK, 5 bytes"]);
    ended.line(&[" ms  end ", "/else", "500 Oh, 0 bytes"]);
    ended.line(&[" ms  failed ", "/refused", "onnection refused"]);
}

#[test]
fn the_quickstart_says_what_is_wrong_with_an_address() {
    for (argument, reason) in [("https://example.com/", "TLS"), ("example.com", "http://"), ("http://:80/", "host")] {
        let ended = Running::start(&[argument]).end();
        assert_eq!(ended.code, Some(2));
        assert!(ended.error.contains(argument) && ended.error.contains(reason), "{}", ended.error);
        assert_eq!(ended.out, [""; 0], "nothing was fetched");
    }
}
