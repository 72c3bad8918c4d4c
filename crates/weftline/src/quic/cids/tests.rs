use alloc::vec::Vec;

use super::{LocalCids, RemoteCids, local::MAX_ISSUED};
use crate::{
    error::{Fault, TransportCode},
    wire::{Cid, ResetToken},
};

fn cid(n: u8) -> Cid {
    Cid::new(&[n; 8]).unwrap()
}

fn token(n: u8) -> ResetToken {
    ResetToken([n; 16])
}

fn code<T>(result: Result<T, Fault>) -> TransportCode {
    match result {
        Err(Fault::Transport { code, .. }) => code,
        Err(fault) => panic!("{fault:?}"),
        Ok(_) => panic!("no fault"),
    }
}

fn remote() -> RemoteCids {
    RemoteCids::new(cid(0), 4, 12)
}

fn retirements(cids: &mut RemoteCids) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(sequence) = cids.unsent_retirement() {
        cids.on_retirement_sent(sequence);
        all.push(sequence);
    }
    all
}

#[test]
fn issues_up_to_the_peers_limit() {
    let mut cids = LocalCids::new(cid(0));
    assert!(!cids.wants_more());
    cids.set_peer_limit(2);
    assert!(cids.wants_more());
    cids.issue(cid(1));
    assert!(!cids.wants_more());
    cids.set_peer_limit(u64::MAX);
    while cids.wants_more() {
        cids.issue(cid(9));
    }
    assert_eq!(cids.iter().count(), MAX_ISSUED);
}

#[test]
fn an_issued_id_is_sent_until_it_arrives() {
    let mut cids = LocalCids::new(cid(0));
    assert_eq!(cids.unsent(), None);
    cids.issue(cid(1));
    assert_eq!(cids.unsent(), Some((1, cid(1))));
    cids.on_sent(1);
    assert_eq!(cids.unsent(), None);
    cids.on_lost(1);
    assert_eq!(cids.unsent(), Some((1, cid(1))));
    // Once it is retired, a loss means nothing.
    assert_eq!(cids.on_retire(1, &cid(0)), Ok(Some(cid(1))));
    cids.on_lost(1);
    assert_eq!(cids.unsent(), None);
}

#[test]
fn retire_rules() {
    let mut cids = LocalCids::new(cid(0));
    cids.issue(cid(1));
    let never_issued = cids.on_retire(2, &cid(0));
    assert_eq!(code(never_issued), TransportCode::ProtocolViolation);
    let own = cids.on_retire(1, &cid(1));
    assert_eq!(code(own), TransportCode::ProtocolViolation);
    assert_eq!(cids.on_retire(0, &cid(1)), Ok(Some(cid(0))));
    assert_eq!(cids.on_retire(0, &cid(1)), Ok(None));
    assert!(!cids.contains(&cid(0)));
}

#[test]
fn retire_prior_to_moves_on() {
    let mut cids = remote();
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    cids.on_new(2, 1, cid(2), token(2)).unwrap();
    assert_eq!(cids.current(), cid(1));
    assert_eq!(cids.reset_tokens(), [Some(token(1)), None]);
    assert_eq!(retirements(&mut cids), [0]);
    // Lost, sent again, acknowledged.
    cids.on_retirement_lost(0);
    assert_eq!(retirements(&mut cids), [0]);
    cids.on_retirement_acked(0);
    cids.on_retirement_lost(0);
    assert_eq!(retirements(&mut cids), []);
}

#[test]
fn a_late_id_below_the_floor_is_retired_at_once() {
    let mut cids = remote();
    cids.on_new(3, 3, cid(3), token(3)).unwrap();
    assert_eq!(cids.current(), cid(3));
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    assert_eq!(retirements(&mut cids), [0, 1]);
    assert_eq!(cids.current(), cid(3));
}

#[test]
fn the_limit_counts_what_remains() {
    let mut cids = remote();
    for n in 1..4 {
        cids.on_new(n.into(), 0, cid(n), token(n)).unwrap();
    }
    // A fifth takes the place of one that it retires.
    cids.on_new(4, 1, cid(4), token(4)).unwrap();
    let fifth = cids.on_new(5, 1, cid(5), token(5));
    assert_eq!(code(fifth), TransportCode::ConnectionIdLimitError);
}

#[test]
fn the_same_again_is_fine_and_another_is_not() {
    let mut cids = remote();
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    let cases = [
        (1, cid(2), token(1)),
        (1, cid(1), token(2)),
        (2, cid(1), token(1)),
        (2, cid(0), token(2)),
        (0, cid(7), token(7)),
    ];
    for (sequence, cid, token) in cases {
        let result = cids.on_new(sequence, 0, cid, token);
        assert_eq!(code(result), TransportCode::ProtocolViolation);
    }
}

#[test]
fn a_zero_length_id_stands_alone() {
    let mut cids = RemoteCids::new(Cid::EMPTY, 4, 12);
    let result = cids.on_new(1, 0, cid(1), token(1));
    assert_eq!(code(result), TransportCode::ProtocolViolation);
}

