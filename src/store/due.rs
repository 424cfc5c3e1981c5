//! The engine's work: found by an index on the next due instant, claimed by lease, written in batches. What it costs
//! follows what is due, never what exists.

use chrono::{DateTime, Utc};
use entity::{engine_lease, expiry_alert, product, resource, schedule_step};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::Scope;
use crate::db::{self, Db, Tx};
use crate::error::Error;

/// The accounts that have something due, the longest waiting first, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<Uuid>, Error> {
    let soonest = Expr::col((resource::Entity, resource::Column::NextDueAt)).min();
    Ok(resource::Entity::find()
        .select_only()
        .column(resource::Column::AccountId)
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::NextDueAt.is_not_null())
        .filter(resource::Column::NextDueAt.lte(now))
        .group_by(resource::Column::AccountId)
        .order_by_asc(soonest)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?)
}

/// The next instant at which anything is due.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_instant(db: &impl ConnectionTrait, scope: &Scope) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(resource::Entity::find()
        .select_only()
        .column(resource::Column::NextDueAt)
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::NextDueAt.is_not_null())
        .order_by_asc(resource::Column::NextDueAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?)
}

/// How many resources have become due in a span of time (after its first instant, if it has one, up to its last) for a
/// step whose name begins so, counted up to `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn count_due(
    db: &impl ConnectionTrait,
    scope: &Scope,
    (after, until): (Option<DateTime<Utc>>, DateTime<Utc>),
    step: &str,
    most: u64,
) -> Result<u64, Error> {
    let due: Vec<Uuid> = resource::Entity::find()
        .select_only()
        .column(resource::Column::Id)
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::NextDueAt.is_not_null())
        .filter(resource::Column::NextDueAt.lte(until))
        .filter(Condition::all().add_option(after.map(|after| resource::Column::NextDueAt.gt(after))))
        .filter(resource::Column::NextStep.starts_with(step))
        .limit(most)
        .into_tuple()
        .all(db)
        .await?;
    u64::try_from(due.len()).map_err(Error::internal)
}

/// Claims an account for this process, for some seconds of the database's own clock. Nobody else works on it until the
/// lease is over or given back; a process that dies loses it by itself.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lease(db: &Db, _scope: &Scope, account: Uuid, owner: Uuid, seconds: i64) -> Result<bool, Error> {
    let backend = db.backend();
    db.write("lease_account", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let row = engine_lease::Model {
            account_id: account,
            owner,
            until_ms: 0,
        };
        engine_lease::Entity::insert(row.into_active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(&**tx)
            .await?;
        let now = db::lease_time(backend);
        let done = engine_lease::Entity::update_many()
            .col_expr(engine_lease::Column::Owner, Expr::val(owner))
            .col_expr(
                engine_lease::Column::UntilMs,
                now.clone().add(seconds.saturating_mul(1_000)),
            )
            .filter(engine_lease::Column::AccountId.eq(account))
            .filter(
                Expr::col(engine_lease::Column::UntilMs)
                    .lt(now)
                    .or(Expr::col(engine_lease::Column::Owner).eq(owner)),
            )
            .exec(&**tx)
            .await?;
        Ok(done.rows_affected == 1)
    })
    .await
}

/// Gives a lease back.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn release_lease(db: &Db, _scope: &Scope, account: Uuid, owner: Uuid) -> Result<(), Error> {
    db.write("give_lease_back", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        engine_lease::Entity::delete_many()
            .filter(engine_lease::Column::AccountId.eq(account))
            .filter(engine_lease::Column::Owner.eq(owner))
            .exec(&**tx)
            .await?;
        Ok(())
    })
    .await
}

/// An account's due resources with their products, locked: soonest expiry first, as money is spent, at most `most`.
/// Those that another transaction holds are left to it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_batch(
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<(resource::Model, product::Model)>, Error> {
    let mut query = resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::AccountId.eq(account))
        .filter(resource::Column::NextDueAt.is_not_null())
        .filter(resource::Column::NextDueAt.lte(now))
        .order_by_asc(resource::Column::PaidUntil)
        .order_by_asc(resource::Column::Id)
        .limit(most);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let resources = query.all(&**tx).await?;
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    // The catalogue has few products: they are read by their keys, once a batch.
    let mut wanted: Vec<Uuid> = resources.iter().map(|resource| resource.product_id).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let products: std::collections::HashMap<Uuid, product::Model> = product::Entity::find()
        .filter(product::Column::Id.is_in(wanted))
        .all(&**tx)
        .await?
        .into_iter()
        .map(|product| (product.id, product))
        .collect();
    resources
        .into_iter()
        .map(|resource| {
            let product = products
                .get(&resource.product_id)
                .cloned()
                .ok_or_else(|| Error::internal("a resource's product is missing from the catalogue"))?;
            Ok((resource, product))
        })
        .collect()
}

/// When the final notices of these resources were sent, by resource and period.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn final_notices(tx: &Tx, _scope: &Scope, resources: &[Uuid]) -> Result<Vec<schedule_step::Model>, Error> {
    use entity::enums::{StepKind, StepStatus};
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    Ok(schedule_step::Entity::find()
        .filter(schedule_step::Column::ResourceId.is_in(resources.iter().copied()))
        .filter(schedule_step::Column::Kind.eq(StepKind::FinalNotice))
        .filter(schedule_step::Column::Status.eq(StepStatus::Sent))
        .all(&**tx)
        .await?)
}

/// Writes what became of steps, the alerts they made, and the resources as they now are: three statements a batch.
///
/// # Errors
/// [`Error::Internal`] when a step was handled twice: it exists once.
pub async fn write_batch(
    tx: &Tx,
    _scope: &Scope,
    steps: Vec<schedule_step::Model>,
    alerts: Vec<expiry_alert::Model>,
    resources: Vec<resource::Model>,
) -> Result<(), Error> {
    if !steps.is_empty() {
        schedule_step::Entity::insert_many(steps.into_iter().map(IntoActiveModel::into_active_model))
            .exec_without_returning(&**tx)
            .await?;
    }
    if !alerts.is_empty() {
        expiry_alert::Entity::insert_many(alerts.into_iter().map(IntoActiveModel::into_active_model))
            .exec_without_returning(&**tx)
            .await?;
    }
    if !resources.is_empty() {
        // The rows are locked and whole: writing them over themselves is one statement for the batch.
        resource::Entity::insert_many(resources.into_iter().map(IntoActiveModel::into_active_model))
            .on_conflict(
                OnConflict::column(resource::Column::Id)
                    .update_columns([
                        resource::Column::Life,
                        resource::Column::NextStep,
                        resource::Column::NextDueAt,
                        resource::Column::Attempts,
                        resource::Column::EndedAt,
                        resource::Column::Version,
                    ])
                    .to_owned(),
            )
            .exec_without_returning(&**tx)
            .await?;
    }
    Ok(())
}

/// Puts a resource's next step off after a failure, and counts the failure.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn put_off(tx: &Tx, _scope: &Scope, resource: Uuid, until: DateTime<Utc>) -> Result<(), Error> {
    resource::Entity::update_many()
        .col_expr(resource::Column::NextDueAt, Expr::val(until))
        .col_expr(resource::Column::Attempts, Expr::col(resource::Column::Attempts).add(1))
        .filter(resource::Column::Id.eq(resource))
        .exec(&**tx)
        .await?;
    Ok(())
}
