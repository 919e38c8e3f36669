//! A program that runs at a terminal of its own, and a person who sits there.

use std::process::ExitStatus;
use std::time::Duration;

use trio::process::{Command, Process, Pty, open_process, open_pty};

/// Far more than any of the programs needs, so that only one that hangs comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// It is killed if a test fails in the middle.
pub(crate) struct AtTerminal {
    child: Process,
    pty: Pty,
    seen: String,
}

impl AtTerminal {
    pub(crate) async fn start(mut command: Command) -> Self {
        let (pty, terminal) = open_pty(24, 80).expect("there is a pseudo-terminal to be had");
        let child = open_process(command.terminal(terminal)).await.expect("the program can be started");
        Self { child, pty, seen: String::new() }
    }

    /// Looks at more of what is shown. False at the end.
    async fn look(&mut self) -> bool {
        let mut buffer = [0; 1024];
        let shown = trio::fail_after(PATIENCE, self.pty.receive_some(&mut buffer)).await;
        let count = shown.unwrap_or_else(|_| panic!("nothing more is shown; so far:\n{}", self.seen));
        let count = count.expect("the terminal can be looked at");
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }

    /// Waits for a line with these words, and for its end: a Ctrl-C throws away what has not been looked at.
    pub(crate) async fn wait_for(&mut self, words: &str) {
        let is_there = |seen: &str| seen.split_once(words).is_some_and(|(_, rest)| rest.contains('\n'));
        while !is_there(&self.seen) {
            assert!(self.look().await, "no {words:?} before the end:\n{}", self.seen);
        }
    }

    pub(crate) async fn press_ctrl_c(&mut self) {
        let before = self.seen.matches("^C").count();
        self.press(b"\x03").await;
        // The echo: the terminal has sent the signal. It does that first, so that a program may be gone before the echo comes.
        while self.seen.matches("^C").count() == before && self.look().await {}
    }

    pub(crate) async fn press_enter(&mut self) {
        self.press(b"\n").await;
    }

    async fn press(&mut self, keys: &[u8]) {
        self.pty.send_all(keys).await.expect("there is a terminal");
    }

    pub(crate) fn terminate(&self) {
        self.child.terminate().expect("it can be sent a signal");
    }

    /// Waits for its end; gives how that was, and what it said.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        while self.look().await {}
        let status = trio::fail_after(PATIENCE, self.child.wait()).await.expect("it has closed its terminal, and ends");
        (status.expect("it can be waited for"), std::mem::take(&mut self.seen))
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // Without effect on a program that has ended.
        let _ended = self.child.kill();
    }
}
