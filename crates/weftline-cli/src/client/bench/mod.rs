//! `weftline bench`: load for `/bench` of a server, over sessions or raw QUIC, and what came of it.
//!
//! Nothing that got lost is counted: every answer is compared with what it must be, and what has no
//! answer of its own is compared with the server's count at the end.

mod figures;
mod load;
mod transfer;

use std::{future::Future, time::Duration};

use serde_json::{Map, Value};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use weftline_tokio::{Connection, ReadError, RecvStream, SendStream};

use self::figures::Figures;
use super::{
    Client, Setup,
    exchange::{gone, not_read, not_sent},
    explain,
};
use crate::{
    args::{BenchArgs, BenchKind},
    failure::Failure,
    link::Link,
    output::{Format, print},
};

pub(crate) async fn run(client: &Client, args: &BenchArgs) -> Result<(), Failure> {
    let bench = Bench {
        client: client.clone(),
        args: args.clone(),
    };
    let figures = match args.kind {
        BenchKind::Bulk => transfer::bulk(&bench).await?,
        BenchKind::Echo => load::echo(&bench).await?,
        BenchKind::Rpc => load::rpc(&bench).await?,
        BenchKind::Datagram => transfer::datagrams(&bench).await?,
        BenchKind::Handshake => load::handshakes(&bench).await?,
        BenchKind::Streams => transfer::streams(&bench).await?,
        BenchKind::Idle => load::idle(&bench).await?,
    };
    report(args, figures)
}

fn report(args: &BenchArgs, figures: Figures) -> Result<(), Failure> {
    let (name, transport) = (args.kind.name(), args.transport());
    let mut fields = Map::new();
    fields.insert("bench".into(), name.into());
    fields.insert("url".into(), args.url.to_string().into());
    fields.insert("transport".into(), transport.into());
    let Figures { fields: own, text } = figures;
    fields.extend(own);
    if args.json {
        return print(&Format::Json.line("bench", Value::Object(fields), ""));
    }
    print(&format!("{name} over {transport}, {}", args.url))?;
    text.iter().try_for_each(|line| print(&format!("  {line}")))
}

/// One run.
#[derive(Clone)]
struct Bench {
    client: Client,
    args: BenchArgs,
}

impl Bench {
    /// A connection and what to measure on it. Closed with the last handle.
    async fn link(&self) -> Result<Link, Failure> {
        let args = &self.args;
        let setup = Setup::new(args.patience.timeout);
        let connection = self
            .client
            .connect_bench(&args.url, &args.trust, args.raw, setup)
            .await?;
        if args.raw {
            let raw = connection.raw();
            return raw.map(Link::Raw).ok_or_else(|| {
                Failure::new("the server does not speak raw QUIC").advice("start it with --raw")
            });
        }
        let session = connection.open_session(args.url.session_request());
        let late = |patience| explain::no_session(&args.url, patience);
        let session = setup.before(session, late).await?;
        let session = session.map_err(|error| explain::session(&error, &args.url))?;
        Ok(Link::Session(session))
    }

    /// How long the load goes on.
    fn duration(&self) -> Duration {
        self.args.seconds
    }

    /// How long anything may take before it counts as failed.
    fn patience(&self) -> Duration {
        self.args.seconds + self.args.patience.timeout
    }

    fn concurrency(&self) -> usize {
        let otherwise = match self.args.kind {
            BenchKind::Bulk | BenchKind::Echo | BenchKind::Datagram => 1,
            BenchKind::Rpc | BenchKind::Handshake => 8,
            BenchKind::Streams => 32,
            BenchKind::Idle => 100,
        };
        self.args.concurrency.unwrap_or(otherwise)
    }

    fn size(&self) -> usize {
        let otherwise = match self.args.kind {
            BenchKind::Bulk => 8 << 20,
            BenchKind::Datagram => 1000,
            _ => 100,
        };
        self.args.size.unwrap_or(otherwise)
    }

