//! Reads what is new for many accounts together. Whoever wants to read while a read is under way waits for it, and goes
//! with all others that have come meanwhile in the next one: one wake that concerns a thousand accounts costs a few
//! statements, and no timer makes anybody wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use entity::account_event;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::Db;
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
pub(super) struct Reader {
    wanted: Mutex<Vec<Wanted>>,
    turn: tokio::sync::Mutex<()>,
}

impl Reader {
    /// The next events of an account after a sequence number, oldest first, at most [`event_log::NEXT`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub(super) async fn read(&self, db: &Db, account: Uuid, after: i64) -> Result<Vec<account_event::Model>, Error> {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.lock().push(Wanted { account, after, answer });
            let read = tokio::select! {
                biased;
                read = &mut answered => read,
                _turn = self.turn.lock() => loop {
                    match answered.try_recv() {
                        Err(oneshot::error::TryRecvError::Empty) => self.read_some(db).await,
                        Ok(read) => break Ok(read),
                        Err(oneshot::error::TryRecvError::Closed) => continue,
                    }
                },
            };
            // Nothing was answered when the one who read was dropped amid it: it is wanted again.
            if let Ok(read) = read {
                return read;
            }
        }
    }

    /// Reads for some of those who wait, and answers them.
    async fn read_some(&self, db: &Db) {
        let some: Vec<Wanted> = {
            let mut wanted = self.lock();
            let some = wanted.len().min(ACCOUNTS);
            wanted.drain(..some).collect()
        };
        let places: Vec<(Uuid, i64)> = some.iter().map(|wanted| (wanted.account, wanted.after)).collect();
        match event_log::next_of_each(db.read(), &Scope::engine(), &places).await {
            Ok(next) => {
                for wanted in some {
                    let rows = next.get(&(wanted.account, wanted.after)).cloned().unwrap_or_default();
                    // Who has gone meanwhile reads no more.
                    let _ = wanted.answer.send(Ok(rows));
                }
            }
            Err(error) => {
                for wanted in some {
                    let _ = wanted.answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
