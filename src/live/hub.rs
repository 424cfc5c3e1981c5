//! Who listens in this process, and how they are woken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use entity::account_event;
use tokio::sync::Notify;
use uuid::Uuid;

use super::reader::Reader;

/// How many events of an account are kept for those who listen to it.
const RECENT: usize = 100;

/// The newest sequence number of an account while nobody has told of any; an account without events has 0.
const NOTHING_TOLD: i64 = -1;

/// An account that somebody listens to.
#[derive(Default)]
struct Heard {
    ear: Arc<Ear>,
    /// How many listen.
    listeners: usize,
    /// Those of them who are called.
    called: Vec<(u64, Weak<dyn Called>)>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("ear", &self.ear)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Who is called at news: for who waits long and keeps nothing that could be woken.
pub trait Called: Send + Sync {
    /// Somebody has told of an event that is newer than all before.
    fn called(self: Arc<Self>);
}

/// What those who listen to an account share. There is one for each account, and most wait for hours: it is small.
#[derive(Debug)]
struct Ear {
    /// The newest sequence number that anybody has told of.
    newest: AtomicI64,
    /// How many of those who listen read the events.
    readers: AtomicUsize,
    news: Notify,
    recent: tokio::sync::Mutex<Recent>,
}

impl Default for Ear {
    fn default() -> Self {
        Self {
            newest: AtomicI64::new(NOTHING_TOLD),
            readers: AtomicUsize::default(),
            news: Notify::default(),
            recent: tokio::sync::Mutex::default(),
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
        let known = self.known(sequence)?;
        Some(self.0.iter().skip(known).cloned().collect())
    }

    /// As [`Recent::after`], and keeps none of them: for the only one who reads them.
    pub(super) fn take_after(&mut self, sequence: i64) -> Option<Vec<account_event::Model>> {
        let known = self.known(sequence)?;
        let mut events = std::mem::take(&mut self.0);
        events.drain(..known);
        Some(events.into())
    }

    /// How many of these are not after a sequence number; nothing when those that are, are not all here.
    fn known(&self, sequence: i64) -> Option<usize> {
        let (first, last) = (self.0.front()?.sequence, self.0.back()?.sequence);
        if first > sequence.saturating_add(1) || last <= sequence {
            return None;
        }
        Some(self.0.partition_point(|event| event.sequence <= sequence))
    }

    /// Keeps events that were read, in their order.
    pub(super) fn keep(&mut self, read: &[account_event::Model]) {
        // Mostly it is one event, soon taken.
        if self.0.is_empty() {
            self.0.reserve_exact(read.len().min(RECENT));
        }
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

#[derive(Debug, Default)]
struct Accounts {
    heard: HashMap<Uuid, Heard>,
    /// The number of the listener that came last.
    last: u64,
}

/// The accounts that somebody listens to.
#[derive(Debug, Default)]
pub struct Hub {
    accounts: Mutex<Accounts>,
    /// Reads what is new for all of them.
    pub(super) reader: Reader,
    /// Whether other processes are told at all.
    relays: bool,
    /// The accounts of which this process wrote something that it has not told the others.
    untold: Mutex<HashSet<Uuid>>,
    something_untold: Notify,
}

/// One who listens to an account. When the last one of an account is dropped, the account is forgotten.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    account: Uuid,
    ear: Arc<Ear>,
    number: u64,
    /// Whether it reads the events, and not only wants to know that there are some.
    reads: bool,
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

    /// Listens to an account, to read its events. Listen first and read the store after: what is written in between
    /// wakes.
    #[must_use]
    pub fn listen(self: &Arc<Self>, account: Uuid) -> Listener {
        self.listener(account, true)
    }

    /// Listens to an account, and is not interested in which events there are.
    #[must_use]
    pub fn watch(self: &Arc<Self>, account: Uuid) -> Listener {
        self.listener(account, false)
    }

    fn listener(self: &Arc<Self>, account: Uuid, reads: bool) -> Listener {
        let mut accounts = self.lock();
        accounts.last = accounts.last.wrapping_add(1);
        let number = accounts.last;
        let heard = accounts.heard.entry(account).or_default();
        heard.listeners = heard.listeners.saturating_add(1);
        heard.ear.readers.fetch_add(usize::from(reads), Ordering::AcqRel);
        Listener {
            hub: Arc::clone(self),
            account,
            ear: Arc::clone(&heard.ear),
            number,
            reads,
        }
    }

    /// Tells that this process wrote events of an account up to `sequence`: to those who listen here at once, to other
    /// processes with the next notice.
    pub fn wake(&self, account: Uuid, sequence: i64) {
        self.news(account, sequence, &[]);
        self.relay(account);
    }

    /// Tells of events that this process wrote and that are committed, as they stand in the store, those of an account
    /// in their order: as [`Hub::wake`] does, but those who listen here need not read them.
    pub fn tell(&self, events: &[account_event::Model]) {
        for own in events.chunk_by(|one, next| one.account_id == next.account_id) {
            self.heard_events(own);
            if let Some(event) = own.first() {
                self.relay(event.account_id);
            }
        }
    }

    fn relay(&self, account: Uuid) {
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
        self.news(account, sequence, &[]);
    }

    /// Tells those who listen here of events of one account, in their order and as they stand in the store: they need
    /// not read them.
    pub(super) fn heard_events(&self, events: &[account_event::Model]) {
        if let Some(newest) = events.last() {
            self.news(newest.account_id, newest.sequence, events);
        }
    }

    /// Those of the accounts that somebody listens to, each with the newest sequence number that anybody has told of; where
    /// nobody has, or nobody reads the events, without.
    pub(super) fn places(&self, accounts: impl Iterator<Item = Uuid>) -> Vec<(Uuid, Option<i64>)> {
        let known = self.lock();
        let place = |account| {
            let ear = &known.heard.get(&account)?.ear;
            let newest = ear.newest.load(Ordering::Acquire);
            let reads = ear.readers.load(Ordering::Acquire) > 0;
            Some((account, (reads && newest > NOTHING_TOLD).then_some(newest)))
        };
        accounts.filter_map(place).collect()
    }

    /// Wakes those who listen to an account, and leaves those who read what is at hand of its news.
    fn news(&self, account: Uuid, sequence: i64, at_hand: &[account_event::Model]) {
        let mut accounts = self.lock();
        let Some(heard) = accounts.heard.get_mut(&account) else {
            return;
        };
        // Whoever reads at the moment keeps what it reads; what is missing then is read.
        if !at_hand.is_empty()
            && heard.ear.readers.load(Ordering::Acquire) > 0
            && let Ok(mut recent) = heard.ear.recent.try_lock()
        {
            recent.keep(at_hand);
        }
        if sequence <= heard.ear.newest.fetch_max(sequence, Ordering::AcqRel) {
            return;
        }
        heard.ear.news.notify_waiters();
        let mut called = heard.called.iter().filter_map(|(_, called)| called.upgrade());
        // Mostly it is one.
        let (first, others) = (called.next(), called.collect::<Vec<_>>());
        // Whoever is called may listen, or stop to.
        drop(accounts);
        for called in first.into_iter().chain(others) {
            called.called();
        }
    }

    /// The accounts that somebody listens to.
    #[must_use]
    pub fn accounts(&self) -> Vec<Uuid> {
        self.lock().heard.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        // Nothing that runs under the lock can leave the map half changed.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The newest sequence number that anybody has told of since somebody here listens to the account; below 0 while
    /// nobody has.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.ear.newest.load(Ordering::Acquire)
    }

    /// The account it listens to.
    pub(super) const fn account(&self) -> Uuid {
        self.account
    }

    /// Whether nobody else reads the account's events here.
    pub(super) fn is_only_reader(&self) -> bool {
        self.reads && self.ear.readers.load(Ordering::Acquire) == 1
    }

    /// What those who listen to the account have read. Held while one of them reads for all.
    pub(super) async fn recent(&self) -> tokio::sync::MutexGuard<'_, Recent> {
        self.ear.recent.lock().await
    }

    /// Waits until somebody tells of an event after `seen`.
    pub async fn news_after(&self, seen: i64) {
        loop {
            // Before the look: who tells meanwhile is heard.
            let news = self.ear.news.notified();
            if self.newest() > seen {
                return;
            }
            news.await;
        }
    }

    /// Has somebody called whenever there is news, as long as the listener is there. What was told of before is for the
    /// caller to see to, afterwards.
    pub fn at_news(&self, called: Weak<dyn Called>) {
        let mut accounts = self.hub.lock();
        if let Some(heard) = accounts.heard.get_mut(&self.account) {
            heard.called.reserve_exact(1);
            heard.called.push((self.number, called));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut accounts = self.hub.lock();
        let Some(heard) = accounts.heard.get_mut(&self.account) else {
            return;
        };
        heard.listeners = heard.listeners.saturating_sub(1);
        heard.ear.readers.fetch_sub(usize::from(self.reads), Ordering::AcqRel);
        heard.called.retain(|(number, _)| *number != self.number);
        if heard.listeners == 0 {
            accounts.heard.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Weak};

    use chrono::DateTime;
    use entity::account_event;
    use entity::enums::EventType;
    use uuid::Uuid;

    use super::{Called, Hub, RECENT, Recent};

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

    #[test]
    fn what_is_told_is_at_hand_for_those_who_listen_and_leaves_no_gap() {
        let hub = Arc::new(Hub::new(true));
        let own = Uuid::from_u128(1);
        let of = |account: u128, sequence| account_event::Model {
            account_id: Uuid::from_u128(account),
            ..event(sequence)
        };
        let listener = hub.listen(own);
        let at_hand = |after| {
            let recent = listener.ear.recent.try_lock().unwrap();
            let rows = recent.after(after)?;
            Some(rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>())
        };
        hub.tell(&[event(5), event(6), of(2, 9)]);
        assert_eq!((listener.newest(), at_hand(4)), (6, Some(vec![5, 6])));
        assert_eq!(at_hand(3), None, "4 must be read");
        // Others are told as of any news.
        let mut untold = hub.take_untold();
        untold.sort();
        assert_eq!(untold, [own, Uuid::from_u128(2)]);
        hub.wake(own, 7);
        hub.tell(&[event(8)]);
        assert_eq!((listener.newest(), at_hand(6)), (8, None), "7 must be read");
        assert_eq!(at_hand(7), Some(vec![8]));
        // While somebody reads, it is left to that.
        let reads = listener.ear.recent.try_lock().unwrap();
        hub.tell(&[event(9)]);
        drop(reads);
        assert_eq!((listener.newest(), at_hand(8)), (9, None));
    }

    #[tokio::test]
    async fn a_wake_reaches_its_account_only_and_the_forgotten_leave_nothing() {
        let hub = Arc::new(Hub::default());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let listener = hub.listen(one);
        hub.wake(other, 9);
        hub.wake(one, 3);
        listener.news_after(2).await;
        drop(listener);
        assert!(hub.accounts().is_empty());
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Called for Count {
        fn called(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_does_not_wait_is_called_at_all_that_is_new_and_not_when_it_has_left() {
        let hub = Arc::new(Hub::default());
        let account = Uuid::from_u128(1);
        let calls = Arc::new(Count::default());
        let called = || calls.0.swap(0, Ordering::Relaxed);
        let (one, other) = (hub.listen(account), hub.listen(account));
        for listener in [&one, &other] {
            let calls: Weak<Count> = Arc::downgrade(&calls);
            listener.at_news(calls);
        }
        hub.wake(account, 5);
        assert_eq!(called(), 2);
        hub.wake(account, 5);
        assert_eq!(called(), 0, "that is known");
        hub.wake(account, 6);
        assert_eq!(called(), 2);
        drop(one);
        hub.wake(account, 7);
        assert_eq!(called(), 1, "one has left");
        drop(other);
        assert!(hub.accounts().is_empty());
    }
}
