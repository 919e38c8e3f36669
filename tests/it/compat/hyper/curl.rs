//! curl against servers of ours.

use std::sync::Arc;

use ::hyper::Request;
use ::hyper::body::Incoming;
use ::hyper::service::service_fn;
use http_body_util::BodyExt;
use trio::compat::hyper::{HttpStream, serve};
use trio::net::TcpListener;
use trio::process::{Command, run_process};
use trio::tls::TlsListener;
use trio::{CancelHandle, Listener};

use super::{Answer, answer};
use crate::support::secs;
use crate::tls::pki::{NAME, pki};

fn is_installed() -> bool {
    let installed = std::process::Command::new("curl").arg("--version").output().is_ok_and(|found| {
        // One that can't do HTTP/2 is of no use here.
        String::from_utf8_lossy(&found.stdout).contains("HTTP2")
    });
    if !installed {
        eprintln!("skipped: there is no program `curl` that speaks HTTP/2");
    }
    installed
}

async fn shout(request: Request<Incoming>) -> Answer {
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    answer(format!("{version:?} {} {}", body.len(), String::from_utf8_lossy(&body[..body.len().min(5)])))
}

/// What curl prints when it is asked for a page of ours.
async fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]).args(arguments);
    command.capture_stdout(true).capture_stderr(true).check(false);
    let output = run_process(&mut command).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a server, asks it, and lets it end in good order.
async fn ask<L: Listener<Stream: HttpStream>>(listener: L, asking: impl AsyncFnOnce()) {
    let over = trio::fail_after(secs(300), async {
        trio::nursery! { |n, scope|
            n.start_soon(async { serve([listener], service_fn(shout)).await.unwrap() });
            asking().await;
            let scope: CancelHandle = scope;
            scope.shut_down(secs(60));
        }
    });
    assert!(over.await.unwrap().is_some(), "it had to be cut");
}

#[trio::test]
async fn curl_without_tls() {
    if !is_installed() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let much = "hello".repeat(50_000);
    ask(listener, async || {
        assert_eq!(curl(&[&url]).await, "HTTP/1.1 0 ");
        assert_eq!(curl(&["--http1.0", &url]).await, "HTTP/1.0 0 ");
        assert_eq!(curl(&["--data", &much, &url]).await, "HTTP/1.1 250000 hello");
        assert_eq!(curl(&["--http2-prior-knowledge", &url]).await, "HTTP/2.0 0 ");
        assert_eq!(curl(&["--http2-prior-knowledge", "--data", &much, &url]).await, "HTTP/2.0 250000 hello");
        // Over one connection.
        assert_eq!(curl(&[&url, &url, &url]).await, "HTTP/1.1 0 ".repeat(3));
    })
    .await;
}

#[trio::test]
async fn curl_with_tls() {
    if !is_installed() {
        return;
    }
    let mut config = Arc::unwrap_or_clone(crate::tls::pki::server_config());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let authority = std::env::temp_dir().join(format!("trio-curl-{}.pem", std::process::id()));
    std::fs::write(&authority, &pki().authority.certificate_pem).unwrap();
    let url = format!("https://{NAME}:{}/", address.port());
    let resolve = format!("{NAME}:{}:127.0.0.1", address.port());
    let trusting = ["--cacert", authority.to_str().unwrap(), "--resolve", &resolve];
    let much = "hello".repeat(20_000);
    ask(TlsListener::new(listener, Arc::new(config)), async || {
        for version in ["--tlsv1.3", "--tls-max=1.2"] {
            let version: Vec<&str> = version.split('=').collect();
            let with = |more: &[&str]| -> Vec<String> {
                trusting.iter().chain(&version).chain(more).map(|&word| word.to_owned()).collect()
            };
            let fetch = async |more: &[&str]| {
                let arguments = with(more);
                curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
            };
            assert_eq!(fetch(&[&url]).await, "HTTP/2.0 0 ");
            assert_eq!(fetch(&["--http1.1", &url]).await, "HTTP/1.1 0 ");
            assert_eq!(fetch(&["--no-alpn", &url]).await, "HTTP/1.1 0 ");
            assert_eq!(fetch(&["--data", &much, &url]).await, "HTTP/2.0 100000 hello");
            assert_eq!(fetch(&["--http1.1", "--data", &much, &url]).await, "HTTP/1.1 100000 hello");
        }
    })
    .await;
    std::fs::remove_file(authority).unwrap();
}
