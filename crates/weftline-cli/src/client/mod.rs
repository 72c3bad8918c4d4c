//! The commands that open a connection.

mod bench;
mod connect;
mod exchange;
mod explain;
mod get;
mod stdio;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use weftline::{
    config::{Builder, ClientConfig},
    crypto::ClientProvider,
};
use weftline_rustls::ClientTls;
use weftline_tokio::{Connection, Dialect, Endpoint, Target};

use crate::{
    args::{BenchArgs, ConnectArgs, GetArgs, LogArgs, TrustArgs},
    failure::Failure,
    link::RAW_BENCH,
    logs::Logs,
};

/// `weftline connect`.
pub(crate) async fn connect(args: ConnectArgs) -> Result<(), Failure> {
    let client = Client::new(&args.logs)?;
    client.finish(connect::run(&client, &args)).await
}

/// `weftline get`.
pub(crate) async fn get(args: GetArgs) -> Result<(), Failure> {
    let client = Client::new(&args.logs)?;
    client.finish(get::run(&client, &args)).await
}

/// `weftline bench`.
pub(crate) async fn bench(args: BenchArgs) -> Result<(), Failure> {
    let client = Client::new(&args.logs)?;
    client.finish(bench::run(&client, &args)).await
}

/// One UDP socket.
#[derive(Clone)]
struct Client {
    endpoint: Endpoint,
    logs: Logs,
}

/// When everything up to the first answer must have happened.
#[derive(Copy, Clone)]
struct Setup {
    deadline: Instant,
    patience: Duration,
}

impl Setup {
    fn new(patience: Duration) -> Self {
        Self {
            deadline: Instant::now() + patience,
            patience,
        }
    }

    /// What comes of `work`, or `late` when it comes too late.
    async fn before<T>(
        self,
        work: impl Future<Output = T>,
        late: impl FnOnce(Duration) -> Failure,
    ) -> Result<T, Failure> {
        let result = timeout_at(self.deadline, work).await;
        result.map_err(|_| late(self.patience))
    }
}

impl Client {
    fn new(logs: &LogArgs) -> Result<Self, Failure> {
        let logs = Logs::new(logs)?;
        let endpoint = Endpoint::client()
            .map_err(|error| Failure::new(format!("cannot open a UDP socket: {error}")))?;
        Ok(Self { endpoint, logs })
    }

    /// Does `work` unless interrupted, and takes leave of the server either way.
    async fn finish(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let result = tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
        };
        self.endpoint.close(H3_NO_ERROR, "");
        // A server that does not hear of it will notice by itself.
        let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
        self.logs.report();
        result
    }

    async fn connect(
        &self,
        target: &Target,
        trust: &TrustArgs,
        dialects: &'static [Dialect],
        setup: Setup,
    ) -> Result<Connection, Failure> {
        let config = config(trust, &self.logs, setup.patience, |builder| {
            builder.dialects(dialects)
        })?;
        self.connect_with(target, trust, config, setup).await
    }

    /// For measuring: raw QUIC, or WebTransport.
    async fn connect_bench(
        &self,
        target: &Target,
        trust: &TrustArgs,
        raw: bool,
        setup: Setup,
    ) -> Result<Connection, Failure> {
        let config = config(trust, &self.logs, setup.patience, |builder| match raw {
            true => builder.raw_alpn([RAW_BENCH]),
            false => builder,
        })?;
        self.connect_with(target, trust, config, setup).await
    }

    async fn connect_with(
        &self,
        target: &Target,
        trust: &TrustArgs,
        config: Arc<ClientConfig>,
        setup: Setup,
    ) -> Result<Connection, Failure> {
        let connecting = self
            .endpoint
            .connect_host(target.host(), target.port(), config);
        setup
            .before(connecting, |patience| explain::no_answer(target, patience))
            .await?
            .map_err(|error| explain::connect(&error, target, trust))
    }
}

fn config(
    trust: &TrustArgs,
    logs: &Logs,
    patience: Duration,
    change: impl FnOnce(Builder<dyn ClientProvider>) -> Builder<dyn ClientProvider>,
) -> Result<Arc<ClientConfig>, Failure> {
    let tls = ClientTls::builder().key_log_from_env();
    let tls = match logs.keylog() {
        Some(file) => tls.key_log_file(file),
        None => tls,
    };
    let tls = match (trust.cert_hash, &trust.ca) {
        (Some(hash), _) => tls.certificate_hashes(vec![hash]),
        (None, Some(file)) => tls.ca_file(file),
        (None, None) if trust.insecure => tls.insecure_no_verification(),
        (None, None) => tls.system_roots(),
    };
    let tls = tls
        .build()
        .map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))?;
    let config = change(logs.watch(ClientConfig::builder(Arc::new(tls))))
        .with_limits(|limits| {
            // `--timeout` decides, whether it is shorter or longer.
            limits.handshake_timeout = patience + GRACE;
            limits.session_timeout = patience + GRACE;
        })
        .with_transport(|transport| transport.keep_alive = Some(KEEP_ALIVE))
        .build()
        .map_err(|error| Failure::new(format!("cannot set up the connection: {error}")))?;
    Ok(Arc::new(config))
}

/// Says that nothing is wrong (RFC 9114, section 8.1).
const H3_NO_ERROR: u64 = 0x100;

/// How long closing may take at the end.
const GOODBYE: Duration = Duration::from_millis(500);

/// By how much the connection's own timers are later than `--timeout`, which says more.
const GRACE: Duration = Duration::from_secs(1);

/// Well within the 30 seconds of silence after which most ends give up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
