//! States of the sending part of a stream (RFC 9000, section 3.1).

/// Where the sending part of a stream is.
///
/// ```text
///   Ready ---> Send ---> DataSent ---> DataRecvd
///     |          |           |
///     +----------+-----------+--> ResetSent ---> ResetRecvd
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    /// Nothing was sent.
    Ready,
    /// Data was sent.
    Send,
    /// All data and its end were sent.
    DataSent,
    /// And acknowledged.
    DataRecvd,
    /// The stream is being reset.
    ResetSent,
    /// And the peer knows.
    ResetRecvd,
}

/// What moves a [`SendState`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendInput {
    /// A STREAM frame without FIN was sent.
    DataSent,
    /// A STREAM frame with FIN was sent.
    FinSent,
    /// All data and the FIN are acknowledged.
    AllAcked,
    /// The application resets the stream, or the peer stopped it.
    Reset,
    /// The reset, and any data it promises to deliver, are acknowledged.
    ResetAcked,
}

impl SendState {
    /// The next state; the same one when `input` means nothing here.
    pub(crate) const fn on(self, input: SendInput) -> Self {
        use SendInput as I;
        match (self, input) {
            (Self::Ready, I::DataSent) => Self::Send,
            (Self::Ready | Self::Send, I::FinSent) => Self::DataSent,
            (Self::DataSent, I::AllAcked) => Self::DataRecvd,
            (Self::Ready | Self::Send | Self::DataSent, I::Reset) => Self::ResetSent,
            (Self::ResetSent, I::ResetAcked) => Self::ResetRecvd,
            (Self::Ready, I::AllAcked | I::ResetAcked)
            | (Self::Send, I::DataSent | I::AllAcked | I::ResetAcked)
            | (Self::DataSent, I::DataSent | I::FinSent | I::ResetAcked)
            | (Self::ResetSent, I::DataSent | I::FinSent | I::AllAcked | I::Reset)
            | (Self::DataRecvd | Self::ResetRecvd, _) => self,
        }
    }

    /// Whether the peer has everything it will ever get.
    pub(crate) const fn is_terminal(self) -> bool {
        match self {
            Self::DataRecvd | Self::ResetRecvd => true,
            Self::Ready | Self::Send | Self::DataSent | Self::ResetSent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::{SendInput as I, SendState as S};

    #[test]
    fn every_state_and_input() {
        let mut table = String::new();
        for state in STATES {
            for input in INPUTS {
                let next = state.on(input);
                let next = if next == state {
                    String::from("-")
                } else {
                    format!("{next:?}")
                };
                table += &format!("{state:?} {input:?} {next}\n");
            }
        }
        assert_eq!(table, GOLDEN);
    }

    #[test]
    fn terminal_states_never_move() {
        for state in STATES.into_iter().filter(|state| state.is_terminal()) {
            assert!(INPUTS.into_iter().all(|input| state.on(input) == state));
        }
    }

    const STATES: [S; 6] = [
        S::Ready,
        S::Send,
        S::DataSent,
        S::DataRecvd,
        S::ResetSent,
        S::ResetRecvd,
    ];
    const INPUTS: [I; 5] = [
        I::DataSent,
        I::FinSent,
        I::AllAcked,
        I::Reset,
        I::ResetAcked,
    ];
    const GOLDEN: &str = "\
Ready DataSent Send
Ready FinSent DataSent
Ready AllAcked -
Ready Reset ResetSent
Ready ResetAcked -
Send DataSent -
Send FinSent DataSent
Send AllAcked -
Send Reset ResetSent
Send ResetAcked -
DataSent DataSent -
DataSent FinSent -
DataSent AllAcked DataRecvd
DataSent Reset ResetSent
DataSent ResetAcked -
DataRecvd DataSent -
DataRecvd FinSent -
DataRecvd AllAcked -
DataRecvd Reset -
DataRecvd ResetAcked -
ResetSent DataSent -
ResetSent FinSent -
ResetSent AllAcked -
ResetSent Reset -
ResetSent ResetAcked ResetRecvd
ResetRecvd DataSent -
ResetRecvd FinSent -
ResetRecvd AllAcked -
ResetRecvd Reset -
ResetRecvd ResetAcked -
";
}
