//! What a gateway says of money that goes back to its payer.

use entity::enums::{EventType, RefundStatus, WalletAction, WalletKind};
use uuid::Uuid;

use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::gateway::RefundOutcome;
use crate::domain::ledger;
use crate::domain::money::Money;
use crate::domain::payment as rules;
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::{Scope, refunds};

/// Who says what became of a refund.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) enum Says<'a> {
    /// The gateway, asked. What it says may be overtaken: a no to who asks for it once more is none to who asked before.
    Asked,
    /// The gateway, by itself.
    Told,
    /// An operator, who saw it there and tells where.
    Seen(&'a Scope, &'a str),
}

/// Writes what a gateway said of a refund, or what an operator saw of it there, and answers where it stands now. What failed
/// stays so. What had succeeded can come back to the gateway days later, when the gateway tells so: then it is the
/// customer's credit again.
///
/// Source: rule "Refunds to the source" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; nothing was written.
pub(in crate::commands) async fn settle_refund(
    app: &App,
    refund: Uuid,
    outcome: &RefundOutcome,
    says: Says<'_>,
) -> Result<RefundStatus, Error> {
    let now = app.clock.now();
    let engine = Scope::engine();
    let (scope, reason) = match says {
        Says::Seen(scope, reason) => (scope, Some(reason)),
        Says::Asked | Says::Told => (&engine, None),
    };
    let (status, newest) = app
        .db
        .write("settle_refund", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let found = refunds::by_ids(&**tx, scope, &[refund]).await?;
            let account = found.first().map(|row| row.account_id).ok_or(Error::NotFound("refund"))?;
            let wallet = books::lock_wallet(tx, scope, account, WalletKind::Credit).await?;
            let mut row = refunds::lock(tx, scope, refund).await?;
            let contradicts = matches!(
                (row.status, outcome),
                (RefundStatus::Succeeded, RefundOutcome::Failed { .. }) | (RefundStatus::Failed, RefundOutcome::Succeeded)
            );
            let came_back = contradicts && row.status == RefundStatus::Succeeded && matches!(says, Says::Told);
            if row.status != RefundStatus::Pending && !came_back {
                if contradicts {
                    tracing::error!(refund = %row.id, gateway = row.gateway, was = %row.status, "the contrary is said of a refund than was said before: an operator has to look");
                    metrics::counter!("gateway_contradictions_total", "gateway" => row.gateway).increment(1);
                }
                return Ok((row.status, None));
            }
            let amount = Money::of(row.amount_minor, row.currency.parse()?);
            let mut writes = Writes::of(tx);
            let mut news = Vec::new();
            row.checks += 1;
            match outcome {
                RefundOutcome::Pending | RefundOutcome::Unknown => {
                    row.next_check_at = rules::next_check(row.created_at, row.created_at, row.checks, now);
                    if row.next_check_at.is_none() {
                        tracing::error!(refund = %row.id, gateway = row.gateway, "a gateway never said what became of a refund: it stays open until an operator has looked");
                    }
                }
                RefundOutcome::Succeeded => {
                    row.status = RefundStatus::Succeeded;
                    let mut entry = Entry::new(ledger::refund_sent(amount)?);
                    entry.payment = Some(row.payment_id);
                    entry.reason = reason.map(str::to_owned);
                    books::post(&mut writes, scope, account, vec![entry], now);
                }
                RefundOutcome::Failed { detail } => {
                    row.status = RefundStatus::Failed;
                    row.detail = Some(detail.chars().take(500).collect());
                    let mut entry = Entry::new(if came_back {
                        ledger::refund_came_back(amount)?
                    } else {
                        ledger::refund_failed(amount)?
                    });
                    entry.payment = Some(row.payment_id);
                    entry.reason = reason.map(str::to_owned);
                    let movement = Movement {
                        id: ids::new_id(),
                        transaction: entry.id,
                        action: WalletAction::Refund,
                        details: if came_back {
                            "It came back from the payer's bank".to_owned()
                        } else {
                            "The gateway did not send it back".to_owned()
                        },
                        cash_minor: amount.minor(),
                        promotional_minor: 0,
                        order: None,
                    };
                    books::post(&mut writes, scope, account, vec![entry], now);
                    books::move_wallet(&mut writes, scope, &wallet, vec![movement], now)?;
                    refunds::reserve(&mut writes, scope, row.capture_id, -amount.minor());
                    news.push(News::of(EventType::WalletCredited).payment(row.payment_id).wallet(wallet.id));
                }
            }
            if row.status != RefundStatus::Pending {
                row.completed_at = Some(now);
                row.next_check_at = None;
            }
            let status = row.status;
            refunds::update(&mut writes, scope, row);
            event_log::append(&mut writes, scope, account, &news, now)?;
            Ok((status, writes.send(tx).await?.map(|newest| (account, newest))))
        })
        .await?;
    if let Some((account, newest)) = newest {
        app.hub.wake(account, newest);
    }
    Ok(status)
}
