//! Reads what is new for many accounts together. Whoever wants to read while a read is under way goes with all others that
//! have come meanwhile in the next one: one wake that concerns a thousand accounts costs a few statements, and no timer
//! makes anybody wait. The reads are a task of their own, which ends when nobody waits: while one is under way, those that
//! the one before has answered go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::account_event;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::{Db, statements};
use crate::error::Error;
use crate::store::{Scope, event_log};

/// How many accounts one statement reads for.
const ACCOUNTS: usize = 256;

/// What somebody waits for.
#[derive(Debug)]
struct Wanted {
    account: Uuid,
    after: i64,
    answer: oneshot::Sender<Result<Vec<account_event::Model>, Error>>,
}

/// Reads for all that want to.
#[derive(Debug, Default)]
pub(super) struct Reader(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    wanted: Vec<Wanted>,
    /// Whether a task reads.
    reads: bool,
}

impl Reader {
    /// The next events of an account after a sequence number, oldest first, at most [`event_log::NEXT`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub(super) async fn read(&self, db: &Db, account: Uuid, after: i64) -> Result<Vec<account_event::Model>, Error> {
        loop {
            let (answer, answered) = oneshot::channel();
            let begins = {
                let mut waiting = lock(&self.0);
                waiting.wanted.push(Wanted { account, after, answer });
                !std::mem::replace(&mut waiting.reads, true)
            };
            if begins {
                let reads = read_all(db.clone(), Reads(Arc::clone(&self.0)));
                tokio::spawn(statements::carried(reads));
            }
            // Nothing was answered when the task was dropped amid it: it is wanted again.
            if let Ok(read) = answered.await {
                return read;
            }
        }
    }
}

/// Reads until nobody waits.
async fn read_all(db: Db, reads: Reads) {
    while let Some(some) = reads.some() {
        let places: Vec<(Uuid, i64)> = some.iter().map(|wanted| (wanted.account, wanted.after)).collect();
        let read = event_log::next_of_each(db.read(), &Scope::engine(), &places).await;
        for wanted in some {
            let rows = match &read {
                Ok(next) => Ok(next.get(&(wanted.account, wanted.after)).cloned().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            // Who has gone meanwhile reads no more.
            let _ = wanted.answer.send(rows);
        }
    }
}

/// A task that reads.
struct Reads(Arc<Mutex<Waiting>>);

impl Reads {
    /// Some of those who wait; none when it need read no more.
    fn some(&self) -> Option<Vec<Wanted>> {
        let mut waiting = lock(&self.0);
        let some = waiting.wanted.len().min(ACCOUNTS);
        if some == 0 {
            waiting.reads = false;
            return None;
        }
        Some(waiting.wanted.drain(..some).collect())
    }
}

impl Drop for Reads {
    /// Also amid a read: whoever waits then wants it again, and begins another task.
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        if std::mem::take(&mut waiting.reads) {
            let wanted = std::mem::take(&mut waiting.wanted);
            drop(waiting);
            drop(wanted);
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::live::tests::store;

    #[tokio::test]
    async fn whoever_waited_for_a_task_that_is_gone_reads_again() {
        let (app, own, _, _folder) = store().await;
        let reader = Reader::default();
        lock(&reader.0).reads = true;
        let lost = Reads(Arc::clone(&reader.0));
        let mut read = Box::pin(reader.read(&app.db, own, 0));
        assert!((&mut read).now_or_never().is_none(), "it waits for the task");
        drop(lost);
        assert!(read.await.is_ok());
        assert!(!lock(&reader.0).reads, "it has ended");
    }
}
