//! Who of an account is written to: the list, and the link by which an address is confirmed.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{DeliveryChannel, DeliveryStatus, MailCategory, RecipientStatus};
use entity::{alert_recipient, outbox_delivery};
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::domain::mail::page::{Link, Reader};
use crate::domain::mail::{self, MOST_LINKS_A_DAY, MOST_RECIPIENTS};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::ids;
use crate::store::{Scope, accounts, outbox, recipients};

/// Somebody who is to be written to.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The address.
    pub email: String,
    /// What they are told; all when absent.
    pub categories: Option<Vec<MailCategory>>,
}

/// Makes these the recipients of an account. A new address, and one whose link was not used in time, is sent a link; one
/// that is there keeps its confirmation and gets the categories that are named now; who is not named is taken off the
/// list, and what waits for them is given up.
///
/// Source: rule "E-mail" in ARCHITECTURE, section Telling.
///
/// # Errors
/// Refused with TOO_MANY_ITEMS, INVALID_EMAIL, DUPLICATE_RECIPIENT, LIMIT_EXCEEDED.
pub async fn set(app: &App, scope: &Scope, account: Uuid, wanted: Vec<Wanted>) -> Result<(), Error> {
    let wanted = checked(wanted)?;
    let emails: Vec<String> = wanted.keys().cloned().collect();
    let now = app.clock.now();
    let queued_at = clock::machine_now();
    app.db
        .write("set_alert_recipients", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let found = accounts::by_ids(&**tx, scope, &[account]).await?;
            let account = found.into_iter().next().ok_or(Error::NotFound("account"))?;
            outbox::begin(tx, scope, account.id, account.event_sequence).await?;
            outbox::lock_account(tx, scope, account.id).await?;
            let present = recipients::present_or_named(tx, scope, account.id, &emails).await?;
            let waiting: Vec<Uuid> = present
                .iter()
                .filter(|recipient| recipient.status == RecipientStatus::Pending)
                .map(|recipient| recipient.id)
                .collect();
            let links = outbox::links_of(tx, scope, &waiting).await?;
            let links: HashMap<Uuid, DeliveryStatus> = links
                .into_iter()
                .filter_map(|link| Some((link.recipient_id?, link.status)))
                .collect();

            let (mut rows, mut asked, mut removed) = (Vec::new(), Vec::new(), Vec::new());
            let mut present: BTreeMap<String, alert_recipient::Model> =
                present.into_iter().map(|row| (row.email.clone(), row)).collect();
            for (email, categories) in &wanted {
                let categories = serde_json::to_value(categories)?;
                let row = match present.remove(email) {
                    Some(row) if row.status != RecipientStatus::Removed => {
                        if row.status == RecipientStatus::Pending && is_over(&row, links.get(&row.id), now) {
                            asked.push(link(&row, queued_at, now));
                        }
                        alert_recipient::Model { categories, ..row }
                    }
                    before => {
                        let row = new(account.id, before.map(|row| row.id), email, categories, now);
                        asked.push(link(&row, queued_at, now));
                        row
                    }
                };
                rows.push(row);
            }
            for row in present.into_values() {
                removed.push(row.id);
                rows.push(alert_recipient::Model {
                    status: RecipientStatus::Removed,
                    token_hash: None,
                    token_expires_at: None,
                    removed_at: Some(now),
                    ..row
                });
            }
            check_links(
                outbox::links_since(tx, scope, account.id, now - TimeDelta::days(1)).await?,
                asked.len(),
            )?;
            recipients::put(tx, scope, rows).await?;
            outbox::give_up_of(tx, scope, &removed, "the recipient was taken off the list").await?;
            outbox::write(tx, scope, asked).await
        })
        .await
}

/// The addresses as they are kept, each with what it is told.
fn checked(wanted: Vec<Wanted>) -> Result<BTreeMap<String, Vec<MailCategory>>, Refusal> {
    if wanted.len() > MOST_RECIPIENTS {
        let message = format!("An account has at most {MOST_RECIPIENTS} recipients.");
        return Err(Refusal::new(RefusalCode::TooManyItems, message).under("recipients"));
    }
    let mut checked = BTreeMap::new();
    for (place, wanted) in wanted.into_iter().enumerate() {
        let at = |refusal: Refusal| refusal.under("email").under(place).under("recipients");
        let email = mail::address(&wanted.email).map_err(at)?;
        let categories = mail::categories(wanted.categories.as_deref());
        if checked.insert(email, categories).is_some() {
            let refusal = Refusal::new(RefusalCode::DuplicateRecipient, "This address is named twice.");
            return Err(at(refusal));
        }
    }
    Ok(checked)
}

