//! Listening at all addresses of a name: `open_tcp_listeners`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::address::sealed::Target;
use super::listener::{BACKLOG, TcpListener};
use super::resolve::resolve;

/// Listens at every address that a host has: Trio's `open_tcp_listeners`.
///
/// `host` is a name or an address of this machine: `Some("localhost")`, say, to be reached from this machine only, or
/// `None` for all its addresses, with a listener for IPv4 (`0.0.0.0`) and one for IPv6 (`::`, which does not take IPv4). Port
/// 0 lets the system choose one, and the same for all listeners if that is possible.
///
/// The listeners are as those of [`TcpListener::bind`]; see there about addresses that were used before. A kind of
/// address that the system does not support is left out, unless that leaves none.
///
/// A checkpoint. Cancelled or dropped, it leaves nothing behind.
///
/// # Errors
///
/// The resolver's error when the name is not known; the system's for the first address that it refuses, such as
/// [`AddrInUse`](io::ErrorKind::AddrInUse): then there are no listeners at the others either. If it supports none of the
/// addresses, an error whose kind is [`Unsupported`](io::ErrorKind::Unsupported).
///
/// # Examples
///
/// ```
/// use trio::open_tcp_stream;
/// trio::run(async {
///     let mut listeners = trio::open_tcp_listeners(0, Some("127.0.0.1")).backlog(10).await?;
///     let listener = &mut listeners[0];
///     let mut client = open_tcp_stream("127.0.0.1", listener.local_addr()?.port()).await?;
///     let (mut server, _) = listener.accept().await?;
///     client.send_all(b"x").await?;
///     assert_eq!(server.receive_some(&mut [0; 8]).await?, 1);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn open_tcp_listeners(port: u16, host: Option<&str>) -> OpenTcpListeners {
    OpenTcpListeners { port, host: host.map(str::to_owned), backlog: BACKLOG, opening: None }
}

/// What [`open_tcp_listeners`] gives: a future, and what can be said about it before it is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct OpenTcpListeners {
    port: u16,
    host: Option<String>,
    backlog: u32,
    opening: Option<Opening>,
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Vec<TcpListener>>>>>;

impl OpenTcpListeners {
    /// How many connections may wait at each listener to be accepted. As many as the system allows unless said; 65535 at
    /// most.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog.min(BACKLOG);
        self
    }
}

impl Future for OpenTcpListeners {
    type Output = io::Result<Vec<TcpListener>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { port, host, backlog, opening } = &mut *self;
        let opening = opening.get_or_insert_with(|| Box::pin(open(*port, host.take(), *backlog)));
        opening.as_mut().poll(context)
    }
}

impl fmt::Debug for OpenTcpListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTcpListeners")
            .field("port", &self.port)
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}

async fn open(port: u16, host: Option<String>, backlog: u32) -> io::Result<Vec<TcpListener>> {
    let target = match host {
        Some(host) => Target::named(&host, port),
        None => Target::Addresses(vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]),
    };
    let addresses = resolve(&target).await?;
    open_all(&addresses, |address| {
        let listener = TcpListener::listen(address, backlog, true)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    })
}

/// Listens at all addresses by means of `listen`, which gives a listener and its port.
fn open_all<L>(
    addresses: &[SocketAddr],
    mut listen: impl FnMut(SocketAddr) -> io::Result<(L, u16)>,
) -> io::Result<Vec<L>> {
    let (mut listeners, mut unsupported) = (Vec::new(), Vec::new());
    let mut chosen = None;
    for &address in addresses {
        let mut opened = match (chosen, address.port()) {
            (Some(port), 0) => listen(SocketAddr::new(address.ip(), port)),
            _ => listen(address),
        };
        // Somebody has the port here that was free elsewhere.
        let is_taken = opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        if is_taken && chosen.is_some() && address.port() == 0 {
            opened = listen(address);
        }
        match opened {
            Ok((listener, port)) => {
                chosen.get_or_insert(port);
                listeners.push(listener);
            }
            Err(error) if is_unsupported(address, &error) => unsupported.push((address, error)),
            // The listeners so far are closed.
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() && !unsupported.is_empty() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, NoneSupported { failures: unsupported }));
    }
    Ok(listeners)
}

/// Whether the system has no such addresses at all.
fn is_unsupported(address: SocketAddr, error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => true,
        // What a wildcard gets where a family has been switched off.
        Some(libc::EADDRNOTAVAIL) => address.ip().is_unspecified(),
        _ => false,
    }
}

/// The system supports none of the addresses.
#[derive(Debug)]
struct NoneSupported {
    failures: Vec<(SocketAddr, io::Error)>,
}

