//! The payment history and the credit history: what is looked for in them, and their rows as an export shows them.

use entity::enums::{FundsKind, PaymentMethod, PaymentPurpose, PaymentStatus, WalletAction};
use entity::{invoice, order, order_item, payment, product, wallet_entry};
use sea_orm::sea_query::{Alias, ColumnRef, Condition, Expr, ExprTrait, Func, IntoColumnRef, Query, SelectStatement};
use sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use super::page::{self, Page, Slice};
use super::search::containing;
use super::{Scope, payments, wallets};
use crate::domain::history::Period;
use crate::error::Error;

const ORDER: &str = "order_code";
const INVOICE: &str = "invoice_code";

/// What is looked for in the payment history. What is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PaymentFilter {
    /// In one of these states; none is all.
    pub statuses: Vec<PaymentStatus>,
    /// For one of these purposes; none is all.
    pub purposes: Vec<PaymentPurpose>,
    /// Made in one of these ways; none is all.
    pub methods: Vec<PaymentMethod>,
    /// Through the gateway with this code.
    pub gateway: Option<String>,
    /// For an order of the product with this code.
    pub product: Option<String>,
    /// Begun within.
    pub period: Period,
    /// With this text in the code or the details, in any case.
    pub text: Option<String>,
}

/// What is looked for in the credit history. What is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EntryFilter {
    /// Of one of these actions; none is all.
    pub actions: Vec<WalletAction>,
    /// Which moved this part of the wallet.
    pub part: Option<FundsKind>,
    /// For an order of the product with this code.
    pub product: Option<String>,
    /// Written within.
    pub period: Period,
    /// With this text in the details, in any case.
    pub text: Option<String>,
}

/// The payments that a filter lets through.
pub(super) fn matching_payments(filter: &PaymentFilter) -> Condition {
    use payment::{Column, Entity};
    let column = |column: Column| Expr::col((Entity, column));
    let mut all = within(&filter.period, (Entity, Column::CreatedAt));
    all = one_of(
        all,
        column(Column::Status),
        filter.statuses.iter().map(|it| it.as_str()),
    );
    all = one_of(
        all,
        column(Column::Purpose),
        filter.purposes.iter().map(|it| it.as_str()),
    );
    all = one_of(all, column(Column::Method), filter.methods.iter().map(|it| it.as_str()));
    if let Some(gateway) = &filter.gateway {
        all = all.add(column(Column::Gateway).eq(gateway.as_str()));
    }
    if let Some(code) = &filter.product {
        all = all.add(of_product(code, (Entity, Column::OrderId)));
    }
    if let Some(text) = &filter.text {
        // Both are written by us, in English.
        let small = |of: Column| Expr::expr(Func::lower(column(of)));
        all = all.add(
            Condition::any()
                .add(small(Column::Code).like(containing(text)))
                .add(small(Column::Details).like(containing(text))),
        );
    }
    all
}

/// The lines of a wallet's history that a filter lets through.
pub(super) fn matching_entries(filter: &EntryFilter) -> Condition {
    use wallet_entry::{Column, Entity};
    let column = |column: Column| Expr::col((Entity, column));
    let mut all = within(&filter.period, (Entity, Column::CreatedAt));
    all = one_of(all, column(Column::Action), filter.actions.iter().map(|it| it.as_str()));
    if let Some(part) = filter.part {
        let moved = match part {
            FundsKind::Cash => Column::CashMinor,
            FundsKind::Promotional => Column::PromotionalMinor,
        };
        all = all.add(column(moved).ne(0));
    }
    if let Some(code) = &filter.product {
        all = all.add(of_product(code, (Entity, Column::OrderId)));
    }
    if let Some(text) = &filter.text {
        all = all.add(column(Column::SearchText).like(containing(text)));
    }
    all
}

fn within(period: &Period, at: impl IntoColumnRef) -> Condition {
    let at: ColumnRef = at.into_column_ref();
    let mut all = Condition::all();
    if let Some(from) = period.from {
        all = all.add(Expr::col(at.clone()).gte(from));
    }
    if let Some(to) = period.to {
        all = all.add(Expr::col(at).lt(to));
    }
    all
}

