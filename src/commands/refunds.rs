//! Money that goes back to its payer: an operator decides it, it leaves the wallet at once, and the gateway is followed until
//! it has said what became of it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{EventType, PaymentMethod, PaymentStatus, RefundStatus, WalletAction, WalletKind};
use entity::{gateway_capture, gateway_refund};
use serde::Serialize;
use uuid::Uuid;

use super::collect::{self, LEASE, PASS, Says};
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::gateway::RefundOutcome;
use crate::domain::money::{Currency, Money, Sign};
use crate::domain::payment as rules;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{ledger, text};
use crate::error::Error;
use crate::gateways::{Attempt, Failure, Gateway, Refund};
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::{Scope, accounts, gateway_payments, payments, refunds};

/// A refund to be decided.
#[derive(Clone, Debug, Serialize)]
pub struct RefundPayment {
    /// The payment.
    pub payment: Uuid,
    /// How much of it, as exact decimal text; all that is left when absent.
    pub amount: Option<String>,
    /// Why.
    pub reason: String,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What deciding a refund did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The refund.
    pub refund: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// Decides that money of a payment goes back to its payer. It leaves the customer's cash at once, and never is more than what is
/// left of one capture: what was spent has to come back as credit first, by the rules of what it was spent on. Promotional
/// money never leaves.
///
/// Source: rule "Refunds to the source" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with PAYMENT_NOT_FOUND, NOT_REFUNDABLE, REFUND_TOO_LARGE,
/// INSUFFICIENT_CREDIT, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, IDEMPOTENCY_KEY_INVALID,
/// IDEMPOTENCY_KEY_REUSED.
pub async fn refund_payment(app: &App, scope: &Scope, input: RefundPayment) -> Result<Decided, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let reason = text::line(&input.reason, text::MAX_REASON).map_err(|refusal| refusal.under("reason"))?;
    let none = || Refusal::new(RefusalCode::PaymentNotFound, "There is no such payment.").under("paymentId");
    let payment = payments::by_ids(app.db.read(), scope, &[input.payment]).await?;
    let payment = payment.into_iter().next().ok_or_else(none)?;
    let currency: Currency = payment.currency.parse()?;
    let asked = input.amount.as_deref();
    let asked = asked
        .map(|amount| Money::from_decimal_text(amount, currency, Sign::Positive))
        .transpose()
        .map_err(|refusal| refusal.under("amount"))?;
    let not_refundable = |why: String| Refusal::new(RefusalCode::NotRefundable, why).under("paymentId");
    if payment.status != PaymentStatus::Succeeded {
        return Err(not_refundable(format!("This payment is {}: nothing of it was taken.", payment.status)).into());
    }
    if payment.method == PaymentMethod::OnBehalf {
        // Whoever paid is nobody's customer: what comes back is the asker's.
        let why = "This payment was made on behalf of the customer: what comes back of it is their credit, never the payer's.";
        return Err(not_refundable(why.to_owned()).into());
    }
    let gateway = payment.gateway.as_deref().and_then(|code| app.gateways.get(code));
    let Some(gateway) = gateway else {
        return Err(not_refundable("No gateway of this process took this payment.".to_owned()).into());
    };
    let now = app.clock.now();
    let refund_id = ids::new_id();
    let (decided, newest) = app
        .db
        .write("refund_payment", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: payment.account_id,
                operation: "refund_payment",
                key: &input.idempotency_key,
            };
            if let Claim::Done(refund) = idempotency::claim(tx, scope, key, &input, refund_id, now).await? {
                let earlier = Decided { refund, replayed: true };
                return Ok((earlier, None));
            }
            // The wallet first: refunds of an account are decided one after the other.
            let wallet = books::lock_wallet(tx, scope, payment.account_id, WalletKind::Credit).await?;
            let captures = refunds::captures(&**tx, scope, payment.id).await?;
            let (capture, amount) = choose(&captures, asked, currency, gateway.as_ref())?;
            if !gateway.capabilities().refunds_by_reference {
                let earlier = refunds::of_payments(&**tx, scope, &[payment.id]).await?;
                tell_apart(earlier.values().flatten(), amount, gateway.name())?;
            }
            let spendable = wallet
                .cash_minor
                .min(wallet.cash_minor + wallet.promotional_minor - wallet.held_minor);
            if spendable < amount.minor() {
                return Err(Refusal::insufficient_credit(amount, Money::of(spendable, currency)).into());
            }
            let mut entry = Entry::new(ledger::refund_to_source(amount)?);
            entry.payment = Some(payment.id);
            entry.reason = Some(reason.clone());
            let movement = Movement {
                id: ids::new_id(),
                transaction: entry.id,
                action: WalletAction::RefundToSource,
                details: format!("{} back through {}", payment.code, gateway.name()),
                cash_minor: -amount.minor(),
                promotional_minor: 0,
                order: payment.order_id,
            };
            let row = gateway_refund::Model {
                id: refund_id,
                account_id: payment.account_id,
                payment_id: payment.id,
                capture_id: capture.id,
                gateway: gateway.code().to_owned(),
                reference: gateway.reference(refund_id, now),
                amount_minor: amount.minor(),
                currency: payment.currency.clone(),
                status: RefundStatus::Pending,
                reason: reason.clone(),
                principal: scope.principal().to_owned(),
                detail: None,
                next_check_at: Some(now + TimeDelta::minutes(1)),
                checks: 0,
                created_at: now,
                completed_at: None,
                version: 1,
            };
            let mut writes = Writes::of(tx);
            books::post(&mut writes, scope, payment.account_id, vec![entry], now);
            books::move_wallet(&mut writes, scope, &wallet, vec![movement], now)?;
            refunds::reserve(&mut writes, scope, capture.id, amount.minor());
            refunds::add(&mut writes, scope, row);
            let news = News::of(EventType::Refunded).payment(payment.id).wallet(wallet.id);
            event_log::append(&mut writes, scope, payment.account_id, &[news], now)?;
            let decided = Decided {
                refund: refund_id,
                replayed: false,
            };
            Ok((decided, writes.send(tx).await?))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(payment.account_id, newest);
    }
    Ok(decided)
}