#[test]
fn retirements_without_acknowledgement_are_bounded() {
    // Both ways: a floor that rises, and late IDs below it.
    let mut rising = remote();
    let mut late = remote();
    late.on_new(200, 200, cid(200), token(200)).unwrap();
    let mut ends = [None; 2];
    for n in 1..100 {
        let by_floor = rising.on_new(n.into(), n.into(), cid(n), token(n));
        let by_lateness = late.on_new(n.into(), 0, cid(n), token(n));
        for (end, result) in ends.iter_mut().zip([by_floor, by_lateness]) {
            if end.is_none() && result.is_err() {
                assert_eq!(code(result), TransportCode::ConnectionIdLimitError);
                *end = Some(n);
            }
        }
        // Sending them does not make room: only acknowledgements do.
        retirements(&mut rising);
        retirements(&mut late);
    }
    assert_eq!(ends, [Some(13), Some(12)]);
}

#[test]
fn rotation_uses_the_oldest_unused() {
    let mut cids = remote();
    assert!(!cids.renew());
    cids.on_new(2, 0, cid(2), token(2)).unwrap();
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    assert!(cids.renew());
    assert_eq!(cids.current(), cid(1));
    assert_eq!(retirements(&mut cids), [0]);
    // What it retired does not come back.
    cids.on_retirement_acked(0);
    cids.on_new(0, 0, cid(0), token(0)).unwrap();
    assert_eq!(cids.current(), cid(1));
    assert_eq!(retirements(&mut cids), [0]);
}

#[test]
fn each_path_has_its_own() {
    let mut cids = remote();
    assert!(!cids.reserve(), "there is none");
    for n in 1..4 {
        cids.on_new(n.into(), 0, cid(n), token(n)).unwrap();
    }
    assert!(cids.reserve());
    assert_eq!((cids.current(), cids.other()), (cid(0), Some(cid(1))));
    assert_eq!(cids.reset_tokens(), [None, Some(token(1))]);
    // A trial that failed: the ID was seen there.
    cids.drop_other();
    assert_eq!(retirements(&mut cids), [1]);
    // One that succeeded.
    assert!(cids.reserve());
    cids.swap();
    assert_eq!((cids.current(), cids.other()), (cid(2), Some(cid(0))));
    cids.drop_other();
    assert_eq!(retirements(&mut cids), [0]);
    // A peer that moved, and came back.
    assert!(cids.set_aside());
    assert_eq!((cids.current(), cids.other()), (cid(3), Some(cid(2))));
    cids.swap();
    cids.drop_other();
    assert_eq!((cids.current(), cids.other()), (cid(2), None));
    assert_eq!(retirements(&mut cids), [3]);
    assert!(!cids.set_aside() && !cids.renew());
    // What was used never comes back.
    cids.on_new(3, 0, cid(3), token(3)).unwrap();
    assert!(!cids.renew());
}

#[test]
fn the_peer_takes_those_in_use() {
    for spares in 2..=3 {
        let mut cids = remote();
        for n in 1..=spares {
            cids.on_new(n.into(), 0, cid(n), token(n)).unwrap();
        }
        assert!(cids.reserve());
        cids.on_new(4, 2, cid(4), token(4)).unwrap();
        // The other path's turn comes first; the rest follows when there is enough.
        assert_eq!(
            (cids.current(), cids.other()),
            match spares {
                2 => (cid(4), Some(cid(2))),
                _ => (cid(3), Some(cid(2))),
            }
        );
        assert_eq!(retirements(&mut cids), [1, 0]);
    }
    let mut cids = remote();
    cids.on_new(1, 0, cid(1), token(1)).unwrap();
    assert!(cids.reserve());
    cids.on_new(2, 2, cid(2), token(2)).unwrap();
    assert_eq!((cids.current(), cids.other()), (cid(2), None));
}

#[test]
fn our_own_retirements_are_no_fault() {
    let mut cids = remote();
    for n in 1..100 {
        cids.on_new(n.into(), 0, cid(n), token(n)).unwrap();
        if !cids.renew() {
            return assert!(cids.retiring() <= 12);
        }
    }
    panic!("it never ends");
}

#[test]
fn all_of_ours_are_exchanged() {
    let mut cids = LocalCids::new(cid(0));
    assert!(!cids.can_rotate());
    cids.set_peer_limit(2);
    cids.issue(cid(1));
    cids.rotate();
    assert_eq!(cids.retire_prior_to(), 2);
    let mut n = 2;
    while cids.wants_more() {
        cids.issue(cid(n));
        n += 1;
    }
    assert_eq!(cids.iter().count(), 4, "the old are still good");
    assert!(!cids.can_rotate());
    cids.on_retire(0, &cid(2)).unwrap();
    cids.on_retire(1, &cid(2)).unwrap();
    assert!(cids.can_rotate() && !cids.wants_more());
}
