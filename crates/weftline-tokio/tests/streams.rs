//! Streams and datagrams of a session.

mod common;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use common::{client_config, echo, pair, pair_with, pattern, server_config, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weftline_tokio::{DatagramError, ReadError, WriteError};

#[tokio::test]
async fn both_kinds_of_streams_carry_data_both_ways() {
    within(async {
        let pair = pair().await;
        let (mut send, mut recv) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"question").await.unwrap();
        send.finish().unwrap();
        let (mut answer, mut question) = pair.accepted.accept_bi().await.unwrap();
        assert_eq!(question.read_to_end(100).await.unwrap(), b"question");
        answer.write_all(b"answer").await.unwrap();
        answer.finish().unwrap();
        assert_eq!(recv.read_to_end(100).await.unwrap(), b"answer");
        send.finished().await.unwrap();

        for (from, to) in [
            (&pair.opened, &pair.accepted),
            (&pair.accepted, &pair.opened),
        ] {
            let mut send = from.open_uni().await.unwrap();
            send.write_all(b"one way").await.unwrap();
            send.finish().unwrap();
            let mut recv = to.accept_uni().await.unwrap();
            assert_eq!(recv.read_to_end(100).await.unwrap(), b"one way");
            assert_eq!(recv.read_chunk(1).await, Ok(None), "the end stays the end");
        }
    })
    .await;
}

async fn echo_4_mib() {
    let pair = pair().await;
    let server = tokio::spawn(echo(pair.accepted));
    let (mut send, mut recv) = pair.opened.open_bi().await.unwrap();
    let data = pattern(4 << 20);
    let expected = data.clone();
    let writer = tokio::spawn(async move {
        send.write_all(&data).await.unwrap();
        send.finish().unwrap();
        send.finished().await.unwrap();
    });
    let echoed = recv.read_to_end(5 << 20).await.unwrap();
    assert!(echoed == expected, "the echo is what was sent");
    writer.await.unwrap();
    pair.opened.close(0, "");
    server.await.unwrap();
}

