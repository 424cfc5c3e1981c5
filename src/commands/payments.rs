//! Talking to gateways about payments: beginning one, asking about one, and hearing of one. No transaction is open while a
//! gateway is asked, and what it says is settled.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{NoticeVerdict, OrderStatus, PaymentStatus};
use entity::{account, gateway_notice, gateway_payment};
use secrecy::SecretString;
use uuid::Uuid;

use super::collect::{self, Heard, LEASE, PASS, Says, Settled};
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::gateway::{Decline, LinkOutcome, Outcome};
use crate::domain::payment::Settlement;
use crate::error::Error;
use crate::gateways::{About, Answer, Attempt, Checkout, Failure, Gateway, RawNotice, Rejected, Verdict};
use crate::store::gateway_payments;
use crate::store::{Scope, accounts, payment_methods, refunds};
use crate::{clock, ids};

/// How long a gateway may take to answer, at most.
const ANSWERED: TimeDelta = TimeDelta::seconds(40);
/// How often, and how long each time, is waited for somebody else who begins a payment.
const WAITS: u32 = 20;
const WAIT: Duration = Duration::from_millis(150);

/// What became of beginning a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The payer can pay.
    Ready,
    /// The gateway said no: the payment failed.
    Refused(String),
    /// The gateway did not answer, or not in time: there is nothing that could be paid.
    Unknown,
    /// Whether a linked account was charged is not known yet: its gateway is asked until it says so.
    Charging,
    /// There was nothing to begin: it had been begun before, or is over.
    Nothing,
}

/// Begins a payment at its gateway, and keeps what the payer needs. It goes on when the caller does not wait any more, so that
/// an answer is never lost with a request that took too long. Begun before, nothing is done, but where the gateway may be
/// asked again and its answer was lost.
///
/// # Errors
/// [`Error::NotFound`] when there is no such payment for this caller; [`Error::Unavailable`] when the store does not answer.
pub async fn begin(app: Arc<App>, scope: Scope, payment: Uuid) -> Result<Begun, Error> {
    let running = tokio::spawn(async move { begin_now(&app, &scope, payment).await });
    running.await.map_err(Error::internal)?
}

async fn begin_now(app: &App, scope: &Scope, payment: Uuid) -> Result<Begun, Error> {
    let (row, account) = read(app, scope, payment).await?;
    let status = status_of(app, scope, payment).await?;
    if status == PaymentStatus::Failed && row.begun_at.is_none() {
        // Told again as it was told first. Money of another amount than was asked for is no refusal.
        let is_captured = gateway_payments::is_captured(app.db.read(), &Scope::engine(), payment).await?;
        let detail = row.detail.unwrap_or_default();
        return Ok(if is_captured {
            Begun::Nothing
        } else {
            Begun::Refused(detail)
        });
    }
    if row.begun_at.is_some() || status != PaymentStatus::Pending {
        return Ok(Begun::Nothing);
    }
    let now = app.clock.now();
    if row.tried_at.is_none() && is_over(app, &row, now).await? {
        let detail = "what it was for is not to be paid any more".to_owned();
        let over = Outcome::Failed {
            decline: Decline::Cancelled,
            detail: detail.clone(),
        };
        collect::settle(app, &row, &over, Heard::Begun).await?;
        return Ok(Begun::Refused(detail));
    }
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        return Ok(Begun::Unknown);
    };
    let may_repeat = row.method_id.is_none() && gateway.capabilities().repeatable_checkout;
    let first = app.db.write("try_to_begin", async |tx| {
        let tx = &*tx;
        // A charge that is on its way is not asked about.
        let check_at = row.method_id.map(|_| now + LEASE);
        gateway_payments::try_to_begin(tx, &Scope::engine(), payment, may_repeat, (now, check_at)).await
    });
    let first = first.await?;
    if !first && row.method_id.is_some() {
        // Somebody charges it this moment, or did: what became of it is asked for.
        return Ok(if row.is_reviewed {
            Begun::Nothing
        } else {
            Begun::Charging
        });
    }
    if !first && !may_repeat {
        // Somebody begins it this moment, or did and the answer was lost: the gateway would refuse the reference, or begin a
        // second one.
        return begun_by_another(app, payment, &row, now).await;
    }
    let attempt = collect::attempt_of(app, &row, &account)?;
    if let Some(method) = row.method_id {
        return charge(app, gateway.as_ref(), &row, &attempt, method).await;
    }
    match gateway.begin(&attempt).await {
        Ok(checkout) => {
            let is_open = keep(app, &row, checkout).await?;
            Ok(if is_open { Begun::Ready } else { Begun::Nothing })
        }
        Err(Failure::Refused { decline, detail }) => {
            let refused = Outcome::Failed {
                decline,
                detail: detail.clone(),
            };
            match collect::settle(app, &row, &refused, Heard::Begun).await? {
                Settled::Done(Settlement::Failed { .. } | Settlement::Expired) => Ok(Begun::Refused(detail)),
                _ => Ok(Begun::Nothing),
            }
        }
        Err(failure) => {
            tracing::warn!(payment = %row.payment_id, gateway = row.gateway, %failure, "a payment could not be begun; its gateway is asked later");
            // Somebody else may have begun it at the same time, and been answered.
            let (row, _) = read(app, scope, payment).await?;
            Ok(if row.begun_at.is_some() {
                Begun::Ready
            } else {
                Begun::Unknown
            })
        }
    }
}

