//! Paying on behalf: an order waits while somebody else is asked to pay it by a link; each use of the link begins a payment,
//! or goes on with one, until the order is paid.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{DeliveryChannel, DeliveryStatus, PaymentMethod, PaymentStatus};
use entity::{gateway_payment, order, outbox_delivery, payment, payment_link};
use sea_orm::ConnectionTrait;
use serde::Deserialize as _;
use uuid::Uuid;

use super::{begin_collecting, order_waits};
use crate::app::App;
use crate::clock;
use crate::commands::collect::{self, Collecting};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::mail::{self, MOST_LINKS_A_DAY};
use crate::domain::money::Money;
use crate::domain::on_behalf::{self as rules, Asked, Link, Standing};
use crate::domain::payment as payment_rules;
use crate::domain::quote::{self as quote_rules, PricedQuote};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::gateways::Gateway;
use crate::ids;
use crate::store::purchases;
use crate::store::{Scope, gateway_payments, outbox, payment_links, quotes};

/// Who is to be asked, and where they pay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    /// The key of the link.
    pub(super) id: Uuid,
    pub(super) gateway: &'a dyn Gateway,
    pub(super) payer_email: &'a str,
}

/// Whether somebody may be asked to pay so much. Answers the gateway, and their address as it is kept.
///
/// Errors: INVALID_EMAIL, UNKNOWN_GATEWAY, GATEWAY_LIMIT, LIMIT_EXCEEDED, naming the field.
pub(super) async fn check<'a>(
    app: &'a App,
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    (gateway, payer_email): (&str, &str),
    due: Money,
) -> Result<(&'a dyn Gateway, String), Error> {
    let found = collect::gateway_of(app, gateway, due.currency()).map_err(|refusal| refusal.under("gateway"))?;
    if !found.capabilities().hosted_page {
        let refusal = Refusal::new(
            RefusalCode::UnknownGateway,
            format!(
                "{} has no page of its own on which somebody else could pay. Choose a gateway with `takesOnBehalf`.",
                found.name()
            ),
        );
        return Err(refusal.under("gateway").into());
    }
    if let Some(limits) = found.limits(due.currency()) {
        payment_rules::check_gateway_limits(due, limits.least, limits.most, found.name())
            .map_err(|refusal| refusal.under("gateway"))?;
    }
    let email = mail::address(payer_email).map_err(|refusal| refusal.under("payerEmail"))?;
    let since = app.clock.now() - TimeDelta::days(1);
    if outbox::links_since(tx, scope, account, since).await? >= MOST_LINKS_A_DAY {
        let refusal = Refusal::new(
            RefusalCode::LimitExceeded,
            format!("At most {MOST_LINKS_A_DAY} links are sent in a day. Pay another way, or try again later."),
        );
        return Err(refusal.under("payerEmail").into());
    }
    Ok((found, email))
}

/// A link for an order that waits, in place of the one that it may have. The order waits as long as the link is good, at least.
///
/// # Errors
/// Refused with ORDER_EXPIRED.
pub(super) async fn ask(
    tx: &Tx,
    scope: &Scope,
    order: &mut order::Model,
    asking: Asking<'_>,
    now: DateTime<Utc>,
) -> Result<payment_link::Model, Error> {
    let most = order.created_at + TimeDelta::hours(payment_rules::ORDER_MOST_HOURS);
    let expires_at = rules::good_until(now, most, order_waits(asking.gateway))?;
    order.expires_at = Some(order.expires_at.map_or(expires_at, |before| before.max(expires_at)));
    payment_links::end_of_order(tx, scope, order.id, now).await?;
    Ok(payment_link::Model {
        id: asking.id,
        account_id: order.account_id,
        order_id: order.id,
        gateway: asking.gateway.code().to_owned(),
        token: ids::secret(),
        payer_email: asking.payer_email.to_owned(),
        principal: scope.principal().to_owned(),
        created_at: now,
        expires_at,
        ended_at: None,
    })
}

