//! From names to addresses, and the addresses that connections come from.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use trio::net::{
    HostnameResolver, Lookup, NameInfo, SocketOptions, TcpListener, TcpStream, UdpSocket, getaddrinfo, getnameinfo,
    set_custom_hostname_resolver,
};
use trio::testing::{assert_checkpoints, wait_all_tasks_blocked};
use trio::{ErrorGroup, open_tcp_stream};

use super::{has_v6, soon};

/// Knows a few names, and writes down what it was asked.
#[derive(Default)]
struct Table {
    asked: RefCell<Vec<String>>,
    hangs: bool,
}

impl HostnameResolver for Table {
    fn getaddrinfo<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a, Vec<SocketAddr>> {
        self.asked.borrow_mut().push(format!("{host}:{port}"));
        Box::pin(async move {
            if self.hangs {
                trio::sleep_forever().await;
            }
            match host {
                "here" => Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]),
                "nothing" => Ok(Vec::new()),
                "xn--fa-hia.example" => Ok(vec![(Ipv4Addr::new(10, 0, 0, 1), port).into()]),
                _ => Err(ErrorKind::NotFound.into()),
            }
        })
    }

    fn getnameinfo(&self, address: SocketAddr, options: NameInfo) -> Lookup<'_, (String, String)> {
        self.asked.borrow_mut().push(format!("{address} {}", options.numeric_host));
        Box::pin(async move { Ok(("a name".to_owned(), "a service".to_owned())) })
    }
}

