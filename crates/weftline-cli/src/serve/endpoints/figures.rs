//! `/stats`, `/status` and `/report`: answers in JSON.

use serde_json::Value;
use weftline_tokio::{RecvStream, SendStream, Session};

use super::each;
use crate::serve::{Server, status};

/// Each bidirectional stream is answered with the session's figures.
pub(super) async fn stats(session: &Session) {
    answer_each(session, || status::session_stats(session)).await;
}

/// Each bidirectional stream is answered with the server's figures.
pub(super) async fn status(session: &Session, server: &Server) {
    answer_each(session, || server.counters.status(&server.endpoint)).await;
}

/// One unidirectional stream with the report.
pub(super) async fn report(session: &Session, report: Value) {
    if let Ok(send) = session.open_uni().await {
        answer(send, report).await;
    }
}

async fn answer_each(session: &Session, mut figures: impl FnMut() -> Value) {
    each(
        || session.accept_bi(),
        |(send, recv)| {
            let figures = figures();
            async move {
                tokio::join!(answer(send, figures), discard(recv));
            }
        },
    )
    .await;
}

/// Reads to the end, whatever it is: a client need not be told to stop.
async fn discard(mut recv: RecvStream) {
    while let Ok(Some(_)) = recv.read_chunk(CHUNK).await {}
}

async fn answer(mut send: SendStream, json: Value) {
    // When the client does not want it any more, nobody misses it.
    if send.write_all(json.to_string().as_bytes()).await.is_ok() {
        let _ = send.finish();
    }
}

const CHUNK: usize = 64 << 10;
