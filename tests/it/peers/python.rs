//! Python's Trio as client and as server of an echo.

use std::net::SocketAddr;

use trio::net::TcpStream;
use trio::process::{Command, Stdio, run_process, supervise};
use trio::{BoxError, BufferedReceiveStream, StartError, serve_tcp};

use super::{LONG, is_there, python};

/// What the clients send: enough to fill every buffer on the way.
const AMOUNT: usize = 1 << 20;

/// Sends AMOUNT bytes, receives them again, and checks them; then the end has to come.
const CLIENT: &str = r#"
import sys, trio
data = bytes(i * 7 % 251 for i in range(1 << 20))
async def talk(stream):
    async with stream, trio.open_nursery() as nursery:
        async def send():
            await stream.send_all(data)
            await stream.send_eof()
        nursery.start_soon(send)
        got = b""
        async for chunk in stream:
            got += chunk
        assert got == data
async def main():
    await talk(await trio.open_tcp_stream("127.0.0.1", int(sys.argv[1])))
trio.run(main)
print("ok")
"#;

/// Says its port, and sends back what it receives, to one connection after the other.
const SERVER: &str = r#"
import trio
async def echo(stream):
    async for chunk in stream:
        await stream.send_all(chunk)
async def main():
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        print(listeners[0].socket.getsockname()[1], flush=True)
trio.run(main)
"#;

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 10_000];
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.send_all(&buffer[..count]).await?,
        }
    }
}

/// Sends AMOUNT bytes while it receives them again.
async fn talk(mut stream: TcpStream) {
    let data: Vec<u8> = (0..AMOUNT).map(|place| (place * 7 % 251) as u8).collect();
    let (mut receiving, mut sending) = stream.split();
    trio::nursery! { |n|
        n.start_soon(async {
            sending.send_all(&data).await.unwrap();
            sending.send_eof().await.unwrap();
        });
        let (mut got, mut buffer) = (Vec::new(), vec![0; 30_000]);
        loop {
            match receiving.receive_some(&mut buffer).await.unwrap() {
                0 => break,
                count => got.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(got == data);
    };
}

#[trio::test]
async fn a_python_client_talks_with_a_server_of_ours() {
    if !is_there(python(), &["-c", "import trio"]).await {
        return;
    }
    let talk = trio::try_nursery! { |n, scope|
        let server = n.start(|status| serve_tcp(echo, 0, Some("127.0.0.1")).reporting(status)).await;
        let port = server.map_err(|error| error.to_string())?[0].port().to_string();
        let mut client = Command::new(python());
        client.args(["-c", CLIENT, &port]).capture_stdout(true);
        assert_eq!(run_process(client).await?.stdout, b"ok\n");
        scope.cancel();
    };
    talk.unwrap();
}

#[trio::test]
async fn a_client_of_ours_talks_with_a_python_server() {
    if !is_there(python(), &["-c", "import trio"]).await {
        return;
    }
    let talk = trio::try_nursery! { |n, scope|
        let mut server = Command::new(python());
        server.args(["-c", SERVER]).stdout(Stdio::piped());
        let server = n.start(|status| supervise(server, status)).await;
        let server = server.map_err(StartError::<BoxError>::into_error).unwrap();
        let mut lines = BufferedReceiveStream::new(server.stdout.expect("it was piped"));
        let port: u16 = lines.read_line(100).await?.ok_or("no port")?.trim().parse()?;
        for _ in 0..2 {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            trio::fail_after(LONG, talk(TcpStream::connect(address).await?)).await?;
        }
        // The server would run for ever.
        scope.cancel();
    };
    talk.unwrap();
}