    /// Runs `concurrency` of `worker` at once; gives what each came to, or the first failure.
    async fn workers<T, F>(&self, worker: impl Fn(usize) -> F) -> Result<Vec<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        // Dropped with the others still running when one fails.
        let mut tasks: JoinSet<_> = (0..self.concurrency()).map(worker).collect();
        let mut results = Vec::new();
        while let Some(result) = tasks.join_next().await {
            match result {
                Ok(result) => results.push(result?),
                Err(error) => return Err(Failure::new(format!("a part of the load: {error}"))),
            }
        }
        Ok(results)
    }

    /// What comes of `work`, in time.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let patience = self.patience();
        timeout(patience, work).await.unwrap_or_else(|_| {
            let seconds = patience.as_secs_f64();
            let what = format!("the server did not answer within {seconds} s (timed out)");
            Err(Failure::new(what).advice("raise --timeout if the server is slow"))
        })
    }
}

/// What a stream with `data` is answered. Reads while it writes.
async fn ask(link: &Link, data: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let (mut send, mut recv) = link.open_bi().await.map_err(|e| gone(&e))?;
    let (sent, answer) = tokio::join!(write(&mut send, data), read(&mut recv, max));
    match (sent, answer) {
        (_, Ok(answer)) => Ok(answer),
        (Err(failure), Err(_)) | (Ok(()), Err(failure)) => Err(failure),
    }
}

/// Writes all of it, and the end.
async fn write(send: &mut SendStream, data: &[u8]) -> Result<(), Failure> {
    send.write_all(data).await.map_err(|e| not_sent(&e))?;
    send.finish().map_err(|e| not_sent(&e))
}

async fn read(recv: &mut RecvStream, max: usize) -> Result<Vec<u8>, Failure> {
    recv.read_to_end(max).await.map_err(|error| match error {
        ReadError::TooLong => foreign("its answer is too long"),
        error => not_read(&error),
    })
}

/// The numbers of an answer.
fn numbers<const N: usize>(answer: &[u8]) -> Result<[u64; N], Failure> {
    let (eights, rest) = answer.as_chunks::<8>();
    let numbers: Vec<_> = eights.iter().copied().map(u64::from_le_bytes).collect();
    match numbers.try_into() {
        Ok(numbers) if rest.is_empty() => Ok(numbers),
        _ => Err(foreign("its answer has another length")),
    }
}

/// What answers is not the measuring protocol.
fn foreign(what: &str) -> Failure {
    Failure::new(format!("the server does not speak this protocol: {what}"))
        .advice("measure /bench of 'weftline serve', or of a server that speaks the same")
}

/// An operation that asks for this number.
fn request(op: u8, number: u64) -> Vec<u8> {
    [&[op][..], &number.to_le_bytes()].concat()
}

/// What both ends counted, and the server's figure for it.
fn agree(what: &str, ours: u64, servers: u64) -> Result<(), Failure> {
    if ours == servers {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the counts differ: {ours} {what} here, {servers} at the server"
    )))
}

/// Packets lost of those sent.
fn losses(connection: &Connection) -> (u64, u64) {
    let stats = connection.stats();
    stats.map_or((0, 0), |stats| (stats.packets_lost, stats.packets_sent))
}

/// When the load ends that begins now.
fn deadline(bench: &Bench) -> Instant {
    Instant::now() + bench.duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_failure() {
        assert_eq!(agree("streams", 7, 7), Ok(()));
        let failure = agree("streams", 7, 6).unwrap_err().to_string();
        assert!(
            failure.contains("7 streams here, 6 at the server"),
            "{failure}"
        );
    }

    #[test]
    fn answers_have_their_length() {
        let bytes: Vec<u8> = [1_u64, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(numbers(&bytes), Ok([1, 2]));
        assert!(numbers::<1>(&bytes).is_err());
        assert!(numbers::<3>(&bytes).is_err());
        assert!(numbers::<2>(&[&bytes[..], b"x"].concat()).is_err());
        assert!(numbers::<2>(&bytes[1..]).is_err());
    }
}
