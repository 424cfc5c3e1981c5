//! The customer's switch: a resource off, on, or off and on again. It is paid for all the same.

use entity::enums::{EventType, ProductCall};
use uuid::Uuid;

use super::fulfil;
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::many;
use crate::error::Error;
use crate::store::event_log::{self, News};
use crate::store::{Scope, catalogue, deliveries, fulfilment, purchases, resources};

/// What is done with the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Off.
    Stop,
    /// On.
    Start,
    /// Off and on.
    Reboot,
}

impl Switch {
    const fn event(self) -> Event {
        match self {
            Self::Stop => Event::Stop,
            Self::Start => Event::Start,
            Self::Reboot => Event::Reboot,
        }
    }

    const fn call(self) -> ProductCall {
        match self {
            Self::Stop => ProductCall::Stop,
            Self::Start => ProductCall::Start,
            Self::Reboot => ProductCall::Reboot,
        }
    }

    const fn told_by(self) -> EventType {
        match self {
            Self::Stop => EventType::ResourceStopped,
            Self::Start => EventType::ResourceStarted,
            Self::Reboot => EventType::ResourceRebooted,
        }
    }
}

/// Switches a resource, and tells it: a customer's own, or one of the product whose service asks, which is not told then
/// what it did itself.
///
/// Source: rule "Lifecycle" in ARCHITECTURE, section Life.
///
/// # Errors
/// Refused with RESOURCE_NOT_FOUND, STATE_CONFLICT.
pub async fn switch(
    app: &App,
    scope: &Scope,
    account: Option<Uuid>,
    resource: Uuid,
    switch: Switch,
) -> Result<(), Error> {
    let now = app.clock.now();
    let told = app
        .db
        .write("switch_resource", async |tx| {
            let tx = &*tx;
            let found = match (scope, account) {
                (Scope::Product { product, .. }, _) => resources::lock_of_product(tx, scope, product, resource).await?,
                (_, Some(account)) => resources::lock(tx, scope, account, &[resource])
                    .await?
                    .remove(&resource),
                (_, None) => None,
            };
            let mut row = found.ok_or_else(|| many::missing().under("resourceId"))?;
            if row.order_item_id.is_some() {
                return Err(fulfil::busy(row.life, row.power).under("resourceId").into());
            }
            let product = catalogue::products_by_ids(&**tx, scope, &[row.product_id]).await?;
            let product = product.into_iter().next().ok_or(Error::NotFound("product"))?;
            let state = State {
                life: row.life,
                power: row.power,
            };
            let terms = fulfilment::policy_terms(&product)?;
            let switched = lifecycle::decide(&terms, state, switch.event());
            row.power = switched.map_err(|refusal| refusal.under("resourceId"))?.to.power;
            let mut writes = Writes::of(tx);
            if !matches!(scope, Scope::Product { .. }) {
                let call = deliveries::call(&product, &row, switch.call(), None, now);
                deliveries::add(&mut writes, scope, call.into_iter().collect());
            }
            let account = row.account_id;
            purchases::update_resource(&mut writes, scope, row);
            let news = [News::of(switch.told_by()).resource(resource)];
            event_log::append(&mut writes, scope, account, &news, now)?;
            Ok(writes.send(tx).await?.map(|newest| (account, newest)))
        })
        .await?;
    if let Some((account, newest)) = told {
        app.hub.wake(account, newest);
    }
    Ok(())
}
