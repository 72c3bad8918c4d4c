//! HTTP/0.9 over raw streams.

use interop_endpoint::{self as interop, MAX_FILE, MAX_REQUEST};
use tokio::task::JoinSet;
use weftline_tokio::{Closed, RawConnection, RecvStream, SendStream};

use crate::Error;

pub(crate) async fn serve(connection: RawConnection) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        tokio::spawn(answer(send, recv));
    }
}

async fn answer(mut send: SendStream, mut recv: RecvStream) -> Result<(), Error> {
    let request = recv.read_to_end(MAX_REQUEST).await?;
    match interop::requested(&request).and_then(interop::file) {
        Some(file) => {
            send.write_all(&file).await?;
            send.finish()?;
            send.finished().await?;
        }
        None => send.reset(1),
    }
    Ok(())
}

/// Fetches files at once.
pub(crate) async fn fetch(connection: &RawConnection, paths: &[String]) -> Result<(), Error> {
    let mut fetching = JoinSet::new();
    for path in paths {
        let (mut send, mut recv) = connection.open_bi().await.map_err(Closed::Connection)?;
        send.write_all(&interop::request(path)).await?;
        send.finish()?;
        let path = path.clone();
        fetching.spawn(async move {
            // Half a stream that is dropped early is reset.
            let (file, sent) = tokio::join!(recv.read_to_end(MAX_FILE), send.finished());
            sent?;
            interop::check(&path, &file?).map_err(Error::from)
        });
    }
    while let Some(result) = fetching.join_next().await {
        result??;
    }
    Ok(())
}
