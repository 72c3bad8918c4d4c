//! Limits of streams and of flow control.

use std::time::Duration;

use weftline::{
    Dir, Event,
    config::Limits,
    error::{TransportCode, WriteError},
    wire::frame::Frame,
};

use crate::support::{Attack, bidi, stream, uni, wire};

#[test]
fn streams_bidi() {
    let mut attack = Attack::on_server(|l| l.streams_bidi = 3);
    attack.say(&[stream(bidi(2), 0, b"", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(3), 0, b"", false)]);
    attack.assert_closed(TransportCode::StreamLimitError);
}

#[test]
fn streams_uni() {
    let mut attack = Attack::on_server(|l| l.streams_uni = 5);
    attack.say(&[stream(uni(4), 0, b"", false)]);
    attack.assert_alive();
    attack.say(&[stream(uni(5), 0, b"", false)]);
    attack.assert_closed(TransportCode::StreamLimitError);
}

#[test]
fn stream_window() {
    let mut attack = Attack::on_server(|l| l.stream_window = 2048);
    attack.say(&[stream(bidi(0), 2047, b"x", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(0), 2048, b"x", false)]);
    attack.assert_closed(TransportCode::FlowControlError);
}

/// Sends on a stream that the application reads at once; gives the largest credit beyond what was
/// read that the victim ever gave, of which `credit` finds the limits.
fn tuned_window(
    change: impl FnOnce(&mut Limits),
    sent: impl Fn(&Attack, u64) -> u64,
    credit: impl Fn(&Frame<'_>) -> Option<u64>,
) -> u64 {
    let (mut attack, session) = Attack::with_session(change);
    let id = uni(1);
    let mut on_stream = 0;
    let mut largest = 0;
    for n in 0..60 {
        let mut data = vec![7; 500];
        if n == 0 {
            data.splice(..2, wire::uni_header(session.stream()));
        }
        on_stream += data.len() as u64;
        attack.send(id, &data);
        while let Ok(Some(_)) = attack.conn().read(id, usize::MAX) {}
        attack.wait(Duration::ZERO);
        let limit = attack.heard(&credit).into_iter().max().unwrap_or(0);
        largest = largest.max(limit.saturating_sub(sent(&attack, on_stream)));
    }
    attack.assert_alive();
    largest
}

#[test]
fn stream_window_max() {
    let window = tuned_window(
        |l| (l.stream_window, l.stream_window_max) = (1024, 5000),
        |_, on_stream| on_stream,
        |frame| match frame {
            Frame::MaxStreamData(f) if f.id == uni(1) => Some(f.maximum),
            _ => None,
        },
    );
    assert_eq!(window, 5000);
}

#[test]
fn connection_window() {
    let mut attack = Attack::on_server(|l| {
        (l.stream_window, l.connection_window) = (1500, 2048);
    });
    attack.say(&[stream(bidi(0), 1499, b"x", false)]);
    attack.say(&[stream(bidi(1), 547, b"x", false)]);
    attack.assert_alive();
    attack.say(&[stream(bidi(2), 0, b"x", false)]);
    attack.assert_closed(TransportCode::FlowControlError);
}

#[test]
fn connection_window_max() {
    let window = tuned_window(
        |l| (l.connection_window, l.connection_window_max) = (2048, 6000),
        |attack, _| attack.total_sent(),
        |frame| match frame {
            Frame::MaxData(f) => Some(f.maximum),
            _ => None,
        },
    );
    assert_eq!(window, 6000);
}

#[test]
fn stream_gaps() {
    let mut attack = Attack::on_server(|l| l.stream_gaps = 8);
    for gap in 0..8 {
        attack.say(&[stream(bidi(0), 1 + 2 * gap, b"x", false)]);
    }
    attack.assert_alive();
    attack.say(&[stream(bidi(0), 17, b"x", false)]);
    attack.assert_closed(TransportCode::InternalError);
}

#[test]
fn stream_send_buffer() {
    let (mut attack, session) = Attack::with_session(|l| l.stream_send_buffer = 2000);
    let id = attack.conn().open_stream(session, Dir::Uni).unwrap();
    // The stream's header takes its part.
    let header = wire::uni_header(session.stream()).len();
    assert_eq!(attack.conn().write(id, &[0; 5000]), Ok(2000 - header));
    assert_eq!(attack.conn().write(id, &[0]), Err(WriteError::Blocked));
    attack.events();
    assert_eq!(
        attack.conn().write(id, &[0]),
        Err(WriteError::Blocked),
        "sent is not delivered"
    );
    attack.acknowledge();
    assert!(attack.events().contains(&Event::Writable(id)));
    assert_eq!(attack.conn().write(id, &[0; 5000]), Ok(2000));
}

#[test]
fn connection_send_buffer() {
    let (mut attack, session) = Attack::with_session(|l| {
        (l.stream_send_buffer, l.connection_send_buffer) = (2000, 3000);
    });
    attack.acknowledge();
    let [a, b] = [(); 2].map(|()| attack.conn().open_stream(session, Dir::Uni).unwrap());
    let header = wire::uni_header(session.stream()).len();
    assert_eq!(attack.conn().write(a, &[0; 5000]), Ok(2000 - header));
    assert_eq!(attack.conn().write(b, &[0; 5000]), Ok(1000 - header));
    assert_eq!(attack.conn().write(b, &[0]), Err(WriteError::Blocked));
    attack.events();
    attack.acknowledge();
    assert!(attack.events().contains(&Event::Writable(b)));
}