/// Adds a link and the message that carries it to what is written.
pub(super) fn add(writes: &mut Writes, scope: &Scope, link: payment_link::Model, now: DateTime<Utc>) {
    let queued_at = clock::machine_now();
    let message = outbox_delivery::Model {
        id: ids::new_id(),
        account_id: link.account_id,
        event_sequence: None,
        channel: DeliveryChannel::Email,
        recipient_id: None,
        payment_link_id: Some(link.id),
        target: link.payer_email.clone(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: Some(queued_at),
        lease_owner: None,
        lease_until_ms: None,
        last_error: None,
        queued_at,
        created_at: now,
        delivered_at: None,
    };
    payment_links::add(writes, scope, link);
    outbox::add(writes, scope, message);
}

/// What stands behind a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What is to be paid, and for whom.
    pub asked: Asked,
    /// What can be done.
    pub standing: Standing,
    /// The gateway's name.
    pub gateway: String,
}

/// What stands behind a link, without using it: programs that look at mail open links too.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link; [`Error::Unavailable`] when the store does not answer.
pub async fn look(app: &App, token: &str) -> Result<Seen, Error> {
    let (db, scope) = (app.db.read(), Scope::engine());
    let link = find(db, &scope, token).await?;
    let found = gateway_payments::order_with_items(db, &scope, link.order_id).await?;
    let (order, _) = found.ok_or(Error::NotFound("payment link"))?;
    let quoted = quotes::by_ids(db, &scope, &[order.quote_id]).await?;
    let quote = quoted.into_iter().next().ok_or(Error::NotFound("payment link"))?;
    let accounts = crate::store::accounts::by_ids(db, &scope, &[link.account_id]).await?;
    let account = accounts.into_iter().next().ok_or(Error::NotFound("payment link"))?;
    let now = app.clock.now();
    let begun = Attempts::read(db, &scope, &link, now).await?;
    let gateway = app.gateways.get(&link.gateway);
    let priced = PricedQuote::deserialize(&quote.document)?;
    Ok(Seen {
        asked: Asked::of(account.name, account.language, &priced)?,
        standing: begun.of(&link, &order).standing(now),
        gateway: gateway.map_or_else(|| link.gateway.clone(), |gateway| gateway.name().to_owned()),
    })
}

/// Uses a link: answers the payment that was begun by it and can be gone on with, or writes one; nothing when the link is good
/// for none. It is to be begun at its gateway next. However often a link is used, one payment at a time is open, and the order
/// is paid once.
///
/// Source: rule "On behalf" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link; [`Error::Unavailable`] when the store does not answer; refused when what
/// was ordered can't be paid by anybody any more.
pub async fn open_by_link(app: &App, token: &str) -> Result<Option<Uuid>, Error> {
    let scope = &Scope::engine();
    let link = &find(app.db.read(), scope, token).await?;
    let now = app.clock.now();
    // Anybody who has the link may press as often as they like: only a new payment takes locks.
    let found = gateway_payments::order_with_items(app.db.read(), scope, link.order_id).await?;
    let Some((order, _)) = found else { return Ok(None) };
    let begun = Attempts::read(app.db.read(), scope, link, now).await?;
    if begun.of(link, &order).standing(now) != Standing::Open {
        return Ok(None);
    }
    if let Some(going_on) = begun.going_on {
        return Ok(Some(going_on));
    }
    let id = ids::new_id();
    app.db
        .write("pay_on_behalf", async |tx| {
            let tx = &*tx;
            // Run again after a commit whose answer was lost, it finds the payment that it began.
            tx.is_replayable();
            let found = gateway_payments::order_with_items(&**tx, scope, link.order_id).await?;
            let Some((order, _)) = found else { return Ok(None) };
            let purchase = purchases::lock_purchase(tx, scope, link.account_id, order.quote_id).await?;
            let Some(purchase) = purchase else { return Ok(None) };
            // As they are now that nobody else changes them.
            let found = gateway_payments::order_with_items(&**tx, scope, link.order_id).await?;
            let Some((mut order, _)) = found else { return Ok(None) };
            let link = find(&**tx, scope, &link.token).await?;
            let begun = Attempts::read(&**tx, scope, &link, now).await?;
            if begun.of(&link, &order).standing(now) != Standing::Open {
                return Ok(None);
            }
            if let Some(going_on) = begun.going_on {
                return Ok(Some(going_on));
            }
            let Some(gateway) = app.gateways.get(&link.gateway) else {
                return Ok(None);
            };
            let priced = PricedQuote::deserialize(&purchase.quote.document)?;
            quote_rules::check_ends_ahead(&priced, now)?;
            let code = collect::payment_code(tx, scope, &purchase.account, now).await?;
            let details = format!("Order {}", order.code);
            let due = priced.due()?;
            let collecting = Collecting {
                id,
                code: &code,
                account: &purchase.account,
                order: Some(order.id),
                method: PaymentMethod::OnBehalf,
                gateway: gateway.as_ref(),
                saved: None,
                amount: due,
                credit: Money::zero(due.currency()),
                details: &details,
                // Whoever knows the payment comes back there too: they are not told the secret of the link.
                return_url: None,
                now,
            };
            let mut writes = Writes::of(tx);
            begin_collecting(&mut writes, scope, collecting, &purchase, 0)?;
            let until = now + order_waits(gateway.as_ref());
            order.expires_at = Some(order.expires_at.map_or(until, |before| before.max(until)));
            purchases::update_waiting_order(&mut writes, scope, order);
            writes.send(tx).await?;
            Ok(Some(id))
        })
        .await
}

