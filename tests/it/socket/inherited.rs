//! Sockets that a service manager has opened.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use trio::net::{TcpStream, UnixStream, inherited_sockets};

use super::{scratch, soon};

/// Runs a test of this file again in a process of its own, which inherits a socket, as from a service manager.
fn with_inherited(test: &str, sockets: [OwnedFd; 2], names: &str) {
    let (_crate, module) = module_path!().split_once("::").unwrap();
    let [first, second] = sockets;
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "LISTEN_PID=$$ exec \"$0\" --exact {module}::{test} --test-threads=1 --nocapture 3<&0 4<&2 </dev/null 2>&1"
        ))
        .arg(std::env::current_exe().unwrap())
        .envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", names)])
        .stdin(Stdio::from(first))
        .stderr(Stdio::from(second))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

// trio: _tests/test_socket.py::test_sniff_sockopts
#[test]
fn inherited_sockets_are_what_the_system_says() {
    if std::env::var("LISTEN_FDNAMES").as_deref() == Ok("web:log") {
        trio::run(async {
            let [web, log]: [_; 2] = inherited_sockets().unwrap().try_into().unwrap();
            assert_eq!((web.name(), log.name()), ("web", "log"));
            for socket in [&web, &log] {
                assert!(rustix::io::fcntl_getfd(socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
            }
            assert_eq!(inherited_sockets().unwrap().len(), 0, "they are given once");
            let mut web = web.into_tcp_listener().unwrap();
            let client = TcpStream::connect(web.local_addr().unwrap()).await.unwrap();
            assert_eq!(soon(web.accept()).await.unwrap().1, client.local_addr().unwrap());
            let error = log.into_unix_listener().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("'log'"), "{error}");
        });
        return;
    }
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let log = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    with_inherited("inherited_sockets_are_what_the_system_says", [web.into(), log.into()], "web:log");
}

#[test]
fn inherited_sockets_of_other_kinds_work_too() {
    if std::env::var("LISTEN_FDNAMES").as_deref() == Ok("udp") {
        trio::run(async {
            let [udp, unix]: [_; 2] = inherited_sockets().unwrap().try_into().unwrap();
            // There are fewer names than sockets.
            assert_eq!(unix.name(), "unknown");
            let udp = udp.into_udp_socket().unwrap();
            udp.send_to(b"x", udp.local_addr().unwrap()).await.unwrap();
            assert_eq!(soon(udp.recv(&mut [0; 8])).await.unwrap(), 1);
            let mut unix = unix.into_unix_listener().unwrap();
            let address = unix.local_addr().unwrap();
            let path = address.as_pathname().unwrap();
            UnixStream::connect(path).await.unwrap();
            soon(unix.accept()).await.unwrap();
            drop(unix);
            assert!(path.exists(), "the file is the manager's");
        });
        return;
    }
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = scratch("inherited");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    with_inherited("inherited_sockets_of_other_kinds_work_too", [udp.into(), unix.into()], "udp");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn without_a_manager_nothing_is_inherited() {
    assert_eq!(inherited_sockets().unwrap().len(), 0);
}
