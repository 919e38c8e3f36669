//! OpenSSL on the other side, where that is installed.

use std::path::PathBuf;
use std::sync::Arc;

use trio::net::{TcpListener, TcpStream};
use trio::process::{Command, Process, Stdio, open_process, run_process};
use trio::tls::rustls::{self, ClientConfig};
use trio::tls::{TlsError, TlsListener, TlsStream};
use trio::{BufferedReceiveStream, StapledStream};

use super::pki::{
    Folder, Identity, NAME, Tls12, Tls13, VERSIONS, Version, both, choosy_server_config, client_config,
    known_client_config, pki, server_config, server_config_of, untrusting_config,
};
use crate::support::secs;

/// Whether the program is there. Says so if it is not.
fn is_installed() -> bool {
    let found =
        std::process::Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no program `openssl`");
    }
    found
}

fn switch(version: Version) -> &'static str {
    match version {
        Tls12 => "-tls1_2",
        Tls13 => "-tls1_3",
    }
}

/// A certificate and its key in files, as arguments.
fn identity_arguments(folder: &Folder, identity: &Identity) -> Vec<PathBuf> {
    let certificate = folder.write("mine.crt", &identity.certificate_pem);
    let key = folder.write("mine.key", &identity.key_pem);
    vec!["-cert".into(), certificate, "-key".into(), key]
}

/// Reads a line, sends it back, and closes.
async fn serve_a_line(mut listener: TlsListener<TcpListener>) -> std::io::Result<Option<String>> {
    let mut stream = BufferedReceiveStream::new(listener.accept().await?);
    let line = stream.read_line(1000).await?;
    if let Some(line) = &line {
        stream.get_mut().send_all(format!("you said {line}\n").as_bytes()).await?;
    }
    stream.get_mut().aclose().await?;
    Ok(line)
}

/// What `s_client` says to a server of ours, and what that makes of it.
async fn s_client(
    config: Arc<rustls::ServerConfig>,
    version: Version,
    name: &str,
    more: &[PathBuf],
) -> (std::process::Output, std::io::Result<Option<String>>) {
    let folder = Folder::new();
    let trusted = folder.write("trusted.pem", &pki().authority.certificate_pem);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", switch(version), "-connect", &address]);
    command.args(["-servername", name, "-verify_hostname", name]).arg("-CAfile").arg(trusted).args(more);
    command.input("hello\n").capture_stdout(true).capture_stderr(true).check(false);
    let listener = TlsListener::new(listener, config);
    let (output, served) =
        both(run_process(&mut command), async { trio::fail_after(secs(60), serve_a_line(listener)).await.unwrap() })
            .await;
    (output.unwrap(), served)
}

#[trio::test]
async fn s_client_talks_to_a_server_of_ours() {
    if !is_installed() {
        return;
    }
    for version in VERSIONS {
        let (output, served) = s_client(server_config(), version, NAME, &[]).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(served.unwrap().as_deref(), Some("hello"), "{text}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "you said hello\n", "{text}");
        assert!(output.status.success(), "the end was said: {text}");
    }
}

#[trio::test]
async fn s_client_refuses_a_server_that_is_not_good() {
    if !is_installed() {
        return;
    }
    for version in VERSIONS {
        let cases = [(server_config_of(&pki().expired), NAME), (server_config(), "other.test.example")];
        for (config, name) in cases {
            let (output, served) = s_client(config, version, name, &[]).await;
            assert!(!output.status.success());
            let error = served.unwrap_err();
            let why = TlsError::of(&error);
            assert!(matches!(why, Some(TlsError::Rustls(rustls::Error::AlertReceived(_)))), "{error:?}");
        }
    }
}

#[trio::test]
async fn s_client_shows_its_certificate_or_is_refused() {
    if !is_installed() {
        return;
    }
    let folder = Folder::new();
    let identity = identity_arguments(&folder, &pki().client);
    for version in VERSIONS {
        let (_, served) = s_client(choosy_server_config(), version, NAME, &identity).await;
        assert_eq!(served.unwrap().as_deref(), Some("hello"));
        let (output, served) = s_client(choosy_server_config(), version, NAME, &[]).await;
        assert!(matches!(
            TlsError::of(&served.unwrap_err()),
            Some(TlsError::Rustls(rustls::Error::NoCertificatesPresented))
        ));
        assert!(String::from_utf8_lossy(&output.stderr).contains("alert"), "it is told why");
    }
}

/// An `s_server` that sends lines back reversed, and the port at which it listens.
async fn s_server(version: Version, identity: &[PathBuf], more: &[&str], folder: &Folder) -> (Process, u16) {
    let trusted = folder.write("trusted.pem", &pki().authority.certificate_pem);
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-rev", switch(version)]).args(identity).args(more);
    command.arg("-CAfile").arg(trusted).arg("-verify_return_error");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = open_process(command).await.unwrap();
    let StapledStream { receive_stream, send_stream } = process.take_stdio().unwrap();
    // It goes on as long as it has an input.
    std::mem::forget(send_stream);
    let mut lines = BufferedReceiveStream::new(receive_stream);
    loop {
        let line = lines.read_line(1000).await.unwrap().expect("a server says where it listens");
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            let port = address.rsplit(':').next().unwrap().parse().unwrap();
            return (process, port);
        }
    }
}

