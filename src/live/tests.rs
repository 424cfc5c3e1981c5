//! Streams of events: a place in one account's is no place in another's, and what is new is read once for all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use entity::enums::FundsKind;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use uuid::Uuid;

use super::{Cursor, events};
use crate::app::{App, Settings};
use crate::commands::credit::{self, Grant};
use crate::commands::seed;
use crate::db::Options;
use crate::db::statements::counted;
use crate::error::Error;
use crate::store::Scope;

/// A store with two accounts.
async fn store() -> (Arc<App>, Uuid, Uuid, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("live.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options::new(url, 2), settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    (Arc::new(app), seeded.accounts[0].1, seeded.accounts[1].1, folder)
}

async fn grant(app: &App, account: Uuid, key: &str) {
    let operator = Scope::Operator {
        principal: "operator".to_owned(),
    };
    let grant = Grant {
        account,
        funds: FundsKind::Cash,
        amount: "1000".to_owned(),
        reason: "test".to_owned(),
        idempotency_key: key.to_owned(),
    };
    credit::grant(app, &operator, grant).await.unwrap();
}

#[tokio::test]
async fn an_event_is_read_once_for_all_who_listen() {
    let (app, own, _, _folder) = store().await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let stream = events(Arc::clone(&app), Scope::engine(), own, None).await.unwrap();
        streams.push(Box::pin(stream));
    }
    for round in 1..=3 {
        grant(&app, own, &round.to_string()).await;
        let (told, statements) = counted(join_all(streams.iter_mut().map(|stream| stream.next()))).await;
        let told: Vec<i64> = told
            .into_iter()
            .map(|told| told.unwrap().unwrap().event.sequence)
            .collect();
        assert_eq!(told, vec![round; 50]);
        assert_eq!(statements, 1);
    }
    // Whoever waits asks the store for nothing.
    let (waits, statements) = counted(async { streams[0].next().now_or_never().is_none() }).await;
    assert!(waits);
    assert_eq!(statements, 0);
    // Whoever comes later reads what it missed by itself, and then shares.
    let late = Cursor::new(app.epoch, own, 1);
    let late = events(Arc::clone(&app), Scope::engine(), own, Some(late))
        .await
        .unwrap();
    grant(&app, own, "4").await;
    let missed: Vec<_> = late.take(3).map(|told| told.unwrap()).collect().await;
    let missed: Vec<_> = missed.iter().map(|told| (told.event.sequence, told.replayed)).collect();
    assert_eq!(missed, [(2, true), (3, true), (4, false)]);
}

#[tokio::test]
async fn a_cursor_of_another_account_or_store_is_expired() {
    let (app, own, other, _folder) = store().await;
    let resume = async |cursor: Cursor| {
        let cursor = Cursor::decode(&cursor.encode()).unwrap();
        let opened = events(Arc::clone(&app), Scope::engine(), own, Some(cursor)).await;
        opened.map(|_| ())
    };
    resume(Cursor::new(app.epoch, own, 0)).await.unwrap();
    for foreign in [
        Cursor::new(app.epoch, other, 0),
        Cursor::new(uuid::Uuid::from_u128(1), own, 0),
        Cursor::new(app.epoch, own, 1),
    ] {
        assert!(matches!(resume(foreign).await.unwrap_err(), Error::CursorExpired));
    }
}
