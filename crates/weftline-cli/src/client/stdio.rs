//! stdin onto one bidirectional stream, and what comes back to stdout.

use std::{io, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Stdout},
    sync::oneshot,
    time::{Instant, sleep_until},
};
use weftline_tokio::{RecvStream, SendStream, Session, WriteError};

use super::exchange::{gone, not_read, not_sent};
use crate::{
    failure::Failure,
    output::{Format, cannot_print, print},
};

/// Both directions at once. It is over when both are: the end of stdin ends the stream, and the
/// server ends its direction (or asks for no more).
pub(super) async fn run(
    session: &Session,
    patience: Duration,
    format: Format,
) -> Result<(), Failure> {
    let (send, recv) = session.open_bi().await.map_err(|e| gone(&e))?;
    let (all_sent, is_all_sent) = oneshot::channel();
    let sending = async {
        let result = send_stdin(send).await;
        // The other half may be done before.
        let _ = all_sent.send(());
        result
    };
    let receiving = receive(recv, Sink::new(format), patience, is_all_sent);
    let (mut sending, mut receiving) = (std::pin::pin!(sending), std::pin::pin!(receiving));
    tokio::select! {
        sent = &mut sending => {
            let received = receiving.await;
            received.and(sent)
        }
        received = &mut receiving => {
            // Nothing more to wait for when it failed: stdin may never end.
            received?;
            sending.await
        }
    }
}

async fn send_stdin(mut send: SendStream) -> Result<(), Failure> {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; CHUNK];
    let mut stopped = std::pin::pin!(send.stopped());
    loop {
        let read = tokio::select! {
            read = stdin.read(&mut buffer) => read,
            // The server has heard enough. What it has to say decides.
            _ = &mut stopped => return Ok(()),
        };
        let read = read.map_err(|error| Failure::new(format!("cannot read stdin: {error}")))?;
        let data = buffer.get(..read).unwrap_or_default();
        if data.is_empty() {
            break;
        }
        match send.write_all(data).await {
            Err(WriteError::Stopped(_)) => return Ok(()),
            result => result.map_err(|e| not_sent(&e))?,
        }
    }
    match send.finish() {
        Err(WriteError::Stopped(_)) => return Ok(()),
        result => result.map_err(|e| not_sent(&e))?,
    }
    match send.finished().await {
        Ok(()) | Err(WriteError::Stopped(_)) => Ok(()),
        Err(error) => Err(not_sent(&error)),
    }
}

/// Once everything is sent, each wait for more is bounded.
async fn receive(
    mut recv: RecvStream,
    mut sink: Sink,
    patience: Duration,
    mut is_all_sent: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let mut deadline = None;
    loop {
        let late = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            chunk = recv.read_chunk(CHUNK) => match chunk.map_err(|e| not_read(&e))? {
                Some(chunk) => {
                    sink.write(&chunk).await?;
                    deadline = deadline.map(|_| Instant::now() + patience);
                }
                None => return sink.finish().await,
            },
            _ = &mut is_all_sent, if deadline.is_none() => {
                deadline = Some(Instant::now() + patience);
            }
            () = late => {
                let seconds = patience.as_secs_f64();
                let what = format!("the server has not ended the stream, and was silent for {seconds} s (timed out)");
                return Err(Failure::new(what).advice("raise --timeout if it is slow"));
            }
        }
    }
}

/// Where received bytes go.
enum Sink {
    Raw(Stdout),
    /// JSON events, one for each line received.
    Lines(Vec<u8>),
}

impl Sink {
    fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Lines(Vec::new()),
            Format::Text => Self::Raw(tokio::io::stdout()),
        }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Raw(stdout) => {
                let written: io::Result<()> = async {
                    stdout.write_all(data).await?;
                    stdout.flush().await
                }
                .await;
                written.map_err(|error| cannot_print(&error))
            }
            Self::Lines(held) => {
                for line in data.split_inclusive(|byte| *byte == b'\n') {
                    held.extend_from_slice(line);
                    if held.ends_with(b"\n") || held.len() > MAX_LINE {
                        show_line(held)?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Lines(mut held) if !held.is_empty() => show_line(&mut held),
            Self::Raw(_) | Self::Lines(_) => Ok(()),
        }
    }
}

fn show_line(held: &mut Vec<u8>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(held.strip_suffix(b"\n").unwrap_or(held));
    print(&Format::Json.line("bidi", json!({"text": text}), ""))?;
    held.clear();
    Ok(())
}

const CHUNK: usize = 64 << 10;

/// A longer line is shown in pieces.
const MAX_LINE: usize = 64 << 10;
