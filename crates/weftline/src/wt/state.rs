//! The states of a session (draft-16, sections 3.2 and 6).

/// Where a session stands.
///
/// ```text
/// client:  Queued --Sent--> Requested --Accepted--+
/// server:  Held --Offered-> Offered   --Accepted--+--> Open --Close, Stopped--> Closing --Ended--> Closed
/// ```
/// Everything but `Closing` may go to `Closed` at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Client: the server's SETTINGS are to come before the request may be sent.
    Queued,
    /// Client: the request is sent.
    Requested,
    /// Server: a request is here; the client's SETTINGS are to come before it may be looked at.
    Held,
    /// Server: the application is to answer.
    Offered,
    /// Established.
    Open,
    /// Either side has closed it, or is about to; only the ends of the CONNECT stream are missing.
    Closing,
    /// Over.
    Closed,
}

/// What moves a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The request was sent.
    Sent,
    /// The application was told of the request.
    Offered,
    /// A 2xx response was sent or received.
    Accepted,
    /// Another response was sent or received, or there can be no session with this peer.
    Refused,
    /// The application closes the session.
    Close,
    /// The peer's close capsule arrived.
    PeerClose,
    /// The peer's side of the CONNECT stream ended.
    PeerEnd,
    /// The peer reset its side of the CONNECT stream, or broke the rules on it.
    PeerReset,
    /// The peer reads no more from the CONNECT stream. Its close capsule may be under way yet.
    PeerStop,
    /// The session took too long for this state.
    Timeout,
}

impl State {
    /// The state after `input`; the same one where the input changes nothing.
    pub(super) const fn on(self, input: Input) -> Self {
        use Input as I;
        match (self, input) {
            (Self::Queued, I::Sent) => Self::Requested,
            (Self::Held, I::Offered) => Self::Offered,
            (Self::Requested | Self::Offered, I::Accepted) => Self::Open,
            (Self::Queued | Self::Requested | Self::Held | Self::Offered, I::Refused) => {
                Self::Closed
            }
            (Self::Queued | Self::Requested, I::Close) => Self::Closed,
            (Self::Open, I::Close | I::PeerClose | I::PeerStop) => Self::Closing,
            (Self::Held | Self::Offered, I::PeerStop) => Self::Closed,
            (
                Self::Requested | Self::Held | Self::Offered | Self::Open | Self::Closing,
                I::PeerReset,
            ) => Self::Closed,
            (Self::Open | Self::Closing, I::PeerEnd) => Self::Closed,
            (
                Self::Queued | Self::Requested | Self::Held | Self::Offered | Self::Closing,
                I::Timeout,
            ) => Self::Closed,
            _ => self,
        }
    }

    /// Whether it counts against the sessions there may be at once.
    pub(super) const fn is_live(self) -> bool {
        match self {
            Self::Queued | Self::Requested | Self::Held | Self::Offered | Self::Open => true,
            Self::Closing | Self::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::{Input as I, State as S};

    #[test]
    fn every_state_and_input() {
        let mut table = String::new();
        for state in STATES {
            table += &format!("{state:?}:");
            for input in INPUTS {
                let next = state.on(input);
                if next != state {
                    table += &format!(" {input:?}={next:?}");
                }
            }
            table += "\n";
        }
        assert_eq!(table, GOLDEN);
    }

    const STATES: [S; 7] = [
        S::Queued,
        S::Requested,
        S::Held,
        S::Offered,
        S::Open,
        S::Closing,
        S::Closed,
    ];

    const INPUTS: [I; 10] = [
        I::Sent,
        I::Offered,
        I::Accepted,
        I::Refused,
        I::Close,
        I::PeerClose,
        I::PeerEnd,
        I::PeerReset,
        I::PeerStop,
        I::Timeout,
    ];

    const GOLDEN: &str = "\
Queued: Sent=Requested Refused=Closed Close=Closed Timeout=Closed
Requested: Accepted=Open Refused=Closed Close=Closed PeerReset=Closed Timeout=Closed
Held: Offered=Offered Refused=Closed PeerReset=Closed PeerStop=Closed Timeout=Closed
Offered: Accepted=Open Refused=Closed PeerReset=Closed PeerStop=Closed Timeout=Closed
Open: Close=Closing PeerClose=Closing PeerEnd=Closed PeerReset=Closed PeerStop=Closing
Closing: PeerEnd=Closed PeerReset=Closed Timeout=Closed
Closed:
";
}
