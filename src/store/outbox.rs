//! What goes out of the house: deliveries, derived from events exactly once, claimed before they are handed over.
//!
//! Two clocks: `created_at` and `delivered_at` are business time, as everything that is shown; the queue (`queued_at`,
//! `next_attempt_at`) goes by the machine's, and claims by the database's own.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use entity::enums::{DeliveryChannel, DeliveryStatus};
use entity::{account, account_event, outbox_cursor, outbox_delivery};
use sea_orm::sea_query::{
    Alias, CaseStatement, Expr, JoinType, LockBehavior, LockType, OnConflict, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::error::Error;

/// Up to how many rows are counted for who looks at the queue: more are shown as so many.
const MOST_COUNTED: u64 = 10_000;
/// How many rows one statement writes.
const ROWS: usize = 1_000;
/// The longest error that is kept.
const MOST_ERROR: usize = 500;

/// Begins to hand on an account's events from a number on; one that was begun before goes on from where it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn begin(tx: &Tx, _scope: &Scope, account: Uuid, sequence: i64) -> Result<(), Error> {
    let cursor = outbox_cursor::Model {
        account_id: account,
        channel: DeliveryChannel::Email,
        sequence,
    };
    outbox_cursor::Entity::insert(cursor.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// Accounts that have events which were not handed on, at most `most`; none only when there are none. Of what was told
/// since an instant, or of all that was ever told: the first costs what was told since, the second what accounts there
/// are with somebody to be told.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn behind(
    db: &impl ConnectionTrait,
    scope: &Scope,
    since: Option<DateTime<Utc>>,
    most: u64,
) -> Result<Vec<Uuid>, Error> {
    let rows = db.query_all(&behind_since(scope, since, most)).await?;
    let accounts = rows.iter().map(|row| row.try_get_by_index(0));
    let accounts: BTreeSet<Uuid> = accounts.collect::<Result<_, DbErr>>()?;
    Ok(accounts.into_iter().collect())
}

/// The statement of [`behind`]. Events that are new are looked up among the cursors, not the cursors among events: most
/// accounts have nothing new.
pub(super) fn behind_since(scope: &Scope, since: Option<DateTime<Utc>>, most: u64) -> SelectStatement {
    use outbox_cursor::{Column, Entity};
    let own = |column: Column| Expr::col((Entity, column));
    let mut select = Query::select();
    match since {
        Some(since) => {
            let event = |column: account_event::Column| Expr::col((account_event::Entity, column));
            let behind = Query::select()
                .expr(Expr::val(1))
                .from(Entity)
                .and_where(own(Column::AccountId).equals((account_event::Entity, account_event::Column::AccountId)))
                .and_where(own(Column::Channel).eq(DeliveryChannel::Email.as_str()))
                .and_where(own(Column::Sequence).lt(event(account_event::Column::Sequence)))
                .to_owned();
            // Not DISTINCT: SQLite would go through all events by their accounts to have them in order.
            select
                .column((account_event::Entity, account_event::Column::AccountId))
                .from(account_event::Entity)
                .and_where(event(account_event::Column::CreatedAt).gte(since))
                .and_where(Expr::exists(behind))
                .cond_where(scope.accounts((account_event::Entity, account_event::Column::AccountId)));
        }
        None => {
            let of = |column: account::Column| Expr::col((account::Entity, column));
            select
                .column((Entity, Column::AccountId))
                .from(Entity)
                .join(
                    JoinType::InnerJoin,
                    account::Entity,
                    of(account::Column::Id).equals((Entity, Column::AccountId)),
                )
                .and_where(own(Column::Channel).eq(DeliveryChannel::Email.as_str()))
                .and_where(of(account::Column::EventSequence).gt(own(Column::Sequence)))
                .cond_where(scope.accounts((Entity, Column::AccountId)));
        }
    }
    select.limit(most).to_owned()
}

/// How far these accounts' events were handed on, locked. Those that another process is at are left to it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_cursors(tx: &Tx, scope: &Scope, accounts: &[Uuid]) -> Result<Vec<(Uuid, i64)>, Error> {
    use outbox_cursor::{Column, Entity};
    let mut query = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::Channel.eq(DeliveryChannel::Email))
        .filter(Column::AccountId.is_in(accounts.iter().copied()))
        .order_by_asc(Column::AccountId);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let cursors = query.all(&**tx).await?;
    Ok(cursors
        .into_iter()
        .map(|cursor| (cursor.account_id, cursor.sequence))
        .collect())
}

