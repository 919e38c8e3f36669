//! A guest run: trio on top of a loop that is not its own.
//!
//! The host is what any program with a face has: a loop that draws frames and handles events. It draws a ball that rolls on
//! without a stop, while trio's tasks, on the same thread, talk over TCP. Ctrl-C stops them in good order.
//!
//! ```text
//! cargo run --example guest
//! ```

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use trio::lowlevel::{GuestError, GuestHost, HostCallback};
use trio::net::{TcpListener, TcpStream};
use trio::{Builder, CtrlC};

const FRAME: Duration = Duration::from_millis(40);
const WIDTH: usize = 32;

/// What happens in the host's loop.
enum Event {
    /// The guest wants its turn.
    Call(HostCallback),
    /// The guest has ended.
    Done(Result<usize, GuestError<usize>>),
}

/// What the host shows: the guest's tasks write it, on the host's own thread, so that it needs no lock.
type Screen = Rc<RefCell<String>>;

async fn echo(mut client: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match client.receive_some(&mut buffer).await? {
            0 => return Ok(()),
            count => client.send_all(&buffer[..count]).await?,
        }
    }
}

/// The guest's main task: a server, and a client that has it repeat words at its leisure.
async fn talk(screen: Screen) -> usize {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("the listener has an address");
    let words = "trio runs on the thread of a loop that knows nothing of it".split(' ');
    let mut count = 0;
    trio::nursery! { |n|
        n.start_daemon(async move {
            while let Ok((client, _)) = listener.accept().await {
                // The client shows what went wrong.
                let _ = echo(client).await;
            }
        });
        let mut server = TcpStream::connect(address).await.expect("the server listens");
        for word in words {
            trio::sleep(Duration::from_millis(200)).await;
            server.send_all(word.as_bytes()).await.expect("the server is there");
            let mut answer = [0; 64];
            let length = server.receive_some(&mut answer).await.expect("the server answers");
            *screen.borrow_mut() = String::from_utf8_lossy(&answer[..length]).into_owned();
            count += 1;
        }
    };
    count
}

fn start(screen: &Screen, events: &Sender<Event>) {
    let (calls, end) = (events.clone(), events.clone());
    let host = GuestHost::new(move |callback| {
        let _ = calls.send(Event::Call(callback));
    });
    let main = talk(Rc::clone(screen));
    Builder::new().ctrl_c(CtrlC::Cancel).start_guest_run(main, host, move |outcome| {
        let _ = end.send(Event::Done(outcome));
    });
}

fn draw(frame: usize, text: &str) {
    let place = frame % (2 * WIDTH);
    let place = place.min(2 * WIDTH - 1 - place);
    let (before, after) = (" ".repeat(place), " ".repeat(WIDTH - 1 - place));
    // Where nobody looks, a line for each frame would be too much.
    if std::io::stdout().is_terminal() {
        print!("\r|{before}o{after}|  {text:<10}");
        let _ = std::io::stdout().flush();
    }
}

fn main() {
    let screen = Screen::default();
    let (sender, events) = channel();
    start(&screen, &sender);
    let (mut frame, mut next) = (0, Instant::now());
    // The host's loop: a frame when it is time for one, and otherwise whatever comes.
    let outcome = loop {
        match events.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Event::Call(callback)) => callback(),
            Ok(Event::Done(outcome)) => break outcome,
            Err(RecvTimeoutError::Timeout) => {
                draw(frame, &screen.borrow());
                frame += 1;
                next += FRAME;
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("the host has a sender itself"),
        }
    };
    match outcome {
        Ok(words) => println!("\nThe guest has ended: {words} words in {frame} frames."),
        Err(GuestError::Interrupted(_)) => println!("\nThe guest was interrupted, and has cleaned up."),
        Err(error) => println!("\n{error}"),
    }
}
