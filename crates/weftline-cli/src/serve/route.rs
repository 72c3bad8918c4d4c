//! What a path asks for.

use std::fmt::Display;
use std::str::FromStr;

/// A WebTransport endpoint, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Echo,
    ServerStreams { uni: u64, bidi: u64, size: u64 },
    Datagrams { count: u64 },
    Close { code: u32, reason: String },
    Drain,
    Reset { code: u32 },
    Sink,
    Source { bytes: u64 },
    Bench,
    Stats,
    Status,
    Report { of: String },
}

/// Why a path gives no session: the status to answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16);

/// A path taken apart: where to, and the name for `/report`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) route: Route,
    pub(super) name: Option<String>,
}

impl Destination {
    /// Reads a path with its query.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = Query(query);
        let route = match path {
            "/echo" => Route::Echo,
            "/server-streams" => Route::ServerStreams {
                uni: query.number("uni", 0, MAX_STREAMS)?,
                bidi: query.number("bidi", 0, MAX_STREAMS)?,
                size: query.number("size", 0, MAX_STREAM_SIZE)?,
            },
            "/datagrams" => Route::Datagrams {
                count: query.number("n", 10, MAX_DATAGRAMS)?,
            },
            "/close" => Route::Close {
                code: query.number("code", 0, u32::MAX)?,
                reason: query.text("reason").unwrap_or_default(),
            },
            "/drain" => Route::Drain,
            "/reset" => Route::Reset {
                code: query.number("code", 0, u32::MAX)?,
            },
            "/sink" => Route::Sink,
            "/source" => Route::Source {
                bytes: query.number("bytes", 0, MAX_SOURCE)?,
            },
            "/bench" => Route::Bench,
            "/stats" => Route::Stats,
            "/status" => Route::Status,
            "/report" => Route::Report {
                of: query.text("of").ok_or(BAD_REQUEST)?,
            },
            "/reject" => return Err(Refusal(403)),
            _ => return Err(Refusal(404)),
        };
        let name = query.text("id");
        if name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
            return Err(BAD_REQUEST);
        }
        Ok(Self { route, name })
    }
}

/// `a=1&b=2`, as forms encode it.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let pairs = self.0.split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.find(|(name, _)| *name == key)?;
        Some(decode(value))
    }

    fn number<T>(&self, key: &str, otherwise: T, max: T) -> Result<T, Refusal>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.text(key) else {
            return Ok(otherwise);
        };
        match text.parse() {
            Ok(number) if number <= max => Ok(number),
            _ => Err(BAD_REQUEST),
        }
    }
}

/// Undoes percent-encoding. What is no UTF-8 becomes replacement characters, what is no encoding
/// stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match after
                .split_at_checked(2)
                .and_then(|(hex, rest)| Some((unhex(hex)?, rest)))
            {
                Some((byte, after)) => {
                    out.push(byte);
                    rest = after;
                }
                None => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn unhex(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

const BAD_REQUEST: Refusal = Refusal(400);

/// Streams of each kind for `/server-streams`.
const MAX_STREAMS: u64 = 1000;
/// Bytes on each of them.
const MAX_STREAM_SIZE: u64 = 64 << 20;
const MAX_DATAGRAMS: u64 = 10_000;
const MAX_SOURCE: u64 = 1 << 40;
/// Bytes of a name.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Result<Route, Refusal> {
        Destination::parse(path).map(|destination| destination.route)
    }

    #[test]
    fn every_path_with_its_parameters() {
        let streams = Route::ServerStreams {
            uni: 5,
            bidi: 6,
            size: 7,
        };
        let close = Route::Close {
            code: u32::MAX,
            reason: "enough said \u{1F44B}".into(),
        };
        let cases = [
            ("/echo", Route::Echo),
            ("/echo?x=1", Route::Echo),
            ("/server-streams?uni=5&bidi=6&size=7", streams),
            ("/datagrams?n=3", Route::Datagrams { count: 3 }),
            (
                "/close?code=4294967295&reason=enough%20said+%F0%9f%91%8B",
                close,
            ),
            ("/drain", Route::Drain),
            ("/reset?code=77", Route::Reset { code: 77 }),
            ("/sink", Route::Sink),
            ("/source?bytes=9", Route::Source { bytes: 9 }),
            ("/bench", Route::Bench),
            ("/stats", Route::Stats),
            ("/status", Route::Status),
            ("/report?of=a%26b", Route::Report { of: "a&b".into() }),
        ];
        for (path, expected) in cases {
            assert_eq!(route(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn refusals() {
        let long = format!("/echo?id={}", "x".repeat(MAX_NAME + 1));
        let cases = [
            ("/reject", 403),
            ("/", 404),
            ("", 404),
            ("/Echo", 404),
            ("/echo/", 404),
            ("/close?code=4294967296", 400),
            ("/close?code=x", 400),
            ("/close?code=-1", 400),
            ("/datagrams?n=10001", 400),
            ("/report", 400),
            (long.as_str(), 400),
        ];
        for (path, status) in cases {
            assert_eq!(route(path), Err(Refusal(status)), "{path}");
        }
    }

    #[test]
    fn names() {
        let name = |path| Destination::parse(path).unwrap().name;
        assert_eq!(name("/echo"), None);
        assert_eq!(name("/echo?id=a"), Some("a".into()));
        assert_eq!(name("/sink?x=1&id=%61b"), Some("ab".into()));
    }

    #[test]
    fn broken_encodings_stay() {
        for (text, expected) in [
            ("%", "%"),
            ("%2", "%2"),
            ("%zz", "%zz"),
            ("%+1", "% 1"),
            ("a%00", "a\0"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decode(text), expected);
        }
    }
}