/// Whether a payment that no gateway has heard of yet is not to be begun any more: its order was cancelled or paid another way
/// meanwhile, or its time is over.
async fn is_over(app: &App, row: &gateway_payment::Model, now: DateTime<Utc>) -> Result<bool, Error> {
    let (db, scope) = (app.db.read(), Scope::engine());
    if now >= row.expires_at {
        return Ok(true);
    }
    let payments = crate::store::payments::by_ids(db, &scope, &[row.payment_id]).await?;
    let Some(order) = payments.first().and_then(|payment| payment.order_id) else {
        return Ok(false);
    };
    let found = gateway_payments::order_with_items(db, &scope, order).await?;
    Ok(found.is_none_or(|(order, _)| order.status != OrderStatus::AwaitingPayment))
}

/// Waits a little for who begins a payment this moment: a payer who clicks twice is sent on twice.
async fn begun_by_another(
    app: &App,
    payment: Uuid,
    row: &gateway_payment::Model,
    now: DateTime<Utc>,
) -> Result<Begun, Error> {
    if row.tried_at.is_some_and(|tried| now - tried > ANSWERED) {
        return Ok(Begun::Unknown);
    }
    for _ in 0..WAITS {
        let rows = gateway_payments::by_ids(app.db.read(), &Scope::engine(), &[payment]).await?;
        let row = rows.into_iter().next().ok_or(Error::NotFound("payment"))?;
        if row.begun_at.is_some() {
            return Ok(Begun::Ready);
        }
        if row.decline.is_some() {
            return Ok(Begun::Refused(row.detail.unwrap_or_default()));
        }
        tokio::time::sleep(WAIT).await;
    }
    Ok(Begun::Unknown)
}

/// Charges a linked account, once, and settles what its gateway says.
async fn charge(
    app: &App,
    gateway: &dyn Gateway,
    row: &gateway_payment::Model,
    attempt: &Attempt,
    method: Uuid,
) -> Result<Begun, Error> {
    let found = payment_methods::by_ids(app.db.read(), &Scope::engine(), &[method]).await?;
    let saved = found
        .first()
        .filter(|method| method.ended_at.is_none())
        .and_then(collect::saved_of);
    let said = match &saved {
        Some(saved) => gateway.charge(attempt, saved).await,
        None => Ok(Outcome::Failed {
            decline: Decline::MethodRevoked,
            detail: "it was unlinked".to_owned(),
        }),
    };
    let outcome = match said {
        Ok(outcome) => outcome,
        Err(Failure::Refused { decline, detail }) => Outcome::Failed { decline, detail },
        Err(failure) => {
            tracing::warn!(payment = %row.payment_id, gateway = row.gateway, %failure, "whether a linked account was charged is not known; its gateway is asked");
            collect::not_answered(app, row).await?;
            return Ok(Begun::Charging);
        }
    };
    collect::settle(app, row, &outcome, Heard::Asked).await?;
    let Outcome::Failed { decline, detail } = outcome else {
        return Ok(Begun::Ready);
    };
    if decline == Decline::MethodRevoked && saved.is_some() {
        collect::ended_there(app, method, &detail).await?;
    }
    Ok(Begun::Refused(detail))
}

