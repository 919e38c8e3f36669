//! A child that ends with the code that started it.
#![forbid(unsafe_code)]

use std::borrow::BorrowMut;
use std::cell::RefCell;
use std::io;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use super::child::{KillOnDrop, Process, ProcessHandle};
use super::command::{Command, DeliverCancel, Streams};
use super::error::{CalledProcessError, ProcessError};
use super::stdio::Stdio;
use crate::fd_stream::FdStream;
use crate::kernel::checkpoint::free_checkpoint;
use crate::kernel::finally::finally;
use crate::kernel::group::BoxError;
use crate::kernel::nursery::{Nursery, open_nursery, open_try_nursery};
use crate::kernel::report::report;
use crate::kernel::sleep::sleep;
use crate::kernel::start::TaskStatus;

/// How long a child may take to end after `SIGTERM`, before `SIGKILL`.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a program to its end: Trio's `run_process`.
///
/// Unless the command says otherwise, the child has nothing to read, writes where we do, and has to succeed. With
/// [`input`](Command::input), [`capture_stdout`](Command::capture_stdout) and [`capture_stderr`](Command::capture_stderr)
/// it is fed and listened to, all at once, so that none of them waits for another for ever. The call returns when the
/// child has exited and what it wrote has been received.
///
/// A checkpoint. Cancelled while the child runs, it sends `SIGTERM`, and `SIGKILL` if the child still runs five seconds
/// later (or does what [`deliver_cancel`](Command::deliver_cancel) says), and *waits for the child's exit* in any case. When
/// foreign code drops it, it can't wait: the child is killed at once.
///
/// # Errors
///
/// [`ProcessError::Start`] if the program can't be started, or if its options contradict each other;
/// [`ProcessError::Failed`] if it did not succeed, unless that is not to be [checked](Command::check);
/// [`ProcessError::Supervision`] if something else fails on the way.
///
/// # Examples
///
/// ```
/// use trio::process::{Command, ProcessError, run_process};
/// trio::run(async {
///     let error = run_process(Command::shell("echo no >&2; exit 3").capture_stderr(true)).await.unwrap_err();
///     let ProcessError::Failed(error) = error else { panic!("{error}") };
///     assert_eq!(error.status.code(), Some(3));
///     assert_eq!(error.stderr, b"no\n");
///
///     let output = run_process(Command::new("false").check(false)).await?;
///     assert_eq!(output.status.code(), Some(1));
///     Ok::<(), trio::BoxError>(())
/// })
/// .unwrap();
/// ```
pub async fn run_process(mut command: impl BorrowMut<Command>) -> Result<Output, ProcessError> {
    let command = command.borrow_mut();
    let streams = [("stdin", &command.stdin), ("stdout", &command.stdout), ("stderr", &command.stderr)];
    if let Some((name, _)) = streams.into_iter().find(|(_, stdio)| stdio.as_ref().is_some_and(Stdio::is_piped)) {
        let message = format!("run_process has nobody to give the {name} pipe to: use `supervise`, or `open_process`");
        return Err(ProcessError::Start(io::Error::new(io::ErrorKind::InvalidInput, message)));
    }
    run(command, |_| {}).await
}

/// As [`run_process`], in the background of a nursery: to be started with [`Nursery::start`], which gives the [`Process`].
///
/// The pipes that the command asks for are in the `Process`; what is [captured](Command::capture_stdout) is only part of an
/// error. When the nursery is cancelled, so is the child, as by `run_process`; and a child that does not succeed is an error of
/// the nursery.
///
/// # Errors
///
/// As [`run_process`].
///
/// # Examples
///
/// ```
/// use trio::process::{Command, Stdio, supervise};
/// use trio::{ReceiveStream, SendStream};
/// trio::run(async {
///     trio::try_nursery! { |n|
///         let mut command = Command::new("cat");
///         command.stdin(Stdio::piped()).stdout(Stdio::piped());
///         let mut cat = n.start(|status| supervise(command, status)).await.map_err(trio::StartError::into_error).unwrap();
///         let mut stream = cat.take_stdio().expect("both are piped");
///         stream.send_all(b"round").await?;
///         let count = stream.receive_some(&mut [0; 100]).await?;
///         assert_eq!(count, 5);
///         // The nursery waits for the cat, which ends when nobody can write to it any more.
///     }?;
///     Ok::<(), trio::BoxError>(())
/// })
/// .unwrap();
/// ```
pub async fn supervise(mut command: impl BorrowMut<Command>, status: TaskStatus<Process>) -> Result<(), ProcessError> {
    run(command.borrow_mut(), |process| status.started(process)).await.map(drop)
}

