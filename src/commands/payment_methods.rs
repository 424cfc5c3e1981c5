//! Linking accounts and cards, to be charged without their payer: begun here, confirmed at the gateway, ended here or there.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{EventType, LinkStatus, WalletKind};
use entity::{account, payment_method};
use serde::Serialize;
use uuid::Uuid;

use super::collect::{self, LEASE, PASS};
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::gateway::LinkOutcome;
use crate::domain::money::Currency;
use crate::domain::payment as rules;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::return_url;
use crate::error::Error;
use crate::gateways::{Checkout, Failure};
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger as books;
use crate::store::{Scope, accounts, payment_methods};

/// The most linked accounts and cards of an account, those that wait to be confirmed included.
pub const MOST_METHODS: u64 = 20;
/// An account or card to be linked.
#[derive(Clone, Debug, Serialize)]
pub struct LinkMethod {
    /// Whose.
    pub account: Uuid,
    /// The gateway, by its code.
    pub gateway: String,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What asking for a link did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The linked account or card to be.
    pub method: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// Writes an account or card that is to be linked: its gateway is to begin it next, and its payer to confirm it there.
///
/// # Errors
/// Refused with ACCOUNT_NOT_FOUND, UNKNOWN_GATEWAY, LINKING_NOT_SUPPORTED, LIMIT_EXCEEDED, RETURN_URL_NOT_ALLOWED,
/// IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn link(app: &App, scope: &Scope, input: LinkMethod) -> Result<Asked, Error> {
    if let Some(url) = &input.return_url {
        return_url::check(url, &app.settings.return_origins).map_err(|refusal| refusal.under("returnUrl"))?;
    }
    let account = accounts::by_ids(app.db.read(), scope, &[input.account]).await?;
    let account = account
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under("accountId"))?;
    let currency: Currency = account.currency.parse()?;
    let gateway = collect::gateway_of(app, &input.gateway, currency).map_err(|refusal| refusal.under("gateway"))?;
    if !gateway.capabilities().saved_methods {
        let message = format!(
            "Nothing can be linked at {}. Choose a gateway that saves methods.",
            gateway.name()
        );
        return Err(Refusal::new(RefusalCode::LinkingNotSupported, message)
            .under("gateway")
            .into());
    }
    let now = app.clock.now();
    let method_id = ids::new_id();
    app.db
        .write("link_method", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: account.id,
                operation: "link_method",
                key: &input.idempotency_key,
            };
            if let Claim::Done(method) = idempotency::claim(tx, scope, key, &input, method_id, now).await? {
                return Ok(Asked { method, replayed: true });
            }
            // The account's lock: of two at once that would be one too many, one is.
            books::lock_wallet(tx, scope, account.id, WalletKind::Credit).await?;
            if payment_methods::count(&**tx, scope, account.id).await? >= MOST_METHODS {
                let message =
                    format!("An account has at most {MOST_METHODS} linked accounts and cards. Unlink one first.");
                return Err(Refusal::new(RefusalCode::LimitExceeded, message).into());
            }
            let expires_at = now + TimeDelta::minutes(gateway.payer_minutes());
            let row = payment_method::Model {
                id: method_id,
                account_id: account.id,
                gateway: gateway.code().to_owned(),
                reference: gateway.reference(method_id, now),
                status: LinkStatus::Pending,
                is_default: false,
                label: None,
                token: None,
                detail: None,
                checkout: None,
                gateway_id: None,
                return_url: input.return_url.clone(),
                principal: scope.principal().to_owned(),
                created_at: now,
                expires_at,
                tried_at: None,
                linked_at: None,
                ended_at: None,
                next_check_at: rules::next_check(now, expires_at, 0, now),
                checks: 0,
                version: 1,
            };
            let mut writes = Writes::of(tx);
            payment_methods::add(&mut writes, scope, row);
            writes.send(tx).await?;
            Ok(Asked {
                method: method_id,
                replayed: false,
            })
        })
        .await
}

/// What became of beginning a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The payer can confirm it.
    Ready,
    /// The gateway said no.
    Refused(String),
    /// The gateway did not answer, or not in time.
    Unknown,
}

/// Begins a link at its gateway, and keeps what the payer needs to confirm it. It goes on when the caller does not wait any
/// more. Begun before, nothing is done.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link for this caller; [`Error::Unavailable`] when the store does not answer.
pub async fn begin(app: Arc<App>, scope: Scope, method: Uuid) -> Result<Begun, Error> {
    let running = tokio::spawn(async move { begin_now(&app, &scope, method).await });
    running.await.map_err(Error::internal)?
}

