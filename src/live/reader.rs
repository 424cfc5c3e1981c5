//! Reads what is new for many accounts together. Whoever wants to read while a read is under way goes with all others that
//! have come meanwhile in the next one: one wake that concerns a thousand accounts costs a few statements, and no timer
//! makes anybody wait. The reads are a task of their own, which ends when nobody waits: while one is under way, those that
//! the one before has answered go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::account_event;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::READ_TOGETHER;
use crate::db::{Db, statements};
use crate::error::Error;
use crate::store::{Scope, event_log};

/// How often somebody wants to read the same when the task that reads has ended amid it.
const TRIES: usize = 3;

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
    /// [`Error::Unavailable`] when the store does not answer; [`Error::Internal`] when the task that reads panics each time.
    pub(super) async fn read(&self, db: &Db, account: Uuid, after: i64) -> Result<Vec<account_event::Model>, Error> {
        for _ in 0..TRIES {
            let (answer, answered) = oneshot::channel();
            let begins = {
                let mut waiting = lock(&self.0);
                waiting.wanted.push(Wanted { account, after, answer });
                !std::mem::replace(&mut waiting.reads, true)
            };
            if begins {
                let reads = read_all(db.clone(), Reads::new(&self.0));
                tokio::spawn(statements::carried(reads));
            }
            // Nothing was answered when the task ended amid it: it is wanted again.
            if let Ok(read) = answered.await {
                return read;
            }
        }
        Err(Error::internal(
            "the task that reads events ended amid it, again and again",
        ))
    }
}

/// Reads until nobody waits.
async fn read_all(db: Db, mut reads: Reads) {
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
struct Reads {
    waiting: Arc<Mutex<Waiting>>,
    /// It has read for all, and another task may have begun since.
    done: bool,
}

impl Reads {
    fn new(waiting: &Arc<Mutex<Waiting>>) -> Self {
        Self {
            waiting: Arc::clone(waiting),
            done: false,
        }
    }

    /// Some of those who wait; none when it need read no more.
    fn some(&mut self) -> Option<Vec<Wanted>> {
        let mut waiting = lock(&self.waiting);
        let some = waiting.wanted.len().min(READ_TOGETHER);
        if some == 0 {
            waiting.reads = false;
            self.done = true;
            return None;
        }
        Some(waiting.wanted.drain(..some).collect())
    }
}

impl Drop for Reads {
    /// Amid a read: whoever waits wants it again, and begins another task.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut waiting = lock(&self.waiting);
        waiting.reads = false;
        let wanted = std::mem::take(&mut waiting.wanted);
        drop(waiting);
        drop(wanted);
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
        let lost = Reads::new(&reader.0);
        let mut read = Box::pin(reader.read(&app.db, own, 0));
        assert!((&mut read).now_or_never().is_none(), "it waits for the task");
        drop(lost);
        assert!(read.await.is_ok());
        while lock(&reader.0).reads {
            tokio::task::yield_now().await;
        }
        // One that has read for all leaves those alone who came after.
        let mut done = Reads::new(&reader.0);
        assert!(done.some().is_none());
        lock(&reader.0).reads = true;
        let (mut read, mut again) = (Box::pin(reader.read(&app.db, own, 0)), Reads::new(&reader.0));
        assert!((&mut read).now_or_never().is_none());
        drop(done);
        assert_eq!(again.some().map(|some| some.len()), Some(1));
    }
}
