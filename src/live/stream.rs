//! What a subscriber gets: the events after its cursor, in order, then each new one. Rows are read in bounded batches
//! when the subscriber is ready for more; nothing is buffered for a slow one.

use std::sync::Arc;

use entity::account_event;
use futures_util::Stream;
use uuid::Uuid;

use super::{Cursor, Listener};
use crate::app::App;
use crate::error::Error;
use crate::store::{Scope, event_log};

/// How many events are read at once.
const BATCH: u64 = event_log::NEXT.unsigned_abs();

/// An event with whether it was there before the subscriber came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The event.
    pub event: account_event::Model,
    /// Whether it was written before the subscription began.
    pub replayed: bool,
    /// Its place: what the client resumes after.
    pub cursor: Cursor,
}

impl Told {
    /// Tells an event.
    #[must_use]
    pub fn new(app: &App, event: account_event::Model, replayed: bool) -> Self {
        let cursor = Cursor::new(app.epoch, event.account_id, event.sequence);
        Self {
            event,
            replayed,
            cursor,
        }
    }
}

struct Reading {
    app: Arc<App>,
    scope: Scope,
    account: Uuid,
    listener: Listener,
    seen: i64,
    /// What was written when it began.
    began_at: i64,
    /// Up to here events are told as replayed.
    replayed: i64,
    /// Nothing is told after this one.
    until: i64,
    batch: std::vec::IntoIter<account_event::Model>,
    failed: bool,
}

/// The events of an account after a cursor, without end. Without a cursor: those that are written from now on.
///
/// # Errors
/// [`Error::CursorExpired`] for a cursor of another account or store, or of events that are not kept any more;
/// [`Error::NotFound`] for an account that the caller may not see.
pub async fn events(
    app: Arc<App>,
    scope: Scope,
    account: Uuid,
    after: Option<Cursor>,
) -> Result<impl Stream<Item = Result<Told, Error>> + Send + 'static, Error> {
    Ok(Reading::after(app, scope, account, after).await?.stream())
}

/// The events of an account after a cursor that are there now, and the sequence number they go up to; none without a
/// cursor.
///
/// # Errors
/// As [`events`].
pub async fn replay(
    app: Arc<App>,
    scope: Scope,
    account: Uuid,
    after: Option<Cursor>,
) -> Result<(i64, impl Stream<Item = Result<Told, Error>> + Send + 'static), Error> {
    let mut reading = Reading::after(app, scope, account, after).await?;
    reading.until = reading.began_at;
    Ok((reading.until, reading.stream()))
}

/// As [`replay`], for who was told the events up to this sequence number, and has fallen behind: to it they are new.
///
/// # Errors
/// As [`events`].
pub async fn catch_up(
    app: Arc<App>,
    scope: Scope,
    account: Uuid,
    seen: i64,
) -> Result<(i64, impl Stream<Item = Result<Told, Error>> + Send + 'static), Error> {
    let after = Cursor::new(app.epoch, account, seen);
    let mut reading = Reading::after(app, scope, account, Some(after)).await?;
    reading.until = reading.began_at;
    reading.replayed = seen;
    Ok((reading.until, reading.stream()))
}

/// The next events of an account after the one with this sequence number, for one who has listened since then and was
/// allowed to: the store is asked for what is new, and for nothing before. Somebody has told of events up to `known`. What
/// is new is read by one of those who listen to the account, for all of them.
///
/// # Errors
/// [`Error::CursorExpired`] when some of them are kept no more; [`Error::Unavailable`] when the store does not answer.
pub async fn news(app: &App, listener: &Listener, seen: i64, known: i64) -> Result<Vec<account_event::Model>, Error> {
    let mut recent = listener.recent().await;
    // What nobody else wants is kept no longer.
    let alone = listener.is_only_reader();
    let at_hand = if alone {
        recent.take_after(seen)
    } else {
        recent.after(seen)
    };
    if let Some(rows) = at_hand {
        return Ok(rows);
    }
    let rows = app.hub.reader.read(&app.db, listener.account(), seen).await?;
    // Numbers have no gaps: what is missing is kept no more.
    let (next, last) = (seen.saturating_add(1), seen.saturating_add(event_log::NEXT));
    if rows.first().map_or(known > last, |row| row.sequence > next) {
        return Err(Error::CursorExpired);
    }
    if !alone {
        recent.keep(&rows);
    }
    Ok(rows)
}

