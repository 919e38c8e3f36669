//! Fetches web pages concurrently, with one deadline for all of them.
//!
//! ```text
//! cargo run --example quickstart                              its own site on this machine, over in 1.5 seconds
//! cargo run --example quickstart -- http://example.com/ …     these pages, 10 seconds at most
//! ```
//!
//! Press Ctrl-C in the middle: every task is dropped, says so, and the program ends with 130.
//!
//! What to look at, from top to bottom: `main` opens a nursery under a deadline; `visit` is the
//! task that runs once for each page, and *borrows* the report from `main`; `Visit` is a guard
//! whose `Drop` runs even when its task is cancelled. The HTTP client and the site are in
//! `examples/src/`, and are ordinary trio programs too.

use std::cell::RefCell;
use std::mem;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use trio::net::TcpListener;
use trio_examples::url::Url;
use trio_examples::{http, say, site};

/// The `#[trio::main]` attribute makes an ordinary `fn main` of this, which runs it on the current
/// thread. It also turns the first Ctrl-C into a cancellation of all that follows; a second one
/// kills.
#[trio::main]
async fn main() -> trio::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listener, urls, deadline) = if arguments.is_empty() {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let urls = site::urls(listener.local_addr()?);
        (Some(listener), urls, Duration::from_millis(1500))
    } else {
        match arguments.iter().map(|text| read_url(text)).collect() {
            Ok(urls) => (None, urls, Duration::from_secs(10)),
            Err(mistake) => {
                eprintln!("quickstart: {mistake}");
                return Ok(ExitCode::from(2));
            }
        }
    };
    let report = Report::new();

    // The deadline is around everything that is started inside, and it needs no help from there:
    // nobody passes a timeout to a function, or looks at a token. When the time has come, all that
    // still runs is cancelled.
    let in_time = trio::move_on_after!(deadline, {
        // A nursery is a block that ends when the tasks started in it have ended. None can be left
        // behind, so they may borrow: `visit` reads `urls` and writes into `report`, which live in
        // this function and are not in an `Arc`.
        trio::try_nursery! { |n|
            if let Some(listener) = listener {
                // The site would run for ever. As a daemon it doesn't keep the nursery open: it is
                // cancelled when the last page is done.
                n.start_daemon(site::serve(listener));
            }
            for url in &urls {
                n.start_soon(visit(url, &report));
            }
        }?; // here every task has ended; an error in any would have cancelled the others and come out of this `?`
    });

    // After Ctrl-C nobody comes here: `main` itself was cancelled.
    if in_time.is_none() {
        say(format!("{:5} ms  the deadline cancelled what was left", report.milliseconds()));
    }
    report.print();
    // Of the site's own pages some fail on purpose.
    let complete = arguments.is_empty() || report.is_complete();
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads one address from the command line; the error is for the person who typed it.
fn read_url(text: &str) -> Result<Url, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// One task: fetches one page. How that went is told to the report when `visit` is dropped.
///
/// A page that can't be had is only a line in the report. Were it the end of the whole program,
/// this function would return the error instead: the nursery would cancel the other pages and hand
/// the error to `main`.
async fn visit(url: &Url, report: &Report) {
    let mut visit = report.start(url);
    visit.outcome = match http::get(url).await {
        Ok(page) => Outcome::Answered(page),
        Err(error) => Outcome::Failed(error),
    };
}

/// What happened to each page. All tasks run on one thread, so a cell is enough and nothing is
/// locked.
struct Report {
    began: Instant,

    /// The lines of the closing table, in the order in which the visits ended.
    rows: RefCell<Vec<Row>>,
}

/// A visit that is over.
struct Row {
    url: String,
    outcome: Outcome,
    took: Duration,
}

/// How a visit ended.
enum Outcome {
    /// With an answer, which may say "not found".
    Answered(http::Page),

    /// With an error.
    Failed(http::Error),

    /// Not at all: its task was cancelled.
    Cancelled,
}

/// A visit that is going on.
///
/// Cancellation in trio is `Drop`: the future of a cancelled task is dropped where it waits, and
/// with it whatever it holds, such as its connection and this guard.
struct Visit<'a> {
    report: &'a Report,
    url: &'a Url,
    began: Instant,

    /// Cancelled, until something else is known.
    outcome: Outcome,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let (url, took, now) = (self.url, self.began.elapsed(), self.report.milliseconds());
        match &self.outcome {
            Outcome::Answered(page) => {
                say(format!("{now:5} ms  end       {url}: {} {}, {} bytes", page.status, page.reason, page.bytes));
            }
            Outcome::Failed(error) => say(format!("{now:5} ms  failed    {url}: {error}")),
            Outcome::Cancelled => say(format!("{now:5} ms  cancelled {url}")),
        }
        let outcome = mem::replace(&mut self.outcome, Outcome::Cancelled);
        self.report.rows.borrow_mut().push(Row { url: url.to_string(), outcome, took });
    }
}

impl Report {
    fn new() -> Self {
        Self { began: Instant::now(), rows: RefCell::default() }
    }

    /// How long the program has been running.
    fn milliseconds(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// Says that a page is asked for. The visit ends when the guard that comes back is dropped.
    fn start<'a>(&'a self, url: &'a Url) -> Visit<'a> {
        say(format!("{:5} ms  start     {url}", self.milliseconds()));
        Visit { report: self, url, began: Instant::now(), outcome: Outcome::Cancelled }
    }

    /// Whether all pages were had.
    fn is_complete(&self) -> bool {
        self.rows.borrow().iter().all(|row| matches!(&row.outcome, Outcome::Answered(page) if page.status < 400))
    }

    /// Prints the closing table. What concurrency saved is the difference of its last two numbers.
    fn print(&self) {
        let rows = self.rows.borrow();
        let width = rows.iter().map(|row| row.url.len()).max().unwrap_or(0);
        say(format!("\n{:width$}  {:>9}  {:>8}  {:>6}", "URL", "status", "bytes", "ms"));
        for Row { url, outcome, took } in rows.iter() {
            let (status, bytes) = match outcome {
                Outcome::Answered(page) => (page.status.to_string(), page.bytes.to_string()),
                Outcome::Failed(_) => ("failed".to_owned(), "-".to_owned()),
                Outcome::Cancelled => ("timed out".to_owned(), "-".to_owned()),
            };
            say(format!("{url:width$}  {status:>9}  {bytes:>8}  {:>6}", took.as_millis()));
        }
        let total = self.milliseconds();
        let sum: Duration = rows.iter().map(|row| row.took).sum();
        let (count, sum) = (rows.len(), sum.as_millis());
        let pages = if count == 1 { "page" } else { "pages" };
        say(format!("\n{count} {pages} in {total} ms; one after another: {sum} ms"));
    }
}
