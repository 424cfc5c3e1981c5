//! The only room that knows SQLite from PostgreSQL: connecting, transactions, error classes, the database's own clock.
//!
//! * Reads go to [`Db::read`]; every write goes through [`Db::write`], which is named, retried within bounds, and has
//!   no effect but its transaction. Nothing else may begin a transaction (clippy forbids it).
//! * SQLite has one writing connection (IMMEDIATE: a deferred transaction that reads and then writes fails at once,
//!   whatever the busy timeout) and a pool of readers. PostgreSQL has one pool.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use uuid::Uuid;

use self::at_once::{AtOnce, Turns};
use self::connection::Connection;
use self::reading::Reading;
use crate::clock;
use crate::error::Error;

pub mod at_once;
pub mod connection;
pub mod failure;
pub mod notices;
pub mod proof;
pub mod reading;
pub mod statements;
pub mod writes;

/// How often a write is tried when another one is in its way.
const MOST_TRIES: u32 = 8;
/// The wait before the second try; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// How long a caller waits for the store, unless it is told otherwise.
const WAIT: Duration = Duration::from_secs(10);

/// An open store.
#[derive(Clone, Debug)]
pub struct Db {
    write: DatabaseConnection,
    read: DatabaseConnection,
    reading: Arc<Reading>,
    /// The file by which processes that open a SQLite store take turns.
    turns: Option<Arc<Path>>,
    /// After how long no transaction is begun again.
    wait: Duration,
    /// Who is written about at the moment.
    turns_about: Turns,
}

/// One transaction. Everything that the store writes goes through it; it derefs to the connection that queries take.
#[derive(Debug)]
pub struct Tx {
    inner: Connection,
    replayable: AtomicBool,
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.inner
    }
}

impl Tx {
    fn of(inner: Connection) -> Self {
        Self {
            inner,
            replayable: AtomicBool::new(false),
        }
    }

    /// The transaction that was begun.
    fn begun(self) -> Result<DatabaseTransaction, Error> {
        match self.inner {
            Connection::Begun(tx) => Ok(tx),
            Connection::AtOnce(_) => Err(AtOnce::refusal().into()),
        }
    }

    /// The statement that this transaction is, where it is one.
    pub(crate) fn at_once(&self) -> Option<&AtOnce> {
        match &self.inner {
            Connection::AtOnce(at_once) => Some(at_once),
            Connection::Begun(_) => None,
        }
    }

    /// Says that running the whole transaction again, after it was committed, finds that out and does nothing: it
    /// claimed an idempotency key, or writes rows that can exist only once. A commit whose answer is lost is then
    /// settled by running it again.
    pub fn is_replayable(&self) {
        self.replayable.store(true, Ordering::Relaxed);
    }

    /// A savepoint: what is written in it can be undone alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    #[allow(clippy::disallowed_methods, reason = "this is the room where transactions begin")]
    pub async fn savepoint(&self) -> Result<Tx, Error> {
        match &self.inner {
            Connection::Begun(tx) => Ok(Tx::of(Connection::Begun(tx.begin().await?))),
            Connection::AtOnce(_) => Err(AtOnce::refusal().into()),
        }
    }

    /// Keeps what a savepoint wrote.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn keep(self) -> Result<(), Error> {
        Ok(self.begun()?.commit().await?)
    }

    /// Undoes what a savepoint wrote.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn undo(self) -> Result<(), Error> {
        Ok(self.begun()?.rollback().await?)
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite://FILE` or `postgres://USER@HOST/NAME`.
    pub url: String,
    /// The most connections, two at least: of the pool on PostgreSQL, of the readers on SQLite.
    pub connections: u32,
    /// How long a caller waits for a connection, and a writer of SQLite for the lock of another process; after as long,
    /// no transaction is begun again.
    pub wait: Duration,
}