// trio: _tests/test_socket.py::test_custom_hostname_resolver
#[trio::test]
async fn a_resolver_of_ones_own_is_asked() {
    let table = Rc::new(Table::default());
    assert!(set_custom_hostname_resolver(Some(table.clone())).is_none());
    let mut listener = TcpListener::bind("here:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("here", port)).await.unwrap();
    soon(open_tcp_stream("here", port)).await.unwrap();
    listener.accept().await.unwrap();
    assert_eq!(assert_checkpoints(getaddrinfo("elsewhere", 1)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(getaddrinfo("nothing", 1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(getaddrinfo("faß.example", 5).await.unwrap()[0].to_string(), "10.0.0.1:5");
    let options = NameInfo { numeric_host: true, ..NameInfo::default() };
    let names = assert_checkpoints(getnameinfo("10.0.0.1:9".parse().unwrap(), options)).await.unwrap();
    assert_eq!((&*names.0, &*names.1), ("a name", "a service"));
    let here = format!("here:{port}");
    let asked: [&str; 7] =
        ["here:0", &here, &here, "elsewhere:1", "nothing:1", "xn--fa-hia.example:5", "10.0.0.1:9 true"];
    assert_eq!(*table.asked.borrow(), asked);

    // One run's only, and replaced by another.
    let other_run = std::thread::spawn(|| trio::run(async { set_custom_hostname_resolver(None).is_none() }));
    assert!(other_run.join().unwrap());
    let old = set_custom_hostname_resolver(Some(Rc::new(Table::default()))).unwrap();
    assert!(std::ptr::addr_eq(Rc::as_ptr(&old), Rc::as_ptr(&table)));
    assert!(set_custom_hostname_resolver(None).is_some());
    assert!(set_custom_hostname_resolver(None).is_none());
    assert_eq!(table.asked.borrow().len(), 7);
}

// trio: _tests/test_socket.py::test_getaddrinfo
#[trio::test]
async fn numeric_addresses_are_nobodys_business() {
    let table = Rc::new(Table::default());
    set_custom_hostname_resolver(Some(table.clone()));
    assert_eq!(assert_checkpoints(getaddrinfo("127.0.0.1", 12)).await.unwrap(), ["127.0.0.1:12".parse().unwrap()]);
    assert_eq!(assert_checkpoints(getaddrinfo("::1", 12)).await.unwrap(), ["[::1]:12".parse().unwrap()]);
    assert_eq!(*table.asked.borrow(), [""; 0]);
    // Nor are names that are none.
    assert_eq!(getaddrinfo("\u{378}", 1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(*table.asked.borrow(), [""; 0]);
    set_custom_hostname_resolver(None);
    let found = soon(getaddrinfo("localhost", 12)).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == 12));
    // `.invalid` is nobody's, by RFC 6761.
    assert!(soon(getaddrinfo("name.invalid", 12)).await.is_err());
}

#[trio::test]
async fn addresses_have_names() {
    let address: SocketAddr = "127.0.0.1:12".parse().unwrap();
    let numbers = NameInfo { numeric_host: true, numeric_service: true, ..NameInfo::default() };
    let names = assert_checkpoints(getnameinfo(address, numbers)).await.unwrap();
    assert_eq!((&*names.0, &*names.1), ("127.0.0.1", "12"));
    // By the system, which has to agree.
    let numeric = NameInfo { numeric_host: true, ..NameInfo::default() };
    assert_eq!(soon(getnameinfo("127.0.0.1:1".parse().unwrap(), numeric)).await.unwrap().0, "127.0.0.1");
    assert_eq!(soon(getnameinfo("[::1]:1".parse().unwrap(), numeric)).await.unwrap().0, "::1");
    // An address for documentation has no name.
    let required = NameInfo { name_required: true, numeric_service: true, ..NameInfo::default() };
    assert!(soon(getnameinfo("192.0.2.1:1".parse().unwrap(), required)).await.is_err());
}

// trio: _tests/test_socket.py::test_resolve_address_exception_in_connect_closes_socket
#[trio::test]
async fn a_cancelled_lookup_leaves_no_socket() {
    let table = Rc::new(Table { hangs: true, ..Table::default() });
    set_custom_hostname_resolver(Some(table.clone()));
    let connected = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                wait_all_tasks_blocked(Duration::ZERO).await;
                scope.cancel();
            });
            TcpStream::connect(("here", 1)).await
        }
    };
    assert!(connected.is_none());
    assert_eq!(*table.asked.borrow(), ["here:1"]);
    assert_eq!(trio::lowlevel::current_statistics().io_registrations, 0);
}

// trio: _tests/test_socket.py::test_SocketType_resolve
#[trio::test]
async fn addresses_are_written_in_many_ways() {
    set_custom_hostname_resolver(Some(Rc::new(Table::default())));
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let ip = async |socket: io::Result<UdpSocket>| socket.unwrap().local_addr().unwrap().ip();
    assert_eq!(ip(UdpSocket::bind("here:0").await).await, local.ip());
    assert_eq!(ip(UdpSocket::bind(("here", 0)).await).await, local.ip());
    assert_eq!(ip(UdpSocket::bind(("127.0.0.1".to_owned(), 0)).await).await, local.ip());
    assert_eq!(ip(UdpSocket::bind(&[local][..]).await).await, local.ip());
    assert_eq!(ip(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await).await, Ipv4Addr::UNSPECIFIED);
    if has_v6() {
        assert_eq!(ip(UdpSocket::bind("[::1]:0").await).await, Ipv6Addr::LOCALHOST);
        assert_eq!(ip(UdpSocket::bind(("::1", 0)).await).await, Ipv6Addr::LOCALHOST);
    }
    for wrong in ["here", "here:http", "here:70000", "127.0.0.1"] {
        assert_eq!(UdpSocket::bind(wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
    }
}

// trio: _tests/test_socket.py::test_address_in_socket_error
#[trio::test]
async fn an_error_says_whom_it_was_about() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = soon(open_tcp_stream("127.0.0.1", free.port())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}

// trio: _tests/test_highlevel_open_tcp_stream.py::test_local_address_real
#[trio::test]
async fn connections_come_from_the_address_that_was_said() {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let from = |ip: IpAddr| open_tcp_stream("127.0.0.1", port).local_address(ip);
    let second = IpAddr::from([127, 0, 0, 2]);
    let client = soon(from(second)).await.unwrap();
    assert_eq!(client.local_addr().unwrap().ip(), second);
    assert_eq!(soon(listener.accept()).await.unwrap().1, client.local_addr().unwrap());
    soon(from(Ipv4Addr::UNSPECIFIED.into())).await.unwrap();
    let error = soon(from(Ipv6Addr::UNSPECIFIED.into())).await.unwrap_err();
    assert!(error.to_string().starts_with("all attempts to connect to 127.0.0.1:"), "{error}");
    let group = error.source().unwrap().downcast_ref::<ErrorGroup>().unwrap();
    assert!(group.first().to_string().contains("from ::"), "{}", group.first());
    // A port that was chosen early could not be another connection's.
    let address = SocketAddr::new(second, 0);
    let options = SocketOptions::new().local_address(address);
    soon(options.connect(("127.0.0.1", port))).await.unwrap();
    soon(open_tcp_stream("127.0.0.1", port).options(options).happy_eyeballs_delay(None)).await.unwrap();
}
