//! A transaction that is a single statement of PostgreSQL. A transaction that is begun pays for each of its statements, for
//! BEGIN and for COMMIT with a journey to the database and a wake-up of two processes; one whose writes are known before
//! the first of them goes, and are guarded by what was read, needs neither a lock before nor a COMMIT behind.
//!
//! Nothing is decided by it alone. What it can't do (a statement that writes or locks besides the one that is sent last),
//! what it finds changed since it was read, and what is refused on the strength of something that nobody had locked: all of
//! it ends with nothing written, and is done again by a transaction that is begun and locks what it reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::sea_query::Values;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Postgres};
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::failure;
use super::statements;
use super::writes::Part;

/// A connection that reads and is then sent one statement that writes.
#[derive(Debug)]
pub struct AtOnce {
    connection: tokio::sync::Mutex<PoolConnection<Postgres>>,
    /// Whether the body may go by what its process remembers, and whether it does.
    may_remember: bool,
    remembers: AtomicBool,
    /// What is written besides what the body collects: before it, and after it.
    besides: Mutex<Besides>,
    /// Whether the statement went.
    sent: AtomicBool,
    /// Whether it was kept.
    kept: AtomicBool,
    /// Whether it was kept, or nobody knows.
    in_doubt: AtomicBool,
}

/// Writes that the body of a transaction has others add.
#[derive(Debug, Default)]
pub(super) struct Besides {
    pub(super) before: Vec<(Part, usize)>,
    pub(super) after: Vec<(Part, usize)>,
}

impl AtOnce {
    /// One on a connection of this pool, whose body may go by what its process remembers, or must read.
    pub(super) async fn on(pool: &DatabaseConnection, may_remember: bool) -> Result<Self, DbErr> {
        let connection = pool.get_postgres_connection_pool().acquire().await;
        let connection = connection.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
            error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
        })?;
        Ok(Self {
            connection: tokio::sync::Mutex::new(connection),
            may_remember,
            remembers: AtomicBool::new(false),
            besides: Mutex::default(),
            sent: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        })
    }

    /// This has to be done in a transaction that is begun.
    pub(super) fn refusal() -> DbErr {
        DbErr::Custom("this is not for a transaction of a single statement".to_owned())
    }

    /// Reads. What would write or lock is refused.
    pub(super) async fn read(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let reads = statement.sql.starts_with("SELECT") && !statement.sql.contains(" FOR ");
        if !reads || self.sent.load(Ordering::Relaxed) {
            return Err(Self::refusal());
        }
        self.rows(statement).await
    }

    /// Sends the statement that writes. There is one.
    pub(super) async fn send(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if self.sent.swap(true, Ordering::Relaxed) {
            return Err(Self::refusal());
        }
        self.in_doubt.store(true, Ordering::Relaxed);
        let answer = self.rows(statement).await;
        match &answer {
            Ok(_) => self.kept.store(true, Ordering::Relaxed),
            Err(error) => self
                .in_doubt
                .store(failure::may_have_happened(error), Ordering::Relaxed),
        }
        answer
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        statements::count();
        let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
        let query = sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values));
        let mut connection = self.connection.lock().await;
        match query.fetch_all(&mut **connection).await {
            Ok(rows) => Ok(rows.into_iter().map(QueryResult::from).collect()),
            Err(error) => Err(DbErr::Query(RuntimeErr::SqlxError(error.into()))),
        }
    }

    pub(super) fn add_before(&self, part: Part, values: usize) {
        self.besides().before.push((part, values));
    }

    pub(super) fn add_after(&self, part: Part, values: usize) {
        self.besides().after.push((part, values));
    }

    pub(super) fn take_besides(&self) -> Besides {
        std::mem::take(&mut self.besides())
    }

    fn besides(&self) -> std::sync::MutexGuard<'_, Besides> {
        self.besides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process remembers, where the body may go by it. All of it has to be guarded by what is written.
    pub(crate) fn remembered<T>(&self, look: impl FnOnce() -> Option<T>) -> Option<T> {
        let remembered = self.may_remember.then(look).flatten();
        self.remembers.fetch_or(remembered.is_some(), Ordering::Relaxed);
        remembered
    }

    pub(super) fn went_by_memory(&self) -> bool {
        self.remembers.load(Ordering::Relaxed)
    }

    pub(super) fn was_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }
}

/// Who is being written about in this process. The second one about somebody would only find what it read changed by the
/// first: it waits for its turn, as it would have to wait for a lock in the database.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>);

/// A writer whose turn it is, or who waits for it.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    about: Uuid,
    lock: Arc<tokio::sync::Mutex<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of one more writer, in the order in which they come, and for so long. Answers whether it came.
    pub(super) async fn wait(&self, about: Uuid, most: Duration) -> (Turn<'_>, bool) {
        let lock = Arc::clone(self.lock().entry(about).or_default());
        // Who gives up while it waits is forgotten as who has had its turn is.
        let mut turn = Turn {
            turns: self,
            about,
            lock,
            held: None,
        };
        turn.held = tokio::time::timeout(most, Arc::clone(&turn.lock).lock_owned())
            .await
            .ok();
        let came = turn.held.is_some();
        (turn, came)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut writers = self.turns.lock();
        self.held = None;
        // The map's and this one's: nobody else has any, or can get one before the map is let go.
        if Arc::strong_count(&self.lock) <= 2 {
            writers.remove(&self.about);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use futures_util::poll;
    use uuid::Uuid;

    use super::Turns;

    const MOST: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn one_writes_about_somebody_at_a_time_and_who_gave_up_leaves_nothing() {
        let (turns, one, other) = (Turns::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let (first, came) = turns.wait(one, MOST).await;
        assert!(came);
        assert!(turns.wait(other, MOST).await.1, "others are not waited for");
        let mut second = Box::pin(turns.wait(one, MOST));
        let mut third = Box::pin(turns.wait(one, MOST));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        assert!(!turns.wait(one, Duration::ZERO).await.1, "it waits for so long");
        drop(first);
        // It was next, and has gone.
        drop(second);
        assert!(third.await.1);
        assert!(turns.lock().is_empty());
    }
}
