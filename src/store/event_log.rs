//! The stream of what each account is told: gap-free sequence numbers, assigned in the transaction that wrote the news.

use chrono::{DateTime, Utc};
use entity::enums::EventType;
use entity::{account, account_event};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IdenStatic as _, Iterable as _, ModelTrait as _, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;

/// How many rows of news one statement writes.
const NEWS_IN_A_STATEMENT: usize = 1_000;

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
}

/// Takes the next `count` sequence numbers of an account, and answers the first. The account's row stays locked until
/// the transaction ends, which is what keeps the numbers gap-free and in the order of commits: take them last.
///
/// # Errors
/// [`Error::NotFound`] when there is no such account.
pub async fn take_sequences(tx: &Tx, _scope: &Scope, account: Uuid, count: usize) -> Result<i64, Error> {
    let count = i64::try_from(count).map_err(Error::internal)?;
    let rows = account::Entity::update_many()
        .col_expr(
            account::Column::EventSequence,
            Expr::col(account::Column::EventSequence).add(count),
        )
        .filter(account::Column::Id.eq(account))
        .exec_with_returning(&**tx)
        .await?;
    let newest = rows.first().ok_or(Error::NotFound("account"))?.event_sequence;
    Ok(newest - count + 1)
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
            let row = row(account, 0, news, now);
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

/// Adds news at sequence numbers that were taken before, for rows that carry their own number, and answers the newest.
pub fn write_at(
    writes: &mut Writes,
    _scope: &Scope,
    account: Uuid,
    first: i64,
    news: &[News],
    now: DateTime<Utc>,
) -> i64 {
    let rows: Vec<_> = (first..)
        .zip(news)
        .map(|(sequence, news)| row(account, sequence, news, now))
        .collect();
    let newest = rows.last().map_or(first, |row| row.sequence);
    insert::<account_event::ActiveModel, _>(writes, rows);
    newest
}

fn row(account: Uuid, sequence: i64, news: &News, now: DateTime<Utc>) -> account_event::Model {
    account_event::Model {
        account_id: account,
        sequence,
        kind: news.kind,
        resource_id: news.resource,
        order_id: news.order,
        payment_id: news.payment,
        invoice_id: news.invoice,
        alert_id: news.alert,
        wallet_id: news.wallet,
        created_at: now,
    }
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
