use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::time::Duration;

use super::*;
use crate::{
    crypto::{TAG_LEN, null::NullProvider},
    wire::Side,
};

/// A client's keys, and what its server may send.
struct World {
    phases: KeyPhases,
    /// The server's sealing keys, by generation.
    server: Vec<Box<dyn PacketKey>>,
    now: Instant,
}

/// Something that happens to the client.
#[derive(Copy, Clone, Debug)]
enum Do {
    Confirm,
    /// A packet of this generation and number arrives.
    Open(u64, u64),
    /// A packet with this key phase bit that nobody sealed arrives.
    Forged(bool, u64),
    /// A packet with this number is sent.
    Seal(u64),
    AckSent,
    Ack(u64, Slot),
    Update,
    /// This much later.
    Wait(u64),
}
use Do::*;

impl World {
    fn new(provider: NullProvider) -> Self {
        let (keys, next) = provider.one_rtt_keys(Side::Client);
        let (first, mut later) = provider.one_rtt_keys(Side::Server);
        let mut server = vec![first.local.packet];
        server.extend((1..5).map(|_| later.next().local));
        Self {
            phases: KeyPhases::new(keys, next),
            server,
            now: Instant::from_micros(1000),
        }
    }

    fn run(script: &[Do]) -> Self {
        let mut world = Self::new(NullProvider::insecure());
        for step in script {
            world.step(*step);
        }
        world
    }

    /// What came of it, and the generation after.
    fn step(&mut self, step: Do) -> String {
        let result = match step {
            Confirm => {
                self.phases.on_confirmed();
                "ok".to_string()
            }
            Open(generation, pn) => {
                let mut packet = [0; 5 + TAG_LEN];
                self.server[generation as usize]
                    .seal(pn, b"head", &mut packet)
                    .unwrap();
                self.open(generation & 1 == 1, pn, &mut packet)
            }
            Forged(phase, pn) => self.open(phase, pn, &mut [7; 5 + TAG_LEN]),
            Seal(pn) => {
                let sealed = self.phases.seal(pn, b"head", &mut [0; TAG_LEN]);
                format!("{sealed:?}")
            }
            AckSent => {
                self.phases.on_ack_sent();
                "ok".to_string()
            }
            Ack(pn, slot) => match self.phases.on_ack(pn, slot, || self.now + PTO * 3) {
                Ok(()) => "ok".to_string(),
                Err(fault) => describe(&fault),
            },
            Update => self.phases.try_update(self.now).to_string(),
            Wait(micros) => {
                self.now += Duration::from_micros(micros);
                self.phases.handle_timeout(self.now);
                "ok".to_string()
            }
        };
        format!("{result} @{}", self.phases.generation())
    }

    fn open(&mut self, phase: bool, pn: u64, packet: &mut [u8]) -> String {
        let until = self.now + PTO * 3;
        match self.phases.open(phase, pn, b"head", packet, || until) {
            Ok(opened) => {
                assert_eq!(opened.len, 5);
                format!("{:?}", opened.keys)
            }
            Err(OpenError::Drop) => "drop".to_string(),
            Err(OpenError::Fault(fault)) => describe(&fault),
        }
    }
}

fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Transport { code, .. } => format!("{code:?}"),
        other => panic!("{other:?}"),
    }
}

const PTO: Duration = Duration::from_micros(100);

/// Every state of the receive side, as the way that leads to it. Packet 5 is of the generation
/// before the current where there is one, packet 10 of the current.
const STATES: [(&str, &[Do]); 8] = [
    ("new", &[]),
    ("first", &[Open(0, 10)]),
    (
        "first, settled",
        &[
            Confirm,
            Seal(0),
            Open(0, 10),
            AckSent,
            Ack(0, Slot::Current),
        ],
    ),
    (
        "we updated",
        &[Confirm, Seal(0), Open(0, 5), Ack(0, Slot::Current), Update],
    ),
    (
        "we updated, it followed",
        &[
            Confirm,
            Seal(0),
            Open(0, 5),
            Ack(0, Slot::Current),
            Update,
            Open(1, 10),
        ],
    ),
    ("it updated", &[Open(0, 5), Open(1, 10)]),
    ("it updated, answered", &[Open(0, 5), Open(1, 10), AckSent]),
    (
        "it updated, answered, 3 PTO",
        &[Open(0, 5), Open(1, 10), AckSent, Wait(300)],
    ),
];

