//! From names to addresses, and back.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;

use super::address::sealed::Target;
use super::foreign;
use super::seam::NETWORK;
use crate::kernel::checkpoint::free_checkpoint;
use crate::to_thread;
use crate::variables::RunVar;

/// A lookup of a [`HostnameResolver`].
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// Something that knows the addresses of names, in place of the system: Trio's `HostnameResolver`.
///
/// It is asked only for what needs to be asked: numeric addresses are not looked up. Names are encoded already (IDNA).
///
/// # Examples
///
/// ```
/// use std::{net::SocketAddr, rc::Rc};
/// use trio::net::{HostnameResolver, Lookup, getaddrinfo, set_custom_hostname_resolver};
/// struct Table;
/// impl HostnameResolver for Table {
///     fn getaddrinfo<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a, Vec<SocketAddr>> {
///         Box::pin(async move {
///             match host {
///                 "db" => Ok(vec![SocketAddr::from(([10, 0, 0, 7], port))]),
///                 _ => Err(std::io::ErrorKind::NotFound.into()),
///             }
///         })
///     }
/// }
/// trio::run(async {
///     let old = set_custom_hostname_resolver(Some(Rc::new(Table)));
///     assert!(old.is_none());
///     assert_eq!(getaddrinfo("db", 5432).await?, ["10.0.0.7:5432".parse().unwrap()]);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub trait HostnameResolver {
    /// The addresses that a name means, with this port, in the order in which to try them.
    fn getaddrinfo<'a>(&'a self, host: &'a str, port: u16) -> Lookup<'a, Vec<SocketAddr>>;

    /// The names of an address' host and of its port. Unless implemented, those that there are without this resolver: the
    /// system's, or a virtual network's.
    fn getnameinfo(&self, address: SocketAddr, options: NameInfo) -> Lookup<'_, (String, String)> {
        Box::pin(own_names(address, options))
    }
}

/// What the run asks instead of the system.
static RESOLVER: RunVar<Option<Rc<dyn HostnameResolver>>> = RunVar::with_default("hostname resolver", || None);

/// Has all of this run ask another resolver, or the system again (`None`); gives the one it replaces: Trio's
/// `set_custom_hostname_resolver`.
///
/// It comes before a virtual network's own names. Not a checkpoint.
///
/// # Panics
///
/// Outside a run.
///
/// # Examples
///
/// See [`HostnameResolver`].
pub fn set_custom_hostname_resolver(resolver: Option<Rc<dyn HostnameResolver>>) -> Option<Rc<dyn HostnameResolver>> {
    let old = RESOLVER.get();
    RESOLVER.set(resolver);
    old
}

/// The addresses that a name means, with this port, in the order in which to try them: Trio's `socket.getaddrinfo`.
///
/// Numeric addresses need no lookup. Names go to the [resolver](set_custom_hostname_resolver), by default to the system's, which
/// blocks and so gets a thread. What connects or binds takes names itself; this is for those who want to see the
/// addresses.
///
/// A checkpoint. Cancelled or dropped, it leaves that thread to itself.
///
/// # Errors
///
/// The resolver's. [`InvalidInput`](io::ErrorKind::InvalidInput) if the name is not ASCII and can't be made so: with the
/// feature `idna` by the rules of IDNA 2008 (UTS 46), without it not at all.
///
/// # Examples
///
/// ```
/// # trio::run(async {
/// let addresses = trio::net::getaddrinfo("::1", 80).await.unwrap();
/// assert_eq!(addresses, ["[::1]:80".parse().unwrap()]);
/// # });
/// ```
pub async fn getaddrinfo(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    resolve(&Target::named(host, port)).await
}

/// How [`getnameinfo`] is to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameInfo {
    /// The host as a number (`NI_NUMERICHOST`).
    pub numeric_host: bool,
    /// The port as a number (`NI_NUMERICSERV`).
    pub numeric_service: bool,
    /// A host that has no name is an error, and not given as a number (`NI_NAMEREQD`).
    pub name_required: bool,
    /// The service is one of UDP, which matters for very few (`NI_DGRAM`).
    pub datagram: bool,
}

