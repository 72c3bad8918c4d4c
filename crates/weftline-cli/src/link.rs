//! A session, or a raw QUIC connection: streams and datagrams either way.

use weftline_tokio::{
    Bytes, Closed, Connection, DatagramError, RawConnection, RecvStream, SendStream, Session,
};

/// What measuring runs over.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    Session(Session),
    Raw(RawConnection),
}

/// The application protocol (ALPN) of measuring over raw QUIC.
pub(crate) const RAW_BENCH: &str = "weftline-bench";

impl Link {
    pub(crate) async fn open_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        match self {
            Self::Session(session) => session.open_bi().await,
            Self::Raw(raw) => raw.open_bi().await.map_err(Closed::Connection),
        }
    }

    pub(crate) async fn open_uni(&self) -> Result<SendStream, Closed> {
        match self {
            Self::Session(session) => session.open_uni().await,
            Self::Raw(raw) => raw.open_uni().await.map_err(Closed::Connection),
        }
    }

    pub(crate) async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        match self {
            Self::Session(session) => session.accept_bi().await,
            Self::Raw(raw) => raw.accept_bi().await.map_err(Closed::Connection),
        }
    }

    pub(crate) async fn accept_uni(&self) -> Result<RecvStream, Closed> {
        match self {
            Self::Session(session) => session.accept_uni().await,
            Self::Raw(raw) => raw.accept_uni().await.map_err(Closed::Connection),
        }
    }

    pub(crate) async fn send_datagram_wait(&self, data: &[u8]) -> Result<(), DatagramError> {
        match self {
            Self::Session(session) => session.send_datagram_wait(data).await,
            Self::Raw(raw) => raw.send_datagram_wait(data).await,
        }
    }

    pub(crate) async fn recv_datagram(&self) -> Result<Bytes, Closed> {
        match self {
            Self::Session(session) => session.recv_datagram().await,
            Self::Raw(raw) => raw.recv_datagram().await.map_err(Closed::Connection),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Self::Session(session) => session.connection(),
            Self::Raw(raw) => raw.connection(),
        }
    }
}
