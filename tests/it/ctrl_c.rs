//! Ctrl-C at a terminal, once and twice, and SIGTERM, in each phase of a nursery: what runs, and how the process ends.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::ptr::null_mut;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use trio::signals::{SIGINT, SIGTERM};

/// Far more than any of the programs needs, so that only one that hangs comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the programs below a child process is to be.
const PROGRAM: &str = "TRIO_TEST_CTRL_C";

/// Says so when it goes.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

#[trio::main]
async fn body() {
    let _guard = Guard("main");
    trio::nursery! { |n|
        n.start_soon(async {
            let _guard = Guard("child");
            trio::sleep_forever().await
        });
        trio::checkpoint().await;
        println!("the body runs");
        trio::sleep_forever().await
    }
}

/// A child is shielded, until the body has been dropped or for ever.
async fn shielded(for_ever: bool) {
    let waits = Cell::new(true);
    trio::nursery! { |n|
        n.start_soon(async {
            let _guard = Guard("child");
            trio::shield(async {
                println!("the child is shielded");
                while for_ever || waits.get() {
                    trio::sleep(Duration::from_millis(1)).await;
                }
                println!("the shield ends");
            })
            .await;
            trio::checkpoint().await;
            println!("never");
        });
        let _guard = Guard("body");
        trio::finally(trio::sleep_forever(), async { waits.set(false) }).await
    }
}

#[trio::main]
async fn shielded_for_a_while() {
    shielded(false).await;
}

#[trio::main]
async fn shielded_for_ever() {
    shielded(true).await;
}

/// Cleans up when it is cancelled, for a short while or for ever.
async fn cleans_up(time: Duration) {
    trio::nursery! { |n|
        n.start_soon(trio::finally(
            async {
                println!("the child runs");
                trio::sleep_forever().await
            },
            async move {
                println!("the clean-up begins");
                trio::sleep(time).await;
                println!("the clean-up ends");
            },
        ));
        trio::sleep_forever().await
    }
}

#[trio::main]
async fn cleans_up_for_a_while() {
    cleans_up(Duration::from_millis(50)).await;
}

#[trio::main]
async fn cleans_up_for_ever() {
    cleans_up(Duration::MAX).await;
}

#[trio::main(ctrl_c = "ignore")]
async fn leaves_ctrl_c_alone() {
    let _guard = Guard("main");
    println!("the body runs");
    trio::sleep_forever().await
}

#[test]
#[ignore = "the tests below run it in a process of its own"]
fn program() {
    let code = match std::env::var(PROGRAM).as_deref() {
        Ok("body") => body(),
        Ok("shielded_for_a_while") => shielded_for_a_while(),
        Ok("shielded_for_ever") => shielded_for_ever(),
        Ok("cleans_up_for_a_while") => cleans_up_for_a_while(),
        Ok("cleans_up_for_ever") => cleans_up_for_ever(),
        Ok("leaves_ctrl_c_alone") => leaves_ctrl_c_alone(),
        _ => return,
    };
    std::process::exit(if code == ExitCode::from(130) { 130 } else { i32::from(code != ExitCode::SUCCESS) });
}

/// A program that runs at a terminal of its own. It is killed if a test fails in the middle.
struct AtTerminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    began: Instant,
}

