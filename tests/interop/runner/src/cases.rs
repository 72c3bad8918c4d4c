//! The cases of the QUIC interop runner: what is fetched, over which network, and what the packets
//! must show.

use std::time::Duration;

use interop_endpoint::Case as Endpoint;

use crate::{
    checks::{self, Outcome},
    link::{Harm, Link, Rebinding},
    packets::Trace,
};

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What it is about, for people.
    pub(crate) about: &'static str,
    /// What the client and the server are told to do.
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) files: Files,
    pub(crate) link: Link,
    pub(crate) seconds: u64,
    pub(crate) handshakes: usize,
    pub(crate) is_ipv6: bool,
    /// How many certificates the server shows.
    pub(crate) chain: usize,
    pub(crate) check: fn(&Trace) -> Outcome,
}

/// What the client fetches.
pub(crate) enum Files {
    /// Files of these sizes.
    Sizes(&'static [usize]),
    /// Many of one size, with names of that length.
    Many {
        count: usize,
        size: usize,
        name_len: usize,
    },
}

impl Case {
    const fn new(
        name: &'static str,
        about: &'static str,
        endpoint: Endpoint,
        sizes: &'static [usize],
    ) -> Self {
        Self {
            name,
            about,
            client: endpoint,
            server: endpoint,
            files: Files::Sizes(sizes),
            link: Link::USUAL,
            seconds: 60,
            handshakes: 1,
            is_ipv6: false,
            chain: 1,
            check: checks::nothing_more,
        }
    }

    const fn over(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    const fn many(mut self, count: usize, size: usize, name_len: usize) -> Self {
        self.files = Files::Many {
            count,
            size,
            name_len,
        };
        self
    }

    const fn handshakes(mut self, handshakes: usize) -> Self {
        self.handshakes = handshakes;
        self
    }

    const fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }

    const fn server(mut self, server: Endpoint) -> Self {
        self.server = server;
        self
    }

    const fn client(mut self, client: Endpoint) -> Self {
        self.client = client;
        self
    }

    const fn chain(mut self, chain: usize) -> Self {
        self.chain = chain;
        self
    }

    const fn ipv6(mut self) -> Self {
        self.is_ipv6 = true;
        self
    }

    const fn check(mut self, check: fn(&Trace) -> Outcome) -> Self {
        self.check = check;
        self
    }

    /// The paths that the client asks for; no two the same.
    pub(crate) fn paths(&self) -> Vec<String> {
        match self.files {
            Files::Sizes(sizes) => {
                let name = |(i, size)| format!("/{}{i}-{size}", self.name);
                sizes.iter().enumerate().map(name).collect()
            }
            Files::Many {
                count,
                size,
                name_len,
            } => (0..count)
                .map(|i| format!("/{i:0>name_len$}-{size}"))
                .collect(),
        }
    }

