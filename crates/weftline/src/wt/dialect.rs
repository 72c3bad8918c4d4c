//! All differences between the drafts of WebTransport over HTTP/3, as data, and every code point
//! that belongs to WebTransport. No other file names a draft or holds such a number.
//!
//! Dialects differ in how they are negotiated and in session rules. Stream headers, datagrams, the
//! close capsule and the mapping of application codes are the same in all of them.

use alloc::vec::Vec;

use crate::{
    config::Limits,
    wire::h3::{error_code, settings},
};

/// A generation of the WebTransport drafts: what two ends agree to speak.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Draft 02 and 03: Chromium and Firefox.
    Draft02,
    /// Drafts 07 to 12.
    Draft07,
    /// Drafts 13 and 14: Safari.
    Draft13,
    /// Drafts 15 and 16: the newest.
    Draft16,
}

impl Dialect {
    /// Every dialect, the newest first.
    pub const ALL: &'static [Self] = &[Self::Draft16, Self::Draft13, Self::Draft07, Self::Draft02];

    /// A short name: that of the newest draft it covers in the field.
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// The status to reject a session with when nothing serves its path (draft-16, section 3.2).
    pub const fn not_found_status(self) -> u16 {
        self.rules().not_found_status
    }

    pub(super) const fn rules(self) -> &'static Rules {
        match self {
            Self::Draft02 => &DRAFT_02,
            Self::Draft07 => &DRAFT_07,
            Self::Draft13 => &DRAFT_13,
            Self::Draft16 => &DRAFT_16,
        }
    }
}

/// What a dialect prescribes.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) name: &'static str,
    /// The setting that declares the dialect; 0 and absence do not.
    pub(super) setting: u64,
    /// The largest legal value of `setting`; past it H3_SETTINGS_ERROR.
    pub(super) setting_max: u64,
    /// Whether `setting` stands for extended CONNECT too.
    pub(super) implies_extended_connect: bool,
    /// The older identifier of the H3_DATAGRAM setting, where it is accepted as well.
    pub(super) old_datagram_setting: Option<u64>,
    /// `:protocol` of the request.
    pub(super) token: &'static str,
    /// Header fields by which request and response name the draft.
    pub(super) marks: Option<Marks>,
    /// Whether a client must send `origin`.
    pub(super) origin_required: bool,
    pub(super) flow_control: FlowControl,
    /// Whether a flow control capsule that repeats a limit is an error, not only a smaller one.
    pub(super) repeated_limit_is_error: bool,
    /// Whether a client closes with WT_ALPN_ERROR when the server chose a protocol not offered.
    pub(super) alpn_error: bool,
    pub(super) not_found_status: u16,
    /// Whether WT_DRAIN_SESSION exists.
    pub(super) drain: bool,
    /// The code with which the streams of an ended session are reset and stopped.
    pub(super) session_gone: u64,
    /// Whether a close reason that is too long or no UTF-8, and bytes behind the close capsule, are
    /// H3_MESSAGE_ERROR. Where not, the reason is cut or mended and the bytes are ignored.
    pub(super) strict_close: bool,
}

/// When session flow control is on: in all cases only if both ends declared it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum FlowControl {
    Never,
    /// Declared by any WT_INITIAL_MAX_* other than 0.
    InitialLimits,
    /// Declared so, or by more than one session in the dialect's own setting.
    InitialLimitsOrSessions,
}

/// The header fields of draft 02.
#[derive(Copy, Clone, Debug)]
pub(super) struct Marks {
    pub(super) request: (&'static str, &'static str),
    pub(super) response: (&'static str, &'static str),
}

impl Rules {
    /// Whether settings, looked up with `get`, declare this dialect.
    pub(super) fn is_declared(&self, get: impl Fn(u64) -> Option<u64>) -> bool {
        get(self.setting).is_some_and(|value| value > 0)
    }

    /// Whether settings declare session flow control under this dialect.
    pub(super) fn declares_flow_control(&self, get: impl Fn(u64) -> Option<u64>) -> bool {
        let initial = INITIAL_LIMITS.iter().any(|&id| get(id).unwrap_or(0) > 0);
        match self.flow_control {
            FlowControl::Never => false,
            FlowControl::InitialLimits => initial,
            FlowControl::InitialLimitsOrSessions => initial || get(self.setting).unwrap_or(0) > 1,
        }
    }

    /// What settings lack for this dialect, beside its own; `None` when nothing.
    pub(super) fn lacks(
        &self,
        server: bool,
        get: impl Fn(u64) -> Option<u64>,
    ) -> Option<&'static str> {
        let is_on = |id| get(id) == Some(1);
        if server && !self.implies_extended_connect && !is_on(settings::ENABLE_CONNECT_PROTOCOL) {
            return Some("extended CONNECT (the setting ENABLE_CONNECT_PROTOCOL)");
        }
        if !is_on(settings::H3_DATAGRAM) && !self.old_datagram_setting.is_some_and(is_on) {
            return Some("HTTP datagrams (the setting H3_DATAGRAM)");
        }
        None
    }
}