/// The address of a link.
#[must_use]
pub fn url_of(app: &App, token: &str) -> String {
    format!("{}/pay/{token}", app.public_url())
}

/// What was begun by a link.
struct Attempts {
    payments: usize,
    /// The one that its payer can go on with.
    going_on: Option<Uuid>,
    is_underway: bool,
}

impl Attempts {
    async fn read(
        db: &impl ConnectionTrait,
        scope: &Scope,
        link: &payment_link::Model,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let of_order = crate::store::payments::of_orders(db, scope, &[link.order_id]).await?;
        let by_link = |payment: &&payment::Model| payment.method == PaymentMethod::OnBehalf;
        let payments: Vec<&payment::Model> = of_order.values().flatten().filter(by_link).collect();
        let open: Vec<Uuid> = payments
            .iter()
            .filter(|payment| payment.status == PaymentStatus::Pending)
            .map(|payment| payment.id)
            .collect();
        let attempts = gateway_payments::by_ids(db, scope, &open).await?;
        // One that was not begun yet is begun by who comes next.
        let goes_on = |attempt: &&gateway_payment::Model| {
            attempt.gateway == link.gateway && now < attempt.expires_at && !attempt.is_reviewed
        };
        let going_on = attempts.iter().find(goes_on).map(|attempt| attempt.payment_id);
        Ok(Self {
            payments: payments
                .iter()
                .filter(|payment| payment.created_at >= link.created_at)
                .count(),
            going_on,
            is_underway: going_on.is_none() && !attempts.is_empty(),
        })
    }

    fn of(&self, link: &payment_link::Model, order: &order::Model) -> Link {
        Link {
            expires_at: link.expires_at,
            is_replaced: link.ended_at.is_some(),
            order: order.status,
            payments: self.payments,
            goes_on: self.going_on.is_some(),
            is_underway: self.is_underway,
        }
    }
}

/// The gateway's page of a payment that was begun there.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn page_of(app: &App, payment: Uuid) -> Result<Option<String>, Error> {
    let rows = gateway_payments::by_ids(app.db.read(), &Scope::engine(), &[payment]).await?;
    let checkout = rows.into_iter().next().and_then(|row| row.checkout);
    Ok(checkout.and_then(|kept| Some(kept.get("url")?.as_str()?.to_owned())))
}

async fn find(db: &impl ConnectionTrait, scope: &Scope, token: &str) -> Result<payment_link::Model, Error> {
    let none = || Error::NotFound("payment link");
    if !ids::is_secret(token) {
        return Err(none());
    }
    payment_links::by_token(db, scope, token).await?.ok_or_else(none)
}