fn check_links(sent: u64, asked: usize) -> Result<(), Refusal> {
    let asked = u64::try_from(asked).unwrap_or(u64::MAX);
    if asked > 0 && sent.saturating_add(asked) > MOST_LINKS_A_DAY {
        let message =
            format!("At most {MOST_LINKS_A_DAY} addresses may be asked to confirm in a day. Try again later.");
        return Err(Refusal::new(RefusalCode::LimitExceeded, message).under("recipients"));
    }
    Ok(())
}

/// Whether a recipient's link can come to nothing any more: it could not be sent, or its time has run out.
fn is_over(recipient: &alert_recipient::Model, link: Option<&DeliveryStatus>, now: DateTime<Utc>) -> bool {
    match link {
        Some(DeliveryStatus::Pending | DeliveryStatus::Sending) => false,
        Some(DeliveryStatus::Delivered) => recipient.token_expires_at.is_none_or(|until| until <= now),
        Some(DeliveryStatus::Dead) | None => true,
    }
}

/// A recipient who has not confirmed; the row of one who was there before is used again.
fn new(
    account: Uuid,
    before: Option<Uuid>,
    email: &str,
    categories: serde_json::Value,
    now: DateTime<Utc>,
) -> alert_recipient::Model {
    alert_recipient::Model {
        id: before.unwrap_or_else(ids::new_id),
        account_id: account,
        email: email.to_owned(),
        categories,
        status: RecipientStatus::Pending,
        token_hash: None,
        token_expires_at: None,
        from_sequence: None,
        created_at: now,
        confirmed_at: None,
        removed_at: None,
    }
}

/// The message with the link. Its secret is made when it is handed over, and kept by nobody but who gets it.
fn link(recipient: &alert_recipient::Model, queued_at: DateTime<Utc>, now: DateTime<Utc>) -> outbox_delivery::Model {
    outbox_delivery::Model {
        id: ids::new_id(),
        account_id: recipient.account_id,
        event_sequence: None,
        channel: DeliveryChannel::Email,
        recipient_id: Some(recipient.id),
        payment_link_id: None,
        target: recipient.email.clone(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: Some(queued_at),
        lease_owner: None,
        lease_until_ms: None,
        last_error: None,
        queued_at,
        created_at: now,
        delivered_at: None,
    }
}

/// What stands behind a link, without using it: programs that look at mail open links too.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn look(app: &App, token: &str) -> Result<(Link, Option<Reader>), Error> {
    let nothing = (Link::Unknown, None);
    if !(1..=100).contains(&token.len()) {
        return Ok(nothing);
    }
    let found = recipients::by_link(app.db.read(), &Scope::engine(), &ids::digest(token)).await?;
    let Some((recipient, account)) = found else {
        return Ok(nothing);
    };
    let is_open = recipient.token_expires_at.is_some_and(|until| until > app.clock.now());
    let link = match recipient.status {
        RecipientStatus::Confirmed => Link::Confirmed,
        RecipientStatus::Pending if is_open => Link::Open {
            token: token.to_owned(),
        },
        RecipientStatus::Pending => Link::Expired,
        RecipientStatus::Removed => return Ok(nothing),
    };
    let reader = Reader {
        account: account.name,
        email: recipient.email,
        language: account.language,
    };
    Ok((link, Some(reader)))
}

/// Confirms the address that a link was sent to, if the link is good, and answers what stands behind it then. It counts
/// once.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn confirm(app: &App, token: &str) -> Result<(Link, Option<Reader>), Error> {
    if let (Link::Open { .. }, _) = look(app, token).await? {
        let hash = ids::digest(token);
        app.db
            .write("confirm_recipient", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                recipients::confirm(tx, &Scope::engine(), &hash, app.clock.now()).await
            })
            .await?;
    }
    look(app, token).await
}