/// The names of an address' host and of its port: Trio's `socket.getnameinfo`.
///
/// Goes to the [resolver](set_custom_hostname_resolver) if there is one, whatever is asked. Otherwise to the system's, on a
/// thread; if both are to be numbers, and in a virtual network, where addresses have no names, to nobody. An address of IPv6
/// that is one of some zone only (of a link, typically) is given with that: `fe80::1%eth0`.
///
/// A checkpoint. Cancelled or dropped, it leaves that thread to itself.
///
/// # Errors
///
/// The resolver's.
///
/// # Examples
///
/// ```
/// use trio::net::{NameInfo, getnameinfo};
/// # trio::run(async {
/// let numbers = NameInfo { numeric_host: true, numeric_service: true, ..NameInfo::default() };
/// let (host, service) = getnameinfo("127.0.0.1:80".parse().unwrap(), numbers).await.unwrap();
/// assert_eq!((&*host, &*service), ("127.0.0.1", "80"));
/// # });
/// ```
pub async fn getnameinfo(address: SocketAddr, options: NameInfo) -> io::Result<(String, String)> {
    if let Some(resolver) = RESOLVER.get() {
        free_checkpoint().await;
        return resolver.getnameinfo(address, options).await;
    }
    own_names(address, options).await
}

/// The names that there are without a resolver of the run's own.
async fn own_names(address: SocketAddr, options: NameInfo) -> io::Result<(String, String)> {
    let in_numbers = options.numeric_host && options.numeric_service;
    // The hosts of another network are nothing that the system could know, nor are its zones.
    let is_elsewhere = NETWORK.try_get().is_some();
    if in_numbers || is_elsewhere {
        free_checkpoint().await;
        if options.name_required {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no name", address.ip())));
        }
        let host = match address {
            // For its name, which is known without a lookup.
            SocketAddr::V6(v6) if v6.scope_id() != 0 && !is_elsewhere => {
                return foreign::getnameinfo(address, libc::NI_NUMERICHOST | libc::NI_NUMERICSERV);
            }
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        return Ok((host, address.port().to_string()));
    }
    ask_the_system(address, options).await
}

async fn ask_the_system(address: SocketAddr, options: NameInfo) -> io::Result<(String, String)> {
    let flag = |on: bool, flag: i32| if on { flag } else { 0 };
    let flags = flag(options.numeric_host, libc::NI_NUMERICHOST)
        | flag(options.numeric_service, libc::NI_NUMERICSERV)
        | flag(options.name_required, libc::NI_NAMEREQD)
        | flag(options.datagram, libc::NI_DGRAM);
    call().try_run_sync(move || foreign::getnameinfo(address, flags)).await?
}

fn call() -> to_thread::Call {
    to_thread::Call::new().abandonable().name("resolver")
}

/// The addresses of a target, at least one, in the order in which to try them.
///
/// Names go to the system's resolver, which blocks and so gets a thread. A checkpoint; cancelling it leaves that thread
/// to itself.
pub(crate) async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = match target {
        Target::Addresses(addresses) => {
            free_checkpoint().await;
            return some(addresses.clone(), target);
        }
        Target::Name(host, Some(port)) => (encoded(host)?, *port),
        Target::Name(text, None) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no port in the address '{text}'"),
            ));
        }
    };
    let found = if let Some(resolver) = RESOLVER.get() {
        free_checkpoint().await;
        resolver.getaddrinfo(&host, port).await
    } else if let Some(network) = NETWORK.try_get() {
        free_checkpoint().await;
        network.resolve(&host).map(|ips| ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    } else {
        let host = host.into_owned();
        call().try_run_sync(move || (host, port).to_socket_addrs().map(Vec::from_iter)).await?
    };
    let addresses = found.map_err(|error| not_found(target, &error))?;
    some(addresses, target)
}

/// A name as it is asked for: what is not ASCII is encoded.
fn encoded(host: &str) -> io::Result<Cow<'_, str>> {
    if host.is_ascii() {
        return Ok(Cow::Borrowed(host));
    }
    let wrong =
        |why: &dyn fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, format!("the name '{host}' {why}"));
    #[cfg(feature = "idna")]
    return idna::domain_to_ascii_cow(host.as_bytes(), idna::AsciiDenyList::EMPTY)
        .map_err(|_| wrong(&"is none that IDNA allows"));
    #[cfg(not(feature = "idna"))]
    return Err(wrong(&"is not ASCII, for which trio needs its feature `idna`"));
}

