//! What to run, and how.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::rc::Rc;

use rustix::pipe::{PipeFlags, pipe_with};

use super::child::{Process, ProcessHandle};
use super::pty::{Terminal, lead_session};
use super::stdio::Stdio;
use crate::kernel::group::BoxError;

/// What a cancelled [`run_process`](super::run_process) does to the child.
pub(super) type DeliverCancel = Rc<dyn Fn(ProcessHandle) -> Pin<Box<dyn Future<Output = Result<(), BoxError>>>>>;

/// A program to run, with its arguments and all that it is to find.
///
/// As the standard library's, plus what [`run_process`](super::run_process) needs to know. What it has no method for
/// can be set on [`as_std_mut`](Self::as_std_mut), except for the standard streams.
pub struct Command {
    std: StdCommand,
    pub(super) stdin: Option<Stdio>,
    pub(super) stdout: Option<Stdio>,
    pub(super) stderr: Option<Stdio>,
    pub(super) input: Option<Rc<[u8]>>,
    pub(super) capture_stdout: bool,
    pub(super) capture_stderr: bool,
    pub(super) check: bool,
    pub(super) deliver_cancel: Option<DeliverCancel>,
    terminal: Option<Terminal>,
    leads_session: bool,
    use_pidfd: bool,
}

impl Command {
    /// A program: a path, or a name that is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            std: StdCommand::new(program),
            stdin: None,
            stdout: None,
            stderr: None,
            input: None,
            capture_stdout: false,
            capture_stderr: false,
            check: true,
            deliver_cancel: None,
            terminal: None,
            leads_session: false,
            use_pidfd: true,
        }
    }

    /// A command line for the shell, `/bin/sh`. Never put text from elsewhere into it.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let mut command = Self::new("/bin/sh");
        command.arg("-c").arg(line);
        command
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(name, value);
        self
    }

    /// Sets environment variables.
    pub fn envs(&mut self, variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>) -> &mut Self {
        self.std.envs(variables);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(name);
        self
    }

    /// Removes all environment variables.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Sets the folder that the child is to begin in.
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(folder);
        self
    }

    /// What the child's standard input is connected with. Unless set, [`open_process`](super::open_process) lets it inherit
    /// ours, and [`run_process`](super::run_process) gives it nothing to read.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// What the child's standard output is connected with; ours unless set.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// What the child's standard error is connected with; ours unless set. See also [`Stdio::stdout`].
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Connects the three standard streams with a pseudo-terminal, and makes it the controlling terminal of a session that
    /// the child begins. It is for the next child only, since ours must be closed when that has it, or its end would not be
    /// seen; another child of this command needs another terminal. So does one that is started after a start has failed.
    ///
    /// The streams can't be connected with anything else then, nor fed or captured: that is
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the child is to be started.
    pub fn terminal(&mut self, terminal: Terminal) -> &mut Self {
        self.terminal = Some(terminal);
        self
    }

    /// What [`run_process`](super::run_process) sends to the child's standard input, before the end. A child that does not
    /// read it all is no error.
    pub fn input(&mut self, input: impl Into<Vec<u8>>) -> &mut Self {
        self.input = Some(input.into().into());
        self
    }

    /// Has [`run_process`](super::run_process) give back what the child writes to its standard output.
    pub fn capture_stdout(&mut self, capture: bool) -> &mut Self {
        self.capture_stdout = capture;
        self
    }

    /// Has [`run_process`](super::run_process) give back what the child writes to its standard error.
    pub fn capture_stderr(&mut self, capture: bool) -> &mut Self {
        self.capture_stderr = capture;
        self
    }

    /// Whether a child that does not succeed is an error of [`run_process`](super::run_process): yes, unless set.
    pub fn check(&mut self, check: bool) -> &mut Self {
        self.check = check;
        self
    }

    /// What [`run_process`](super::run_process) does to a child that still runs when the call is cancelled, instead of
    /// `SIGTERM`, five seconds, and `SIGKILL`. Trio's `deliver_cancel`.
    ///
    /// It runs shielded, and is cancelled itself when the child has exited, for which `run_process` waits in any case. Its
    /// error becomes one of `run_process`.
    pub fn deliver_cancel<F, Fut>(&mut self, deliver: F) -> &mut Self
    where
        F: Fn(ProcessHandle) -> Fut + 'static,
        Fut: Future<Output = Result<(), BoxError>> + 'static,
    {
        self.deliver_cancel = Some(Rc::new(move |process| Box::pin(deliver(process))));
        self
    }

    /// Whether to learn of the child's end from a pidfd, where the system has them: yes, unless set. Otherwise a thread waits
    /// for each child.
    pub fn use_pidfd(&mut self, use_pidfd: bool) -> &mut Self {
        self.use_pidfd = use_pidfd;
        self
    }

    /// The standard library's command, for what has no method here: user and group, process groups, `pre_exec`.
    /// Standard streams that are set there are ignored.
    pub fn as_std_mut(&mut self) -> &mut StdCommand {
        &mut self.std
    }

    /// Starts the child.
    pub(super) fn spawn(&mut self, streams: Streams) -> io::Result<Process> {
        if let Some(terminal) = streams.terminal {
            return self.spawn_at(terminal);
        }
        let stdin = streams.stdin.connect(None)?;
        // One pipe for two streams has to be made by hand.
        if streams.stdout.is_piped() && streams.stderr.is_stdout() {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            return self.start([stdin, writer.try_clone()?.into(), writer.into()], Some(reader));
        }
        let stderr = streams.stderr.connect(Some(&streams.stdout))?;
        let stdout = streams.stdout.connect(None)?;
        self.start([stdin, stdout, stderr], None)
    }

    fn spawn_at(&mut self, terminal: Terminal) -> io::Result<Process> {
        let terminal = Stdio::from(terminal);
        let streams = [terminal.connect(None)?, terminal.connect(None)?, terminal.connect(None)?];
        if !std::mem::replace(&mut self.leads_session, true) {
            lead_session(&mut self.std);
        }
        self.start(streams, None)
    }

    /// All that can fail before has been done, so that the standard library's command holds no descriptors when this returns.
    fn start(&mut self, [stdin, stdout, stderr]: [StdStdio; 3], output: Option<OwnedFd>) -> io::Result<Process> {
        let child = self.std.stdin(stdin).stdout(stdout).stderr(stderr).spawn();
        // What was given to the child must not stay open here, or its pipes would never end.
        self.std.stdin(StdStdio::null()).stdout(StdStdio::null()).stderr(StdStdio::null());
        Process::new(child?, output, self.use_pidfd)
    }

    /// What is run, in one line.
    pub(super) fn line(&self) -> String {
        let words = std::iter::once(self.std.get_program()).chain(self.std.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

/// What the standard streams of one child are connected with.
pub(super) struct Streams {
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    /// Instead of all three.
    pub(super) terminal: Option<Terminal>,
}

impl Command {
    /// The streams as they were set, or else ours; and the terminal, which the command does not keep.
    pub(super) fn streams(&mut self) -> io::Result<Streams> {
        let terminal = self.terminal.take();
        let set = [("stdin", &self.stdin), ("stdout", &self.stdout), ("stderr", &self.stderr)];
        if let (Some(_), Some((name, _))) = (&terminal, set.iter().find(|(_, stdio)| stdio.is_some())) {
            let message =
                format!("the child's {name} can't be connected with a terminal and with something else as well");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let or_ours = |stdio: &Option<Stdio>| stdio.clone().unwrap_or(const { Stdio::inherit() });
        let (stdin, stdout, stderr) = (or_ours(&self.stdin), or_ours(&self.stdout), or_ours(&self.stderr));
        Ok(Streams { stdin, stdout, stderr, terminal })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("command", &self.std)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("check", &self.check)
            .finish_non_exhaustive()
    }
}
