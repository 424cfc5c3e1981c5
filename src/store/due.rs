//! The engine's work: found by an index on the next due instant, claimed by lease, written in batches. What it costs
//! follows what is due, never what exists.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{engine_lease, expiry_alert, product, resource, schedule_step};
use sea_orm::sea_query::{
    Alias, Expr, ExprTrait as _, Func, LockBehavior, LockType, OnConflict, Order, Query, SimpleExpr, WindowStatement,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, Iterable as _, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use crate::db::writes::Writes;
use crate::db::{self, Db, Tx};
use crate::error::Error;

/// A resource that has something due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose it is.
    pub account: Uuid,
    /// The resource.
    pub resource: Uuid,
}

/// The resources that have something due, at most `most`: of each account the soonest expiry first, as money is spent,
/// and the accounts by turns, so that one with much due never keeps the others waiting.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn waiting(
    db: &impl ConnectionTrait,
    scope: &Scope,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<Waiting>, Error> {
    use resource::{Column, Entity};
    const TURN: &str = "turn";
    let mut of_account = WindowStatement::partition_by((Entity, Column::AccountId));
    of_account
        .order_by((Entity, Column::PaidUntil), Order::Asc)
        .order_by((Entity, Column::Id), Order::Asc);
    let due = Entity::find()
        .select_only()
        .columns([Column::AccountId, Column::Id, Column::NextDueAt])
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::NextDueAt.is_not_null())
        .filter(Column::NextDueAt.lte(now))
        .into_query()
        .expr_window_as(Func::cust(Alias::new("row_number")), of_account, Alias::new(TURN))
        .to_owned();
    let due_by_turns = Query::select()
        .columns([Column::AccountId, Column::Id])
        .from_subquery(due, Alias::new("due"))
        .order_by(Alias::new(TURN), Order::Asc)
        .order_by(Column::NextDueAt, Order::Asc)
        .order_by(Column::Id, Order::Asc)
        .limit(most)
        .to_owned();
    let rows = db.query_all(&due_by_turns).await?;
    let waiting = rows.iter().map(|row| {
        Ok::<_, DbErr>(Waiting {
            account: row.try_get_by_index(0)?,
            resource: row.try_get_by_index(1)?,
        })
    });
    Ok(waiting.collect::<Result<_, _>>()?)
}

/// What is due and not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many resources have something due.
    pub resources: i64,
    /// Since when the oldest of it is due.
    pub oldest: Option<DateTime<Utc>>,
    /// How many resources have a step that failed and was put off.
    pub failing: i64,
}

/// What is due and not done, of all accounts. One statement, whose cost follows what is due within a day: a failure is
/// put off by a day at most.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn backlog(db: &impl ConnectionTrait, scope: &Scope, now: DateTime<Utc>) -> Result<Backlog, Error> {
    use resource::{Column, Entity};
    let due = || Expr::col((Entity, Column::NextDueAt)).lte(now);
    let failed = || Expr::col((Entity, Column::Attempts)).gt(0);
    let count_if = |condition: SimpleExpr| Expr::expr(Expr::case(condition, Expr::val(1_i64))).count();
    let found: Option<(i64, Option<DateTime<Utc>>, i64)> = Entity::find()
        .select_only()
        .expr_as(count_if(due()), "resources")
        .expr_as(
            Expr::expr(Expr::case(due(), Expr::col((Entity, Column::NextDueAt)))).min(),
            "oldest",
        )
        .expr_as(count_if(failed()), "failing")
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::NextDueAt.is_not_null())
        .filter(Column::NextDueAt.lte(now + TimeDelta::days(1)))
        .filter(Condition::any().add(due()).add(failed()))
        .into_tuple()
        .one(db)
        .await?;
    Ok(
        found.map_or(Backlog::default(), |(resources, oldest, failing)| Backlog {
            resources,
            oldest,
            failing,
        }),
    )
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

/// An account's resources that wait for something, the first `most` by their keys.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn scheduled(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    most: u64,
) -> Result<Vec<resource::Model>, Error> {
    Ok(resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::AccountId.eq(account))
        .filter(resource::Column::NextDueAt.is_not_null())
        .order_by_asc(resource::Column::Id)
        .limit(most)
        .all(db)
        .await?)
}

/// Resources whose release is due, the longest waiting first, behind one of them if it is given, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn releases(
    db: &impl ConnectionTrait,
    scope: &Scope,
    now: DateTime<Utc>,
    behind: Option<(DateTime<Utc>, Uuid)>,
    most: u64,
) -> Result<Vec<resource::Model>, Error> {
    use entity::enums::StepKind;
    let behind = behind.map(|(due, id)| {
        Condition::any().add(resource::Column::NextDueAt.gt(due)).add(
            Condition::all()
                .add(resource::Column::NextDueAt.eq(due))
                .add(resource::Column::Id.gt(id)),
        )
    });
    Ok(resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::NextDueAt.is_not_null())
        .filter(resource::Column::NextDueAt.lte(now))
        .filter(resource::Column::NextStep.starts_with(StepKind::Release.as_str()))
        .filter(Condition::all().add_option(behind))
        .order_by_asc(resource::Column::NextDueAt)
        .order_by_asc(resource::Column::Id)
        .limit(most)
        .all(db)
        .await?)
}

