//! Who the server is, where it listens, and whom it serves.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use weftline::config::{Admission, EndpointConfig, ServerConfig};
use weftline_rustls::{DevCertificate, Identity, ServerTls, TlsConfigError};
use weftline_tokio::Endpoint;

use crate::{args::ServeArgs, failure::Failure, link::RAW_BENCH, logs::Logs};

/// The certificate to serve with.
pub(super) struct Credentials {
    identity: Identity,
    pub(super) sha256: [u8; 32],
    /// Made for this run: clients can trust it by its hash only.
    pub(super) is_development: bool,
}

/// What sessions the server takes.
pub(super) struct Policy {
    /// Empty: every origin.
    origins: Vec<String>,
    protocol: Option<String>,
}

pub(super) fn credentials(args: &ServeArgs) -> Result<Credentials, Failure> {
    let (identity, is_development) = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            let identity = Identity::from_pem_files(cert, key).map_err(|e| unusable(&e))?;
            (identity, false)
        }
        _ => (development(args)?, true),
    };
    Ok(Credentials {
        sha256: identity.sha256(),
        identity,
        is_development,
    })
}

fn development(args: &ServeArgs) -> Result<Identity, Failure> {
    let ip = args.listen.ip();
    if !ip.is_loopback() && !args.allow_dev_cert {
        let what =
            format!("will not serve {ip}, which others can reach, with a development certificate");
        return Err(Failure::new(what).advice(
            "give --cert and --key, or listen on 127.0.0.1, or allow it with --allow-dev-cert",
        ));
    }
    let name = (!ip.is_unspecified()).then(|| ip.to_string());
    let names: Vec<_> = name.iter().map(String::as_str).collect();
    DevCertificate::generate(&names, DevCertificate::MAX_DAYS)
        .and_then(|certificate| certificate.identity())
        .map_err(|error| Failure::new(format!("cannot make a development certificate: {error}")))
}

pub(super) fn endpoint(
    args: &ServeArgs,
    credentials: &Credentials,
    logs: &Logs,
) -> Result<Endpoint, Failure> {
    let tls = ServerTls::builder(credentials.identity.clone()).key_log_from_env();
    let tls = match logs.keylog() {
        Some(file) => tls.key_log_file(file),
        None => tls,
    };
    let tls = match &args.client_ca {
        Some(file) => tls.client_ca_file(file),
        None => tls,
    };
    let tls = tls.early_data(args.early_data);
    let tls = tls.build().map_err(|e| unusable(&e))?;
    let raw = args.raw.then_some(RAW_BENCH);
    let config = logs
        .watch(ServerConfig::builder(Arc::new(tls)))
        .raw_alpn(raw)
        .with_limits(|limits| limits.connections = args.max_connections)
        .with_transport(|transport| {
            if args.listen.ip().is_loopback() {
                transport.datagram_size = LOOPBACK_DATAGRAM;
            }
        })
        .build()
        .map_err(|error| Failure::new(format!("cannot set up the server: {error}")))?;
    let config = EndpointConfig::server(Arc::new(config)).admission(match args.retry {
        true => Admission::Retry,
        false => Admission::Accept,
    });
    Endpoint::bind(args.listen, config).map_err(|error| {
        let what = format!("cannot listen on {} (UDP): {error}", args.listen);
        busy_port(
            what,
            &error,
            "choose another port with --listen; port 0 picks a free one",
        )
    })
}

/// Loopback carries more than the 1200 bytes of any path; this much fits what browsers accept, and
/// lets every datagram of theirs be echoed whole.
const LOOPBACK_DATAGRAM: u16 = 1452;

/// The demo page's socket. Browsers offer WebTransport to pages without TLS on loopback only.
pub(super) async fn web(args: &ServeArgs) -> Result<Option<TcpListener>, Failure> {
    if args.no_web {
        return Ok(None);
    }
    if !args.web.ip().is_loopback() {
        let what = format!(
            "will not serve the demo page on {}: browsers give WebTransport to plain http pages on loopback only",
            args.web
        );
        return Err(Failure::new(what).advice("use --web 127.0.0.1:8080 or --no-web"));
    }
    let listener = TcpListener::bind(args.web).await.map_err(|error| {
        let what = format!("cannot serve the demo page on {} (TCP): {error}", args.web);
        busy_port(
            what,
            &error,
            "choose another port with --web, or use --no-web",
        )
    })?;
    Ok(Some(listener))
}

