//! Everything back: the endpoint `/echo`, and what most others do besides.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weftline_tokio::{Bytes, ReadError, RecvStream, SendStream, Session, WriteError};

use super::each;
use crate::serve::registry::Record;

/// The echo of one session.
pub(super) struct Echo<'a> {
    session: &'a Session,
    record: &'a Record,
    held_kib: &'a Arc<Semaphore>,
}

impl<'a> Echo<'a> {
    pub(super) fn new(
        session: &'a Session,
        record: &'a Record,
        held_kib: &'a Arc<Semaphore>,
    ) -> Self {
        Self {
            session,
            record,
            held_kib,
        }
    }

    pub(super) async fn everything(&self) {
        tokio::join!(self.bidi(), self.uni(), self.datagrams());
    }

    /// A datagram for which there is no room is lost, as datagrams may be.
    pub(super) async fn datagrams(&self) {
        while let Ok(datagram) = self.session.recv_datagram().await {
            let _ = self.session.send_datagram(&datagram);
        }
    }

    async fn bidi(&self) {
        each(
            || self.session.accept_bi(),
            |(send, recv)| echo_stream(send, recv, self.record.clone()),
        )
        .await;
    }

    async fn uni(&self) {
        each(
            || self.session.accept_uni(),
            |recv| {
                let (session, record) = (self.session.clone(), self.record.clone());
                let held = Held::new(self.held_kib.clone());
                answer_uni(session, recv, record, held)
            },
        )
        .await;
    }
}

/// Reads only what was written before: a client that does not read stops its own data.
pub(super) async fn echo_stream(mut send: SendStream, mut recv: RecvStream, record: Record) {
    let stopped = send.stopped();
    let copied = async {
        loop {
            match recv.read_chunk(CHUNK).await {
                Ok(Some(chunk)) => match send.write_chunk(chunk).await {
                    Ok(()) => {}
                    // Said by `stopped` too. The client may still reset its own half.
                    Err(WriteError::Stopped(_)) => return drain(recv, &record).await,
                    Err(_) => return,
                },
                Ok(None) => {
                    let _ = send.finish();
                    return;
                }
                Err(error) => {
                    record.on_read_error(&error);
                    if let ReadError::Reset(code) = error {
                        send.reset(code.unwrap_or(0));
                    }
                    return;
                }
            }
        }
    };
    let watched = async {
        if let Ok(code) = stopped.await {
            record.on_write_error(&WriteError::Stopped(code));
        }
    };
    tokio::join!(copied, watched);
}

/// Reads the rest for its end.
async fn drain(mut recv: RecvStream, record: &Record) {
    loop {
        match recv.read_chunk(CHUNK).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => return record.on_read_error(&error),
        }
    }
}

/// The bytes of a unidirectional stream, on one of ours, once all are there.
async fn answer_uni(session: Session, mut recv: RecvStream, record: Record, mut held: Held) {
    loop {
        match recv.read_chunk(CHUNK).await {
            Ok(Some(chunk)) => {
                if !held.push(chunk) {
                    return recv.stop(TOO_MUCH);
                }
            }
            Ok(None) => break,
            Err(error) => return record.on_read_error(&error),
        }
    }
    let Ok(mut send) = session.open_uni().await else {
        return;
    };
    for chunk in held.take() {
        if let Err(error) = send.write_chunk(chunk).await {
            return record.on_write_error(&error);
        }
    }
    let _ = send.finish();
}

/// Data held back, out of a supply that all clients share.
struct Held {
    data: Vec<u8>,
    supply: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Held {
    fn new(supply: Arc<Semaphore>) -> Self {
        Self {
            data: Vec::new(),
            supply,
            permits: Vec::new(),
        }
    }

    /// Whether there was room. Room comes in units of 64 KiB, so that permits stay few.
    fn push(&mut self, chunk: Bytes) -> bool {
        let needed = self.data.len() + chunk.len();
        if needed > MAX_HELD {
            return false;
        }
        while self.permits.len() * UNIT < needed {
            let Ok(permit) = self.supply.clone().try_acquire_many_owned(UNIT_KIB) else {
                return false;
            };
            self.permits.push(permit);
        }
        self.data.extend_from_slice(&chunk);
        true
    }

    /// The data in pieces, which are paid for until `self` is dropped.
    fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        let mut data = Bytes::from(std::mem::take(&mut self.data));
        std::iter::from_fn(move || (!data.is_empty()).then(|| data.split_to(data.len().min(CHUNK))))
    }
}

const CHUNK: usize = 64 << 10;

/// The longest unidirectional stream that is answered, in bytes.
const MAX_HELD: usize = 4 << 20;

const UNIT_KIB: u32 = 64;
const UNIT: usize = 64 << 10;

/// The code of streams that were too long: this application's own.
const TOO_MUCH: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_data_comes_back_and_its_room_too() {
        let supply = Arc::new(Semaphore::new(256));
        let mut held = Held::new(supply.clone());
        let data: Bytes = (0..100_000u32).map(|i| i as u8).collect();
        assert!(held.push(data.slice(..1)));
        assert_eq!(supply.available_permits(), 192);
        assert!(held.push(data.slice(1..)));
        assert_eq!(supply.available_permits(), 128);
        let back: Vec<_> = held.take().collect();
        assert_eq!(back.concat(), data);
        drop(held);
        assert_eq!(supply.available_permits(), 256);
    }

    #[test]
    fn holding_ends_at_the_supply_and_at_the_stream_s_bound() {
        let mut small = Held::new(Arc::new(Semaphore::new(64)));
        assert!(small.push(Bytes::from(vec![0; UNIT])));
        assert!(!small.push(Bytes::from_static(b"x")));
        let mut large = Held::new(Arc::new(Semaphore::new(1 << 20)));
        assert!(large.push(Bytes::from(vec![0; MAX_HELD])));
        assert!(!large.push(Bytes::from_static(b"x")));
    }
}
