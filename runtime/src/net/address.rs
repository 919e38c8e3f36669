//! What `connect` and `bind` take.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use sealed::{Sealed, Target};

/// Says which addresses to connect or listen to: as [`std::net::ToSocketAddrs`], but a name is looked up without
/// blocking the run.
///
/// Implemented for socket addresses and slices of them, for pairs of an IP address or a host name and a port, and
/// for strings such as `"127.0.0.1:80"`, `"[::1]:80"`, `"[fe80::1%eth0]:80"` and `"localhost:80"`. Numeric addresses need
/// no lookup.
///
/// It can't be implemented outside of trio.
///
/// # Examples
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use trio::net::TcpListener;
/// trio::run(async {
///     TcpListener::bind("127.0.0.1:0").await?;
///     TcpListener::bind(("localhost", 0)).await?;
///     TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
///     TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub trait ToSocketAddrs: Sealed {}

impl<T: Sealed + ?Sized> ToSocketAddrs for T {}

pub(crate) mod sealed {
    use std::fmt;
    use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

    use super::super::foreign::interface;

    /// Where to go.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Target {
        /// To one of these.
        Addresses(Vec<SocketAddr>),
        /// To whatever these mean, if the port is one.
        Name(String, Option<u16>),
    }

    impl Target {
        /// A name, or an address written as one.
        pub(crate) fn named(host: &str, port: u16) -> Self {
            match host.parse::<IpAddr>() {
                Ok(address) => Self::Addresses(vec![SocketAddr::new(address, port)]),
                Err(_) => match zoned(host, port) {
                    Some(address) => Self::Addresses(vec![address.into()]),
                    None => Self::Name(host.to_owned(), Some(port)),
                },
            }
        }
    }

    /// An address of IPv6 with its zone: the number of an interface, or its name (RFC 4007, section 11).
    fn zoned(text: &str, port: u16) -> Option<SocketAddrV6> {
        let (address, zone) = text.split_once('%')?;
        let address = address.parse::<Ipv6Addr>().ok()?;
        let zone = zone.parse().ok().or_else(|| interface(zone))?;
        Some(SocketAddrV6::new(address, port, 0, zone))
    }

    impl fmt::Display for Target {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Addresses(addresses) => {
                    for (number, address) in addresses.iter().enumerate() {
                        let separator = if number == 0 { "" } else { ", " };
                        write!(f, "{separator}{address}")?;
                    }
                    Ok(())
                }
                // As in a URL, so that the colons of an address with a zone are told from the port's.
                Self::Name(host, Some(port)) if host.contains(':') => write!(f, "[{host}]:{port}"),
                Self::Name(host, Some(port)) => write!(f, "{host}:{port}"),
                Self::Name(text, None) => f.write_str(text),
            }
        }
    }

    /// The hidden half of [`ToSocketAddrs`](super::ToSocketAddrs).
    pub trait Sealed {
        fn target(&self) -> Target;

        /// The address, if it is one already.
        fn address(&self) -> Option<SocketAddr> {
            None
        }
    }
}

impl Sealed for SocketAddr {
    fn target(&self) -> Target {
        Target::Addresses(vec![*self])
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(*self)
    }
}

impl Sealed for SocketAddrV4 {
    fn target(&self) -> Target {
        SocketAddr::V4(*self).target()
    }
}

impl Sealed for SocketAddrV6 {
    fn target(&self) -> Target {
        SocketAddr::V6(*self).target()
    }
}

impl Sealed for (IpAddr, u16) {
    fn target(&self) -> Target {
        SocketAddr::from(*self).target()
    }
}

impl Sealed for (Ipv4Addr, u16) {
    fn target(&self) -> Target {
        SocketAddr::from(*self).target()
    }
}

impl Sealed for (Ipv6Addr, u16) {
    fn target(&self) -> Target {
        SocketAddr::from(*self).target()
    }
}

impl Sealed for (&str, u16) {
    fn target(&self) -> Target {
        Target::named(self.0, self.1)
    }
}

impl Sealed for (String, u16) {
    fn target(&self) -> Target {
        Target::named(&self.0, self.1)
    }
}

impl Sealed for str {
    fn target(&self) -> Target {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.target();
        }
        let parts = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                // With a zone that has a name.
                Some(zoned) if zoned.contains(':') => Target::named(zoned, port),
                _ => Target::Name(host.to_owned(), Some(port)),
            },
            None => Target::Name(self.to_owned(), None),
        }
    }
}

impl Sealed for String {
    fn target(&self) -> Target {
        self.as_str().target()
    }
}

impl Sealed for [SocketAddr] {
    fn target(&self) -> Target {
        Target::Addresses(self.to_vec())
    }
}

impl<T: Sealed + ?Sized> Sealed for &T {
    fn target(&self) -> Target {
        (**self).target()
    }

    fn address(&self) -> Option<SocketAddr> {
        (**self).address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_addresses_are_not_names() {
        let one = |text: &str| Target::Addresses(vec![text.parse().unwrap()]);
        assert_eq!("127.0.0.1:80".target(), one("127.0.0.1:80"));
        assert_eq!("[::1]:80".target(), one("[::1]:80"));
        assert_eq!(("::1", 80).target(), one("[::1]:80"));
        assert_eq!((Ipv4Addr::LOCALHOST, 80).target(), one("127.0.0.1:80"));
        assert_eq!(("127.0.0.1".to_owned(), 80).target(), one("127.0.0.1:80"));
    }

    #[test]
    fn names_are() {
        let name = |host: &str, port| Target::Name(host.to_owned(), port);
        assert_eq!("localhost:80".target(), name("localhost", Some(80)));
        assert_eq!(("localhost", 80).target(), name("localhost", Some(80)));
        assert_eq!("localhost".target(), name("localhost", None));
        assert_eq!("localhost:http".target(), name("localhost:http", None));
        assert_eq!("localhost:65536".target(), name("localhost:65536", None));
    }

    // trio: _tests/test_highlevel_open_tcp_stream.py::test_format_host_port
    #[test]
    fn targets_are_written_as_people_write_them() {
        assert_eq!(Target::named("127.0.0.1", 80).to_string(), "127.0.0.1:80");
        assert_eq!(Target::named("example.com", 443).to_string(), "example.com:443");
        assert_eq!(Target::named("::1", 80).to_string(), "[::1]:80");
        assert_eq!(Target::named("fe80::1%nowhere", 80).to_string(), "[fe80::1%nowhere]:80");
    }
}
