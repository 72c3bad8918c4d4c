//! What the handles and the driver task share.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use tokio::{sync::Notify, time};
use weftline::{Instant, error::DatagramError};

use crate::state::State;

/// One endpoint's state, and how to reach its driver.
pub(crate) struct Shared {
    /// Never held while waiting; no handle is dropped under it, as that takes it again.
    state: Mutex<State>,
    driver: Notify,
    origin: time::Instant,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            driver: Notify::new(),
            origin: time::Instant::now(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug; what it left is still better than a second panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the driver take a turn: something may have to be sent.
    pub(crate) fn wake_driver(&self) {
        self.driver.notify_one();
    }

    /// Ready once [`Shared::wake_driver`] was called since the last time.
    pub(crate) async fn driver_woken(&self) {
        self.driver.notified().await;
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// When tokio's clock will show `at`.
    pub(crate) fn to_tokio(&self, at: Instant) -> time::Instant {
        self.origin + at.saturating_since(Instant::ZERO)
    }

    /// Waits until `attempt` gives something, trying again at each `signal`.
    pub(crate) async fn wait<T>(
        &self,
        signal: &Signal,
        mut attempt: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        loop {
            let mut signalled = pin!(signal.0.notified());
            // From here on no signal is missed, so none is between the attempt and the wait.
            signalled.as_mut().enable();
            let result = attempt(&mut self.lock());
            if let Some(value) = result {
                return value;
            }
            signalled.await;
        }
    }

    /// Queues a datagram by `send`, once there is room in the queue.
    pub(crate) async fn send_datagram(
        &self,
        mut send: impl FnMut(&mut State) -> Result<(), DatagramError>,
    ) -> Result<(), DatagramError> {
        let _waiting = Waiting::new(self);
        let room = self.lock().datagram_room.clone();
        let send = |state: &mut State| match send(state) {
            Err(DatagramError::Full) => None,
            result => Some(result),
        };
        let result = self.wait(&room, send).await;
        self.wake_driver();
        result
    }
}

/// Counts those who wait for room in queues of datagrams.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.lock().datagram_waiters += 1;
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().datagram_waiters -= 1;
    }
}

/// Wakes everyone who waits for something that many may wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<Notify>);

/// Whom to wake when the lock is free again.
pub(crate) enum Wake {
    Task(Waker),
    All(Signal),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::All(signal) => signal.0.notify_waiters(),
        }
    }
}

/// Puts a task's waker into a slot.
pub(crate) fn register(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) => old.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}
