//! Webhooks: who is behind is told, what is due is sent, and what became of it is noted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{DeliveryStatus, EventType, WebhookStatus};
use entity::{webhook_delivery, webhook_endpoint};
use futures_util::{StreamExt as _, stream};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::message::Subjects;
use super::sign::signature;
use super::target::Targets;
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::webhook as rules;
use crate::error::Error;
use crate::store::Scope;
use crate::store::deliveries::{self, Sent};
use crate::store::event_log::{self, News};
use crate::store::webhooks::{self, Owner};
use crate::{clock, ids};

/// How often it is looked for what is to be sent.
const EVERY: Duration = Duration::from_secs(1);
/// How many endpoints are told of their events in one pass.
const ENDPOINTS: u64 = 100;
/// How many events one endpoint is told of in one pass.
const EVENTS: u64 = 200;
/// How many requests one pass sends.
const REQUESTS: u64 = 64;
/// How many of them are of one account, or of one product.
const OF_ONE: u64 = 8;
/// How many requests are on their way at once.
const AT_ONCE: usize = 16;
/// How long a request that was taken to be sent is nobody else's: longer than it may take.
const LEASE: TimeDelta = TimeDelta::seconds(120);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Requests that were made from events.
    pub made: u64,
    /// Requests that were taken.
    pub taken: u64,
    /// Requests that failed and are sent again.
    pub failed: u64,
    /// Requests that were given up.
    pub dead: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// Sends webhooks.
#[derive(Clone, Debug)]
pub struct Sender {
    targets: Targets,
}

impl Sender {
    /// A sender: to the public internet only, but in development.
    ///
    /// # Errors
    /// [`Error::Internal`] when the machine has no TLS.
    pub fn of(app: &App) -> Result<Self, Error> {
        Ok(Self {
            targets: Targets::new(app.settings.development)?,
        })
    }

    /// One pass: makes requests from events that were not told yet, and sends those that are due at an instant of machine
    /// time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer; what was sent and not noted is sent again.
    pub async fn pass(&self, app: &App, now: DateTime<Utc>) -> Result<Passed, Error> {
        let scope = Scope::engine();
        let mut passed = Passed::default();
        let behind = deliveries::behind(app.db.read(), &scope, ENDPOINTS).await?;
        passed.more = behind.len() as u64 == ENDPOINTS;
        for endpoint in behind {
            let (made, more) = tell(app, endpoint, now).await?;
            passed.made += made;
            passed.more |= more;
        }
        let claimed = app
            .db
            .write("claim_webhooks", async |tx| {
                let tx = &*tx;
                deliveries::supersede(tx, &scope, now, LEASE).await?;
                deliveries::claim(tx, &scope, now, LEASE, (REQUESTS, OF_ONE)).await
            })
            .await?;
        // There may be more of the same account, or a call that waited for one of these.
        passed.more |= !claimed.is_empty();
        if claimed.is_empty() {
            return Ok(passed);
        }
        let endpoints = endpoints_of(app, &claimed).await?;
        let subjects = Subjects::read(app.db.read(), &claimed).await?;
        // Whoever took nothing a moment ago is not asked again for each of many: it would keep the others waiting.
        let silent: Mutex<HashSet<Uuid>> = Mutex::default();
        let mut outcomes = stream::iter(claimed.into_iter().map(|row| {
            let key = row.endpoint_id.or(row.product_id).unwrap_or_default();
            let endpoint = endpoints.get(&key).cloned();
            let body = subjects.body(&row);
            let silent = &silent;
            async move {
                let known = || silent.lock().unwrap_or_else(PoisonError::into_inner);
                let outcome = if known().contains(&key) {
                    again_or_dead(&row, "what was sent there just before was not taken".to_owned(), now)
                } else {
                    self.send(&row, endpoint.as_ref(), body, now).await
                };
                if outcome != Sent::Taken {
                    known().insert(key);
                }
                (row, endpoint, outcome)
            }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some((row, endpoint, outcome)) = outcomes.next().await {
            match &outcome {
                Sent::Taken => passed.taken += 1,
                Sent::Again(..) => passed.failed += 1,
                Sent::Dead(_) => passed.dead += 1,
            }
            note(app, &row, endpoint.as_ref(), &outcome, now).await?;
        }
        Ok(passed)
    }

    async fn send(
        &self,
        row: &webhook_delivery::Model,
        endpoint: Option<&webhook_endpoint::Model>,
        body: Result<String, Error>,
        now: DateTime<Utc>,
    ) -> Sent {
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.status == WebhookStatus::Enabled) else {
            return again_or_dead(row, "the webhook is switched off".to_owned(), now);
        };
        let sent = async {
            let body = body.map_err(|error| error.to_string())?;
            let id = format!("msg_{}", row.id.simple());
            let headers = headers(endpoint, &id, &body, now).map_err(|error| error.to_string())?;
            self.targets.post(&endpoint.url, &headers, body).await
        };
        match sent.await {
            Ok(200..=299) => Sent::Taken,
            // "Gone": the other side asks for no more.
            Ok(410) => Sent::Dead("it answered 410".to_owned()),
            Ok(status) => again_or_dead(row, format!("it answered {status}"), now),
            Err(why) => again_or_dead(row, why, now),
        }
    }
}

/// Looks every so often for what is to be sent until the future is dropped. A failed pass is logged, and the next one goes
/// on from what is still due.
pub async fn drive(app: Arc<App>) {
    let sender = match Sender::of(&app) {
        Ok(sender) => sender,
        Err(error) => {
            tracing::error!(%error, "webhooks can't be sent by this process");
            return;
        }
    };
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        loop {
            match sender.pass(&app, clock::machine_now()).await {
                Ok(passed) => {
                    for (outcome, count) in [
                        ("taken", passed.taken),
                        ("failed", passed.failed),
                        ("dead", passed.dead),
                    ] {
                        metrics::counter!("webhook_requests_total", "outcome" => outcome).increment(count);
                    }
                    if !passed.more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "webhooks could not be sent; what is due stays due");
                    break;
                }
            }
        }
    }
}

