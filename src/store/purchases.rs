//! What a purchase writes: quotes, orders, items, payments, resources, their paid periods and invoices. Rows are
//! collected and written table by table, so that what an order costs in statements does not grow with its items.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::enums::{CodeKind, OrderItemStatus, OrderStatus, PeriodStatus, QuoteStatus, RedemptionStatus, WalletKind};
use entity::{
    account, coupon, coupon_redemption, credit_note, credit_note_line, invoice, invoice_line, order, order_item,
    paid_period, payment, product, quote, resource, resource_tag, schedule_step, wallet, webhook_delivery,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoTableRef as _, LockType, OnConflict, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult as _,
    IntoActiveModel, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::billing_addresses;
use super::deliveries;
use super::insert::{insert, still};
use super::page;
use super::remembered::Purse;
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::ids;

/// Rows to be written together, each table in one statement, parents before children.
#[derive(Debug, Default)]
pub struct Rows {
    /// Orders.
    pub orders: Vec<order::Model>,
    /// Their items.
    pub items: Vec<order_item::Model>,
    /// Their payments.
    pub payments: Vec<payment::Model>,
    /// New resources.
    pub resources: Vec<resource::Model>,
    /// Tags of new resources.
    pub tags: Vec<resource_tag::Model>,
    /// Paid periods.
    pub periods: Vec<paid_period::Model>,
    /// Invoices.
    pub invoices: Vec<invoice::Model>,
    /// Their lines.
    pub lines: Vec<invoice_line::Model>,
    /// Credit notes.
    pub credit_notes: Vec<credit_note::Model>,
    /// Their lines.
    pub credit_note_lines: Vec<credit_note_line::Model>,
    /// What products' services are told to do.
    pub calls: Vec<webhook_delivery::Model>,
    /// What became of steps of schedules that are not followed any more.
    pub steps: Vec<schedule_step::Model>,
    /// Paid periods that are closed, and when. One that was closed meanwhile undoes the whole.
    pub closed: Vec<(Uuid, DateTime<Utc>)>,
    /// Invoices that are reduced, and by how much. One that has less left undoes the whole.
    pub credited: Vec<(Uuid, i64)>,
    /// Orders that waited, as they are now that they are paid. One that waits no more undoes the whole.
    pub paid_orders: Vec<order::Model>,
    /// Their items, likewise.
    pub paid_items: Vec<order_item::Model>,
    /// Payments as they now are. One that was changed since it was read undoes the whole.
    pub settled: Vec<payment::Model>,
    /// Resources as they now are. One that was changed since it was read undoes the whole.
    pub changed: Vec<resource::Model>,
}

impl Rows {
    /// Adds them all to what is written.
    ///
    /// # Errors
    /// [`Error::Internal`] when a row does not fit its table.
    pub fn write(self, writes: &mut Writes, scope: &Scope) -> Result<(), Error> {
        insert::<order::ActiveModel, _>(writes, self.orders);
        insert::<order_item::ActiveModel, _>(writes, self.items);
        insert::<payment::ActiveModel, _>(writes, self.payments);
        insert::<resource::ActiveModel, _>(writes, self.resources);
        insert::<resource_tag::ActiveModel, _>(writes, self.tags);
        insert::<paid_period::ActiveModel, _>(writes, self.periods);
        billing_addresses::insert_invoices(writes, scope, &self.invoices)?;
        insert::<invoice_line::ActiveModel, _>(writes, self.lines);
        insert::<credit_note::ActiveModel, _>(writes, self.credit_notes);
        insert::<credit_note_line::ActiveModel, _>(writes, self.credit_note_lines);
        insert::<schedule_step::ActiveModel, _>(writes, self.steps);
        deliveries::add(writes, scope, self.calls);
        if let Some((_, at)) = self.closed.first() {
            let closing = paid_period::Entity::update_many()
                .col_expr(paid_period::Column::Status, Expr::val(PeriodStatus::Closed.as_str()))
                .col_expr(paid_period::Column::ClosedAt, Expr::val(*at))
                .filter(paid_period::Column::Id.is_in(self.closed.iter().map(|(id, _)| *id)))
                .filter(paid_period::Column::Status.eq(PeriodStatus::Paid));
            let rows = i64::try_from(self.closed.len()).unwrap_or(i64::MAX);
            writes.guarded_rows(closing.into_query(), rows);
        }
        for (invoice, amount) in self.credited {
            let reduced = Expr::col(invoice::Column::CreditedMinor).add(amount);
            let reducing = invoice::Entity::update_many()
                .col_expr(invoice::Column::CreditedMinor, reduced.clone())
                .filter(invoice::Column::Id.eq(invoice))
                .filter(reduced.lte(Expr::col(invoice::Column::TotalMinor)));
            writes.guarded(reducing.into_query());
        }
        for row in self.changed {
            update_resource(writes, scope, row);
        }
        for row in self.paid_orders {
            update_waiting_order(writes, scope, row);
        }
        for row in self.paid_items {
            let (id, version) = (row.id, row.version);
            let mut changed = row;
            changed.version = version + 1;
            let paying = order_item::Entity::update_many()
                .set(changed.into_active_model().reset_all())
                .filter(order_item::Column::Id.eq(id))
                .filter(order_item::Column::Status.eq(OrderItemStatus::AwaitingPayment))
                .filter(order_item::Column::Version.eq(version));
            writes.guarded(paying.into_query());
        }
        for row in self.settled {
            super::payments::update(writes, scope, row);
        }
        Ok(())
    }
}

/// Writes a quote. Written again, it stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn insert_quote(tx: &Tx, _scope: &Scope, row: quote::Model) -> Result<(), Error> {
    quote::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// A quote with whom it was made for and the wallet that can pay it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The quote.
    pub quote: quote::Model,
    /// Whose it is.
    pub account: account::Model,
    /// The account's credit wallet.
    pub wallet: wallet::Model,
    /// What else was read with them, where nothing was locked.
    pub seen: Option<Seen>,
}

