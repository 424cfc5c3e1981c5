//! Payments, read.

use std::collections::HashMap;

use entity::enums::PaymentStatus;
use entity::payment;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder,
    QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::db::writes::Writes;
use crate::error::Error;

/// The payments of each account, newest first, of one status when it is given.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
    status: Option<PaymentStatus>,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<payment::Model>>, Error> {
    use payment::{Column, Entity};
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
