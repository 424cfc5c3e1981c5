//! The place of a subscriber in its account's stream of events.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::Error;

/// Names the stream of one account of one store, and an event in it: everything up to it has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    stream: [u8; 16],
    sequence: i64,
}

impl Cursor {
    /// The place behind an event of an account: its sequence number, or 0 for before the first one. `epoch` is the
    /// store, as it named itself when it was made.
    #[must_use]
    pub fn new(epoch: Uuid, account: Uuid, sequence: i64) -> Self {
        let digest = Sha256::new()
            .chain_update(epoch.as_bytes())
            .chain_update(account.as_bytes())
            .finalize();
        let mut stream = [0_u8; 16];
        stream.copy_from_slice(&digest[..16]);
        Self { stream, sequence }
    }

    /// The sequence number, when this is a place in the stream of that store and account.
    #[must_use]
    pub fn sequence_in(&self, epoch: Uuid, account: Uuid) -> Option<i64> {
        (*self == Self::new(epoch, account, self.sequence)).then_some(self.sequence)
    }

    /// The opaque text that clients keep.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = [0_u8; 24];
        bytes[..16].copy_from_slice(&self.stream);
        bytes[16..].copy_from_slice(&self.sequence.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a client's text.
    ///
    /// # Errors
    /// [`Error::CursorExpired`] when it was never one of ours: the client's way on is the same as for an old one.
    pub fn decode(text: &str) -> Result<Self, Error> {
        if text.len() != 32 {
            return Err(Error::CursorExpired);
        }
        let bytes: [u8; 24] = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Error::CursorExpired)?;
        let (stream, sequence) = bytes.split_at(16);
        let stream = stream.try_into().map_err(|_| Error::CursorExpired)?;
        let sequence = i64::from_be_bytes(sequence.try_into().map_err(|_| Error::CursorExpired)?);
        if sequence < 0 {
            Err(Error::CursorExpired)
        } else {
            Ok(Self { stream, sequence })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::Cursor;

    #[test]
    fn a_cursor_survives_its_text_and_junk_does_not_pass() {
        let (epoch, account) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let cursor = Cursor::new(epoch, account, 42);
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        assert_eq!(cursor.sequence_in(epoch, account), Some(42));
        assert_eq!(cursor.sequence_in(account, epoch), None);
        for junk in [
            "",
            "42",
            "AAAA",
            &"A".repeat(33),
            &"~".repeat(32),
            &Cursor::new(epoch, account, -1).encode(),
        ] {
            assert!(Cursor::decode(junk).is_err(), "{junk}");
        }
    }
}
