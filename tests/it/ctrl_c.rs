//! Ctrl-C at a terminal, once and twice, and SIGTERM, in each phase of a nursery: what runs, and how the process ends.

use std::cell::Cell;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::Duration;

use trio::process::Command;
use trio::signals::{SIGINT, SIGTERM};

use crate::terminal::AtTerminal;

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

/// One of the programs above, at a terminal of its own.
async fn start(program: &str) -> AtTerminal {
    let mut command = Command::new(std::env::current_exe().expect("the test knows itself"));
    command.args(["ctrl_c::program", "--exact", "--ignored", "--nocapture"]).env(PROGRAM, program);
    AtTerminal::start(command).await
}

#[trio::test]
async fn ctrl_c_while_the_body_runs() {
    let mut program = start("body").await;
    program.wait_for("the body runs").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.code(), Some(130), "{seen}");
    assert!(seen.contains("dropped child") && seen.contains("dropped main"), "{seen}");
}

#[trio::test]
async fn ctrl_c_while_a_child_is_shielded() {
    let mut program = start("shielded_for_a_while").await;
    program.wait_for("the child is shielded").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.code(), Some(130), "{seen}");
    let place = |words| seen.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{seen}"));
    assert!(place("dropped body") < place("dropped child"), "{seen}");
    assert!(place("the shield ends") < place("dropped child"), "{seen}");
    assert!(!seen.contains("never"), "{seen}");
}

#[trio::test]
async fn ctrl_c_twice_while_a_child_is_shielded() {
    let mut program = start("shielded_for_ever").await;
    program.wait_for("the child is shielded").await;
    program.press_ctrl_c().await;
    program.wait_for("dropped body").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("dropped child"), "{seen}");
}

#[trio::test]
async fn ctrl_c_runs_the_clean_up() {
    let mut program = start("cleans_up_for_a_while").await;
    program.wait_for("the child runs").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.code(), Some(130), "{seen}");
    assert!(seen.contains("the clean-up begins") && seen.contains("the clean-up ends"), "{seen}");
}

#[trio::test]
async fn ctrl_c_again_while_the_clean_up_runs() {
    let mut program = start("cleans_up_for_ever").await;
    program.wait_for("the child runs").await;
    program.press_ctrl_c().await;
    program.wait_for("the clean-up begins").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("the clean-up ends"), "{seen}");
}

#[trio::test]
async fn without_the_policy_ctrl_c_kills() {
    let mut program = start("leaves_ctrl_c_alone").await;
    program.wait_for("the body runs").await;
    program.press_ctrl_c().await;
    let (status, seen) = program.end().await;
    assert_eq!(status.signal(), Some(SIGINT), "{seen}");
    assert!(!seen.contains("dropped"), "{seen}");
}

// SIGTERM is nobody's, unless the program opens a receiver for it: it kills at once.
#[trio::test]
async fn sigterm_kills_in_every_phase() {
    for (name, words, ctrl_c) in [
        ("body", "the body runs", None),
        ("shielded_for_ever", "the child is shielded", None),
        ("shielded_for_ever", "the child is shielded", Some("dropped body")),
        ("cleans_up_for_ever", "the child runs", Some("the clean-up begins")),
    ] {
        let mut program = start(name).await;
        program.wait_for(words).await;
        if let Some(words) = ctrl_c {
            program.press_ctrl_c().await;
            program.wait_for(words).await;
        }
        program.terminate();
        let (status, seen) = program.end().await;
        assert_eq!(status.signal(), Some(SIGTERM), "{name}: {seen}");
        assert!(!seen.contains("dropped child"), "{name}: {seen}");
    }
}
