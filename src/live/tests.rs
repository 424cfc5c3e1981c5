//! A place in one account's stream is no place in another's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::{Cursor, events};
use crate::app::{App, Settings};
use crate::commands::seed;
use crate::db::Options;
use crate::error::Error;
use crate::store::Scope;

#[tokio::test]
async fn a_cursor_of_another_account_or_store_is_expired() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("live.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options::new(url, 2), settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    let (app, own, other) = (Arc::new(app), seeded.accounts[0].1, seeded.accounts[1].1);
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
