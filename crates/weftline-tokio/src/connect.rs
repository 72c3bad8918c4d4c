//! Connecting to hosts by name.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    task::{self, JoinSet},
    time,
};
use weftline::{config::ClientConfig, wt::SessionRequest};
use weftline_std::Target;

use crate::{Connection, Endpoint, Session, error::ConnectError};

impl Endpoint {
    /// The addresses of a host (a name, or an IP address without brackets), the families in turn
    /// (RFC 8305, section 4).
    ///
    /// # Errors
    /// When it has none, or they cannot be found.
    pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        task::spawn_blocking(move || weftline_std::resolve(&host, port))
            .await
            .map_err(io::Error::other)?
    }

    /// Connects to a host by its name, which its certificate must be for. When an address does not
    /// answer within 250 ms the next is tried beside it, and the first that answers wins (RFC 8305,
    /// section 5).
    ///
    /// # Errors
    /// What the last address failed with.
    pub async fn connect_host(
        &self,
        host: &str,
        port: u16,
        config: Arc<ClientConfig>,
    ) -> Result<Connection, ConnectError> {
        let resolve_error = |source| ConnectError::Resolve {
            host: host.to_owned(),
            source,
        };
        let addresses = Self::resolve(host, port).await.map_err(resolve_error)?;
        // Dropped with the future, which drops the attempts, which closes their connections.
        let mut attempts = JoinSet::new();
        let mut failure = resolve_error(io::ErrorKind::NotFound.into());
        let mut addresses = addresses.into_iter();
        loop {
            match addresses.next() {
                Some(to) => {
                    let (endpoint, host, config) = (self.clone(), host.to_owned(), config.clone());
                    attempts.spawn(async move { endpoint.connect(to, &host, config).await });
                }
                None if attempts.is_empty() => return Err(failure),
                None => {}
            }
            let patience = match addresses.len() {
                0 => Duration::MAX,
                _ => ATTEMPT_DELAY,
            };
            match time::timeout(patience, attempts.join_next()).await {
                Ok(Some(Ok(Ok(connection)))) => return Ok(connection),
                Ok(Some(Ok(Err(error)))) => failure = error,
                // An attempt panicked: as if it had failed. Or time to begin the next.
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
        }
    }

    /// Connects to the host of a URL and opens a session: [`Target::session_request`], to which the
    /// caller may have added, is the usual request.
    ///
    /// # Errors
    /// When the connection fails, or the session on it.
    pub async fn connect_session(
        &self,
        target: &Target,
        config: Arc<ClientConfig>,
        request: SessionRequest,
    ) -> Result<Session, ConnectError> {
        let connection = self
            .connect_host(target.host(), target.port(), config)
            .await?;
        Ok(connection.open_session(request).await?)
    }
}

/// The "Connection Attempt Delay" of RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
