//! rust-analyzer completes inside the block macros, in bodies that are half typed.
//!
//! The server is spoken to over LSP, as an editor does it. Where it is not installed the test says
//! so and ends.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Functions with a hole at `$0`, and a name that must be offered there.
const CASES: &[(&str, &str)] = &[
    // The nursery's own name, first thing in the body, last, and in between.
    ("async fn f() { trio::nursery! { |n| n.$0 } }", "start_soon"),
    ("async fn f() { trio::nursery! { |n| n.start_soon(g()); n.$0 } }", "start_soon"),
    ("async fn f() { trio::nursery! { |n| n.$0 n.start_soon(g()); } }", "start_soon"),
    ("async fn f() { trio::nursery!(|n| { n.$0 }); }", "start_soon"),
    ("async fn f() { trio::nursery! { move |n| n.$0 }; }", "start_soon"),
    ("async fn f() { let _ = trio::try_nursery! { |n| n.$0 }; }", "try_spawn"),
    ("async fn f() { let _ = trio::try_nursery! { |n| -> Result<_, String> n.$0 }; }", "try_spawn"),
    ("async fn f() { trio::nursery! { |n, scope| scope.$0 }; }", "cancel"),
    ("async fn f() { trio::cancel_scope! { |scope| scope.$0 }; }", "cancel"),
    // A local of the body, in every stage of an unfinished statement.
    ("async fn f() { let num = 7u32; trio::nursery! { |n| num.$0 } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| num.$0 g().await; } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| if num.$0 } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| let y = num.$0; } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| drop(num.$0) } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| match 1 { 1 => num.$0 } } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::nursery! { |n| let y = num.$0 } }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::shield!({ num.$0 }); }", "checked_add"),
    ("async fn f() { let num = 7u32; trio::move_on_after!(HOUR, { num.$0 }); }", "checked_add"),
    // Behind exits, which the macro replaces.
    ("async fn f() -> Option<u8> { trio::nursery! { |n| let a = some()?; a.$0 }; None }", "checked_add"),
    ("async fn f() -> Option<u8> { trio::nursery! { |n| some()?.$0 }; None }", "checked_add"),
    ("async fn f() -> u8 { trio::nursery! { |n| if true { return 1; } let a = 7u8; a.$0 }; 2 }", "checked_add"),
    (
        "async fn f() -> Option<u8> { trio::nursery! { |n| for a in some() { let b = some()?; b.$0 } }; None }",
        "checked_add",
    ),
    // In a nest, in an inline task, and in an inline task with a `?`.
    (
        "async fn f() -> Option<u8> { trio::nursery! { |n| trio::shield!({ let a = some()?; a.$0 }); }; None }",
        "checked_add",
    ),
    ("async fn f() { trio::nursery! { |n| n.start_soon(async { let a = 7u8; a.$0 }); }; }", "checked_add"),
    (
        "async fn f() { let _ = trio::try_nursery! { |n| n.start_soon(async { let a = text().parse::<u8>()?; a.$0 Ok(()) }); }; }",
        "checked_add",
    ),
    // In the attribute macros, also with a mistake in their options.
    ("#[trio::test] async fn f() { let num = 7u32; num.$0 }", "checked_add"),
    ("#[trio::test(nonsense)] async fn f() { let num = 7u32; num.$0 }", "checked_add"),
];

/// What every case can use.
const PRELUDE: &str = "\
#![allow(unused)]
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
async fn g() {}
fn some() -> Option<u8> { None }
fn text() -> &'static str { \"7\" }
fn main() {}
";

#[test]
fn half_typed_bodies_complete() {
    let Some(server) = installed() else {
        println!("skipped: rust-analyzer is not installed");
        return;
    };
    let project = Project::new();
    let mut session = Session::start(&server, &project);

    // The first answer comes when the dependencies are built; it is not one of the cases.
    let plain = "async fn f() { let num = 7u32; trio::nursery! { |n| num.$0; } }";
    assert!(session.offers(plain, "checked_add", Duration::from_secs(300)), "rust-analyzer never got ready");

    let mut missing = String::new();
    for (case, name) in CASES {
        if !session.offers(case, name, Duration::from_secs(4)) {
            writeln!(missing, "no `{name}` in: {case}").expect("a string takes any text");
        }
    }
    session.stop();
    assert!(missing.is_empty(), "{missing}");
}

/// The server's command, if it runs: rustup puts a stand-in in its place that does not.
fn installed() -> Option<PathBuf> {
    let command = std::env::var_os("RUST_ANALYZER").map_or_else(|| PathBuf::from("rust-analyzer"), PathBuf::from);
    let version = Command::new(&command).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success()).then_some(command)
}

