//! Wakes subscribers. A wake is a hint: whoever is woken goes on after its cursor, with what was read or written here, or
//! with what it reads from the store where a number is missing. So a lost wake costs a moment (the slow poll finds what it
//! missed), never an event.

mod cursor;
mod hub;
mod reader;
mod relay;
mod stream;

pub use cursor::Cursor;
pub use hub::{Called, Hub, Listener};
pub use relay::{announce, announce_now, hear};
pub use stream::{Told, catch_up, changes, events, news, replay};

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::store::{Scope, event_log};

/// How often the slow poll looks for events that no wake told of: another process wrote them, and its notice was lost or
/// the store carries none.
const POLL: Duration = Duration::from_millis(1_000);

/// For how many accounts one statement reads.
const READ_TOGETHER: usize = 256;

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

async fn look_at(app: &App, accounts: &[Uuid]) -> Result<(), Error> {
    for (account, sequence) in event_log::newest_sequences(app.db.read(), &Scope::engine(), accounts).await? {
        app.hub.heard(account, sequence);
    }
    Ok(())
}

/// Reads what is new of these accounts, as far as somebody listens to them here, for all who listen: they are woken with
/// it. Of an account with more news than one statement reads, those who listen read the rest.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn read_news(app: &App, accounts: impl Iterator<Item = Uuid>) -> Result<(), Error> {
    let (mut places, mut others) = (Vec::new(), Vec::new());
    for (account, newest) in app.hub.places(accounts) {
        match newest {
            Some(newest) => places.push((account, newest)),
            None => others.push(account),
        }
    }
    for places in places.chunks(READ_TOGETHER) {
        let mut next = event_log::next_of_each(app.db.read(), &Scope::engine(), places).await?;
        for place in places {
            let events = next.remove(place).unwrap_or_default();
            app.hub.heard_events(&events);
            // As many as it reads of one.
            if i64::try_from(events.len()).is_ok_and(|count| count >= event_log::NEXT) {
                others.push(place.0);
            }
        }
    }
    look_at(app, &others).await
}

#[cfg(test)]
mod tests;
