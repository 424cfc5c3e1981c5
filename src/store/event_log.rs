//! The stream of what each account is told: gap-free sequence numbers, assigned in the transaction that wrote the news.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use entity::enums::EventType;
use entity::{account, account_event};
use sea_orm::sea_query::{CaseStatement, Expr, JoinType, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult as _, IdenStatic as _, Iterable as _,
    ModelTrait as _, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;

/// How many rows of news one statement writes.
const NEWS_IN_A_STATEMENT: usize = 1_000;

/// How many events of an account are read at once.
pub const NEXT: i64 = 100;

/// Something to tell an account: what happened, and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub kind: EventType,
    /// The resource it is about.
    pub resource: Option<Uuid>,
    /// The order it is about.
    pub order: Option<Uuid>,
    /// The payment it is about.
    pub payment: Option<Uuid>,
    /// The invoice it is about.
    pub invoice: Option<Uuid>,
    /// The expiry alert it carries.
    pub alert: Option<Uuid>,
    /// The wallet it is about.
    pub wallet: Option<Uuid>,
}

impl News {
    /// News of a kind, about nothing yet.
    #[must_use]
    pub const fn of(kind: EventType) -> Self {
        Self {
            kind,
            resource: None,
            order: None,
            payment: None,
            invoice: None,
            alert: None,
            wallet: None,
        }
    }

    /// About a resource.
    #[must_use]
    pub const fn resource(mut self, id: Uuid) -> Self {
        self.resource = Some(id);
        self
    }

    /// About an order.
    #[must_use]
    pub const fn order(mut self, id: Uuid) -> Self {
        self.order = Some(id);
        self
    }

    /// About a payment.
    #[must_use]
    pub const fn payment(mut self, id: Uuid) -> Self {
        self.payment = Some(id);
        self
    }

    /// About an invoice.
    #[must_use]
    pub const fn invoice(mut self, id: Uuid) -> Self {
        self.invoice = Some(id);
        self
    }

    /// Carrying an expiry alert.
    #[must_use]
    pub const fn alert(mut self, id: Uuid) -> Self {
        self.alert = Some(id);
        self
    }

    /// About a wallet.
    #[must_use]
    pub const fn wallet(mut self, id: Uuid) -> Self {
        self.wallet = Some(id);
        self
    }

    /// The event that it is at a place of an account's stream, told at an instant of whole microseconds.
    #[must_use]
    pub const fn event(self, account: Uuid, sequence: i64, now: DateTime<Utc>) -> account_event::Model {
        account_event::Model {
            account_id: account,
            sequence,
            kind: self.kind,
            resource_id: self.resource,
            order_id: self.order,
            payment_id: self.payment,
            invoice_id: self.invoice,
            alert_id: self.alert,
            wallet_id: self.wallet,
            created_at: now,
        }
    }
}

/// Takes the next sequence numbers of some accounts, so many of each, and answers the first of each. The accounts' rows
/// stay locked until the transaction ends, which is what keeps the numbers gap-free and in the order of commits: take
/// them last.
///
/// # Errors
/// [`Error::NotFound`] when one of the accounts is not there.
pub async fn take_sequences(
    tx: &Tx,
    _scope: &Scope,
    counts: &BTreeMap<Uuid, i64>,
) -> Result<HashMap<Uuid, i64>, Error> {
    use account::{Column, Entity};
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let mut more = CaseStatement::new();
    for (account, count) in counts {
        more = more.case(Expr::col((Entity, Column::Id)).eq(*account), Expr::val(*count));
    }
    let rows = Entity::update_many()
        .col_expr(
            Column::EventSequence,
            Expr::col((Entity, Column::EventSequence)).add(SimpleExpr::Case(Box::new(more.finally(0_i64)))),
        )
        .filter(Column::Id.is_in(counts.keys().copied()))
        .exec_with_returning(&**tx)
        .await?;
    if rows.len() < counts.len() {
        return Err(Error::NotFound("account"));
    }
    let first = |row: &account::Model| row.event_sequence - counts.get(&row.id).copied().unwrap_or(0) + 1;
    Ok(rows.iter().map(|row| (row.id, first(row))).collect())
}

/// Adds news to an account's stream, in the given order, numbered by the statement that counts them. The last of what a
/// transaction writes: the account's row stays locked until it ends, which is what keeps the numbers gap-free and in the
/// order of commits. [`Writes::send`] answers the newest number.
///
/// # Errors
/// [`Error::Internal`] for news that were added before.
pub fn append(
    writes: &mut Writes,
    _scope: &Scope,
    account: Uuid,
    news: &[News],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    use account_event::{Column, Entity};
    let count = i64::try_from(news.len()).map_err(Error::internal)?;
    if count == 0 {
        return Ok(());
    }
    let change = account::Entity::update_many()
        .col_expr(
            account::Column::EventSequence,
            Expr::col((account::Entity, account::Column::EventSequence)).add(count),
        )
        .filter(account::Column::Id.eq(account));
    let found_by = account::Entity::find_by_id(account)
        .select_only()
        .column(account::Column::EventSequence);
    let newest = writes.count_up(
        change.into_query(),
        account::Column::EventSequence.as_str(),
        found_by.into_query(),
    )?;
    let columns: Vec<Column> = Column::iter().collect();
    for (chunk, first) in news
        .chunks(NEWS_IN_A_STATEMENT)
        .zip((0..count).step_by(NEWS_IN_A_STATEMENT))
    {
        let mut rows = Query::insert();
        rows.into_table(Entity).columns(columns.iter().copied());
        for (position, news) in (first..).zip(chunk) {
            let row = news.event(account, 0, now);
            let values = columns.iter().map(|column| match column {
                Column::Sequence => newest.clone().sub(count - 1 - position),
                column => Expr::val(row.get(*column)),
            });
            rows.values(values).map_err(Error::internal)?;
        }
        writes.insert(rows, chunk.len() * columns.len());
    }
    Ok(())
}

