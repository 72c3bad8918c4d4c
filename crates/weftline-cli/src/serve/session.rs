//! Sessions from the request to the end.

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;
use weftline_tokio::{Fields, IncomingSession, Session};

use super::{
    STOPPING, Server, Stage, endpoints,
    route::{Destination, Refusal},
};
use crate::output::{closer_name, dialect_name};

/// Answers a request for a session, and serves the session until it is over.
pub(super) async fn serve(server: Arc<Server>, incoming: IncomingSession) {
    let destination = if server.policy.allows(incoming.origin()) {
        Destination::parse(incoming.path())
    } else {
        Err(Refusal(403))
    };
    let destination = match destination {
        Ok(destination) => destination,
        Err(Refusal(status)) => return refuse(&server, incoming, status),
    };
    let path = incoming.path().to_owned();
    let asked = Asked::of(&incoming);
    let protocol = server
        .policy
        .choose(incoming.protocols())
        .map(str::to_owned);
    let Ok(session) = incoming.accept_with(protocol.as_deref(), Fields::new()) else {
        // The client took it back.
        return;
    };
    let _work = server.counters.sessions.begin();
    asked.log(&server, &path, 200, Some(&session));
    let record = server.registry.record(destination.name.as_deref());
    tokio::join!(
        endpoints::serve(&server, &session, destination.route, &record),
        wind_down(&server, &session),
    );
    let closed = session.closed().await;
    record.on_closed(&closed);
    let by = closer_name(closed.by);
    server.log.event(
        "session-closed",
        json!({"path": path, "by": by, "code": closed.code, "reason": closed.reason, "error": closed.error}),
        &format!("session {path} closed by {by}, code {} {}", closed.code, closed.reason),
    );
}

fn refuse(server: &Server, incoming: IncomingSession, status: u16) {
    server
        .counters
        .refused_sessions
        .fetch_add(1, Ordering::Relaxed);
    let asked = Asked::of(&incoming);
    asked.log(server, incoming.path(), status, None);
    incoming.reject(status, Fields::new());
}

/// Asks the client to finish once the server drains, and closes the session if it did not. Over
/// when the session is.
async fn wind_down(server: &Server, session: &Session) {
    let mut stage = server.stage.subscribe();
    let follow = async {
        // The sender is the server's: it is not closed.
        let _ = stage.wait_for(|stage| *stage >= Stage::Draining).await;
        session.drain();
        let _ = stage.wait_for(|stage| *stage >= Stage::Closing).await;
        session.close(0, STOPPING);
    };
    tokio::select! {
        () = follow => {}
        _ = session.closed() => {}
    }
}

/// Who wants a session.
struct Asked {
    remote: String,
    origin: Option<String>,
}

impl Asked {
    fn of(incoming: &IncomingSession) -> Self {
        Self {
            remote: incoming.connection().remote_address().to_string(),
            origin: incoming.origin().map(str::to_owned),
        }
    }

    fn log(&self, server: &Server, path: &str, status: u16, session: Option<&Session>) {
        let dialect = session.map(|session| dialect_name(session.dialect()));
        let protocol = session.and_then(Session::protocol);
        let detail = match (dialect, protocol) {
            (Some(dialect), Some(protocol)) => format!(" (draft {dialect}, protocol {protocol})"),
            (Some(dialect), None) => format!(" (draft {dialect})"),
            (None, _) => String::new(),
        };
        let event = if session.is_some() {
            "session"
        } else {
            "session-refused"
        };
        server.log.event(
            event,
            json!({
                "path": path,
                "status": status,
                "remote": self.remote,
                "origin": self.origin,
                "dialect": dialect,
                "protocol": protocol,
            }),
            &format!("session {path} from {}: {status}{detail}", self.remote),
        );
    }
}
