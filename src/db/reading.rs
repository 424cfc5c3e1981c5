//! Connections that read again. A pool tests each connection that comes back to it, with a journey to the database and a
//! task, which is half of what a small read costs. A request reads level by level: some connections are kept between
//! reads instead, and go back to the pool, which tests them, only now and then, and whenever anything went wrong.
//!
//! At most half of the pool is used so, and who waits for one of them holds none: what writes, and what reads in a
//! transaction, finds the other half. One whose read was given up or has failed is not let go before it has come to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sea_orm::sea_query::Values;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Database, Pool, Postgres, Sqlite};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};
use sea_query_sqlx::SqlxValues;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::statements;
use crate::clock;

/// How many reads a connection makes before the pool tests it.
const MOST_READS: u32 = 1_000;
/// How long it may do nothing: after it the pool has it back, with the next read of any.
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
    turns: Arc<Semaphore>,
    /// How long a reader waits for a connection.
    wait: Duration,
    resting: Mutex<Vec<Resting<D>>>,
    /// Connections go back to the pool in tasks, also when nothing of it runs any more where they are let go.
    runtime: Handle,
}

/// A connection between two reads.
#[derive(Debug)]
struct Resting<D: Database> {
    connection: PoolConnection<D>,
    reads: u32,
    since: Instant,
}

/// A connection that reads, and the turn of its reader.
struct InUse<'a, D: Database> {
    kept: &'a Kept<D>,
    /// None when they have gone elsewhere.
    held: Option<(PoolConnection<D>, OwnedSemaphorePermit)>,
    reads: u32,
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
            turns: Arc::new(Semaphore::new(most)),
            wait,
            resting: Mutex::default(),
            runtime: Handle::current(),
        }
    }

    fn close(&self) {
        self.turns.close();
        self.resting().clear();
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting<D>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to read on.
    async fn begin(&self) -> Result<InUse<'_, D>, DbErr> {
        // Most find a turn and a connection, and need no timer.
        let mut turn = Arc::clone(&self.turns).try_acquire_owned().ok();
        if let Some(own) = turn.take() {
            match self.rested() {
                Some(rested) => return Ok(self.in_use(rested.connection, own, rested.reads)),
                None => turn = Some(own),
            }
        }
        let waits = async {
            let turn = match turn {
                Some(turn) => turn,
                None => {
                    let turn = Arc::clone(&self.turns).acquire_owned().await;
                    turn.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?
                }
            };
            if let Some(rested) = self.rested() {
                return Ok(self.in_use(rested.connection, turn, rested.reads));
            }
            let connection = self.pool.acquire().await.map_err(|error| match error {
                sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
                error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
            })?;
            Ok(self.in_use(connection, turn, 0))
        };
        let waited = tokio::time::timeout(self.wait, waits).await;
        waited.unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)))
    }

    /// One that may read again at once. What has rested for too long, or read often enough, goes back to the pool here.
    fn rested(&self) -> Option<Resting<D>> {
        let now = clock::monotonic();
        let mut resting = self.resting();
        resting.retain(|one| one.reads < MOST_READS && now.duration_since(one.since) < LONGEST_REST);
        resting.pop()
    }

    const fn in_use(&self, connection: PoolConnection<D>, turn: OwnedSemaphorePermit, reads: u32) -> InUse<'_, D> {
        InUse {
            kept: self,
            held: Some((connection, turn)),
            reads,
        }
    }
}

impl<D: Database> Drop for Kept<D> {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.resting().clear();
    }
}

impl<D: Database> InUse<'_, D> {
    /// Keeps the connection, whose read has come to its end.
    fn keep(mut self) {
        let Some((connection, turn)) = self.held.take() else {
            return;
        };
        let resting = Resting {
            connection,
            reads: self.reads.saturating_add(1),
            since: clock::monotonic(),
        };
        let mut others = self.kept.resting();
        // Who closes it looks for them after it has ended all turns.
        if !self.kept.turns.is_closed() {
            others.push(resting);
        }
        drop(others);
        drop(turn);
    }
}

impl<D: Database> Drop for InUse<'_, D> {
    fn drop(&mut self) {
        if let Some((mut connection, turn)) = self.held.take() {
            // The database may still be at work for whoever gave up. The pool tests it once more, and closes what is broken.
            self.kept.runtime.spawn(async move {
                let _ = connection.ping().await;
                drop(connection);
                drop(turn);
            });
        }
    }
}

/// Runs a statement on one of the kept connections.
macro_rules! rows {
    ($kept:expr, $statement:expr) => {{
        let statement = $statement;
        let mut in_use = $kept.begin().await?;
        statements::count();
        let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
        let query = sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values));
        let Some((connection, _)) = &mut in_use.held else {
            return Err(Self::refusal());
        };
        let read = query.fetch_all(&mut **connection).await;
        let rows = read.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))?;
        in_use.keep();
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
