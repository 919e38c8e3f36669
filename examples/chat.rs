//! A chat server: what one person says, all others read.
//!
//! ```text
//! cargo run --example chat                          the server, and three people who talk
//! cargo run --example chat -- 127.0.0.1:7777        the server alone, until Ctrl-C; connect with `nc 127.0.0.1 7777`
//! ```
//!
//! What to look at: each connection is one task that reads and, beside it, one that writes, with a memory channel for what is
//! still to be written. A person who reads too slowly is thrown out when the channel is full, so nobody waits for anybody:
//! a cancelled scope ends the visit, whatever that waits for. The two halves are borrowed from one stream, and a race ends both
//! when either has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use trio::net::TcpStream;
use trio::{
    BufferedReceiveStream, CancelHandle, CancelScope, MemoryReceiver, MemorySender, open_memory_channel, serve_tcp,
};
use trio_examples::say;

/// How many lines may wait for a slow reader.
const PATIENCE: usize = 100;
/// How many bytes a line may have; who sends more is thrown out.
const LONGEST: usize = 1000;

#[trio::main]
async fn main() -> trio::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let room = Room::default();
    match &arguments[..] {
        [] => {
            trio::try_nursery! { |n, scope|
                let serve = async |stream| room.visit(stream).await;
                let server = n.start(|status| serve_tcp(serve, 0, Some("127.0.0.1")).reporting(status)).await;
                let addresses = server.map_err(|error| error.to_string())?;
                demonstrate(addresses[0]).await?;
                scope.cancel();
            }?;
        }
        [address] => {
            let address: SocketAddr = address.parse()?;
            let host = address.ip().to_string();
            trio::try_nursery! { |n|
                let serve = async |stream| room.visit(stream).await;
                let server = n.start(|status| serve_tcp(serve, address.port(), Some(&host)).reporting(status)).await;
                let addresses = server.map_err(|error| error.to_string())?;
                say(format!("serving {}", addresses[0]));
            }?;
        }
        _ => {
            eprintln!("chat: either nothing, or ADDRESS:PORT");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is there, with what leads to them.
#[derive(Default)]
struct Room {
    people: RefCell<BTreeMap<String, Seat>>,
}

/// One person's place. The name is taken until the visit is over.
struct Seat {
    lines: MemorySender<String>,
    /// The scope of the visit.
    visit: CancelHandle,
}

impl Room {
    /// One connection, to its end. Whatever goes wrong with it is its own affair.
    async fn visit(&self, mut stream: TcpStream) {
        let (receiving, mut sending) = stream.split();
        let mut lines = BufferedReceiveStream::new(receiving);
        let Ok(name) = self.greet(&mut sending, &mut lines).await else { return };
        let (sender, receiver) = open_memory_channel(PATIENCE);
        // There is room for the first line.
        let _sent = sender.try_send(format!("* welcome, {name}\n"));
        let visit = CancelScope::new();
        self.people.borrow_mut().insert(name.clone(), Seat { lines: sender, visit: visit.handle() });
        // Whatever ends this visit, the others are told.
        let _leaving = Leaving { room: self, name: &name };
        self.tell_others(&name, &format!("* {name} has come"));

        let listen = async {
            while let Ok(Some(line)) = next_line(&mut lines).await {
                self.tell_others(&name, &format!("{name}: {line}"));
            }
        };
        // Whoever ends first ends the other, when a person has hung up; one who is thrown out is cancelled.
        visit.run(trio::race(listen, write(sending, receiver))).await;
    }

    async fn greet<R: trio::ReceiveStream>(
        &self,
        sending: &mut trio::net::TcpSendHalf<'_>,
        lines: &mut BufferedReceiveStream<R>,
    ) -> io::Result<String> {
        sending.send_all(b"your name?\n").await?;
        loop {
            let name = next_line(lines).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if !name.is_empty() && !self.people.borrow().contains_key(&name) {
                return Ok(name);
            }
            sending.send_all(b"another one?\n").await?;
        }
    }

    fn tell_others(&self, name: &str, line: &str) {
        for (_, seat) in self.people.borrow().iter().filter(|(other, _)| *other != name) {
            // Who has no room for another line does not keep up.
            if seat.lines.try_send(format!("{line}\n")).is_err() {
                seat.visit.cancel();
            }
        }
    }
}

struct Leaving<'a> {
    room: &'a Room,
    name: &'a str,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.room.people.borrow_mut().remove(self.name);
        self.room.tell_others(self.name, &format!("* {} has gone", self.name));
    }
}

/// Writes what there is to write, until there will be no more or nobody reads it.
async fn write(mut sending: trio::net::TcpSendHalf<'_>, lines: MemoryReceiver<String>) {
    while let Ok(line) = lines.receive().await {
        if sending.send_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn next_line<R: trio::ReceiveStream>(lines: &mut BufferedReceiveStream<R>) -> io::Result<Option<String>> {
    Ok(lines.read_line(LONGEST).await?.map(|line| line.trim().to_owned()))
}

/// Three people, who take turns so that each run looks the same.
async fn demonstrate(address: SocketAddr) -> trio::Result {
    let mut people: Vec<Person> = Vec::new();
    for name in ["Ada", "Grace", "Barbara"] {
        let mut person = Person::connect(name, address).await?;
        person.says(name).await?;
        person.reads(&format!("* welcome, {name}")).await?;
        for other in &mut people {
            other.reads(&format!("* {name} has come")).await?;
        }
        people.push(person);
    }
    for (speaker, text) in [(0, "hello"), (1, "hello Ada"), (2, "hello you two")] {
        people[speaker].says(text).await?;
        let line = format!("{}: {text}", people[speaker].name);
        for (_, listener) in people.iter_mut().enumerate().filter(|(number, _)| *number != speaker) {
            listener.reads(&line).await?;
        }
    }
    let gone = people.pop().map(|person| person.name).unwrap_or_default();
    for person in &mut people {
        person.reads(&format!("* {gone} has gone")).await?;
    }
    Ok(())
}

/// Somebody at the other end of a connection.
struct Person {
    name: &'static str,
    stream: BufferedReceiveStream<TcpStream>,
}

impl Person {
    async fn connect(name: &'static str, address: SocketAddr) -> trio::Result<Self> {
        let stream = BufferedReceiveStream::new(TcpStream::connect(address).await?);
        let mut person = Self { name, stream };
        person.reads("your name?").await?;
        Ok(person)
    }

    async fn says(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().send_all(format!("{text}\n").as_bytes()).await
    }

    /// Reads a line, which has to be this one.
    async fn reads(&mut self, expected: &str) -> trio::Result {
        let line = next_line(&mut self.stream).await?.ok_or("the server has hung up")?;
        say(format!("{:>8} reads: {line}", self.name));
        if line == expected { Ok(()) } else { Err(format!("{} should have read '{expected}'", self.name).into()) }
    }
}
