//! The examples that end by themselves, as a person runs them: without arguments.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::source;

/// An example's program, built if it isn't. Only cargo knows where it is, and whether it is up to date.
pub(crate) fn example(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    Path::new(&PROGRAMS.get_or_init(build)[name])
}

/// Builds all examples; gives the program of each.
fn build() -> BTreeMap<String, String> {
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(source::workspace());
    // What cargo has told this test about its own package is not meant for others. The build script of ring would look at
    // it, and with ring all that depends on it would be built anew: this program too, while it runs.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    // Together with this very test, and out of the packages that `cargo test` takes, because cargo builds some dependencies
    // anew for examples that are asked for alone.
    build.args(["build", "--test", "it", "--examples", "--message-format=json"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().expect("cargo can be started");
    assert!(output.status.success(), "the examples don't build");
    // One JSON object a line; those about the examples hold their names and programs.
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let text_of = |line: &str, key: &str| {
        let (_, after) = line.split_once(&format!("\"{key}\":\""))?;
        after.split('"').next().map(str::to_owned)
    };
    let examples = messages.lines().filter_map(|line| line.split_once("\"kind\":[\"example\"]"));
    examples.filter_map(|(_, line)| Some((text_of(line, "name")?, text_of(line, "executable")?))).collect()
}

/// Runs an example; gives what it printed.
fn run(name: &str) -> Vec<String> {
    let output = Command::new(example(name)).stdin(Stdio::null()).output().expect("the example can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    assert_eq!(error, "");
    String::from_utf8(output.stdout).expect("it prints UTF-8").lines().map(str::to_owned).collect()
}

/// The places of these lines, which have to come in this order.
#[track_caller]
fn in_order(printed: &[String], lines: &[&str]) {
    let mut rest = printed.iter();
    for line in lines {
        assert!(rest.any(|printed| printed == line), "no line '{line}' where it should be in {printed:#?}");
    }
}

#[test]
fn every_message_of_the_echo_comes_back() {
    let printed = run("echo");
    assert_eq!(printed.len(), 1);
    assert!(printed[0].starts_with("100 clients sent 50 messages each; 5000 came back in "), "{printed:?}");
}

#[test]
fn people_who_chat_read_one_another() {
    let printed = run("chat");
    in_order(
        &printed,
        &["     Ada reads: * welcome, Ada", "     Ada reads: * Grace has come", "   Grace reads: Ada: hello"],
    );
    assert_eq!(printed.last().unwrap(), "   Grace reads: * Barbara has gone");
}

#[test]
fn people_who_chat_over_websockets_read_one_another() {
    let printed = run("websocket_chat");
    assert_eq!(printed.first().unwrap(), "  Ada reads: Ada has come");
    assert_eq!(printed.last().unwrap(), "  Ada reads: Grace has gone");
}

/// Somebody who chats with the example's server.
struct Person {
    lines: BufReader<TcpStream>,
}

impl Person {
    /// Enters, and reads no further than the welcome. A small buffer is soon full.
    fn enter(name: &str, server: SocketAddr, buffer: Option<usize>) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        if let Some(size) = buffer {
            socket.set_recv_buffer_size(size).unwrap();
        }
        socket.connect(&server.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut person = Self { lines: BufReader::with_capacity(16, stream) };
        assert_eq!(person.reads(), "your name?");
        person.says(name);
        person.reads_at_last(&format!("* welcome, {name}"));
        person
    }

    fn says(&self, text: &str) {
        self.lines.get_ref().write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn reads(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).expect("nothing is said"), 0, "the server has hung up");
        line.trim_end().to_owned()
    }

    /// Reads whatever is said, up to this line.
    fn reads_at_last(&mut self, line: &str) {
        while self.reads() != line {}
    }
}

/// A program that does not outlive the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_does_not_read_is_thrown_out_of_the_chat_and_can_come_again() {
    let mut server = Server(Command::new(example("chat")).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap());
    let mut first = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address: SocketAddr = first.trim().strip_prefix("serving ").unwrap().parse().unwrap();

    let mut ada = Person::enter("Ada", address, None);
    let mut grace = Person::enter("Grace", address, None);
    let mut slow = Person::enter("Slow", address, Some(4096));
    grace.reads_at_last("* Slow has come");
    let much = "bla".repeat(300);
    let begun = Instant::now();
    // One line at a time, so that whoever reads keeps up.
    loop {
        ada.says(&much);
        match grace.reads() {
            line if line == "* Slow has gone" => break,
            line => assert_eq!(line, format!("Ada: {much}")),
        }
        assert!(begun.elapsed() < PATIENCE, "nobody is thrown out");
    }
    // The connection ends as well, behind what had been sent.
    let rest = std::io::copy(&mut slow.lines, &mut std::io::sink());
    assert!(rest.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true), "{rest:?}");

    // Whoever comes next under that name is somebody else.
    let mut again = Person::enter("Slow", address, None);
    ada.reads_at_last("* Slow has gone");
    ada.reads_at_last("* Slow has come");
    again.says("hello");
    ada.reads_at_last("Slow: hello");
    ada.says("hello again");
    again.reads_at_last("Ada: hello again");
}

#[test]
fn a_proxy_that_goes_down_lets_finish_who_can() {
    let printed = run("proxy");
    in_order(&printed, &["now: answered", "the proxy is asked to end", "no more connections are accepted"]);
    in_order(
        &printed,
        &["no more connections are accepted", "soon: answered", "a connection is cut", "the grace is over"],
    );
    assert!(printed.iter().any(|line| line == "a new connection is refused"), "{printed:#?}");
}

#[test]
fn a_page_comes_over_tls() {
    let printed = run("https_client");
    in_order(&printed, &["localhost speaks TLSv1_3 with TLS13_AES_256_GCM_SHA384", "200 OK, 43 bytes"]);
    assert!(printed.last().unwrap().starts_with("as a stranger: "), "{printed:#?}");
}

#[test]
fn an_http_server_answers_what_was_asked_before_it_ends() {
    let printed = run("http_server");
    assert_eq!(
        printed,
        [
            "/: 200, hello",
            "/count: 200, request number 2",
            "/elsewhere: 404, no such page",
            "shutting down",
            "/slow: 200, worth the wait",
            "served 4 requests",
        ]
    );
}

#[test]
fn an_axum_app_serves_and_ends() {
    let printed = run("axum_app");
    assert_eq!(
        printed,
        [
            "GET /notes/milk: 404",
            "PUT /notes/milk: 201",
            "GET /notes/milk: 200 two bottles",
            "GET /after/100: 200 100 ms later",
            "down",
        ]
    );
}

#[test]
fn a_service_counts_in_a_database_of_its_own() {
    let printed = run("database");
    if printed.len() == 1 && printed[0].starts_with("skipped: redis-server can't be run here") {
        println!("{}", printed[0]);
        return;
    }
    in_order(&printed, &["connected", "the cook makes: soup"]);
    in_order(
        &printed,
        &[
            "connected",
            "20 visitors came 50 times each; the next visit is number 1001",
            "a cook who comes late: nothing to do",
            "the database has ended",
        ],
    );
}

#[test]
fn a_service_that_nobody_stops_ends_in_good_order() {
    let printed = run("service");
    assert!(printed[0].starts_with("serving as process "), "{printed:?}");
    assert_eq!(printed[1..], ["served", "saving", "saved", "cleaning up", "clean"]);
}
