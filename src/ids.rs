//! Identity and chance: the one source of keys and of random jitter.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the room where keys and chance are made"
)]

pub(crate) mod global;

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// A new key: UUID version 7, so that rows written together lie together in an index.
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// What tells requests apart in answers and logs: a UUID version 4. No index is in its order, and its chance need not be
/// asked of the kernel each time.
#[must_use]
pub fn request_id() -> Uuid {
    Builder::from_random_bytes(rand::random()).into_uuid()
}

/// A random wait between half of `base` and all of it, so that writers that collided do not collide again.
#[must_use]
pub fn jitter(base: Duration) -> Duration {
    let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX);
    let half = micros / 2;
    Duration::from_micros(half.saturating_add(rand::random_range(0..=half)))
}

/// Chance that repeats: the same seed, the same numbers, in any version of this program (splitmix64). For worlds that
/// are made up, never for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The chance of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all 64 bits.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`; 0 when there is none.
    pub fn below(&mut self, end: u32) -> u32 {
        let number = self.number().checked_rem(u64::from(end)).unwrap_or(0);
        u32::try_from(number).unwrap_or(0)
    }

    /// One of some things; nothing when there are none.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        let end = u32::try_from(things.len()).unwrap_or(u32::MAX);
        things.get(usize::try_from(self.below(end)).unwrap_or(0))
    }
}

/// The digest by which a secret is kept and found again: in hexadecimal, SHA-256.
#[must_use]
pub fn digest(secret: &str) -> String {
    digest_of(secret.as_bytes())
}

/// The SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret of a link: 32 random bytes in hexadecimal.
#[must_use]
pub fn secret() -> String {
    let bytes = random_bytes::<32>();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of such a secret. What has not was never one, and may hold what a store does not take.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Random bytes for secrets.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::thread;

    use uuid::Version;

    use super::*;

    #[test]
    fn no_two_requests_have_one_id() {
        let make = || (0..2_000).map(|_| request_id()).collect::<Vec<_>>();
        let makers: Vec<_> = (0..4).map(|_| thread::spawn(make)).collect();
        let made: Vec<Uuid> = makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect();
        assert!(made.iter().all(|id| id.get_version() == Some(Version::Random)));
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 8_000);
    }
}