/// The settings that say which dialects we speak and what their sessions may use, for either role.
///
/// All of them declare one session: more means flow control in drafts 13 and 14, and the initial
/// limits say that already. Those are sent too, as Safari sends nothing before it has credit. An
/// end that declares no limits of its own leaves flow control off.
pub(super) fn settings(dialects: &[Dialect], limits: &Limits) -> Vec<(u64, u64)> {
    if dialects.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::from([
        (settings::ENABLE_CONNECT_PROTOCOL, 1),
        (settings::H3_DATAGRAM, 1),
    ]);
    let enabled = || {
        Dialect::ALL
            .iter()
            .rev()
            .filter(|d| dialects.contains(d))
            .map(|d| d.rules())
    };
    out.extend(
        enabled()
            .filter_map(|rules| rules.old_datagram_setting)
            .map(|id| (id, 1)),
    );
    out.extend(enabled().map(|rules| (rules.setting, 1)));
    if enabled().any(|rules| rules.flow_control != FlowControl::Never) {
        let values = [
            limits.session_window,
            limits.session_streams,
            limits.session_streams,
        ];
        out.extend(
            INITIAL_LIMITS
                .into_iter()
                .zip(values)
                .filter(|&(_, value)| value > 0),
        );
    }
    out
}

static DRAFT_02: Rules = Rules {
    name: "draft-02",
    setting: 0x2b60_3742,
    setting_max: 1,
    implies_extended_connect: true,
    old_datagram_setting: Some(OLD_H3_DATAGRAM),
    token: "webtransport",
    marks: Some(Marks {
        request: ("sec-webtransport-http3-draft02", "1"),
        response: ("sec-webtransport-http3-draft", "draft02"),
    }),
    origin_required: true,
    flow_control: FlowControl::Never,
    repeated_limit_is_error: false,
    alpn_error: false,
    not_found_status: 404,
    drain: false,
    // WT_SESSION_GONE came with draft 03; draft 02 names no code.
    session_gone: error_code::H3_REQUEST_CANCELLED,
    strict_close: false,
};

// Draft 12 has flow control without a rule for when it is on; that of its successors is used.
static DRAFT_07: Rules = Rules {
    name: "draft-07",
    setting: 0xc671_706a,
    setting_max: u64::MAX,
    implies_extended_connect: false,
    old_datagram_setting: None,
    token: "webtransport",
    marks: None,
    origin_required: false,
    flow_control: FlowControl::InitialLimits,
    repeated_limit_is_error: false,
    alpn_error: false,
    not_found_status: 404,
    drain: true,
    session_gone: WT_SESSION_GONE,
    strict_close: false,
};

static DRAFT_13: Rules = Rules {
    name: "draft-14",
    setting: 0x14e9_cd29,
    setting_max: u64::MAX,
    implies_extended_connect: false,
    old_datagram_setting: None,
    token: "webtransport",
    marks: None,
    origin_required: false,
    flow_control: FlowControl::InitialLimitsOrSessions,
    repeated_limit_is_error: false,
    alpn_error: false,
    not_found_status: 404,
    drain: true,
    session_gone: WT_SESSION_GONE,
    strict_close: false,
};

static DRAFT_16: Rules = Rules {
    name: "draft-16",
    setting: 0x2c7c_f000,
    setting_max: 1,
    implies_extended_connect: false,
    old_datagram_setting: None,
    token: "webtransport-h3",
    marks: None,
    origin_required: false,
    flow_control: FlowControl::InitialLimits,
    repeated_limit_is_error: true,
    alpn_error: true,
    not_found_status: 405,
    drain: true,
    session_gone: WT_SESSION_GONE,
    strict_close: true,
};

// Streams (draft-16, sections 4.2 and 4.3).
pub(super) const UNI_STREAM: u64 = 0x54;
pub(super) const BIDI_SIGNAL: u64 = 0x41;

// Settings that are not a dialect's own (draft-16, section 9.2).
const OLD_H3_DATAGRAM: u64 = 0xff_d277;
pub(super) const INITIAL_MAX_DATA: u64 = 0x2b61;
pub(super) const INITIAL_MAX_STREAMS_UNI: u64 = 0x2b64;
pub(super) const INITIAL_MAX_STREAMS_BIDI: u64 = 0x2b65;
const INITIAL_LIMITS: [u64; 3] = [
    INITIAL_MAX_DATA,
    INITIAL_MAX_STREAMS_UNI,
    INITIAL_MAX_STREAMS_BIDI,
];

