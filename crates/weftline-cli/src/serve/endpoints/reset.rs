//! `/reset`: streams are ended by force.

use weftline_tokio::{RecvStream, SendStream, Session};

use super::each;

/// Waits for the first bytes of each stream, then resets and stops it.
pub(super) async fn streams(session: &Session, code: u32) {
    let bidi = each(
        || session.accept_bi(),
        move |(send, recv)| end(recv, Some(send), code),
    );
    let uni = each(|| session.accept_uni(), move |recv| end(recv, None, code));
    tokio::join!(bidi, uni);
}

async fn end(mut recv: RecvStream, send: Option<SendStream>, code: u32) {
    // Bytes, the end or the client's own reset: all are answered alike.
    let _ = recv.read_chunk(1).await;
    if let Some(mut send) = send {
        send.reset(code.into());
    }
    recv.stop(code.into());
}
