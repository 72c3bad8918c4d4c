//! `/sink` and `/source`: as many bytes as fit.

use serde_json::json;
use weftline_tokio::{Bytes, ReadError, RecvStream, SendStream, Session, WriteError};

use super::each;
use crate::{pattern::Pattern, serve::registry::Record};

/// Counts what comes and throws it away; says how much on bidirectional streams.
pub(super) async fn sink(session: &Session, record: &Record) {
    let bidi = each(
        || session.accept_bi(),
        |(mut send, recv)| {
            let record = record.clone();
            async move {
                let Ok(bytes) = count(recv, &record).await else {
                    return;
                };
                let answer = json!({"bytes": bytes}).to_string();
                if let Err(error) = write(&mut send, answer.into()).await {
                    record.on_write_error(&error);
                }
            }
        },
    );
    let uni = each(
        || session.accept_uni(),
        |recv| {
            let record = record.clone();
            async move {
                // Nobody is told.
                let _ = count(recv, &record).await;
            }
        },
    );
    tokio::join!(bidi, uni, discard_datagrams(session));
}

/// Sends this many bytes on each bidirectional stream that the client opens.
pub(super) async fn source(session: &Session, record: &Record, bytes: u64) {
    let pattern = Pattern::new(0);
    let bidi = each(
        || session.accept_bi(),
        |(mut send, mut recv)| {
            let (pattern, record) = (pattern.clone(), record.clone());
            async move {
                // Nothing that the client could say matters.
                recv.stop(0);
                for chunk in pattern.chunks(bytes) {
                    if let Err(error) = send.write_chunk(chunk).await {
                        return record.on_write_error(&error);
                    }
                }
                let _ = send.finish();
            }
        },
    );
    let uni = each(
        || session.accept_uni(),
        |mut recv| async move { recv.stop(0) },
    );
    tokio::join!(bidi, uni, discard_datagrams(session));
}

pub(super) async fn count(mut recv: RecvStream, record: &Record) -> Result<u64, ReadError> {
    let mut bytes = 0;
    loop {
        match recv.read_chunk(CHUNK).await {
            Ok(Some(chunk)) => bytes += chunk.len() as u64,
            Ok(None) => return Ok(bytes),
            Err(error) => {
                record.on_read_error(&error);
                return Err(error);
            }
        }
    }
}

pub(super) async fn write(send: &mut SendStream, answer: Bytes) -> Result<(), WriteError> {
    send.write_chunk(answer).await?;
    send.finish()
}

async fn discard_datagrams(session: &Session) {
    while session.recv_datagram().await.is_ok() {}
}

const CHUNK: usize = 256 << 10;
