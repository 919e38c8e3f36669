//! curl as the client of an HTTPS server of ours.

use trio::net::TcpStream;
use trio::process::{Command, run_process};
use trio::tls::{TlsStream, serve_tls_over_tcp};
use trio::{BufferedReceiveStream, SendStream};

use super::{Folder, is_there};
use crate::tls::pki::{NAME, pki, server_config};

const PAGE: usize = 500_000;

/// One connection, whose troubles are its own.
async fn serve(stream: TlsStream<TcpStream>) {
    if let Err(error) = answer(stream).await {
        println!("a connection failed: {error}");
    }
}

/// Answers requests until the client has no more.
async fn answer(stream: TlsStream<TcpStream>) -> trio::Result {
    let mut stream = BufferedReceiveStream::new(stream);
    while stream.read_until(b"\r\n\r\n", 10_000).await?.is_some() {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {PAGE}\r\n\r\n");
        stream.send_all(head.as_bytes()).await?;
        stream.send_all(&vec![b'x'; PAGE]).await?;
    }
    Ok(())
}

#[trio::test]
async fn curl_fetches_from_a_tls_server_of_ours() {
    if !is_there("curl", &["--version"]).await {
        return;
    }
    let folder = Folder::new("curl");
    let (authority, target) = (folder.0.join("authority.pem"), folder.0.join("fetched"));
    std::fs::write(&authority, &pki().authority.certificate_pem).unwrap();
    let fetched = trio::try_nursery! { |n, scope|
        let serving = n.start(|status| {
            serve_tls_over_tcp(serve, 0, Some("127.0.0.1"), server_config()).https_compatible(true).reporting(status)
        });
        let port = serving.await.map_err(|error| error.to_string())?[0].port();
        for version in ["--tlsv1.3", "--tls-max 1.2"] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--fail", "--max-time", "60"]).args(version.split(' '));
            curl.arg("--cacert").arg(&authority).args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
            // Two over one connection.
            for _ in 0..2 {
                curl.arg(format!("https://{NAME}:{port}/")).arg("--output").arg(&target);
            }
            run_process(curl).await?;
            assert_eq!(std::fs::read(&target)?, vec![b'x'; PAGE]);
        }
        // One that does not know the authority hangs up before it asks for anything, which is no error of the server's.
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--resolve", &format!("{NAME}:{port}:127.0.0.1"), &format!("https://{NAME}:{port}/")]);
        let refused = run_process(curl.check(false)).await?;
        assert_eq!(refused.status.code(), Some(60), "what curl exits with for a certificate it does not trust");
        scope.cancel();
    };
    fetched.unwrap();
}