async fn next(mut reading: Reading) -> Option<(Result<Told, Error>, Reading)> {
    if reading.failed {
        return None;
    }
    loop {
        if reading.seen >= reading.until {
            return None;
        }
        if let Some(event) = reading.batch.next() {
            reading.seen = event.sequence;
            let replayed = event.sequence <= reading.replayed;
            return Some((Ok(Told::new(&reading.app, event, replayed)), reading));
        }
        // Whatever was written before somebody listened is within `began_at`; of all that came later somebody tells.
        let known = reading.began_at.max(reading.listener.newest());
        if reading.seen >= known {
            reading.listener.news_after(reading.seen).await;
            continue;
        }
        match reading.read(known).await {
            Ok(rows) if rows.is_empty() => reading.listener.news_after(known).await,
            Ok(rows) => reading.batch = rows.into_iter(),
            Err(error) => {
                // The client resumes from its cursor on a new subscription.
                reading.failed = true;
                return Some((Err(error), reading));
            }
        }
    }
}

impl Reading {
    async fn after(app: Arc<App>, scope: Scope, account: Uuid, after: Option<Cursor>) -> Result<Self, Error> {
        let listener = app.hub.listen(account);
        let kept = event_log::kept(app.db.read(), &scope, account)
            .await?
            .ok_or(Error::NotFound("account"))?;
        // From here on what others wrote is read for all who listen.
        app.hub.heard(account, kept.newest);
        let seen = match after {
            None => kept.newest,
            Some(cursor) => cursor
                .sequence_in(app.epoch, account)
                .filter(|sequence| (kept.before_oldest..=kept.newest).contains(sequence))
                .ok_or(Error::CursorExpired)?,
        };
        Ok(Self {
            app,
            scope,
            account,
            listener,
            seen,
            began_at: kept.newest,
            replayed: kept.newest,
            until: i64::MAX,
            batch: Vec::new().into_iter(),
            failed: false,
        })
    }

    fn stream(self) -> impl Stream<Item = Result<Told, Error>> + Send + 'static {
        futures_util::stream::unfold(self, next)
    }

    /// The next events. What was there before a subscriber came it reads by itself.
    async fn read(&self, known: i64) -> Result<Vec<account_event::Model>, Error> {
        if self.seen < self.began_at {
            let db = self.app.db.read();
            return event_log::after(db, &self.scope, self.account, self.seen, BATCH).await;
        }
        // Whether it may see the account was asked when it began to listen.
        news(&self.app, &self.listener, self.seen, known).await
    }
}

/// Yields once at once, and again whenever the account was told something: for subscriptions that show a present state.
///
/// # Errors
/// [`Error::NotFound`] for an account that the caller may not see.
pub async fn changes(
    app: Arc<App>,
    scope: Scope,
    account: Uuid,
) -> Result<impl Stream<Item = ()> + Send + 'static, Error> {
    let listener = app.hub.watch(account);
    let kept = event_log::kept(app.db.read(), &scope, account)
        .await?
        .ok_or(Error::NotFound("account"))?;
    app.hub.heard(account, kept.newest);
    let state = (listener, kept.newest, true);
    Ok(futures_util::stream::unfold(
        state,
        |(listener, mut seen, first)| async move {
            if !first {
                listener.news_after(seen).await;
                seen = listener.newest();
            }
            Some(((), (listener, seen, false)))
        },
    ))
}