/// The events at these places of accounts' streams. One statement, none for no places.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_places(
    db: &impl ConnectionTrait,
    scope: &Scope,
    places: &[(Uuid, i64)],
) -> Result<Vec<account_event::Model>, Error> {
    use account_event::{Column, Entity};
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let these = places
        .iter()
        .fold(sea_orm::Condition::any(), |any, (account, sequence)| {
            any.add(
                sea_orm::Condition::all()
                    .add(Column::AccountId.eq(*account))
                    .add(Column::Sequence.eq(*sequence)),
            )
        });
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(these)
        .all(db)
        .await?)
}

/// Adds events at sequence numbers that were taken before, for rows that carry their own number.
pub fn write_at(writes: &mut Writes, _scope: &Scope, events: &[account_event::Model]) {
    insert::<account_event::ActiveModel, _>(writes, events.to_vec());
}

/// Which part of an account's stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The newest sequence number.
    pub newest: i64,
    /// The number before the oldest event that is kept: the oldest cursor that misses nothing.
    pub before_oldest: i64,
}

/// Which part of an account's stream is kept; nothing for an account that the caller may not see.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn kept(db: &impl ConnectionTrait, scope: &Scope, account: Uuid) -> Result<Option<Kept>, Error> {
    let oldest = account_event::Entity::find()
        .select_only()
        .expr(Expr::col((account_event::Entity, account_event::Column::Sequence)).min())
        .filter(account_event::Column::AccountId.eq(account))
        .into_query();
    let found: Option<(i64, Option<i64>)> = account::Entity::find()
        .select_only()
        .column(account::Column::EventSequence)
        .expr_as(Expr::SubQuery(None, Box::new(oldest.into())), "oldest")
        .filter(scope.accounts((account::Entity, account::Column::Id)))
        .filter(account::Column::Id.eq(account))
        .into_tuple()
        .one(db)
        .await?;
    Ok(found.map(|(newest, oldest)| Kept {
        newest,
        before_oldest: oldest.map_or(newest, |oldest| oldest - 1),
    }))
}

/// The events of an account after a sequence number, oldest first, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn after(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
    sequence: i64,
    most: u64,
) -> Result<Vec<account_event::Model>, Error> {
    Ok(account_event::Entity::find()
        .filter(scope.accounts((account_event::Entity, account_event::Column::AccountId)))
        .filter(account_event::Column::AccountId.eq(account))
        .filter(account_event::Column::Sequence.gt(sequence))
        .order_by_asc(account_event::Column::Sequence)
        .limit(most)
        .all(db)
        .await?)
}

/// The events of each of these accounts after its sequence number, oldest first, at most [`NEXT`] of each; by what was
/// asked. One statement for all of them.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_of_each(
    db: &impl ConnectionTrait,
    scope: &Scope,
    places: &[(Uuid, i64)],
) -> Result<HashMap<(Uuid, i64), Vec<account_event::Model>>, Error> {
    use account_event::{Column, Entity};
    let wanted = |column: &'static str| Expr::col(("wanted", column));
    let event = |column: Column| Expr::col((Entity, column));
    // There are few lengths of this text, each of which the store prepares once: no account has the number nil.
    let padding = std::iter::repeat_n((Uuid::nil(), 0), places.len().next_power_of_two() - places.len());
    let query = Query::select()
        .columns(Column::iter().map(|column| (Entity, column)))
        .from_values(places.iter().copied().chain(padding), "wanted")
        .join(
            JoinType::InnerJoin,
            Entity,
            event(Column::AccountId)
                .equals(("wanted", "column1"))
                .and(event(Column::Sequence).gt(wanted("column2")))
                .and(event(Column::Sequence).lte(wanted("column2").add(NEXT))),
        )
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .to_owned();
    let rows = db.query_all(&query).await?;
    let mut found: HashMap<Uuid, Vec<account_event::Model>> = HashMap::with_capacity(places.len());
    for row in rows {
        let event = account_event::Model::from_query_result(&row, "")?;
        found.entry(event.account_id).or_default().push(event);
    }
    let mut next = HashMap::with_capacity(places.len());
    for (account, after) in places {
        // One account may be read from two places.
        let events = found.get(account).into_iter().flatten();
        let mut events: Vec<_> = events
            .filter(|event| (after + 1..=after + NEXT).contains(&event.sequence))
            .cloned()
            .collect();
        events.sort_unstable_by_key(|event| event.sequence);
        events.dedup_by_key(|event| event.sequence);
        next.insert((*account, *after), events);
    }
    Ok(next)
}

/// The newest sequence number of each of these accounts. One statement for all of them.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn newest_sequences(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<Vec<(Uuid, i64)>, Error> {
    let mut newest = Vec::with_capacity(accounts.len());
    for accounts in accounts.chunks(1_000) {
        let rows: Vec<(Uuid, i64)> = account::Entity::find()
            .select_only()
            .column(account::Column::Id)
            .column(account::Column::EventSequence)
            .filter(scope.accounts((account::Entity, account::Column::Id)))
            .filter(account::Column::Id.is_in(accounts.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        newest.extend(rows);
    }
    Ok(newest)
}
