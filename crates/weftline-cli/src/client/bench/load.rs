//! Questions and answers, and connections: what is measured one by one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Bench, ask, deadline,
    figures::{Figures, Latencies, round},
    foreign, losses, numbers, read,
};
use crate::{
    client::exchange::{gone, not_read, not_sent},
    failure::Failure,
    link::Link,
};

/// Messages back and forth, on one stream for each worker.
pub(super) async fn echo(bench: &Bench) -> Result<Figures, Failure> {
    let link = bench.within(bench.link()).await?;
    let (begin, until) = (Instant::now(), deadline(bench));
    let parts = bench.workers(|index| {
        let (bench, link) = (bench.clone(), link.clone());
        async move { bench.within(echo_on(&bench, &link, index, until)).await }
    });
    let latencies = Latencies::merged(parts.await?);
    Ok(answered(
        bench,
        "messages",
        &latencies,
        begin.elapsed(),
        &link,
    ))
}

async fn echo_on(
    bench: &Bench,
    link: &Link,
    index: usize,
    until: Instant,
) -> Result<Latencies, Failure> {
    let (mut send, mut recv) = link.open_bi().await.map_err(|e| gone(&e))?;
    let mut latencies = Latencies::new();
    let mut message = payload(bench.size().max(1), index);
    let mut answer = vec![0; message.len()];
    // The operation is echoed, too.
    send.write_all(b"E").await.map_err(|e| not_sent(&e))?;
    read_exact(&mut recv, &mut answer[..1]).await?;
    while latencies.count() == 0 || Instant::now() < until {
        let begin = Instant::now();
        send.write_all(&message).await.map_err(|e| not_sent(&e))?;
        read_exact(&mut recv, &mut answer).await?;
        latencies.record(begin.elapsed());
        if answer != message {
            return Err(foreign("an echo is not what was sent"));
        }
        message.rotate_left(1);
    }
    send.finish().map_err(|e| not_sent(&e))?;
    read(&mut recv, 0).await?;
    Ok(latencies)
}

async fn read_exact(
    recv: &mut weftline_tokio::RecvStream,
    mut out: &mut [u8],
) -> Result<(), Failure> {
    while !out.is_empty() {
        match recv.read(out).await.map_err(|e| not_read(&e))? {
            Some(len) => out = out.get_mut(len..).unwrap_or_default(),
            None => return Err(foreign("an echo ends early")),
        }
    }
    Ok(())
}

/// Requests on streams of their own, answered by their echo.
pub(super) async fn rpc(bench: &Bench) -> Result<Figures, Failure> {
    let link = bench.within(bench.link()).await?;
    let (begin, until) = (Instant::now(), deadline(bench));
    let parts = bench.workers(|index| {
        let (bench, link) = (bench.clone(), link.clone());
        async move {
            let mut latencies = Latencies::new();
            let mut message = [b"E".to_vec(), payload(bench.size(), index)].concat();
            while latencies.count() == 0 || Instant::now() < until {
                let begin = Instant::now();
                let answer = bench.within(ask(&link, &message, message.len())).await?;
                latencies.record(begin.elapsed());
                if answer != message {
                    return Err(foreign("an echo is not what was sent"));
                }
                if let Some((_, payload)) = message.split_first_mut() {
                    payload.rotate_left(payload.len().min(1));
                }
            }
            Ok(latencies)
        }
    });
    let latencies = Latencies::merged(parts.await?);
    Ok(answered(
        bench,
        "requests",
        &latencies,
        begin.elapsed(),
        &link,
    ))
}

fn answered(
    bench: &Bench,
    what: &str,
    latencies: &Latencies,
    elapsed: Duration,
    link: &Link,
) -> Figures {
    let mut figures = Figures::default();
    figures.set("concurrency", bench.concurrency());
    figures.set("size", bench.size());
    figures.rate(what, latencies.count(), elapsed);
    figures.latencies(latencies);
    figures.losses(losses(link.connection()));
    figures
}

/// Connections, one after the other in each worker: the handshake, the session if there is one, and
/// an answer on it, which proves that both ends have it.
pub(super) async fn handshakes(bench: &Bench) -> Result<Figures, Failure> {
    let (begin, until) = (Instant::now(), deadline(bench));
    let parts = bench.workers(|_| {
        let bench = bench.clone();
        async move {
            let mut latencies = Latencies::new();
            while latencies.count() == 0 || Instant::now() < until {
                let begin = Instant::now();
                let link = bench.within(bench.link()).await?;
                latencies.record(begin.elapsed());
                prove(&bench, &link).await?;
            }
            Ok(latencies)
        }
    });
    let latencies = Latencies::merged(parts.await?);
    let mut figures = Figures::default();
    figures.set("concurrency", bench.concurrency());
    figures.rate("handshakes", latencies.count(), begin.elapsed());
    figures.latencies(&latencies);
    Ok(figures)
}

/// The server counts nothing on a connection that nothing was sent on.
async fn prove(bench: &Bench, link: &Link) -> Result<(), Failure> {
    let answer = bench.within(ask(link, b"S", 32)).await?;
    match numbers::<4>(&answer)? {
        [0, 0, 0, 0] => Ok(()),
        _ => Err(foreign("it counts what was not sent")),
    }
}

/// Connections that do nothing, all at once.
pub(super) async fn idle(bench: &Bench) -> Result<Figures, Failure> {
    let (before, begin) = (resident_bytes(), Instant::now());
    let open = bench.workers(|_| {
        let bench = bench.clone();
        async move { bench.within(bench.link()).await }
    });
    let links = open.await?;
    let opened = begin.elapsed();
    sleep(bench.duration()).await;
    let grown = before.zip(resident_bytes());
    let resident = grown.map(|(before, after)| after.saturating_sub(before));
    let mut held = 0;
    for link in &links {
        let stats = link.connection().stats();
        held += stats.map_or(0, |stats| stats.memory as u64);
        prove(bench, link).await?;
    }
    let count = links.len() as u64;
    let each = |bytes: u64| bytes / count.max(1);
    let mut figures = Figures::default();
    figures.rate("connections", count, opened);
    figures.set("idle_seconds", round(bench.duration().as_secs_f64()));
    figures.set("memory_per_connection", each(held));
    figures.set("resident_per_connection", resident.map(each));
    let seconds = bench.duration().as_secs_f64();
    figures.say(format!("all answer after {seconds} s of silence"));
    figures.say(format!("{} bytes of state each", each(held)));
    if let Some(resident) = resident {
        let each = each(resident);
        figures.say(format!(
            "{each} bytes of this process each, as the system counts"
        ));
    }
    Ok(figures)
}

/// Bytes of memory that this process uses; `None` where the system does not tell like Linux.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Bytes that differ between workers.
fn payload(len: usize, index: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 31 + index * 7 + (i >> 8)) as u8)
        .collect()
}
