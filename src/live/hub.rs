//! Who listens in this process, and how they are woken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entity::account_event;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::reader::Reader;

/// How many events of an account are kept for those who listen to it.
const RECENT: usize = 100;

/// What those who listen to an account share.
#[derive(Debug)]
struct Heard {
    /// The newest sequence number that anybody has told of.
    news: watch::Sender<i64>,
    recent: Arc<tokio::sync::Mutex<Recent>>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            news: watch::channel(0).0,
            recent: Arc::default(),
        }
    }
}

/// The newest events of an account that somebody here has read, without gaps: one event wakes all who listen, and one of
/// them reads it.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<account_event::Model>);

impl Recent {
    /// The events after a sequence number; nothing when they are not all here.
    pub(super) fn after(&self, sequence: i64) -> Option<Vec<account_event::Model>> {
        let (first, last) = (self.0.front()?.sequence, self.0.back()?.sequence);
        if first > sequence.saturating_add(1) || last <= sequence {
            return None;
        }
        let behind = self.0.partition_point(|event| event.sequence <= sequence);
        Some(self.0.iter().skip(behind).cloned().collect())
    }

    /// Keeps events that were read, in their order.
    pub(super) fn keep(&mut self, read: &[account_event::Model]) {
        for event in read {
            let last = self.0.back().map(|last| last.sequence);
            if last.is_some_and(|last| event.sequence <= last) {
                continue;
            }
            if last.is_some_and(|last| event.sequence > last.saturating_add(1)) {
                self.0.clear();
            }
            if self.0.len() == RECENT {
                self.0.pop_front();
            }
            self.0.push_back(event.clone());
        }
    }
}

/// The accounts that somebody listens to.
#[derive(Debug, Default)]
pub struct Hub {
    accounts: Mutex<HashMap<Uuid, Heard>>,
    /// Reads what is new for all of them.
    pub(super) reader: Reader,
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
    recent: Arc<tokio::sync::Mutex<Recent>>,
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
        let mut accounts = self.lock();
        let heard = accounts.entry(account).or_default();
        Listener {
            hub: Arc::clone(self),
            account,
            news: Some(heard.news.subscribe()),
            recent: Arc::clone(&heard.recent),
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
        if let Some(heard) = self.lock().get(&account) {
            heard.news.send_if_modified(|newest| {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Heard>> {
        // Nothing that runs under the lock can leave the map half changed.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The newest sequence number that anybody has told of since somebody here listens to the account.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.news.as_ref().map_or(0, |news| *news.borrow())
    }

    /// What those who listen to the account have read. Held while one of them reads for all.
    pub(super) async fn recent(&self) -> tokio::sync::MutexGuard<'_, Recent> {
        self.recent.lock().await
    }

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
            .is_some_and(|heard| heard.news.receiver_count() == 0)
        {
            accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use chrono::DateTime;
    use entity::account_event;
    use entity::enums::EventType;
    use uuid::Uuid;

    use super::{Hub, RECENT, Recent};

    fn event(sequence: i64) -> account_event::Model {
        account_event::Model {
            account_id: Uuid::from_u128(1),
            sequence,
            kind: EventType::OrderPaid,
            resource_id: None,
            order_id: None,
            payment_id: None,
            invoice_id: None,
            alert_id: None,
            wallet_id: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_read_is_shared_only_while_nothing_is_missing() {
        let mut recent = Recent::default();
        let after = |recent: &Recent, sequence| {
            let rows = recent.after(sequence)?;
            Some(rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>())
        };
        assert_eq!(after(&recent, 0), None);
        recent.keep(&[event(5), event(6)]);
        recent.keep(&[event(6), event(7)]);
        assert_eq!(after(&recent, 4), Some(vec![5, 6, 7]));
        assert_eq!(after(&recent, 6), Some(vec![7]));
        assert_eq!(after(&recent, 7), None, "what is newer must be read");
        assert_eq!(after(&recent, 3), None, "4 is not here");
        // Read by somebody who is further: what is between is not known here.
        recent.keep(&[event(10)]);
        assert_eq!(after(&recent, 7), None);
        assert_eq!(after(&recent, 9), Some(vec![10]));
        let many: Vec<_> = (11..=500).map(event).collect();
        recent.keep(&many);
        assert_eq!(after(&recent, 400).unwrap().len(), RECENT);
        assert_eq!(after(&recent, 399), None);
    }

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