async fn begin_now(app: &App, scope: &Scope, method: Uuid) -> Result<Begun, Error> {
    let (row, account) = read(app, scope, method).await?;
    if row.status == LinkStatus::Failed && row.checkout.is_none() {
        // Told again as it was told first.
        return Ok(Begun::Refused(row.detail.unwrap_or_default()));
    }
    if row.status != LinkStatus::Pending || row.checkout.is_some() {
        return Ok(Begun::Ready);
    }
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        return Ok(Begun::Unknown);
    };
    let now = app.clock.now();
    let first = app.db.write("try_to_link", async |tx| {
        let tx = &*tx;
        payment_methods::try_to_begin(tx, &Scope::engine(), method, now).await
    });
    if !first.await? && !gateway.capabilities().repeatable_checkout {
        // Somebody begins it this moment, or did and the answer was lost: begun again it would be refused, and a link that
        // can be confirmed be taken for one that failed.
        return Ok(Begun::Unknown);
    }
    match gateway.begin_link(&collect::link_of(app, &row, &account)).await {
        Ok(checkout) => {
            keep(app, method, checkout).await?;
            Ok(Begun::Ready)
        }
        Err(Failure::Refused { detail, .. }) => {
            let refused = LinkOutcome::Failed { detail: detail.clone() };
            collect::settle_link(app, method, &refused).await?;
            Ok(Begun::Refused(detail))
        }
        Err(failure) => {
            tracing::warn!(%method, gateway = row.gateway, %failure, "a link could not be begun; its gateway is asked later");
            Ok(Begun::Unknown)
        }
    }
}

/// Keeps what the payer needs, unless it was kept or confirmed meanwhile.
async fn keep(app: &App, method: Uuid, checkout: Checkout) -> Result<(), Error> {
    let kept = serde_json::json!({
        "url": checkout.url, "appUrl": checkout.app_url, "qr": checkout.qr, "clientSecret": checkout.client_secret,
    });
    app.db
        .write("keep_link", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let scope = Scope::engine();
            let mut row = payment_methods::lock(tx, &scope, method).await?;
            if row.status != LinkStatus::Pending || row.checkout.is_some() {
                return Ok(());
            }
            row.gateway_id.clone_from(&checkout.gateway_id);
            row.checkout = Some(kept.clone());
            let mut writes = Writes::of(tx);
            payment_methods::update(&mut writes, &scope, row);
            writes.send(tx).await?;
            Ok(())
        })
        .await
}

/// A linked account or card that is named.
#[derive(Clone, Copy, Debug)]
pub struct OfMethod {
    /// Whose.
    pub account: Uuid,
    /// Which.
    pub method: Uuid,
}

/// Unlinks an account or card: nothing is charged there from now on, and its gateway is told, again and again until it has
/// heard. Payments that are under way go on. Unlinked before, it stays so.
///
/// # Errors
/// Refused with PAYMENT_METHOD_NOT_FOUND.
pub async fn unlink(app: &App, scope: &Scope, input: OfMethod) -> Result<(), Error> {
    change(app, scope, input, "unlink_method", |row, now| match row.status {
        LinkStatus::Active | LinkStatus::Pending => {
            collect::end_method(row, now);
            Ok(true)
        }
        LinkStatus::Ended | LinkStatus::Failed => Ok(false),
    })
    .await
}

/// Makes a linked account or card the one that is charged where none is named.
///
/// # Errors
/// Refused with PAYMENT_METHOD_NOT_FOUND.
pub async fn set_default(app: &App, scope: &Scope, input: OfMethod) -> Result<(), Error> {
    change(app, scope, input, "set_default_method", |row, _| match row.status {
        LinkStatus::Active if row.is_default => Ok(false),
        LinkStatus::Active => {
            row.is_default = true;
            Ok(true)
        }
        _ => Err(collect::no_method().under("paymentMethodId")),
    })
    .await
}

async fn change(
    app: &App,
    scope: &Scope,
    input: OfMethod,
    name: &'static str,
    decide: impl Fn(&mut payment_method::Model, DateTime<Utc>) -> Result<bool, Refusal> + Sync,
) -> Result<(), Error> {
    let now = app.clock.now();
    let newest = app
        .db
        .write(name, async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let none = || collect::no_method().under("paymentMethodId");
            let found = payment_methods::by_ids(&**tx, scope, &[input.method]).await?;
            found
                .iter()
                .find(|row| row.account_id == input.account)
                .ok_or_else(none)?;
            books::lock_wallet(tx, scope, input.account, WalletKind::Credit).await?;
            let mut row = payment_methods::lock(tx, scope, input.method).await?;
            let had_default = row.is_default;
            if !decide(&mut row, now)? {
                return Ok(None);
            }
            if row.is_default && !had_default {
                // Before this one has it, or the store would see two.
                payment_methods::clear_default(tx, scope, input.account).await?;
            }
            let mut writes = Writes::of(tx);
            payment_methods::update(&mut writes, scope, row);
            let news = [News::of(EventType::PaymentMethodChanged)];
            event_log::append(&mut writes, scope, input.account, &news, now)?;
            writes.send(tx).await
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(())
}

/// Asks the gateway where a link stands; for a payer who comes back before the gateway has told us.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link for this caller; [`Error::Unavailable`] when the store does not answer.
pub async fn look(app: &App, scope: &Scope, method: Uuid) -> Result<(), Error> {
    let (row, account) = read(app, scope, method).await?;
    if row.status != LinkStatus::Pending {
        return Ok(());
    }
    ask(app, &row, &account).await
}

/// Asks the gateways about links that are due, tells them of those that have ended, and answers how many.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn round(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    let scope = Scope::engine();
    let due = payment_methods::take_due(&app.db, &scope, &app.gateways.codes(), (now, now + LEASE), PASS).await?;
    let mut followed = Vec::with_capacity(due.len());
    for row in &due {
        followed.push((row.id, follow(app, &scope, row, now)));
    }
    collect::all_at_once(followed).await
}