/// Claims accounts for this process, for some seconds of the database's own clock, and answers those that it got. Nobody
/// else works on them until the lease is over or given back; a process that dies loses it by itself.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lease(
    db: &Db,
    _scope: &Scope,
    accounts: &[Uuid],
    owner: Uuid,
    seconds: i64,
) -> Result<HashSet<Uuid>, Error> {
    use engine_lease::{Column, Entity};
    let now = db::lease_time(db.backend());
    // In one order for all processes: two that claim the same accounts wait for each other, never in a circle.
    let accounts: BTreeSet<Uuid> = accounts.iter().copied().collect();
    let mut claim = Query::insert();
    claim
        .into_table(Entity)
        .columns([Column::AccountId, Column::Owner, Column::UntilMs]);
    for account in accounts {
        let until = now.clone().add(seconds.saturating_mul(1_000));
        claim
            .values([Expr::val(account), Expr::val(owner), until])
            .map_err(Error::internal)?;
    }
    let held = |column| Expr::col((Entity, column));
    claim
        .on_conflict(
            OnConflict::column(Column::AccountId)
                .update_columns([Column::Owner, Column::UntilMs])
                .action_and_where(held(Column::UntilMs).lt(now).or(held(Column::Owner).eq(owner)))
                .to_owned(),
        )
        .returning_col(Column::AccountId);
    db.write("lease_accounts", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let rows = tx.query_all(&claim).await?;
        let claimed = rows.iter().map(|row| row.try_get_by_index(0));
        Ok(claimed.collect::<Result<_, _>>()?)
    })
    .await
}

/// Gives leases back.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn release_leases(db: &Db, _scope: &Scope, accounts: &HashSet<Uuid>, owner: Uuid) -> Result<(), Error> {
    db.write("give_leases_back", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        engine_lease::Entity::delete_many()
            .filter(engine_lease::Column::AccountId.is_in(accounts.iter().copied()))
            .filter(engine_lease::Column::Owner.eq(owner))
            .exec(&**tx)
            .await?;
        Ok(())
    })
    .await
}

/// Those of these resources that still have something due, with their products, locked: soonest expiry first, as money
/// is spent. Those that another transaction holds are left to it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_batch(
    tx: &Tx,
    scope: &Scope,
    resources: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<(resource::Model, product::Model)>, Error> {
    let mut query = resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::Id.is_in(resources.iter().copied()))
        .filter(resource::Column::NextDueAt.is_not_null())
        .filter(resource::Column::NextDueAt.lte(now))
        .order_by_asc(resource::Column::PaidUntil)
        .order_by_asc(resource::Column::Id);
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
    let products: HashMap<Uuid, product::Model> = product::Entity::find()
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

/// The ends, suspensions and final notices that were handled of these resources, of all their periods.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn state_steps(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    resources: &[Uuid],
) -> Result<Vec<schedule_step::Model>, Error> {
    use entity::enums::{StepKind, StepStatus};
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    Ok(schedule_step::Entity::find()
        .filter(schedule_step::Column::ResourceId.is_in(resources.iter().copied()))
        .filter(schedule_step::Column::Kind.is_in([StepKind::Expire, StepKind::Suspend, StepKind::FinalNotice]))
        .filter(schedule_step::Column::Status.eq(StepStatus::Sent))
        .all(db)
        .await?)
}

/// Steps by their resource and period.
pub type Handled = HashMap<(Uuid, Uuid), Vec<schedule_step::Model>>;

/// These steps by their resource and period.
#[must_use]
pub fn by_period(steps: Vec<schedule_step::Model>) -> Handled {
    let mut handled = Handled::new();
    for step in steps {
        handled
            .entry((step.resource_id, step.period_id))
            .or_default()
            .push(step);
    }
    handled
}

/// What was handled of a resource in its present period.
#[must_use]
pub fn of_period<'a>(handled: &'a Handled, resource: &resource::Model) -> &'a [schedule_step::Model] {
    let period = resource.plan_id.and_then(|period| handled.get(&(resource.id, period)));
    period.map_or(&[][..], Vec::as_slice)
}

/// Adds to what is written: what became of steps, the alerts they made, and the resources as they now are. A step that
/// was handled before refuses the whole: it exists once.
pub fn write_batch(
    writes: &mut Writes,
    _scope: &Scope,
    steps: Vec<schedule_step::Model>,
    alerts: Vec<expiry_alert::Model>,
    resources: Vec<resource::Model>,
) {
    insert::<schedule_step::ActiveModel, _>(writes, steps);
    insert::<expiry_alert::ActiveModel, _>(writes, alerts);
    if !resources.is_empty() {
        // The rows are locked and whole: writing them over themselves is one statement for the batch.
        let values = resources.len() * resource::Column::iter().count();
        let rows = resource::Entity::insert_many(resources.into_iter().map(IntoActiveModel::into_active_model))
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
            );
        writes.insert(rows.into_query(), values);
    }
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
        .filter(resource::Column::NextDueAt.is_not_null())
        .exec(&**tx)
        .await?;
    Ok(())
}
