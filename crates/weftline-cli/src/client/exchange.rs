//! The texts of `--bidi`, `--uni` and `--datagram`, one after the other, and their answers.

use std::{future::Future, time::Duration};

use serde_json::json;
use tokio::time::timeout;
use weftline_tokio::{
    Bytes, Closed, DatagramError, ReadError, RecvStream, SendStream, Session, WriteError,
};

use super::explain;
use crate::{
    args::ConnectArgs,
    failure::Failure,
    output::{Format, print},
};

/// One after the other, so that every answer is known to be its text's.
pub(super) async fn run(
    session: &Session,
    args: &ConnectArgs,
    format: Format,
) -> Result<(), Failure> {
    let patience = args.patience.timeout;
    for text in &args.bidi {
        let answer = within(patience, "the stream", bidi(session, text)).await?;
        show(format, "bidi", &answer)?;
    }
    for text in &args.uni {
        let answer = within(patience, "a unidirectional stream", uni(session, text)).await?;
        show(format, "uni", &answer)?;
    }
    for text in &args.datagram {
        let answer = within(patience, "a datagram", datagram(session, text, patience)).await?;
        show(format, "datagram", &answer)?;
    }
    Ok(())
}

async fn bidi(session: &Session, text: &str) -> Result<Vec<u8>, Failure> {
    let (mut send, mut recv) = session.open_bi().await.map_err(|e| gone(&e))?;
    // At once: an answer that begins early must not stand in the way of a long text.
    let (sent, answer) = tokio::join!(write(&mut send, text), read(&mut recv));
    match (sent, answer) {
        (_, Ok(answer)) => Ok(answer),
        (Err(failure), Err(_)) | (Ok(()), Err(failure)) => Err(failure),
    }
}

async fn uni(session: &Session, text: &str) -> Result<Vec<u8>, Failure> {
    let mut send = session.open_uni().await.map_err(|e| gone(&e))?;
    write(&mut send, text).await?;
    let mut recv = session.accept_uni().await.map_err(|e| gone(&e))?;
    read(&mut recv).await
}

/// Sends the text again while there is no answer: datagrams get lost.
async fn datagram(session: &Session, text: &str, patience: Duration) -> Result<Bytes, Failure> {
    // Late answers to datagrams before this one.
    while session.try_recv_datagram().is_some() {}
    let pause = (patience / DATAGRAM_TRIES).min(DATAGRAM_PAUSE);
    for _ in 1..DATAGRAM_TRIES {
        send_datagram(session, text).await?;
        if let Ok(answer) = timeout(pause, session.recv_datagram()).await {
            return answer.map_err(|e| gone(&e));
        }
    }
    send_datagram(session, text).await?;
    session.recv_datagram().await.map_err(|e| gone(&e))
}

async fn send_datagram(session: &Session, text: &str) -> Result<(), Failure> {
    let sent = session.send_datagram_wait(text.as_bytes()).await;
    sent.map_err(|error| match error {
        DatagramError::TooLarge { max } => Failure::new(format!(
            "the datagram of {} bytes is too long: {max} fit on this path",
            text.len()
        )),
        error => Failure::new(format!("cannot send the datagram: {error}")),
    })
}

async fn write(send: &mut SendStream, text: &str) -> Result<(), Failure> {
    send.write_all(text.as_bytes())
        .await
        .map_err(|e| not_sent(&e))?;
    send.finish().map_err(|e| not_sent(&e))
}

async fn read(recv: &mut RecvStream) -> Result<Vec<u8>, Failure> {
    recv.read_to_end(MAX_ANSWER).await.map_err(|e| not_read(&e))
}

async fn within<T>(
    patience: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || {
        let seconds = patience.as_secs_f64();
        Failure::new(format!(
            "no answer on {what} within {seconds} s (timed out)"
        ))
        .advice("check that the server answers at this path, or raise --timeout")
    };
    timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn show(format: Format, event: &str, answer: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(answer);
    let line = format!("{event}: {text}");
    print(&format.line(event, json!({"text": text}), &line))
}

pub(super) fn gone(closed: &Closed) -> Failure {
    Failure::new(explain::describe(closed))
}

pub(super) fn not_sent(error: &WriteError) -> Failure {
    match error {
        WriteError::Stopped(Some(code)) => {
            Failure::new(format!("the server stopped the stream with code {code}"))
        }
        WriteError::Stopped(None) => Failure::new("the server stopped the stream"),
        WriteError::Finished => Failure::new("the stream was ended on this side"),
        WriteError::Closed(closed) => gone(closed),
    }
}

pub(super) fn not_read(error: &ReadError) -> Failure {
    match error {
        ReadError::Reset(Some(code)) => {
            Failure::new(format!("the server reset the stream with code {code}"))
        }
        ReadError::Reset(None) => Failure::new("the server reset the stream"),
        ReadError::TooLong => Failure::new(format!("the answer is longer than {MAX_ANSWER} bytes"))
            .advice("send the text on stdin: then the answer is not held in memory"),
        ReadError::Finished => Failure::new("the stream was ended on this side"),
        ReadError::Closed(closed) => gone(closed),
    }
}

/// The longest answer to a text that is held, in bytes.
const MAX_ANSWER: usize = 16 << 20;

const DATAGRAM_TRIES: u32 = 5;
const DATAGRAM_PAUSE: Duration = Duration::from_millis(500);
