//! One case between two programs.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use interop_endpoint::Case as Endpoint;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time,
};

use crate::{
    capture::Datagram, cases::Case, certs::Certs, keys::KeyLog, middlebox::Middlebox,
    packets::Trace,
};

/// A program with a server and a client.
#[derive(Clone, Debug)]
pub(crate) struct Implementation {
    pub(crate) name: String,
    /// The program and what comes before the arguments of `interop_endpoint`.
    pub(crate) command: Vec<String>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// One of the programs cannot do it.
    Unsupported(String),
    Failed(String),
}

/// A case and who is to do it.
pub(crate) struct Job<'a> {
    pub(crate) case: &'static Case,
    pub(crate) client: &'a Implementation,
    pub(crate) server: &'a Implementation,
    pub(crate) seed: u64,
    /// Where logs go.
    pub(crate) dir: PathBuf,
}

impl Job<'_> {
    /// Runs the programs with a network between them, and looks at what went over it.
    pub(crate) async fn run(&self) -> Outcome {
        match self.transfer().await {
            Ok(Ended::Unsupported(why)) => Outcome::Unsupported(why),
            Ok(Ended::Captured(datagrams, result)) => {
                let outcome = self.verify(datagrams);
                result
                    .and(outcome)
                    .map_or_else(Outcome::Failed, |()| Outcome::Passed)
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    async fn transfer(&self) -> io::Result<Ended> {
        // Anew, because key logs are appended to.
        let _ = fs::remove_dir_all(&self.dir);
        fs::create_dir_all(&self.dir)?;
        let case = self.case;
        let certs = Certs::make(&self.dir, case.chain)?;
        let middlebox = Middlebox::bind(case.is_ipv6).await?;
        let mut command = self.command(self.server, "server", case.server)?;
        let any = SocketAddr::new(middlebox.address().ip(), 0);
        command.args(["--listen", &any.to_string()]);
        command.arg("--cert").arg(&certs.chain);
        command.arg("--key").arg(&certs.key);
        if case.server == Endpoint::ConnectionMigration {
            let preferred = middlebox.alternative().to_string();
            command.args(["--preferred", &preferred]);
        }
        let mut server = command.spawn()?;
        let address = match time::timeout(START, listening(&mut server)).await {
            Ok(Ok(address)) => address?,
            Ok(Err(why)) => return Ok(Ended::Unsupported(why)),
            Err(_) => return Err(io::Error::other("the server does not start")),
        };
        let front = middlebox.address().to_string();
        let running = middlebox.start(address, case.link, self.seed);
        let mut command = self.command(self.client, "client", case.client)?;
        command.args(["--connect", &front]);
        command.arg("--ca").arg(&certs.ca).args(case.paths());
        let result = self.client(command.spawn()?).await;
        // What is on its way arrives.
        time::sleep(case.link.delay * 2 + LAST).await;
        let datagrams = running.stop().await;
        let server_ended = server.try_wait()?;
        server.kill().await?;
        match (result?, server_ended) {
            (Err(Failure::Unsupported(why)), _) => Ok(Ended::Unsupported(why)),
            (Err(Failure::Failed(why)), None) => Ok(Ended::Captured(datagrams, Err(why))),
            (_, Some(status)) => {
                let why = format!("the server ended: {status}");
                Ok(Ended::Captured(datagrams, Err(why)))
            }
            (Ok(()), None) => Ok(Ended::Captured(datagrams, Ok(()))),
        }
    }

    /// Waits for a client to end.
    async fn client(&self, mut client: Child) -> io::Result<Result<(), Failure>> {
        let limit = Duration::from_secs(self.case.seconds);
        let Ok(status) = time::timeout(limit, client.wait()).await else {
            client.kill().await?;
            let why = format!("not done after {} s", self.case.seconds);
            return Ok(Err(Failure::Failed(why)));
        };
        let mut said = String::new();
        if let Some(mut stdout) = client.stdout.take() {
            stdout.read_to_string(&mut said).await?;
        }
        let status = status?;
        Ok(match said.trim().strip_prefix(UNSUPPORTED) {
            Some(why) => Err(Failure::Unsupported(format!("client: {why}"))),
            None if status.success() => Ok(()),
            None => Err(Failure::Failed(self.complaint("client"))),
        })
    }

    /// The last line that a program wrote to its standard error.
    fn complaint(&self, role: &str) -> String {
        let log = fs::read_to_string(self.dir.join(role).with_extension("log"));
        let log = log.unwrap_or_default();
        let line = log.lines().rev().find(|line| !line.trim().is_empty());
        format!("{role}: {}", line.unwrap_or("failed without a word"))
    }

    fn command(&self, who: &Implementation, role: &str, case: Endpoint) -> io::Result<Command> {
        let (program, arguments) = who
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("no command"))?;
        let log = File::create(self.dir.join(role).with_extension("log"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args([role, "--case", &case.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .env("RUST_BACKTRACE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("SSLKEYLOGFILE")
            .kill_on_drop(true);
        // One key log is enough, and ours can write one.
        if who.name == OURS && (role == "client" || self.client.name != OURS) {
            command.env("SSLKEYLOGFILE", self.key_log());
        }
        Ok(command)
    }

    fn key_log(&self) -> PathBuf {
        self.dir.join("keys.log")
    }

    fn verify(&self, datagrams: Vec<Datagram>) -> Result<(), String> {
        let log = fs::read_to_string(self.key_log()).unwrap_or_default();
        let trace = Trace::read(datagrams, &KeyLog::parse(&log));
        write(&self.dir.join("packets.txt"), &trace.to_string())?;
        self.case.verify(&trace)
    }
}

enum Ended {
    Unsupported(String),
    /// What went over the network, and what the client found wrong.
    Captured(Vec<Datagram>, Result<(), String>),
}

enum Failure {
    Unsupported(String),
    Failed(String),
}

/// Where the server listens. `Err` says why it cannot.
async fn listening(server: &mut Child) -> Result<io::Result<SocketAddr>, String> {
    let Some(stdout) = server.stdout.take() else {
        return Ok(Err(io::Error::other("no standard output")));
    };
    let mut line = String::new();
    if let Err(error) = BufReader::new(stdout).read_line(&mut line).await {
        return Ok(Err(error));
    }
    if let Some(why) = line.trim().strip_prefix(UNSUPPORTED) {
        return Err(format!("server: {why}"));
    }
    let address = line.trim().strip_prefix("listening ");
    let address = address.and_then(|address| address.parse().ok());
    Ok(address.ok_or_else(|| io::Error::other(format!("the server says {line:?}"))))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The implementation that is tested.
pub(crate) const OURS: &str = "weftline";

const UNSUPPORTED: &str = "unsupported: ";
const START: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_millis(100);