/// Makes an endpoint's requests from the events that it has not been told of, and answers how many, and whether there may
/// be more.
async fn tell(app: &App, endpoint: Uuid, now: DateTime<Utc>) -> Result<(u64, bool), Error> {
    let scope = Scope::engine();
    app.db
        .write("tell_webhook", async |tx| {
            let tx = &*tx;
            let Some(endpoint) = deliveries::lock_endpoint(tx, &scope, endpoint).await? else {
                return Ok((0, false));
            };
            let Some(account) = endpoint.account_id else {
                return Ok((0, false));
            };
            let events = event_log::after(&**tx, &scope, account, endpoint.told_sequence, EVENTS).await?;
            let Some(last) = events.last().map(|event| event.sequence) else {
                return Ok((0, false));
            };
            let more = events.len() as u64 == EVENTS;
            let wanted: Vec<EventType> = serde_json::from_value(endpoint.events.clone())?;
            let rows: Vec<webhook_delivery::Model> = events
                .into_iter()
                .filter(|event| wanted.is_empty() || wanted.contains(&event.kind))
                .map(|event| webhook_delivery::Model {
                    id: ids::new_id(),
                    account_id: account,
                    endpoint_id: Some(endpoint.id),
                    product_id: None,
                    told: event.kind.as_str().to_owned(),
                    event_sequence: Some(event.sequence),
                    resource_id: event.resource_id,
                    order_item_id: None,
                    status: DeliveryStatus::Pending,
                    attempts: 0,
                    next_attempt_at: Some(now),
                    last_error: None,
                    happened_at: event.created_at,
                    created_at: now,
                    delivered_at: None,
                })
                .collect();
            let made = u64::try_from(rows.len()).map_err(Error::internal)?;
            let mut writes = Writes::of(tx);
            deliveries::add(&mut writes, &scope, rows);
            deliveries::told_up_to(&mut writes, &scope, &endpoint, last);
            writes.send(tx).await?;
            Ok((made, more))
        })
        .await
}