/// What then happens to packets of the previous, current and next generation with low (4), middle
/// (7) and high (20) numbers; then forged ones, and an update of ours.
const TABLE: &str = "\
new
  current 4: Current @0   current 7: Current @0   current 20: Current @0
  next 4: Next @1   next 20: Next @1
  forged, same bit: drop @0   forged, other bit: drop @0   update: false @0
first
  current 4: Current @0   current 7: Current @0   current 20: Current @0
  next 4: KeyUpdateError @0   next 20: Next @1
  forged, same bit: drop @0   forged, other bit: drop @0   update: false @0
first, settled
  current 4: Current @0   current 7: Current @0   current 20: Current @0
  next 4: KeyUpdateError @0   next 20: Next @1
  forged, same bit: drop @0   forged, other bit: drop @0   update: true @1
we updated
  previous 4: Previous @1   previous 7: Previous @1   previous 20: Previous @1
  current 4: KeyUpdateError @1   current 7: Current @1   current 20: Current @1
  next 4: drop @1   next 20: drop @1
  forged, same bit: drop @1   forged, other bit: drop @1   update: false @1
we updated, it followed
  previous 4: Previous @1   previous 7: Previous @1   previous 20: KeyUpdateError @1
  current 4: KeyUpdateError @1   current 7: Current @1   current 20: Current @1
  next 4: drop @1   next 20: drop @1
  forged, same bit: drop @1   forged, other bit: drop @1   update: false @1
it updated
  previous 4: Previous @1   previous 7: Previous @1   previous 20: KeyUpdateError @1
  current 4: KeyUpdateError @1   current 7: Current @1   current 20: Current @1
  next 4: drop @1   next 20: drop @1
  forged, same bit: drop @1   forged, other bit: drop @1   update: false @1
it updated, answered
  previous 4: Previous @1   previous 7: Previous @1   previous 20: drop @1
  current 4: KeyUpdateError @1   current 7: Current @1   current 20: Current @1
  next 4: drop @1   next 20: Next @2
  forged, same bit: drop @1   forged, other bit: drop @1   update: false @1
it updated, answered, 3 PTO
  previous 4: drop @1   previous 7: drop @1   previous 20: drop @1
  current 4: KeyUpdateError @1   current 7: Current @1   current 20: Current @1
  next 4: KeyUpdateError @1   next 20: Next @2
  forged, same bit: drop @1   forged, other bit: drop @1   update: false @1
";

#[test]
fn state_table() {
    let mut table = String::new();
    for (name, script) in STATES {
        let generation = World::run(script).phases.generation();
        let cell = |label: &str, step| format!("{label}: {}", World::run(script).step(step));
        let packets = |label: &str, generation, numbers: &[u64]| {
            let cell = |pn: &u64| cell(&format!("{label} {pn}"), Open(generation, *pn));
            let cells: Vec<_> = numbers.iter().map(cell).collect();
            format!("  {}\n", cells.join("   "))
        };
        table += &format!("{name}\n");
        if let Some(previous) = generation.checked_sub(1) {
            table += &packets("previous", previous, &[4, 7, 20]);
        }
        table += &packets("current", generation, &[4, 7, 20]);
        table += &packets("next", generation + 1, &[4, 20]);
        let bit = generation & 1 == 1;
        let same = cell("forged, same bit", Forged(bit, 20));
        let other = cell("forged, other bit", Forged(!bit, 20));
        table += &format!("  {same}   {other}   {}\n", cell("update", Update));
    }
    assert_eq!(table, TABLE);
}

