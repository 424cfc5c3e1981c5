//! The attempts to renew that came due: each an order of its own, paid from credit.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use entity::resource;
use uuid::Uuid;

use super::pass::{Passed, put_off};
use crate::app::App;
use crate::commands::order::{Attempted, renew_automatically, renewals};
use crate::error::Error;
use crate::store::{Scope, accounts, due};

/// How many accounts are claimed at once.
const ACCOUNTS: usize = 20;
/// How long they stay claimed, in seconds of the database's clock.
const LEASE_SECONDS: i64 = 60;

/// An attempt to renew that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    account: Uuid,
    resource: Uuid,
    paid_until: Option<DateTime<Utc>>,
}

impl Attempt {
    pub(super) const fn of(row: &resource::Model) -> Self {
        Self {
            account: row.account_id,
            resource: row.id,
            paid_until: row.paid_until,
        }
    }
}

/// Makes the attempts: of each account the soonest expiry first, then the cheapest, as its money is to be spent. One that
/// fails for a reason of ours is put off and holds up none of the others.
pub(super) async fn renew(app: &App, attempts: Vec<Attempt>, now: DateTime<Utc>) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    let mut by_account: BTreeMap<Uuid, Vec<Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_account.entry(attempt.account).or_default().push(attempt);
    }
    let scope = Scope::engine();
    let owners: Vec<Uuid> = by_account.keys().copied().collect();
    for owners in owners.chunks(ACCOUNTS) {
        let claimed = due::lease(&app.db, &scope, owners, app.process, LEASE_SECONDS).await?;
        passed.elsewhere |= claimed.len() < owners.len();
        for account in owners.iter().filter(|account| claimed.contains(account)) {
            let attempts = by_account.remove(account).unwrap_or_default();
            for attempt in in_turn(app, *account, attempts, now).await? {
                make(app, attempt, now, &mut passed).await?;
            }
        }
        due::release_leases(&app.db, &scope, &claimed, app.process).await?;
    }
    Ok(passed)
}

async fn make(app: &App, attempt: Attempt, now: DateTime<Utc>, passed: &mut Passed) -> Result<(), Error> {
    match renew_automatically(app, attempt.account, attempt.resource, now).await {
        Ok(Attempted::Renewed) => {
            passed.renewed += 1;
            passed.resources += 1;
            passed.steps += 1;
            passed.more = true;
        }
        Ok(Attempted::Failed(_)) => {
            passed.resources += 1;
            passed.steps += 1;
            passed.alerts += 1;
            // What stands behind it in its schedule may be due as well.
            passed.more = true;
        }
        Ok(Attempted::NotDue) => {}
        Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
        Err(error) => {
            let resource = attempt.resource;
            tracing::error!(%resource, %error, "a renewal failed and is put off");
            passed.failed += put_off(app, resource, now).await?;
        }
    }
    Ok(())
}

/// An account's attempts in the order in which its money is spent.
///
/// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
async fn in_turn(
    app: &App,
    account: Uuid,
    mut attempts: Vec<Attempt>,
    now: DateTime<Utc>,
) -> Result<Vec<Attempt>, Error> {
    if attempts.len() < 2 {
        return Ok(attempts);
    }
    let scope = Scope::engine();
    let owner = accounts::by_ids(app.db.read(), &scope, &[account]).await?;
    let owner = owner.into_iter().next().ok_or(Error::NotFound("account"))?;
    let resources: Vec<Uuid> = attempts.iter().map(|attempt| attempt.resource).collect();
    let prices: HashMap<Uuid, i64> = renewals(app.db.read(), &scope, &owner, &resources, now)
        .await?
        .into_iter()
        .filter_map(|(resource, renewal)| Some((resource, renewal.price.ok()?.minor())))
        .collect();
    attempts.sort_by_key(|attempt| turn_of(attempt.paid_until, prices.get(&attempt.resource), attempt.resource));
    Ok(attempts)
}

/// Where a resource stands among those that are renewed at once, at a price.
pub(super) fn turn(row: &resource::Model, price: Option<i64>) -> Turn {
    turn_of(row.paid_until, price.as_ref(), row.id)
}

/// The soonest end, then the cheapest. One without a price is told so last: it takes nothing from the others.
pub(super) type Turn = (Option<DateTime<Utc>>, i64, Uuid);

fn turn_of(paid_until: Option<DateTime<Utc>>, price: Option<&i64>, id: Uuid) -> Turn {
    (paid_until, price.copied().unwrap_or(i64::MAX), id)
}
