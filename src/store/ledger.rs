//! The books and the wallets that must agree with them. The only writes of money there are.

use chrono::{DateTime, Utc};
use entity::enums::{HoldStatus, WalletAction, WalletKind};
use entity::{hold, ledger_posting, ledger_transaction, wallet, wallet_entry};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QuerySelect, QueryTrait as _};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::domain::ledger::Transaction;
use crate::error::Error;
use crate::ids;

/// A balanced movement to post, and what it belongs to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key, so that a wallet's history can name it in the same transaction.
    pub id: Uuid,
    /// The balanced legs, and why.
    pub transaction: Transaction,
    /// The order it belongs to.
    pub order: Option<Uuid>,
    /// The order item it belongs to.
    pub order_item: Option<Uuid>,
    /// The payment it belongs to.
    pub payment: Option<Uuid>,
    /// The invoice it belongs to.
    pub invoice: Option<Uuid>,
    /// The resource it belongs to.
    pub resource: Option<Uuid>,
    /// What an operator gave as the reason.
    pub reason: Option<String>,
}

impl Entry {
    /// A movement that belongs to nothing yet.
    #[must_use]
    pub fn new(transaction: Transaction) -> Self {
        Self {
            id: ids::new_id(),
            transaction,
            order: None,
            order_item: None,
            payment: None,
            invoice: None,
            resource: None,
            reason: None,
        }
    }
}

/// Posts movements. Those without a leg (nothing was charged) are left out.
pub fn post(writes: &mut Writes, scope: &Scope, account: Uuid, entries: Vec<Entry>, now: DateTime<Utc>) {
    let mut transactions = Vec::with_capacity(entries.len());
    let mut postings = Vec::with_capacity(entries.len() * 4);
    for entry in entries {
        let before = postings.len();
        for (position, posting) in (0_i32..).zip(entry.transaction.postings()) {
            postings.push(ledger_posting::Model {
                transaction_id: entry.id,
                position,
                account_id: account,
                ledger_account: posting.account,
                amount_minor: posting.amount_minor,
            });
        }
        if postings.len() > before {
            transactions.push(ledger_transaction::Model {
                id: entry.id,
                account_id: account,
                cause: entry.transaction.cause(),
                currency: entry.transaction.currency().code().to_owned(),
                order_id: entry.order,
                order_item_id: entry.order_item,
                payment_id: entry.payment,
                invoice_id: entry.invoice,
                resource_id: entry.resource,
                principal: scope.principal().to_owned(),
                reason: entry.reason,
                occurred_at: now,
            });
        }
    }
    insert::<ledger_transaction::ActiveModel, _>(writes, transactions);
    insert::<ledger_posting::ActiveModel, _>(writes, postings);
}

/// A wallet, locked until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] when the account has none of this kind, or is not the caller's.
pub async fn lock_wallet(tx: &Tx, scope: &Scope, account: Uuid, kind: WalletKind) -> Result<wallet::Model, Error> {
    let mut query = wallet::Entity::find()
        .filter(scope.accounts((wallet::Entity, wallet::Column::AccountId)))
        .filter(wallet::Column::AccountId.eq(account))
        .filter(wallet::Column::Kind.eq(kind));
    if db::locks_rows(sea_orm::ConnectionTrait::get_database_backend(&**tx)) {
        query = query.lock_exclusive();
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("wallet"))
}

/// One line of a wallet's history to be written.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Its key.
    pub id: Uuid,
    /// The ledger transaction that it shows.
    pub transaction: Uuid,
    /// What happened.
    pub action: WalletAction,
    /// What it was for, in words.
    pub details: String,
    /// What it does to the cash part; negative is spent.
    pub cash_minor: i64,
    /// What it does to the promotional part.
    pub promotional_minor: i64,
    /// The order it belongs to.
    pub order: Option<Uuid>,
}

/// Moves money of a wallet and writes its history, a line for each movement in their order. The condition is checked by
/// the database in the same statement that moves the money: neither part falls below zero, and what is held stays. A
/// wallet that is not as it was read undoes the whole. Answers the wallet as it then is.
///
/// # Errors
/// [`Error::Internal`] when a balance would overflow.
pub fn move_wallet(
    writes: &mut Writes,
    scope: &Scope,
    wallet: &wallet::Model,
    movements: Vec<Movement>,
    now: DateTime<Utc>,
) -> Result<wallet::Model, Error> {
    change_wallet(writes, scope, wallet, movements, 0, now)
}