/// What an order needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The products of the quote's items, by their codes.
    pub products: Arc<HashMap<String, product::Model>>,
    /// How far the account's documents of this year are numbered.
    pub numbers: HashMap<CodeKind, i64>,
}

const ACCOUNT: &str = "account_row_";
const WALLET: &str = "wallet_row_";
const PRODUCT: &str = "product_row_";
const NUMBERS: &str = "numbers";

/// A quote of the account, with the account and its credit wallet; quote and wallet are locked until the transaction
/// ends. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_purchase(tx: &Tx, scope: &Scope, account: Uuid, id: Uuid) -> Result<Option<Purchase>, Error> {
    let mut select = of_purchase(scope, account, id);
    if db::locks_rows(tx.get_database_backend()) {
        select.lock_with_tables(
            LockType::Update,
            [quote::Entity.into_table_ref(), wallet::Entity.into_table_ref()],
        );
    }
    let rows = page::rows(&**tx, &select, |row| purchase(row, None)).await?;
    Ok(rows.into_iter().next())
}

/// A quote of the account, with all that an order of it needs, as PostgreSQL can be asked for it at once: nothing is
/// locked, and what is written must be guarded by it. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn read_purchase(
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Purchase>, Error> {
    let mut select = of_purchase(scope, account, id);
    let document = Expr::col((quote::Entity, quote::Column::Document));
    // As an array, the products are found by their index; IN would look into the document for each product that there is.
    let is_bought = Expr::cust_with_exprs(
        "$1 = ANY (ARRAY(SELECT item ->> 'product_code' FROM jsonb_array_elements($2 -> 'items') AS item))",
        [Expr::col((product::Entity, product::Column::Code)), document],
    );
    select.left_join(product::Entity, is_bought);
    page::joined(&mut select, product::Entity, PRODUCT);
    select.expr_as(numbers_at(now), NUMBERS);
    let rows = tx.query_all(&select).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut products = HashMap::new();
    for row in &rows {
        if let Some(product) = product::Model::from_query_result_optional(row, PRODUCT)? {
            products.insert(product.code.clone(), product);
        }
    }
    let seen = Seen {
        products: Arc::new(products),
        numbers: numbers_of(first)?,
    };
    Ok(Some(purchase(first, Some(seen))?))
}

/// What an account pays from, as PostgreSQL can be asked for it at once; nothing is locked. Nothing for an account that has
/// no credit wallet, or that the caller may not see. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn purse(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Purse>, Error> {
    let mut select = page::whole(account::Entity);
    select
        .inner_join(
            wallet::Entity,
            Expr::col((wallet::Entity, wallet::Column::AccountId)).equals((account::Entity, account::Column::Id)),
        )
        .and_where(Expr::col((account::Entity, account::Column::Id)).eq(account))
        .and_where(Expr::col((wallet::Entity, wallet::Column::Kind)).eq(WalletKind::Credit.as_str()))
        .cond_where(scope.accounts((account::Entity, account::Column::Id)));
    page::joined(&mut select, wallet::Entity, WALLET);
    select.expr_as(numbers_at(now), NUMBERS);
    let Some(row) = db.query_one(&select).await? else {
        return Ok(None);
    };
    Ok(Some(Purse {
        wallet: wallet::Model::from_query_result(&row, WALLET)?,
        numbers: numbers_of(&row)?,
        account: page::model(&row)?,
    }))
}

