//! Plain HTTP/3 beside WebTransport.

mod common;

use common::{connect, pattern, server, server_config, session, within};
use weftline_tokio::{
    Connection, Endpoint, Fields, Incoming, ReadError, RequestError, RequestHead, ResponseHead,
};

fn head(method: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.into(),
        scheme: Some("https".into()),
        authority: Some("localhost".into()),
        path: Some(path.into()),
        protocol: None,
        fields: Fields::new(),
    }
}

/// Answers `POST /echo` with its body, `/late` after the body, and drops everything else.
async fn serve(connection: Connection) {
    while let Ok(incoming) = connection.accept().await {
        let Incoming::Request(mut request) = incoming else {
            continue;
        };
        let ok = ResponseHead {
            status: 200,
            fields: Fields::new(),
        };
        match request.head().path.as_deref() {
            Some("/echo") => {
                let (mut send, mut body) = request.respond(ok).unwrap();
                while let Some(chunk) = body.read_chunk(10_000).await.unwrap() {
                    send.write_chunk(chunk).await.unwrap();
                }
                send.finish().unwrap();
            }
            Some("/late") => {
                let body = request.body().read_to_end(1 << 20).await.unwrap();
                let (mut send, _) = request.respond(ok).unwrap();
                send.write_all(body.len().to_string().as_bytes())
                    .await
                    .unwrap();
                send.finish().unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn requests_are_answered() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;
        tokio::spawn(serve(accepted));
        for (path, data, expected) in [
            ("/echo", pattern(300_000), pattern(300_000)),
            ("/echo", Vec::new(), Vec::new()),
            ("/late", pattern(300_000), b"300000".to_vec()),
        ] {
            let (mut send, response) = connected.request(head("POST", path)).await.unwrap();
            let writing = async {
                send.write_all(&data).await.unwrap();
                send.finish().unwrap();
            };
            let reading = async {
                let (head, mut body) = response.head().await.unwrap();
                assert_eq!(head.status, 200);
                body.read_to_end(1 << 20).await.unwrap()
            };
            let ((), answer) = tokio::join!(writing, reading);
            assert!(answer == expected, "{path} {}", data.len());
        }
    })
    .await;
}

#[tokio::test]
async fn dropped_exchanges_are_cancelled() {
    within(async {
        let server = server(server_config(|_, _| {}));
        let client = Endpoint::client().unwrap();
        let (connected, accepted) = connect(&client, &server).await;

        // By the server.
        let serving = tokio::spawn(serve(accepted.clone()));
        let (mut send, response) = connected.request(head("GET", "/drop")).await.unwrap();
        let _ = send.finish();
        let failed = response.head().await.unwrap_err();
        assert!(matches!(failed, RequestError::Failed { .. }), "{failed:?}");
        serving.abort();
        let _ = serving.await;

        // By the client, in the middle of the body.
        let (mut send, response) = connected.request(head("POST", "/echo")).await.unwrap();
        send.write_all(b"part").await.unwrap();
        let Ok(Incoming::Request(mut request)) = accepted.accept().await else {
            panic!("no request arrived");
        };
        assert_eq!(request.head().path.as_deref(), Some("/echo"));
        drop((send, response));
        let error = loop {
            match request.body().read_chunk(10).await {
                Ok(chunk) => assert!(chunk.is_some(), "a cancelled body has no end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Reset(_)), "{error:?}");
        session(&connected, &accepted).await;
    })
    .await;
}
