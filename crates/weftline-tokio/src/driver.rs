//! The task behind an endpoint.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use tokio::{
    io::Interest,
    net::UdpSocket,
    task,
    time::{self, Sleep},
};
use weftline::{Instant, driver::Pump};
use weftline_std::{NonBlocking, UdpIo, UdpSockRef};

use crate::shared::{Shared, Wake};

/// Moves datagrams, watches the time and wakes whoever waits for an event, until no handle and no
/// connection is left.
pub(crate) async fn drive(shared: Arc<Shared>, mut io: UdpIo<Socket>) {
    // Dropped last, and also when the runtime shuts down or a bug ends the task.
    let _lost = Lost(shared.clone());
    let mut pump = Pump::new();
    let mut wakes = Vec::new();
    let mut sleep = pin!(time::sleep_until(shared.to_tokio(Instant::ZERO)));
    loop {
        let is_over = turn(&shared, &mut io, &mut pump, &mut wakes);
        wakes.drain(..).for_each(Wake::wake);
        if is_over {
            return;
        }
        // Handles may have been used since the turn: they have woken this task if it matters.
        let deadline = pump.deadline(&shared.lock().endpoint);
        if deadline.is_some_and(|at| at <= shared.now()) {
            task::yield_now().await;
            continue;
        }
        let wait = wait(&shared, &io, &pump, deadline, sleep.as_mut());
        if wait.await.is_err() {
            return;
        }
    }
}

/// Whether the driver's work is over.
fn turn(shared: &Shared, io: &mut UdpIo<Socket>, pump: &mut Pump, wakes: &mut Vec<Wake>) -> bool {
    let mut state = shared.lock();
    if let Some(next) = state.next_io.take() {
        io.replace(*next);
        state.endpoint.handle_rebind(shared.now());
    }
    pump.turn(&mut state.endpoint, io, shared.now());
    state.take_events();
    state.stats.turns += 1;
    state.stats.io = io.stats();
    state.take_wakes(wakes);
    state.is_released && state.endpoint.is_empty()
}

/// Waits for whatever makes a turn worth while.
///
/// # Errors
/// When the runtime shuts down.
async fn wait(
    shared: &Shared,
    io: &UdpIo<Socket>,
    pump: &Pump,
    deadline: Option<Instant>,
    mut sleep: Pin<&mut Sleep>,
) -> io::Result<()> {
    if let Some(at) = deadline.map(|at| shared.to_tokio(at))
        && at != sleep.deadline()
    {
        sleep.as_mut().reset(at);
    }
    let socket = &io.socket().0;
    let mut woken = pin!(shared.driver_woken());
    poll_fn(|cx| {
        if let Poll::Ready(readable) = socket.poll_recv_ready(cx) {
            return Poll::Ready(readable);
        }
        if pump.is_blocked()
            && let Poll::Ready(writable) = socket.poll_send_ready(cx)
        {
            return Poll::Ready(writable);
        }
        let timeout = deadline.is_some() && sleep.as_mut().poll(cx).is_ready();
        if timeout || woken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
}

/// Tells everyone when the driver is gone. After a proper end there is nobody to tell.
struct Lost(Arc<Shared>);

impl Drop for Lost {
    fn drop(&mut self) {
        let mut wakes = Vec::new();
        let mut state = self.0.lock();
        state.on_driver_lost();
        state.take_wakes(&mut wakes);
        drop(state);
        wakes.drain(..).for_each(Wake::wake);
    }
}

/// tokio's socket as [`UdpIo`] takes it.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) UdpSocket);

impl NonBlocking for Socket {
    fn as_udp(&self) -> UdpSockRef<'_> {
        (&self.0).into()
    }

    fn try_recv<R>(&self, receive: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::READABLE, receive)
    }

    fn try_send<R>(&self, send: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::WRITABLE, send)
    }
}
