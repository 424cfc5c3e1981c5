//! Credit that partners move to their customers.

use std::collections::BTreeMap;

use entity::account;
use entity::credit_transfer;
use entity::enums::{EventType, WalletAction, WalletKind};
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
use crate::store::{Scope, accounts, transfers};

/// Credit to be moved.
#[derive(Clone, Debug, Serialize)]
pub struct TransferCredit {
    /// Whose it is: the partner's own account.
    pub from: Uuid,
    /// Whose it becomes: one of its customers.
    pub to: Uuid,
    /// How much, as exact decimal text in the accounts' currency.
    pub amount: String,
    /// What both histories say about it.
    pub note: Option<String>,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What moving it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The transfer.
    pub transfer: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// One side of a transfer.
struct Side {
    account: Uuid,
    transaction: Entry,
    amount_minor: i64,
    details: String,
    event: EventType,
}

/// Moves cash credit from a partner's own account to a customer's: two transactions in two books, at once or not at all.
///
/// Source: rule "Transfers" in ARCHITECTURE, section Books.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but a partner. Refused with ACCOUNT_NOT_FOUND, NOT_OWN_ACCOUNT, SAME_ACCOUNT,
/// CURRENCY_MISMATCH, INSUFFICIENT_CREDIT, WALLET_LIMIT, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_TEXT,
/// IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn transfer(app: &App, scope: &Scope, input: TransferCredit) -> Result<Transferred, Error> {
    let Scope::Partner { own, .. } = scope else {
        return Err(Error::Forbidden("the role PARTNER"));
    };
    let note = input.note.as_deref().map(|note| text::line(note, text::MAX_REASON));
    let note = note.transpose().map_err(|refusal| refusal.under("note"))?;
    let (from, to) = sides(app, scope, *own, &input).await?;
    let currency: Currency = from.currency.parse()?;
    let amount =
        Money::from_decimal_text(&input.amount, currency, Sign::Positive).map_err(|refusal| refusal.under("amount"))?;
    let now = app.clock.now();
    let id = ids::new_id();

    let (transferred, told) = app
        .db
        .write("transfer_credit", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: from.id,
                operation: "transfer_credit",
                key: &input.idempotency_key,
            };
            if let Claim::Done(transfer) = idempotency::claim(tx, scope, key, &input, id, now).await? {
                let earlier = Transferred {
                    transfer,
                    replayed: true,
                };
                return Ok((earlier, Vec::new()));
            }
            // In one order for all: two transfers against each other wait, and never in a circle.
            let mut wallets = BTreeMap::new();
            for account in [from.id.min(to.id), from.id.max(to.id)] {
                wallets.insert(
                    account,
                    books::lock_wallet(tx, scope, account, WalletKind::Credit).await?,
                );
            }
            let wallet_of = |account: &account::Model| wallets.get(&account.id).ok_or(Error::NotFound("wallet"));
            let (giving, taking) = (wallet_of(&from)?, wallet_of(&to)?);
            let spendable = giving
                .cash_minor
                .min(giving.cash_minor + giving.promotional_minor - giving.held_minor);
            if spendable < amount.minor() {
                return Err(Refusal::insufficient_credit(amount, Money::of(spendable, currency)).into());
            }
            if taking.cash_minor + taking.promotional_minor + amount.minor() > MAX_MINOR {
                let message = "The customer's wallet can't hold as much. Move less.";
                return Err(Refusal::new(RefusalCode::WalletLimit, message).under("amount").into());
            }
            let said = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            let halves = [
                Side {
                    account: from.id,
                    transaction: Entry::new(ledger::transfer_out(amount)?),
                    amount_minor: -amount.minor(),
                    details: format!("Transfer to {}{said}", to.code),
                    event: EventType::WalletDebited,
                },
                Side {
                    account: to.id,
                    transaction: Entry::new(ledger::transfer_in(amount)?),
                    amount_minor: amount.minor(),
                    details: format!("Transfer from {}{said}", from.code),
                    event: EventType::WalletCredited,
                },
            ];
            let [out, incoming] = [&halves[0], &halves[1]].map(|half| half.transaction.id);
            let mut writes = Writes::of(tx);
            let mut told = Vec::with_capacity(halves.len());
            for half in halves {
                let wallet = wallets.get(&half.account).ok_or(Error::NotFound("wallet"))?;
                let mut entry = half.transaction;
                entry.reason.clone_from(&note);
                let movement = Movement {
                    id: ids::new_id(),
                    transaction: entry.id,
                    action: WalletAction::Transfer,
                    details: half.details,
                    cash_minor: half.amount_minor,
                    promotional_minor: 0,
                    order: None,
                };
                books::post(&mut writes, scope, half.account, vec![entry], now);
                books::move_wallet(&mut writes, scope, wallet, vec![movement], now)?;
                told.push((half.account, News::of(half.event).wallet(wallet.id)));
            }
            let row = credit_transfer::Model {
                id,
                from_account_id: from.id,
                to_account_id: to.id,
                amount_minor: amount.minor(),
                currency: from.currency.clone(),
                note: note.clone(),
                from_transaction_id: out,
                to_transaction_id: incoming,
                principal: scope.principal().to_owned(),
                created_at: now,
            };
            transfers::add(&mut writes, scope, row);
            let counts = told.iter().map(|(account, _)| (*account, 1)).collect();
            let sequences = event_log::take_sequences(tx, scope, &counts).await?;
            let told = told.into_iter().map(|(account, news)| {
                let place = sequences.get(&account).copied().unwrap_or_default();
                news.event(account, place, now)
            });
            let told: Vec<_> = told.collect();
            event_log::write_at(&mut writes, scope, &told);
            writes.send(tx).await?;
            let done = Transferred {
                transfer: id,
                replayed: false,
            };
            Ok((done, told))
        })
        .await?;
    app.hub.tell(&told);
    Ok(transferred)
}

/// The two accounts, if the one is the partner's own and the other one of its customers.
async fn sides(
    app: &App,
    scope: &Scope,
    own: Option<Uuid>,
    input: &TransferCredit,
) -> Result<(account::Model, account::Model), Error> {
    let mut found = accounts::by_ids(app.db.read(), scope, &[input.from, input.to]).await?;
    let mut take = |id: Uuid, field: &str| {
        let place = found.iter().position(|account| account.id == id);
        let none = || Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under(field);
        place.map(|place| found.swap_remove(place)).ok_or_else(none)
    };
    let from = take(input.from, "fromAccountId")?;
    if input.from == input.to {
        let message = "The two accounts are the same: there is nothing to move.";
        return Err(Refusal::new(RefusalCode::SameAccount, message)
            .under("toAccountId")
            .into());
    }
    let to = take(input.to, "toAccountId")?;
    if own != Some(from.id) {
        let message = "A partner moves the credit of its own account only.";
        return Err(Refusal::new(RefusalCode::NotOwnAccount, message)
            .under("fromAccountId")
            .into());
    }
    if from.currency != to.currency {
        let message = format!(
            "Your credit is in {}, the customer's in {}.",
            from.currency, to.currency
        );
        return Err(Refusal::new(RefusalCode::CurrencyMismatch, message)
            .under("toAccountId")
            .into());
    }
    Ok((from, to))
}
