//! Who listens in this process, and how they are woken.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// The accounts that somebody listens to. Each has one number: the newest sequence anybody has told of.
#[derive(Debug, Default)]
pub struct Hub {
    accounts: Mutex<HashMap<Uuid, watch::Sender<i64>>>,
    /// Whether other processes are told at all.
    relays: bool,
    /// The accounts of which this process wrote something that it has not told the others.
    untold: Mutex<HashSet<Uuid>>,
    something_untold: Notify,
}

/// One subscriber's ear. When the last one of an account is dropped, the account is forgotten.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    account: Uuid,
    news: Option<watch::Receiver<i64>>,
}

impl Hub {
    /// Nobody listens yet. With `relays`, what this process writes is collected for the others.
    #[must_use]
    pub fn new(relays: bool) -> Self {
        Self {
            relays,
            ..Self::default()
        }
    }

    /// Listens to an account. Listen first and read the store after: what is written in between wakes.
    #[must_use]
    pub fn listen(self: &Arc<Self>, account: Uuid) -> Listener {
        let news = self
            .lock()
            .entry(account)
            .or_insert_with(|| watch::channel(0).0)
            .subscribe();
        Listener {
            hub: Arc::clone(self),
            account,
            news: Some(news),
        }
    }

    /// Tells that this process wrote events of an account up to `sequence`: to those who listen here at once, to other
    /// processes with the next notice.
    pub fn wake(&self, account: Uuid, sequence: i64) {
        self.heard(account, sequence);
        if !self.relays {
            return;
        }
        self.untold
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(account);
        self.something_untold.notify_one();
    }

    /// Waits until there is something that the other processes were not told.
    pub async fn something_untold(&self) {
        self.something_untold.notified().await;
    }

    /// The accounts whose news the other processes were not told, which now is up to the caller.
    #[must_use]
    pub fn take_untold(&self) -> Vec<Uuid> {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.drain().collect()
    }

    /// Tells those who listen here that an account has events up to `sequence`. Cheap when nobody does.
    pub fn heard(&self, account: Uuid, sequence: i64) {
        if let Some(sender) = self.lock().get(&account) {
            sender.send_if_modified(|newest| {
                let is_news = sequence > *newest;
                if is_news {
                    *newest = sequence;
                }
                is_news
            });
        }
    }

    /// Whether somebody listens to an account here.
    #[must_use]
    pub fn is_heard(&self, account: Uuid) -> bool {
        self.lock().contains_key(&account)
    }

    /// The accounts that somebody listens to.
    #[must_use]
    pub fn accounts(&self) -> Vec<Uuid> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<i64>>> {
        // Nothing that runs under the lock can leave the map half changed.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits until somebody tells of an event after `seen`.
    pub async fn news_after(&mut self, seen: i64) {
        if let Some(news) = &mut self.news {
            // The sender lives as long as its listeners: an error can't happen, and would only mean one more read.
            let _ = news.wait_for(|newest| *newest > seen).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut accounts = self.hub.lock();
        self.news = None;
        if accounts
            .get(&self.account)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::Hub;

    #[tokio::test]
    async fn a_wake_reaches_its_account_only_and_the_forgotten_leave_nothing() {
        let hub = Arc::new(Hub::default());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut listener = hub.listen(one);
        hub.wake(other, 9);
        hub.wake(one, 3);
        listener.news_after(2).await;
        drop(listener);
        assert!(hub.accounts().is_empty());
    }
}
