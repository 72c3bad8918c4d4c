//! The probe of a connection, and what it was last told.

use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;

use crate::{
    crypto::Version,
    probe::{CongestionState, LossTrigger, Metrics, Probe, ProbeEvent, ProbeFactory, Subject},
    time::Instant,
};

use super::connection::Phase;

/// The probe of a connection, if it has one. Without one, everything here is a branch.
#[derive(Default)]
pub(crate) struct Observer(Option<Box<Watch>>);

struct Watch {
    probe: Box<dyn Probe>,
    now: Instant,
    told: Told,
}

/// What the probe was last told of things that last.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) phase: Option<Phase>,
    /// For each packet number space.
    pub(crate) keys: [KeyState; 3],
    pub(crate) key_updates: u64,
    pub(crate) version: Option<Version>,
    pub(crate) has_peer_params: bool,
    pub(crate) metrics: Metrics,
    pub(crate) congestion: Option<CongestionState>,
    pub(crate) path: Option<(SocketAddr, bool)>,
    pub(crate) mtu: u16,
    pub(crate) datagrams_dropped: (u64, u64),
}

/// What became of the keys of a space.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyState {
    #[default]
    Awaited,
    Installed,
    Discarded,
}

impl Observer {
    /// The probe that the factory makes.
    pub(crate) fn new(factory: Option<&dyn ProbeFactory>, subject: &Subject) -> Self {
        let probe = factory.and_then(|factory| factory.probe(subject));
        Self(probe.map(|probe| {
            Box::new(Watch {
                probe,
                now: subject.now,
                told: Told::default(),
            })
        }))
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The time of what is told next.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Instant) {
        if let Some(watch) = &mut self.0 {
            watch.now = now;
        }
    }

    /// Tells the probe of an event, which is made only if there is a probe.
    #[inline]
    pub(crate) fn tell<'a>(&mut self, event: impl FnOnce() -> ProbeEvent<'a>) {
        if let Some(watch) = &mut self.0 {
            watch.probe.on_event(watch.now, &event());
        }
    }

    /// Takes out what the probe was last told, to be put back by [`Self::set_told`].
    pub(crate) fn take_told(&mut self) -> Told {
        let watch = self.0.as_mut();
        watch.map_or_else(Told::default, |watch| core::mem::take(&mut watch.told))
    }

    pub(crate) fn set_told(&mut self, told: Told) {
        if let Some(watch) = &mut self.0 {
            watch.told = told;
        }
    }
}

/// What became of packets of one space, for the probe. Nothing is noted without one.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    is_on: bool,
    list: Vec<(u64, Fate)>,
}

/// What became of a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acked,
    Lost(LossTrigger),
}

impl Fates {
    pub(crate) fn turn_on(&mut self) {
        self.is_on = true;
    }

    #[inline]
    pub(crate) fn note(&mut self, packets: impl Iterator<Item = u64>, fate: Fate) {
        if self.is_on {
            self.list.extend(packets.map(|number| (number, fate)));
        }
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, Fate)> + '_ {
        self.list.drain(..)
    }
}
