//! Figures of the server and of its sessions.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use serde_json::{Value, json};
use tokio::sync::watch;
use weftline_tokio::{Endpoint, Session};

use crate::output::dialect_name;

/// What the server did so far.
pub(super) struct Counters {
    since: Instant,
    pub(super) connections: Counter,
    pub(super) sessions: Counter,
    pub(super) requests: Counter,
    pub(super) refused_sessions: AtomicU64,
}

/// Things that begin and end.
pub(super) struct Counter {
    open: watch::Sender<u64>,
    total: AtomicU64,
}

/// One of them, until dropped.
pub(super) struct Work<'a>(&'a Counter);

impl Counters {
    /// Waits until no session and no request is open.
    pub(super) async fn idle(&self) {
        self.sessions.none_open().await;
        self.requests.none_open().await;
    }

    /// The whole server's figures.
    pub(super) fn status(&self, endpoint: &Endpoint) -> Value {
        let io = endpoint.stats().io;
        json!({
            "uptime_ms": self.since.elapsed().as_millis() as u64,
            "connections": self.connections.figures(),
            "sessions": self.sessions.figures(),
            "sessions_refused": self.refused_sessions.load(Ordering::Relaxed),
            "requests": self.requests.figures(),
            "udp": {
                "datagrams_received": io.received,
                "receive_calls": io.receive_calls,
                "datagrams_sent": io.sent,
                "send_calls": io.send_calls,
                "socket_full": io.full,
                "errors": io.errors,
            },
        })
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            connections: Counter::default(),
            sessions: Counter::default(),
            requests: Counter::default(),
            refused_sessions: AtomicU64::new(0),
        }
    }
}

impl Counter {
    pub(super) fn begin(&self) -> Work<'_> {
        self.open.send_modify(|open| *open += 1);
        self.total.fetch_add(1, Ordering::Relaxed);
        Work(self)
    }

    async fn none_open(&self) {
        // The sender is `self`: it is not closed.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn figures(&self) -> Value {
        json!({"open": *self.open.borrow(), "total": self.total.load(Ordering::Relaxed)})
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            open: watch::Sender::new(0),
            total: AtomicU64::new(0),
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0
            .open
            .send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// A session's figures, and those of the connection beneath it.
pub(super) fn session_stats(session: &Session) -> Value {
    let connection = session.connection().stats().map(|stats| {
        json!({
            "rtt_us": stats.rtt.as_micros() as u64,
            "congestion_window": stats.congestion_window,
            "bytes_in_flight": stats.bytes_in_flight,
            "bytes_sent": stats.bytes_sent,
            "bytes_received": stats.bytes_received,
            "packets_sent": stats.packets_sent,
            "packets_received": stats.packets_received,
            "packets_lost": stats.packets_lost,
        })
    });
    let figures = session.stats().map(|stats| {
        json!({
            "streams_opened": stats.streams_opened,
            "streams_accepted": stats.streams_accepted,
            "stream_bytes_written": stats.stream_bytes_written,
            "stream_bytes_read": stats.stream_bytes_read,
            "datagrams_sent": stats.datagrams_sent,
            "datagrams_received": stats.datagrams_received,
            "datagrams_dropped": stats.datagrams_dropped,
        })
    });
    json!({
        "dialect": dialect_name(session.dialect()),
        "protocol": session.protocol(),
        "max_datagram": session.max_datagram_len(),
        "remote": session.connection().remote_address().to_string(),
        "session": figures,
        "connection": connection,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_open_until_dropped() {
        let counter = Counter::default();
        let (first, second) = (counter.begin(), counter.begin());
        assert_eq!(counter.figures(), json!({"open": 2, "total": 2}));
        drop(first);
        drop(second);
        counter.none_open().await;
        assert_eq!(counter.figures(), json!({"open": 0, "total": 2}));
    }
}
