//! The schema as a whole: everything is described, reads cost what was promised, and each caller gets its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clock;
mod described;
mod reads;
mod shared;

use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use crate::app::{App, Settings};
use crate::commands::seed;
use crate::db::Options;

/// A gateway over a fresh, seeded store, and its accounts.
pub(super) async fn gateway() -> (Arc<App>, Vec<Uuid>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("graphql.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options::new(url, 2), settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    (
        Arc::new(app),
        seeded.accounts.into_iter().map(|(_, key)| key).collect(),
        folder,
    )
}