/// Lets nobody else change who is told of an account, until the transaction ends.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_account(tx: &Tx, _scope: &Scope, account: Uuid) -> Result<(), Error> {
    use outbox_cursor::{Column, Entity};
    if db::locks_rows(tx.get_database_backend()) {
        Entity::find()
            .filter(Column::Channel.eq(DeliveryChannel::Email))
            .filter(Column::AccountId.eq(account))
            .lock_exclusive()
            .one(&**tx)
            .await?;
    }
    Ok(())
}

/// Notes that the events of accounts were handed on up to these. The caller holds them locked.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn move_cursors(tx: &Tx, _scope: &Scope, to: &[(Uuid, i64)]) -> Result<(), Error> {
    use outbox_cursor::{Column, Entity};
    if to.is_empty() {
        return Ok(());
    }
    let mut sequence = CaseStatement::new();
    for (account, handed_on) in to {
        sequence = sequence.case(
            Expr::col((Entity, Column::AccountId)).eq(*account),
            Expr::val(*handed_on),
        );
    }
    let sequence = sequence.finally(Expr::col((Entity, Column::Sequence)));
    Entity::update_many()
        .col_expr(Column::Sequence, SimpleExpr::Case(Box::new(sequence)))
        .filter(Column::Channel.eq(DeliveryChannel::Email))
        .filter(Column::AccountId.is_in(to.iter().map(|(account, _)| *account)))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Writes new deliveries. One for an event and a target that is there already stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn write(tx: &Tx, _scope: &Scope, deliveries: Vec<outbox_delivery::Model>) -> Result<(), Error> {
    let mut rows = deliveries.into_iter().map(|row| row.into_active_model()).peekable();
    while rows.peek().is_some() {
        let chunk: Vec<_> = rows.by_ref().take(ROWS).collect();
        outbox_delivery::Entity::insert_many(chunk)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(&**tx)
            .await?;
    }
    Ok(())
}

/// Adds a new delivery to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, row: outbox_delivery::Model) {
    insert::<outbox_delivery::ActiveModel, _>(writes, vec![row]);
}

/// Whether a delivery is due, and whether one was claimed by somebody who has not been heard of since.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn waits(db: &impl ConnectionTrait, _scope: &Scope, at: DateTime<Utc>) -> Result<(bool, bool), Error> {
    use outbox_delivery::{Column, Entity};
    // What is to be tried has an instant, and what is claimed a lease: by those they are found, and by no status.
    let due = Entity::find()
        .filter(Column::NextAttemptAt.lte(at))
        .filter(Column::Channel.eq(DeliveryChannel::Email))
        .limit(1)
        .one(db)
        .await?;
    let lost = Entity::find()
        .filter(Expr::col((Entity, Column::LeaseUntilMs)).lt(db::lease_time(db.get_database_backend())))
        .limit(1)
        .one(db)
        .await?;
    Ok((due.is_some(), lost.is_some()))
}

/// Claims deliveries that are due, the longest due first, at most `most`, for some seconds of the database's own clock.
/// Nobody else gets them, not even after that: see [`give_up_lost`].
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn claim(
    tx: &Tx,
    scope: &Scope,
    at: DateTime<Utc>,
    most: u64,
    owner: Uuid,
    seconds: i64,
) -> Result<Vec<outbox_delivery::Model>, Error> {
    use outbox_delivery::{Column, Entity};
    let mut due = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::NextAttemptAt.lte(at))
        .filter(Column::Channel.eq(DeliveryChannel::Email))
        .order_by_asc(Column::NextAttemptAt)
        .limit(most);
    if db::locks_rows(tx.get_database_backend()) {
        due = due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let due: Vec<Uuid> = due.into_tuple().all(&**tx).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let until = db::lease_time(tx.get_database_backend()).add(seconds.saturating_mul(1_000));
    let mut claimed = Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Sending.as_str()))
        .col_expr(Column::Attempts, Expr::col((Entity, Column::Attempts)).add(1))
        .col_expr(Column::NextAttemptAt, Expr::val(Option::<DateTime<Utc>>::None))
        .col_expr(Column::LeaseOwner, Expr::val(owner))
        .col_expr(Column::LeaseUntilMs, until)
        .filter(Column::Id.is_in(due))
        .filter(Column::Status.eq(DeliveryStatus::Pending))
        .exec_with_returning(&**tx)
        .await?;
    claimed.sort_by_key(|delivery| delivery.id);
    Ok(claimed)
}