/// The endpoints of these requests, under the key of the endpoint or of the product.
async fn endpoints_of(
    app: &App,
    rows: &[webhook_delivery::Model],
) -> Result<HashMap<Uuid, webhook_endpoint::Model>, Error> {
    let scope = Scope::engine();
    let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.endpoint_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = webhooks::by_ids(app.db.read(), &scope, &ids).await?;
    let mut endpoints: HashMap<Uuid, webhook_endpoint::Model> = found.into_iter().map(|row| (row.id, row)).collect();
    let mut products: Vec<Uuid> = rows.iter().filter_map(|row| row.product_id).collect();
    products.sort_unstable();
    products.dedup();
    for product in products {
        let of_product = webhooks::of_owner(app.db.read(), &scope, Owner::Product(product)).await?;
        if let Some(endpoint) = of_product.into_iter().next() {
            endpoints.insert(product, endpoint);
        }
    }
    Ok(endpoints)
}

/// The headers of the specification. While a secret is changed over, both sign.
fn headers(
    endpoint: &webhook_endpoint::Model,
    id: &str,
    body: &str,
    now: DateTime<Utc>,
) -> Result<[(&'static str, String); 3], Error> {
    let timestamp = now.timestamp();
    let mut signed = signature(&endpoint.secret, id, timestamp, body)?;
    if let (Some(old), Some(until)) = (&endpoint.old_secret, endpoint.old_secret_until)
        && until > now
    {
        signed = format!("{signed} {}", signature(old, id, timestamp, body)?);
    }
    Ok([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signed),
    ])
}

fn again_or_dead(row: &webhook_delivery::Model, why: String, now: DateTime<Utc>) -> Sent {
    let next = now + rules::wait(row.attempts);
    if next > row.created_at + TimeDelta::hours(rules::RETRIED_HOURS) {
        Sent::Dead(why)
    } else {
        Sent::Again(next, why)
    }
}

/// Notes what became of a request, and what that says of its endpoint.
async fn note(
    app: &App,
    row: &webhook_delivery::Model,
    endpoint: Option<&webhook_endpoint::Model>,
    outcome: &Sent,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let scope = Scope::engine();
    let newest = app
        .db
        .write("note_webhook", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            deliveries::note(tx, &scope, row.id, outcome, now).await?;
            let Some(endpoint) = endpoint.filter(|endpoint| endpoint.status == WebhookStatus::Enabled) else {
                return Ok(None);
            };
            let gone = matches!(outcome, Sent::Dead(why) if why.ends_with("410"));
            let unchanged = match outcome {
                Sent::Taken => endpoint.failing_since.is_none(),
                Sent::Again(..) | Sent::Dead(_) => {
                    endpoint.failing_since.is_some_and(|since| !too_long(since, now)) && !gone
                }
            };
            if unchanged {
                return Ok(None);
            }
            let Some(mut current) = deliveries::lock_endpoint(tx, &scope, endpoint.id).await? else {
                return Ok(None);
            };
            let mut news = Vec::new();
            if *outcome == Sent::Taken {
                current.failing_since = None;
            } else {
                let since = *current.failing_since.get_or_insert(now);
                if gone || too_long(since, now) {
                    let why = if gone {
                        "it asked for no more (410)".to_owned()
                    } else {
                        format!("it took nothing since {since}")
                    };
                    tracing::warn!(webhook = %current.id, why, "a webhook is switched off");
                    current.status = WebhookStatus::Disabled;
                    current.disabled_reason = Some(why);
                    news.push(News::of(EventType::WebhookDisabled));
                }
            }
            let account = current.account_id;
            let mut writes = Writes::of(tx);
            webhooks::update(&mut writes, &scope, current);
            if let Some(account) = account {
                event_log::append(&mut writes, &scope, account, &news, app.clock.now())?;
            }
            Ok(writes.send(tx).await?.zip(account))
        })
        .await?;
    if let Some((newest, account)) = newest {
        app.hub.wake(account, newest);
    }
    Ok(())
}

fn too_long(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - since > TimeDelta::hours(rules::FAILING_HOURS)
}