fn not_found(target: &Target, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("no address was found for {target}: {error}"))
}

fn some(addresses: Vec<SocketAddr>, target: &Target) -> io::Result<Vec<SocketAddr>> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no address for '{target}'")));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::super::address::sealed::Sealed;
    use super::*;

    #[test]
    fn names_in_ascii_are_taken_as_they_are() {
        for name in ["localhost", "xn--fa-hia.de", "_service._tcp.example.com", "fe80::1%nowhere"] {
            assert!(matches!(encoded(name), Ok(Cow::Borrowed(same)) if same == name));
        }
    }

    // trio: _tests/test_socket.py::test_idna
    #[cfg(feature = "idna")]
    #[test]
    fn other_names_are_encoded_by_idna_2008() {
        // What IDNA 2003 would have made "fass.de".
        assert_eq!(encoded("faß.de").unwrap(), "xn--fa-hia.de");
        assert_eq!(encoded("Bücher.example").unwrap(), "xn--bcher-kva.example");
        assert_eq!(encoded("\u{378}.example").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    /// A resolver that knows no names of addresses.
    struct OneWay;

    impl HostnameResolver for OneWay {
        fn getaddrinfo<'a>(&'a self, host: &'a str, _: u16) -> Lookup<'a, Vec<SocketAddr>> {
            panic!("it is asked for '{host}', which is no name")
        }
    }

    #[test]
    fn a_resolver_that_knows_no_names_of_addresses_does_not_lead_out_of_a_virtual_network() {
        crate::run(async {
            set_custom_hostname_resolver(Some(Rc::new(OneWay)));
            let host = crate::testing::net::Network::new().host("host");
            // The system would know the name of this service.
            let names = host.run(getnameinfo("127.0.0.1:80".parse().unwrap(), NameInfo::default())).await.unwrap();
            assert_eq!(names, ("127.0.0.1".to_owned(), "80".to_owned()));
            let zoned = host.run(getnameinfo("[fe80::1%1]:80".parse().unwrap(), NameInfo::default())).await.unwrap();
            assert_eq!(zoned, ("fe80::1%1".to_owned(), "80".to_owned()));
            let options = NameInfo { numeric_host: true, numeric_service: true, ..NameInfo::default() };
            let names = getnameinfo("127.0.0.1:80".parse().unwrap(), options).await.unwrap();
            assert_eq!(names, ("127.0.0.1".to_owned(), "80".to_owned()));
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn zones_belong_to_addresses() {
        crate::run(async {
            let options = NameInfo { numeric_host: true, numeric_service: true, ..NameInfo::default() };
            let by_system = NameInfo { numeric_host: true, ..NameInfo::default() };
            for (text, written) in [("[fe80::1%1]:9999", "fe80::1%lo"), ("[2001:db8::1%1]:9999", "2001:db8::1%1")] {
                let address: SocketAddr = text.parse().unwrap();
                assert_eq!(getnameinfo(address, options).await.unwrap(), (written.to_owned(), "9999".to_owned()));
                assert_eq!(getnameinfo(address, by_system).await.unwrap().0, written);
            }
            // And back, without asking anybody.
            set_custom_hostname_resolver(Some(Rc::new(OneWay)));
            let zoned: Vec<SocketAddr> = vec!["[fe80::1%1]:80".parse().unwrap()];
            assert_eq!(getaddrinfo("fe80::1%1", 80).await.unwrap(), zoned);
            assert_eq!(getaddrinfo("fe80::1%lo", 80).await.unwrap(), zoned);
            assert_eq!(resolve(&"[fe80::1%lo]:80".target()).await.unwrap(), zoned);
        });
    }

    #[test]
    fn addresses_of_a_virtual_network_have_no_names() {
        crate::run(async {
            let host = crate::testing::net::Network::new().host("host");
            let address = "127.0.0.1:53".parse().unwrap();
            let names = host.run(getnameinfo(address, NameInfo::default())).await.unwrap();
            assert_eq!(names, ("127.0.0.1".to_owned(), "53".to_owned()));
            let required = NameInfo { name_required: true, ..NameInfo::default() };
            let error = host.run(getnameinfo(address, required)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }

    #[cfg(not(feature = "idna"))]
    #[test]
    fn other_names_need_the_feature() {
        let error = encoded("faß.de").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("feature `idna`"), "{error}");
    }
}
