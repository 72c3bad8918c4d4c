//! `weftline get`: a download over HTTP/3.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use weftline_tokio::{Dialect, ReadError, RecvStream, ResponseHead};

use super::{Client, Setup, exchange::not_read, explain};
use crate::{args::GetArgs, failure::Failure, output::cannot_print};

pub(super) async fn run(client: &Client, args: &GetArgs) -> Result<(), Failure> {
    let (target, patience) = (&args.url, args.patience.timeout);
    let setup = Setup::new(patience);
    let connection = client
        .connect(target, &args.trust, Dialect::ALL, setup)
        .await?;
    let exchange = async {
        let (mut send, response) = connection.request(target.get_request()).await?;
        // The request has no body. When it cannot be ended, the response says why.
        let _ = send.finish();
        response.head().await
    };
    let late = |patience: Duration| {
        let seconds = patience.as_secs_f64();
        Failure::new(format!(
            "connected, but no response within {seconds} s (timed out)"
        ))
        .advice("raise --timeout if the server is slow")
    };
    let (head, body) = setup
        .before(exchange, late)
        .await?
        .map_err(|error| explain::request(&error, target))?;
    if !(200..=299).contains(&head.status) {
        return Err(refused(head.status, target.path()));
    }
    let length = content_length(&head)?;
    download(body, length, args.output.as_deref(), patience).await
}

async fn download(
    body: RecvStream,
    length: Option<u64>,
    output: Option<&Path>,
    patience: Duration,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let bar = progress(length, io::stdout().is_terminal());
        let stdout = tokio::io::stdout();
        return copy(body, stdout, length, &bar, patience, &|error| {
            cannot_print(error)
        })
        .await;
    };
    let cannot_write =
        |error: &io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    let file = File::create(path).await.map_err(|e| cannot_write(&e))?;
    let bar = progress(length, false);
    copy(body, file, length, &bar, patience, &cannot_write).await
}

async fn copy(
    mut body: RecvStream,
    mut to: impl AsyncWrite + Unpin,
    length: Option<u64>,
    bar: &ProgressBar,
    patience: Duration,
    cannot_write: &(dyn Fn(&io::Error) -> Failure + Sync),
) -> Result<(), Failure> {
    let mut received = 0u64;
    loop {
        let chunk = match timeout(patience, body.read_chunk(CHUNK)).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(incomplete(received, length, &reason(&error))),
            Err(_) => {
                let silence = format!("nothing came for {} s (timed out)", patience.as_secs_f64());
                return Err(incomplete(received, length, &silence));
            }
        };
        let Some(chunk) = chunk else { break };
        to.write_all(&chunk).await.map_err(|e| cannot_write(&e))?;
        received += chunk.len() as u64;
        bar.set_position(received);
    }
    to.flush().await.map_err(|e| cannot_write(&e))?;
    if length.is_some_and(|length| length != received) {
        return Err(incomplete(received, length, "the server ended it there"));
    }
    bar.finish();
    Ok(())
}

fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Reset(_) => "the server broke it off".into(),
        error => not_read(error).to_string(),
    }
}

fn incomplete(received: u64, length: Option<u64>, why: &str) -> Failure {
    let of = length.map_or_else(String::new, |length| format!(" of {length}"));
    Failure::new(format!(
        "the body is incomplete after {received}{of} bytes: {why}"
    ))
    .advice("what was written is only a part; try again")
}

fn refused(status: u16, path: &str) -> Failure {
    let failure = Failure::new(format!("the server answered {path} with status {status}"));
    match status {
        300..=399 => failure.advice("redirects are not followed: use the new URL"),
        404 => failure.advice("check the path in the URL"),
        _ => failure,
    }
}

fn content_length(head: &ResponseHead) -> Result<Option<u64>, Failure> {
    let Some(value) = head.fields.get("content-length") else {
        return Ok(None);
    };
    let digits = str::from_utf8(value).ok();
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(Failure::new("the server's content-length is not a number")),
    }
}

/// A bar on stderr if that is a terminal, and the body does not go to it too.
fn progress(length: Option<u64>, is_in_the_way: bool) -> ProgressBar {
    if is_in_the_way || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes} {bytes_per_sec}",
        ),
    };
    // A template that does not parse costs only its looks.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

const CHUNK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use weftline_tokio::Fields;

    use super::*;

    #[test]
    fn content_lengths() {
        let length = |value: &str| {
            let mut fields = Fields::new();
            fields.push("content-length", value.to_owned());
            content_length(&ResponseHead {
                status: 200,
                fields,
            })
        };
        assert_eq!(length("0"), Ok(Some(0)));
        assert_eq!(length("123"), Ok(Some(123)));
        assert!(length("-1").is_err());
        assert!(length("1e3").is_err());
        let none = ResponseHead {
            status: 200,
            fields: Fields::new(),
        };
        assert_eq!(content_length(&none), Ok(None));
    }
}