/// Keeps what the payer needs, unless it was kept meanwhile, and answers whether the payment is still open.
async fn keep(app: &App, row: &gateway_payment::Model, checkout: Checkout) -> Result<bool, Error> {
    let now = app.clock.now();
    let kept = serde_json::json!({
        "url": checkout.url, "appUrl": checkout.app_url, "qr": checkout.qr, "clientSecret": checkout.client_secret,
        "bank": checkout.bank.map(|bank| serde_json::json!({
            "bin": bank.bank_bin, "number": bank.account_number, "holder": bank.account_holder, "memo": bank.memo,
        })),
    });
    app.db
        .write("keep_checkout", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let scope = Scope::engine();
            let locked = gateway_payments::lock(tx, &scope, row.payment_id).await?;
            let mut attempt = locked.attempt;
            if locked.payment.status != PaymentStatus::Pending {
                return Ok(false);
            }
            if attempt.begun_at.is_some() {
                return Ok(true);
            }
            attempt.begun_at = Some(now);
            attempt.gateway_id.clone_from(&checkout.gateway_id);
            attempt.checkout = Some(kept.clone());
            let mut writes = Writes::of(tx);
            gateway_payments::update(&mut writes, &scope, attempt);
            writes.send(tx).await?;
            Ok(true)
        })
        .await
}

/// Asks the gateway where a payment stands and settles what it says; for a payer who comes back before the gateway has told
/// us. What is final, or was asked a moment ago, is left as it is.
///
/// # Errors
/// [`Error::NotFound`] when there is no such payment for this caller; [`Error::Unavailable`] when the store does not answer.
pub async fn look(app: &App, scope: &Scope, payment: Uuid) -> Result<(), Error> {
    let (row, account) = read(app, scope, payment).await?;
    if status_of(app, scope, payment).await? != PaymentStatus::Pending
        || (row.begun_at.is_none() && row.tried_at.is_none())
    {
        return Ok(());
    }
    ask(app, &row, &account).await
}

/// One round over the payments: what the sandbox has to tell is heard, and the gateways are asked about payments that are
/// due. Answers how many of both.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn round(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    Ok(hear_sandbox(app).await? + check_due(app, now).await?)
}

/// Hears the notifications of the sandbox that are due, as if they had come from outside, and answers how many.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn hear_sandbox(app: &App) -> Result<u64, Error> {
    let Some(sandbox) = &app.sandbox else { return Ok(0) };
    let now = app.clock.now();
    let mut heard = 0;
    for due in sandbox.due(now, PASS).await? {
        let raw = RawNotice {
            method: "POST",
            query: "",
            headers: &due.headers,
            body: due.body.as_bytes(),
            received_at: now,
        };
        let answer = hear(app, "sandbox", raw, || true).await;
        let status = answer.map_or(404, |answer| answer.status);
        sandbox.answered(&due, status).await?;
        heard += 1;
    }
    Ok(heard)
}

/// Asks the gateways about payments that are due, and answers how many.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
async fn check_due(app: &App, now: DateTime<Utc>) -> Result<u64, Error> {
    let scope = Scope::engine();
    let due = gateway_payments::take_due(&app.db, &scope, &app.gateways.codes(), (now, now + LEASE), PASS).await?;
    let mut owners: Vec<Uuid> = due.iter().map(|row| row.account_id).collect();
    owners.sort_unstable();
    owners.dedup();
    let owners = accounts::by_ids(app.db.read(), &scope, &owners).await?;
    let mut asked = Vec::with_capacity(due.len());
    for row in &due {
        if let Some(account) = owners.iter().find(|account| account.id == row.account_id) {
            asked.push((row.payment_id, check(app, &scope, row, account)));
        }
    }
    collect::all_at_once(asked).await
}

/// Asks about one payment, or charges it when nobody did yet.
async fn check(app: &App, scope: &Scope, row: &gateway_payment::Model, account: &account::Model) -> Result<(), Error> {
    if row.method_id.is_some() && row.tried_at.is_none() {
        return begin_now(app, scope, row.payment_id).await.map(|_| ());
    }
    ask(app, row, account).await
}