#[test]
fn an_update_of_ours_waits_its_turn() {
    let mut world = World::new(NullProvider::insecure());
    let steps = [
        (Seal(0), "Ok(()) @0"),
        (Open(0, 5), "Current @0"),
        (Ack(0, Slot::Current), "ok @0"),
        (Update, "false @0"),
        (Confirm, "ok @0"),
        (Update, "true @1"),
        // Nothing of this phase is sent, then nothing is acknowledged.
        (Update, "false @1"),
        (Seal(1), "Ok(()) @1"),
        (Update, "false @1"),
        (Ack(0, Slot::Previous), "ok @1"),
        (Open(1, 6), "Current @1"),
        (Ack(1, Slot::Current), "ok @1"),
        (Update, "false @1"),
        (Wait(299), "ok @1"),
        (Update, "false @1"),
        (Wait(1), "ok @1"),
        (Update, "true @2"),
    ];
    for (step, expected) in steps {
        assert_eq!(world.step(step), expected, "{step:?}");
    }
}

#[test]
fn old_keys_do_not_acknowledge_new_ones() {
    let mut world = World::run(&[Confirm, Seal(0), Ack(0, Slot::Current), Update, Seal(1)]);
    assert_eq!(world.step(Ack(0, Slot::Previous)), "ok @1");
    assert_eq!(world.step(Ack(1, Slot::Previous)), "KeyUpdateError @1");
}

#[test]
fn previous_keys_have_a_deadline() {
    let mut world = World::run(&[Confirm, Seal(0), Ack(0, Slot::Current), Update]);
    // Kept until the peer followed, however long that takes.
    assert_eq!(world.phases.poll_timeout(), None);
    world.step(Wait(100_000));
    assert_eq!(world.step(Open(0, 5)), "Previous @1");

    let opened_at = world.now;
    assert_eq!(world.step(Open(1, 9)), "Current @1");
    assert_eq!(world.phases.poll_timeout(), Some(opened_at + PTO * 3));
    world.step(Wait(100));
    // Later packets do not put it off.
    world.step(Open(1, 10));
    assert_eq!(world.phases.poll_timeout(), Some(opened_at + PTO * 3));
    world.step(Wait(199));
    assert_eq!(world.step(Open(0, 6)), "Previous @1");
    world.step(Wait(1));
    assert_eq!(world.step(Open(0, 7)), "drop @1");
    assert_eq!(world.phases.poll_timeout(), None);
}

#[test]
fn a_double_update_is_an_error_when_old_keys_are_gone() {
    let mut world = World::run(&[Open(0, 5), Open(1, 10), Wait(300)]);
    assert_eq!(world.step(Open(2, 20)), "KeyUpdateError @1");
}

#[test]
fn sides_follow_each_other() {
    let provider = NullProvider::insecure();
    let [mut client, mut server] = [Side::Client, Side::Server].map(|side| {
        let (keys, next) = provider.one_rtt_keys(side);
        KeyPhases::new(keys, next)
    });
    client.on_confirmed();
    server.on_confirmed();
    let mut now = Instant::ZERO;
    let send = |from: &mut KeyPhases, to: &mut KeyPhases, pn: u64, now: Instant| {
        let phase = from.prepare(now).unwrap();
        let mut packet = [0; TAG_LEN];
        from.seal(pn, b"", &mut packet).unwrap();
        from.on_ack_sent();
        let opened = to.open(phase, pn, b"", &mut packet, || now).unwrap();
        to.on_ack(pn.saturating_sub(1), opened.keys, || now)
            .unwrap();
    };
    for pn in 0..40 {
        now += PTO;
        send(&mut client, &mut server, pn, now);
        send(&mut server, &mut client, pn, now);
        assert_eq!(client.generation(), server.generation());
        assert_eq!(
            client.local_header().mask(&[1; 16]),
            server.remote_header().mask(&[1; 16])
        );
        // Sides take turns, and now and then both update at once.
        if pn % 4 == 0 {
            client.try_update(now);
        }
        if pn % 6 == 0 {
            server.try_update(now);
        }
    }
    assert!(client.generation() >= 10, "{}", client.generation());
}