impl Options {
    /// A store with so many connections, and ten seconds to wait for one.
    #[must_use]
    pub fn new(url: impl Into<String>, connections: u32) -> Self {
        Self {
            url: url.into(),
            connections,
            wait: WAIT,
        }
    }

    /// With another time to wait.
    #[must_use]
    pub const fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl Db {
    /// Opens a store. A SQLite file that is missing is made.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store can't be reached, [`Error::Configuration`] for a URL of another kind.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let url = options.url.as_str();
        if url.starts_with("sqlite:") {
            if url.contains(":memory:") {
                return Err(Error::configuration(
                    "sqlite::memory: gives each connection a store of its own: name a file, as in sqlite://billing.sqlite3",
                ));
            }
            // A file that is made by several at once is not one that each of them can open.
            let turns = sqlite_file(url).map(turns_file);
            let _turn = turn(turns.clone()).await?;
            let write = open(sqlite(options, 1, false)).await?;
            let connections = options.connections.max(2);
            let read = open(sqlite(options, connections, true)).await?;
            Ok(Self {
                write,
                reading: Arc::new(Reading::on(&read, connections, options.wait)),
                read,
                turns,
                wait: options.wait,
                turns_about: Turns::default(),
            })
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let mut pool = ConnectOptions::new(url);
            let connections = options.connections.max(2);
            pool.max_connections(connections)
                .min_connections(1)
                .acquire_timeout(options.wait)
                .test_before_acquire(false)
                .sqlx_logging(false)
                .map_sqlx_postgres_opts(|options| options.application_name("billing-gateway"));
            let pool = open(pool).await?;
            Ok(Self {
                write: pool.clone(),
                reading: Arc::new(Reading::on(&pool, connections, options.wait)),
                read: pool,
                turns: None,
                wait: options.wait,
                turns_about: Turns::default(),
            })
        } else {
            Err(Error::configuration(
                "the database URL must begin with sqlite:// or postgres://",
            ))
        }
    }