// Capsules (draft-16, section 9.6).
pub(super) const WT_CLOSE_SESSION: u64 = 0x2843;
pub(super) const WT_DRAIN_SESSION: u64 = 0x78ae;
pub(super) const WT_MAX_DATA: u64 = 0x190b_4d3d;
pub(super) const WT_MAX_STREAM_DATA: u64 = 0x190b_4d3e;
pub(super) const WT_MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
pub(super) const WT_MAX_STREAMS_UNI: u64 = 0x190b_4d40;
pub(super) const WT_DATA_BLOCKED: u64 = 0x190b_4d41;
pub(super) const WT_STREAM_DATA_BLOCKED: u64 = 0x190b_4d42;
pub(super) const WT_STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
pub(super) const WT_STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;

// Error codes (draft-16, section 9.5).
pub(super) const WT_BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;
pub(super) const WT_SESSION_GONE: u64 = 0x170d_7b68;
pub(super) const WT_FLOW_CONTROL_ERROR: u64 = 0x045d_4487;
pub(super) const WT_ALPN_ERROR: u64 = 0x0817_b3dd;
pub(super) const WT_REQUIREMENTS_NOT_MET: u64 = 0x212c_0d48;

/// Where the application's codes for streams lie among those of HTTP/3. Draft 02 has only the
/// first 256 of them, at the same places.
pub(super) const APPLICATION_CODES: core::ops::RangeInclusive<u64> =
    0x52e4_a40f_a8db..=0x52e5_ac98_3162;

// Header fields of the protocol negotiation. Drafts 10 to 12 called for tokens as values; in the
// field strings are sent under every draft, so we send strings, and understand both.
pub(super) const AVAILABLE_PROTOCOLS: &str = "wt-available-protocols";
pub(super) const PROTOCOL: &str = "wt-protocol";

/// The label of the TLS exporter (draft-16, section 4.8).
pub(super) const EXPORTER_LABEL: &[u8] = b"EXPORTER-WebTransport";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_settings() {
        let limits = Limits {
            session_window: 1 << 20,
            session_streams: 100,
            ..Limits::default()
        };
        assert_eq!(
            settings(Dialect::ALL, &limits),
            [
                (0x08, 1),
                (0x33, 1),
                (0xff_d277, 1),
                (0x2b60_3742, 1),
                (0xc671_706a, 1),
                (0x14e9_cd29, 1),
                (0x2c7c_f000, 1),
                (0x2b61, 1 << 20),
                (0x2b64, 100),
                (0x2b65, 100),
            ]
        );
        assert_eq!(
            settings(&[Dialect::Draft02], &limits),
            [(0x08, 1), (0x33, 1), (0xff_d277, 1), (0x2b60_3742, 1)]
        );
        assert_eq!(settings(&[], &limits), []);
        let none = Limits {
            session_window: 0,
            session_streams: 0,
            ..Limits::default()
        };
        assert_eq!(
            settings(&[Dialect::Draft16], &none),
            [(0x08, 1), (0x33, 1), (0x2c7c_f000, 1)]
        );
    }

    #[test]
    fn flow_control_is_declared() {
        type Case<'a> = (Dialect, &'a [(u64, u64)], bool);
        let cases: [Case<'_>; 10] = [
            (Dialect::Draft02, &[(0x2b61, 1)], false),
            (Dialect::Draft07, &[(0xc671_706a, 16)], false),
            (Dialect::Draft07, &[(0xc671_706a, 1), (0x2b64, 1)], true),
            (Dialect::Draft13, &[(0x14e9_cd29, 1)], false),
            (Dialect::Draft13, &[(0x14e9_cd29, 2)], true),
            (Dialect::Draft13, &[(0x14e9_cd29, 1), (0x2b61, 9)], true),
            (Dialect::Draft16, &[(0x2c7c_f000, 1)], false),
            (Dialect::Draft16, &[(0x14e9_cd29, 9), (0x2b65, 0)], false),
            (Dialect::Draft16, &[(0x2b65, 1)], true),
            (Dialect::Draft16, &[(0x2b61, 1), (0x2b64, 0)], true),
        ];
        for (dialect, list, on) in cases {
            let get = |id| list.iter().find(|(i, _)| *i == id).map(|(_, v)| *v);
            assert_eq!(
                dialect.rules().declares_flow_control(get),
                on,
                "{dialect:?} {list:x?}"
            );
        }
    }

    #[test]
    fn names_and_statuses() {
        let table: Vec<_> = Dialect::ALL
            .iter()
            .map(|d| (d.name(), d.rules().token, d.not_found_status()))
            .collect();
        assert_eq!(
            table,
            [
                ("draft-16", "webtransport-h3", 405),
                ("draft-14", "webtransport", 404),
                ("draft-07", "webtransport", 404),
                ("draft-02", "webtransport", 404),
            ]
        );
    }
}
