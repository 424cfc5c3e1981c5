//! Switching auto-renewal: of many resources at once, each with its own result.

use std::collections::HashMap;

use entity::enums::EventType;
use entity::resource;
use uuid::Uuid;

use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::many;
use crate::domain::refusal::Refusal;
use crate::domain::schedule::{Plan, StepKey};
use crate::domain::term::Term;
use crate::domain::time::{self, Instant};
use crate::error::Error;
use crate::store::event_log::{self, News};
use crate::store::{Scope, accounts, catalogue, fulfilment, purchases, resources};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SetAutoRenew {
    /// Whose resources.
    pub account: Uuid,
    /// The resources.
    pub resources: Vec<Uuid>,
    /// On or off.
    pub enabled: bool,
    /// By how many months each renewal goes on; left as it is when absent.
    pub months: Option<i64>,
}

/// Switches auto-renewal of resources on or off, and says by how many months they are renewed. What follows in their
/// schedules follows from it at once: switched on, the attempts that are still ahead are made. Answers what became of
/// each, in the order they were named; those that were refused leave the others as they are.
///
/// # Errors
/// Refused as a whole with NOTHING_TO_BUY, TOO_MANY_ITEMS, DUPLICATE_RESOURCE, INVALID_TERM; one by one with
/// RESOURCE_NOT_FOUND, STATE_CONFLICT.
pub async fn set(app: &App, scope: &Scope, input: SetAutoRenew) -> Result<Vec<Result<(), Refusal>>, Error> {
    many::check(&input.resources)?;
    let months = match input.months {
        None => None,
        Some(months) => {
            Term::months(months).map_err(|refusal| refusal.under("months"))?;
            Some(i32::try_from(months).map_err(Error::internal)?)
        }
    };
    let now = app.clock.now();
    let (results, newest) = app
        .db
        .write("set_auto_renew", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let account = accounts::by_ids(&**tx, scope, &[input.account]).await?;
            let account = account.into_iter().next().ok_or(Error::NotFound("account"))?;
            let zone = time::zone(&account.zone)?;
            let mut rows = resources::lock(tx, scope, account.id, &input.resources).await?;
            let products: Vec<Uuid> = rows.values().map(|row| row.product_id).collect();
            let products: HashMap<Uuid, _> = catalogue::products_by_ids(&**tx, scope, &products)
                .await?
                .into_iter()
                .map(|product| (product.id, product))
                .collect();

            let mut writes = Writes::of(tx);
            let (mut results, mut news) = (Vec::with_capacity(input.resources.len()), Vec::new());
            for id in &input.resources {
                let Some(mut row) = rows.remove(id) else {
                    results.push(Err(many::missing()));
                    continue;
                };
                let product = products.get(&row.product_id).ok_or(Error::NotFound("product"))?;
                let terms = fulfilment::policy_terms(product)?;
                let state = State {
                    life: row.life,
                    power: row.power,
                };
                let event = Event::SetAutoRenew { enabled: input.enabled };
                if let Err(refusal) = lifecycle::decide(&terms, state, event) {
                    results.push(Err(refusal));
                    continue;
                }
                results.push(Ok(()));
                let before = (row.auto_renew, row.auto_renew_months);
                row.auto_renew = input.enabled;
                row.auto_renew_months = months.unwrap_or(row.auto_renew_months);
                if before == (row.auto_renew, row.auto_renew_months) {
                    continue;
                }
                if before.0 != row.auto_renew && row.plan_id.is_some() {
                    let (terms, paid_until) = fulfilment::plan_of(&row, &terms)?;
                    let plan = Plan {
                        terms: &terms,
                        paid_until,
                        zone,
                        auto_renew: row.auto_renew,
                        release_at: None,
                    };
                    follow(&mut row, &plan, now)?;
                }
                news.push(News::of(EventType::ResourceChanged).resource(row.id));
                purchases::update_resource(&mut writes, scope, row);
            }
            event_log::append(&mut writes, scope, account.id, &news, now)?;
            Ok((results, writes.send(tx).await?))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(results)
}

/// Lets a resource wait for what follows in its plan, now that attempts to renew are in it or not.
fn follow(row: &mut resource::Model, plan: &Plan<'_>, now: Instant) -> Result<(), Error> {
    let Some(waited) = row.next_step.as_deref() else {
        return Ok(());
    };
    let waited: StepKey = waited.parse()?;
    let schedule = plan.schedule();
    if let Some(next) = schedule.instead_of(waited, now).filter(|next| next.key() != waited) {
        row.next_step = Some(next.key().to_string());
        row.next_due_at = Some(next.due_at);
        row.attempts = 0;
    }
    Ok(())
}