    /// The connection for reads that belong to no transaction.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// The same for reads that come one after another, and in no transaction.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.read.get_database_backend()
    }

    /// Runs `body` on a connection of its own while no other process does the same: for changes of the tables. On
    /// PostgreSQL an advisory lock keeps the others waiting; on SQLite the lock of a file beside the store does.
    ///
    /// # Errors
    /// What `body` answers; [`Error::Unavailable`] when the store does not answer.
    pub async fn alone<F, R>(&self, name: &'static str, body: F) -> Result<(), Error>
    where
        F: Fn(DatabaseConnection) -> R,
        R: Future<Output = Result<(), Error>>,
    {
        if !locks_rows(self.backend()) {
            let _turn = turn(self.turns.clone()).await?;
            return body(self.write.clone()).await;
        }
        // The lock belongs to the transaction that takes it, so it is let go whatever happens to this process. The
        // changes run on another connection of the pool.
        self.write(name, async |tx| {
            let tx = &*tx;
            tx.execute_unprepared("select pg_advisory_xact_lock(7263540914211873)")
                .await?;
            body(self.write.clone()).await
        })
        .await
    }

    /// Runs `body` in one transaction and commits it, or undoes it all when it refuses or fails. When another writer is
    /// in the way (busy, deadlock, serialization failure) it is run again from its start, a bounded number of times and
    /// within a bounded time, so it must have no effect but its writes. It gets the transaction shared, and must have let go of it when it ends
    /// (a closure that lent it would give a future that no resolver can be made of).
    ///
    /// # Errors
    /// What `body` answers; [`Error::Unavailable`] when the store does not answer or the way stays blocked;
    /// [`Error::InDoubt`] when it was lost at the commit and has not answered since.
    pub async fn write<T, F, R>(&self, name: &'static str, body: F) -> Result<T, Error>
    where
        F: Fn(Arc<Tx>) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        self.write_begun(name, &body, clock::monotonic(), false).await
    }

    /// Runs `body` as [`Db::write`] does. On PostgreSQL it is tried without a transaction first, as soon as nobody else of this
    /// process writes `about` the same account: what it reads is not locked, and what it writes goes as one statement,
    /// which is kept whole or not at all. So the body must claim an idempotency key, send its writes once, and guard by
    /// them all that it decided upon. It may even go by what its process remembers; what came to nothing by that is tried again
    /// by what is read. Where that does not do, for whatever reason, nothing was written, and the body is
    /// run again in a transaction.
    ///
    /// # Errors
    /// Those of [`Db::write`].
    pub async fn write_at_once<T, F, R>(&self, name: &'static str, about: Uuid, body: F) -> Result<T, Error>
    where
        F: Fn(Arc<Tx>) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let began = clock::monotonic();
        if !locks_rows(self.backend()) {
            return self.write_begun(name, &body, began, false).await;
        }
        let (_turn, came) = self.turns_about.wait(about, self.wait).await;
        let mut in_doubt = false;
        if came {
            for may_remember in [true, false] {
                let at_once = match AtOnce::on(&self.write, may_remember).await {
                    Ok(at_once) => at_once,
                    // Who has waited for a connection as long as may be does not wait as long again.
                    Err(error @ DbErr::ConnectionAcquire(_)) => return Err(error.into()),
                    Err(error) => {
                        tracing::debug!(transaction = name, %error, "not done at once");
                        break;
                    }
                };
                let tx = Arc::new(Tx::of(Connection::AtOnce(at_once)));
                let answer = body(Arc::clone(&tx)).await;
                let tx = sole(tx)?;
                let at_once = tx.at_once().ok_or_else(AtOnce::refusal)?;
                match answer {
                    Ok(done) if at_once.was_kept() => return Ok(done),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(transaction = name, may_remember, %error, "not done at once"),
                }
                in_doubt |= at_once.is_in_doubt();
                if in_doubt || !at_once.went_by_memory() {
                    break;
                }
            }
        }
        self.write_begun(name, &body, began, in_doubt).await
    }

    #[allow(clippy::disallowed_methods, reason = "this is the room where transactions begin")]
    async fn write_begun<T, F, R>(
        &self,
        name: &'static str,
        body: &F,
        began: Instant,
        mut in_doubt: bool,
    ) -> Result<T, Error>
    where
        F: Fn(Arc<Tx>) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let mut wait = FIRST_WAIT;
        let mut tries = 0;
        loop {
            tries += 1;
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            let failed = match self.write.begin_with_options(options).await {
                Err(error) => Error::from(error),
                Ok(inner) => {
                    let tx = Arc::new(Tx::of(Connection::Begun(inner)));
                    let answer = body(Arc::clone(&tx)).await;
                    let tx = sole(tx)?;
                    match answer {
                        Ok(done) => {
                            let replayable = tx.replayable.load(Ordering::Relaxed);
                            match tx.begun()?.commit().await {
                                Ok(()) => return Ok(done),
                                // Nobody knows whether it was committed. Only a transaction that finds its own trace
                                // may be run again.
                                Err(error) => {
                                    in_doubt |= failure::may_have_happened(&error);
                                    if !replayable {
                                        return Err(undecided(Error::from(error), in_doubt));
                                    }
                                    Error::from(error)
                                }
                            }
                        }
                        Err(error) => {
                            // A failed rollback closes the connection, which undoes the transaction as well.
                            let _ = tx.begun()?.rollback().await;
                            error
                        }
                    }
                }
            };
            let again = matches!(&failed, Error::Unavailable(_)) && tries < MOST_TRIES && began.elapsed() < self.wait;
            if !again {
                return Err(undecided(failed, in_doubt));
            }
            tracing::debug!(transaction = name, tries, error = %failed, "running the transaction again");
            tokio::time::sleep(crate::ids::jitter(wait)).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// Runs `body` in a transaction that sees one instant of the store and writes nothing.
    ///
    /// # Errors
    /// What `body` answers; [`Error::Unavailable`] when the store does not answer.
    #[allow(clippy::disallowed_methods, reason = "this is the room where transactions begin")]
    pub async fn snapshot<T, F, R>(&self, body: F) -> Result<T, Error>
    where
        F: Fn(Arc<Tx>) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let options = TransactionOptions {
            isolation_level: locks_rows(self.backend()).then_some(IsolationLevel::RepeatableRead),
            access_mode: locks_rows(self.backend()).then_some(AccessMode::ReadOnly),
            ..Default::default()
        };
        let begun = self.read.begin_with_options(options).await?;
        let tx = Arc::new(Tx::of(Connection::Begun(begun)));
        let done = body(Arc::clone(&tx)).await;
        let _ = sole(tx)?.begun()?.rollback().await;
        done
    }

    /// Asks the store for an answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.read.ping().await?)
    }

    /// Closes the store's connections.
    pub async fn close(self) {
        self.reading.close();
        let _ = self.write.clone().close().await;
        let _ = self.read.clone().close().await;
    }
}