/// The capture that is given back, and how much of it. Errors: NOT_REFUNDABLE, REFUND_TOO_LARGE.
fn choose<'c>(
    captures: &'c [gateway_capture::Model],
    asked: Option<Money>,
    currency: Currency,
    gateway: &dyn Gateway,
) -> Result<(&'c gateway_capture::Model, Money), Refusal> {
    let left = |capture: &gateway_capture::Model| capture.amount_minor - capture.refunded_minor;
    let most = captures
        .iter()
        .max_by_key(|capture| left(capture))
        .filter(|capture| left(capture) > 0);
    let Some(most) = most else {
        let nothing = Refusal::new(RefusalCode::NotRefundable, "All of this payment has gone back already.");
        return Err(nothing.under("paymentId"));
    };
    let amount = asked.unwrap_or_else(|| Money::of(left(most), currency));
    // The oldest of which enough is left.
    let Some(capture) = captures.iter().find(|capture| left(capture) >= amount.minor()) else {
        let left = Money::of(left(most), currency);
        return Err(Refusal::new(
            RefusalCode::RefundTooLarge,
            format!("{left} of this payment are left to go back. Refund as much or less."),
        )
        .under("amount"));
    };
    if amount.minor() != capture.amount_minor && !gateway.capabilities().partial_refunds {
        return Err(Refusal::new(
            RefusalCode::NotRefundable,
            format!("{} gives back all of a payment or nothing.", gateway.name()),
        )
        .under("amount"));
    }
    Ok((capture, amount))
}

/// Whether a refund can be told from earlier ones of its payment by its amount, where a gateway tells of nothing else. One that
/// failed counts too: what is heard of it may be taken for what became of the new one. Errors: NOT_REFUNDABLE.
fn tell_apart<'r>(
    mut earlier: impl Iterator<Item = &'r gateway_refund::Model>,
    amount: Money,
    gateway: &str,
) -> Result<(), Refusal> {
    if earlier.any(|earlier| earlier.amount_minor == amount.minor()) {
        let why = format!(
            "{gateway} tells refunds of one payment apart by their amounts only, and {amount} of this one were asked for before. \
             Refund another amount, if only by a little."
        );
        return Err(Refusal::new(RefusalCode::NotRefundable, why).under("amount"));
    }
    Ok(())
}

/// What an operator saw of a refund in the gateway's own records.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The payment.
    pub payment: Uuid,
    /// What the refund is called at the gateway.
    pub reference: String,
    /// Whether the payer has the money.
    pub is_sent: bool,
    /// Where it was seen, as the books will show it.
    pub reason: String,
}

/// Ends a refund of which its gateway never said what became of it, as some never do of a question that was lost. The refund is its
/// own key: the same answer again changes nothing, another one is refused.
///
/// Source: rule "Refunds to the source" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with REFUND_NOT_FOUND, REFUND_RESOLVED, REFUND_UNDERWAY,
/// INVALID_TEXT.
pub async fn resolve(app: &App, scope: &Scope, input: Resolve) -> Result<(), Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let reason = text::line(&input.reason, text::MAX_REASON).map_err(|refusal| refusal.under("reason"))?;
    let of_payment = refunds::of_payments(app.db.read(), scope, &[input.payment]).await?;
    let found = of_payment
        .values()
        .flatten()
        .find(|row| row.reference == input.reference);
    let Some(row) = found else {
        let message = "This payment has no refund of this reference.";
        return Err(Refusal::new(RefusalCode::RefundNotFound, message)
            .under("reference")
            .into());
    };
    let (wanted, outcome) = if input.is_sent {
        (RefundStatus::Succeeded, RefundOutcome::Succeeded)
    } else {
        let detail = reason.clone();
        (RefundStatus::Failed, RefundOutcome::Failed { detail })
    };
    let mut status = row.status;
    if status == RefundStatus::Pending {
        if !rules::refund_is_overdue(row.created_at, app.clock.now()) {
            let message = "The gateway is asked about this refund and is likely to answer. Say what became of it when it has not for a day.";
            return Err(Refusal::new(RefusalCode::RefundUnderway, message)
                .under("reference")
                .into());
        }
        status = collect::settle_refund(app, row.id, &outcome, Says::Seen(scope, &reason)).await?;
    }
    if status != wanted {
        let message = format!("This refund is {status} already.");
        return Err(Refusal::new(RefusalCode::RefundResolved, message)
            .under("outcome")
            .into());
    }
    Ok(())
}

