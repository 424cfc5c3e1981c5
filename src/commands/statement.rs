//! A bank's statement: each line of money that came in pays what its memo names, once, or waits in quarantine.

use entity::enums::QuarantineStatus;
use entity::quarantine;
use uuid::Uuid;

use super::collect::{self, Heard, Settled};
use crate::app::App;
use crate::domain::gateway::{Capture, Outcome};
use crate::domain::payment::Settlement;
use crate::domain::statement::{self, Line};
use crate::error::Error;
use crate::gateways::bank;
use crate::ids;
use crate::store::{Scope, gateway_payments, quarantine as kept};

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It paid what it was for.
    Paid,
    /// It is the customer's credit: what it was for could not be paid with it any more.
    Credited,
    /// It waits for an operator.
    Quarantined,
    /// It had been taken before.
    Repeated,
}

/// A line, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number in the statement; the header is line 1.
    pub line: usize,
    /// What became of it.
    pub became: Became,
    /// The payment that it was for.
    pub payment: Option<Uuid>,
}

/// Takes a statement in. Every line is its own key, by the bank's number: a statement that is sent again, or overlaps with another,
/// takes nothing twice, and one that was cut off is sent again.
///
/// Source: rule "Bank transfers" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with STATEMENT_INVALID, with nothing taken.
/// [`Error::Unavailable`] when the store stops answering: the lines before are taken.
pub async fn import(app: &App, scope: &Scope, csv: &str) -> Result<Vec<Taken>, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let lines = statement::read(csv).map_err(|refusal| refusal.under("csv"))?;
    let mut taken = Vec::with_capacity(lines.len());
    for line in &lines {
        let (became, payment) = take(app, scope, line).await?;
        taken.push(Taken {
            line: line.number,
            became,
            payment,
        });
    }
    Ok(taken)
}

async fn take(app: &App, scope: &Scope, line: &Line) -> Result<(Became, Option<Uuid>), Error> {
    let known = gateway_payments::capture(app.db.read(), scope, bank::CODE, &line.reference).await?;
    if let Some(capture) = known {
        return Ok((Became::Repeated, Some(capture.payment_id)));
    }
    if kept::of_statement(app.db.read(), scope, &line.reference).await? {
        return Ok((Became::Repeated, None));
    }
    // Only a memo that names one payment says which it is.
    let candidates = statement::candidates(&line.memo);
    let named = gateway_payments::by_references(app.db.read(), scope, bank::CODE, &candidates).await?;
    let [attempt] = named.as_slice() else {
        let reason = if named.is_empty() {
            "the memo names no payment"
        } else {
            "the memo names several payments"
        };
        return Ok((quarantined(app, scope, line, reason).await?, None));
    };
    let outcome = Outcome::Paid(Capture {
        transaction: line.reference.clone(),
        amount: line.amount,
    });
    let became = match collect::settle(app, attempt, &outcome, Heard::Stated).await? {
        Settled::Done(Settlement::Paid) => Became::Paid,
        Settled::Done(Settlement::Credited) => Became::Credited,
        Settled::Done(Settlement::Quarantined) => Became::Quarantined,
        Settled::Done(_) | Settled::Repeated => Became::Repeated,
    };
    Ok((became, Some(attempt.payment_id)))
}

/// Keeps money whose owner nobody knows. It is in nobody's books until an operator has found whose it is.
async fn quarantined(app: &App, scope: &Scope, line: &Line, reason: &str) -> Result<Became, Error> {
    let now = app.clock.now();
    let shown = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = format!("{reason}: {:?} from {:?}", shown(&line.memo), shown(&line.payer));
    let row = quarantine::Model {
        id: ids::new_id(),
        account_id: None,
        payment_id: None,
        capture_id: None,
        statement_ref: Some(line.reference.clone()),
        amount_minor: line.amount.minor(),
        currency: line.amount.currency().code().to_owned(),
        reason: reason.chars().take(500).collect(),
        status: QuarantineStatus::Open,
        created_at: now,
        resolved_at: None,
        resolved_by: None,
        resolution: None,
        version: 1,
    };
    let written = app
        .db
        .write("quarantine_line", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            kept::keep(tx, scope, row.clone()).await
        })
        .await?;
    Ok(if written { Became::Quarantined } else { Became::Repeated })
}
