//! A store is opened: by several processes at once, and when a change of its tables fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;

use super::*;
use crate::db::Options;

fn options(folder: &tempfile::TempDir) -> Options {
    Options::new(
        format!("sqlite://{}", folder.path().join("opened.sqlite3").display()),
        2,
    )
}

fn settings() -> Settings {
    Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_begin_at_once_on_a_fresh_file_take_turns() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let opening = (0..8).map(|_| {
            let options = options(&folder);
            tokio::spawn(async move { App::open(&options, settings()).await.map(|app| app.epoch) })
        });
        let epochs: HashSet<Uuid> = join_all(opening)
            .await
            .into_iter()
            .map(|opened| opened.unwrap().unwrap())
            .collect();
        assert_eq!(epochs.len(), 1, "all of them have opened one store");
    }
}

#[tokio::test]
async fn a_change_that_fails_halfway_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::connect(&options(&folder)).await.unwrap();
    let execute = async |sql: &'static str| {
        let db = &db;
        db.write("behind_its_back", async |tx| Ok(tx.execute_unprepared(sql).await?))
            .await
    };
    // In the way of the first change, whose first table is `account`.
    execute("create table wallet (id integer)").await.unwrap();
    migrate(&db).await.unwrap_err();
    execute("select 1 from account").await.unwrap_err();
    execute("drop table wallet").await.unwrap();
    migrate(&db).await.unwrap();
}
