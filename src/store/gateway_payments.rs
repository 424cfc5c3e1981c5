//! Payments as their gateways know them, what was captured, and what the gateways told.

use chrono::{DateTime, Utc};
use entity::enums::{OrderItemStatus, PaymentStatus};
use entity::{gateway_capture, gateway_notice, gateway_payment, order, order_item, payment, quarantine};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
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
const ASKED: asked::Columns<gateway_payment::Column> = asked::Columns {
    key: gateway_payment::Column::PaymentId,
    gateway: gateway_payment::Column::Gateway,
    next: gateway_payment::Column::NextCheckAt,
};

/// What these payments are at their gateways.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<gateway_payment::Model>, Error> {
    use gateway_payment::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::PaymentId, Column::AccountId, ids).await
}

/// What these payments are at their gateways, each under its payment.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_payments(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, gateway_payment::Model)>, Error> {
    let rows = by_ids(db, scope, ids).await?;
    Ok(rows.into_iter().map(|row| (row.payment_id, row)).collect())
}

/// The payment that a gateway knows by a reference.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_reference(
    db: &impl ConnectionTrait,
    scope: &Scope,
    gateway: &str,
    reference: &str,
) -> Result<Option<gateway_payment::Model>, Error> {
    Ok(gateway_payment::Entity::find()
        .filter(scope.accounts((gateway_payment::Entity, gateway_payment::Column::AccountId)))
        .filter(gateway_payment::Column::Gateway.eq(gateway))
        .filter(gateway_payment::Column::Reference.eq(reference))
        .one(db)
        .await?)
}

/// The payments that a gateway knows by any of these references, two at most: more than one is as good as none.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_references(
    db: &impl ConnectionTrait,
    scope: &Scope,
    gateway: &str,
    references: &[String],
) -> Result<Vec<gateway_payment::Model>, Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    Ok(gateway_payment::Entity::find()
        .filter(scope.accounts((gateway_payment::Entity, gateway_payment::Column::AccountId)))
        .filter(gateway_payment::Column::Gateway.eq(gateway))
        .filter(gateway_payment::Column::Reference.is_in(references.iter().cloned()))
        .limit(2)
        .all(db)
        .await?)
}

/// A payment and what it is at its gateway.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The payment.
    pub payment: payment::Model,
    /// What it is there.
    pub attempt: gateway_payment::Model,
}

/// A payment with what it is at its gateway, locked until the transaction ends: whoever holds it decides what becomes of
/// the payment.
///
/// # Errors
/// [`Error::NotFound`] when it is none, or not the caller's.
pub async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Attempted, Error> {
    let mut query = gateway_payment::Entity::find_by_id(id)
        .filter(scope.accounts((gateway_payment::Entity, gateway_payment::Column::AccountId)));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    let attempt = query.one(&**tx).await?.ok_or(Error::NotFound("payment"))?;
    let payment = payment::Entity::find_by_id(id)
        .one(&**tx)
        .await?
        .ok_or(Error::NotFound("payment"))?;
    Ok(Attempted { payment, attempt })
}

/// Adds new ones to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, rows: Vec<gateway_payment::Model>) {
    insert::<gateway_payment::ActiveModel, _>(writes, rows);
}

/// Writes one as it now is. One that was changed since it was read undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, row: gateway_payment::Model) {
    let (id, version) = (row.payment_id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        gateway_payment::Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(gateway_payment::Column::PaymentId.eq(id))
            .filter(gateway_payment::Column::Version.eq(version))
            .into_query(),
    );
}

/// Notes that a gateway is asked to begin a payment, and answers whether it is the first time: of two that would begin it at
/// once, one does. Where it may be asked `again`, until it has answered, the latest time is kept. `check_at` puts off when it is asked
/// what became of it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn try_to_begin(
    tx: &Tx,
    _scope: &Scope,
    id: Uuid,
    again: bool,
    (now, check_at): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<bool, Error> {
    use gateway_payment::{Column, Entity};
    let mut trying = Entity::update_many();
    if let Some(at) = check_at {
        trying = trying.col_expr(Column::NextCheckAt, Expr::val(at));
    }
    let trying = trying
        .col_expr(Column::TriedAt, Expr::val(now))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::PaymentId.eq(id));
    let first = trying.clone().filter(Column::TriedAt.is_null()).exec(&**tx).await?;
    if first.rows_affected == 1 {
        return Ok(true);
    }
    if again {
        trying.filter(Column::BegunAt.is_null()).exec(&**tx).await?;
    }
    Ok(false)
}

/// How many open payments wait for a gateway that is none of these.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_others(db: &impl ConnectionTrait, _scope: &Scope, gateways: &[&str]) -> Result<u64, Error> {
    use gateway_payment::{Column, Entity};
    Ok(Entity::find()
        .filter(Column::NextCheckAt.is_not_null())
        .filter(Column::Gateway.is_not_in(gateways.iter().copied()))
        .count(db)
        .await?)
}

