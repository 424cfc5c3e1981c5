//! Orders and their items, read.

use std::collections::HashMap;

use entity::enums::{OrderAction, OrderItemStatus, OrderStatus};
use entity::{order, order_item};
use sea_orm::entity::prelude::{DateTimeUtc, Json};
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

/// An order item without its document.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Item {
    /// Its key.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its place in the order, from 0.
    pub position: i32,
    /// What it does.
    pub action: OrderAction,
    /// Where it stands.
    pub status: OrderItemStatus,
    /// The product.
    pub product_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// Net and tax, before the coupon.
    pub gross_minor: i64,
    /// Its share of the coupon.
    pub coupon_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// What its new period costs.
    pub charged_minor: i64,
    /// What was unused of the periods it replaced.
    pub credited_minor: i64,
    /// How much of that was promotional money.
    pub charged_promotional_minor: i64,
    /// The currency of its order, ISO 4217.
    pub currency: String,
    /// Why the product could not provision it.
    pub failure_reason: Option<String>,
    /// When it was ordered.
    pub created_at: DateTimeUtc,
    /// When it came to its end.
    pub completed_at: Option<DateTimeUtc>,
}

fn items(scope: &Scope) -> SelectStatement {
    use order_item::{Column, Entity};
    let mut select = Query::select();
    select
        .columns(
            [
                Column::Id,
                Column::OrderId,
                Column::AccountId,
                Column::Position,
                Column::Action,
                Column::Status,
                Column::ProductId,
                Column::ResourceId,
                Column::GrossMinor,
                Column::CouponMinor,
                Column::TaxMinor,
                Column::ChargedMinor,
                Column::CreditedMinor,
                Column::ChargedPromotionalMinor,
                Column::FailureReason,
                Column::CreatedAt,
                Column::CompletedAt,
            ]
            .map(|column| (Entity, column)),
        )
        .column((order::Entity, order::Column::Currency))
        .from(Entity)
        .inner_join(
            order::Entity,
            Expr::col((order::Entity, order::Column::Id)).equals((Entity, Column::OrderId)),
        )
        .cond_where(scope.accounts((Entity, Column::AccountId)));
    select
}

/// The orders of each account, newest first, of one status when it is given.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
    status: Option<OrderStatus>,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<order::Model>>, Error> {
    use order::{Column, Entity};
    let mut select = page::whole(Entity);
    select.cond_where(scope.accounts((Entity, Column::AccountId)));
    if let Some(status) = status {
        select.and_where(Expr::col((Entity, Column::Status)).eq(status.as_str()));
    }
    let keyset = Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id)).descending();
    page::read(
        db,
        select,
        (Entity, Column::AccountId),
        accounts,
        &keyset,
        page,
        page::model,
    )
    .await
}

/// Where an order stands in its account's list.
#[must_use]
pub fn place(order: &order::Model) -> Place {
    Place {
        key: Key::Instant(order.created_at),
        id: order.id,
    }
}

/// These orders.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<order::Model>, Error> {
    use order::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// The items of each order, in their order.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn items_of(
    db: &impl ConnectionTrait,
    scope: &Scope,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Item>>, Error> {
    use order_item::{Column, Entity};
    let mut select = items(scope);
    select
        .and_where(Expr::col((Entity, Column::OrderId)).is_in(orders.iter().copied()))
        .order_by((Entity, Column::Position), Order::Asc);
    Ok(page::grouped(
        page::rows(db, &select, page::model::<Item>).await?,
        |item| item.order_id,
    ))
}

/// These order items.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn items_by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Item>, Error> {
    let mut select = items(scope);
    select.and_where(Expr::col((order_item::Entity, order_item::Column::Id)).is_in(ids.iter().copied()));
    page::rows(db, &select, page::model).await
}

/// The documents of these order items: what the rules priced.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn documents(db: &impl ConnectionTrait, scope: &Scope, items: &[Uuid]) -> Result<HashMap<Uuid, Json>, Error> {
    use order_item::{Column, Entity};
    let mut select = Query::select();
    select
        .columns([(Entity, Column::Id), (Entity, Column::Document)])
        .from(Entity)
        .and_where(Expr::col((Entity, Column::Id)).is_in(items.iter().copied()))
        .cond_where(scope.accounts((Entity, Column::AccountId)));
    let rows = page::rows(db, &select, |row| {
        Ok((row.try_get("", "id")?, row.try_get("", "document")?))
    })
    .await?;
    Ok(rows.into_iter().collect())
}
