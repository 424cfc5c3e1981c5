//! What a gateway says of an account or card that is linked.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{EventType, LinkStatus, WalletKind};
use entity::{account, payment_method};
use secrecy::SecretString;
use uuid::Uuid;

use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::gateway::LinkOutcome;
use crate::domain::payment as rules;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::gateways::{Link, SavedMethod};
use crate::store::event_log::{self, News};
use crate::store::ledger as books;
use crate::store::{Scope, payment_methods};

/// How long a gateway may not know of a link that it is about to begin.
const UNKNOWN: TimeDelta = TimeDelta::minutes(3);

/// A link as its gateway needs to know it.
pub(in crate::commands) fn link_of(app: &App, row: &payment_method::Model, account: &account::Model) -> Link {
    let base = app.public_url();
    Link {
        reference: row.reference.clone(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        payer: account.id.simple().to_string(),
        language: account.language,
        return_url: format!("{base}/payments/return/{}", row.id.simple()),
        notify_url: format!("{base}/webhooks/{}", row.gateway.to_ascii_lowercase()),
        gateway_id: row.gateway_id.clone(),
    }
}

/// What charges a linked account or card; nothing when it has ended, or was never confirmed.
pub(in crate::commands) fn saved_of(row: &payment_method::Model) -> Option<SavedMethod> {
    row.token.as_ref().map(|token| SavedMethod {
        payer: row.account_id.simple().to_string(),
        token: SecretString::from(token.clone()),
        reference: row.reference.clone(),
    })
}

/// Writes what a gateway said of a link, once. What was confirmed is linked, however late it is told; what was unlinked here
/// meanwhile stays so, and the gateway is told of it. The first one of an account is its default.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; nothing was written.
pub(in crate::commands) async fn settle_link(app: &App, method: Uuid, outcome: &LinkOutcome) -> Result<(), Error> {
    change(app, method, "settle_link", |row, has_default, now| {
        settled(row, outcome, has_default, now)
    })
    .await
}

/// Notes that a linked account or card can be charged no more, as its gateway says: its owner unlinked it there, or it has
/// run out.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; nothing was written.
pub(in crate::commands) async fn ended_there(app: &App, method: Uuid, detail: &str) -> Result<(), Error> {
    change(app, method, "end_method", |mut row, _, now| {
        if row.status != LinkStatus::Active {
            return None;
        }
        end(&mut row, now);
        row.detail = Some(detail.chars().take(500).collect());
        // Nobody has to be told.
        (row.token, row.next_check_at) = (None, None);
        Some((row, true))
    })
    .await
}

/// Ends one: it is charged no more, and its gateway is to be told.
pub(in crate::commands) fn end(row: &mut payment_method::Model, now: DateTime<Utc>) {
    row.status = LinkStatus::Ended;
    row.is_default = false;
    row.ended_at = Some(now);
    row.next_check_at = Some(now);
    row.checks = 0;
}

/// What a row is after its gateway has spoken, and whether that is told; nothing where nothing changes.
fn settled(
    mut row: payment_method::Model,
    outcome: &LinkOutcome,
    has_default: bool,
    now: DateTime<Utc>,
) -> Option<(payment_method::Model, bool)> {
    row.checks += 1;
    match (outcome, row.status) {
        (LinkOutcome::Linked { token, label }, LinkStatus::Pending | LinkStatus::Failed) => {
            row.status = LinkStatus::Active;
            row.token = Some(token.clone());
            row.label = Some(label.chars().take(100).collect());
            row.linked_at = Some(now);
            row.is_default = !has_default;
            (row.detail, row.checkout, row.next_check_at) = (None, None, None);
            Some((row, true))
        }
        // Unlinked here before it was confirmed there.
        (LinkOutcome::Linked { token, .. }, LinkStatus::Ended) if row.token.is_none() && row.linked_at.is_none() => {
            row.token = Some(token.clone());
            row.next_check_at = Some(now);
            Some((row, false))
        }
        (_, LinkStatus::Active | LinkStatus::Failed | LinkStatus::Ended) => None,
        (LinkOutcome::Failed { detail }, LinkStatus::Pending) => Some((failed(row, detail), false)),
        (LinkOutcome::Unknown, LinkStatus::Pending) if now >= row.created_at + UNKNOWN => {
            Some((failed(row, "the gateway knows no such link"), false))
        }
        (LinkOutcome::Pending, LinkStatus::Pending)
            if now >= row.expires_at + TimeDelta::minutes(rules::SLACK_MINUTES) =>
        {
            Some((failed(row, "the time to confirm has run out"), false))
        }
        (LinkOutcome::Pending | LinkOutcome::Unknown, LinkStatus::Pending) => {
            row.next_check_at = rules::next_check(row.created_at, row.expires_at, row.checks, now);
            Some((row, false))
        }
    }
}

fn failed(mut row: payment_method::Model, detail: &str) -> payment_method::Model {
    row.status = LinkStatus::Failed;
    row.detail = Some(detail.chars().take(500).collect());
    (row.checkout, row.next_check_at) = (None, None);
    row
}

/// Changes a row under its account's lock, and tells the account if it is to be told.
async fn change(
    app: &App,
    method: Uuid,
    name: &'static str,
    decide: impl Fn(payment_method::Model, bool, DateTime<Utc>) -> Option<(payment_method::Model, bool)> + Sync,
) -> Result<(), Error> {
    let now = app.clock.now();
    let scope = Scope::engine();
    let told = app
        .db
        .write(name, async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let found = payment_methods::by_ids(&**tx, &scope, &[method]).await?;
            let account = found
                .first()
                .map(|row| row.account_id)
                .ok_or(Error::NotFound("payment method"))?;
            // The wallet is the account's lock: of two that would become the default, one does.
            books::lock_wallet(tx, &scope, account, WalletKind::Credit).await?;
            let row = payment_methods::lock(tx, &scope, method).await?;
            let has_default = payment_methods::default_of(&**tx, &scope, account).await?.is_some();
            let Some((row, is_told)) = decide(row, has_default, now) else {
                return Ok(None);
            };
            let mut writes = Writes::of(tx);
            payment_methods::update(&mut writes, &scope, row);
            let news = is_told.then(|| News::of(EventType::PaymentMethodChanged));
            event_log::append(&mut writes, &scope, account, news.as_slice(), now)?;
            Ok(writes.send(tx).await?.map(|newest| (account, newest)))
        })
        .await?;
    if let Some((account, newest)) = told {
        app.hub.wake(account, newest);
    }
    Ok(())
}

/// There is none for this caller that can be charged.
pub(in crate::commands) fn no_method() -> Refusal {
    Refusal::new(
        RefusalCode::PaymentMethodNotFound,
        "There is no such linked account or card that can be charged. Link one, or pay another way.",
    )
}
