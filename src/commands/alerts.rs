//! Saying that alerts were seen.

use uuid::Uuid;

use crate::app::App;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::store::{Scope, alerts};

/// The most alerts of one call.
pub const MOST_ALERTS: usize = 100;

/// Notes that these alerts of an account were seen, all of them or none. One that was acknowledged before keeps by whom
/// and when.
///
/// # Errors
/// Refused with NOTHING_TO_BUY for none, TOO_MANY_ITEMS, ALERT_NOT_FOUND.
pub async fn acknowledge(app: &App, scope: &Scope, account: Uuid, ids: &[Uuid]) -> Result<(), Error> {
    if ids.is_empty() {
        let refusal = Refusal::new(RefusalCode::NothingToBuy, "Name at least one alert.");
        return Err(refusal.under("alertIds").into());
    }
    if ids.len() > MOST_ALERTS {
        return Err(too_many().into());
    }
    let now = app.clock.now();
    app.db
        .write("acknowledge_alerts", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let found = alerts::by_ids(&**tx, scope, ids).await?;
            let own = |id: &Uuid| found.iter().any(|alert| alert.id == *id && alert.account_id == account);
            if let Some(place) = ids.iter().position(|id| !own(id)) {
                return Err(missing(place).into());
            }
            alerts::acknowledge(tx, scope, ids, now).await
        })
        .await
}

/// There is no such alert, or it is another account's.
#[must_use]
pub fn missing(place: usize) -> Refusal {
    Refusal::new(RefusalCode::AlertNotFound, "There is no such alert.")
        .under(place)
        .under("alertIds")
}

/// More alerts are named than one call takes.
#[must_use]
pub fn too_many() -> Refusal {
    let message = format!("Name at most {MOST_ALERTS} alerts at once, and the rest in another call.");
    Refusal::new(RefusalCode::TooManyItems, message).under("alertIds")
}