/// How far the account's documents of the business year of `now` are numbered.
fn numbers_at(now: DateTime<Utc>) -> Expr {
    Expr::cust_with_exprs(
        "(SELECT json_object_agg(kind, last) FROM code_counter
           WHERE account_id = $1 AND year = extract(year from $2 at time zone $3)::int)",
        [
            Expr::col((account::Entity, account::Column::Id)),
            Expr::val(now),
            Expr::col((account::Entity, account::Column::Zone)),
        ],
    )
}

fn numbers_of(row: &QueryResult) -> Result<HashMap<CodeKind, i64>, Error> {
    let numbers: Option<serde_json::Value> = row.try_get("", NUMBERS)?;
    Ok(numbers.map(serde_json::from_value).transpose()?.unwrap_or_default())
}

/// Adds that the account and the products are still what an order was decided by, where that may have been read long ago;
/// else nothing of the whole is kept. They are not locked, here or by [`lock_purchase`]: what changes while the order is
/// being written is as if it had changed after it.
pub fn still_as_seen(writes: &mut Writes, _scope: &Scope, purchase: &Purchase) {
    let Some(seen) = &purchase.seen else { return };
    let told_meanwhile = |column: &account::Column| matches!(column, account::Column::EventSequence);
    still::<account::ActiveModel, _>(writes, purchase.account.clone(), told_meanwhile);
    for product in seen.products.values() {
        still::<product::ActiveModel, _>(writes, product.clone(), |_| false);
    }
}

fn of_purchase(scope: &Scope, account: Uuid, id: Uuid) -> SelectStatement {
    let mut select = page::whole(quote::Entity);
    select
        .inner_join(
            account::Entity,
            Expr::col((account::Entity, account::Column::Id)).equals((quote::Entity, quote::Column::AccountId)),
        )
        .inner_join(
            wallet::Entity,
            Expr::col((wallet::Entity, wallet::Column::AccountId)).equals((quote::Entity, quote::Column::AccountId)),
        )
        .and_where(Expr::col((quote::Entity, quote::Column::Id)).eq(id))
        .and_where(Expr::col((quote::Entity, quote::Column::AccountId)).eq(account))
        .and_where(Expr::col((wallet::Entity, wallet::Column::Kind)).eq(WalletKind::Credit.as_str()))
        .cond_where(scope.accounts((quote::Entity, quote::Column::AccountId)));
    page::joined(&mut select, account::Entity, ACCOUNT);
    page::joined(&mut select, wallet::Entity, WALLET);
    select
}

fn purchase(row: &QueryResult, seen: Option<Seen>) -> Result<Purchase, DbErr> {
    Ok(Purchase {
        quote: page::model(row)?,
        account: account::Model::from_query_result(row, ACCOUNT)?,
        wallet: wallet::Model::from_query_result(row, WALLET)?,
        seen,
    })
}

/// Notes which order a quote became. One that became another meanwhile undoes the whole.
pub fn close_quote(writes: &mut Writes, _scope: &Scope, quote: Uuid, order: Uuid) {
    writes.guarded(
        quote::Entity::update_many()
            .col_expr(quote::Column::Status, Expr::val(QuoteStatus::Ordered.as_str()))
            .col_expr(quote::Column::OrderId, Expr::val(order))
            .filter(quote::Column::Id.eq(quote))
            .filter(quote::Column::Status.eq(QuoteStatus::Open))
            .into_query(),
    );
}

/// Uses a coupon once for an order, when its limits still allow it, and answers whether they did. Its validity was asked
/// when the quote was made, and the quote fixes it. The
/// coupon's row is locked by the first statement, so that fifty orders at once never use it past a limit.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn redeem(
    tx: &Tx,
    _scope: &Scope,
    coupon: Uuid,
    account: Uuid,
    order: Uuid,
    amount_minor: i64,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let column = |column: coupon::Column| Expr::col((coupon::Entity, column));
    let done = coupon::Entity::update_many()
        .col_expr(coupon::Column::Redeemed, Expr::col(coupon::Column::Redeemed).add(1))
        .filter(coupon::Column::Id.eq(coupon))
        .filter(
            Condition::any()
                .add(coupon::Column::TotalLimit.is_null())
                .add(column(coupon::Column::Redeemed).lt(column(coupon::Column::TotalLimit))),
        )
        .exec_with_returning(&**tx)
        .await?;
    let Some(used) = done.into_iter().next() else {
        return Ok(false);
    };
    if let Some(limit) = used.per_account_limit
        && super::pricing::redemptions(&**tx, coupon, account).await? >= limit
    {
        return Ok(false);
    }
    let row = coupon_redemption::Model {
        id: ids::new_id(),
        coupon_id: coupon,
        account_id: account,
        order_id: order,
        amount_minor,
        status: RedemptionStatus::Redeemed,
        created_at: now,
        returned_at: None,
    };
    coupon_redemption::Entity::insert(row.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok(true)
}

