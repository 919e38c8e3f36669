//! `#[trio::main]` as a process of its own: what Ctrl-C does early, and what a run that is stuck says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use trio::Event;

/// Which of the programs below a child process is to be.
const PROGRAM: &str = "TRIO_TEST_PROGRAM";

struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        println!("farewell");
    }
}

#[trio::main]
async fn is_interrupted_in_its_first_step() {
    let _farewell = Farewell;
    let status = Command::new("sh").args(["-c", "kill -INT $PPID"]).status();
    assert!(status.expect("there is a shell").success());
    std::thread::sleep(Duration::from_millis(20));
    println!("the first step went on");
    trio::sleep_forever().await;
}

#[trio::main]
async fn is_stuck() {
    let event = Event::new();
    trio::nursery! { |n|
        n.named("stuck").start_soon(event.wait());
    }
}

#[test]
#[ignore = "the tests below run it in a process of its own"]
fn program() {
    let code = match std::env::var(PROGRAM).as_deref() {
        Ok("is_interrupted_in_its_first_step") => is_interrupted_in_its_first_step(),
        Ok("is_stuck") => is_stuck(),
        _ => return,
    };
    std::process::exit(if code == ExitCode::from(130) { 130 } else { i32::from(code != ExitCode::SUCCESS) });
}

fn start(program: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("the test knows itself"));
    command.args(["main_function::program", "--exact", "--ignored", "--nocapture"]).env(PROGRAM, program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the test can be started again")
}

#[test]
fn ctrl_c_in_the_first_step_of_main_cancels_it() {
    let ended = start("is_interrupted_in_its_first_step").wait_with_output().expect("it ends");
    let out = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(130), "{out}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(out.contains("the first step went on") && out.contains("farewell"), "{out}");
}

#[test]
fn a_main_that_is_stuck_says_so_although_it_listens_for_ctrl_c() {
    let mut child = start("is_stuck");
    let lines = BufReader::new(child.stderr.take().expect("it was piped")).lines();
    let told: Vec<String> = lines
        .map_while(Result::ok)
        .scan(false, |over, line| (!std::mem::replace(over, line.contains("'stuck'"))).then_some(line))
        .collect();
    child.kill().expect("it waits");
    child.wait().expect("it was killed");
    let told = told.join("\n");
    assert!(told.contains("deadlock"), "{told}");
    // The main task is where it was written, not a line of trio's own.
    assert!(told.contains(file!()), "{told}");
}
