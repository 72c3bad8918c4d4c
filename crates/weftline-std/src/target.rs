use std::{fmt, str::FromStr};

use weftline::{
    h3::{Fields, RequestHead},
    wt::SessionRequest,
};

/// An `https` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no URL to connect to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not begin with `https://`.
    #[error("the URL must begin with https://")]
    Scheme,
    /// It names no host, or not in a legal way; non-ASCII names must be in their `xn--` form.
    #[error("the URL has no legal host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the URL's port is not legal")]
    Port,
    /// Credentials in URLs are not supported.
    #[error("the URL must not contain credentials")]
    Credentials,
    /// The path holds spaces, control or non-ASCII characters; they must be percent-encoded.
    #[error("the URL's path must be percent-encoded")]
    Path,
}

impl Target {
    /// Takes `https://host[:port][/path][?query][#fragment]` apart (RFC 3986). The fragment is
    /// dropped; the port is 443 when not given.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let rest = match url.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => return Err(TargetError::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(TargetError::Credentials);
        }
        let (host, port) = split_authority(authority)?;
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TargetError::Path);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: authority.to_ascii_lowercase(),
            host: host.to_ascii_lowercase(),
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// The host, an IPv6 address without its brackets: what to resolve, and what the certificate
    /// must name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they stood in the URL: the `:authority` of requests.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query: the `:path` of requests. At least `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The request for a WebTransport session at this URL.
    pub fn session_request(&self) -> SessionRequest {
        SessionRequest::new(self.authority.clone(), self.path.clone())
    }

    /// The head of a plain GET of this URL.
    pub fn get_request(&self) -> RequestHead {
        RequestHead {
            method: "GET".into(),
            scheme: Some("https".into()),
            authority: Some(self.authority.clone()),
            path: Some(self.path.clone()),
            protocol: None,
            fields: Fields::new(),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::parse(url)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.authority, self.path)
    }
}

fn split_authority(authority: &str) -> Result<(&str, u16), TargetError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(TargetError::Host)?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| TargetError::Host)?;
            (host, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if host.is_empty() || !host.bytes().all(legal) {
                return Err(TargetError::Host);
            }
            (host, port)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, DEFAULT_PORT)),
        None => Err(TargetError::Host),
        // An empty port is legal and means the default (RFC 3986, section 3.2.3).
        Some("") => Ok((host, DEFAULT_PORT)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(TargetError::Port),
        },
        Some(_) => Err(TargetError::Port),
    }
}

const SCHEME: &str = "https://";
const DEFAULT_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String) {
        let target = Target::parse(url).unwrap();
        (target.host, target.port, target.authority, target.path)
    }

    #[test]
    fn urls_come_apart() {
        let cases = [
            ("https://a.example", ("a.example", 443, "a.example", "/")),
            (
                "HTTPS://A.Example:4433/x",
                ("a.example", 4433, "a.example:4433", "/x"),
            ),
            ("https://a:/?q=/#frag", ("a", 443, "a:", "/?q=/")),
            ("https://[::1]:7/a?b", ("::1", 7, "[::1]:7", "/a?b")),
            ("https://127.0.0.1#x", ("127.0.0.1", 443, "127.0.0.1", "/")),
            (
                "https://[2001:db8::1]",
                ("2001:db8::1", 443, "[2001:db8::1]", "/"),
            ),
        ];
        for (url, (host, port, authority, path)) in cases {
            let expected = (host.into(), port, authority.into(), path.into());
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let cases = [
            ("", TargetError::Scheme),
            ("http://a", TargetError::Scheme),
            ("https:/é/", TargetError::Scheme),
            ("https://", TargetError::Host),
            ("https:///path", TargetError::Host),
            ("https://a b", TargetError::Host),
            ("https://é.example", TargetError::Host),
            ("https://[::1", TargetError::Host),
            ("https://[x]", TargetError::Host),
            ("https://[::1]7", TargetError::Host),
            ("https://a:0", TargetError::Port),
            ("https://a:65536", TargetError::Port),
            ("https://a:+1", TargetError::Port),
            ("https://a:1:2", TargetError::Port),
            ("https://u@a", TargetError::Credentials),
            ("https://a/ b", TargetError::Path),
            ("https://a/\u{7f}", TargetError::Path),
        ];
        for (url, error) in cases {
            assert_eq!(Target::parse(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn it_prints_as_a_url_without_the_fragment() {
        let target: Target = "https://a:1/b?c#d".parse().unwrap();
        assert_eq!(target.to_string(), "https://a:1/b?c");
    }
}