#[tokio::test]
async fn echo_4_mib_on_one_thread() {
    within(echo_4_mib()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn echo_4_mib_on_several_threads() {
    within(echo_4_mib()).await;
}

/// More streams than the peer allows at once: opening waits for credit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once() {
    within(async {
        let pair = pair().await;
        tokio::spawn(echo(pair.accepted));
        let tasks: Vec<_> = (0..300_usize)
            .map(|i| {
                let session = pair.opened.clone();
                tokio::spawn(async move {
                    let (mut send, mut recv) = session.open_bi().await.unwrap();
                    let data = pattern(i * 20 + 1);
                    send.write_all(&data).await.unwrap();
                    send.finish().unwrap();
                    assert_eq!(recv.read_to_end(1 << 20).await.unwrap(), data);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
}

/// A reader that does not read holds the writer back, at what windows and buffers hold.
#[tokio::test]
async fn a_slow_reader_bounds_the_writer() {
    within(async {
        let small = |limits: &mut weftline::config::Limits| {
            limits.stream_window = 32 << 10;
            limits.stream_window_max = 32 << 10;
            limits.stream_send_buffer = 64 << 10;
        };
        let server_config = server_config(|limits, _| small(limits));
        let client_config = client_config(|limits, _| small(limits));
        let pair = pair_with(server_config, client_config).await;
        let mut send = pair.opened.open_uni().await.unwrap();
        let chunk = pattern(1000);
        let mut written = 0;
        // Data moves from buffer to window as long as there is room, so the writer is stuck once it
        // is stuck and nothing is on its way any more.
        let mut stuck_at = None;
        loop {
            match poll_once(send.write(&chunk)) {
                Poll::Ready(n) => {
                    written += n.unwrap();
                    stuck_at = None;
                }
                Poll::Pending => {
                    let sent = pair.client.stats().io.sent;
                    if stuck_at == Some(sent) {
                        break;
                    }
                    stuck_at = Some(sent);
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
            assert!(written <= 96 << 10, "{written} bytes were taken");
        }
        assert!(written >= 90_000, "{written} bytes were taken");
        send.finish().unwrap();
        let mut recv = pair.accepted.accept_uni().await.unwrap();
        let received = recv.read_to_end(1 << 20).await.unwrap();
        assert_eq!(received.len(), written);
        send.finished().await.unwrap();
    })
    .await;
}

/// What the peer does not read uses up the connection's credit, and does not hold up what it sends
/// itself: the session's credit still gets through.
#[tokio::test]
async fn unread_data_does_not_hold_up_the_other_direction() {
    within(async {
        let pair = pair().await;
        let mut unread = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut send = pair.opened.open_uni().await.unwrap();
            unread.spawn(async move {
                send.write_all(&pattern(100_000)).await.unwrap();
                send.finished().await
            });
        }
        while pair.opened.connection().stats().unwrap().bytes_sent < 1_030_000 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut send = pair.accepted.open_uni().await.unwrap();
        let sending = async {
            for _ in 0..16 {
                send.write_all(&pattern(1 << 20)).await.unwrap();
            }
            send.finish().unwrap();
        };
        let receiving = async {
            let mut recv = pair.opened.accept_uni().await.unwrap();
            recv.read_to_end(16 << 20).await.unwrap()
        };
        let ((), received) = tokio::join!(sending, receiving);
        assert_eq!(received.len(), 16 << 20);
        assert!(unread.try_join_next().is_none(), "nobody reads that");
    })
    .await;
}

#[tokio::test]
async fn tokio_traits_work() {
    within(async {
        let pair = pair().await;
        let (mut send, recv) = pair.opened.open_bi().await.unwrap();
        AsyncWriteExt::write_all(&mut send, b"line one\nline two\n")
            .await
            .unwrap();
        send.shutdown().await.unwrap();
        send.shutdown().await.unwrap();
        let (mut back, mut forth) = pair.accepted.accept_bi().await.unwrap();
        assert_eq!(tokio::io::copy(&mut forth, &mut back).await.unwrap(), 18);
        back.shutdown().await.unwrap();
        let mut text = String::new();
        recv.take(100).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "line one\nline two\n");
        let error = AsyncWriteExt::write(&mut send, b"x").await.unwrap_err();
        let inner = error.get_ref().unwrap().downcast_ref();
        assert_eq!(inner, Some(&WriteError::Finished));
    })
    .await;
}

#[tokio::test]
async fn codes_arrive() {
    within(async {
        let pair = pair().await;
        let (mut send, mut recv) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (mut their_send, mut their_recv) = pair.accepted.accept_bi().await.unwrap();
        send.reset(7);
        recv.stop(0xffff_ffff);
        assert_eq!(their_send.stopped().await, Ok(Some(0xffff_ffff)));
        let stopped = WriteError::Stopped(Some(0xffff_ffff));
        assert_eq!(their_send.write(b"y").await, Err(stopped.clone()));
        assert_eq!(their_send.finish(), Err(stopped));
        let error = loop {
            match their_recv.read_chunk(10).await {
                Ok(chunk) => assert!(chunk.is_some(), "a reset is no end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReadError::Reset(Some(7)));
        let error = std::io::Error::from(error);
        let inner = error.get_ref().unwrap().downcast_ref();
        assert_eq!(inner, Some(&ReadError::Reset(Some(7))));
        assert_eq!(send.write(b"z").await, Err(WriteError::Finished));
        assert_eq!(recv.read_chunk(1).await, Err(ReadError::Finished));
        assert_eq!(send.finished().await, Err(WriteError::Finished));
    })
    .await;
}

#[tokio::test]
async fn dropped_halves_reset_and_stop() {
    within(async {
        let pair = pair().await;
        let (mut send, recv) = pair.opened.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let (their_send, mut their_recv) = pair.accepted.accept_bi().await.unwrap();
        drop(recv);
        assert_eq!(their_send.stopped().await, Ok(Some(0)));
        drop(send);
        while let Ok(chunk) = their_recv.read_chunk(10).await {
            assert!(chunk.is_some(), "a reset is no end");
        }
        assert_eq!(
            their_recv.read_chunk(1).await,
            Err(ReadError::Reset(Some(0)))
        );

        // Finished and dropped is no reset.
        let mut send = pair.opened.open_uni().await.unwrap();
        send.write_all(b"whole").await.unwrap();
        send.finish().unwrap();
        drop(send);
        let mut recv = pair.accepted.accept_uni().await.unwrap();
        assert_eq!(recv.read_to_end(10).await.unwrap(), b"whole");
    })
    .await;
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    within(async {
        let pair = pair().await;
        let server = tokio::spawn(echo(pair.accepted));
        let max = pair.opened.max_datagram_len().unwrap();
        assert!(max >= 1100, "{max}");
        let too_large = pair.opened.send_datagram(&vec![0; max + 1]);
        assert_eq!(too_large, Err(DatagramError::TooLarge { max }));
        for data in [b"".to_vec(), b"short".to_vec(), pattern(max)] {
            pair.opened.send_datagram(&data).unwrap();
            assert_eq!(pair.opened.recv_datagram().await.unwrap(), data);
        }
        assert_eq!(pair.opened.try_recv_datagram(), None);
        pair.opened.close(0, "");
        server.await.unwrap();
        assert!(pair.opened.recv_datagram().await.is_err());
        assert_eq!(
            pair.opened.send_datagram(b"late"),
            Err(DatagramError::NotOpen)
        );
    })
    .await;
}

/// Far more datagrams than the queue holds get through it, in the end.
#[tokio::test]
async fn waiting_for_room_among_datagrams() {
    within(async {
        let pair = pair().await;
        let accepted = pair.accepted;
        let receiver = tokio::spawn(async move {
            let mut count = 0;
            while let Ok(data) = accepted.recv_datagram().await {
                count += 1;
                if data == "last" {
                    return count;
                }
            }
            count
        });
        for _ in 0..1000 {
            pair.opened.send_datagram_wait(&[1; 500]).await.unwrap();
        }
        // Loss is legal, for this one too.
        while !receiver.is_finished() {
            pair.opened.send_datagram_wait(b"last").await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(receiver.await.unwrap() > 1);
    })
    .await;
}

/// Futures that are dropped after each poll lose nothing.
#[tokio::test]
async fn everything_can_be_cancelled() {
    within(async {
        let pair = pair().await;
        let accepted = pair.accepted.clone();
        let peer = tokio::spawn(async move {
            for i in 0..20_u8 {
                let (mut send, _recv) = accepted.open_bi().await.unwrap();
                for j in 0..20_u8 {
                    send.write_all(&[i, j]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                send.finish().unwrap();
                accepted.send_datagram_wait(&[i]).await.unwrap();
                send.finished().await.unwrap();
            }
        });
        for i in 0..20_u8 {
            let (_send, mut recv) = impatient(|| pair.opened.accept_bi()).await.unwrap();
            let mut data = Vec::new();
            loop {
                let chunk = loop {
                    if let Poll::Ready(chunk) = poll_once(recv.read_chunk(3)) {
                        break chunk.unwrap();
                    }
                    tokio::task::yield_now().await;
                };
                match chunk {
                    Some(chunk) => data.extend_from_slice(&chunk),
                    None => break,
                }
            }
            let expected: Vec<u8> = (0..20).flat_map(|j| [i, j]).collect();
            assert_eq!(data, expected);
        }
        let mut datagrams = Vec::new();
        while datagrams.len() < 20 {
            let datagram = impatient(|| pair.opened.recv_datagram()).await.unwrap();
            datagrams.push(datagram[0]);
        }
        assert_eq!(datagrams, (0..20).collect::<Vec<u8>>());
        peer.await.unwrap();
    })
    .await;
}

/// A cancelled open takes no stream: all that the limit allows can still be opened.
#[tokio::test]
async fn a_cancelled_open_takes_no_stream() {
    within(async {
        let config = server_config(|limits, _| {
            limits.streams_uni = 5;
            limits.session_streams = 5;
        });
        let pair = pair_with(config, client_config(|_, _| {})).await;
        let mut open = Vec::new();
        while let Poll::Ready(stream) = poll_once(pair.opened.open_uni()) {
            let mut stream = stream.unwrap();
            stream.write_all(b"x").await.unwrap();
            open.push(stream);
        }
        assert!(!open.is_empty() && open.len() <= 5, "{}", open.len());
        for _ in 0..10 {
            assert!(poll_once(pair.opened.open_uni()).is_pending());
        }
        let count = open.len();
        for mut stream in open.drain(..) {
            stream.finish().unwrap();
            let mut recv = pair.accepted.accept_uni().await.unwrap();
            assert_eq!(recv.read_to_end(1).await.unwrap(), b"x");
        }
        for _ in 0..count {
            let opened = impatient(|| pair.opened.open_uni()).await.unwrap();
            open.push(opened);
        }
    })
    .await;
}

/// Polls new futures, each once, until one is ready.
async fn impatient<F: Future>(mut start: impl FnMut() -> F) -> F::Output {
    loop {
        if let Poll::Ready(output) = poll_once(start()) {
            return output;
        }
        tokio::task::yield_now().await;
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