fn one_of(all: Condition, column: Expr, words: impl ExactSizeIterator<Item = &'static str>) -> Condition {
    if words.len() == 0 {
        all
    } else {
        all.add(column.is_in(words))
    }
}

/// Whether an order has an item of a product.
fn of_product(code: &str, order: impl IntoColumnRef) -> Expr {
    use order_item::{Column, Entity};
    let mut items = Query::select();
    items
        .expr(Expr::val(1))
        .from(Entity)
        .inner_join(
            product::Entity,
            Expr::col((product::Entity, product::Column::Id)).equals((Entity, Column::ProductId)),
        )
        .and_where(Expr::col((Entity, Column::OrderId)).equals(order))
        .and_where(Expr::col((product::Entity, product::Column::Code)).eq(code));
    Expr::exists(items)
}

/// A payment as an export shows it.
#[derive(Clone, Debug)]
pub struct ExportedPayment {
    /// The payment.
    pub payment: payment::Model,
    /// The code of the order that it pays.
    pub order: Option<String>,
    /// The code of the invoice that it pays.
    pub invoice: Option<String>,
}

/// A page of an account's payments for an export, oldest first. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn exported_payments(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    filter: &PaymentFilter,
    page: &Page,
) -> Result<Slice<ExportedPayment>, Error> {
    let select = all_payments(scope, account, filter);
    let row = |row: &QueryResult| {
        Ok(ExportedPayment {
            payment: page::model(row)?,
            order: row.try_get("", ORDER)?,
            invoice: row.try_get("", INVOICE)?,
        })
    };
    page::read_all(db, select, &payments::oldest_first(), page, row).await
}

/// An account's payments that a filter lets through, with the codes of what they pay.
pub(super) fn all_payments(scope: &Scope, account: Uuid, filter: &PaymentFilter) -> SelectStatement {
    use payment::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .and_where(Expr::col((Entity, Column::AccountId)).eq(account))
        .cond_where(matching_payments(filter));
    with_order_code(&mut select, (Entity, Column::OrderId));
    select
        .left_join(
            invoice::Entity,
            Expr::col((invoice::Entity, invoice::Column::Id)).equals((Entity, Column::InvoiceId)),
        )
        .expr_as(Expr::col((invoice::Entity, invoice::Column::Code)), Alias::new(INVOICE));
    select
}

/// A line of a wallet's history as an export shows it.
#[derive(Clone, Debug)]
pub struct ExportedEntry {
    /// The line.
    pub entry: wallet_entry::Model,
    /// The code of the order that it belongs to.
    pub order: Option<String>,
}

/// A page of a wallet's history for an export, oldest first. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn exported_entries(
    db: &impl ConnectionTrait,
    scope: &Scope,
    wallet: Uuid,
    filter: &EntryFilter,
    page: &Page,
) -> Result<Slice<ExportedEntry>, Error> {
    let select = all_entries(scope, wallet, filter);
    let row = |row: &QueryResult| {
        Ok(ExportedEntry {
            entry: page::model(row)?,
            order: row.try_get("", ORDER)?,
        })
    };
    page::read_all(db, select, &wallets::oldest_first(), page, row).await
}

/// The lines of a wallet's history that a filter lets through, with the codes of their orders.
pub(super) fn all_entries(scope: &Scope, wallet: Uuid, filter: &EntryFilter) -> SelectStatement {
    use wallet_entry::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .and_where(Expr::col((Entity, Column::WalletId)).eq(wallet))
        .cond_where(matching_entries(filter));
    with_order_code(&mut select, (Entity, Column::OrderId));
    select
}

fn with_order_code(select: &mut SelectStatement, of: impl IntoColumnRef) {
    select
        .left_join(order::Entity, Expr::col((order::Entity, order::Column::Id)).equals(of))
        .expr_as(Expr::col((order::Entity, order::Column::Code)), Alias::new(ORDER));
}
