//! What happened in the sessions that clients gave a name, for `/report`.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use weftline_tokio::{ReadError, SessionClosed, WriteError};

/// The sessions with a name, the latest [`NAMES`] of them.
#[derive(Default)]
pub(super) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: HashMap<String, Record>,
    /// The names in the order they came, the oldest first.
    order: VecDeque<String>,
}

/// What is known of a session; clones share it.
#[derive(Clone, Default)]
pub(super) struct Record {
    facts: Arc<Mutex<Facts>>,
}

#[derive(Default)]
struct Facts {
    close: Option<(u32, String)>,
    resets: Vec<Option<u64>>,
    stops: Vec<Option<u64>>,
    server_bidi: Vec<bool>,
}

impl Registry {
    /// The record of a new session. A name that was used before is this session's from now on.
    pub(super) fn record(&self, name: Option<&str>) -> Record {
        let record = Record::default();
        let Some(name) = name else { return record };
        let mut inner = lock(&self.inner);
        let before = inner.records.insert(name.to_owned(), record.clone());
        if before.is_some() {
            inner.order.retain(|other| other != name);
        }
        inner.order.push_back(name.to_owned());
        if inner.order.len() > NAMES
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.records.remove(&oldest);
        }
        record
    }

    /// The report on the session with this name. Nothing happened in one that is not known.
    pub(super) fn report(&self, name: &str) -> Value {
        let record = lock(&self.inner).records.get(name).cloned();
        record.unwrap_or_default().report()
    }
}

impl Record {
    /// Notes a reset that ended reading.
    pub(super) fn on_read_error(&self, error: &ReadError) {
        if let ReadError::Reset(code) = error {
            push(&mut lock(&self.facts).resets, *code);
        }
    }

    /// Notes a stop that ended writing.
    pub(super) fn on_write_error(&self, error: &WriteError) {
        if let WriteError::Stopped(code) = error {
            push(&mut lock(&self.facts).stops, *code);
        }
    }

    /// Notes whether the client's answer on a stream of ours was as sent.
    pub(super) fn on_answer(&self, is_same: bool) {
        push(&mut lock(&self.facts).server_bidi, is_same);
    }

    pub(super) fn on_closed(&self, closed: &SessionClosed) {
        lock(&self.facts).close = Some((closed.code, closed.reason.clone()));
    }

    fn report(&self) -> Value {
        let facts = lock(&self.facts);
        let codes = |codes: &[Option<u64>]| -> Vec<Value> {
            codes.iter().map(|code| json!({"code": code})).collect()
        };
        let close = facts.close.as_ref();
        json!({
            "close": close.map(|(code, reason)| json!({"code": code, "reason": reason})),
            "resets": codes(&facts.resets),
            "stops": codes(&facts.stops),
            "server_bidi": facts.server_bidi,
        })
    }
}

/// Notes the first few of many.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < FACTS {
        list.push(item);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const NAMES: usize = 1024;
const FACTS: usize = 1024;

#[cfg(test)]
mod tests {
    use weftline_tokio::ClosedBy;

    use super::*;

    #[test]
    fn a_report_has_the_documented_shape() {
        let registry = Registry::default();
        let nothing = r#"{"close":null,"resets":[],"stops":[],"server_bidi":[]}"#;
        assert_eq!(registry.report("a").to_string(), nothing);
        let record = registry.record(Some("a"));
        assert_eq!(registry.report("a").to_string(), nothing);
        record.on_read_error(&ReadError::Reset(Some(99)));
        record.on_read_error(&ReadError::Finished);
        record.on_write_error(&WriteError::Stopped(Some(88)));
        record.on_write_error(&WriteError::Stopped(None));
        record.on_answer(true);
        record.on_closed(&SessionClosed {
            by: ClosedBy::Peer,
            code: 7,
            reason: "done".into(),
            error: None,
        });
        assert_eq!(
            registry.report("a").to_string(),
            r#"{"close":{"code":7,"reason":"done"},"resets":[{"code":99}],"stops":[{"code":88},{"code":null}],"server_bidi":[true]}"#
        );
    }

    #[test]
    fn the_oldest_names_are_forgotten() {
        let registry = Registry::default();
        let name = |i: usize| format!("name-{i}");
        for i in 0..NAMES {
            registry.record(Some(&name(i))).on_answer(true);
        }
        // Used again: now the youngest.
        registry.record(Some(&name(0))).on_answer(false);
        registry.record(Some("one more"));
        let answers = |i: usize| registry.report(&name(i))["server_bidi"].clone();
        assert_eq!(answers(0), json!([false]));
        assert_eq!(answers(1), json!([]));
        assert_eq!(answers(2), json!([true]));
        let inner = lock(&registry.inner);
        assert_eq!((inner.records.len(), inner.order.len()), (NAMES, NAMES));
    }

    #[test]
    fn facts_are_bounded() {
        let record = Record::default();
        for _ in 0..FACTS + 10 {
            record.on_answer(true);
        }
        assert_eq!(lock(&record.facts).server_bidi.len(), FACTS);
    }
}
