//! Limits of HTTP/3.

use weftline::{
    Event, StreamId,
    config::Limits,
    h3::RequestHead,
    wire::{
        frame::{Frame, ResetStream},
        h3::{
            error_code::{H3_EXCESSIVE_LOAD, H3_NO_ERROR, H3_REQUEST_CANCELLED},
            frame::PRIORITY_UPDATE_REQUEST,
            settings,
        },
    },
};

use crate::support::{Attack, bidi, uni, wire};

/// The victim answers 431 to this request, and lives.
#[track_caller]
fn assert_431(attack: &mut Attack, id: StreamId, request: &[u8]) {
    attack.send(id, request);
    assert_eq!(wire::status(&attack.received(id)), "431");
    assert_eq!(attack.stop_code(id), Some(H3_NO_ERROR));
    let events = attack.events();
    assert!(
        !events.iter().any(|e| matches!(e, Event::Request(..))),
        "{events:?}"
    );
    attack.assert_alive();
}

/// A client gives up a request with this answer, and lives.
#[track_caller]
fn assert_given_up(attack: &mut Attack, response: &[u8], code: u64) {
    let head = RequestHead {
        method: "GET".into(),
        scheme: Some("https".into()),
        authority: Some("victim.test".into()),
        path: Some("/".into()),
        ..RequestHead::default()
    };
    let id = attack.conn().request(&head).unwrap();
    attack.events();
    attack.send(id, response);
    assert_eq!(attack.events(), [Event::RequestFailed(id, code)]);
    assert_eq!(attack.reset_code(id), Some(code));
    assert_eq!(attack.stop_code(id), Some(code));
    attack.assert_alive();
}

#[test]
fn field_section() {
    let change = |l: &mut Limits| l.field_section = 500;
    // A name, a value, and 32 bytes; the rest of the head has less than 200.
    let field = |len| "v".repeat(len);
    let mut attack = Attack::on_server(change);
    assert_eq!(attack.setting(settings::MAX_FIELD_SECTION_SIZE), Some(500));
    attack.send(bidi(0), &wire::get(&[("x", &field(250))]));
    assert!(matches!(
        attack.events().last(),
        Some(Event::Request(id, _)) if *id == bidi(0)
    ));
    assert_431(&mut attack, bidi(1), &wire::get(&[("x", &field(468))]));
    // Told by the length, before any of it is held.
    let endless = [0x01, 0x80, 0x10, 0, 0];
    assert_431(&mut attack, bidi(2), &endless);

    let mut attack = Attack::on_client(change);
    let response = wire::headers(&[(":status", "200"), ("x", &field(460))]);
    assert_given_up(&mut attack, &response, H3_EXCESSIVE_LOAD);
}

#[test]
fn fields() {
    let change = |l: &mut Limits| l.fields = 6;
    let mut attack = Attack::on_server(change);
    // Four make a request.
    attack.send(bidi(0), &wire::get(&[("a", ""); 2]));
    assert!(matches!(attack.events().last(), Some(Event::Request(..))));
    assert_431(&mut attack, bidi(1), &wire::get(&[("a", ""); 3]));

    let mut attack = Attack::on_client(change);
    let response = wire::headers(&[&[(":status", "200")][..], &[("a", ""); 6]].concat());
    assert_given_up(&mut attack, &response, H3_EXCESSIVE_LOAD);
}

#[test]
fn control_frame() {
    for (len, fine) in [(64, true), (65, false)] {
        let mut attack = Attack::on_server(|l| l.control_frame = 64);
        attack.send_settings(&[]);
        attack.send(
            uni(0),
            &wire::h3_frame(PRIORITY_UPDATE_REQUEST, &vec![0; len]),
        );
        match fine {
            true => attack.assert_alive(),
            false => attack.assert_closed_h3(H3_EXCESSIVE_LOAD),
        }
    }
    let mut attack = Attack::on_server(|l| l.control_frame = 64);
    let long: Vec<_> = (0..30).map(|n| (0x1000 + n, 0)).collect();
    attack.send(uni(0), &wire::raw_control_stream(&long));
    attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
}

#[test]
fn settings() {
    for (count, fine) in [(8, true), (9, false)] {
        let mut attack = Attack::on_server(|l| l.settings = 8);
        let pairs: Vec<_> = (0..count).map(|n| (0x1000 + n, 0)).collect();
        attack.send(uni(0), &wire::raw_control_stream(&pairs));
        match fine {
            true => attack.assert_alive(),
            false => attack.assert_closed_h3(H3_EXCESSIVE_LOAD),
        }
    }
}

#[test]
fn skipped() {
    // 250 bytes with its header.
    let unknown = wire::h3_frame(wire::GREASE, &[0; 246]);
    for id in [uni(0), bidi(0)] {
        let mut attack = Attack::on_server(|l| l.skipped = 1000);
        attack.send_settings(&[]);
        for _ in 0..4 {
            attack.send(id, &unknown);
        }
        attack.assert_alive();
        attack.send(id, &unknown);
        attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
    }
    // Capsules: the session ends, not the connection.
    let (mut attack, session) = Attack::with_session(|l| l.skipped = 1000);
    let unknown = wire::capsule(wire::GREASE, &[0; 246]);
    for _ in 0..4 {
        attack.send(bidi(0), &unknown);
    }
    assert_eq!(attack.session_closed(session), None);
    attack.send(bidi(0), &unknown);
    attack.assert_session_failed(session, H3_EXCESSIVE_LOAD);
}

#[test]
fn interim_responses() {
    let mut attack = Attack::on_client(|l| l.interim_responses = 2);
    let early_hints = wire::headers(&[(":status", "103")]);
    assert_given_up(&mut attack, &early_hints.repeat(3), H3_EXCESSIVE_LOAD);
}

#[test]
fn resets_in_a_row() {
    let reset = |id, final_size| {
        let code = H3_REQUEST_CANCELLED;
        Frame::ResetStream(ResetStream {
            id,
            code,
            final_size,
        })
    };
    // Before their heads are whole, and behind them.
    for (request, rest) in [(wire::get(&[]), 0), (wire::get(&[]), 1)] {
        let mut attack = Attack::on_server(|l| l.resets_in_a_row = 5);
        let request = &request[..request.len() - rest];
        let give_up = |attack: &mut Attack, n| {
            attack.send(bidi(n), request);
            attack.say(&[reset(bidi(n), request.len() as u64)]);
            let events = attack.events();
            if events.iter().any(|e| matches!(e, Event::Request(..))) {
                attack.conn().cancel(bidi(n));
                attack.events();
            }
        };
        for n in 0..5 {
            give_up(&mut attack, n);
        }
        attack.assert_alive();
        give_up(&mut attack, 5);
        attack.events();
        attack.assert_closed_h3(H3_EXCESSIVE_LOAD);
    }
}
