//! What a purchase writes: quotes, orders, items, payments, resources, their paid periods and invoices. Rows are
//! collected and written table by table, so that what an order costs in statements does not grow with its items.

use chrono::{DateTime, Utc};
use entity::enums::{OrderItemStatus, OrderStatus, QuoteStatus, RedemptionStatus};
use entity::{
    coupon, coupon_redemption, invoice, invoice_line, order, order_item, paid_period, payment, quote, resource,
    resource_tag,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
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
}

impl Rows {
    /// Writes them all.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn write(self, tx: &Tx, _scope: &Scope) -> Result<(), Error> {
        insert::<order::ActiveModel, _>(tx, self.orders).await?;
        insert::<order_item::ActiveModel, _>(tx, self.items).await?;
        insert::<payment::ActiveModel, _>(tx, self.payments).await?;
        insert::<resource::ActiveModel, _>(tx, self.resources).await?;
        insert::<resource_tag::ActiveModel, _>(tx, self.tags).await?;
        insert::<paid_period::ActiveModel, _>(tx, self.periods).await?;
        insert::<invoice::ActiveModel, _>(tx, self.invoices).await?;
        insert::<invoice_line::ActiveModel, _>(tx, self.lines).await
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

/// A quote of the account, locked until the transaction ends.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_quote(tx: &Tx, scope: &Scope, account: Uuid, id: Uuid) -> Result<Option<quote::Model>, Error> {
    let mut query = quote::Entity::find_by_id(id)
        .filter(scope.accounts((quote::Entity, quote::Column::AccountId)))
        .filter(quote::Column::AccountId.eq(account));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**tx).await?)
}

/// Notes which order a quote became.
///
/// # Errors
/// [`Error::Unavailable`] when it became one meanwhile: the transaction runs again and finds it.
pub async fn close_quote(tx: &Tx, _scope: &Scope, quote: Uuid, order: Uuid) -> Result<(), Error> {
    let done = quote::Entity::update_many()
        .col_expr(quote::Column::Status, Expr::val(QuoteStatus::Ordered.as_str()))
        .col_expr(quote::Column::OrderId, Expr::val(order))
        .filter(quote::Column::Id.eq(quote))
        .filter(quote::Column::Status.eq(QuoteStatus::Open))
        .exec(&**tx)
        .await?;
    if done.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Unavailable("the quote was ordered meanwhile".into()))
    }
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

/// Writes what a task came to: the item as it now is, and its order's state.
///
/// # Errors
/// [`Error::Unavailable`] when the item was reported meanwhile.
pub async fn finish_task(
    tx: &Tx,
    _scope: &Scope,
    item: &order_item::Model,
    order: &order::Model,
    status: OrderStatus,
    completed_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = order_item::Entity::update_many()
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
        .filter(order_item::Column::Version.eq(item.version))
        .exec(&**tx)
        .await?;
    if done.rows_affected != 1 {
        return Err(Error::Unavailable("the task was reported meanwhile".into()));
    }
    order::Entity::update_many()
        .col_expr(order::Column::Status, Expr::val(status.as_str()))
        .col_expr(order::Column::CompletedAt, Expr::val(completed_at))
        .col_expr(order::Column::Version, Expr::col(order::Column::Version).add(1))
        .filter(order::Column::Id.eq(order.id))
        .exec(&**tx)
        .await?;
    Ok(())
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

/// Writes a resource as it now is, when nobody changed it since it was read.
///
/// # Errors
/// [`Error::Unavailable`] when somebody did.
pub async fn update_resource(tx: &Tx, _scope: &Scope, row: resource::Model) -> Result<(), Error> {
    let version = row.version;
    let mut changed = row.clone();
    changed.version = version + 1;
    changed.search_text = super::resources::search_text(&row.name, row.external_id.as_deref());
    let done = resource::Entity::update_many()
        .set(changed.into_active_model().reset_all())
        .filter(resource::Column::Id.eq(row.id))
        .filter(resource::Column::Version.eq(version))
        .exec(&**tx)
        .await?;
    if done.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Unavailable("the resource changed meanwhile".into()))
    }
}
