//! Python's Trio as client and as server of an echo: over TCP, TLS and Unix sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use trio::net::{TcpStream, UnixListener};
use trio::process::{Command, Process, Stdio, run_process, supervise};
use trio::tls::{TlsStream, client_config_trusting, serve_tls_over_tcp};
use trio::{
    BoxError, BufferedReceiveStream, ByteStream, ReceiveStream, SendStream, SplitStream, StartError, open_unix_socket,
    serve_listeners, serve_tcp,
};

use super::{Folder, LONG, is_there, python};
use crate::tls::pki::{NAME, pki, server_config};

/// How much is sent: enough to fill every buffer on the way.
const AMOUNT: usize = 1 << 20;

/// What both scripts know. The arguments are a kind, a place, and the authority's or the server's certificates.
const COMMON: &str = r#"
import ssl, sys, trio
kind, place, certificates = sys.argv[1:4]
NAME = "trio.test.example"
"#;

/// Sends a MiB while it receives it again, checks it, and closes.
const CLIENT: &str = r#"
data = bytes(i * 7 % 251 for i in range(1 << 20))
async def connect():
    if kind == "unix":
        return await trio.open_unix_socket(place)
    stream = await trio.open_tcp_stream("127.0.0.1", int(place))
    if kind == "tls":
        context = ssl.create_default_context(cafile=certificates)
        stream = trio.SSLStream(stream, context, server_hostname=NAME)
    return stream
async def main():
    stream = await connect()
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        got = b""
        while len(got) < len(data):
            got += await stream.receive_some()
    assert got == data
trio.run(main)
print("ok")
"#;

/// Says where it listens, and sends back what it receives, to one connection after the other.
const SERVER: &str = r#"
import socket
async def echo(stream):
    async with stream:
        async for chunk in stream:
            await stream.send_all(chunk)
async def main():
    async with trio.open_nursery() as nursery:
        if kind == "unix":
            with trio.socket.socket(socket.AF_UNIX) as listening:
                await listening.bind(place)
                listening.listen()
                print(place, flush=True)
                await trio.serve_listeners(echo, [trio.SocketListener(listening)])
        elif kind == "tls":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificates)
            listeners = await nursery.start(trio.serve_ssl_over_tcp, echo, 0, context)
            print(listeners[0].transport_listener.socket.getsockname()[1], flush=True)
        else:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            print(listeners[0].socket.getsockname()[1], flush=True)
trio.run(main)
"#;

fn script(text: &str, kind: &str, place: impl AsRef<std::ffi::OsStr>, certificates: &Path) -> Command {
    let mut command = Command::new(python());
    command.arg("-c").arg(format!("{COMMON}{text}")).arg(kind).arg(place).arg(certificates);
    command
}

async fn has_trio() -> bool {
    is_there(python(), &["-c", "import trio"]).await
}

async fn echo<S: ByteStream>(mut stream: S) -> std::io::Result<()> {
    let mut buffer = vec![0; 10_000];
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return stream.aclose().await,
            count => stream.send_all(&buffer[..count]).await?,
        }
    }
}

/// Sends AMOUNT bytes while it receives them again, and closes.
async fn talk(mut stream: impl SplitStream) {
    let data: Vec<u8> = (0..AMOUNT).map(|place| (place * 7 % 251) as u8).collect();
    {
        let (mut receiving, mut sending) = stream.split();
        trio::nursery! { |n|
            n.start_soon(async { sending.send_all(&data).await.unwrap() });
            let (mut got, mut buffer) = (Vec::new(), vec![0; 30_000]);
            while got.len() < AMOUNT {
                match receiving.receive_some(&mut buffer).await.unwrap() {
                    0 => panic!("the end came after {} bytes", got.len()),
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
            assert!(got == data);
        };
    }
    stream.aclose().await.unwrap();
}

async fn succeeds(mut client: Command) -> Result<(), BoxError> {
    let output = trio::fail_after(LONG, run_process(client.capture_stdout(true))).await??;
    assert_eq!(output.stdout, b"ok\n");
    Ok(())
}

#[trio::test]
async fn python_clients_talk_with_servers_of_ours() {
    if !has_trio().await {
        return;
    }
    let folder = Folder::new("python-clients");
    let (authority, path) = (folder.0.join("authority.pem"), folder.0.join("socket"));
    std::fs::write(&authority, &pki().authority.certificate_pem).unwrap();
    let talk = trio::try_nursery! { |n, scope|
        let tcp = n.start(|status| serve_tcp(echo::<TcpStream>, 0, Some("127.0.0.1")).reporting(status)).await;
        let port = tcp.map_err(|error| error.to_string())?[0].port().to_string();
        succeeds(script(CLIENT, "tcp", port, &authority)).await?;

        let tls = n.start(|status| {
            serve_tls_over_tcp(echo::<TlsStream<TcpStream>>, 0, Some("127.0.0.1"), server_config()).reporting(status)
        });
        let port = tls.await.map_err(|error| error.to_string())?[0].port().to_string();
        succeeds(script(CLIENT, "tls", port, &authority)).await?;

        n.start_daemon(serve_listeners(echo::<trio::net::UnixStream>, [UnixListener::bind(&path).await?]));
        succeeds(script(CLIENT, "unix", &path, &authority)).await?;
        scope.cancel();
    };
    talk.unwrap();
}

/// What a server says first: where it listens.
async fn place(server: Process) -> Result<String, BoxError> {
    let mut lines = BufferedReceiveStream::new(server.stdout.expect("it was piped"));
    let line = trio::fail_after(LONG, lines.read_line(1000)).await??;
    Ok(line.ok_or("it has ended")?.trim().to_owned())
}

#[trio::test]
async fn clients_of_ours_talk_with_python_servers() {
    if !has_trio().await {
        return;
    }
    let folder = Folder::new("python-servers");
    let (identity, path) = (folder.0.join("server.pem"), folder.0.join("socket"));
    let server = &pki().server;
    std::fs::write(&identity, format!("{}{}", server.key_pem, server.certificate_pem)).unwrap();
    let config = client_config_trusting([pki().authority.certificate.clone()]).unwrap();
    let talks = trio::try_nursery! { |n, scope|
        for kind in ["tcp", "tls", "unix"] {
            let mut server = script(SERVER, kind, &path, &identity);
            server.stdout(Stdio::piped());
            let server = n.start(|status| supervise(server, status)).await;
            let place = place(server.map_err(StartError::<BoxError>::into_error).unwrap()).await?;
            for _ in 0..2 {
                let talk = async {
                    if kind == "unix" {
                        talk(open_unix_socket(&place).await?).await;
                        return Ok::<_, BoxError>(());
                    }
                    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], place.parse()?))).await?;
                    if kind == "tls" {
                        talk(TlsStream::client(stream, Arc::clone(&config), NAME)?).await;
                    } else {
                        talk(stream).await;
                    }
                    Ok(())
                };
                trio::fail_after(LONG, talk).await??;
            }
        }
        // The servers would run for ever.
        scope.cancel();
    };
    talks.unwrap();
}
