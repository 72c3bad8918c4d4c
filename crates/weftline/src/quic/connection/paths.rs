//! Paths: where the connection is, and how it gets elsewhere (RFC 9000, section 9).

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Change, Connection,
    phase::Phase,
    receive::{Arrival, OpenedPacket},
};
use crate::{
    config::TransportConfig,
    error::{Fault, MigrateError},
    event::PathChange,
    quic::{
        cids::RemoteCids,
        path::{self, BASE, Expiry, Paths, Place, Role, Route, may_prefer},
        recovery::{Outcome, SpaceId},
    },
    time::Instant,
    wire::{Cid, ResetToken, Side, params::PreferredAddress},
};

/// A server's preferred address with an ID to use there, if it has one.
pub(super) fn preferred(
    config: &TransportConfig,
    new_cid: impl FnOnce() -> Cid,
    token_of: impl FnOnce(&Cid) -> ResetToken,
) -> Option<PreferredAddress> {
    let (ipv4, ipv6) = (config.preferred_ipv4, config.preferred_ipv6);
    if ipv4.is_none() && ipv6.is_none() {
        return None;
    }
    let cid = new_cid();
    Some(PreferredAddress {
        ipv4,
        ipv6,
        cid,
        reset_token: token_of(&cid),
    })
}

/// Commands.
impl Connection {
    /// Client: tries the path from another local address, and moves there if it works. `None`
    /// leaves the address to the socket.
    pub(crate) fn migrate(&mut self, local: Option<IpAddr>) -> Result<(), MigrateError> {
        if self.side == Side::Server {
            return Err(MigrateError::Server);
        }
        if self.phase != Phase::Confirmed {
            return Err(MigrateError::NotConfirmed);
        }
        let params = self.peer_params();
        if params.is_some_and(|params| params.disable_active_migration) {
            return Err(MigrateError::Forbidden);
        }
        let route = Route {
            local,
            ..self.paths.route()
        };
        self.try_route(route)
    }

    /// Client: the socket was exchanged for another. There is no going back, so nothing is asked.
    pub(crate) fn on_rebind(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.side == Side::Server || !self.phase.is_open() {
            return;
        }
        if self.phase != Phase::Confirmed {
            // What is sent again goes from the new socket. The server may take it, or not.
            return;
        }
        let challenge = self.random.bytes();
        let patience = self.path_patience();
        self.change_paths(now, |paths| paths.replace(now, challenge, patience));
        // When the server gave no other, the old one has to do.
        self.change_remote_cids(RemoteCids::renew);
        self.told_route = None;
        self.space_mut(SpaceId::Data).ping = true;
    }

    /// Goes on with other connection IDs, both ways, so that who watches the path sees another
    /// connection. False when the peer gave none, or has not yet done its part of the last time.
    pub(crate) fn rotate_cids(&mut self) -> bool {
        if self.phase != Phase::Confirmed || !self.local_cids.can_rotate() {
            return false;
        }
        if !self.change_remote_cids(RemoteCids::renew) {
            return false;
        }
        self.local_cids.rotate();
        self.issue_cids();
        true
    }
}

/// This side moves.
impl Connection {
    fn try_route(&mut self, route: Route) -> Result<(), MigrateError> {
        if self.paths.role().is_some() {
            return Err(MigrateError::Busy);
        }
        if !self.change_remote_cids(RemoteCids::reserve) {
            return Err(MigrateError::NoConnectionId);
        }
        let now = self.now.unwrap_or_default();
        let challenge = self.random.bytes();
        let patience = self.path_patience();
        self.change_paths(now, |paths| {
            paths.try_route(now, route, challenge, patience)
        });
        Ok(())
    }

    /// Client: moves to the address that the server prefers, if it is one to trust and the socket
    /// reaches it (RFC 9000, section 9.6).
    pub(super) fn try_preferred_address(&mut self) {
        if self.side == Side::Server || !self.config.use_preferred_address {
            return;
        }
        let Some(preferred) = self.peer_params().and_then(|p| p.preferred_address) else {
            return;
        };
        let current = self.paths.route().remote;
        let address = match current.ip() {
            IpAddr::V4(_) => preferred.ipv4.map(SocketAddr::from),
            IpAddr::V6(_) => preferred.ipv6.map(SocketAddr::from),
        };
        let Some(remote) = address.filter(|address| *address != current) else {
            return;
        };
        if may_prefer(current, remote) {
            let route = Route {
                remote,
                local: None,
            };
            // Without an ID the server stays where it is.
            let _ = self.try_route(route);
        }
    }

