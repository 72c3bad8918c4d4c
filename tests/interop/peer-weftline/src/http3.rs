//! HTTP/3.

use interop_endpoint::{self as interop, MAX_FILE, SERVER_NAME};
use tokio::task::JoinSet;
use weftline_tokio::{Connection, Fields, Incoming, IncomingRequest, RequestHead, ResponseHead};

use crate::Error;

pub(crate) async fn serve(connection: Connection) {
    while let Ok(incoming) = connection.accept().await {
        if let Incoming::Request(request) = incoming {
            tokio::spawn(answer(request));
        }
    }
}

async fn answer(request: IncomingRequest) -> Result<(), Error> {
    let path = request.head().path.as_deref().unwrap_or_default();
    let file = interop::file(path);
    let head = ResponseHead {
        status: if file.is_some() { 200 } else { 404 },
        fields: Fields::new(),
    };
    let (mut send, _) = request.respond(head)?;
    send.write_all(&file.unwrap_or_default()).await?;
    send.finish()?;
    send.finished().await?;
    Ok(())
}

/// Fetches files at once.
pub(crate) async fn fetch(connection: &Connection, paths: &[String]) -> Result<(), Error> {
    let mut fetching = JoinSet::new();
    for path in paths {
        let (connection, path) = (connection.clone(), path.clone());
        fetching.spawn(async move {
            let (mut send, response) = connection.request(request_for(&path)).await?;
            send.finish()?;
            let (head, mut body) = response.head().await?;
            if head.status != 200 {
                return Err(format!("{path}: {}", head.status).into());
            }
            let file = body.read_to_end(MAX_FILE).await?;
            interop::check(&path, &file).map_err(Error::from)
        });
    }
    while let Some(result) = fetching.join_next().await {
        result??;
    }
    Ok(())
}

fn request_for(path: &str) -> RequestHead {
    RequestHead {
        method: "GET".into(),
        scheme: Some("https".into()),
        authority: Some(SERVER_NAME.into()),
        path: Some(path.into()),
        protocol: None,
        fields: Fields::new(),
    }
}
