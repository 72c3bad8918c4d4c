//! `weftline serve`: a server to develop and test against.

mod endpoints;
mod http;
mod log;
mod registry;
mod route;
mod session;
mod setup;
mod status;
mod web;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use weftline_rustls::hash;
use weftline_tokio::{CloseReason, Connection, Endpoint, Incoming};

use crate::{
    args::ServeArgs,
    cert,
    failure::Failure,
    link::Link,
    logs::Logs,
    output::{Format, closer_name, print},
};
use log::Log;
use registry::{Record, Registry};
use setup::{Credentials, Policy};
use status::Counters;

/// What everything that serves shares.
struct Server {
    endpoint: Endpoint,
    policy: Policy,
    registry: Registry,
    counters: Counters,
    log: Log,
    stage: watch::Sender<Stage>,
    /// Memory for data that must be whole before it is answered, in KiB, for all clients together.
    held_kib: Arc<Semaphore>,
}

/// How far the server is on its way to the end.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Everybody is asked to finish.
    Draining,
    /// Who has not finished is cut off.
    Closing,
}

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let credentials = setup::credentials(&args)?;
    let logs = Logs::new(&args.logs)?;
    let endpoint = setup::endpoint(&args, &credentials, &logs)?;
    let web = setup::web(&args).await?;
    let url = setup::url(endpoint.local_addr());
    let web_url = match &web {
        Some(listener) => Some(setup::web_url(listener)?),
        None => None,
    };
    let mut stop = Stop::new()?;
    let ready = ready_line(&args, &url, &credentials, web_url.as_deref());
    print(&ready)?;
    let server = Arc::new(Server {
        endpoint,
        policy: Policy::new(&args, web_url.as_deref()),
        registry: Registry::default(),
        counters: Counters::default(),
        log: Log::start(Format::new(args.json)),
        stage: watch::Sender::new(Stage::Serving),
        held_kib: Arc::new(Semaphore::new(HELD_KIB)),
    });
    let serving = tokio::spawn(accept(server.clone()));
    let paging = web.map(|listener| serve_page(listener, &url, &credentials));
    stop.signalled().await;
    let result = tokio::select! {
        () = drain(&server) => Ok(()),
        () = stop.signalled() => Err(Failure::new("stopped at once by a second signal")),
    };
    serving.abort();
    if let Some(paging) = paging {
        paging.abort();
    }
    server.log.finish();
    logs.report();
    result
}

fn serve_page(
    listener: TcpListener,
    url: &str,
    credentials: &Credentials,
) -> tokio::task::JoinHandle<()> {
    let page = web::page(url, credentials.sha256, !credentials.is_development);
    tokio::spawn(web::serve(listener, page))
}

/// Says goodbye to everybody, gives them a moment, and closes.
async fn drain(server: &Server) {
    server.log.event("draining", json!({}), "draining");
    server.stage.send_replace(Stage::Draining);
    server.endpoint.go_away();
    // Whoever is not done by then has been told.
    if timeout(PATIENCE, server.counters.idle()).await.is_err() {
        server.stage.send_replace(Stage::Closing);
        let _ = timeout(GOODBYE, server.counters.idle()).await;
    }
    server.endpoint.close(H3_NO_ERROR, STOPPING);
    let _ = timeout(GOODBYE, server.endpoint.wait_idle()).await;
    server.log.event("stopped", json!({}), "stopped");
}

async fn accept(server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            connection = server.endpoint.accept() => match connection {
                Some(connection) => {
                    connections.spawn(serve_connection(server.clone(), connection));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Answers everything that a client asks for on a connection. How much that is at once, the limits
/// of the transport say.
async fn serve_connection(server: Arc<Server>, connection: Connection) {
    let remote = connection.remote_address().to_string();
    let _work = server.counters.connections.begin();
    server.log.event(
        "connection",
        json!({"remote": remote}),
        &format!("connection from {remote}"),
    );
    let reason = match connection.raw() {
        Some(raw) => {
            endpoints::bench::serve(&Link::Raw(raw), &Record::default()).await;
            connection.closed().await
        }
        None => serve_http(&server, &connection).await,
    };
    let by = closer_name(reason.by);
    server.log.event(
        "connection-closed",
        json!({"remote": remote, "by": by, "code": reason.code, "reason": reason.reason}),
        &format!(
            "connection from {remote} closed by {by} (code {:#x}) {}",
            reason.code, reason.reason
        ),
    );
}

/// Answers sessions and requests until the connection is closed.
async fn serve_http(server: &Arc<Server>, connection: &Connection) -> CloseReason {
    let mut tasks = JoinSet::new();
    let reason = loop {
        tokio::select! {
            incoming = connection.accept() => match incoming {
                Ok(Incoming::Session(incoming)) => {
                    tasks.spawn(session::serve(server.clone(), incoming));
                }
                Ok(Incoming::Request(request)) => {
                    tasks.spawn(http::serve(server.clone(), request));
                }
                // What a later version of the library may bring.
                Ok(_) => {}
                Err(reason) => break reason,
            },
            Some(_) = tasks.join_next() => {}
        }
    };
    // Their streams are gone: they end by themselves.
    while tasks.join_next().await.is_some() {}
    reason
}

fn ready_line(args: &ServeArgs, url: &str, credentials: &Credentials, web: Option<&str>) -> String {
    let sha256 = credentials.sha256;
    if args.json {
        let fields = json!({"url": url, "cert_sha256": hash::hex(&sha256), "web": web});
        return Format::Json.line("ready", fields, "");
    }
    let kind = if credentials.is_development {
        "development certificate, made for this run"
    } else {
        "certificate"
    };
    let page = match web {
        Some(web) => format!("  demo page    {web}\n"),
        None => String::new(),
    };
    format!(
        "Weftline is serving.\n\n  \
           WebTransport {url}/echo\n{page}  \
           SHA-256      {}\n               ({kind})\n\n\
         From the command line:\n  \
           weftline connect {url}/echo --cert-hash {} --bidi hello\n\n\
         From a page:\n{}\n\n\
         Ctrl-C drains and stops.\n",
        hash::hex(&sha256),
        hash::hex(&sha256),
        cert::snippet(&format!("{url}/echo"), sha256),
    )
}

/// The signals that stop the server.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn signalled(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn signalled(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The reason that clients are given.
const STOPPING: &str = "the server is stopping";

/// How long sessions and requests may go on once the server drains.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the last packets may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Says that nothing is wrong (RFC 9114, section 8.1).
const H3_NO_ERROR: u64 = 0x100;

const HELD_KIB: usize = 64 << 10;
