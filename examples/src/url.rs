//! `http://` addresses.

use std::error;
use std::fmt;
use std::str::FromStr;

/// An `http://` address, taken apart.
///
/// ```
/// use trio_examples::url::Url;
///
/// let url: Url = "http://example.com:8080/a?b#c".parse()?;
/// assert_eq!((url.host(), url.port(), url.path()), ("example.com", 8080, "/a?b"));
/// # Ok::<(), trio_examples::url::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it was written: this is what people recognise in a table.
    text: String,

    /// A name or an address; an IPv6 address without its brackets.
    host: String,

    port: u16,

    /// Path and query. Invariant: begins with `/` and holds neither blanks nor control characters,
    /// so that it can't end the request line early.
    path: String,
}

impl Url {
    /// The name or address of the server, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to: 80 unless the address names another.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to ask the server for: path and query, `/` at least.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What a `Host` header says: brackets around IPv6, and the port only where it is not the usual
    /// one.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // The address goes into a request line, where a blank would end it: nothing like that may
        // be smuggled in.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return Err(UrlError("it holds a blank or a character that must be percent-encoded"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError("it must begin with http://"));
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err(UrlError("https needs TLS, which this example doesn't speak; use http://"));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError("only http:// is understood"));
        }

        // What follows `#` is for a browser, never for the server.
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError("a user name in the address is not supported"));
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(UrlError("it names no host"));
        }
        let port = match port {
            // `http://host:/` is legal and means the usual port.
            None | Some("") => 80,
            Some(digits) => digits.parse().map_err(|_| UrlError("its port is not a number from 0 to 65535"))?,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port, path: format!("{slash}{path}") })
    }
}

/// Splits `host:port`, where the host may be an IPv6 address in brackets, which itself holds
/// colons.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    let Some(rest) = authority.strip_prefix('[') else {
        return Ok(match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(UrlError("an IPv6 address needs brackets, as in http://[::1]/"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    };
    let Some((host, after)) = rest.split_once(']') else {
        return Err(UrlError("the bracket of its IPv6 address is never closed"));
    };
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err(UrlError("something stands between its IPv6 address and its path")),
    }
}

/// A text is not an address that this client can fetch; the message says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError(&'static str);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<(String, u16, String, String), String> {
        let url: Url = text.parse().map_err(|error: UrlError| error.to_string())?;
        assert_eq!(url.to_string(), text);
        Ok((url.host().to_owned(), url.port(), url.path().to_owned(), url.authority()))
    }

    #[test]
    fn an_address_is_taken_apart() {
        let of = |host: &str, port, path: &str, authority: &str| {
            Ok((host.to_owned(), port, path.to_owned(), authority.to_owned()))
        };
        assert_eq!(url("http://a.b"), of("a.b", 80, "/", "a.b"));
        assert_eq!(url("HTTP://a.b:80/"), of("a.b", 80, "/", "a.b"));
        assert_eq!(url("http://a.b:/x"), of("a.b", 80, "/x", "a.b"));
        assert_eq!(url("http://a.b:8080/x/y?z=1#f"), of("a.b", 8080, "/x/y?z=1", "a.b:8080"));
        assert_eq!(url("http://a.b?z"), of("a.b", 80, "/?z", "a.b"));
        assert_eq!(url("http://a.b#z"), of("a.b", 80, "/", "a.b"));
        assert_eq!(url("http://[::1]:81/"), of("::1", 81, "/", "[::1]:81"));
        assert_eq!(url("http://[::1]"), of("::1", 80, "/", "[::1]"));
    }

    #[test]
    fn what_is_not_an_address_says_why() {
        for (text, reason) in [
            ("example.com", "must begin with http://"),
            ("https://a.b/", "needs TLS"),
            ("ftp://a.b/", "only http://"),
            ("http:///x", "names no host"),
            ("http://:80/", "names no host"),
            ("http://u@a.b/", "user name"),
            ("http://a.b:70000/", "port"),
            ("http://a.b:x/", "port"),
            ("http://::1/", "brackets"),
            ("http://[::1", "never closed"),
            ("http://[::1]x/", "between"),
            ("http://a.b/x y", "percent-encoded"),
            ("http://a.b/x\r\nHost: c", "percent-encoded"),
        ] {
            let error = url(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