/// A store that does not answer, after a commit whose answer was lost, has not said that nothing was changed.
fn undecided(error: Error, in_doubt: bool) -> Error {
    match error {
        Error::Unavailable(why) if in_doubt => Error::InDoubt(why),
        other => other,
    }
}

/// The transaction back from its body. One that was kept elsewhere could be written to after its end: it is undone.
fn sole(tx: Arc<Tx>) -> Result<Tx, Error> {
    Arc::into_inner(tx).ok_or_else(|| Error::internal("a transaction was kept beyond its end"))
}

/// The file beside a SQLite store whose lock is a process's turn. It stays: who removed it would let two have a turn.
fn turns_file(store: &Path) -> Arc<Path> {
    let mut name = store.as_os_str().to_owned();
    name.push("-turns");
    Path::new(&name).into()
}

/// Waits for this process's turn, which ends when the file is closed, however the process ends.
///
/// # Errors
/// [`Error::Unavailable`] when the file can't be made or locked.
async fn turn(file: Option<Arc<Path>>) -> Result<Option<File>, Error> {
    let Some(file) = file else { return Ok(None) };
    let locked = tokio::task::spawn_blocking(move || {
        let open = File::options().create(true).truncate(false).write(true).open(&file);
        let locked = open.and_then(|open| open.lock().map(|()| open));
        locked.map_err(|error| Error::Unavailable(format!("{}: {error}", file.display()).into()))
    });
    locked.await.map_err(Error::internal)?.map(Some)
}

async fn open(options: ConnectOptions) -> Result<DatabaseConnection, Error> {
    let mut connection = Database::connect(options).await?;
    connection.set_metric_callback(|_| statements::count());
    Ok(connection)
}

fn sqlite(store: &Options, connections: u32, read_only: bool) -> ConnectOptions {
    let wait = store.wait;
    let mut options = ConnectOptions::new(store.url.as_str());
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(wait)
                .foreign_keys(true)
                .pragma("query_only", if read_only { "1" } else { "0" })
                .optimize_on_close(false, None)
        });
    options
}

/// Milliseconds of the database's own clock: what leases are measured by, so that processes need not agree on the time.
#[must_use]
pub fn lease_time(backend: DbBackend) -> SimpleExpr {
    match backend {
        DbBackend::Postgres => Expr::cust("(extract(epoch from clock_timestamp()) * 1000)::bigint"),
        _ => Expr::cust("cast(unixepoch('subsec') * 1000 as integer)"),
    }
}

/// Whether rows read in a transaction can be locked: PostgreSQL. On SQLite the whole store already is.
#[must_use]
pub fn locks_rows(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}

/// The file of a SQLite URL.
#[must_use]
pub fn sqlite_file(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    Some(Path::new(rest.split('?').next().unwrap_or(rest)))
}
