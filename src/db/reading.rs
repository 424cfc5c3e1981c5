//! Connections that read again. A pool tests each connection that comes back to it, with a journey to the database and a
//! task, which is half of what a small read costs. A request reads level by level: some connections are kept between
//! reads instead, and go back to the pool, which tests them, only now and then, and whenever anything went wrong.
//!
//! At most half of the pool is used so, and who waits for one of them holds none: what writes, and what reads in a
//! transaction, always finds the other half.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sea_orm::sea_query::Values;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Database, Pool, Postgres, Sqlite};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::statements;
use crate::clock;

/// How many reads a connection makes before the pool tests it.
const MOST_READS: u32 = 1_000;
/// How long it may have done nothing: after it the pool gives another one.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What reads that belong to no transaction go to.
#[derive(Debug)]
pub struct Reading(Store);

#[derive(Debug)]
enum Store {
    Postgres(Kept<Postgres>),
    Sqlite(Kept<Sqlite>),
}

/// The connections that are kept.
#[derive(Debug)]
struct Kept<D: Database> {
    pool: Pool<D>,
    /// How many may read at once.
    turns: Semaphore,
    /// How long a reader waits for its turn.
    wait: Duration,
    resting: Mutex<Vec<Resting<D>>>,
}

/// A connection between two reads.
#[derive(Debug)]
struct Resting<D: Database> {
    connection: PoolConnection<D>,
    reads: u32,
    since: Instant,
}

impl Reading {
    /// Reads on half of a pool of so many connections.
    pub(super) fn on(pool: &DatabaseConnection, connections: u32, wait: Duration) -> Self {
        let most = usize::try_from(connections / 2).unwrap_or(1).max(1);
        Self(match pool.get_database_backend() {
            DbBackend::Postgres => Store::Postgres(Kept::new(pool.get_postgres_connection_pool(), most, wait)),
            _ => Store::Sqlite(Kept::new(pool.get_sqlite_connection_pool(), most, wait)),
        })
    }

    /// Gives the connections back, and keeps none any more.
    pub(super) fn close(&self) {
        match &self.0 {
            Store::Postgres(kept) => kept.close(),
            Store::Sqlite(kept) => kept.close(),
        }
    }

    fn refusal() -> DbErr {
        DbErr::Custom("this reads, and does nothing else".to_owned())
    }
}

impl<D: Database> Kept<D> {
    fn new(pool: &Pool<D>, most: usize, wait: Duration) -> Self {
        Self {
            pool: pool.clone(),
            turns: Semaphore::new(most),
            wait,
            resting: Mutex::default(),
        }
    }

    fn close(&self) {
        self.turns.close();
        self.resting().clear();
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting<D>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of one reader. The next one's comes when it is let go.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, DbErr> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        match tokio::time::timeout(self.wait, self.turns.acquire()).await {
            Ok(turn) => turn.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
        }
    }

    /// A connection, and how many reads it has made.
    async fn connection(&self) -> Result<(PoolConnection<D>, u32), DbErr> {
        // What has rested for too long goes back to the pool here.
        let rested = self.resting().pop();
        if let Some(Resting {
            connection,
            reads,
            since,
        }) = rested
            && reads < MOST_READS
            && clock::monotonic().duration_since(since) < LONGEST_REST
        {
            return Ok((connection, reads));
        }
        let connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
            error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
        })?;
        Ok((connection, 0))
    }

    fn keep(&self, connection: PoolConnection<D>, reads: u32) {
        let resting = Resting {
            connection,
            reads: reads.saturating_add(1),
            since: clock::monotonic(),
        };
        let mut others = self.resting();
        // Who closes it looks for them after it has ended all turns.
        if !self.turns.is_closed() {
            others.push(resting);
        }
    }
}

/// Runs a statement on one of the kept connections. One that is dropped on the way, by an error or by whoever no longer
/// waits, goes to the pool.
macro_rules! rows {
    ($kept:expr, $statement:expr) => {{
        let (kept, statement) = ($kept, $statement);
        let _turn = kept.turn().await?;
        let (mut connection, reads) = kept.connection().await?;
        statements::count();
        let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
        let query = sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values));
        let read = query.fetch_all(&mut *connection).await;
        let rows = read.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))?;
        kept.keep(connection, reads);
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }};
}

#[async_trait]
impl ConnectionTrait for Reading {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Store::Postgres(_) => DbBackend::Postgres,
            Store::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, _statement: Statement) -> Result<ExecResult, DbErr> {
        Err(Self::refusal())
    }

    async fn execute_unprepared(&self, _sql: &str) -> Result<ExecResult, DbErr> {
        Err(Self::refusal())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Store::Postgres(kept) => rows!(kept, statement),
            Store::Sqlite(kept) => rows!(kept, statement),
        }
    }
}
