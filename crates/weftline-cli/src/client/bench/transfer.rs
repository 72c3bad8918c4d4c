//! What is measured in bulk: bytes, short streams, datagrams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use weftline_tokio::{Bytes, DatagramError};

use super::{
    Bench, agree, ask, deadline,
    figures::{Figures, per_second, round},
    foreign, losses, numbers, read, request, write,
};
use crate::{
    client::exchange::{gone, not_read, not_sent},
    failure::Failure,
    link::Link,
    pattern::Pattern,
};

/// Bytes up, then bytes down, in transfers of `--size` that repeat until the time is up or
/// `--bytes` are moved.
pub(super) async fn bulk(bench: &Bench) -> Result<Figures, Failure> {
    let link = bench.within(bench.link()).await?;
    let mut figures = Figures::default();
    figures.set("concurrency", bench.concurrency());
    figures.set("size", bench.size());
    for way in [Way::Up, Way::Down] {
        let (budget, begin) = (Budget::new(bench), Instant::now());
        let moved = bench.workers(|_| {
            let (bench, link, budget) = (bench.clone(), link.clone(), budget.clone());
            async move { transfers(&bench, &link, way, &budget).await }
        });
        let bytes = moved.await?.iter().sum();
        figures.throughput(way.name(), bytes, begin.elapsed());
    }
    figures.losses(losses(link.connection()));
    Ok(figures)
}

#[derive(Copy, Clone)]
enum Way {
    Up,
    Down,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Up => "upload",
            Self::Down => "download",
        }
    }
}

/// What is left to move, by all workers together.
#[derive(Clone)]
struct Budget {
    until: Instant,
    /// `None`: as much as the time allows.
    bytes: Option<Arc<AtomicU64>>,
}

impl Budget {
    fn new(bench: &Bench) -> Self {
        let bytes = bench.args.bytes;
        Self {
            until: deadline(bench),
            bytes: bytes.map(|bytes| Arc::new(AtomicU64::new(bytes))),
        }
    }

    /// The size of the next transfer, of at most `size` bytes; `None` when all is done.
    fn take(&self, size: u64, first: bool) -> Option<u64> {
        let Some(bytes) = &self.bytes else {
            return (first || Instant::now() < self.until).then_some(size);
        };
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(size));
        let before = bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        before.ok().map(|left| left.min(size))
    }
}

async fn transfers(bench: &Bench, link: &Link, way: Way, budget: &Budget) -> Result<u64, Failure> {
    let (size, mut moved) = (bench.size().max(1) as u64, 0);
    while let Some(size) = budget.take(size, moved == 0) {
        match way {
            Way::Up => bench.within(upload(link, size)).await?,
            Way::Down => bench.within(download(link, size)).await?,
        }
        moved += size;
    }
    Ok(moved)
}

async fn upload(link: &Link, size: u64) -> Result<(), Failure> {
    let (mut send, mut recv) = link.open_bi().await.map_err(|e| gone(&e))?;
    let send_all = async {
        send.write_all(b"U").await.map_err(|e| not_sent(&e))?;
        for chunk in Pattern::new(0).chunks(size) {
            send.write_chunk(chunk).await.map_err(|e| not_sent(&e))?;
        }
        send.finish().map_err(|e| not_sent(&e))
    };
    let (sent, answer) = tokio::join!(send_all, read(&mut recv, 8));
    sent?;
    let [counted] = numbers(&answer?)?;
    agree("bytes of an upload", size + 1, counted)
}

async fn download(link: &Link, size: u64) -> Result<(), Failure> {
    let (mut send, mut recv) = link.open_bi().await.map_err(|e| gone(&e))?;
    write(&mut send, &request(b'D', size)).await?;
    let mut got = 0;
    while let Some(chunk) = next(&mut recv).await? {
        got += chunk.len() as u64;
    }
    agree("bytes of a download", got, size)
}

async fn next(recv: &mut weftline_tokio::RecvStream) -> Result<Option<Bytes>, Failure> {
    recv.read_chunk(CHUNK).await.map_err(|e| not_read(&e))
}

