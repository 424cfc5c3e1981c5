//! Identity and chance: the one source of keys and of random jitter.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the room where keys and chance are made"
)]

use std::time::Duration;

use uuid::Uuid;

/// A new key: UUID version 7, so that rows written together lie together in an index.
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A random wait between half of `base` and all of it, so that writers that collided do not collide again.
#[must_use]
pub fn jitter(base: Duration) -> Duration {
    let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX);
    let half = micros / 2;
    Duration::from_micros(half.saturating_add(rand::random_range(0..=half)))
}

/// Random bytes for secrets made in development.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}
