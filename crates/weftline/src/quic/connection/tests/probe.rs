//! What a probe sees is what happens, and it changes nothing.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec, vec::Vec};
use core::time::Duration;
use std::sync::Mutex;

use super::pair::{Options, Pair};
use crate::{
    Instant,
    config::TransportConfig,
    probe::{
        ConnectionState, DropTrigger, LossTrigger, Owner, Probe, ProbeEvent, ProbeFactory,
        StreamState, Subject,
    },
    quic::Change,
    stats::FrameKind,
    wire::{Dir, Side, packet::PacketType},
};

/// A packet as a probe saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    packet_type: PacketType,
    number: u64,
    len: usize,
    frames: Vec<String>,
}

/// What the probe of one end heard.
#[derive(Clone, Debug, Default)]
struct Log {
    sent: Vec<Seen>,
    received: Vec<Seen>,
    dropped: Vec<(Option<PacketType>, DropTrigger)>,
    acked: Vec<(PacketType, u64)>,
    lost: Vec<(PacketType, u64, LossTrigger)>,
    states: Vec<ConnectionState>,
    streams: Vec<StreamState>,
    parameters: Vec<(Owner, u64)>,
    in_flight: u64,
    /// Everything else.
    others: Vec<String>,
    times: Vec<Instant>,
}

type Logs = Arc<Mutex<BTreeMap<Side, Log>>>;

struct Recorder {
    side: Side,
    logs: Logs,
}

impl Probe for Recorder {
    fn on_event(&mut self, now: Instant, event: &ProbeEvent<'_>) {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry(self.side).or_default();
        log.times.push(now);
        match event {
            ProbeEvent::PacketSent(packet) => log.sent.push(seen(packet)),
            ProbeEvent::PacketReceived(packet) => log.received.push(seen(packet)),
            ProbeEvent::PacketDropped(packet, trigger) => {
                log.dropped.push((packet.packet_type, *trigger));
            }
            ProbeEvent::PacketAcked(packet) => log.acked.push((packet.packet_type, packet.number)),
            ProbeEvent::PacketLost(packet, trigger) => {
                log.lost.push((packet.packet_type, packet.number, *trigger));
            }
            ProbeEvent::State(state) => log.states.push(*state),
            ProbeEvent::Stream(_, state) => log.streams.push(*state),
            ProbeEvent::Parameters(owner, params) => {
                log.parameters.push((*owner, params.initial_max_data));
            }
            ProbeEvent::Metrics(metrics) => log.in_flight = metrics.bytes_in_flight,
            other => log.others.push(format!("{other:?}")),
        }
    }
}

fn seen(packet: &crate::probe::Packet<'_>) -> Seen {
    Seen {
        packet_type: packet.packet_type,
        number: packet.number,
        len: packet.len,
        frames: packet.frames.iter().map(|f| format!("{f:?}")).collect(),
    }
}

fn recorded() -> (Logs, Options) {
    let logs = Logs::default();
    let shared = logs.clone();
    let factory = move |subject: &Subject| {
        let probe: Box<dyn Probe> = Box::new(Recorder {
            side: subject.side,
            logs: shared.clone(),
        });
        Some(probe)
    };
    let options = Options {
        probe: Some(Arc::new(factory) as Arc<dyn ProbeFactory>),
        ..Options::default()
    };
    (logs, options)
}

fn log(logs: &Logs, side: Side) -> Log {
    logs.lock().unwrap().get(&side).cloned().unwrap_or_default()
}

/// A stream there and its end back, and a datagram.
fn talk(pair: &mut Pair) {
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, &[7; 20_000]).unwrap();
    pair.client.conn.finish(id).unwrap();
    let _ = pair.client.conn.send_datagram(b"", b"datagram");
    pair.run_for(Duration::from_secs(1));
    pair.server.read_all(id);
    pair.server.conn.finish(id).unwrap();
    pair.run_for(Duration::from_secs(1));
    pair.client.read_all(id);
    pair.run_for(Duration::from_secs(1));
}