/// Gives up what was claimed by somebody who has not been heard of since, and answers how many. Whether it was sent is
/// not known, so it is not sent again.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn give_up_lost(tx: &Tx, _scope: &Scope, why: &str) -> Result<u64, Error> {
    use outbox_delivery::{Column, Entity};
    let done = Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Dead.as_str()))
        .col_expr(Column::LastError, Expr::val(bounded(why)))
        .col_expr(Column::LeaseOwner, Expr::val(Option::<Uuid>::None))
        .col_expr(Column::LeaseUntilMs, Expr::val(Option::<i64>::None))
        .filter(Column::Status.eq(DeliveryStatus::Sending))
        .filter(Expr::col((Entity, Column::LeaseUntilMs)).lt(db::lease_time(tx.get_database_backend())))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected)
}

/// What became of a delivery that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was taken, at this instant of business time.
    Delivered(DateTime<Utc>),
    /// It is tried again at this instant of machine time.
    Later(DateTime<Utc>, String),
    /// It was not begun: as if it had not been claimed, and due at this instant of machine time.
    NotBegun(DateTime<Utc>),
    /// It is given up.
    Dead(String),
}

/// Notes what became of a delivery, and answers whether it was still claimed by this process.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn settle(tx: &Tx, _scope: &Scope, delivery: Uuid, owner: Uuid, settled: &Settled) -> Result<bool, Error> {
    use outbox_delivery::{Column, Entity};
    let nothing = Option::<String>::None;
    let (status, next, error, delivered) = match settled {
        Settled::Delivered(now) => (DeliveryStatus::Delivered, None, nothing, Some(*now)),
        Settled::Later(at, why) => (DeliveryStatus::Pending, Some(*at), Some(bounded(why)), None),
        Settled::NotBegun(at) => (DeliveryStatus::Pending, Some(*at), nothing, None),
        Settled::Dead(why) => (DeliveryStatus::Dead, None, Some(bounded(why)), None),
    };
    let mut update = Entity::update_many()
        .col_expr(Column::Status, Expr::val(status.as_str()))
        .col_expr(Column::NextAttemptAt, Expr::val(next))
        .col_expr(Column::DeliveredAt, Expr::val(delivered))
        .col_expr(Column::LeaseOwner, Expr::val(Option::<Uuid>::None))
        .col_expr(Column::LeaseUntilMs, Expr::val(Option::<i64>::None));
    if let Settled::NotBegun(_) = settled {
        update = update.col_expr(Column::Attempts, Expr::col((Entity, Column::Attempts)).sub(1));
    } else {
        update = update.col_expr(Column::LastError, Expr::val(error));
    }
    let done = update
        .filter(Column::Id.eq(delivery))
        .filter(Column::Status.eq(DeliveryStatus::Sending))
        .filter(Column::LeaseOwner.eq(owner))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Gives up what waits for recipients who are written to no more.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn give_up_of(tx: &Tx, _scope: &Scope, recipients: &[Uuid], why: &str) -> Result<(), Error> {
    use outbox_delivery::{Column, Entity};
    if recipients.is_empty() {
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Dead.as_str()))
        .col_expr(Column::NextAttemptAt, Expr::val(Option::<DateTime<Utc>>::None))
        .col_expr(Column::LastError, Expr::val(bounded(why)))
        .filter(Column::RecipientId.is_in(recipients.iter().copied()))
        .filter(Column::Status.eq(DeliveryStatus::Pending))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Puts a delivery that was given up into the queue again, and answers whether it was.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn requeue(tx: &Tx, scope: &Scope, delivery: Uuid, at: DateTime<Utc>) -> Result<bool, Error> {
    use outbox_delivery::{Column, Entity};
    let done = Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Pending.as_str()))
        .col_expr(Column::Attempts, Expr::val(0))
        .col_expr(Column::NextAttemptAt, Expr::val(at))
        .col_expr(Column::QueuedAt, Expr::val(at))
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::Id.eq(delivery))
        .filter(Column::Status.eq(DeliveryStatus::Dead))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The links that were sent, or are to be, to these recipients, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn links_of(tx: &Tx, scope: &Scope, recipients: &[Uuid]) -> Result<Vec<outbox_delivery::Model>, Error> {
    use outbox_delivery::{Column, Entity};
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::RecipientId.is_in(recipients.iter().copied()))
        .filter(Column::EventSequence.is_null())
        .order_by_asc(Column::Id)
        .all(&**tx)
        .await?)
}