async fn run(command: &mut Command, started: impl FnOnce(Process)) -> Result<Output, ProcessError> {
    free_checkpoint().await;
    let mut process = connect(command).and_then(|streams| command.spawn(streams)).map_err(ProcessError::Start)?;
    // Should foreign code drop this call.
    let child = KillOnDrop(process.handle());
    let handle = &child.0;
    let feed = command.input.clone().and_then(|input| process.stdin.take().map(|stdin| (stdin, input)));
    let stdout = if command.capture_stdout { process.stdout.take() } else { None };
    let stderr = if command.capture_stderr { process.stderr.take() } else { None };
    started(process);

    let (out, err) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let deliver = command.deliver_cancel.clone();
    let status = open_try_nursery(async |n: &Nursery<'_, '_, BoxError>| {
        if let Some((stdin, input)) = feed {
            n.named("stdin").start_soon(async move { send(stdin, &input).await });
        }
        for (name, stream, captured) in [("stdout", stdout, &out), ("stderr", stderr, &err)] {
            if let Some(stream) = stream {
                n.named(name).start_soon(receive(stream, captured));
            }
        }
        until_exit(n, handle, deliver.as_ref()).await
    })
    .await
    .map_err(ProcessError::Supervision)?;

    let (stdout, stderr) = (out.into_inner(), err.into_inner());
    if command.check && !status.success() {
        return Err(ProcessError::Failed(CalledProcessError { command: command.line(), status, stdout, stderr }));
    }
    Ok(Output { status, stdout, stderr })
}

/// What the child's streams are connected with, those that are fed and captured included.
fn connect(command: &mut Command) -> io::Result<Streams> {
    let mut streams = command.streams()?;
    let places = [
        ("stdin", command.input.is_some(), &command.stdin, &mut streams.stdin),
        ("stdout", command.capture_stdout, &command.stdout, &mut streams.stdout),
        ("stderr", command.capture_stderr, &command.stderr, &mut streams.stderr),
    ];
    for (name, is_ours, asked_for, place) in places {
        if is_ours && (asked_for.is_some() || streams.terminal.is_some()) {
            let message =
                format!("the child's {name} can't be connected with something and be fed or captured as well");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if is_ours {
            *place = Stdio::piped();
        }
    }
    if command.input.is_none() && command.stdin.is_none() {
        streams.stdin = Stdio::null();
    }
    Ok(streams)
}

async fn send(mut stdin: FdStream, input: &[u8]) -> Result<(), BoxError> {
    match stdin.send_all(input).await {
        // It does not have to read it all.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => Ok(sent?),
    }
}

async fn receive(mut stream: FdStream, captured: &RefCell<Vec<u8>>) -> Result<(), BoxError> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return Ok(()),
            count => captured.borrow_mut().extend_from_slice(&buffer[..count]),
        }
    }
}

/// Waits for the child; cancelled, sees to it that it ends, and waits on.
async fn until_exit<'scope>(
    n: &'scope Nursery<'scope, '_, BoxError>,
    process: &ProcessHandle,
    deliver: Option<&DeliverCancel>,
) -> Result<ExitStatus, BoxError> {
    let wait = async { Ok(process.wait().await?) };
    let end = async {
        if let Ok(None) = process.try_wait() {
            let failure = RefCell::new(None);
            open_nursery(async |inner: &Nursery<'_, '_>| {
                let delivery = inner.named("deliver_cancel").spawn(async {
                    if let Err(error) = deliver_cancel(process, deliver).await {
                        *failure.borrow_mut() = Some(error);
                    }
                });
                // Without a status there is nothing more that could be done, and whoever waited has the error.
                let _ = process.wait().await;
                delivery.cancel();
                drop(delivery);
            })
            .await;
            if let Some(error) = failure.into_inner() {
                // A cancelled nursery ends with the errors of its children, and only with those.
                n.named("deliver_cancel").start_soon(std::future::ready(Err::<(), BoxError>(error)));
            }
        }
    };
    finally(wait, end).await
}

async fn deliver_cancel(process: &ProcessHandle, deliver: Option<&DeliverCancel>) -> Result<(), BoxError> {
    match deliver {
        Some(deliver) => deliver(process.clone()).await,
        None => {
            terminate_then_kill(process).await;
            Ok(())
        }
    }
}

/// What Trio does.
async fn terminate_then_kill(process: &ProcessHandle) {
    let warn = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            report(format_args!("{process:?} could not be {what}: {error}"));
        }
    };
    warn("terminated", process.terminate());
    sleep(GRACE).await;
    // First what has to be done, then what is to be said about it.
    let before = format!("{process:?}");
    let killed = process.kill();
    report(format_args!("{before} ignored SIGTERM for {} seconds: it is killed", GRACE.as_secs()));
    warn("killed", killed);
}
