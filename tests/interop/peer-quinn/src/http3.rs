//! HTTP/3 by `h3`.

use bytes::{Buf, Bytes};
use interop_endpoint::{self as interop, SERVER_NAME};
use quinn::Connection;

use crate::Error;

pub(crate) async fn serve(connection: Connection) -> Result<(), Error> {
    let mut connection =
        h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(connection)).await?;
    while let Some(resolver) = connection.accept().await? {
        tokio::spawn(async move {
            let (request, mut stream) = resolver.resolve_request().await?;
            let file = interop::file(request.uri().path());
            let status = if file.is_some() { 200 } else { 404 };
            let response = http::Response::builder().status(status).body(())?;
            stream.send_response(response).await?;
            stream.send_data(file.unwrap_or_default().into()).await?;
            stream.finish().await?;
            Ok::<_, Error>(())
        });
    }
    Ok(())
}

pub(crate) async fn fetch(connection: Connection, paths: &[String]) -> Result<(), Error> {
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    let driving = tokio::spawn(async move { driver.wait_idle().await });
    let mut fetching = tokio::task::JoinSet::new();
    for path in paths {
        let (mut requests, path) = (requests.clone(), path.clone());
        fetching.spawn(async move {
            let uri = format!("https://{SERVER_NAME}{path}");
            let request = http::Request::get(uri).body(())?;
            let mut stream = requests.send_request(request).await?;
            stream.finish().await?;
            let response = stream.recv_response().await?;
            if response.status() != 200 {
                return Err(format!("{path}: {}", response.status()).into());
            }
            let mut file = Vec::new();
            while let Some(mut data) = stream.recv_data().await? {
                file.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            interop::check(&path, &file).map_err(Error::from)
        });
    }
    while let Some(result) = fetching.join_next().await {
        result??;
    }
    drop(requests);
    driving.abort();
    Ok(())
}
