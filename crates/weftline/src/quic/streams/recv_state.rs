//! States of the receiving part of a stream (RFC 9000, section 3.2).

/// Where the receiving part of a stream is. `Stopped` and `Discarded` are not in the RFC: the
/// application wants no more, so nothing is kept but the count of credit.
///
/// ```text
///   Recv ---> SizeKnown ---> DataRecvd ---> DataRead
///    | |          |
///    | +----------+--> ResetRecvd ---> ResetRead
///    v
///   Stopped ---> Discarded        (from all that are not terminal)
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecvState {
    /// Data comes, its end is not known.
    Recv,
    /// The final size is known, data is missing.
    SizeKnown,
    /// All data is here, not all of it read.
    DataRecvd,
    /// All of it was read.
    DataRead,
    /// The peer reset the stream; the application does not know yet.
    ResetRecvd,
    /// It does.
    ResetRead,
    /// The application wants no more; the final size is not known.
    Stopped,
    /// It is, so every byte of credit is accounted for.
    Discarded,
}

/// What moves a [`RecvState`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecvInput {
    /// A STREAM frame with FIN came.
    Fin,
    /// The last missing byte came.
    Complete,
    /// RESET_STREAM or RESET_STREAM_AT came.
    Reset,
    /// The application read the end of the data.
    EndRead,
    /// The application was told of the reset.
    ResetRead,
    /// The application wants no more.
    Stop,
}

impl RecvState {
    /// The next state; the same one when `input` means nothing here. A reset changes nothing once
    /// all data is here, as section 3.2 allows.
    pub(crate) const fn on(self, input: RecvInput) -> Self {
        use RecvInput as I;
        match (self, input) {
            (Self::Recv, I::Fin) => Self::SizeKnown,
            (Self::SizeKnown, I::Complete) => Self::DataRecvd,
            (Self::DataRecvd, I::EndRead) => Self::DataRead,
            (Self::Recv | Self::SizeKnown, I::Reset) => Self::ResetRecvd,
            (Self::ResetRecvd, I::ResetRead) => Self::ResetRead,
            (Self::Recv, I::Stop) => Self::Stopped,
            (Self::SizeKnown | Self::DataRecvd | Self::ResetRecvd, I::Stop)
            | (Self::Stopped, I::Fin | I::Reset) => Self::Discarded,
            (Self::Recv, I::Complete | I::EndRead | I::ResetRead)
            | (Self::SizeKnown, I::Fin | I::EndRead | I::ResetRead)
            | (Self::DataRecvd, I::Fin | I::Complete | I::Reset | I::ResetRead)
            | (Self::ResetRecvd, I::Fin | I::Complete | I::Reset | I::EndRead)
            | (Self::Stopped, I::Complete | I::EndRead | I::ResetRead | I::Stop)
            | (Self::DataRead | Self::ResetRead | Self::Discarded, _) => self,
        }
    }

    /// Whether nothing more comes of the stream.
    pub(crate) const fn is_terminal(self) -> bool {
        match self {
            Self::DataRead | Self::ResetRead | Self::Discarded => true,
            Self::Recv | Self::SizeKnown | Self::DataRecvd | Self::ResetRecvd | Self::Stopped => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::{RecvInput as I, RecvState as S};

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

    const STATES: [S; 8] = [
        S::Recv,
        S::SizeKnown,
        S::DataRecvd,
        S::DataRead,
        S::ResetRecvd,
        S::ResetRead,
        S::Stopped,
        S::Discarded,
    ];
    const INPUTS: [I; 6] = [
        I::Fin,
        I::Complete,
        I::Reset,
        I::EndRead,
        I::ResetRead,
        I::Stop,
    ];
    const GOLDEN: &str = "\
Recv Fin SizeKnown
Recv Complete -
Recv Reset ResetRecvd
Recv EndRead -
Recv ResetRead -
Recv Stop Stopped
SizeKnown Fin -
SizeKnown Complete DataRecvd
SizeKnown Reset ResetRecvd
SizeKnown EndRead -
SizeKnown ResetRead -
SizeKnown Stop Discarded
DataRecvd Fin -
DataRecvd Complete -
DataRecvd Reset -
DataRecvd EndRead DataRead
DataRecvd ResetRead -
DataRecvd Stop Discarded
DataRead Fin -
DataRead Complete -
DataRead Reset -
DataRead EndRead -
DataRead ResetRead -
DataRead Stop -
ResetRecvd Fin -
ResetRecvd Complete -
ResetRecvd Reset -
ResetRecvd EndRead -
ResetRecvd ResetRead ResetRead
ResetRecvd Stop Discarded
ResetRead Fin -
ResetRead Complete -
ResetRead Reset -
ResetRead EndRead -
ResetRead ResetRead -
ResetRead Stop -
Stopped Fin Discarded
Stopped Complete -
Stopped Reset Discarded
Stopped EndRead -
Stopped ResetRead -
Stopped Stop -
Discarded Fin -
Discarded Complete -
Discarded Reset -
Discarded EndRead -
Discarded ResetRead -
Discarded Stop -
";
}
