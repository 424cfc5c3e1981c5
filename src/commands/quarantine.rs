//! What becomes of money that does not fit: an operator has looked, and decides.

use chrono::{DateTime, Utc};
use entity::enums::{EventType, QuarantineStatus, WalletAction, WalletKind};
use uuid::Uuid;

use crate::app::App;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::{MAX_MINOR, Money};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{ledger, text};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::{Scope, accounts, quarantine};

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The customer gets it as credit.
    Credit,
    /// It was sent back to its payer, outside of this gateway.
    Returned,
}

/// A decision over money in quarantine.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// Which.
    pub quarantine: Uuid,
    /// What becomes of it.
    pub decision: Decision,
    /// Whose it is, where nobody knew; needed to give it to somebody.
    pub account: Option<Uuid>,
    /// Why, as the books will show it.
    pub reason: String,
}

/// Ends a quarantine. The money is its own key: the same decision again changes nothing, another one is refused.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with QUARANTINE_NOT_FOUND, QUARANTINE_OWNED, QUARANTINE_RESOLVED,
/// CURRENCY_MISMATCH, WALLET_LIMIT, INVALID_TEXT.
pub async fn resolve(app: &App, scope: &Scope, input: Resolve) -> Result<(), Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let reason = text::line(&input.reason, text::MAX_REASON).map_err(|refusal| refusal.under("reason"))?;
    let none = || Refusal::new(RefusalCode::QuarantineNotFound, "There is no such money.").under("quarantineId");
    let found = quarantine::by_ids(app.db.read(), scope, &[input.quarantine]).await?;
    let known = found.first().map(|row| row.account_id).ok_or_else(none)?;
    if let (Some(known), Some(named)) = (known, input.account)
        && known != named
    {
        return Err(of_another());
    }
    let Some(account) = known.or(input.account) else {
        return unowned(app, scope, &input, &reason).await;
    };
    let owner = accounts::by_ids(app.db.read(), scope, &[account]).await?;
    let owner = owner.into_iter().next().ok_or(Error::NotFound("account"))?;
    let now = app.clock.now();
    let status = match input.decision {
        Decision::Credit => QuarantineStatus::Credited,
        Decision::Returned => QuarantineStatus::Returned,
    };
    let newest = app
        .db
        .write("resolve_quarantine", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let wallet = books::lock_wallet(tx, scope, account, WalletKind::Credit).await?;
            let mut row = quarantine::lock(tx, scope, input.quarantine).await?;
            if row.account_id.is_some_and(|given| given != account) {
                return Err(of_another());
            }
            if row.status == status {
                return Ok(None);
            }
            if row.status != QuarantineStatus::Open {
                let message = format!("This money is {} already.", row.status);
                return Err(Refusal::new(RefusalCode::QuarantineResolved, message)
                    .under("quarantineId")
                    .into());
            }
            // Booked in the account's currency when it came, whatever it was; the row tells which.
            let amount = Money::of(row.amount_minor, owner.currency.parse()?);
            let mut writes = Writes::of(tx);
            let mut news = Vec::new();
            // What nobody's books had is booked now.
            let transaction = match (input.decision, known) {
                (Decision::Returned, None) => return decide(tx, scope, row, status, &reason, now).await.map(|()| None),
                (Decision::Returned, Some(_)) => ledger::quarantine_returned(amount)?,
                (Decision::Credit, None) => ledger::top_up(amount)?,
                (Decision::Credit, Some(_)) => ledger::quarantine_credited(amount)?,
            };
            row.account_id = Some(account);
            let mut entry = Entry::new(transaction);
            entry.payment = row.payment_id;
            entry.reason = Some(reason.clone());
            if input.decision == Decision::Credit {
                if row.currency != owner.currency {
                    let message = format!(
                        "It is {} and the account has {}: send it back.",
                        row.currency, owner.currency
                    );
                    return Err(Refusal::new(RefusalCode::CurrencyMismatch, message)
                        .under("decision")
                        .into());
                }
                if wallet.cash_minor + wallet.promotional_minor + row.amount_minor > MAX_MINOR {
                    let message = "The wallet can't hold as much. Send it back.";
                    return Err(Refusal::new(RefusalCode::WalletLimit, message).under("decision").into());
                }
                let movement = Movement {
                    id: ids::new_id(),
                    transaction: entry.id,
                    action: WalletAction::TopUp,
                    details: reason.clone(),
                    cash_minor: row.amount_minor,
                    promotional_minor: 0,
                    order: None,
                };
                books::post(&mut writes, scope, account, vec![entry], now);
                books::move_wallet(&mut writes, scope, &wallet, vec![movement], now)?;
                news.push(News::of(EventType::WalletCredited).wallet(wallet.id));
            } else {
                books::post(&mut writes, scope, account, vec![entry], now);
            }
            row.status = status;
            row.resolved_at = Some(now);
            row.resolved_by = Some(scope.principal().to_owned());
            row.resolution = Some(reason.clone());
            quarantine::update(&mut writes, scope, row);
            event_log::append(&mut writes, scope, account, &news, now)?;
            writes.send(tx).await
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(account, newest);
    }
    Ok(())
}

/// The money has an owner, and another one was named.
fn of_another() -> Error {
    let message =
        "This money is another account's than the one that is named. Leave the account out to decide over it.";
    Refusal::new(RefusalCode::QuarantineOwned, message)
        .under("accountId")
        .into()
}

/// Ends a quarantine of money that stays nobody's: it was sent back.
async fn unowned(app: &App, scope: &Scope, input: &Resolve, reason: &str) -> Result<(), Error> {
    if input.decision == Decision::Credit {
        let message = "Nobody knows whose money this is. Name the account that it is to be given to.";
        return Err(Refusal::new(RefusalCode::AccountNotFound, message)
            .under("accountId")
            .into());
    }
    let now = app.clock.now();
    app.db
        .write("return_quarantine", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let row = quarantine::lock(tx, scope, input.quarantine).await?;
            match row.status {
                QuarantineStatus::Returned => Ok(()),
                QuarantineStatus::Credited => {
                    let message = format!("This money is {} already.", row.status);
                    Err(Refusal::new(RefusalCode::QuarantineResolved, message)
                        .under("quarantineId")
                        .into())
                }
                QuarantineStatus::Open => decide(tx, scope, row, QuarantineStatus::Returned, reason, now).await,
            }
        })
        .await
}

/// Writes a decision that moves nothing in the books.
async fn decide(
    tx: &Tx,
    scope: &Scope,
    mut row: entity::quarantine::Model,
    status: QuarantineStatus,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    row.status = status;
    row.resolved_at = Some(now);
    row.resolved_by = Some(scope.principal().to_owned());
    row.resolution = Some(reason.to_owned());
    let mut writes = Writes::of(tx);
    quarantine::update(&mut writes, scope, row);
    writes.send(tx).await?;
    Ok(())
}