/// Takes the payments that their gateways, which are among these, are to be asked about, at most `most`, and puts the next time off until then:
/// nobody else asks meanwhile.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take_due(
    db: &Db,
    scope: &Scope,
    gateways: &[&str],
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    most: u64,
) -> Result<Vec<gateway_payment::Model>, Error> {
    use gateway_payment::{Column, Entity};
    let due = asked::due::<Entity>(db.read(), scope, ASKED, gateways, now, most).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    db.write("take_due_payments", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let mut query = Entity::find()
            .filter(Column::PaymentId.is_in(due.iter().copied()))
            .filter(Column::NextCheckAt.lte(now));
        if db::locks_rows(tx.get_database_backend()) {
            use sea_orm::sea_query::{LockBehavior, LockType};
            query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        }
        let rows = query.all(&**tx).await?;
        Entity::update_many()
            .col_expr(Column::NextCheckAt, Expr::val(until))
            .filter(Column::PaymentId.is_in(rows.iter().map(|row| row.payment_id)))
            .exec(&**tx)
            .await?;
        Ok(rows)
    })
    .await
}

/// The next instant at which one of these gateways is to be asked.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_check(
    db: &impl ConnectionTrait,
    scope: &Scope,
    gateways: &[&str],
) -> Result<Option<DateTime<Utc>>, Error> {
    asked::next::<gateway_payment::Entity>(db, scope, ASKED, gateways).await
}

/// The next instant at which an order's time to be paid runs out.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_expiry(db: &impl ConnectionTrait, _scope: &Scope) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(order::Entity::find()
        .select_only()
        .column(order::Column::ExpiresAt)
        .filter(Expr::cust("status = 'AWAITING_PAYMENT'"))
        .filter(order::Column::ExpiresAt.is_not_null())
        .order_by_asc(order::Column::ExpiresAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?)
}

/// Orders whose time to be paid has run out, at most `most`, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn expired_orders(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<order::Model>, Error> {
    Ok(order::Entity::find()
        .filter(Expr::cust("status = 'AWAITING_PAYMENT'"))
        .filter(order::Column::ExpiresAt.lte(now))
        .order_by_asc(order::Column::ExpiresAt)
        .limit(most)
        .all(db)
        .await?)
}

/// An order of an account with its items, as they are now. Whoever has locked its quote decides alone while it waits.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn order_with_items(
    db: &impl ConnectionTrait,
    scope: &Scope,
    id: Uuid,
) -> Result<Option<(order::Model, Vec<order_item::Model>)>, Error> {
    let found = order::Entity::find_by_id(id)
        .filter(scope.accounts((order::Entity, order::Column::AccountId)))
        .one(db)
        .await?;
    let Some(order) = found else { return Ok(None) };
    let items = order_item::Entity::find()
        .filter(order_item::Column::OrderId.eq(id))
        .order_by_asc(order_item::Column::Position)
        .all(db)
        .await?;
    Ok(Some((order, items)))
}

/// The payments of an order that are not final, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn open_of_order(
    db: &impl ConnectionTrait,
    scope: &Scope,
    order: Uuid,
) -> Result<Vec<payment::Model>, Error> {
    Ok(payment::Entity::find()
        .filter(scope.accounts((payment::Entity, payment::Column::AccountId)))
        .filter(payment::Column::OrderId.eq(order))
        .filter(payment::Column::Status.eq(PaymentStatus::Pending))
        .order_by_asc(payment::Column::CreatedAt)
        .order_by_asc(payment::Column::Id)
        .all(db)
        .await?)
}

/// Gives up an order's items with it.
pub fn cancel_items(writes: &mut Writes, _scope: &Scope, items: &[order_item::Model], now: DateTime<Utc>) {
    let rows = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let cancelling = order_item::Entity::update_many()
        .col_expr(
            order_item::Column::Status,
            Expr::val(OrderItemStatus::Cancelled.as_str()),
        )
        .col_expr(order_item::Column::CompletedAt, Expr::val(now))
        .filter(order_item::Column::Id.is_in(items.iter().map(|item| item.id)))
        .filter(order_item::Column::Status.eq(OrderItemStatus::AwaitingPayment));
    writes.guarded_rows(cancelling.into_query(), rows);
}

/// The capture that a gateway knows by a number.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn capture(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    gateway: &str,
    transaction: &str,
) -> Result<Option<gateway_capture::Model>, Error> {
    Ok(gateway_capture::Entity::find()
        .filter(gateway_capture::Column::Gateway.eq(gateway))
        .filter(gateway_capture::Column::TransactionRef.eq(transaction))
        .one(db)
        .await?)
}

/// Whether a gateway took money for a payment, whatever became of it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn is_captured(db: &impl ConnectionTrait, _scope: &Scope, payment: Uuid) -> Result<bool, Error> {
    let taken = gateway_capture::Entity::find().filter(gateway_capture::Column::PaymentId.eq(payment));
    Ok(taken.limit(1).count(db).await? > 0)
}

/// Adds a capture to what is written. One that a gateway told before undoes the whole.
pub fn add_capture(writes: &mut Writes, _scope: &Scope, row: gateway_capture::Model) {
    insert::<gateway_capture::ActiveModel, _>(writes, vec![row]);
}

/// Adds money in quarantine to what is written.
pub fn add_quarantine(writes: &mut Writes, _scope: &Scope, row: quarantine::Model) {
    insert::<quarantine::ActiveModel, _>(writes, vec![row]);
}

/// Notes that an event of a gateway is taken, and answers whether it had not been before.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take_event(tx: &Tx, _scope: &Scope, row: gateway_notice::Model) -> Result<bool, Error> {
    let written = gateway_notice::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(written == 1)
}

/// Notes what became of a notification that was not taken.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note(tx: &Tx, _scope: &Scope, row: gateway_notice::Model) -> Result<(), Error> {
    gateway_notice::Entity::insert(row.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}
