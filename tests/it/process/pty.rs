//! Pseudo-terminals.

use std::os::unix::process::ExitStatusExt;

use trio::process::{Command, ProcessError, Pty, Stdio, open_process, open_pty, run_process};

use super::{LONG, shell};

/// What is shown up to and with this text.
async fn until(pty: &mut Pty, text: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 1024]);
    while !seen.contains(text) {
        match pty.receive_some(&mut buffer).await.unwrap() {
            0 => panic!("the end came after {seen:?}"),
            count => seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    seen
}

#[trio::test]
async fn a_child_has_a_terminal_of_this_size() {
    let (mut pty, terminal) = open_pty(30, 100).unwrap();
    assert_eq!(pty.size().unwrap(), (30, 100));
    let mut command =
        shell("test -t 0 && test -t 1 && test -t 2 && stty size; read line; echo got $line; stty size </dev/tty");
    let child = open_process(command.terminal(terminal)).await.unwrap();
    trio::fail_after(LONG, async {
        until(&mut pty, "30 100").await;
        pty.resize(40, 120).unwrap();
        pty.send_all(b"hello\n").await.unwrap();
        let seen = until(&mut pty, "40 120\r\n").await;
        assert!(seen.contains("got hello"), "{seen:?}");
        assert_eq!(pty.receive_some(&mut [0; 10]).await.unwrap(), 0, "the end");
        assert!(child.wait().await.unwrap().success());
    })
    .await
    .unwrap();
}

#[trio::test]
async fn ctrl_c_is_a_signal() {
    let (mut pty, terminal) = open_pty(24, 80).unwrap();
    let mut command = shell("echo ready; exec sleep 3600");
    let child = open_process(command.terminal(terminal)).await.unwrap();
    trio::fail_after(LONG, async {
        until(&mut pty, "ready").await;
        pty.send_all(&[3]).await.unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(2));
    })
    .await
    .unwrap();
}

#[trio::test]
async fn closing_a_terminal_hangs_up() {
    let (mut pty, terminal) = open_pty(24, 80).unwrap();
    let mut command = shell("echo ready; exec sleep 3600");
    let child = open_process(command.terminal(terminal)).await.unwrap();
    trio::fail_after(LONG, async {
        until(&mut pty, "ready").await;
        pty.aclose().await.unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(1));
    })
    .await
    .unwrap();
}

#[trio::test]
async fn a_command_can_have_one_terminal_after_the_other() {
    let mut command = Command::new("tty");
    for _ in 0..2 {
        let (mut pty, terminal) = open_pty(24, 80).unwrap();
        run_process(command.terminal(terminal)).await.unwrap();
        assert!(until(&mut pty, "\n").await.starts_with("/dev/pts/"));
    }
}

#[trio::test]
async fn a_terminal_that_is_raw_is_a_stream() {
    // Its other end as a stream of ours, instead of a child.
    let make = async || {
        let (pty, terminal) = open_pty(24, 80).unwrap();
        let terminal: std::os::fd::OwnedFd = terminal.into();
        let mut modes = rustix::termios::tcgetattr(&terminal).unwrap();
        modes.make_raw();
        rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &modes).unwrap();
        (trio::FdStream::new(terminal).unwrap(), pty)
    };
    let (mut sender, mut receiver) = make().await;
    let data: Vec<u8> = (0..=255).collect();
    trio::nursery! { |n|
        n.start_soon(async { sender.send_all(&data).await.unwrap() });
        let (mut got, mut buffer) = (Vec::new(), [0; 100]);
        while got.len() < data.len() {
            let count = receiver.receive_some(&mut buffer).await.unwrap();
            got.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(got, data);
    }
}

#[trio::test]
async fn a_terminal_is_not_for_a_child_that_is_fed_or_connected_otherwise() {
    let invalid = |error: std::io::Error| assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    let set: [fn(&mut Command) -> &mut Command; 3] = [
        |command| command.stdin(Stdio::null()),
        |command| command.stdout(Stdio::inherit()),
        |command| command.stderr(Stdio::stdout()),
    ];
    for set in set {
        let (mut pty, terminal) = open_pty(24, 80).unwrap();
        let mut command = Command::new("true");
        invalid(open_process(set(command.terminal(terminal))).await.unwrap_err());
        // The terminal is gone, though the command is still there.
        assert_eq!(trio::fail_after(LONG, pty.receive_some(&mut [0; 10])).await.unwrap().unwrap(), 0);
        let (_pty, terminal) = open_pty(24, 80).unwrap();
        let Err(ProcessError::Start(error)) = run_process(set(command.terminal(terminal))).await else { panic!() };
        invalid(error);
    }
    let fed: [fn(&mut Command) -> &mut Command; 3] =
        [|command| command.input("x"), |command| command.capture_stdout(true), |command| command.capture_stderr(true)];
    for fed in fed {
        let (mut pty, terminal) = open_pty(24, 80).unwrap();
        let mut command = Command::new("true");
        let Err(ProcessError::Start(error)) = run_process(fed(command.terminal(terminal))).await else { panic!() };
        invalid(error);
        assert_eq!(trio::fail_after(LONG, pty.receive_some(&mut [0; 10])).await.unwrap().unwrap(), 0);
    }
}
