//! The brake on releases: how many of them one pass may make, and what an operator approved.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::decide::{Present, decide};
use crate::app::App;
use crate::db::Tx;
use crate::domain::time;
use crate::error::Error;
use crate::store::{Scope, accounts, catalogue, due, state};

/// How many due releases are read at once when they are counted.
const READ: u64 = 200;
/// How many reads a count makes: what is due beyond them is counted where it is decided.
const READS: u32 = 50;

/// Whether releases may be made, and how many of them.
///
/// Source: rule "Release brakes" in ARCHITECTURE, section Life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brake {
    /// Releases wait for an operator.
    pub(super) halted: bool,
    /// When an operator last approved: what was due by then is made, however much it is.
    pub(super) approved_at: Option<DateTime<Utc>>,
    /// How many others may still be made.
    pub(super) left: u64,
    /// One more was due than may be made: the halt is to be written.
    pub(super) tripped: bool,
}

impl Brake {
    /// A brake that lets so many releases through.
    pub(super) const fn with_left(left: u64) -> Self {
        Self {
            halted: false,
            approved_at: None,
            left,
            tripped: false,
        }
    }

    /// Whether a release that may be made since an instant is made now. Counts it; the first that is too many halts it
    /// and all that follow.
    pub(super) fn lets_through(&mut self, due_since: DateTime<Utc>) -> bool {
        if self.halted {
            return false;
        }
        if self.approved_at.is_some_and(|approved| due_since <= approved) {
            return true;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                (self.halted, self.tripped) = (true, true);
                false
            }
        }
    }
}

/// Halts releases when more are due than the pass may make, so that none of them is made. What is counted is what would
/// be made now: not what an operator approved, nor what its notice or lost time keeps back.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(super) async fn halt_too_many(
    app: &App,
    now: DateTime<Utc>,
    downtimes: &[(DateTime<Utc>, DateTime<Utc>)],
    left: u64,
) -> Result<(), Error> {
    let scope = Scope::engine();
    let mut brake = Brake::with_left(left);
    if let Some(state) = state::read(app.db.read(), &scope).await? {
        brake.halted = state.releases_halted_at.is_some();
        brake.approved_at = state.releases_approved_at;
    }
    let mut behind = None;
    for _ in 0..READS {
        if brake.halted {
            break;
        }
        let due = due::releases(app.db.read(), &scope, now, behind, READ).await?;
        let Some(last) = due.last().and_then(|last| Some((last.next_due_at?, last.id))) else {
            break;
        };
        behind = Some(last);
        let keys = |key: fn(&entity::resource::Model) -> Uuid| -> Vec<Uuid> { due.iter().map(key).collect() };
        let owners = accounts::by_ids(app.db.read(), &scope, &keys(|row| row.account_id)).await?;
        let zones: HashMap<Uuid, _> = owners
            .iter()
            .filter_map(|owner| Some((owner.id, time::zone(&owner.zone).ok()?)))
            .collect();
        let products = catalogue::products_by_ids(app.db.read(), &scope, &keys(|row| row.product_id)).await?;
        let products: HashMap<Uuid, _> = products.into_iter().map(|product| (product.id, product)).collect();
        let handled = due::state_steps(app.db.read(), &scope, &keys(|row| row.id)).await?;
        let handled = due::by_period(handled);
        for row in due {
            let (Some(zone), Some(product)) = (zones.get(&row.account_id), products.get(&row.product_id)) else {
                continue;
            };
            let present = Present {
                now,
                zone: *zone,
                downtimes,
            };
            let before = due::of_period(&handled, &row);
            // One that can't be decided is not made either; the pass says so where it handles it.
            let _ = decide(row.clone(), product, before, present, &mut brake);
        }
    }
    if brake.tripped {
        app.db
            .write("halt_releases", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                halt(tx, app.settings.most_releases, now).await
            })
            .await?;
        tell(app.settings.most_releases);
    }
    Ok(())
}

/// Writes that too many releases were due.
pub(super) async fn halt(tx: &Tx, most: u64, now: DateTime<Utc>) -> Result<(), Error> {
    let reason = format!("more than {most} releases were due in one pass");
    state::halt_releases(tx, &Scope::engine(), &reason, now).await
}

/// Logs that too many releases were due.
pub(super) fn tell(most: u64) {
    tracing::error!(
        most,
        "too many releases are due: they are halted until an operator approves them"
    );
}
