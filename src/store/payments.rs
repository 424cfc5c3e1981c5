//! Payments, read.

use std::collections::HashMap;

use entity::payment;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder,
    QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::histories::{PaymentFilter, matching_payments};
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::db::writes::Writes;
use crate::error::Error;

/// The payments of each account that a filter lets through, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
    filter: &PaymentFilter,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<payment::Model>>, Error> {
    use payment::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .cond_where(matching_payments(filter));
    let keyset = oldest_first().descending();
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

/// The order in which payments were begun.
pub(super) fn oldest_first() -> Keyset {
    use payment::{Column, Entity};
    Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id))
}

/// Writes a payment as it now is. One that was changed since it was read undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, row: payment::Model) {
    let (id, version) = (row.id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        payment::Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(payment::Column::Id.eq(id))
            .filter(payment::Column::Version.eq(version))
            .into_query(),
    );
}

/// Where a payment stands in its account's list.
#[must_use]
pub fn place(payment: &payment::Model) -> Place {
    Place {
        key: Key::Instant(payment.created_at),
        id: payment.id,
    }
}

/// These payments.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<payment::Model>, Error> {
    use payment::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// The payments of each order, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_orders(
    db: &impl ConnectionTrait,
    scope: &Scope,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Vec<payment::Model>>, Error> {
    let rows = payment::Entity::find()
        .filter(payment::Column::OrderId.is_in(orders.iter().copied()))
        .filter(scope.accounts((payment::Entity, payment::Column::AccountId)))
        .order_by_asc(payment::Column::CreatedAt)
        .order_by_asc(payment::Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(
        rows.into_iter().filter_map(|row| Some((row.order_id?, row))).collect(),
        |(order, _)| *order,
    )
    .into_iter()
    .map(|(order, rows)| (order, rows.into_iter().map(|(_, row)| row).collect()))
    .collect())
}
