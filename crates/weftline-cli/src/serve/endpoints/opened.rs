//! `/server-streams` and `/datagrams`: what the server begins.

use weftline_tokio::{RecvStream, SendStream, Session, WriteError};

use crate::{pattern::Pattern, serve::registry::Record};

/// Opens all streams, one after the other as the client's limits allow; each then runs by itself.
pub(super) async fn streams(session: &Session, record: &Record, uni: u64, bidi: u64, size: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..uni {
        let Ok(send) = session.open_uni().await else {
            return;
        };
        let record = record.clone();
        tasks.spawn(async move {
            // Its other errors are those of the session.
            if let Err(error) = send_pattern(send, &Pattern::new(i), size).await {
                record.on_write_error(&error);
            }
        });
    }
    for i in 0..bidi {
        let Ok((send, recv)) = session.open_bi().await else {
            return;
        };
        tasks.spawn(exchange(send, recv, 100 + i, size, record.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

/// Sends the pattern, and notes whether it comes back.
async fn exchange(send: SendStream, recv: RecvStream, seed: u64, size: u64, record: Record) {
    let pattern = Pattern::new(seed);
    let (sent, is_same) = tokio::join!(
        send_pattern(send, &pattern, size),
        returns(recv, &pattern, size, &record),
    );
    if let Err(error) = sent {
        record.on_write_error(&error);
    }
    record.on_answer(is_same);
}

async fn send_pattern(
    mut send: SendStream,
    pattern: &Pattern,
    size: u64,
) -> Result<(), WriteError> {
    for chunk in pattern.chunks(size) {
        send.write_chunk(chunk).await?;
    }
    send.finish()
}

async fn returns(mut recv: RecvStream, pattern: &Pattern, size: u64, record: &Record) -> bool {
    let (mut at, mut is_same) = (0u64, true);
    loop {
        match recv.read_chunk(CHUNK).await {
            Ok(Some(chunk)) => {
                is_same &= pattern.matches(at, &chunk);
                at += chunk.len() as u64;
            }
            Ok(None) => return is_same && at == size,
            Err(error) => {
                record.on_read_error(&error);
                return false;
            }
        }
    }
}

pub(super) async fn datagrams(session: &Session, count: u64) {
    for i in 0..count {
        let text = format!("srv-{i}");
        if session.send_datagram_wait(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

const CHUNK: usize = 64 << 10;
