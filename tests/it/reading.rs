//! Connections that are kept between reads: nobody is given another one's rows, and nobody waits for them in vain.

use std::time::Duration;

use billing_gateway::db::{Db, Options};
use billing_gateway::error::Error;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, poll};
use sea_orm::{ConnAcquireErr, ConnectionTrait as _, DbBackend, DbErr, Statement};

use crate::support::{World, on_every_store};

/// Another process over the world's store, with so many connections.
async fn opened(world: &World, connections: u32) -> Db {
    Db::connect(&Options::new(world.database(), connections)).await.unwrap()
}

/// One that does not wait for long.
async fn impatient(world: &World, connections: u32) -> Db {
    let options = Options::new(world.database(), connections).waiting(Duration::from_secs(1));
    Db::connect(&options).await.unwrap()
}

/// Asks the store for a number.
async fn number(db: &Db, number: i64) -> Result<i64, DbErr> {
    let statement = Statement::from_sql_and_values(db.backend(), "select $1 + 0", [number.into()]);
    let rows = db.reading().query_all_raw(statement).await?;
    rows[0].try_get_by_index(0)
}

/// The same, as soon as it can be had.
async fn number_in_the_end(db: &Db, asked: i64) -> i64 {
    for _ in 0..20 {
        if let Ok(answer) = number(db, asked).await {
            return answer;
        }
    }
    panic!("nothing can be read any more");
}

/// How many connections of its pool a store has lent.
fn lent(db: &Db) -> usize {
    let (open, idle) = match db.backend() {
        DbBackend::Postgres => {
            let pool = db.read().get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        }
        _ => {
            let pool = db.read().get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        }
    };
    usize::try_from(open).unwrap().saturating_sub(idle)
}

on_every_store! {
    async fn many_reads_at_once_take_half_of_the_connections_and_each_has_its_answer(world: World) {
        let db = opened(&world, 6).await;
        // The connection that it was opened with is on its way back.
        while lent(&db) > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            let answers = join_all((0..100).map(|asked| number(&db, asked))).await;
            let answers: Vec<i64> = answers.into_iter().map(Result::unwrap).collect();
            assert_eq!(answers, (0..100).collect::<Vec<_>>());
            assert!(lent(&db) <= 3, "{}", lent(&db));
        }
        // The others are there for whatever is not such a read, all of them at once.
        let others = (0..3).map(|_| db.snapshot(async |tx| {
            let one = Statement::from_string(tx.get_database_backend(), "select 1");
            Ok(tx.query_all_raw(one).await?.len())
        }));
        assert!(join_all(others).await.into_iter().all(|read| read.unwrap() == 1));
        assert_eq!(number(&db, 7).await.unwrap(), 7);
        db.close().await;
    }

    async fn a_read_that_nobody_waits_for_any_more_answers_nobody_else(world: World) {
        let db = opened(&world, 2).await;
        for round in 0..100 {
            let mut given_up = number(&db, -1).boxed();
            // Begun, somewhere on its way.
            for _ in 0..round % 4 {
                if poll!(&mut given_up).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(given_up);
            assert_eq!(number(&db, round).await.unwrap(), round);
        }
        db.close().await;
    }

    async fn a_connection_whose_read_failed_is_tested_before_it_reads_again(world: World) {
        let db = opened(&world, 2).await;
        assert_eq!(number(&db, 1).await.unwrap(), 1);
        let nonsense = Statement::from_string(db.backend(), "select nothing from nowhere");
        for _ in 0..5 {
            assert!(db.reading().query_all_raw(nonsense.clone()).await.is_err());
            assert_eq!(number(&db, 2).await.unwrap(), 2);
        }
        let write = Statement::from_string(db.backend(), "delete from wallet");
        assert!(db.reading().execute_raw(write).await.is_err(), "it only reads");
        assert!(db.reading().execute_unprepared("delete from wallet").await.is_err());
        db.close().await;
    }

    async fn who_can_not_have_a_connection_is_told_and_reads_when_it_can(world: World) {
        let db = impatient(&world, 2).await;
        let told = db.snapshot(async |_| {
            let told = db.snapshot(async |_| {
                // Nothing is left: the first waits for a connection, the other one for the first.
                Ok(join_all([number(&db, 1), number(&db, 2)]).await)
            });
            told.await
        });
        for answer in told.await.unwrap() {
            assert!(matches!(answer, Err(DbErr::ConnectionAcquire(_))), "{answer:?}");
            let said = Error::from(answer.unwrap_err());
            assert!(matches!(said, Error::Unavailable(_)), "{said:?}");
        }
        assert_eq!(number_in_the_end(&db, 3).await, 3);
        let (reading, closing) = (db.clone(), db.clone());
        closing.close().await;
        assert!(number(&reading, 4).await.is_err(), "it is closed, and keeps nothing");
    }

    async fn who_gave_up_has_its_turn_until_the_database_has_ended_the_read(world: World) {
        let db = impatient(&world, 4).await;
        // SQLite ends what it has begun before it answers anybody.
        if db.backend() == DbBackend::Postgres {
            let says = |sql: &str| Statement::from_string(DbBackend::Postgres, sql);
            let waiting = says("select 1 from pg_locks where locktype = 'advisory' and not granted and objid = 4711");
            let told = db.snapshot(async |tx| {
                tx.query_all_raw(says("select pg_advisory_xact_lock(4711)")).await?;
                let mut given_up: Vec<_> = (0..2)
                    .map(|_| db.reading().query_all_raw(says("select pg_advisory_xact_lock(4711)")).boxed())
                    .collect();
                while world.app.db.read().query_all_raw(waiting.clone()).await?.len() < given_up.len() {
                    for read in &mut given_up {
                        assert!(poll!(read).is_pending());
                    }
                }
                drop(given_up);
                // The fourth connection is not for reads of this kind.
                Ok((number(&db, 1).await, db.snapshot(async |_| Ok(())).await))
            });
            let (read, other) = told.await.unwrap();
            assert!(matches!(read, Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))), "{read:?}");
            other.unwrap();
        }
        assert_eq!(number_in_the_end(&db, 2).await, 2);
        db.close().await;
    }
}

#[test]
fn a_store_may_be_let_go_where_nothing_runs_any_more() {
    for runtime_first in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.sqlite3").display());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let db = runtime.block_on(async {
            let db = Db::connect(&Options::new(url, 4)).await.unwrap();
            assert_eq!(number(&db, 1).await.unwrap(), 1);
            db
        });
        if runtime_first {
            drop(runtime);
            drop(db);
        } else {
            drop(db);
            drop(runtime);
        }
    }
}
