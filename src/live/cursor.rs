//! The place of a subscriber in its account's stream of events.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::error::Error;

/// Names a store and an event of one of its accounts: everything up to it has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The store, as it named itself when it was made.
    pub epoch: Uuid,
    /// The account's sequence number; 0 is before the first event.
    pub sequence: i64,
}

impl Cursor {
    /// The opaque text that clients keep.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = [0_u8; 24];
        bytes[..16].copy_from_slice(self.epoch.as_bytes());
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
        let (epoch, sequence) = bytes.split_at(16);
        let epoch = Uuid::from_slice(epoch).map_err(|_| Error::CursorExpired)?;
        let sequence = i64::from_be_bytes(sequence.try_into().map_err(|_| Error::CursorExpired)?);
        if sequence < 0 {
            Err(Error::CursorExpired)
        } else {
            Ok(Self { epoch, sequence })
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
        let cursor = Cursor {
            epoch: Uuid::from_u128(7),
            sequence: 42,
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for junk in [
            "",
            "42",
            "AAAA",
            &"A".repeat(33),
            &"~".repeat(32),
            &Cursor {
                epoch: Uuid::nil(),
                sequence: -1,
            }
            .encode(),
        ] {
            assert!(Cursor::decode(junk).is_err(), "{junk}");
        }
    }
}