/// A package that depends on `trio`, in cargo's directory for such things.
struct Project {
    root: PathBuf,
    source: PathBuf,
}

impl Project {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("completion");
        let source = root.join("src/main.rs");
        fs::create_dir_all(root.join("src")).expect("the build directory can be written to");
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a workspace");
        let manifest = format!(
            "[package]\nname = \"completion\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [dependencies]\ntrio = {{ path = {:?} }}\n\n[workspace]\n",
            workspace.join("runtime")
        );
        fs::write(root.join("Cargo.toml"), manifest).expect("the manifest can be written");
        fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("the lock file can be copied");
        fs::write(&source, PRELUDE).expect("the source can be written");
        Self { root, source }
    }
}

/// One editor session.
struct Session {
    server: Child,
    input: ChildStdin,
    messages: Receiver<String>,
    uri: String,
    requests: u32,
    version: u32,
}

impl Session {
    fn start(command: &Path, project: &Project) -> Self {
        let mut server = Command::new(command)
            .current_dir(&project.root)
            .env("CARGO_TARGET_DIR", project.root.join("target"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("rust-analyzer starts");
        let input = server.stdin.take().expect("its input is a pipe");
        let mut output = BufReader::new(server.stdout.take().expect("its output is a pipe"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            while let Some(message) = read_message(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });

        let uri = format!("file://{}", project.source.display());
        let mut session = Self { server, input, messages, uri, requests: 0, version: 1 };
        let root = format!("file://{}", project.root.display());
        session.request(
            "initialize",
            &format!(
                r#"{{"processId":null,"rootUri":{root:?},"capabilities":{{}},"initializationOptions":{{"checkOnSave":false,"cachePriming":{{"enable":false}}}}}}"#
            ),
            Duration::from_secs(60),
        );
        session.notify("initialized", "{}");
        let opened = format!(
            r#"{{"textDocument":{{"uri":{:?},"languageId":"rust","version":1,"text":{}}}}}"#,
            session.uri,
            json_string(PRELUDE)
        );
        session.notify("textDocument/didOpen", &opened);
        session
    }

    /// Types the case, asks for completions at its hole, and again until `name` is among them or
    /// the time is up.
    fn offers(&mut self, case: &str, name: &str, patience: Duration) -> bool {
        let hole = case.find("$0").expect("every case has a hole");
        let text = format!("{PRELUDE}{}\n", case.replacen("$0", "", 1));
        self.version += 1;
        let changed = format!(
            r#"{{"textDocument":{{"uri":{:?},"version":{}}},"contentChanges":[{{"text":{}}}]}}"#,
            self.uri,
            self.version,
            json_string(&text)
        );
        self.notify("textDocument/didChange", &changed);

        let line = PRELUDE.lines().count();
        let place =
            format!(r#"{{"textDocument":{{"uri":{:?}}},"position":{{"line":{line},"character":{hole}}}}}"#, self.uri);
        let label = format!(r#""label":"{name}"#);
        let give_up = Instant::now() + patience;
        loop {
            let answer = self.request("textDocument/completion", &place, Duration::from_secs(60));
            if answer.contains(&label) {
                return true;
            }
            if Instant::now() >= give_up {
                return false;
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn request(&mut self, method: &str, parameters: &str, patience: Duration) -> String {
        self.requests += 1;
        let id = self.requests;
        self.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{parameters}}}"#));
        let give_up = Instant::now() + patience;
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"#);
        loop {
            match self.messages.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(message) if message.starts_with(&answer) => return message,
                // A notification, or a question of the server's, which does not insist.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("no answer to {method}"),
                Err(RecvTimeoutError::Disconnected) => panic!("rust-analyzer ended during {method}"),
            }
        }
    }

    fn notify(&mut self, method: &str, parameters: &str) {
        self.send(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{parameters}}}"#));
    }

    fn send(&mut self, message: &str) {
        write!(self.input, "Content-Length: {}\r\n\r\n{message}", message.len()).expect("rust-analyzer reads");
        self.input.flush().expect("rust-analyzer reads");
    }

    fn stop(mut self) {
        self.request("shutdown", "null", Duration::from_secs(30));
        self.notify("exit", "null");
        self.server.wait().expect("rust-analyzer ends");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After a panic; by itself the server would go on for ever.
        let _ = self.server.kill();
    }
}

fn read_message(output: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        if output.read_line(&mut header).ok()? == 0 {
            return None;
        }
        match header.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut message = vec![0; length];
    output.read_exact(&mut message).ok()?;
    String::from_utf8(message).ok()
}

fn json_string(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}
