//! `weftline connect`: a session, what was asked for on it, and a clean end.

use serde_json::json;
use tokio::time::timeout;
use weftline_tokio::{ClosedBy, Session, SessionClosed, SessionRequest};

use super::{Client, Setup, exchange, explain, stdio};
use crate::{
    args::ConnectArgs,
    failure::Failure,
    output::{Format, dialect_name, print},
};

pub(crate) async fn run(client: &Client, args: &ConnectArgs) -> Result<(), Failure> {
    let session = open(client, args).await?;
    let has_texts = !(args.bidi.is_empty() && args.uni.is_empty() && args.datagram.is_empty());
    let format = Format::new(args.json);
    // Without texts stdout is for the bytes of the stream alone.
    let is_verbose = has_texts || args.json;
    if is_verbose {
        print(&opened_line(format, args, &session))?;
    }
    let result = if has_texts {
        exchange::run(&session, args, format).await
    } else {
        stdio::run(&session, args.patience.timeout, format).await
    };
    session.close(0, "");
    // The server's answer to the close, or its own close before.
    let closed = timeout(args.patience.timeout, session.closed()).await;
    if is_verbose {
        print(&closed_line(format, closed.as_ref().ok()))?;
    }
    match (result, closed) {
        // The close came first, and says more than the stream that went down with it.
        (Err(_), Ok(closed)) if closed.by != ClosedBy::Local => {
            Err(Failure::new(explain::session_closed(&closed)))
        }
        (result, _) => result,
    }
}

async fn open(client: &Client, args: &ConnectArgs) -> Result<Session, Failure> {
    let (target, dialects) = (&args.url, args.dialect.dialects());
    let setup = Setup::new(args.patience.timeout);
    let connection = client.connect(target, &args.trust, dialects, setup).await?;
    setup
        .before(connection.open_session(request(args)), |patience| {
            explain::no_session(target, patience)
        })
        .await?
        .map_err(|error| explain::session(&error, target))
}

fn request(args: &ConnectArgs) -> SessionRequest {
    let mut request = args.url.session_request();
    for (name, value) in &args.headers {
        request = match name.as_str() {
            "origin" => request.origin(value),
            _ => request.field(name, value.clone()),
        };
    }
    for protocol in &args.protocols {
        request = request.protocol(protocol);
    }
    request
}

fn opened_line(format: Format, args: &ConnectArgs, session: &Session) -> String {
    let dialect = dialect_name(session.dialect());
    let status = session.response().map(|response| response.status);
    let fields = json!({
        "url": args.url.to_string(),
        "status": status,
        "dialect": dialect,
        "protocol": session.protocol(),
        "max_datagram": session.max_datagram_len(),
    });
    let protocol = match session.protocol() {
        Some(protocol) => format!(", protocol {protocol}"),
        None => String::new(),
    };
    let text = format!("session {} (draft {dialect}{protocol})", args.url);
    format.line("session", fields, &text)
}

/// `None`: the server did not answer the close in time.
fn closed_line(format: Format, closed: Option<&SessionClosed>) -> String {
    let (code, reason) = closed.map_or((0, ""), |closed| (closed.code, closed.reason.as_str()));
    let text = match closed {
        Some(closed) if closed.by != ClosedBy::Local => explain::session_closed(closed),
        _ => "closed".into(),
    };
    format.line("closed", json!({"code": code, "reason": reason}), &text)
}
