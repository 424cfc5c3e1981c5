//! Refunds through gateways, and what of a capture may still go back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::enums::{CaptureUse, RefundStatus};
use entity::{gateway_capture, gateway_refund};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::asked;
use super::insert::insert;
use super::page;
use crate::db::writes::Writes;
use crate::db::{self, Db, Tx};
use crate::error::Error;

/// By what its rows are found that are to be asked about.
const ASKED: asked::Columns<gateway_refund::Column> = asked::Columns {
    key: gateway_refund::Column::Id,
    gateway: gateway_refund::Column::Gateway,
    next: gateway_refund::Column::NextCheckAt,
};

/// The captures of a payment that are not in quarantine, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn captures(
    db: &impl ConnectionTrait,
    scope: &Scope,
    payment: Uuid,
) -> Result<Vec<gateway_capture::Model>, Error> {
    Ok(gateway_capture::Entity::find()
        .filter(scope.accounts((gateway_capture::Entity, gateway_capture::Column::AccountId)))
        .filter(gateway_capture::Column::PaymentId.eq(payment))
        .filter(gateway_capture::Column::UsedFor.ne(CaptureUse::Quarantine))
        .order_by_asc(gateway_capture::Column::CreatedAt)
        .order_by_asc(gateway_capture::Column::Id)
        .all(db)
        .await?)
}

/// A capture by its key.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn capture(db: &impl ConnectionTrait, _scope: &Scope, id: Uuid) -> Result<gateway_capture::Model, Error> {
    gateway_capture::Entity::find_by_id(id)
        .one(db)
        .await?
        .ok_or(Error::NotFound("capture"))
}

/// Keeps so much of a capture for a refund; below zero gives it back. One of which not so much is left undoes the whole.
pub fn reserve(writes: &mut Writes, _scope: &Scope, capture: Uuid, amount_minor: i64) {
    use gateway_capture::{Column, Entity};
    let reserved = Expr::col(Column::RefundedMinor).add(amount_minor);
    writes.guarded(
        Entity::update_many()
            .col_expr(Column::RefundedMinor, reserved.clone())
            .filter(Column::Id.eq(capture))
            .filter(reserved.clone().gte(0))
            .filter(reserved.lte(Expr::col(Column::AmountMinor)))
            .into_query(),
    );
}

/// Adds a refund to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, row: gateway_refund::Model) {
    insert::<gateway_refund::ActiveModel, _>(writes, vec![row]);
}

/// Writes a refund as it now is. One that was changed since it was read undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, row: gateway_refund::Model) {
    let (id, version) = (row.id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        gateway_refund::Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(gateway_refund::Column::Id.eq(id))
            .filter(gateway_refund::Column::Version.eq(version))
            .into_query(),
    );
}

/// These refunds.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<gateway_refund::Model>, Error> {
    use gateway_refund::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// The refunds of each payment, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_payments(
    db: &impl ConnectionTrait,
    scope: &Scope,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Vec<gateway_refund::Model>>, Error> {
    let rows = gateway_refund::Entity::find()
        .filter(scope.accounts((gateway_refund::Entity, gateway_refund::Column::AccountId)))
        .filter(gateway_refund::Column::PaymentId.is_in(payments.iter().copied()))
        .order_by_asc(gateway_refund::Column::CreatedAt)
        .order_by_asc(gateway_refund::Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.payment_id))
}

/// The refund that a gateway knows by a reference.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_reference(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    gateway: &str,
    reference: &str,
) -> Result<Option<gateway_refund::Model>, Error> {
    Ok(gateway_refund::Entity::find()
        .filter(gateway_refund::Column::Gateway.eq(gateway))
        .filter(gateway_refund::Column::Reference.eq(reference))
        .one(db)
        .await?)
}

/// A refund, locked until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn lock(tx: &Tx, _scope: &Scope, id: Uuid) -> Result<gateway_refund::Model, Error> {
    let mut query = gateway_refund::Entity::find_by_id(id);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("refund"))
}

/// Takes a refund that was not asked for yet, so that of two who would ask for it at once one does; the gateway is asked about it
/// `at` when that one has died. Nothing when somebody has taken it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take_first(
    db: &Db,
    _scope: &Scope,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<Option<gateway_refund::Model>, Error> {
    use gateway_refund::{Column, Entity};
    db.write("take_refund", async |tx| {
        let tx = &*tx;
        let taken = Entity::update_many()
            .col_expr(Column::Checks, Expr::val(1))
            .col_expr(Column::NextCheckAt, Expr::val(at))
            .filter(Column::Id.eq(id))
            .filter(Column::Checks.eq(0))
            .filter(Column::Status.eq(RefundStatus::Pending))
            .exec_with_returning(&**tx)
            .await?;
        Ok(taken.into_iter().next())
    })
    .await
}

/// Takes the refunds that their gateways, which are among these, are to be asked about, at most `most`, and puts the next time off until then.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take_due(
    db: &Db,
    scope: &Scope,
    gateways: &[&str],
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    most: u64,
) -> Result<Vec<gateway_refund::Model>, Error> {
    use gateway_refund::{Column, Entity};
    let due = asked::due::<Entity>(db.read(), scope, ASKED, gateways, now, most).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    db.write("take_due_refunds", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let rows = Entity::update_many()
            .col_expr(Column::NextCheckAt, Expr::val(until))
            .filter(Column::Id.is_in(due.iter().copied()))
            .filter(Column::NextCheckAt.lte(now))
            .filter(Column::Status.eq(RefundStatus::Pending))
            .exec_with_returning(&**tx)
            .await?;
        Ok(rows)
    })
    .await
}

/// When one of these gateways is to be asked about a refund next.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_instant(
    db: &impl ConnectionTrait,
    scope: &Scope,
    gateways: &[&str],
) -> Result<Option<DateTime<Utc>>, Error> {
    asked::next::<gateway_refund::Entity>(db, scope, ASKED, gateways).await
}
