//! All differences between the drafts of WebTransport over HTTP/3, as data.

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
}