    /// Whether the packets show what they must.
    pub(crate) fn verify(&self, trace: &Trace) -> Outcome {
        checks::usual(self, trace)?;
        (self.check)(trace)
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const LOSS_30: Link = Link::harm(Harm::Lose {
    percent: 30,
    burst: 3,
});
const LOSS_2: Link = Link::harm(Harm::Lose {
    percent: 2,
    burst: 3,
});
const CORRUPTION_30: Link = Link::harm(Harm::Corrupt {
    percent: 30,
    burst: 3,
});
const CORRUPTION_2: Link = Link::harm(Harm::Corrupt {
    percent: 2,
    burst: 3,
});

const LONG: Link = Link {
    delay: Duration::from_millis(750),
    ..Link::USUAL
};

const BLACKHOLE: Link = Link::harm(Harm::Outage {
    from: Duration::from_secs(5),
    until: Duration::from_secs(7),
});

/// The ClientHello passes, the next datagrams of the client do not.
const SILENT_CLIENT: Link = Link {
    to_server: Harm::LoseNumbers(&[2, 3, 4, 5, 6, 7]),
    ..Link::USUAL
};

const fn rebinding(changes_address: bool) -> Link {
    Link {
        rebinding: Some(Rebinding {
            first: Duration::from_secs(1),
            every: Duration::from_secs(5),
            changes_address,
        }),
        ..Link::USUAL
    }
}

/// All cases, in the order of the QUIC interop runner.
pub(crate) static ALL: [Case; 22] = [
    Case::new(
        "handshake",
        "A handshake and a small file, without Retry",
        Endpoint::Handshake,
        &[KIB],
    )
    .check(checks::no_retry),
    Case::new(
        "transfer",
        "Three files at once, larger than the first flow control windows",
        Endpoint::Transfer,
        &[2 * MIB, 3 * MIB, 5 * MIB],
    ),
    Case::new(
        "longrtt",
        "A handshake over a round-trip time of 1.5 s",
        Endpoint::Handshake,
        &[KIB],
    )
    .over(LONG)
    .check(checks::client_hello_twice),
    Case::new(
        "chacha20",
        "Only TLS_CHACHA20_POLY1305_SHA256 is offered",
        Endpoint::ChaCha20,
        &[3 * MIB],
    )
    .check(checks::only_chacha20),
    Case::new(
        "multiplexing",
        "1999 small files on one connection; at most 1000 streams allowed at first",
        Endpoint::Transfer,
        &[],
    )
    .many(1999, 32, 8)
    .check(checks::few_streams_at_first),
    Case::new(
        "retry",
        "The server asks for another Initial with its token",
        Endpoint::Retry,
        &[10 * KIB],
    )
    .check(checks::retry),
    Case::new(
        "resumption",
        "The second connection resumes the TLS session of the first",
        Endpoint::Resumption,
        &[5 * KIB, 10 * KIB],
    )
    .handshakes(2)
    .check(checks::resumption),
    Case::new(
        "zerortt",
        "The second connection asks for 39 files in 0-RTT",
        Endpoint::ZeroRtt,
        &[],
    )
    .many(40, 32, 250)
    .handshakes(2)
    .check(checks::zero_rtt),
    Case::new(
        "http3",
        "Three files at once over HTTP/3",
        Endpoint::Http3,
        &[5 * KIB, 10 * KIB, 500 * KIB],
    ),
    Case::new(
        "blackhole",
        "The network is away for 2 s of a transfer",
        Endpoint::Transfer,
        &[10 * MIB],
    )
    .over(BLACKHOLE),
    Case::new(
        "keyupdate",
        "The client sees to it that the keys are updated early on",
        Endpoint::KeyUpdate,
        &[3 * MIB],
    )
    .server(Endpoint::Transfer)
    .check(checks::key_update),
    Case::new(
        "ecn",
        "Both sides mark what they send and report the marks they see",
        Endpoint::Ecn,
        &[100 * KIB],
    )
    .check(checks::ecn),
    Case::new(
        "amplificationlimit",
        "Before the client's address is validated, the server sends three times what it got; 9 certificates",
        Endpoint::Transfer,
        &[5 * KIB],
    )
    .over(SILENT_CLIENT)
    .chain(9)
    .check(checks::amplification),
    Case::new(
        "handshakeloss",
        "50 connections, 30 % of the datagrams are lost",
        Endpoint::MultiConnect,
        &[],
    )
    .many(50, KIB, 8)
    .handshakes(50)
    .seconds(300)
    .over(LOSS_30),
    Case::new(
        "transferloss",
        "A transfer, 2 % of the datagrams are lost",
        Endpoint::Transfer,
        &[2 * MIB],
    )
    .over(LOSS_2),
    Case::new(
        "handshakecorruption",
        "50 connections, 30 % of the datagrams are changed",
        Endpoint::MultiConnect,
        &[],
    )
    .many(50, KIB, 8)
    .handshakes(50)
    .seconds(300)
    .over(CORRUPTION_30),
    Case::new(
        "transfercorruption",
        "A transfer, 2 % of the datagrams are changed",
        Endpoint::Transfer,
        &[2 * MIB],
    )
    .over(CORRUPTION_2),
    Case::new(
        "ipv6",
        "Over IPv6",
        Endpoint::Transfer,
        &[5 * KIB, 10 * KIB],
    )
    .ipv6(),
    Case::new(
        "v2",
        "The client begins with version 1, the server moves it to version 2",
        Endpoint::V2,
        &[KIB],
    )
    .check(checks::version_2),
    Case::new(
        "rebind-port",
        "A NAT gives the client another port, again and again",
        Endpoint::Transfer,
        &[10 * MIB],
    )
    .over(rebinding(false))
    .check(checks::path_validation),
    Case::new(
        "rebind-addr",
        "A NAT gives the client another IP address, again and again",
        Endpoint::Transfer,
        &[10 * MIB],
    )
    .over(rebinding(true))
    .check(checks::other_addresses),
    Case::new(
        "connectionmigration",
        "The client moves to the server's preferred address",
        Endpoint::ConnectionMigration,
        &[2 * MIB],
    )
    .client(Endpoint::ConnectionMigration)
    .check(checks::migration),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn paths_differ_and_exist() {
        for case in &ALL {
            let paths = case.paths();
            let distinct: HashSet<_> = paths.iter().collect();
            assert_eq!(distinct.len(), paths.len(), "{}", case.name);
            assert!(
                paths
                    .iter()
                    .all(|path| interop_endpoint::file(path).is_some())
            );
        }
    }
}