#[test]
fn a_key_near_its_limit_is_updated() {
    let mut world = World::new(NullProvider::insecure().with_confidentiality_limit(100));
    world.step(Confirm);
    world.step(Seal(0));
    world.step(Ack(0, Slot::Current));
    for pn in 1..75 {
        assert_eq!(world.phases.prepare(world.now), Ok(false), "packet {pn}");
        world.step(Seal(pn));
    }
    assert_eq!(world.phases.prepare(world.now), Ok(true));
    assert_eq!(world.phases.generation(), 1);
    // The count starts again.
    assert_eq!(world.step(Seal(75)), "Ok(()) @1");
    assert_eq!(world.phases.prepare(world.now), Ok(true));
}

#[test]
fn a_key_that_cannot_be_updated_ends_the_connection() {
    let mut world = World::new(NullProvider::insecure().with_confidentiality_limit(100));
    for pn in 0..88 {
        assert_eq!(world.phases.prepare(world.now), Ok(false), "packet {pn}");
        world.step(Seal(pn));
    }
    assert_eq!(world.phases.prepare(world.now), Err(aead_limit_reached()));
    // What is left closes the connection, and then nothing is.
    for pn in 88..100 {
        assert_eq!(world.step(Seal(pn)), "Ok(()) @0");
    }
    assert_eq!(world.step(Seal(100)), "Err(CryptoError) @0");
}

#[test]
fn an_unlimited_key_stays() {
    let mut world = World::new(NullProvider::insecure().with_confidentiality_limit(u64::MAX));
    world.step(Confirm);
    world.step(Seal(0));
    world.step(Ack(0, Slot::Current));
    assert_eq!(world.phases.prepare(world.now), Ok(false));
}

#[test]
fn forgeries_are_counted_over_all_keys() {
    let mut world = World::new(NullProvider::insecure().with_integrity_limit(3));
    assert_eq!(world.step(Forged(false, 1)), "drop @0");
    assert_eq!(world.step(Open(1, 2)), "Next @1");
    assert_eq!(world.step(Forged(false, 1)), "drop @1");
    assert_eq!(world.step(Forged(true, 3)), "drop @1");
    assert_eq!(world.step(Forged(true, 4)), "AeadLimitReached @1");
    assert_eq!(world.phases.on_failed_open(), Err(aead_limit_reached()));
}

#[test]
fn forged_phases_derive_nothing() {
    struct Counted(
        Box<dyn NextKeys>,
        alloc::sync::Arc<core::sync::atomic::AtomicUsize>,
    );
    impl NextKeys for Counted {
        fn next(&mut self) -> PacketKeys {
            self.1.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            self.0.next()
        }
    }
    let (keys, next) = NullProvider::insecure().one_rtt_keys(Side::Client);
    let count = alloc::sync::Arc::default();
    let mut phases = KeyPhases::new(
        keys,
        Box::new(Counted(next, alloc::sync::Arc::clone(&count))),
    );
    for pn in 0..50 {
        let forged = phases.open(pn % 2 == 1, pn, b"", &mut [1; 30], || Instant::ZERO);
        assert_eq!(forged, Err(OpenError::Drop));
        // Too short for a tag.
        let short = phases.open(true, pn, b"", &mut [1; 3], || Instant::ZERO);
        assert_eq!(short, Err(OpenError::Drop));
    }
    assert_eq!(count.load(core::sync::atomic::Ordering::Relaxed), 1);
}