/// Moves money of a wallet as [`move_wallet`] does, and changes by so much what is held of it: a hold that is made finds
/// that much available, or undoes the whole; one that ends lets it be spent by the movements. Answers the wallet as it
/// then is.
///
/// # Errors
/// [`Error::Internal`] when a balance would overflow.
pub fn change_wallet(
    writes: &mut Writes,
    _scope: &Scope,
    wallet: &wallet::Model,
    movements: Vec<Movement>,
    held_minor: i64,
    now: DateTime<Utc>,
) -> Result<wallet::Model, Error> {
    if movements.is_empty() && held_minor == 0 {
        return Ok(wallet.clone());
    }
    let after = |before: i64, change: i64| {
        before
            .checked_add(change)
            .ok_or_else(|| Error::internal("a wallet's balance overflows"))
    };
    let (mut sequence, mut cash_after, mut promotional_after) =
        (wallet.entry_sequence, wallet.cash_minor, wallet.promotional_minor);
    let mut lines = Vec::with_capacity(movements.len());
    for movement in movements {
        sequence = after(sequence, 1)?;
        cash_after = after(cash_after, movement.cash_minor)?;
        promotional_after = after(promotional_after, movement.promotional_minor)?;
        lines.push(wallet_entry::Model {
            id: movement.id,
            wallet_id: wallet.id,
            account_id: wallet.account_id,
            sequence,
            transaction_id: movement.transaction,
            action: movement.action,
            search_text: movement.details.to_lowercase(),
            details: movement.details,
            cash_minor: movement.cash_minor,
            promotional_minor: movement.promotional_minor,
            cash_after_minor: cash_after,
            promotional_after_minor: promotional_after,
            order_id: movement.order,
            created_at: now,
        });
    }
    let column = |column: wallet::Column| Expr::col(column);
    let (cash, promotional) = (
        after(cash_after, -wallet.cash_minor)?,
        after(promotional_after, -wallet.promotional_minor)?,
    );
    let total = after(cash, promotional)?;
    let mut enough = Condition::all()
        .add(column(wallet::Column::CashMinor).add(cash).gte(0))
        .add(column(wallet::Column::PromotionalMinor).add(promotional).gte(0));
    let least = after(-total, held_minor)?;
    if least > 0 {
        enough = enough.add(
            column(wallet::Column::CashMinor)
                .add(column(wallet::Column::PromotionalMinor))
                .sub(column(wallet::Column::HeldMinor))
                .gte(least),
        );
    }
    if held_minor < 0 {
        enough = enough.add(column(wallet::Column::HeldMinor).gte(-held_minor));
    }
    let change = wallet::Entity::update_many()
        .col_expr(wallet::Column::CashMinor, column(wallet::Column::CashMinor).add(cash))
        .col_expr(
            wallet::Column::PromotionalMinor,
            column(wallet::Column::PromotionalMinor).add(promotional),
        )
        .col_expr(
            wallet::Column::HeldMinor,
            column(wallet::Column::HeldMinor).add(held_minor),
        )
        .col_expr(
            wallet::Column::EntrySequence,
            column(wallet::Column::EntrySequence).add(sequence - wallet.entry_sequence),
        )
        .col_expr(wallet::Column::Version, column(wallet::Column::Version).add(1))
        .filter(wallet::Column::Id.eq(wallet.id))
        .filter(wallet::Column::Version.eq(wallet.version))
        // A store that was set back may come to the same version in another way.
        .filter(wallet::Column::CashMinor.eq(wallet.cash_minor))
        .filter(wallet::Column::PromotionalMinor.eq(wallet.promotional_minor))
        .filter(wallet::Column::HeldMinor.eq(wallet.held_minor))
        .filter(wallet::Column::EntrySequence.eq(wallet.entry_sequence))
        .filter(enough);
    writes.guarded(change.into_query());
    insert::<wallet_entry::ActiveModel, _>(writes, lines);
    Ok(wallet::Model {
        cash_minor: cash_after,
        promotional_minor: promotional_after,
        held_minor: after(wallet.held_minor, held_minor)?,
        entry_sequence: sequence,
        version: wallet.version + 1,
        ..wallet.clone()
    })
}

/// Adds holds to what is written; what is held of the wallet is changed by [`change_wallet`].
pub fn add_holds(writes: &mut Writes, _scope: &Scope, rows: Vec<hold::Model>) {
    insert::<hold::ActiveModel, _>(writes, rows);
}

/// Ends an open hold. One that is not open any more undoes the whole.
pub fn end_hold(writes: &mut Writes, _scope: &Scope, row: &hold::Model, status: HoldStatus, now: DateTime<Utc>) {
    writes.guarded(
        hold::Entity::update_many()
            .col_expr(hold::Column::Status, Expr::val(status.as_str()))
            .col_expr(hold::Column::EndedAt, Expr::val(now))
            .filter(hold::Column::Id.eq(row.id))
            .filter(hold::Column::Status.eq(HoldStatus::Open))
            .into_query(),
    );
}

/// The open holds of these payments.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn open_holds(tx: &Tx, scope: &Scope, payments: &[Uuid]) -> Result<Vec<hold::Model>, Error> {
    if payments.is_empty() {
        return Ok(Vec::new());
    }
    Ok(hold::Entity::find()
        .filter(scope.accounts((hold::Entity, hold::Column::AccountId)))
        .filter(hold::Column::PaymentId.is_in(payments.iter().copied()))
        .filter(hold::Column::Status.eq(HoldStatus::Open))
        .all(&**tx)
        .await?)
}