#[test]
fn packets_sent_are_the_packets_the_peer_received() {
    let (logs, options) = recorded();
    let mut pair = Pair::connected(&options);
    talk(&mut pair);
    for (side, end) in [(Side::Client, &pair.client), (Side::Server, &pair.server)] {
        let (ours, theirs) = (log(&logs, side), log(&logs, side.peer()));
        let stats = end.conn.stats();
        assert_eq!(ours.sent.len() as u64, stats.packets_sent);
        assert_eq!(ours.received.len() as u64, stats.packets_received);
        assert_eq!(ours.dropped.len() as u64, stats.packets_dropped);
        assert_eq!(ours.lost, []);
        assert!(ours.sent.iter().all(|packet| !packet.frames.is_empty()));
        assert_eq!(ours.in_flight, stats.bytes_in_flight);
        let dropped = theirs.dropped.len();
        assert_eq!(ours.sent.len(), theirs.received.len() + dropped);
        if dropped == 0 {
            assert_eq!(ours.sent, theirs.received);
        }
        assert!(ours.times.is_sorted());
        // What is counted is what is in the packets.
        for (packets, counts) in [
            (&ours.sent, &stats.frames_sent),
            (&ours.received, &stats.frames_received),
        ] {
            let frames = packets.iter().flat_map(|packet| &packet.frames);
            let total = frames.filter(|frame| !frame.starts_with("Padding"));
            assert_eq!(total.count() as u64, counts.total());
        }
    }
}

#[test]
fn frames_are_counted_alike_at_both_ends() {
    let mut pair = Pair::connected(&Options::default());
    talk(&mut pair);
    let (client, server) = (pair.client.conn.stats(), pair.server.conn.stats());
    assert_eq!(client.packets_dropped + server.packets_dropped, 0);
    assert_eq!(client.frames_sent, server.frames_received);
    assert_eq!(server.frames_sent, client.frames_received);
    assert!(client.frames_sent.of(FrameKind::Stream) >= 17);
    assert_eq!(client.frames_sent.of(FrameKind::Datagram), 1);
    assert_eq!(client.frames_sent.of(FrameKind::Other), 0);
    assert_eq!(server.frames_sent.of(FrameKind::HandshakeDone), 1);
    assert_eq!(
        (client.udp_sent, server.udp_sent),
        (server.udp_received, client.udp_received)
    );
    assert_eq!(client.bytes_sent, server.bytes_received);
    assert_eq!(client.bytes_resent, 0);
    // There and back at least.
    for stats in [&client, &server] {
        let time = stats.handshake_time.unwrap();
        assert!((20..=60).contains(&time.as_millis()), "{time:?}");
    }
    let path = pair.client.conn.path_stats();
    assert_eq!(path.rtt, client.rtt);
    assert_eq!(path.congestion_window, client.congestion_window);
    assert!(path.validated && path.mtu >= 1200);
    let by_hand = path.congestion_window * 1_000_000 / path.rtt.as_micros() as u64;
    assert_eq!(path.send_rate, by_hand);
    assert!(path.pacing_rate > Some(by_hand));
    assert_eq!(path.ssthresh, None);
}

#[test]
fn what_was_sent_again_is_counted() {
    let mut pair = Pair::connected(&Options::default());
    let id = pair.client.conn.open(Dir::Bi).unwrap();
    pair.client.conn.write(id, &[7; 10_000]).unwrap();
    let mut left = 2;
    pair.network = Box::new(move |side, _, data| {
        let lose = side == Side::Client && data.len() > 1000 && left > 0;
        left -= u32::from(lose);
        usize::from(!lose)
    });
    pair.run();
    let stats = pair.client.conn.stats();
    assert!(stats.packets_lost >= 2);
    assert!(
        (2000..4000).contains(&stats.bytes_resent),
        "{}",
        stats.bytes_resent
    );
    assert_eq!(pair.server.read_all(id).0.len(), 10_000);
}