impl fmt::Display for NoneSupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this system doesn't support any of the kinds of socket that the address could use")?;
        self.failures.iter().try_for_each(|(address, error)| write!(f, "; {address}: {error}"))
    }
}

impl Error for NoneSupported {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.first().map(|(_, error)| error as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A listener that is counted while it is open.
    struct Counted<'a>(&'a Cell<usize>, SocketAddr);

    impl<'a> Counted<'a> {
        fn new(open: &'a Cell<usize>, address: SocketAddr) -> Self {
            open.set(open.get() + 1);
            Self(open, address)
        }
    }

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    // trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_multiple_host_cleanup_on_error
    #[test]
    fn one_failure_closes_all() {
        let (open, most) = (Cell::new(0), Cell::new(0));
        let result = open_all(&addresses(&["1.1.1.1:80", "2.2.2.2:80", "3.3.3.3:80"]), |address| {
            if address.ip() == Ipv4Addr::new(3, 3, 3, 3) {
                most.set(open.get());
                return Err(io::Error::from_raw_os_error(libc::EACCES));
            }
            Ok((Counted::new(&open, address), 80))
        });
        assert_eq!(result.err().unwrap().raw_os_error(), Some(libc::EACCES));
        assert_eq!((most.get(), open.get()), (2, 0));
    }

    // trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_some_address_families_unavailable
    #[test]
    fn a_family_that_does_not_exist_is_left_out() {
        let open = Cell::new(0);
        for tried in [&["0.0.0.0:80"][..], &["[::]:80"], &["0.0.0.0:80", "[::]:80"]] {
            for (no_v4, no_v6) in [(false, false), (true, false), (false, true), (true, true)] {
                let tried = addresses(tried);
                let fails = |address: &SocketAddr| if address.is_ipv4() { no_v4 } else { no_v6 };
                let result = open_all(&tried, |address| match fails(&address) {
                    true => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
                    false => Ok((Counted::new(&open, address), 80)),
                });
                let works: Vec<_> = tried.iter().copied().filter(|address| !fails(address)).collect();
                match result {
                    Ok(listeners) => {
                        assert_eq!(listeners.iter().map(|listener| listener.1).collect::<Vec<_>>(), works);
                        assert!(!works.is_empty());
                    }
                    Err(error) => {
                        assert!(works.is_empty());
                        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                        let text = error.to_string();
                        assert!(text.starts_with("this system doesn't support"), "{text}");
                        assert!(tried.iter().all(|address| text.contains(&address.to_string())), "{text}");
                        let inner = error.get_ref().and_then(|inner| inner.source()).unwrap();
                        let code = inner.downcast_ref::<io::Error>().unwrap().raw_os_error();
                        assert_eq!(code, Some(libc::EAFNOSUPPORT));
                    }
                }
            }
        }
    }

    // trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_socket_fails_not_afnosupport
    #[test]
    fn another_failure_is_the_result_itself() {
        let result = open_all::<()>(&addresses(&["1.2.3.4:80", "[::1]:80"]), |address| {
            Err(io::Error::from_raw_os_error(if address.is_ipv4() { libc::EAFNOSUPPORT } else { libc::EINVAL }))
        });
        let error = result.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(error.source().is_none());
    }

    #[test]
    fn a_port_that_was_chosen_is_everybodys_if_it_is_free() {
        let wanted = addresses(&["1.1.1.1:0", "2.2.2.2:0", "3.3.3.3:0"]);
        let listeners = open_all(&wanted, |address| match (address.port(), address.ip().to_string().as_str()) {
            (0, "1.1.1.1") => Ok(((), 5000)),
            (5000, "2.2.2.2") => Err(io::ErrorKind::AddrInUse.into()),
            (0, "2.2.2.2") => Ok(((), 6000)),
            (5000, "3.3.3.3") => Ok(((), 5000)),
            other => panic!("{other:?}"),
        });
        assert_eq!(listeners.unwrap().len(), 3);
        let taken = open_all::<()>(&addresses(&["1.1.1.1:80"]), |_| Err(io::ErrorKind::AddrInUse.into()));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    // trio: _tests/test_highlevel_open_tcp_listeners.py::test_open_tcp_listeners_backlog
    #[test]
    fn the_backlog_is_as_large_as_possible_unless_said() {
        assert_eq!(open_tcp_listeners(0, None).backlog, 0xffff);
        for (said, meant) in [(99_999_999, 0xffff), (u32::MAX, 0xffff), (10, 10), (1, 1)] {
            assert_eq!(open_tcp_listeners(0, None).backlog(said).backlog, meant);
        }
    }
}
