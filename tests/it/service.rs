//! The service of the examples, as a person runs it at a terminal: Ctrl-C, once and twice, and SIGTERM in each of its phases.
//! What it says and how it ends is documented at its head.

use std::os::unix::process::ExitStatusExt;

use trio::process::Command;
use trio::signals::{SIGINT, SIGTERM};

use crate::examples::example;
use crate::terminal::AtTerminal;

/// What the service says that tells of its phases, and when it ends each.
const ALL: [&str; 7] = ["serving", "served", "saving", "saved", "cleaning up", "clean", "interrupted"];

/// A service whose phases last until somebody presses Enter, once it has begun this one.
async fn service(phase: &str) -> AtTerminal {
    let mut command = Command::new(example("service"));
    command.arg("keys");
    let mut service = AtTerminal::start(command).await;
    service.wait_for("serving as process").await;
    for begun in ["saving", "cleaning up"].into_iter().filter(|_| phase != "serving") {
        service.press_enter().await;
        service.wait_for(begun).await;
        if begun == phase {
            break;
        }
    }
    service
}

/// Which of the lines it said, in their order; without what the terminal showed of the keys.
fn said(shown: &str) -> Vec<&'static str> {
    let words = shown.lines().map(|line| line.trim_start_matches("^C"));
    words
        .filter_map(|line| ALL.into_iter().find(|word| line == *word || line.starts_with("serving as process")))
        .collect()
}

/// Waits for its end, and gives its exit code, the signal it died of, and what it said.
async fn end(service: AtTerminal) -> (Option<i32>, Option<i32>, Vec<&'static str>) {
    let (status, shown) = service.end().await;
    (status.code(), status.signal(), said(&shown))
}

#[trio::test]
async fn undisturbed_it_ends_well() {
    let mut service = service("cleaning up").await;
    service.press_enter().await;
    assert_eq!(end(service).await, (Some(0), None, ALL[..6].to_vec()));
}

#[trio::test]
async fn ctrl_c_while_it_serves() {
    let mut service = service("serving").await;
    service.press_ctrl_c().await;
    for begun in ["saving", "cleaning up"] {
        service.wait_for(begun).await;
        service.press_enter().await;
    }
    let (code, signal, said) = end(service).await;
    assert_eq!((code, signal), (Some(130), None));
    // A clean-up that is reached by the cancellation takes its first step before what has none is dropped.
    assert_eq!(said, ["serving", "saving", "interrupted", "saved", "cleaning up", "clean"]);
}

#[trio::test]
async fn ctrl_c_while_it_saves() {
    let mut service = service("saving").await;
    service.press_ctrl_c().await;
    service.wait_for("interrupted").await;
    service.press_enter().await;
    service.wait_for("cleaning up").await;
    service.press_enter().await;
    let said = vec!["serving", "served", "saving", "interrupted", "saved", "cleaning up", "clean"];
    assert_eq!(end(service).await, (Some(130), None, said));
}

#[trio::test]
async fn ctrl_c_while_it_cleans_up() {
    let mut service = service("cleaning up").await;
    service.press_ctrl_c().await;
    service.wait_for("interrupted").await;
    service.press_enter().await;
    let said = vec!["serving", "served", "saving", "saved", "cleaning up", "interrupted", "clean"];
    assert_eq!(end(service).await, (Some(130), None, said));
}

#[trio::test]
async fn ctrl_c_twice_while_it_serves() {
    let mut service = service("serving").await;
    service.press_ctrl_c().await;
    // The second comes when the first has been heeded: the body is gone, and the state is being saved.
    service.wait_for("interrupted").await;
    service.wait_for("saving").await;
    service.press_ctrl_c().await;
    assert_eq!(end(service).await, (None, Some(SIGINT), vec!["serving", "saving", "interrupted"]));
}

#[trio::test]
async fn ctrl_c_twice_while_it_saves() {
    let mut service = service("saving").await;
    service.press_ctrl_c().await;
    service.wait_for("interrupted").await;
    service.press_ctrl_c().await;
    assert_eq!(end(service).await, (None, Some(SIGINT), vec!["serving", "served", "saving", "interrupted"]));
}

#[trio::test]
async fn ctrl_c_twice_while_it_cleans_up() {
    let mut service = service("cleaning up").await;
    service.press_ctrl_c().await;
    service.wait_for("interrupted").await;
    service.press_ctrl_c().await;
    let said = vec!["serving", "served", "saving", "saved", "cleaning up", "interrupted"];
    assert_eq!(end(service).await, (None, Some(SIGINT), said));
}

#[trio::test]
async fn sigterm_kills_it_in_every_phase() {
    let phases = [("serving", 1), ("saving", 3), ("cleaning up", 5)];
    for (phase, lines) in phases {
        let service = service(phase).await;
        service.terminate();
        assert_eq!(end(service).await, (None, Some(SIGTERM), ALL[..lines].to_vec()), "{phase}");
    }
    // Also while it ends for the sake of a Ctrl-C.
    let mut service = service("saving").await;
    service.press_ctrl_c().await;
    service.wait_for("interrupted").await;
    service.terminate();
    let said = vec!["serving", "served", "saving", "interrupted"];
    assert_eq!(end(service).await, (None, Some(SIGTERM), said));
}
