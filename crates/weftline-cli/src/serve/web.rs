//! The demo page over plain HTTP/1.1 on loopback, where browsers count it as a secure context.

use std::{io, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use weftline_rustls::hash;

/// The page, with what it must know of the server. A certificate from files may be trusted by its
/// authority or by its hash, so the page tries both.
pub(super) fn page(url: &str, sha256: [u8; 32], try_without_hash: bool) -> String {
    let server = json!({
        "url": url,
        "certHash": hash::hex(&sha256),
        "tryWithoutHash": try_without_hash,
    });
    DEMO.replace("/*SERVER*/null", &server.to_string())
}

/// Serves the page until dropped.
pub(super) async fn serve(listener: TcpListener, page: String) {
    let page: Arc<str> = page.into();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                tokio::spawn(async move {
                    // A browser that goes away or is slow gets no page.
                    let _ = timeout(PATIENCE, answer(stream, &page)).await;
                    drop(slot);
                });
            }
            // Out of files, say: that takes a while to pass.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One request, one response.
async fn answer(mut stream: TcpStream, page: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await?;
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || request.len() > MAX_REQUEST {
            break;
        }
    }
    stream
        .write_all(response(&request, page).as_bytes())
        .await?;
    stream.shutdown().await
}

fn response(request: &[u8], page: &str) -> String {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next());
    let path = target.and_then(|target| target.split('?').next());
    let is_http = words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."));
    match (method, path) {
        _ if !is_http || request.len() > MAX_REQUEST => {
            message("400 Bad Request", "", TEXT, "bad request\n")
        }
        (Some("GET"), Some("/")) => {
            message("200 OK", PAGE_HEADERS, "text/html; charset=utf-8", page)
        }
        (Some("GET"), _) => message("404 Not Found", "", TEXT, "not found\n"),
        _ => message(
            "405 Method Not Allowed",
            "allow: GET\r\n",
            TEXT,
            "only GET\n",
        ),
    }
}

fn message(status: &str, headers: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-type: {kind}\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const DEMO: &str = include_str!("demo.html");

/// The page loads nothing and talks to WebTransport servers only.
const PAGE_HEADERS: &str = "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src https:; base-uri 'none'; form-action 'none'\r\n\
    x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// Browsers at once; more wait.
const CONNECTIONS: usize = 32;
const MAX_REQUEST: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_knows_the_server() {
        let page = page("https://127.0.0.1:1", [0xab; 32], false);
        let known = format!(
            r#"{{"url":"https://127.0.0.1:1","certHash":"{}","tryWithoutHash":false}}"#,
            "ab".repeat(32)
        );
        assert!(page.contains(&known));
        assert!(!page.contains("/*SERVER*/"));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for word in ["src=\"http", "href=\"http", "@import", "url(http"] {
            assert!(!DEMO.contains(word), "{word}");
        }
    }

    #[test]
    fn responses() {
        let status = |request: &[u8]| {
            let response = response(request, "<p>");
            response.split("\r\n").next().unwrap().to_owned()
        };
        let cases: [(&[u8], &str); 7] = [
            (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK"),
            (b"GET /?a HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK"),
            (
                b"GET /favicon.ico HTTP/1.1\r\n\r\n",
                "HTTP/1.1 404 Not Found",
            ),
            (
                b"POST / HTTP/1.1\r\n\r\n",
                "HTTP/1.1 405 Method Not Allowed",
            ),
            (b"GET /\r\n\r\n", "HTTP/1.1 400 Bad Request"),
            (b"", "HTTP/1.1 400 Bad Request"),
            (b"\xff\xfe", "HTTP/1.1 400 Bad Request"),
        ];
        for (request, expected) in cases {
            assert_eq!(status(request), expected);
        }
        assert!(response(b"GET / HTTP/1.1\r\n\r\n", "<p>").ends_with(
            "content-length: 3\r\ncache-control: no-store\r\nconnection: close\r\n\r\n<p>"
        ));
    }
}