#[test]
fn the_life_of_a_connection_is_told() {
    use ConnectionState::{Closed, Closing, Confirmed, Draining, Established, Handshaking};
    let (logs, mut options) = recorded();
    options.server = TransportConfig::default();
    let mut pair = Pair::connected(&options);
    talk(&mut pair);
    let space = crate::event::ErrorSpace::Application;
    pair.client.conn.close(space, 7, "bye");
    pair.run();
    let (client, server) = (log(&logs, Side::Client), log(&logs, Side::Server));
    assert_eq!(
        client.states,
        [Handshaking, Established, Confirmed, Closing, Closed]
    );
    // A server's handshake is confirmed as soon as it is complete.
    assert_eq!(server.states, [Handshaking, Confirmed, Draining, Closed]);
    let streams = [
        StreamState::Open,
        StreamState::Delivered,
        StreamState::Closed,
    ];
    assert_eq!(client.streams, streams);
    assert_eq!(server.streams, streams);
    let window = options.client_limits.connection_window;
    for log in [&client, &server] {
        let both = [(Owner::Local, window), (Owner::Remote, window)];
        assert_eq!(log.parameters, both);
        for wanted in [
            "Version(Version(1))",
            "Alpn([116, 101, 115, 116])",
            "KeysInstalled(Initial)",
            "KeysInstalled(Handshake)",
            "KeysInstalled(OneRtt)",
            "KeysDiscarded(Initial)",
            "KeysDiscarded(Handshake)",
            "Mtu(1200)",
        ] {
            let count = log.others.iter().filter(|told| *told == wanted).count();
            assert_eq!(count, 1, "{wanted} in {:#?}", log.others);
        }
        let closed = log.others.iter().filter(|e| e.starts_with("Closed("));
        assert_eq!(closed.count(), 1);
    }
}

#[test]
fn losses_and_acknowledgements_are_told() {
    let (logs, options) = recorded();
    let mut pair = Pair::connected(&options);
    pair.network = Box::new(|side, index, _| usize::from(side == Side::Server || index % 7 != 3));
    talk(&mut pair);
    let client = log(&logs, Side::Client);
    assert!(!client.lost.is_empty());
    assert_eq!(
        client.lost.len() as u64,
        pair.client.conn.stats().packets_lost
    );
    let mut fates: Vec<_> = client.acked.clone();
    fates.extend(client.lost.iter().map(|&(t, number, _)| (t, number)));
    let count = fates.len();
    fates.sort_by_key(|&(t, number)| (t as u8, number));
    fates.dedup();
    assert_eq!(fates.len(), count, "one fate each");
    let sent = |fate: &(PacketType, u64)| {
        let mut packets = client.sent.iter();
        packets.any(|packet| (packet.packet_type, packet.number) == *fate)
    };
    assert!(fates.iter().all(sent));
    assert!(client.lost.iter().any(|l| l.2 == LossTrigger::Reordering));
}

#[test]
fn dropped_packets_have_a_trigger() {
    let (logs, options) = recorded();
    let mut pair = Pair::connected(&options);
    // Twice, and then once damaged.
    pair.network = Box::new(|side, _, _| if side == Side::Client { 2 } else { 1 });
    talk(&mut pair);
    pair.network = Box::new(|side, _, data| {
        if side == Side::Client
            && let Some(last) = data.last_mut()
        {
            *last ^= 1;
        }
        1
    });
    let _ = pair.client.conn.send_datagram(b"", b"damaged");
    pair.run_for(Duration::from_millis(50));
    let server = log(&logs, Side::Server);
    let stats = pair.server.conn.stats();
    assert_eq!(server.dropped.len() as u64, stats.packets_dropped);
    for trigger in [DropTrigger::Duplicate, DropTrigger::Undecryptable] {
        let wanted = (Some(PacketType::OneRtt), trigger);
        assert!(server.dropped.contains(&wanted), "{trigger:?}");
    }
}

#[test]
fn a_probe_changes_nothing_that_is_sent() {
    let run = |options: &Options| {
        let datagrams = Arc::new(Mutex::new(Vec::new()));
        let mut pair = Pair::new(options);
        let all = datagrams.clone();
        pair.network = Box::new(move |side, index, data| {
            all.lock().unwrap().push((side, data.clone()));
            usize::from(index % 11 != 5)
        });
        pair.run_until(|pair| pair.client.has(&Change::Connected));
        talk(&mut pair);
        let space = crate::event::ErrorSpace::Application;
        pair.server.conn.close(space, 1, "over");
        pair.run();
        let all = datagrams.lock().unwrap().clone();
        (all, pair.now)
    };
    let (logs, watched) = recorded();
    let with = run(&watched);
    let without = run(&Options::default());
    assert_eq!(with.0.len(), without.0.len());
    assert_eq!(with, without);
    assert!(!log(&logs, Side::Server).lost.is_empty());
    assert_ne!(with.0, vec![]);
}