impl AtTerminal {
    fn start(program: &str) -> Self {
        let (mut ours, mut its) = (-1, -1);
        // SAFETY: it writes two descriptors to where the pointers lead, and takes null for what is not wanted.
        let made = unsafe { libc::openpty(&raw mut ours, &raw mut its, null_mut(), null_mut(), null_mut()) };
        assert_eq!(made, 0, "there is a pseudo-terminal to be had");
        // SAFETY: both were opened just now, and nobody else has them.
        let (keyboard, its) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) };
        let mut command = Command::new(std::env::current_exe().expect("the test knows itself"));
        command.args(["ctrl_c::program", "--exact", "--ignored", "--nocapture"]).env(PROGRAM, program);
        let (ours, terminal) = (keyboard.as_raw_fd(), its.as_raw_fd());
        // SAFETY: the function makes system calls only, which is what may be done between fork and exec. The terminal
        // becomes the one that controls the process, and its input and output.
        unsafe {
            command.pre_exec(move || {
                libc::close(ours);
                if libc::login_tty(terminal) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            })
        };
        let child = command.spawn().expect("the test can be started again");
        drop(its);
        let mut output = keyboard.try_clone().expect("a descriptor can be had twice");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // An error, where the program has ended.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let _ = sender.send(buffer[..length].to_vec());
            }
        });
        Self { child, keyboard, screen, seen: String::new(), began: Instant::now() }
    }

    fn wait_for(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let left = PATIENCE.saturating_sub(self.began.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(error) => panic!("no {words:?}: {error}; so far:\n{}", self.seen),
            }
        }
    }

    fn press_ctrl_c(&mut self) {
        self.keyboard.write_all(b"\x03").expect("there is a terminal");
        // The echo: the terminal has sent the signal.
        let before = self.seen.matches("^C").count();
        while self.seen.matches("^C").count() == before {
            let left = PATIENCE.saturating_sub(self.began.elapsed());
            let more = self.screen.recv_timeout(left).expect("the terminal echoes");
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn terminate(&self) {
        // SAFETY: a call with two numbers; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, SIGTERM) }, 0);
    }

    /// Waits for its end; gives how that was, and what it said.
    fn end(mut self) -> (ExitStatus, String) {
        let left = |began: Instant| PATIENCE.saturating_sub(began.elapsed());
        while let Ok(more) = self.screen.recv_timeout(left(self.began)) {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        assert!(left(self.began) > Duration::ZERO, "it didn't end; so far:\n{}", self.seen);
        let status = self.child.wait().expect("it can be waited for");
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // Without effect on a program that has ended.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn ctrl_c_while_the_body_runs() {
    let mut program = AtTerminal::start("body");
    program.wait_for("the body runs");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.code(), Some(130), "{seen}");
    assert!(seen.contains("dropped child") && seen.contains("dropped main"), "{seen}");
}

#[test]
fn ctrl_c_while_a_child_is_shielded() {
    let mut program = AtTerminal::start("shielded_for_a_while");
    program.wait_for("the child is shielded");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.code(), Some(130), "{seen}");
    let place = |words| seen.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{seen}"));
    assert!(place("dropped body") < place("dropped child"), "{seen}");
    assert!(place("the shield ends") < place("dropped child"), "{seen}");
    assert!(!seen.contains("never"), "{seen}");
}

#[test]
fn ctrl_c_twice_while_a_child_is_shielded() {
    let mut program = AtTerminal::start("shielded_for_ever");
    program.wait_for("the child is shielded");
    program.press_ctrl_c();
    program.wait_for("dropped body");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("dropped child"), "{seen}");
}

#[test]
fn ctrl_c_runs_the_clean_up() {
    let mut program = AtTerminal::start("cleans_up_for_a_while");
    program.wait_for("the child runs");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.code(), Some(130), "{seen}");
    assert!(seen.contains("the clean-up begins") && seen.contains("the clean-up ends"), "{seen}");
}

#[test]
fn ctrl_c_again_while_the_clean_up_runs() {
    let mut program = AtTerminal::start("cleans_up_for_ever");
    program.wait_for("the child runs");
    program.press_ctrl_c();
    program.wait_for("the clean-up begins");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("the clean-up ends"), "{seen}");
}

#[test]
fn without_the_policy_ctrl_c_kills() {
    let mut program = AtTerminal::start("leaves_ctrl_c_alone");
    program.wait_for("the body runs");
    program.press_ctrl_c();
    let (status, seen) = program.end();
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("dropped"), "{seen}");
}

// SIGTERM is nobody's, unless the program opens a receiver for it: it kills at once.
#[test]
fn sigterm_kills_in_every_phase() {
    for (name, words, ctrl_c) in [
        ("body", "the body runs", None),
        ("shielded_for_ever", "the child is shielded", None),
        ("shielded_for_ever", "the child is shielded", Some("dropped body")),
        ("cleans_up_for_ever", "the child runs", Some("the clean-up begins")),
    ] {
        let mut program = AtTerminal::start(name);
        program.wait_for(words);
        if let Some(words) = ctrl_c {
            program.press_ctrl_c();
            program.wait_for(words);
        }
        program.terminate();
        let (status, seen) = program.end();
        assert_eq!(status.signal(), Some(SIGTERM), "{name}: {seen}");
        assert!(!seen.contains("dropped child"), "{name}: {seen}");
    }
}
