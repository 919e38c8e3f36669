//! A chat over WebSockets, with the page for a browser.
//!
//! ```text
//! cargo run --example websocket_chat                        the server, and two people who talk
//! cargo run --example websocket_chat -- 127.0.0.1:7780      the server alone, until Ctrl-C: open http://127.0.0.1:7780 in two tabs
//! ```
//!
//! What to look at: the protocol is `async-tungstenite`'s, which knows nothing of trio: with the feature `futures-io` trio's
//! streams are what it takes. Each connection is one task. Its future borrows the room, and so need not be `'static`, nor
//! `Send`. What the library does not know, as a scope that ends a visit, is around it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use async_tungstenite::tungstenite::{self, Message};
use async_tungstenite::{WebSocketStream, accept_async, client_async};
use futures::{SinkExt, StreamExt};
use trio::net::TcpStream;
use trio::{CancelHandle, CancelScope, MemoryReceiver, MemorySender, open_memory_channel, serve_tcp};
use trio_examples::say;

/// How many messages may wait for a slow reader.
const PATIENCE: usize = 100;
/// Where the page looks for the chat.
const CHAT: &[u8] = b"GET /chat ";
const PAGE: &str = include_str!("websocket_chat.html");

#[trio::main]
async fn main() -> trio::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = match &arguments[..] {
        [] => "127.0.0.1:0".parse()?,
        [address] => address.parse()?,
        _ => {
            eprintln!("websocket_chat: either nothing, or ADDRESS:PORT");
            return Ok(ExitCode::from(2));
        }
    };
    let (room, host) = (Room::default(), address.ip().to_string());
    trio::try_nursery! { |n, scope|
        let serve = async |stream| room.serve(stream).await;
        let server = n.start(|status| serve_tcp(serve, address.port(), Some(&host)).reporting(status)).await;
        let addresses = server.map_err(|error| error.to_string())?;
        if arguments.is_empty() {
            demonstrate(addresses[0]).await?;
            scope.cancel();
        } else {
            say(format!("serving http://{}", addresses[0]));
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Who is there, with what leads to them.
#[derive(Default)]
struct Room {
    people: RefCell<BTreeMap<String, Seat>>,
}

/// One person's place. The name is taken until the visit is over.
struct Seat {
    messages: MemorySender<Message>,
    /// The scope of the visit.
    visit: CancelHandle,
}

impl Room {
    /// One connection, to its end. Whatever goes wrong with it is its own affair.
    async fn serve(&self, mut stream: TcpStream) {
        let _ended = match wants_to_chat(&mut stream).await {
            Ok(true) => self.visit(stream).await.map_err(io::Error::other),
            Ok(false) => show_page(stream).await,
            Err(error) => Err(error),
        };
    }

    async fn visit(&self, stream: TcpStream) -> tungstenite::Result<()> {
        let (mut sending, mut receiving) = accept_async(stream).await?.split();
        // The first message is the name.
        let Some(name) = next_text(&mut receiving).await? else { return Ok(()) };
        if self.people.borrow().contains_key(&name) {
            return sending.close(None).await;
        }
        let (messages, waiting) = open_memory_channel(PATIENCE);
        let visit = CancelScope::new();
        self.people.borrow_mut().insert(name.clone(), Seat { messages, visit: visit.handle() });
        // Whatever ends this visit, the others are told.
        let _leaving = Leaving { room: self, name: &name };
        self.tell_all(&format!("{name} has come"));

        let listen = async {
            while let Ok(Some(text)) = next_text(&mut receiving).await {
                self.tell_all(&format!("{name}: {text}"));
            }
        };
        // Whoever ends first ends the other, when a person has gone; one who is thrown out is cancelled.
        visit.run(trio::race(listen, write(sending, waiting))).await;
        Ok(())
    }

    fn tell_all(&self, text: &str) {
        for seat in self.people.borrow().values() {
            // Who has no room for another message does not keep up.
            if seat.messages.try_send(Message::text(text)).is_err() {
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
        self.room.tell_all(&format!("{} has gone", self.name));
    }
}

/// Writes what there is to write, until there will be no more or nobody reads it.
async fn write(mut sending: impl SinkExt<Message> + Unpin, waiting: MemoryReceiver<Message>) {
    while let Ok(message) = waiting.receive().await {
        if sending.send(message).await.is_err() {
            return;
        }
    }
}

/// The next message that is text; `None` when there will be no more.
async fn next_text(
    receiving: &mut (impl StreamExt<Item = tungstenite::Result<Message>> + Unpin),
) -> tungstenite::Result<Option<String>> {
    while let Some(message) = receiving.next().await {
        if let Message::Text(text) = message? {
            return Ok(Some(text.trim().to_owned()));
        }
    }
    Ok(None)
}

/// Looks at how the request begins, and leaves it there.
async fn wants_to_chat(stream: &mut TcpStream) -> io::Result<bool> {
    let mut beginning = [0; CHAT.len()];
    trio::fail_after(std::time::Duration::from_secs(10), async {
        loop {
            match stream.peek(&mut beginning).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count if count == CHAT.len() => return Ok(beginning == CHAT),
                _ => trio::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await
    .map_err(io::Error::other)?
}

async fn show_page(mut stream: TcpStream) -> io::Result<()> {
    stream.receive_some(&mut [0; 4096]).await?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\ncontent-length:";
    stream.send_all(format!("{head} {}\r\n\r\n{PAGE}", PAGE.len()).as_bytes()).await?;
    stream.send_eof().await?;
    // Until the browser has read it, and hangs up.
    while stream.receive_some(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// Two people, who take turns so that each run looks the same.
async fn demonstrate(address: SocketAddr) -> trio::Result {
    let mut ada = Person::connect("Ada", address).await?;
    ada.reads("Ada has come").await?;
    let mut grace = Person::connect("Grace", address).await?;
    for text in ["Grace has come", "Ada: hello", "Grace: hello Ada"] {
        match text.split_once(": ") {
            Some(("Ada", words)) => ada.socket.send(Message::text(words)).await?,
            Some((_, words)) => grace.socket.send(Message::text(words)).await?,
            None => {}
        }
        ada.reads(text).await?;
        grace.reads(text).await?;
    }
    grace.socket.close(None).await?;
    ada.reads("Grace has gone").await
}

/// Somebody at the other end of a connection.
struct Person {
    name: &'static str,
    socket: WebSocketStream<TcpStream>,
}

impl Person {
    async fn connect(name: &'static str, address: SocketAddr) -> trio::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (mut socket, _response) = client_async(format!("ws://{address}/chat"), stream).await?;
        socket.send(Message::text(name)).await?;
        Ok(Self { name, socket })
    }

    /// Reads a message, which has to be this one.
    async fn reads(&mut self, expected: &str) -> trio::Result {
        let text = next_text(&mut self.socket).await?.ok_or("the server has hung up")?;
        say(format!("{:>5} reads: {text}", self.name));
        if text == expected { Ok(()) } else { Err(format!("{} should have read '{expected}'", self.name).into()) }
    }
}