async fn ask(app: &App, row: &gateway_payment::Model, account: &account::Model) -> Result<(), Error> {
    let Some(gateway) = app.gateways.get(&row.gateway) else {
        tracing::error!(payment = %row.payment_id, gateway = row.gateway, "a payment waits for a gateway that is not configured");
        return Ok(());
    };
    let outcome = match gateway.query(&collect::attempt_of(app, row, account)?).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            // No answer is not a no: the payment stays as it is, and is asked about again.
            metrics::counter!("gateway_unanswered_total", "gateway" => row.gateway.clone()).increment(1);
            tracing::warn!(payment = %row.payment_id, gateway = row.gateway, %failure, "a gateway did not answer about a payment");
            return collect::not_answered(app, row).await;
        }
    };
    collect::settle(app, row, &outcome, Heard::Asked).await?;
    Ok(())
}

/// Hears a notification of a gateway: believes it or not, settles what it says, keeps a record of it, and answers as the
/// vendor wants to be answered. `keeps_rejected` is asked whether a record of one that is not believed is kept: anybody can send
/// as many as they like. Nothing when there is no such gateway.
pub async fn hear(
    app: &App,
    path: &str,
    raw: RawNotice<'_>,
    keeps_rejected: impl FnOnce() -> bool + Send,
) -> Option<Answer> {
    let gateway = app.gateways.at_path(path)?;
    // Whether what is taken is recorded by who takes it, in the same transaction.
    let mut written = false;
    let (verdict, seen) = match gateway.notified(&raw) {
        Err(rejected) => (Verdict::Rejected(rejected), None),
        Ok(notice) => {
            written = matches!(notice.about, About::Payment { .. });
            let reference = reference_of(&notice.about).map(str::to_owned);
            let row = record(gateway.as_ref(), &raw, Some(&notice.event), reference.as_deref());
            let verdict = match take(app, gateway.as_ref(), notice.about, &row).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    tracing::error!(gateway = gateway.code(), %error, "a notification could not be taken");
                    Verdict::Later
                }
            };
            (verdict, Some(row))
        }
    };
    let code = verdict_code(verdict);
    metrics::counter!("gateway_notices_total", "gateway" => gateway.code(), "verdict" => code.as_str()).increment(1);
    let keeps = seen.is_some() || keeps_rejected();
    if keeps && !(written && code == NoticeVerdict::Taken) {
        let mut row = seen.unwrap_or_else(|| record(gateway.as_ref(), &raw, None, None));
        row.id = ids::new_id();
        row.taken_event = None;
        row.verdict = code;
        keep_record(app, row).await;
    }
    Some(gateway.answer(verdict))
}

/// Settles what a believed notification says.
async fn take(
    app: &App,
    gateway: &dyn Gateway,
    about: About,
    record: &gateway_notice::Model,
) -> Result<Verdict, Error> {
    let scope = Scope::engine();
    let (reference, outcome) = match about {
        About::Payment { reference, outcome } => (reference, outcome),
        About::Refund { reference, outcome } => {
            let found = refunds::by_reference(app.db.read(), &scope, gateway.code(), &reference).await?;
            let Some(row) = found else {
                return Ok(Verdict::NoSuchReference);
            };
            collect::settle_refund(app, row.id, &outcome, Says::Told).await?;
            return Ok(Verdict::Taken);
        }
        About::Link { .. } | About::Confirmed { .. } | About::Unlinked { .. } => {
            return take_link(app, gateway, about).await;
        }
        About::Nothing => return Ok(Verdict::Taken),
    };
    let found = gateway_payments::by_reference(app.db.read(), &scope, gateway.code(), &reference).await?;
    let Some(row) = found else {
        return Ok(Verdict::NoSuchReference);
    };
    Ok(match collect::settle(app, &row, &outcome, Heard::Told(record)).await? {
        Settled::Repeated => Verdict::Repeated,
        Settled::Done(Settlement::Quarantined) => Verdict::WrongAmount,
        Settled::Done(_) => Verdict::Taken,
    })
}

