//! What the whole store shares: its name, its clock's offset, and what the engine remembers between passes.

use chrono::{DateTime, Utc};
use entity::{engine_downtime, store_state};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QuerySelect};

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

/// Notes that the engine made a pass, and answers when it made the one before.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note_pass(tx: &Tx, _scope: &Scope, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
    // Two engines that come back at once must not both find the gap: the second one waits for the first.
    let mut state = store_state::Entity::find_by_id(ONE);
    if db::locks_rows(tx.get_database_backend()) {
        state = state.lock_exclusive();
    }
    let before = state.one(&**tx).await?.and_then(|state| state.last_pass_at);
    store_state::Entity::update_many()
        .col_expr(store_state::Column::LastPassAt, Expr::val(now))
        .filter(store_state::Column::Id.eq(ONE))
        .filter(
            Expr::col(store_state::Column::LastPassAt)
                .is_null()
                .or(Expr::col(store_state::Column::LastPassAt).lt(now)),
        )
        .exec(&**tx)
        .await?;
    Ok(before)
}

/// Writes down a span in which no engine ran.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note_downtime(tx: &Tx, _scope: &Scope, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<(), Error> {
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

/// The spans without an engine that reach past an instant, at most a thousand: a release looks back some months.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn downtimes_since(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    since: DateTime<Utc>,
) -> Result<Vec<engine_downtime::Model>, Error> {
    use sea_orm::QueryOrder;
    Ok(engine_downtime::Entity::find()
        .filter(engine_downtime::Column::UntilAt.gt(since))
        .order_by_asc(engine_downtime::Column::UntilAt)
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
