//! Wakes subscribers. A wake is a hint, never the news itself: whoever is woken reads the store after its cursor, so a
//! lost wake costs a moment (the slow poll finds what it missed), never an event.

mod cursor;
mod hub;
mod reader;
mod relay;
mod stream;

pub use cursor::Cursor;
pub use hub::{Hub, Listener};
pub use relay::{announce, announce_now, hear};
pub use stream::{Told, changes, events, follow, replay};

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::store::{Scope, event_log};

/// How often the slow poll looks for events that no wake told of: another process wrote them, and its notice was lost or
/// the store carries none.
const POLL: Duration = Duration::from_millis(1_000);

/// Looks for news of every account that somebody listens to, with one query a round, until the future is dropped. In
/// development it also takes over the store's clock, which another process may have moved. A failed round is logged and
/// the next one tries again: the store may be away for a while.
pub async fn poll(app: Arc<App>) {
    let mut every = tokio::time::interval(POLL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if app.settings.development
            && let Err(error) = app.follow_clock().await
        {
            tracing::warn!(%error, "the store's clock could not be read; the poll goes on");
        }
        if let Err(error) = look(&app).await {
            tracing::warn!(%error, "the slow poll for events failed; it goes on");
        }
    }
}

/// Looks once for news of every account that somebody listens to.
async fn look(app: &App) -> Result<(), Error> {
    look_at(app, &app.hub.accounts()).await
}

/// Looks once for news of these accounts.
async fn look_at(app: &App, accounts: &[Uuid]) -> Result<(), Error> {
    for (account, sequence) in event_log::newest_sequences(app.db.read(), &Scope::engine(), accounts).await? {
        app.hub.heard(account, sequence);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