/// Settles what a believed notification says of a linked account or card.
async fn take_link(app: &App, gateway: &dyn Gateway, about: About) -> Result<Verdict, Error> {
    let scope = Scope::engine();
    let Some(reference) = reference_of(&about) else {
        return Ok(Verdict::Taken);
    };
    let found = payment_methods::by_reference(app.db.read(), &scope, gateway.code(), reference).await?;
    let Some(row) = found else {
        return Ok(Verdict::NoSuchReference);
    };
    let outcome = match about {
        About::Link { outcome, .. } => outcome,
        About::Confirmed { proof, .. } => {
            let accounts = accounts::by_ids(app.db.read(), &scope, &[row.account_id]).await?;
            let account = accounts.into_iter().next().ok_or(Error::NotFound("account"))?;
            let link = collect::link_of(app, &row, &account);
            match gateway.finish_link(&link, &SecretString::from(proof)).await {
                Ok(outcome) => outcome,
                Err(Failure::Refused { detail, .. }) => LinkOutcome::Failed { detail },
                Err(failure) => {
                    tracing::warn!(method = %row.id, gateway = gateway.code(), %failure, "a confirmed link could not be finished; it is told again");
                    return Ok(Verdict::Later);
                }
            }
        }
        _ => {
            collect::ended_there(app, row.id, "unlinked at the gateway").await?;
            return Ok(Verdict::Taken);
        }
    };
    collect::settle_link(app, row.id, &outcome).await?;
    Ok(Verdict::Taken)
}

fn reference_of(about: &About) -> Option<&str> {
    match about {
        About::Payment { reference, .. }
        | About::Refund { reference, .. }
        | About::Link { reference, .. }
        | About::Confirmed { reference, .. }
        | About::Unlinked { reference } => Some(reference),
        About::Nothing => None,
    }
}

/// The record of a notification that is taken; none of its text, only its digest.
fn record(
    gateway: &dyn Gateway,
    raw: &RawNotice<'_>,
    event: Option<&str>,
    reference: Option<&str>,
) -> gateway_notice::Model {
    let bounded = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let event = event.map(|event| bounded(event, 200));
    gateway_notice::Model {
        id: ids::new_id(),
        gateway: gateway.code().to_owned(),
        taken_event: event.clone(),
        event,
        reference: reference.map(|reference| bounded(reference, 64)),
        verdict: NoticeVerdict::Taken,
        body_bytes: i32::try_from(raw.body.len()).unwrap_or(i32::MAX),
        body_digest: ids::digest_of(&[raw.query.as_bytes(), b"\n", raw.body].concat()),
        received_at: clock::machine_now(),
    }
}

/// Keeps the record of a notification that was not taken. That it can't be kept changes nothing for the gateway.
async fn keep_record(app: &App, row: gateway_notice::Model) {
    let kept = app
        .db
        .write("note_notice", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            gateway_payments::note(tx, &Scope::engine(), row.clone()).await
        })
        .await;
    if let Err(error) = kept {
        tracing::warn!(%error, gateway = row.gateway, verdict = %row.verdict, "the record of a notification could not be kept");
    }
}

const fn verdict_code(verdict: Verdict) -> NoticeVerdict {
    match verdict {
        Verdict::Taken => NoticeVerdict::Taken,
        Verdict::Repeated => NoticeVerdict::Repeated,
        Verdict::Rejected(Rejected::Signature) => NoticeVerdict::Signature,
        Verdict::Rejected(Rejected::Stale) => NoticeVerdict::Stale,
        Verdict::Rejected(Rejected::Malformed) => NoticeVerdict::Malformed,
        Verdict::Rejected(Rejected::Merchant) => NoticeVerdict::Merchant,
        Verdict::NoSuchReference => NoticeVerdict::NoSuchReference,
        Verdict::WrongAmount => NoticeVerdict::WrongAmount,
        Verdict::Later => NoticeVerdict::Later,
    }
}

async fn read(app: &App, scope: &Scope, payment: Uuid) -> Result<(gateway_payment::Model, account::Model), Error> {
    let rows = gateway_payments::by_ids(app.db.read(), scope, &[payment]).await?;
    let row = rows.into_iter().next().ok_or(Error::NotFound("payment"))?;
    let accounts = accounts::by_ids(app.db.read(), scope, &[row.account_id]).await?;
    let account = accounts.into_iter().next().ok_or(Error::NotFound("account"))?;
    Ok((row, account))
}

async fn status_of(app: &App, scope: &Scope, payment: Uuid) -> Result<PaymentStatus, Error> {
    let rows = crate::store::payments::by_ids(app.db.read(), scope, &[payment]).await?;
    rows.first().map(|row| row.status).ok_or(Error::NotFound("payment"))
}
