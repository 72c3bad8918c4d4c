//! Tokens for connections to come (RFC 9000, section 8.1.3).

use alloc::vec::Vec;

use bytes::Bytes;

use super::Connection;
use crate::{
    error::Fault,
    quic::sent::{SentFrame, SentFrames},
    time::Instant,
    wire::{Side, Writer, frame::NewToken},
};

/// A server's NEW_TOKEN frame. What is lost is sent again as it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NewTokenFrame {
    None,
    Unsent(Vec<u8>),
    Sent(Vec<u8>),
}

impl NewTokenFrame {
    pub(super) const fn is_unsent(&self) -> bool {
        matches!(self, Self::Unsent(_))
    }

    pub(super) fn on_lost(&mut self) {
        if let Self::Sent(token) = self {
            *self = Self::Unsent(core::mem::take(token));
        }
    }
}

impl Connection {
    /// Server: the client proved to be where it is, and gets a token that says so.
    pub(super) fn issue_token(&mut self, now: Instant) {
        let Some(issuer) = self.issuer.take() else {
            return;
        };
        let nonce = self.random.bytes();
        let ip = self.paths.route().remote.ip();
        let token = issuer.issue(&*self.provider, now, self.version, ip, &nonce);
        if let Ok(token) = token {
            self.handshake.new_token = NewTokenFrame::Unsent(token);
        }
    }

    pub(super) fn write_new_token(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        let NewTokenFrame::Unsent(token) = &mut self.handshake.new_token else {
            return;
        };
        if (NewToken { token }).encode(w).is_ok() {
            self.handshake.new_token = NewTokenFrame::Sent(core::mem::take(token));
            sent.push(SentFrame::NewToken);
        }
    }

    /// Client: the server gives a token for a later connection.
    pub(super) fn on_new_token(&mut self, token: &[u8]) -> Result<(), Fault> {
        self.expect_side(Side::Client)?;
        if token.len() <= MAX_TOKEN {
            if self.new_tokens.len() >= MAX_NEW_TOKENS {
                self.new_tokens.remove(0);
            }
            self.new_tokens.push(Bytes::copy_from_slice(token));
        }
        Ok(())
    }

    /// The tokens that the server gave since the last call, the newest last.
    pub(crate) fn take_new_tokens(&mut self) -> Vec<Bytes> {
        core::mem::take(&mut self.new_tokens)
    }
}

/// A longer token would leave an Initial packet no room for what matters.
pub(super) const MAX_TOKEN: usize = 512;

/// How many tokens are of use between two looks at them.
const MAX_NEW_TOKENS: usize = 2;