/// Gives the use of a coupon back with its cancelled order. One that was given back meanwhile undoes the whole.
pub fn return_redemption(writes: &mut Writes, _scope: &Scope, coupon: Uuid, order: Uuid, now: DateTime<Utc>) {
    let returned = coupon_redemption::Entity::update_many()
        .col_expr(
            coupon_redemption::Column::Status,
            Expr::val(RedemptionStatus::Returned.as_str()),
        )
        .col_expr(coupon_redemption::Column::ReturnedAt, Expr::val(now))
        .filter(coupon_redemption::Column::OrderId.eq(order))
        .filter(coupon_redemption::Column::Status.eq(RedemptionStatus::Redeemed));
    writes.guarded(returned.into_query());
    let counted = coupon::Entity::update_many()
        .col_expr(coupon::Column::Redeemed, Expr::col(coupon::Column::Redeemed).sub(1))
        .filter(coupon::Column::Id.eq(coupon));
    writes.guarded(counted.into_query());
}

/// Gives a quote back that became an order which was cancelled: it may be ordered while it is good. One that became
/// another order undoes the whole.
pub fn reopen_quote(writes: &mut Writes, _scope: &Scope, quote: Uuid, order: Uuid) {
    writes.guarded(
        quote::Entity::update_many()
            .col_expr(quote::Column::Status, Expr::val(QuoteStatus::Open.as_str()))
            .col_expr(quote::Column::OrderId, Expr::val(None::<Uuid>))
            .filter(quote::Column::Id.eq(quote))
            .filter(quote::Column::OrderId.eq(order))
            .into_query(),
    );
}

/// An order that is being provisioned: its item, and all its items' states, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Task {
    /// The order.
    pub order: order::Model,
    /// The item.
    pub item: order_item::Model,
    /// Every item of the order with its state, this one's as it was read.
    pub states: Vec<(Uuid, OrderItemStatus)>,
}

/// A provisioning task of a product, with its order, locked; nothing when there is none or it is another product's.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_task(tx: &Tx, scope: &Scope, item: Uuid) -> Result<Option<Task>, Error> {
    let owner = order_item::Entity::find_by_id(item)
        .select_only()
        .column(order_item::Column::OrderId)
        .column(order_item::Column::ProductId)
        .into_tuple::<(Uuid, Uuid)>()
        .one(&**tx)
        .await?;
    let Some((order_id, product_id)) = owner else {
        return Ok(None);
    };
    let allowed = match scope {
        Scope::Operator { .. } => true,
        Scope::Product { product, .. } => entity::product::Entity::find_by_id(product_id)
            .filter(entity::product::Column::Code.eq(product.as_str()))
            .one(&**tx)
            .await?
            .is_some(),
        Scope::Account { .. } | Scope::Partner { .. } => false,
    };
    if !allowed {
        return Ok(None);
    }
    // The order first: two tasks of one order are reported one after the other, and the last one completes it.
    let mut query = order::Entity::find_by_id(order_id);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    let Some(order) = query.one(&**tx).await? else {
        return Ok(None);
    };
    let items = order_item::Entity::find()
        .filter(order_item::Column::OrderId.eq(order_id))
        .order_by_asc(order_item::Column::Position)
        .all(&**tx)
        .await?;
    let states = items.iter().map(|item| (item.id, item.status)).collect();
    Ok(items
        .into_iter()
        .find(|row| row.id == item)
        .map(|item| Task { order, item, states }))
}

/// Writes what a task came to: the item as it now is, and its order's state. An item that was reported meanwhile undoes
/// the whole.
pub fn finish_task(
    writes: &mut Writes,
    _scope: &Scope,
    item: &order_item::Model,
    order: &order::Model,
    status: OrderStatus,
    completed_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) {
    let item = order_item::Entity::update_many()
        .col_expr(order_item::Column::Status, Expr::val(item.status.as_str()))
        .col_expr(
            order_item::Column::FailureReason,
            Expr::val(item.failure_reason.clone()),
        )
        .col_expr(order_item::Column::CompletedAt, Expr::val(now))
        .col_expr(
            order_item::Column::Version,
            Expr::col(order_item::Column::Version).add(1),
        )
        .filter(order_item::Column::Id.eq(item.id))
        .filter(order_item::Column::Version.eq(item.version));
    writes.guarded(item.into_query());
    let order = order::Entity::update_many()
        .col_expr(order::Column::Status, Expr::val(status.as_str()))
        .col_expr(order::Column::CompletedAt, Expr::val(completed_at))
        .col_expr(order::Column::Version, Expr::col(order::Column::Version).add(1))
        .filter(order::Column::Id.eq(order.id));
    writes.guarded(order.into_query());
}

