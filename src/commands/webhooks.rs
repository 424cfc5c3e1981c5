//! Where customers and products' services want to be told by signed HTTP requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use entity::enums::{EventType, WebhookStatus};
use entity::webhook_endpoint;
use uuid::Uuid;

use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::webhook::{self as rules, MOST_ENDPOINTS};
use crate::error::Error;
use crate::store::webhooks::{self, Owner};
use crate::store::{Scope, accounts, deliveries};
use crate::{clock, ids};

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct Create {
    /// Whose.
    pub owner: Owner,
    /// Where requests go.
    pub url: String,
    /// What is told there; all when empty.
    pub events: Vec<EventType>,
}

/// What of an endpoint is changed. What is not given stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Where requests go.
    pub url: Option<String>,
    /// What is told there; all when empty.
    pub events: Option<Vec<EventType>>,
    /// Whether it is sent to.
    pub enabled: Option<bool>,
    /// Whether it is given up.
    pub delete: bool,
    /// Whether it gets another secret.
    pub new_secret: bool,
}

/// Makes an endpoint with a secret of its own.
///
/// # Errors
/// Refused with WEBHOOK_URL_NOT_ALLOWED, LIMIT_EXCEEDED.
pub async fn create(app: &App, scope: &Scope, input: Create) -> Result<webhook_endpoint::Model, Error> {
    let url = checked(app, &input.url)?;
    let (account_id, product_id) = match input.owner {
        Owner::Account(account) => (Some(account), None),
        Owner::Product(product) => (None, Some(product)),
    };
    let row = webhook_endpoint::Model {
        id: ids::new_id(),
        account_id,
        product_id,
        url,
        events: events(input.events)?,
        status: WebhookStatus::Enabled,
        secret: secret(),
        old_secret: None,
        old_secret_until: None,
        told_sequence: 0,
        failing_since: None,
        disabled_reason: None,
        created_by: scope.principal().chars().take(200).collect(),
        created_at: app.clock.now(),
        version: 1,
    };
    app.db
        .write("create_webhook", async |tx| {
            let tx = &*tx;
            webhooks::lock_owner(tx, scope, input.owner).await?;
            let there = webhooks::of_owner(&**tx, scope, input.owner).await?;
            let most = match input.owner {
                Owner::Account(_) => MOST_ENDPOINTS,
                Owner::Product(_) => 1,
            };
            if there.len() >= most {
                let message = format!("There are as many webhooks as may be: {most}. Delete one of them first.");
                return Err(Refusal::new(RefusalCode::LimitExceeded, message).into());
            }
            let mut row = row.clone();
            row.told_sequence = newest(tx, &row).await?;
            webhooks::insert(tx, scope, row.clone()).await?;
            note_at_product(tx, scope, &row).await?;
            Ok(row)
        })
        .await
}

/// Changes an endpoint, and answers it as it now is. One that is enabled begins anew: what failed before is forgotten.
/// With another secret requests are signed with both for a day.
///
/// # Errors
/// Refused with WEBHOOK_NOT_FOUND, WEBHOOK_URL_NOT_ALLOWED.
pub async fn change(app: &App, scope: &Scope, id: Uuid, change: Change) -> Result<webhook_endpoint::Model, Error> {
    let url = change.url.as_deref().map(|url| checked(app, url)).transpose()?;
    let events = change.events.map(events).transpose()?;
    let fresh = change.new_secret.then(secret);
    app.db
        .write("change_webhook", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let mut row = locked(tx, scope, id).await?;
            if let Some(url) = &url {
                row.url.clone_from(url);
            }
            if let Some(events) = &events {
                row.events.clone_from(events);
            }
            match change.enabled {
                Some(true) => {
                    if row.status != WebhookStatus::Enabled {
                        row.told_sequence = newest(tx, &row).await?;
                    }
                    row.status = WebhookStatus::Enabled;
                    (row.failing_since, row.disabled_reason) = (None, None);
                }
                Some(false) => {
                    row.status = WebhookStatus::Disabled;
                    row.disabled_reason = Some("switched off by its owner".to_owned());
                }
                None => {}
            }
            if let Some(fresh) = &fresh
                && row.secret != *fresh
            {
                row.old_secret = Some(std::mem::replace(&mut row.secret, fresh.clone()));
                row.old_secret_until = Some(clock::machine_now() + TimeDelta::hours(rules::OLD_SECRET_HOURS));
            }
            if change.delete {
                row.status = WebhookStatus::Deleted;
            }
            let mut writes = Writes::of(tx);
            webhooks::update(&mut writes, scope, row.clone());
            writes.send(tx).await?;
            note_at_product(tx, scope, &row).await?;
            row.version += 1;
            Ok(row)
        })
        .await
}

fn checked(app: &App, url: &str) -> Result<String, Refusal> {
    rules::check_url(url, app.settings.development).map_err(|refusal| refusal.under("url"))
}

/// The newest event of the account: what comes after it is told.
async fn newest(tx: &Tx, row: &webhook_endpoint::Model) -> Result<i64, Error> {
    let Some(account) = row.account_id else { return Ok(0) };
    let found = accounts::by_ids(&**tx, &Scope::engine(), &[account]).await?;
    let account = found.into_iter().next().ok_or(Error::NotFound("account"))?;
    Ok(account.event_sequence)
}

/// Notes at a product whether its service is told: whoever writes what it is to do has the product at hand.
async fn note_at_product(tx: &Tx, scope: &Scope, row: &webhook_endpoint::Model) -> Result<(), Error> {
    let Some(product) = row.product_id else { return Ok(()) };
    let mut writes = Writes::of(tx);
    webhooks::set_told(&mut writes, scope, product, row.status != WebhookStatus::Deleted);
    writes.send(tx).await?;
    Ok(())
}

/// Each type once, as they are kept.
fn events(types: Vec<EventType>) -> Result<serde_json::Value, Error> {
    let types: std::collections::BTreeSet<EventType> = types.into_iter().collect();
    Ok(serde_json::to_value(types)?)
}

/// A secret as the Standard Webhooks specification writes it.
fn secret() -> String {
    format!("whsec_{}", STANDARD.encode(ids::random_bytes::<32>()))
}

async fn locked(tx: &Tx, scope: &Scope, id: Uuid) -> Result<webhook_endpoint::Model, Error> {
    let found = webhooks::lock(tx, scope, id).await?;
    let missing = || Refusal::new(RefusalCode::WebhookNotFound, "There is no such webhook.").under("webhookId");
    found.ok_or_else(|| missing().into())
}

/// Sends a request anew, as if it had just been made.
///
/// # Errors
/// Refused with DELIVERY_NOT_FOUND.
pub async fn resend(app: &App, scope: &Scope, id: Uuid) -> Result<(), Error> {
    app.db
        .write("resend_delivery", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            if deliveries::lock(tx, scope, id).await?.is_none() {
                let message = "There is no such delivery.";
                return Err(Refusal::new(RefusalCode::DeliveryNotFound, message)
                    .under("deliveryId")
                    .into());
            }
            deliveries::send_anew(tx, scope, id, clock::machine_now()).await
        })
        .await
}