/// Asks the gateway to give a refund back, once however often it is called, and settles what it says. It goes on when the caller
/// does not wait any more.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn begin(app: Arc<App>, refund: Uuid) -> Result<(), Error> {
    let running = tokio::spawn(async move {
        let at = app.clock.now() + LEASE;
        match refunds::take_first(&app.db, &Scope::engine(), refund, at).await? {
            Some(row) => pursue(&app, &row, true).await,
            None => Ok(()),
        }
    });
    running.await.map_err(Error::internal)?
}

/// Asks the gateways about refunds that are due, and answers how many.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn check_due(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    let due = refunds::take_due(
        &app.db,
        &Scope::engine(),
        &app.gateways.codes(),
        (now, now + LEASE),
        PASS,
    )
    .await?;
    let mut followed = Vec::with_capacity(due.len());
    for row in &due {
        followed.push((row.id, pursue(app, row, false)));
    }
    collect::all_at_once(followed).await
}

/// Follows a refund: asks for it, or where it stands, and settles what the gateway says. One that it never heard of is asked for
/// again, under the same reference.
async fn pursue(app: &App, row: &gateway_refund::Model, ask_for_it: bool) -> Result<(), Error> {
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        tracing::error!(refund = %row.id, gateway = row.gateway, "a refund waits for a gateway that is not configured");
        return Ok(());
    };
    let refund = refund_of(app, row).await?;
    let mut said = if ask_for_it {
        gateway.refund(&refund).await
    } else {
        gateway.query_refund(&refund).await
    };
    if said == Ok(RefundOutcome::Unknown) {
        said = gateway.refund(&refund).await;
    }
    let outcome = match said {
        Ok(outcome) => outcome,
        Err(Failure::Refused { detail, .. }) => RefundOutcome::Failed { detail },
        Err(Failure::Unsupported) => RefundOutcome::Failed {
            detail: "the gateway gives nothing back".to_owned(),
        },
        Err(failure) => {
            tracing::warn!(refund = %row.id, gateway = row.gateway, %failure, "a gateway did not answer about a refund");
            RefundOutcome::Pending
        }
    };
    collect::settle_refund(app, row.id, &outcome, Says::Asked).await?;
    Ok(())
}

/// A refund as its gateway needs to know it.
async fn refund_of(app: &App, row: &gateway_refund::Model) -> Result<Refund, Error> {
    let scope = Scope::engine();
    let attempt = gateway_payments::by_ids(app.db.read(), &scope, &[row.payment_id]).await?;
    let attempt = attempt.into_iter().next().ok_or(Error::NotFound("payment"))?;
    let account = accounts::by_ids(app.db.read(), &scope, &[row.account_id]).await?;
    let account = account.into_iter().next().ok_or(Error::NotFound("account"))?;
    let capture = refunds::capture(app.db.read(), &scope, row.capture_id).await?;
    let plain = |text: &str| -> String {
        text.chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() {
                    character
                } else {
                    ' '
                }
            })
            .take(100)
            .collect()
    };
    Ok(Refund {
        reference: row.reference.clone(),
        payment: Attempt {
            transaction: Some(capture.transaction_ref),
            ..collect::attempt_of(app, &attempt, &account)?
        },
        amount: Money::of(row.amount_minor, row.currency.parse()?),
        reason: plain(&row.reason),
        by: plain(&row.principal),
        created_at: row.created_at,
        gateway_id: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refunds_that_a_gateway_takes_for_each_other_are_of_different_amounts() {
        let amount = |minor| Money::of(minor, Currency::Vnd);
        let earlier = gateway_refund::Model {
            id: Uuid::nil(),
            account_id: Uuid::nil(),
            payment_id: Uuid::nil(),
            capture_id: Uuid::nil(),
            gateway: "VNPAY".to_owned(),
            reference: "r".to_owned(),
            amount_minor: 50_000,
            currency: "VND".to_owned(),
            status: RefundStatus::Failed,
            reason: String::new(),
            principal: String::new(),
            detail: None,
            next_check_at: None,
            checks: 1,
            created_at: DateTime::UNIX_EPOCH,
            completed_at: None,
            version: 1,
        };
        assert_eq!(tell_apart([].into_iter(), amount(50_000), "VNPAY"), Ok(()));
        assert_eq!(tell_apart([&earlier].into_iter(), amount(49_999), "VNPAY"), Ok(()));
        let refused = tell_apart([&earlier].into_iter(), amount(50_000), "VNPAY").unwrap_err();
        assert_eq!(
            (refused.code, refused.path.join(".")),
            (RefusalCode::NotRefundable, "amount".to_owned())
        );
    }
}
