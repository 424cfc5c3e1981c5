//! Time. Two kinds that never mix: business time (what the rules see) and machine time (timeouts, tokens, metrics).
//!
//! Business time is the machine's, moved by the store's clock offset: 0 in production, anything in development, so that
//! a year passes in a minute. Nothing else in the gateway reads a clock (clippy forbids it), so a command sees one
//! `now`, and a test decides which. Leases use the database's own clock (`db::lease_time`).

#![allow(clippy::disallowed_methods, reason = "this is the room where clocks are read")]

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// The business clock of one process. Shared by reference; moving it moves all who hold it.
#[derive(Debug)]
pub struct Clock {
    offset_micros: AtomicI64,
    /// Where it stands still, in microseconds of the epoch; [`GOES`] while it goes.
    stands_at: AtomicI64,
}

/// No instant: the clock goes.
const GOES: i64 = i64::MIN;

impl Default for Clock {
    fn default() -> Self {
        Self::with_offset(0)
    }
}

impl Clock {
    /// A clock that is moved by an offset, in microseconds.
    #[must_use]
    pub fn with_offset(offset_micros: i64) -> Self {
        Self {
            offset_micros: AtomicI64::new(offset_micros),
            stands_at: AtomicI64::new(GOES),
        }
    }

    /// The business instant, truncated to microseconds: what both databases keep.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        if let Some(stands) = DateTime::from_timestamp_micros(self.stands_at.load(Ordering::Relaxed)) {
            return stands;
        }
        let now = machine_now();
        now.checked_add_signed(TimeDelta::microseconds(self.offset_micros()))
            .unwrap_or(now)
    }

    /// Lets this process's clock stand still at an instant, whatever the store's offset: for a world that is made up, in
    /// which nothing may depend on how long making it takes.
    pub fn stand_at(&self, instant: DateTime<Utc>) {
        self.stands_at.store(instant.timestamp_micros(), Ordering::Relaxed);
    }

    /// How far the clock is moved, in microseconds.
    #[must_use]
    pub fn offset_micros(&self) -> i64 {
        self.offset_micros.load(Ordering::Relaxed)
    }

    /// Takes over the store's offset: another process may have moved it.
    pub fn set_offset_micros(&self, offset_micros: i64) {
        self.offset_micros.store(offset_micros, Ordering::Relaxed);
    }

    /// The offset that would make `instant` the present.
    #[must_use]
    pub fn offset_for(instant: DateTime<Utc>) -> i64 {
        instant
            .signed_duration_since(machine_now())
            .num_microseconds()
            .unwrap_or(0)
    }
}

/// The machine's wall clock, truncated to microseconds. For tokens and logs; never for a business rule.
#[must_use]
pub fn machine_now() -> DateTime<Utc> {
    to_micros(Utc::now())
}

/// The instant without what is less than a microsecond, which no store keeps.
#[must_use]
pub fn to_micros(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

/// A reading of the machine's monotonic clock: for durations, which wall clocks can't be trusted with.
#[must_use]
pub fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}
