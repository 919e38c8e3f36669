//! Child processes: real ones, in every state in which they can be waited for, cancelled and killed.

mod basics;
mod many;
mod pty;
mod supervised;

use std::time::Duration;

use trio::process::{Command, Process, Stdio, open_process, supervise};
use trio::{BoxError, StartError};

/// Longer than any child here takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

/// Runs a test with a child that was started in each of the ways there are. It has to end the child.
async fn each_way(command: impl Fn() -> Command, test: impl AsyncFn(Process)) {
    for use_pidfd in [true, false] {
        let command = || {
            let mut command = command();
            command.check(false).use_pidfd(use_pidfd);
            command
        };
        trio::fail_after(LONG, async {
            test(open_process(command()).await.unwrap()).await;
            trio::try_nursery! { |n|
                let process = n.start(|status| supervise(command(), status)).await;
                test(process.map_err(StartError::<BoxError>::into_error).unwrap()).await;
            }
            .unwrap();
        })
        .await
        .unwrap();
    }
}

/// A command with a pipe for each of its streams.
fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn shell(line: &str) -> Command {
    Command::shell(line)
}

/// A child that stays until it is ended.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("3600");
    command
}
