//! Connections as spans of the `tracing` crate.

use tracing::{Level, Span, span};
use weftline::{
    Instant,
    probe::{Probe, ProbeEvent, ProbeFactory, Subject},
};

use crate::event::{self, Events};

/// Makes a span for each connection, and an event in it for everything that happens.
///
/// The span is `connection`, at level `INFO`, with the fields `side`, `cid` (the client's first
/// destination connection ID, which both ends know) and `remote`. What a connection comes to
/// (states, its end, paths, sessions) is at `INFO`; what the peer, the network or this end lost or
/// threw away, keys and parameters at `DEBUG`; packets, metrics and streams at `TRACE`. The target
/// is `weftline`.
///
/// The field `data` of an event is its qlog data in JSON. It is made only if someone wants events of
/// its level.
#[derive(Copy, Clone, Debug, Default)]
pub struct Tracing;

impl ProbeFactory for Tracing {
    fn probe(&self, subject: &Subject) -> Option<Box<dyn Probe>> {
        let span = span!(
            target: "weftline",
            Level::INFO,
            "connection",
            side = event::side(subject.side),
            cid = %subject.original_cid,
            remote = %subject.remote,
        );
        Some(Box::new(Spanned {
            span,
            events: Events::new(subject),
        }))
    }
}

struct Spanned {
    span: Span,
    events: Events,
}

impl Probe for Spanned {
    fn on_event(&mut self, _now: Instant, event: &ProbeEvent<'_>) {
        // The level of an event is fixed where it is made.
        match level(event) {
            Level::INFO if tracing::enabled!(target: "weftline", Level::INFO) => {
                if let Some((name, data)) = self.events.of(event) {
                    let _entered = self.span.enter();
                    tracing::event!(target: "weftline", Level::INFO, name, data = %data);
                }
            }
            Level::DEBUG if tracing::enabled!(target: "weftline", Level::DEBUG) => {
                if let Some((name, data)) = self.events.of(event) {
                    let _entered = self.span.enter();
                    tracing::event!(target: "weftline", Level::DEBUG, name, data = %data);
                }
            }
            Level::TRACE if tracing::enabled!(target: "weftline", Level::TRACE) => {
                if let Some((name, data)) = self.events.of(event) {
                    let _entered = self.span.enter();
                    tracing::event!(target: "weftline", Level::TRACE, name, data = %data);
                }
            }
            _ => {}
        }
    }
}

const fn level(event: &ProbeEvent<'_>) -> Level {
    match event {
        ProbeEvent::State(_)
        | ProbeEvent::Closed(_)
        | ProbeEvent::Path(_)
        | ProbeEvent::SessionEstablished { .. }
        | ProbeEvent::SessionClosed { .. } => Level::INFO,
        ProbeEvent::PacketSent(_)
        | ProbeEvent::PacketReceived(_)
        | ProbeEvent::PacketAcked(_)
        | ProbeEvent::Metrics(_)
        | ProbeEvent::Stream(..) => Level::TRACE,
        _ => Level::DEBUG,
    }
}

#[cfg(test)]
mod tests;
