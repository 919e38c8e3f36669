//! A service that is stopped: what Ctrl-C, a second Ctrl-C and SIGTERM do in each phase of its life.
//!
//! ```text
//! cargo run --example service             a second for each phase
//! cargo run --example service -- keys     each phase lasts until Enter is pressed
//! ```
//!
//! It serves in the nursery's body; then a child writes the state away, shielded, since half a state is worse than none; and
//! then the same child cleans up, with `finally`. It says which phase begins and ends, and what it was told:
//!
//! | | while serving | while saving | while cleaning up |
//! | --- | --- | --- | --- |
//! | *nothing* | `serving as process …`, `served` | `saving`, `saved` | `cleaning up`, `clean`; exit code 0 |
//! | *Ctrl-C* | `interrupted`, never `served`; saves, which is a part of the clean-up now; exit code 130 | `interrupted`, `saved`; cleans up; exit code 130 | `interrupted`, `clean`; exit code 130 |
//! | *Ctrl-C again* | it saves by then: as on the right | nothing more is said; dies of SIGINT | nothing more is said; dies of SIGINT |
//! | *SIGTERM* | nothing more is said; dies of SIGTERM | nothing more is said; dies of SIGTERM | nothing more is said; dies of SIGTERM |
//!
//! A shell shows a program that dies of SIGINT as 130 as well, and one that dies of SIGTERM as 143. A service that is to end in
//! good order on SIGTERM, too, waits for it with `trio::open_signal_receiver`, and cancels a scope when it comes.

use std::cell::Cell;
use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use trio::{Event, FdStream, Lock};
use trio_examples::say;

/// How long a phase lasts.
enum Pace {
    Time(Duration),
    Keys(Lock<FdStream>),
}

impl Pace {
    fn from_arguments() -> Result<Self, String> {
        match std::env::args().nth(1).as_deref() {
            None => Ok(Self::Time(Duration::from_secs(1))),
            Some("keys") => {
                // Not standard input: to make that one non-blocking would do the same to the shell's.
                let keyboard = File::open("/dev/tty").and_then(FdStream::new);
                Ok(Self::Keys(Lock::new(keyboard.map_err(|error| format!("there is no keyboard: {error}"))?)))
            }
            Some(other) => Err(format!("unknown argument `{other}`; expected `keys`, or nothing")),
        }
    }

    async fn phase(&self) {
        match self {
            Self::Time(time) => trio::sleep(*time).await,
            Self::Keys(keyboard) => {
                // A line, or the terminal's end.
                let _line = keyboard.lock().await.receive_some(&mut [0; 100]).await;
            }
        }
    }
}

/// What the service knows.
struct Service {
    pace: Pace,
    /// The body has ended by itself.
    served: Event,
    saved: Cell<bool>,
    clean: Cell<bool>,
}

impl Service {
    /// The body of the nursery: the first thing that a cancellation drops.
    async fn serve(&self) {
        say(format!("serving as process {}", std::process::id()));
        self.pace.phase().await;
        say("served");
        self.served.set();
    }

    /// The child. Once it has begun to save, it can't be cancelled before it has done so; before that, it can.
    async fn save_in_the_end(&self) {
        self.served.wait().await;
        trio::shield(self.save()).await;
    }

    async fn save(&self) {
        say("saving");
        // As slow as a disk can be.
        self.pace.phase().await;
        self.saved.set(true);
        say("saved");
    }

    /// Runs when the child has ended and when it was cancelled, and can't be cancelled itself.
    async fn clean_up(&self) {
        if !self.saved.get() {
            self.save().await;
        }
        say("cleaning up");
        self.pace.phase().await;
        self.clean.set(true);
        say("clean");
    }
}

/// Says that the service was interrupted, if it goes before the service has ended.
struct Interrupted<'a>(&'a Service);

impl Drop for Interrupted<'_> {
    fn drop(&mut self) {
        if !self.0.clean.get() {
            say("interrupted");
        }
    }
}

#[trio::main]
async fn main() -> ExitCode {
    let pace = match Pace::from_arguments() {
        Ok(pace) => pace,
        Err(mistake) => {
            eprintln!("service: {mistake}");
            return ExitCode::from(2);
        }
    };
    let service = Service { pace, served: Event::new(), saved: Cell::new(false), clean: Cell::new(false) };
    trio::nursery! { |n|
        // Waits for nothing but its own end: when Ctrl-C cancels `main`, or when all others are done.
        n.start_daemon(async {
            let _guard = Interrupted(&service);
            trio::sleep_forever().await
        });
        n.start_soon(trio::finally(service.save_in_the_end(), service.clean_up()));
        service.serve().await;
    }
    ExitCode::SUCCESS
}
