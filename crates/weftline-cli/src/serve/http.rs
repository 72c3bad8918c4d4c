//! Plain HTTP/3: a small page, bytes to download, an echo.

use std::sync::Arc;

use serde_json::json;
use weftline_tokio::{Bytes, Fields, IncomingRequest, RecvStream, ResponseHead, SendStream};

use super::Server;
use crate::pattern::Pattern;

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A status with a body that is at hand.
    Text(u16, &'static str, &'static str),
    Bytes(u64),
    Echo,
    /// The method is another one's; the one to use.
    Method(&'static str),
}

impl Answer {
    fn to(method: &str, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let bytes = path.strip_prefix("/bytes/");
        match (path, method) {
            ("/", "GET") => Self::Text(200, HTML, PAGE),
            ("/healthz", "GET") => Self::Text(200, TEXT, "ok\n"),
            ("/echo", "POST") => Self::Echo,
            ("/echo", _) => Self::Method("POST"),
            ("/" | "/healthz", _) => Self::Method("GET"),
            _ => match bytes.map(str::parse) {
                Some(Ok(n)) if n <= MAX_BYTES && method == "GET" => Self::Bytes(n),
                Some(Ok(n)) if n <= MAX_BYTES => Self::Method("GET"),
                Some(_) => Self::Text(400, TEXT, "give a number of bytes up to 16 GiB\n"),
                None => Self::Text(404, TEXT, "not found\n"),
            },
        }
    }

    fn head(&self) -> ResponseHead {
        let mut fields = Fields::new();
        let status = match self {
            Self::Text(status, kind, body) => {
                fields.push("content-type", *kind);
                fields.push("content-length", body.len().to_string());
                *status
            }
            Self::Bytes(n) => {
                fields.push("content-type", BINARY);
                fields.push("content-length", n.to_string());
                200
            }
            Self::Echo => {
                fields.push("content-type", BINARY);
                200
            }
            Self::Method(allowed) => {
                fields.push("allow", *allowed);
                fields.push("content-length", "0");
                405
            }
        };
        ResponseHead { status, fields }
    }
}

/// Answers a request.
pub(super) async fn serve(server: Arc<Server>, request: IncomingRequest) {
    let _work = server.counters.requests.begin();
    let method = request.head().method.clone();
    let path = request.head().path.clone().unwrap_or_default();
    let answer = match request.is_early() && method != "GET" {
        // It may be a replay (RFC 8470, section 5.2).
        true => Answer::Text(425, TEXT, "too early\n"),
        false => Answer::to(&method, &path),
    };
    let head = answer.head();
    let status = head.status;
    server.log.event(
        "request",
        json!({"method": method, "path": path, "status": status}),
        &format!("{method} {path}: {status}"),
    );
    // Its errors are the client's going away.
    let Ok((send, body)) = request.respond(head) else {
        return;
    };
    match answer {
        Answer::Text(_, _, text) => write(send, [Bytes::from_static(text.as_bytes())]).await,
        Answer::Bytes(n) => write(send, Pattern::new(0).chunks(n)).await,
        Answer::Echo => echo(send, body).await,
        Answer::Method(_) => write(send, []).await,
    }
}

async fn write(mut send: SendStream, chunks: impl IntoIterator<Item = Bytes>) {
    for chunk in chunks {
        if send.write_chunk(chunk).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
}

/// Reads only what was written before.
async fn echo(mut send: SendStream, mut body: RecvStream) {
    loop {
        match body.read_chunk(CHUNK).await {
            Ok(Some(chunk)) => {
                if send.write_chunk(chunk).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                let _ = send.finish();
                return;
            }
            // Dropped unfinished, the response is broken off too.
            Err(_) => return,
        }
    }
}

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Weftline</title>\n\
<h1>Weftline</h1>\n<p>This page came over HTTP/3. The same port speaks WebTransport: \
open a session at <code>/echo</code>.</p></html>\n";

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

const MAX_BYTES: u64 = 16 << 30;
const CHUNK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let status = |method, path| Answer::to(method, path).head().status;
        let cases = [
            ("GET", "/", 200),
            ("GET", "/?x", 200),
            ("GET", "/healthz", 200),
            ("GET", "/bytes/0", 200),
            ("GET", "/bytes/17179869184", 200),
            ("GET", "/bytes/17179869185", 400),
            ("GET", "/bytes/", 400),
            ("GET", "/bytes/-1", 400),
            ("POST", "/echo", 200),
            ("GET", "/echo", 405),
            ("POST", "/", 405),
            ("DELETE", "/bytes/1", 405),
            ("GET", "/nowhere", 404),
            ("GET", "", 404),
        ];
        for (method, path, expected) in cases {
            assert_eq!(status(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_bodies() {
        let length = |path| {
            let head = Answer::to("GET", path).head();
            let value = head.fields.get("content-length").map(<[u8]>::to_vec);
            String::from_utf8(value.unwrap()).unwrap()
        };
        assert_eq!(length("/bytes/1234"), "1234");
        assert_eq!(length("/"), PAGE.len().to_string());
    }
}