/// Asks about one link, or tells of its end.
async fn follow(app: &App, scope: &Scope, row: &payment_method::Model, now: DateTime<Utc>) -> Result<(), Error> {
    match row.status {
        LinkStatus::Pending => {
            let (row, account) = read(app, scope, row.id).await?;
            ask(app, &row, &account).await
        }
        LinkStatus::Ended => tell_end(app, row, now).await,
        LinkStatus::Active | LinkStatus::Failed => Ok(()),
    }
}

async fn ask(app: &App, row: &payment_method::Model, account: &account::Model) -> Result<(), Error> {
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        return Ok(());
    };
    let outcome = match gateway.query_link(&collect::link_of(app, row, account)).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            tracing::warn!(method = %row.id, gateway = row.gateway, %failure, "a gateway did not answer about a link");
            LinkOutcome::Pending
        }
    };
    collect::settle_link(app, row.id, &outcome).await
}

/// Tells a gateway that a link has ended. Until it has heard it is told again, ever more rarely, for thirty days. One that was
/// never confirmed is asked about: it may have been meanwhile.
async fn tell_end(app: &App, row: &payment_method::Model, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        return Ok(());
    };
    let Some(saved) = collect::saved_of(row) else {
        let (row, account) = read(app, &Scope::engine(), row.id).await?;
        return match gateway.query_link(&collect::link_of(app, &row, &account)).await {
            Ok(linked @ LinkOutcome::Linked { .. }) => collect::settle_link(app, row.id, &linked).await,
            Ok(LinkOutcome::Failed { .. }) => heard(app, row.id, true, now).await,
            Ok(LinkOutcome::Pending | LinkOutcome::Unknown) if now >= row.expires_at + TimeDelta::hours(1) => {
                heard(app, row.id, true, now).await
            }
            _ => heard(app, row.id, false, now).await,
        };
    };
    let told = match gateway.unlink(&saved).await {
        Ok(()) | Err(Failure::Unsupported) => true,
        Err(Failure::Refused { detail, .. }) => {
            tracing::warn!(method = %row.id, gateway = row.gateway, detail, "a gateway refused to end a link: it is charged no more all the same");
            true
        }
        Err(failure) => {
            tracing::warn!(method = %row.id, gateway = row.gateway, %failure, "a gateway could not be told that a link has ended; it is told again");
            false
        }
    };
    heard(app, row.id, told, now).await
}

/// Notes whether a gateway has heard of an end; what charged is forgotten then.
async fn heard(app: &App, method: Uuid, has: bool, now: DateTime<Utc>) -> Result<(), Error> {
    app.db
        .write("note_end_told", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let scope = Scope::engine();
            let mut row = payment_methods::lock(tx, &scope, method).await?;
            if row.status != LinkStatus::Ended {
                return Ok(());
            }
            row.checks += 1;
            let ended = row.ended_at.unwrap_or(row.created_at);
            row.next_check_at = if has {
                None
            } else {
                rules::next_check(ended, ended, row.checks, now)
            };
            if row.next_check_at.is_none() {
                row.token = None;
            }
            let mut writes = Writes::of(tx);
            payment_methods::update(&mut writes, &scope, row);
            writes.send(tx).await?;
            Ok(())
        })
        .await
}

async fn read(app: &App, scope: &Scope, method: Uuid) -> Result<(payment_method::Model, account::Model), Error> {
    let rows = payment_methods::by_ids(app.db.read(), scope, &[method]).await?;
    let row = rows.into_iter().next().ok_or(Error::NotFound("payment method"))?;
    let accounts = accounts::by_ids(app.db.read(), scope, &[row.account_id]).await?;
    let account = accounts.into_iter().next().ok_or(Error::NotFound("account"))?;
    Ok((row, account))
}
