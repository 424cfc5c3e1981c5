//! The operations of one socket and the messages they send. A query or a mutation has a task of its own; a subscription
//! has what the engine runs it with, and is asked here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_graphql::parser::types::OperationType;
use axum::extract::ws::Message;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::messages::{self, Outgoing};
use crate::http::edge::{Caller, Edge};
use crate::http::reply::{Answer, Outcome};
use crate::http::run::{self, Operation};

/// Operations by the ids the client gave them. There are few on a socket.
pub(super) struct Operations {
    running: Vec<Running>,
    /// Who is asked first for the next message.
    turn: usize,
    /// None while none has one: most sockets only subscribe.
    tasks: Option<Tasks>,
    generation: u64,
}

struct Running {
    id: Box<str>,
    how: How,
    _open: Open,
}

enum How {
    Subscription(BoxStream<'static, Answer>),
    Task { generation: u64, handle: AbortHandle },
}

/// Tasks run on while nobody takes their messages; each waits with the one it has finished.
struct Tasks {
    sender: mpsc::Sender<Box<Delivery>>,
    finished: mpsc::Receiver<Box<Delivery>>,
    /// Dropped, they are aborted.
    set: JoinSet<()>,
}

/// A message of a task. A stopped operation's id may be used again at once: what the old one still had to say is
/// recognised by its generation and not sent. Boxed where it waits, because a channel keeps room for many of what it
/// carries.
struct Delivery {
    generation: u64,
    message: Message,
    /// Nothing follows.
    last: bool,
}

impl Tasks {
    fn new() -> Self {
        let (sender, finished) = mpsc::channel(1);
        let set = JoinSet::new();
        Self { sender, finished, set }
    }
}

impl Operations {
    pub(super) const fn new() -> Self {
        Self {
            running: Vec::new(),
            turn: 0,
            tasks: None,
            generation: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.running.iter().any(|running| &*running.id == id)
    }

    /// Starts an operation under an id that is free.
    pub(super) fn start(&mut self, edge: &Arc<Edge>, caller: Caller, id: &str, operation: Operation) {
        let open = Open::new();
        let subscribes = operation.kind == OperationType::Subscription;
        let answers = run::answers(edge, caller, operation);
        let how = if subscribes {
            How::Subscription(answers)
        } else {
            self.generation = self.generation.wrapping_add(1);
            let generation = self.generation;
            let tasks = self.tasks.get_or_insert_with(Tasks::new);
            while tasks.set.try_join_next().is_some() {}
            let task = tell(id.into(), generation, answers, tasks.sender.clone());
            let handle = tasks.set.spawn(task);
            How::Task { generation, handle }
        };
        self.running.reserve_exact(1);
        self.running.push(Running {
            id: id.into(),
            how,
            _open: open,
        });
    }

    /// Stops an operation; an id that is not running is no mistake: the two ends may complete at the same time.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some(place) = self.running.iter().position(|running| &*running.id == id) {
            self.end(place);
        }
    }

    fn end(&mut self, place: usize) {
        if let How::Task { handle, .. } = self.running.swap_remove(place).how {
            handle.abort();
            if !self
                .running
                .iter()
                .any(|running| matches!(running.how, How::Task { .. }))
            {
                self.tasks = None;
            }
        }
    }

    /// The next message of any operation. Waits for ever when none runs.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Message> {
        while let Some(Poll::Ready(Some(delivery))) = self.tasks.as_mut().map(|tasks| tasks.finished.poll_recv(context))
        {
            let of = |running: &Running| matches!(running.how, How::Task { generation, .. } if generation == delivery.generation);
            if let Some(place) = self.running.iter().position(of) {
                if delivery.last {
                    self.end(place);
                }
                return Poll::Ready(delivery.message);
            }
        }
        let count = self.running.len();
        for place in (0..count).map(|step| self.turn.wrapping_add(step).checked_rem(count).unwrap_or_default()) {
            let Some(Running {
                id,
                how: How::Subscription(answers),
                ..
            }) = self.running.get_mut(place)
            else {
                continue;
            };
            if let Poll::Ready(answer) = Pin::new(answers).poll_next_unpin(context) {
                let (message, last) = message(id, answer.as_ref());
                self.turn = place.wrapping_add(1);
                if last {
                    self.end(place);
                }
                return Poll::Ready(message);
            }
        }
        Poll::Pending
    }
}

/// An answer as a message, and whether it is the last: `next` for each, then `complete`; or `error`, which ends the
/// operation, for what did not run.
fn message(id: &str, answer: Option<&Answer>) -> (Message, bool) {
    match answer {
        Some(answer) if answer.outcome != Outcome::Executed => {
            let payload = &answer.errors;
            (Outgoing::Error { id, payload }.frame(), true)
        }
        Some(answer) => (messages::next(id, answer), false),
        None => (Outgoing::Complete { id }.frame(), true),
    }
}

/// Sends what an operation answers.
async fn tell(
    id: Box<str>,
    generation: u64,
    mut answers: BoxStream<'static, Answer>,
    sender: mpsc::Sender<Box<Delivery>>,
) {
    loop {
        let (message, last) = message(&id, answers.next().await.as_ref());
        let delivery = Delivery {
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