/// Short unidirectional streams, as many as go through; the server's count decides.
pub(super) async fn streams(bench: &Bench) -> Result<Figures, Failure> {
    let link = bench.within(bench.link()).await?;
    let (begin, until) = (Instant::now(), deadline(bench));
    let sent = bench.workers(|_| {
        let (bench, link) = (bench.clone(), link.clone());
        async move {
            let (data, mut count) = (vec![7; bench.size()], 0);
            while count == 0 || Instant::now() < until {
                let one = async {
                    let mut send = link.open_uni().await.map_err(|e| gone(&e))?;
                    write(&mut send, &data).await
                };
                bench.within(one).await?;
                count += 1;
            }
            Ok(count)
        }
    });
    let count: u64 = sent.await?.iter().sum();
    let counted = bench.within(ask(&link, &request(b'W', count), 32)).await?;
    let elapsed = begin.elapsed();
    let [_, _, streams, bytes] = numbers(&counted)?;
    agree("streams", count, streams)?;
    agree("bytes on streams", count * bench.size() as u64, bytes)?;
    let mut figures = Figures::default();
    figures.set("concurrency", bench.concurrency());
    figures.set("size", bench.size());
    figures.rate("streams", count, elapsed);
    figures.losses(losses(link.connection()));
    Ok(figures)
}

/// Datagrams, as fast as the queue takes them; the server says how many came.
pub(super) async fn datagrams(bench: &Bench) -> Result<Figures, Failure> {
    let link = bench.within(bench.link()).await?;
    let (begin, until) = (Instant::now(), deadline(bench));
    let sent = bench.workers(|_| {
        let (bench, link) = (bench.clone(), link.clone());
        async move {
            let (data, mut count) = (vec![7; bench.size()], 0);
            while count == 0 || Instant::now() < until {
                let sent = bench.within(async {
                    let sent = link.send_datagram_wait(&data).await;
                    sent.map_err(|error| not_queued(&error, data.len()))
                });
                sent.await?;
                count += 1;
            }
            Ok(count)
        }
    });
    let sent: u64 = sent.await?.iter().sum();
    let elapsed = begin.elapsed();
    let received = received(bench, &link, sent).await?;
    let lost = sent - received;
    let mut figures = Figures::default();
    figures.set("concurrency", bench.concurrency());
    figures.set("size", bench.size());
    figures.rate("datagrams", sent, elapsed);
    let rate = per_second(received, elapsed);
    figures.set("received", received);
    figures.set("received_per_second", round(rate));
    figures.set("lost", lost);
    figures.say(format!(
        "{received} received ({rate:.0} per second), {lost} lost"
    ));
    Ok(figures)
}

/// How many datagrams the server has, once it gets no more of them.
async fn received(bench: &Bench, link: &Link, sent: u64) -> Result<u64, Failure> {
    let mut before = None;
    for _ in 0..COUNTS {
        let answer = bench.within(ask(link, b"S", 32)).await?;
        let [datagrams, bytes, _, _] = numbers(&answer)?;
        if datagrams > sent {
            return Err(foreign("it counts datagrams that were not sent"));
        }
        agree("bytes in datagrams", datagrams * bench.size() as u64, bytes)?;
        if datagrams == sent || before == Some(datagrams) {
            return Ok(datagrams);
        }
        before = Some(datagrams);
        sleep(SETTLE).await;
    }
    Err(foreign("its count of datagrams never comes to rest"))
}

fn not_queued(error: &DatagramError, len: usize) -> Failure {
    match error {
        DatagramError::TooLarge { max } => Failure::new(format!(
            "a datagram of {len} bytes is too long: {max} fit on this path"
        ))
        .advice("give a smaller --size"),
        error => Failure::new(format!("cannot send datagrams: {error}")),
    }
}

const CHUNK: usize = 256 << 10;
/// How often the server is asked for a count that must come to rest, and how far apart.
const COUNTS: u32 = 50;
const SETTLE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_bytes_is_used_up_exactly() {
        let budget = Budget {
            until: Instant::now(),
            bytes: Some(Arc::new(AtomicU64::new(25))),
        };
        let taken: Vec<_> = std::iter::from_fn(|| budget.take(10, true)).collect();
        assert_eq!(taken, [10, 10, 5]);
    }

    #[test]
    fn without_bytes_time_decides_but_for_the_first() {
        let budget = Budget {
            until: Instant::now(),
            bytes: None,
        };
        assert_eq!(budget.take(10, true), Some(10));
        assert_eq!(budget.take(10, false), None);
    }
}
