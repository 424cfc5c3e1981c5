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

/// Writes what a gateway said of a refund, or what an operator saw of it there, with their `reason`, and answers where it stands now. What failed stays
/// so. What had succeeded can come back to the gateway days later: then it is the customer's credit again.
///
/// Source: rule "Refunds to the source" in ARCHITECTURE, section Buying.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer; nothing was written.
pub(in crate::commands) async fn settle_refund(
    app: &App,
    scope: &Scope,
    refund: Uuid,
    outcome: &RefundOutcome,
    reason: Option<&str>,
) -> Result<RefundStatus, Error> {
    let now = app.clock.now();
    let (status, newest) = app
        .db
        .write("settle_refund", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let found = refunds::by_ids(&**tx, scope, &[refund]).await?;
            let account = found.first().map(|row| row.account_id).ok_or(Error::NotFound("refund"))?;
            let wallet = books::lock_wallet(tx, scope, account, WalletKind::Credit).await?;
            let mut row = refunds::lock(tx, scope, refund).await?;
            let came_back = row.status == RefundStatus::Succeeded && matches!(outcome, RefundOutcome::Failed { .. });
            if row.status != RefundStatus::Pending && !came_back {
                if row.status == RefundStatus::Failed && *outcome == RefundOutcome::Succeeded {
                    tracing::error!(refund = %row.id, gateway = row.gateway, "a refund that had failed was sent, and the customer has it as credit too: an operator has to look");
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
