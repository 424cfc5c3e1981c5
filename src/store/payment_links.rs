//! Links by which somebody else pays an order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::enums::OrderStatus;
use entity::payment_link;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use super::{orders, page};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;

/// These ones.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<payment_link::Model>, Error> {
    use payment_link::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// The one with these letters in it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_token(
    db: &impl ConnectionTrait,
    scope: &Scope,
    token: &str,
) -> Result<Option<payment_link::Model>, Error> {
    use payment_link::{Column, Entity};
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::Token.eq(token))
        .one(db)
        .await?)
}

/// Those of each order, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_orders(
    db: &impl ConnectionTrait,
    scope: &Scope,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Vec<payment_link::Model>>, Error> {
    use payment_link::{Column, Entity};
    let rows = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::OrderId.is_in(orders.iter().copied()))
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.order_id))
}

/// What stands in those of these links whose order waits for its payment still, by the link.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn good(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, String>, Error> {
    let links = by_ids(db, scope, ids).await?;
    let of: Vec<Uuid> = links.iter().map(|link| link.order_id).collect();
    let waiting: HashSet<Uuid> = orders::by_ids(db, scope, &of)
        .await?
        .into_iter()
        .filter(|order| order.status == OrderStatus::AwaitingPayment)
        .map(|order| order.id)
        .collect();
    let good = links
        .into_iter()
        .filter(|link| link.ended_at.is_none() && now < link.expires_at && waiting.contains(&link.order_id));
    Ok(good.map(|link| (link.id, link.token)).collect())
}

/// Adds a new one to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, row: payment_link::Model) {
    insert::<payment_link::ActiveModel, _>(writes, vec![row]);
}

/// Ends the one of an order that can be used, before another one takes its place.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn end_of_order(tx: &Tx, _scope: &Scope, order: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
    use payment_link::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::val(now))
        .filter(Column::OrderId.eq(order))
        .filter(Column::EndedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}
