//! The operations of one socket, as one stream of messages to send.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::extract::ws::Message;
use futures_util::StreamExt;
use futures_util::future::AbortHandle;
use futures_util::stream::{self, Abortable, BoxStream, SelectAll};

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
pub(super) struct Operations {
    running: SelectAll<BoxStream<'static, Delivery>>,
    by_id: HashMap<Arc<str>, (u64, AbortHandle)>,
    generation: u64,
}

impl Operations {
    pub(super) fn new() -> Self {
        Self {
            running: SelectAll::new(),
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

    /// Whether there is anything to wait for; stopped operations count until their streams are dropped.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts an operation under an id that is free.
    pub(super) fn start(&mut self, edge: &Arc<Edge>, caller: Caller, id: &str, operation: Operation) {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let id: Arc<str> = Arc::from(id);
        let (handle, registration) = AbortHandle::new_pair();
        let deliveries = match operation.kind {
            OperationType::Subscription => events(Arc::clone(&id), generation, run::subscribe(edge, caller, operation)),
            OperationType::Query | OperationType::Mutation => {
                let edge = Arc::clone(edge);
                let answer = stream::once(async move { run::execute(&edge, &caller, operation).await });
                events(Arc::clone(&id), generation, answer.boxed())
            }
        };
        self.running.push(Abortable::new(deliveries, registration).boxed());
        self.by_id.insert(id, (generation, handle));
    }

    /// Stops an operation; an id that is not running is no mistake: the two ends may complete at the same time.
    pub(super) fn stop(&mut self, id: &str) {
        if let Some((_, handle)) = self.by_id.remove(id) {
            handle.abort();
        }
    }

    /// The next message of any operation; `None` when that was only a stopped one going away.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let delivery = self.running.next().await?;
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
fn events(id: Arc<str>, generation: u64, answers: BoxStream<'static, Answer>) -> BoxStream<'static, Delivery> {
    enum State {
        Running {
            answers: BoxStream<'static, Answer>,
            open: Open,
        },
        Ended,
    }
    let state = State::Running {
        answers,
        open: Open::new(),
    };
    stream::unfold(state, move |state| {
        let id = Arc::clone(&id);
        async move {
            let State::Running { mut answers, open } = state else {
                return None;
            };
            let (message, state) = match answers.next().await {
                Some(answer) if answer.outcome != Outcome::Executed => (
                    Outgoing::Error {
                        id: &id,
                        payload: &answer.errors,
                    }
                    .frame(),
                    State::Ended,
                ),
                Some(answer) => {
                    let message = Outgoing::Next {
                        id: &id,
                        payload: answer.wire(),
                    }
                    .frame();
                    (message, State::Running { answers, open })
                }
                None => (Outgoing::Complete { id: &id }.frame(), State::Ended),
            };
            let last = matches!(state, State::Ended);
            Some((
                Delivery {
                    id,
                    generation,
                    message,
                    last,
                },
                state,
            ))
        }
    })
    .boxed()
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
