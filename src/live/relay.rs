//! Wakes that cross from process to process, over PostgreSQL's NOTIFY. A notice names accounts and no more, for anybody who
//! can reach the database can notify: their events are read from the store, with one query for all of them that somebody
//! listens to here. It is sent after the commit, by itself: inside of the transaction it would make all payments queue for
//! one lock. What is lost between the two, the slow poll finds.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::db::notices;
use crate::error::Error;

/// The channel of a store's notices.
const CHANNEL: &str = "billing_gateway_events";
/// A notice has less than 8,000 bytes; an account takes 33 of them.
const ACCOUNTS_IN_A_NOTICE: usize = 200;
/// The least time between two notices of a process.
const BETWEEN: Duration = Duration::from_millis(20);
/// The wait before the listening connection is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the other processes what this one wrote, until the future is dropped. The first news is told at once; whatever
/// is written while a notice is on its way, and a moment longer, goes together in the next one: what telling costs does
/// not grow with what is written. On SQLite, which has no notices, there is nothing to tell.
pub async fn announce(app: Arc<App>) {
    loop {
        app.hub.something_untold().await;
        if let Err(error) = announce_now(&app).await {
            tracing::warn!(%error, "other processes could not be notified; their slow poll finds the news");
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Tells the other processes what this one wrote: for a program that is about to end.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn announce_now(app: &App) -> Result<(), Error> {
    for accounts in app.hub.take_untold().chunks(ACCOUNTS_IN_A_NOTICE) {
        notices::send(&app.db, CHANNEL, &encode(accounts)).await?;
    }
    Ok(())
}

/// Hears what other processes tell, until the future is dropped. A connection that is lost is opened again, and the
/// store is asked for what was missed meanwhile. On SQLite there is nothing to hear.
pub async fn hear(app: Arc<App>) {
    while notices::carries(&app.db) {
        if let Err(error) = hear_until_lost(&app).await {
            tracing::warn!(%error, "the connection that hears other processes was lost; the slow poll goes on");
        }
        tokio::time::sleep(crate::ids::jitter(AGAIN)).await;
    }
}

async fn hear_until_lost(app: &App) -> Result<(), Error> {
    let mut notices = notices::listen(&app.db, CHANNEL).await?;
    // What was told before the connection listened.
    super::look(app).await?;
    loop {
        let notice = notices.next().await?;
        match notice {
            Some(text) => {
                super::read_news(app, decode(&text)).await?;
            }
            None => super::look(app).await?,
        }
    }
}

fn encode(accounts: &[Uuid]) -> String {
    let parts: Vec<String> = accounts.iter().map(|account| account.simple().to_string()).collect();
    parts.join(" ")
}

/// What a notice tells. Anybody who can reach the database can notify: what can't be read is left out.
fn decode(text: &str) -> impl Iterator<Item = Uuid> + '_ {
    text.split(' ').filter_map(|part| Uuid::try_parse(part).ok())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{ACCOUNTS_IN_A_NOTICE, decode, encode};

    #[test]
    fn a_full_notice_is_short_enough_and_says_what_was_put_in() {
        let told = vec![Uuid::from_u128(u128::MAX); ACCOUNTS_IN_A_NOTICE];
        let text = encode(&told);
        assert!(text.len() < 8_000);
        assert_eq!(decode(&text).collect::<Vec<_>>(), told);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let own = Uuid::from_u128(7);
        let text = format!("nonsense : 1 {} é", own.simple());
        assert_eq!(decode(&text).collect::<Vec<_>>(), [own]);
    }
}