/// Writes an order that waited for its payment as it now is. One that waits no more, or that was changed since it was read,
/// undoes the whole.
pub fn update_waiting_order(writes: &mut Writes, _scope: &Scope, row: order::Model) {
    let (id, version) = (row.id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        order::Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(order::Column::Id.eq(id))
            .filter(order::Column::Status.eq(OrderStatus::AwaitingPayment))
            .filter(order::Column::Version.eq(version))
            .into_query(),
    );
}

/// A resource of any account, locked until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn lock_resource(tx: &Tx, _scope: &Scope, id: Uuid) -> Result<resource::Model, Error> {
    let mut query = resource::Entity::find_by_id(id);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("resource"))
}

/// A resource as it stands, with what is paid for it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The resource.
    pub resource: resource::Model,
    /// Its periods that were not closed and have not ended, in their order.
    pub periods: Vec<paid_period::Model>,
    /// The place of its newest period, closed and ended ones included.
    pub newest: i32,
}

/// Resources of an account with their open periods, locked until the transaction ends if `lock`. Those that the caller
/// may not see, or that are not there, are left out. Three statements, none for no resources.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn standing(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    ids: &[Uuid],
    at: DateTime<Utc>,
    lock: bool,
) -> Result<HashMap<Uuid, Standing>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // In one order for all: two that lock the same resources wait for each other, never in a circle.
    let mut query = resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::AccountId.eq(account))
        .filter(resource::Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(resource::Column::Id);
    if lock && db::locks_rows(db.get_database_backend()) {
        query = query.lock_exclusive();
    }
    let resources = query.all(db).await?;
    let periods = paid_period::Entity::find()
        .filter(paid_period::Column::ResourceId.is_in(resources.iter().map(|row| row.id)))
        .filter(paid_period::Column::Status.eq(PeriodStatus::Paid))
        .filter(paid_period::Column::EndsAt.gt(at))
        .order_by_asc(paid_period::Column::Sequence)
        .all(db)
        .await?;
    let newest: Vec<(Uuid, Option<i32>)> = paid_period::Entity::find()
        .select_only()
        .column(paid_period::Column::ResourceId)
        .expr_as(Expr::col(paid_period::Column::Sequence).max(), "newest")
        .filter(paid_period::Column::ResourceId.is_in(resources.iter().map(|row| row.id)))
        .group_by(paid_period::Column::ResourceId)
        .into_tuple()
        .all(db)
        .await?;
    let newest: HashMap<Uuid, i32> = newest
        .into_iter()
        .map(|(resource, newest)| (resource, newest.unwrap_or_default()))
        .collect();
    let mut by_resource = page::grouped(periods, |row| row.resource_id);
    Ok(resources
        .into_iter()
        .map(|resource| {
            let standing = Standing {
                periods: by_resource.remove(&resource.id).unwrap_or_default(),
                newest: newest.get(&resource.id).copied().unwrap_or_default(),
                resource,
            };
            (standing.resource.id, standing)
        })
        .collect())
}

/// The invoice of each of these periods. One statement, none for no periods.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn invoices_of_periods(
    db: &impl ConnectionTrait,
    scope: &Scope,
    periods: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, Error> {
    if periods.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, Uuid)> = invoice::Entity::find()
        .select_only()
        .column(invoice::Column::PeriodId)
        .column(invoice::Column::Id)
        .filter(scope.accounts((invoice::Entity, invoice::Column::AccountId)))
        .filter(invoice::Column::PeriodId.is_in(periods.iter().copied()))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Writes a resource as it now is. One that somebody changed since it was read undoes the whole.
pub fn update_resource(writes: &mut Writes, _scope: &Scope, row: resource::Model) {
    let version = row.version;
    let mut changed = row.clone();
    changed.version = version + 1;
    changed.search_text = super::resources::search_text(&row.name, row.external_id.as_deref());
    writes.guarded(
        resource::Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(resource::Column::Id.eq(row.id))
            .filter(resource::Column::Version.eq(version))
            .into_query(),
    );
}