/// How many links an account had written since an instant.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn links_since(tx: &Tx, scope: &Scope, account: Uuid, since: DateTime<Utc>) -> Result<u64, Error> {
    use outbox_delivery::{Column, Entity};
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.eq(account))
        .filter(Column::EventSequence.is_null())
        .filter(Column::CreatedAt.gt(since))
        .count(&**tx)
        .await?)
}

/// Which deliveries are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Of this account.
    pub account: Option<Uuid>,
    /// In this state.
    pub status: Option<DeliveryStatus>,
}

/// The deliveries that the caller may see, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn list(
    db: &impl ConnectionTrait,
    scope: &Scope,
    filter: Filter,
    page: &Page,
) -> Result<Slice<outbox_delivery::Model>, Error> {
    use outbox_delivery::{Column, Entity};
    let own = |column: Column| Expr::col((Entity, column));
    let mut select = page::whole(Entity);
    select.cond_where(scope.accounts((Entity, Column::AccountId)));
    if let Some(account) = filter.account {
        select.and_where(own(Column::AccountId).eq(account));
    }
    if let Some(status) = filter.status {
        select.and_where(own(Column::Status).eq(status.as_str()));
    }
    let keyset = Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id)).descending();
    page::read_all(db, select, &keyset, page, page::model).await
}

/// Where a delivery stands in its list.
#[must_use]
pub fn place(delivery: &outbox_delivery::Model) -> Place {
    Place {
        key: Key::Instant(delivery.created_at),
        id: delivery.id,
    }
}

/// These deliveries.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<outbox_delivery::Model>, Error> {
    use outbox_delivery::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// What waits in the queue, and what was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deliveries are to be sent; at most ten thousand are counted.
    pub pending: i64,
    /// How many were given up; at most ten thousand are counted.
    pub dead: i64,
    /// Since when the oldest is due, in machine time.
    pub oldest: Option<DateTime<Utc>>,
}

/// What waits in the queue, and what was given up.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn backlog(db: &impl ConnectionTrait, scope: &Scope) -> Result<Backlog, Error> {
    use outbox_delivery::{Column, Entity};
    let oldest: Option<Option<DateTime<Utc>>> = Entity::find()
        .select_only()
        .column(Column::NextAttemptAt)
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::NextAttemptAt.is_not_null())
        .order_by_asc(Column::NextAttemptAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    Ok(Backlog {
        pending: counted(db, scope, DeliveryStatus::Pending).await?,
        dead: counted(db, scope, DeliveryStatus::Dead).await?,
        oldest: oldest.flatten(),
    })
}

async fn counted(db: &impl ConnectionTrait, scope: &Scope, status: DeliveryStatus) -> Result<i64, Error> {
    use outbox_delivery::{Column, Entity};
    let some: SelectStatement = Query::select()
        .column((Entity, Column::Id))
        .from(Entity)
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .and_where(Expr::col((Entity, Column::Status)).eq(status.as_str()))
        .limit(MOST_COUNTED)
        .to_owned();
    let count = Query::select()
        .expr(Expr::cust("count(*)"))
        .from_subquery(some, Alias::new("some_of_them"))
        .to_owned();
    let row = db.query_one(&count).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0))
}

/// The accounts of these deliveries, each once.
#[must_use]
pub fn accounts_of(deliveries: &[outbox_delivery::Model]) -> Vec<Uuid> {
    let accounts: BTreeSet<Uuid> = deliveries.iter().map(|delivery| delivery.account_id).collect();
    accounts.into_iter().collect()
}

/// An error as it is kept: what a mail server said is somebody else's text, of any length.
fn bounded(why: &str) -> String {
    let clean = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MOST_ERROR).collect()
}
