//! Credit that operators grant.

use entity::enums::{EventType, FundsKind, WalletAction, WalletKind};
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::money::{Currency, MAX_MINOR, Money, Sign};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{ledger, text};
use crate::error::Error;
use crate::ids;
use crate::store::event_log::{self, News};
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger::{self as books, Entry, Movement};
use crate::store::{Scope, accounts};

/// A grant of credit to an account.
#[derive(Clone, Debug, Serialize)]
pub struct Grant {
    /// Who gets it.
    pub account: Uuid,
    /// Cash or promotional.
    pub funds: FundsKind,
    /// How much, as exact decimal text in the account's currency.
    pub amount: String,
    /// Why, as the account's history and the books will show it.
    pub reason: String,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What a grant did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The line in the wallet's history.
    pub entry: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// Adds credit to an account's credit wallet, against adjustments.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with ACCOUNT_NOT_FOUND, INVALID_AMOUNT, TOO_MANY_DECIMALS,
/// AMOUNT_OUT_OF_RANGE, INVALID_TEXT, WALLET_LIMIT, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn grant(app: &App, scope: &Scope, input: Grant) -> Result<Granted, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let reason = text::line(&input.reason, text::MAX_REASON).map_err(|refusal| refusal.under("reason"))?;
    let account = accounts::by_ids(app.db.read(), scope, &[input.account])
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under("accountId"))?;
    let currency: Currency = account.currency.parse()?;
    let amount =
        Money::from_decimal_text(&input.amount, currency, Sign::Positive).map_err(|refusal| refusal.under("amount"))?;
    let now = app.clock.now();
    let entry_id = ids::new_id();

    let (granted, newest) = app
        .db
        .write("grant_credit", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: account.id,
                operation: "grant_credit",
                key: &input.idempotency_key,
            };
            if let Claim::Done(entry) = idempotency::claim(tx, scope, key, &input, entry_id, now).await? {
                return Ok((Granted { entry, replayed: true }, None));
            }
            let wallet = books::lock_wallet(tx, scope, account.id, WalletKind::Credit).await?;
            let (cash, promotional) = match input.funds {
                FundsKind::Cash => (amount.minor(), 0),
                FundsKind::Promotional => (0, amount.minor()),
            };
            // Both parts together, for together they are spent.
            if wallet.cash_minor + wallet.promotional_minor + cash + promotional > MAX_MINOR {
                return Err(
                    Refusal::new(RefusalCode::WalletLimit, "The wallet can't hold as much. Grant less.")
                        .under("amount")
                        .into(),
                );
            }
            let mut entry = Entry::new(ledger::grant(input.funds, amount)?);
            entry.reason = Some(reason.clone());
            let movement = Movement {
                id: entry_id,
                transaction: entry.id,
                action: WalletAction::Grant,
                details: reason.clone(),
                cash_minor: cash,
                promotional_minor: promotional,
                order: None,
            };
            let mut writes = Writes::of(tx);
            books::post(&mut writes, scope, account.id, vec![entry], now);
            books::move_wallet(&mut writes, scope, &wallet, vec![movement], now)?;
            let news = News::of(EventType::WalletCredited).wallet(wallet.id);
            event_log::append(&mut writes, scope, account.id, &[news], now)?;
            let newest = writes.send(tx).await?;
            Ok((
                Granted {
                    entry: entry_id,
                    replayed: false,
                },
                newest,
            ))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(account.id, newest);
    }
    Ok(granted)
}