    /// The connection ID that goes with a probe; `None` when the path must be given up for want of
    /// one.
    pub(super) fn probe_cid(&self, place: Place) -> Option<Cid> {
        let current = self.remote_cids.current();
        match (place, self.remote_cids.other()) {
            (Place::Other, Some(cid)) => Some(cid),
            (Place::Other, None) if self.paths.role() == Some(Role::Trial) => None,
            _ => Some(current),
        }
    }

    /// The peer took the connection ID of a path that we tried, and gave no other.
    pub(super) fn abandon_trial(&mut self, now: Instant) {
        if let Some(route) = self.change_paths(now, Paths::drop_other) {
            self.report_failure(route);
        }
    }
}

/// The peer moves.
impl Connection {
    /// Whether datagrams over this route are taken. A server's peer may move once the handshake is
    /// confirmed, a client's only to the address that it prefers and we try (RFC 9000, section 9).
    pub(super) fn takes_from(&self, route: &Route) -> bool {
        match self.side {
            Side::Client => self.paths.leads_to(route.remote),
            Side::Server if self.paths.place(route) != Place::Elsewhere => true,
            Side::Server => {
                let may_move = !self.config.disable_active_migration || self.prefers(route.local);
                may_move && self.phase == Phase::Confirmed
            }
        }
    }

    fn prefers(&self, local: Option<IpAddr>) -> bool {
        let ipv4 = self.config.preferred_ipv4.map(|at| IpAddr::V4(*at.ip()));
        let ipv6 = self.config.preferred_ipv6.map(|at| IpAddr::V6(*at.ip()));
        local.is_some() && (local == ipv4 || local == ipv6)
    }

    /// A server takes the newest packet of all, for what it says of the client's whereabouts.
    pub(super) fn follow_peer(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &OpenedPacket,
        is_probing: bool,
    ) -> Result<(), Fault> {
        let place = self.paths.place(&arrival.route);
        if is_probing {
            if place == Place::Active {
                self.used_cid = packet.destination;
            } else if place == Place::Elsewhere && packet.destination != self.used_cid {
                self.on_peer_probes(now, arrival);
            }
            return Ok(());
        }
        if place != Place::Active {
            self.on_peer_moved(now, arrival, packet)?;
        }
        self.used_cid = packet.destination;
        Ok(())
    }

    /// The peer probes a path with a connection ID of its own, and wants to see another one of its
    /// IDs there, too (RFC 9000, section 9.5).
    fn on_peer_probes(&mut self, now: Instant, arrival: &Arrival) {
        if self.paths.role() == Some(Role::Probed) {
            self.change_paths(now, Paths::drop_other);
        }
        if self.paths.role().is_some() || !self.change_remote_cids(RemoteCids::reserve) {
            return;
        }
        let challenge = self.random.bytes();
        let patience = self.path_patience();
        let (route, len) = (arrival.route, arrival.len);
        self.change_paths(now, |paths| {
            paths.on_probed(now, route, len, challenge, patience)
        });
    }

    /// The peer sends from a new address (RFC 9000, section 9.3).
    fn on_peer_moved(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &OpenedPacket,
    ) -> Result<(), Fault> {
        let challenges = [self.random.bytes(), self.random.bytes()];
        let patience = self.path_patience();
        let (route, len) = (arrival.route, arrival.len);
        let change = self.change_paths(now, |paths| {
            paths.migrate(now, route, len, challenges, patience)
        });
        // A peer that took a new ID does not want to be recognised by ours (RFC 9000, section
        // 9.5). The old address keeps the old ID, as long as it counts.
        if packet.destination != self.used_cid {
            match change {
                path::Change::Address if self.paths.role() == Some(Role::Fallback) => {
                    self.change_remote_cids(RemoteCids::set_aside);
                }
                path::Change::Address | path::Change::Port => {
                    self.change_remote_cids(RemoteCids::renew);
                }
                path::Change::Probed | path::Change::Fallback => {}
            }
        }
        Ok(())
    }
}