pub(super) fn web_url(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(format!("cannot serve the demo page: {error}")))?;
    Ok(format!("http://{address}"))
}

/// Where a client on this machine finds the server.
pub(super) fn url(local: SocketAddr) -> String {
    let mut address = local;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("https://{address}")
}

impl Policy {
    /// The demo page's own origin is always one of those allowed.
    pub(super) fn new(args: &ServeArgs, web_url: Option<&str>) -> Self {
        let mut origins: Vec<_> = args.allow_origin.iter().map(|o| normal_origin(o)).collect();
        if !origins.is_empty() {
            origins.extend(web_url.map(normal_origin));
        }
        Self {
            origins,
            protocol: args.protocol.clone(),
        }
    }

    /// Whether pages of this origin may open sessions.
    pub(super) fn allows(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return self.origins.is_empty();
        };
        self.origins.is_empty() || self.origins.contains(&normal_origin(origin))
    }

    /// The protocol to agree on, of those that a client offers.
    pub(super) fn choose<'a>(&self, offered: &'a [String]) -> Option<&'a str> {
        match self.protocol.as_deref()? {
            "any" => offered.first().map(String::as_str),
            name => offered.iter().find(|o| *o == name).map(String::as_str),
        }
    }
}

/// Origins are compared without case: scheme and host have none.
fn normal_origin(origin: &str) -> String {
    origin.trim_end_matches('/').to_ascii_lowercase()
}

fn unusable(error: &TlsConfigError) -> Failure {
    let failure = Failure::new(format!("cannot set up TLS: {error}"));
    match error {
        TlsConfigError::Expired { .. } => {
            failure.advice("renew it; 'weftline cert' makes one for development")
        }
        TlsConfigError::KeyMismatch { .. } => failure.advice("check --cert and --key"),
        TlsConfigError::KeyLog { .. } => failure.advice("check --keylog"),
        TlsConfigError::Read { .. } => failure.advice("check the path and who may read the file"),
        _ => failure,
    }
}

fn busy_port(what: String, error: &io::Error, advice: &str) -> Failure {
    let failure = Failure::new(what);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.advice(advice),
        io::ErrorKind::PermissionDenied => failure.advice("ports below 1024 need privileges"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str], protocol: Option<&str>) -> Policy {
        Policy {
            origins: origins.iter().map(|o| normal_origin(o)).collect(),
            protocol: protocol.map(str::to_owned),
        }
    }

    #[test]
    fn origins_are_a_list_or_everything() {
        let open = policy(&[], None);
        assert!(open.allows(None) && open.allows(Some("https://a")));
        let closed = policy(&["https://A.example/"], None);
        assert!(closed.allows(Some("https://a.example")));
        for other in [
            None,
            Some("https://b.example"),
            Some("https://a.example:1"),
            Some("null"),
        ] {
            assert!(!closed.allows(other), "{other:?}");
        }
    }

    #[test]
    fn protocols_are_the_named_one_or_the_first() {
        let offered = ["b".to_owned(), "a".to_owned()];
        assert_eq!(policy(&[], None).choose(&offered), None);
        assert_eq!(policy(&[], Some("any")).choose(&offered), Some("b"));
        assert_eq!(policy(&[], Some("any")).choose(&[]), None);
        assert_eq!(policy(&[], Some("a")).choose(&offered), Some("a"));
        assert_eq!(policy(&[], Some("c")).choose(&offered), None);
    }

    #[test]
    fn urls_name_an_address_that_can_be_reached() {
        let url = |text: &str| url(text.parse().unwrap());
        assert_eq!(url("127.0.0.1:4433"), "https://127.0.0.1:4433");
        assert_eq!(url("0.0.0.0:1"), "https://127.0.0.1:1");
        assert_eq!(url("[::]:1"), "https://[::1]:1");
    }
}
