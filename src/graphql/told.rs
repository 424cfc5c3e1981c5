//! What a group of subscribers was told, kept for those of them who have not taken it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::showing::Said;

/// How many answers a group keeps for those who have not taken them.
const KEPT: usize = 100;

/// What a group was told.
pub(super) struct Told {
    kept: Mutex<Kept>,
    news: Notify,
}

struct Kept {
    /// All that came after this event is among the answers.
    after: i64,
    answers: VecDeque<(i64, Said)>,
    /// Nothing more comes; after an error, if there is one.
    ended: Option<Option<Said>>,
}

/// What a subscriber takes next.
pub(super) enum Next {
    Answer(i64, Said),
    /// Later.
    Wait,
    /// It is behind what is kept.
    Behind,
    End(Option<Said>),
}

impl Told {
    /// Nothing yet, of what comes after an event.
    pub(super) fn after(seen: i64) -> Self {
        Self {
            kept: Mutex::new(Kept {
                after: seen,
                answers: VecDeque::new(),
                ended: None,
            }),
            news: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, sequence: i64, said: Said) {
        let mut kept = self.lock();
        if kept.answers.len() == KEPT
            && let Some((sequence, _)) = kept.answers.pop_front()
        {
            kept.after = sequence;
        }
        kept.answers.push_back((sequence, said));
        drop(kept);
        self.news.notify_waiters();
    }

    pub(super) fn end(&self, error: Option<Said>) {
        self.lock().ended = Some(error);
        self.news.notify_waiters();
    }

    /// Waits until it was told something after this call, or woken.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Wakes whoever waits, to look.
    pub(super) fn wake(&self) {
        self.news.notify_waiters();
    }

    /// Whether nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// What comes after an event. Who is alone takes it: nothing of what was before is kept.
    pub(super) fn next(&self, seen: i64, alone: bool) -> Next {
        let mut kept = self.lock();
        if seen < kept.after {
            return Next::Behind;
        }
        let place = kept.answers.partition_point(|(sequence, _)| *sequence <= seen);
        if alone && place < kept.answers.len() {
            kept.answers.drain(..place);
            if let Some((sequence, said)) = kept.answers.pop_front() {
                kept.after = sequence;
                return Next::Answer(sequence, said);
            }
        }
        match (kept.answers.get(place), &kept.ended) {
            (Some((sequence, said)), _) => Next::Answer(*sequence, said.clone()),
            (None, Some(error)) => Next::End(error.clone()),
            (None, None) => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Value;

    use super::*;

    #[test]
    fn what_the_only_one_has_taken_is_kept_no_longer() {
        let told = Told::after(3);
        for sequence in [5, 6, 9, 10, 11, 12] {
            told.keep(sequence, Said::Failed(Value::Null, Vec::new()));
        }
        // Another may take them too.
        assert!(matches!(told.next(3, false), Next::Answer(5, _)));
        assert!(matches!(told.next(5, false), Next::Answer(6, _)));
        assert_eq!(told.lock().answers.len(), 6);
        // Now it is alone: what it has not taken stays, and who joins from before is behind.
        assert!(matches!(told.next(6, true), Next::Answer(9, _)));
        assert_eq!(told.lock().answers.len(), 3);
        assert!(matches!(told.next(6, false), Next::Behind));
        assert!(matches!(told.next(9, false), Next::Answer(10, _)), "who joins now");
        assert!(matches!(told.next(11, true), Next::Answer(12, _)));
        assert!(matches!(told.next(12, true), Next::Wait));
        assert_eq!(told.lock().answers.len(), 0);
        assert!(matches!(told.next(11, false), Next::Behind));
    }
}
