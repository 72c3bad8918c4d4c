//! What each path does once its session is open. Each returns when the session is over.

pub(super) mod bench;
mod echo;
mod figures;
mod opened;
mod reset;
mod throughput;

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use weftline_tokio::{Closed, Session};

use super::{Server, registry::Record, route::Route};
use crate::link::Link;

/// Streams and datagrams for which a path has no other use are echoed.
pub(super) async fn serve(server: &Server, session: &Session, route: Route, record: &Record) {
    let echo = echo::Echo::new(session, record, &server.held_kib);
    match route {
        Route::Echo => echo.everything().await,
        Route::ServerStreams { uni, bidi, size } => {
            let streams = opened::streams(session, record, uni, bidi, size);
            tokio::join!(streams, echo.everything());
        }
        Route::Datagrams { count } => {
            let datagrams = async {
                sleep(SETTLE).await;
                opened::datagrams(session, count).await;
            };
            tokio::join!(datagrams, echo.everything());
        }
        Route::Close { code, reason } => {
            let close = async {
                sleep(SETTLE).await;
                session.close(code, &reason);
            };
            tokio::join!(close, echo.everything());
        }
        Route::Drain => {
            let drain = async {
                sleep(SETTLE).await;
                session.drain();
            };
            tokio::join!(drain, echo.everything());
        }
        Route::Reset { code } => {
            tokio::join!(reset::streams(session, code), echo.datagrams());
        }
        Route::Sink => throughput::sink(session, record).await,
        Route::Source { bytes } => throughput::source(session, record, bytes).await,
        Route::Bench => bench::serve(&Link::Session(session.clone()), record).await,
        Route::Stats => figures::stats(session).await,
        Route::Status => figures::status(session, server).await,
        Route::Report { of } => {
            let report = server.registry.report(&of);
            tokio::join!(figures::report(session, report), echo.everything());
        }
    }
}

/// Gives each stream that `next` brings a task of its own, until there are no more. How many there
/// are at once, the limits of the transport say.
async fn each<S, N, F>(mut next: impl FnMut() -> N, mut serve: impl FnMut(S) -> F)
where
    N: Future<Output = Result<S, Closed>>,
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            stream = next() => match stream {
                Ok(stream) => { tasks.spawn(serve(stream)); }
                Err(_) => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// How long a server waits before it acts on its own: Chromium drops datagrams that come before
/// the response to its request.
const SETTLE: Duration = Duration::from_millis(100);