/// What follows.
impl Connection {
    /// Does `change` to the paths, and has loss recovery and the connection IDs follow.
    pub(super) fn change_paths<T>(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut Paths) -> T,
    ) -> T {
        let (active, other) = (self.paths.id(), self.paths.other_id());
        let result = change(&mut self.paths);
        let (new_active, new_other) = (self.paths.id(), self.paths.other_id());
        if (active, other) == (new_active, new_other) {
            return result;
        }
        let size = self.paths.datagram_size();
        for id in [Some(new_active), new_other].into_iter().flatten() {
            if self.recovery.path(id).is_none() {
                self.recovery.add_path(now, id, size);
            }
        }
        if self.recovery.active().id() != new_active {
            self.recovery.activate(new_active);
        }
        for id in [Some(active), other].into_iter().flatten() {
            if id != new_active && Some(id) != new_other {
                self.recovery.remove_path(id);
            }
        }
        if active != new_active {
            self.on_mtu_change();
            if other == Some(new_active) {
                self.change_remote_cids(RemoteCids::swap);
            }
        }
        if new_other.is_none() {
            self.change_remote_cids(RemoteCids::drop_other);
        }
        result
    }

    pub(super) fn on_path_response(&mut self, now: Instant, data: [u8; 8]) {
        let before = self.paths.id();
        self.change_paths(now, |paths| paths.on_response(data));
        if self.paths.id() != before {
            // The server follows the first packet that does more than probe.
            self.space_mut(SpaceId::Data).ping = true;
        }
    }

    pub(super) fn on_path_timeout(&mut self, now: Instant) {
        match self.change_paths(now, |paths| paths.handle_timeout(now)) {
            Expiry::None | Expiry::Reverted => {}
            Expiry::TrialFailed(route) => self.report_failure(route),
            // RFC 9000, section 9.3.2.
            Expiry::NoPath if self.side == Side::Server => {
                self.on_silence("the peer is at no address that we know");
            }
            Expiry::NoPath => self.report_failure(self.paths.route()),
        }
        self.update_amplification();
    }

    /// Tells the layer above where the peer is, once that is certain.
    pub(super) fn report_path(&mut self) {
        let route = self.paths.route();
        // A server learns its own address by and by.
        let is_known = match self.side {
            Side::Client => self.told_route == Some(route),
            Side::Server => self.told_route.is_some_and(|told| told.matches(&route)),
        };
        if is_known || !self.paths.is_validated() || !self.phase.is_established() {
            return;
        }
        self.told_route = Some(route);
        let Route { remote, local } = route;
        self.changes
            .push_back(Change::Path(PathChange::Moved { remote, local }));
    }

    fn report_failure(&mut self, route: Route) {
        let Route { remote, local } = route;
        self.changes
            .push_back(Change::Path(PathChange::Failed { remote, local }));
    }

    /// As long as validation may take on a path that nothing is known of (RFC 9000, section
    /// 8.2.4).
    fn path_patience(&self) -> Duration {
        let unknown = self.config.initial_rtt.saturating_mul(3);
        let patience = self.recovery.pto(SpaceId::Data).max(unknown);
        patience.saturating_mul(3)
    }

    /// Tells path MTU discovery what became of datagrams.
    pub(super) fn apply_mtu_outcome(&mut self, outcome: &mut Outcome) {
        let (acked, lost) = (outcome.acked_max.take(), outcome.lost_min.take());
        let acked_probe = outcome.acked_mtu_probe.take();
        let lost_probe = outcome.lost_mtu_probe.take();
        let now = self.now.unwrap_or_default();
        let round = self.recovery.pto(SpaceId::Data);
        let path = self.paths.id();
        let mtu = self.paths.mtu();
        let mut has_changed = false;
        if let Some(largest) = acked {
            mtu.on_acked(largest);
        }
        if let Some(smallest) = lost
            && acked.is_none_or(|largest| largest <= BASE)
        {
            has_changed |= mtu.on_lost(now, smallest, round);
        }
        if let Some(probe) = lost_probe.filter(|probe| probe.path == path) {
            mtu.on_probe_lost(probe.size);
        }
        if let Some(probe) = acked_probe.filter(|probe| probe.path == path) {
            has_changed |= mtu.on_probe_acked(probe.size);
        }
        if has_changed {
            self.on_mtu_change();
        }
    }

    /// Datagrams on the active path have another size.
    pub(super) fn on_mtu_change(&mut self) {
        let size = self.paths.datagram_size();
        self.recovery.on_mtu_update(self.paths.id(), size);
    }
}
