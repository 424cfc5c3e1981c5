//! What the whole store shares: its name, its clock's offset, and what the engine remembers between passes.

use chrono::{DateTime, Utc};
use entity::{engine_downtime, store_state};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use super::Scope;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::ids;

const ONE: i32 = 1;

/// The state, if the store has one already.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn read(db: &impl ConnectionTrait, _scope: &Scope) -> Result<Option<store_state::Model>, Error> {
    Ok(store_state::Entity::find_by_id(ONE).one(db).await?)
}

/// The state; made now when the store is new. Two processes that begin at once agree on one.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn read_or_make(tx: &Tx, scope: &Scope, now: DateTime<Utc>) -> Result<store_state::Model, Error> {
    let fresh = store_state::Model {
        id: ONE,
        epoch: ids::new_id(),
        production: false,
        clock_offset_micros: 0,
        last_pass_at: None,
        releases_halted_at: None,
        releases_halted_reason: None,
        releases_approved_at: None,
        created_at: now,
    };
    store_state::Entity::insert(fresh.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    read(&**tx, scope)
        .await?
        .ok_or_else(|| Error::internal("the store has lost its state row"))
}

/// The state, locked until the transaction ends: what is decided from it still holds when it is committed.
///
/// # Errors
/// [`Error::Internal`] when the store has none: it is made when the store is opened.
pub async fn lock(tx: &Tx, _scope: &Scope) -> Result<store_state::Model, Error> {
    let mut query = store_state::Entity::find_by_id(ONE);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    query
        .one(&**tx)
        .await?
        .ok_or_else(|| Error::internal("the store has lost its state row"))
}

/// Notes that the store is one of real customers. It stays one.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn set_production(tx: &Tx, _scope: &Scope) -> Result<(), Error> {
    store_state::Entity::update_many()
        .col_expr(store_state::Column::Production, Expr::val(true))
        .filter(store_state::Column::Id.eq(ONE))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Moves the store's clock. Every process takes the offset over within a second.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn set_clock_offset(tx: &Tx, _scope: &Scope, offset_micros: i64) -> Result<(), Error> {
    store_state::Entity::update_many()
        .col_expr(store_state::Column::ClockOffsetMicros, Expr::val(offset_micros))
        .filter(store_state::Column::Id.eq(ONE))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Notes that the engine made a pass which began at an instant. A pass that began earlier changes nothing.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note_pass(tx: &Tx, _scope: &Scope, began_at: DateTime<Utc>) -> Result<(), Error> {
    store_state::Entity::update_many()
        .col_expr(store_state::Column::LastPassAt, Expr::val(began_at))
        .filter(store_state::Column::Id.eq(ONE))
        .filter(
            Expr::col(store_state::Column::LastPassAt)
                .is_null()
                .or(Expr::col(store_state::Column::LastPassAt).lt(began_at)),
        )
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Writes down a span in which no engine ran. It grows the newest span when the two overlap: an absence that lasts is
/// noted by each engine that comes back and by each pass that fails. The caller holds the [`lock`].
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note_downtime(tx: &Tx, _scope: &Scope, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<(), Error> {
    let newest = engine_downtime::Entity::find()
        .order_by_desc(engine_downtime::Column::UntilAt)
        .limit(1)
        .one(&**tx)
        .await?;
    if let Some(span) = newest.filter(|span| span.from_at < until && span.until_at > from) {
        let (from, until) = (Ord::min(span.from_at, from), Ord::max(span.until_at, until));
        engine_downtime::Entity::update_many()
            .col_expr(engine_downtime::Column::FromAt, Expr::val(from))
            .col_expr(engine_downtime::Column::UntilAt, Expr::val(until))
            .filter(engine_downtime::Column::Id.eq(span.id))
            .exec(&**tx)
            .await?;
        return Ok(());
    }
    let span = engine_downtime::Model {
        id: ids::new_id(),
        from_at: from,
        until_at: until,
    };
    engine_downtime::Entity::insert(span.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// The spans without an engine that reach past an instant, the newest first, at most a thousand.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn downtimes_since(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    since: DateTime<Utc>,
) -> Result<Vec<engine_downtime::Model>, Error> {
    Ok(engine_downtime::Entity::find()
        .filter(engine_downtime::Column::UntilAt.gt(since))
        .order_by_desc(engine_downtime::Column::UntilAt)
        .limit(1_000)
        .all(db)
        .await?)
}

/// Halts releases, with the reason, until an operator approves. What is halted already stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn halt_releases(tx: &Tx, _scope: &Scope, reason: &str, now: DateTime<Utc>) -> Result<(), Error> {
    store_state::Entity::update_many()
        .col_expr(store_state::Column::ReleasesHaltedAt, Expr::val(now))
        .col_expr(store_state::Column::ReleasesHaltedReason, Expr::val(reason))
        .filter(store_state::Column::Id.eq(ONE))
        .filter(store_state::Column::ReleasesHaltedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Lets releases go on, and answers whether they were halted. Those that wait are approved; those to come are not.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn resume_releases(tx: &Tx, _scope: &Scope, now: DateTime<Utc>) -> Result<bool, Error> {
    let done = store_state::Entity::update_many()
        .col_expr(
            store_state::Column::ReleasesHaltedAt,
            Expr::val(Option::<DateTime<Utc>>::None),
        )
        .col_expr(
            store_state::Column::ReleasesHaltedReason,
            Expr::val(Option::<String>::None),
        )
        .col_expr(store_state::Column::ReleasesApprovedAt, Expr::val(now))
        .filter(store_state::Column::Id.eq(ONE))
        .filter(store_state::Column::ReleasesHaltedAt.is_not_null())
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}
