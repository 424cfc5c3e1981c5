//! The operations of one socket, each in a task of its own, and the messages they send.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::ws::Message;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::messages::Outgoing;
use crate::http::edge::{Caller, Edge};
use crate::http::reply::{Answer, Outcome};
use crate::http::run::{self, Operation};

/// A message of an operation; `last` when nothing follows.
struct Delivery {
    id: Arc<str>,
    generation: u64,
    message: Message,
    last: bool,
}

/// Operations by the ids the client gave them. A stopped operation's id may be used again at once: what the old one
/// still had to say is recognised by its generation and not sent.
///
/// Tasks run on while nobody takes their messages; each waits with the one it has finished. Boxed, because a channel
/// keeps room for many of what it carries.
pub(super) struct Operations {
    sender: mpsc::Sender<Box<Delivery>>,
    finished: mpsc::Receiver<Box<Delivery>>,
    /// Dropped, they are aborted.
    tasks: JoinSet<()>,
    by_id: HashMap<Arc<str>, (u64, AbortHandle)>,
    generation: u64,
}

impl Operations {
    pub(super) fn new() -> Self {
        let (sender, finished) = mpsc::channel(1);
        Self {
            sender,
            finished,
            tasks: JoinSet::new(),
            by_id: HashMap::new(),
            generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Starts an operation under an id that is free.
    pub(super) fn start(&mut self, edge: &Arc<Edge>, caller: Caller, id: &str, operation: Operation) {
        while self.tasks.try_join_next().is_some() {}
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let id: Arc<str> = Arc::from(id);
        let answers = run::answers(edge, caller, operation);
        let task = tell(Arc::clone(&id), generation, answers, self.sender.clone());
        let handle = self.tasks.spawn(task);
        self.by_id.insert(id, (generation, handle));
    }

    /// Stops an operation; an id that is not running is no mistake: the two ends may complete at the same time.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some((_, handle)) = self.by_id.remove(id) {
            handle.abort();
        }
    }

    /// The next message of any operation; `None` when that was only a stopped one's. Waits for ever when none runs.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let delivery = self.finished.recv().await?;
        match self.by_id.get(&delivery.id) {
            Some((generation, _)) if *generation == delivery.generation => {}
            _ => return None,
        }
        if delivery.last {
            self.by_id.remove(&delivery.id);
        }
        Some(delivery.message)
    }
}

/// Answers as messages: `next` for each, then `complete`; or `error`, which ends the operation, for what did not run.
async fn tell(
    id: Arc<str>,
    generation: u64,
    mut answers: BoxStream<'static, Answer>,
    sender: mpsc::Sender<Box<Delivery>>,
) {
    let _open = Open::new();
    loop {
        let (message, last) = match answers.next().await {
            Some(answer) if answer.outcome != Outcome::Executed => {
                let payload = &answer.errors;
                (Outgoing::Error { id: &id, payload }.frame(), true)
            }
            Some(answer) => {
                let payload = answer.wire();
                (Outgoing::Next { id: &id, payload }.frame(), false)
            }
            None => (Outgoing::Complete { id: &id }.frame(), true),
        };
        let delivery = Delivery {
            id: Arc::clone(&id),
            generation,
            message,
            last,
        };
        if sender.send(Box::new(delivery)).await.is_err() || last {
            return;
        }
    }
}

/// One running operation in the gauge.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("graphql_subscriptions_open").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("graphql_subscriptions_open").decrement(1);
    }
}