async fn connect(port: u16, config: Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
    TlsStream::client(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), config, name).unwrap()
}

#[trio::test]
async fn a_client_of_ours_talks_to_s_server() {
    if !is_installed() {
        return;
    }
    for version in VERSIONS {
        let folder = Folder::new();
        let identity = identity_arguments(&folder, &pki().server);
        let (process, port) = s_server(version, &identity, &[], &folder).await;
        let config = Arc::new(client_config(version));
        for again in [false, true] {
            let mut stream = BufferedReceiveStream::new(connect(port, Arc::clone(&config), NAME).await);
            stream.get_mut().send_all(b"stressed\n").await.unwrap();
            assert_eq!(stream.read_line(100).await.unwrap().as_deref(), Some("desserts"));
            assert_eq!(stream.get_ref().is_resumed(), Ok(again), "{version:?}");
            if version == Tls13 {
                stream.get_mut().refresh_keys().unwrap();
                stream.get_mut().send_all(b"no lemon\n").await.unwrap();
                assert_eq!(stream.read_line(100).await.unwrap().as_deref(), Some("nomel on"));
            }
            // It closes at our word.
            let (transport, trailing) = {
                let (mut tls, buffered) = stream.into_parts();
                assert!(buffered.is_empty());
                tls.send_all(b"CLOSE\n").await.unwrap();
                assert_eq!(tls.receive_some(&mut [0; 8]).await.unwrap(), 0, "it says that this is the end");
                tls.unwrap().await.unwrap()
            };
            assert!(trailing.is_empty());
            drop(transport);
        }
        process.kill().unwrap();
        process.wait().await.unwrap();
    }
}

#[trio::test]
async fn a_client_of_ours_refuses_an_s_server_that_is_not_good() {
    if !is_installed() {
        return;
    }
    for version in VERSIONS {
        let good = || Arc::new(client_config(version));
        let (server, expired) = (&pki().server, &pki().expired);
        let cases = [
            (expired, good(), NAME, "Expired"),
            (server, good(), "other.test.example", "NotValidForName"),
            (server, untrusting_config(), NAME, "UnknownIssuer"),
        ];
        for (identity, config, name, expected) in cases {
            let folder = Folder::new();
            let (process, port) = s_server(version, &identity_arguments(&folder, identity), &[], &folder).await;
            let error = connect(port, config, name).await.send_all(b"secret\n").await.unwrap_err();
            let Some(TlsError::Rustls(rustls::Error::InvalidCertificate(why))) = TlsError::of(&error) else {
                panic!("{error:?}")
            };
            assert!(format!("{why:?}").starts_with(expected), "{why:?}");
            process.kill().unwrap();
            process.wait().await.unwrap();
        }
    }
}

#[trio::test]
async fn s_server_wants_to_know_its_clients() {
    if !is_installed() {
        return;
    }
    for version in VERSIONS {
        let folder = Folder::new();
        let identity = identity_arguments(&folder, &pki().server);
        let (process, port) = s_server(version, &identity, &["-Verify", "1"], &folder).await;
        let known = connect(port, Arc::new(known_client_config(version)), NAME).await;
        let mut stream = BufferedReceiveStream::new(known);
        stream.get_mut().send_all(b"stressed\n").await.unwrap();
        assert_eq!(stream.read_line(100).await.unwrap().as_deref(), Some("desserts"));
        drop(stream);

        let mut unknown = connect(port, Arc::new(client_config(version)), NAME).await;
        let asked = async {
            unknown.send_all(b"stressed\n").await?;
            unknown.receive_some(&mut [0; 100]).await
        };
        let error = asked.await.unwrap_err();
        let why = TlsError::of(&error);
        assert!(matches!(why, Some(TlsError::Rustls(rustls::Error::AlertReceived(_)))), "{version:?}: {error:?}");
        process.kill().unwrap();
        process.wait().await.unwrap();
    }
}
