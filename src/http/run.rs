//! From parameters to an answer: the one way every operation takes, over HTTP and over sockets.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, ServerError, Value};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Sleep, sleep_until};

use super::edge::{Caller, Edge};
use super::guard::{self, Measured};
use super::mend;
use super::params::Params;
use super::reply::{self, Answer, Cost, Outcome, code, coded};
use crate::clock;

/// An operation that passed the guard.
pub(super) struct Operation {
    pub(super) kind: OperationType,
    request: Request,
    measured: Measured,
    source: Source,
}

/// What an operation was asked with, for what has to be looked up after it ran.
struct Source {
    query: String,
    operation: Option<String>,
}

/// Measures a request's document and turns it into an operation.
///
/// Errors: what cannot run, with codes; the document was not validated yet.
pub(super) fn admit(edge: &Edge, caller: &Caller, params: Params) -> Result<Operation, Vec<ServerError>> {
    let limits = &edge.config.guard;
    let checked = guard::check(
        limits,
        &edge.documents,
        &params.query,
        params.operation_name.as_deref(),
        &params.variables,
    )
    .map_err(|refused| vec![refused.into_error()])?;
    let knows_schema = edge.may_introspect(caller);
    if checked.measured.introspects && !knows_schema {
        return Err(vec![coded(
            code::INTROSPECTION_DISABLED,
            "Introspection is not enabled for this caller.",
        )]);
    }
    let source = Source {
        query: params.query.clone(),
        operation: params.operation_name.clone(),
    };
    let mut variables = params.variables;
    for (name, value) in checked.defaults {
        variables.insert(name, value);
    }
    let mut request = Request::new(params.query).variables(variables);
    request.operation_name = params.operation_name;
    for (name, value) in params.extensions {
        if let Ok(value) = Value::from_json(value) {
            request.extensions.0.insert(name, value);
        }
    }
    if !knows_schema {
        request = request.disable_introspection();
    }
    request.set_parsed_query(checked.document);
    Ok(Operation {
        kind: checked.kind,
        request,
        measured: checked.measured,
        source,
    })
}

/// Runs a query or a mutation, until the deadline of the request it came with. After it nothing is begun. A panic in a
/// resolver is ours: logged and masked.
pub(super) async fn execute(edge: &Edge, caller: &Caller, operation: Operation, deadline: &mut Deadline) -> Answer {
    let Operation {
        kind,
        request,
        measured,
        source,
    } = operation;
    let begun = std::panic::catch_unwind(AssertUnwindSafe(|| edge.engine.execute(caller, request)));
    let ran = match begun {
        Ok(run) => deadline.within(AssertUnwindSafe(run).catch_unwind()).await,
        Err(panic) => Some(Err(panic)),
    };
    let mut answer = match ran {
        None => timed_out(edge, kind),
        Some(Ok(response)) => finish(edge, caller, &source, response),
        Some(Err(panic)) => panicked(caller, &*panic),
    };
    answer.cost = Some(cost(edge, measured));
    edge.counts.ran(kind, &answer);
    answer
}

/// When a request has taken too long.
pub(super) struct Deadline {
    /// None for a time so long that it never comes.
    at: Option<Instant>,
    /// Made for the first work that has to wait: most of it is done at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// The one that comes after this time.
    pub(super) fn after(time: Duration) -> Self {
        Self {
            at: clock::monotonic().checked_add(time),
            timer: None,
        }
    }

    /// Works until then; none when it came first, and then nothing more of the work is begun.
    pub(super) async fn within<W: Future>(&mut self, work: W) -> Option<W::Output> {
        let Self { at, timer } = self;
        let Some(at) = *at else { return Some(work.await) };
        let mut work = pin!(work);
        poll_fn(|context| {
            if at <= clock::monotonic() {
                return Poll::Ready(None);
            }
            match work.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => {
                    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
                    timer.as_mut().poll(context).map(|()| None)
                }
            }
        })
        .await
    }
}

/// Runs an operation for a connection that stays open: one answer of a query or a mutation, within the time of a request;
/// those of a subscription.
pub(super) fn answers(edge: &Arc<Edge>, caller: Caller, operation: Operation) -> BoxStream<'static, Answer> {
    if operation.kind == OperationType::Subscription {
        return subscribe(edge, caller, operation);
    }
    let edge = Arc::clone(edge);
    stream::once(async move {
        let mut deadline = Deadline::after(edge.config.request_timeout);
        execute(&edge, &caller, operation, &mut deadline).await
    })
    .boxed()
}

/// Runs a subscription: an answer for each event. It ends after an answer that could not run, and after a panic.
fn subscribe(edge: &Arc<Edge>, caller: Caller, operation: Operation) -> BoxStream<'static, Answer> {
    let edge = Arc::clone(edge);
    let Operation {
        measured,
        source,
        request,
        ..
    } = operation;
    let start = std::panic::catch_unwind(AssertUnwindSafe(|| edge.engine.subscribe(&caller, request)));
    let events = match start {
        Ok(events) => events,
        Err(panic) => {
            let answer = panicked(&caller, &*panic);
            return stream::once(async move { answer }).boxed();
        }
    };
    let mut first = true;
    let finishes = {
        let (edge, caller) = (Arc::clone(&edge), caller.clone());
        move |response: async_graphql::Response| {
            let nothing = response.data == Value::Null && response.is_err();
            (nothing, finish(&edge, &caller, &source, response))
        }
    };
    AssertUnwindSafe(events.map(finishes))
        .catch_unwind()
        .map(move |event| {
            let (nothing, mut answer) = event.unwrap_or_else(|panic| (false, panicked(&caller, &*panic)));
            if std::mem::take(&mut first) {
                // Nothing but errors at once: the source of events could not be opened, so nothing ran.
                if nothing {
                    answer.outcome = Outcome::Refused;
                }
                answer.cost = Some(cost(&edge, measured));
                edge.counts.ran(OperationType::Subscription, &answer);
            }
            answer
        })
        .boxed()
}

fn finish(edge: &Edge, caller: &Caller, source: &Source, mut response: async_graphql::Response) -> Answer {
    if response.errors.iter().any(|error| !error.path.is_empty()) {
        let shape = edge.engine.shape();
        mend::mend(
            shape,
            &source.query,
            source.operation.as_deref(),
            &mut response.data,
            &response.errors,
        );
    }
    reply::answer(
        &*edge.engine,
        caller,
        response,
        edge.may_introspect(caller),
        edge.config.reported_errors,
    )
}

const fn cost(edge: &Edge, measured: Measured) -> Cost {
    Cost {
        limit: edge.config.guard.cost,
        requested: measured.cost,
    }
}

fn panicked(caller: &Caller, panic: &(dyn std::any::Any + Send)) -> Answer {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned());
    tracing::error!(request_id = %caller.request_id, panic = said, "a resolver panicked");
    metrics::counter!("graphql_internal_errors_total").increment(1);
    let mut answer = Answer::refused(vec![reply::internal(caller)]);
    answer.outcome = Outcome::Executed;
    answer
}

fn timed_out(edge: &Edge, kind: OperationType) -> Answer {
    let limit = edge.config.request_timeout.as_millis();
    let message = match kind {
        OperationType::Mutation => format!(
            "The request took longer than {limit} ms. Whether it happened is not known: repeat it with the same idempotency key."
        ),
        _ => format!("The request took longer than {limit} ms. Ask for less, or try again."),
    };
    let mut answer = Answer::refused(vec![coded(code::TIMEOUT, message)]);
    answer.outcome = Outcome::TimedOut;
    answer
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn what_is_done_at_once_makes_no_timer_and_what_waits_makes_one() {
        for hour in [HOUR, Duration::MAX] {
            let mut deadline = Deadline::after(hour);
            assert_eq!(deadline.within(ready(1)).await, Some(1));
            assert!(deadline.timer.is_none());
        }
        let mut deadline = Deadline::after(HOUR);
        for _ in 0..2 {
            assert_eq!(deadline.within(tokio::task::yield_now()).await, Some(()));
            assert!(deadline.timer.is_some());
        }
    }

    #[tokio::test]
    async fn what_is_not_done_in_time_is_left_and_nothing_is_begun_after_it() {
        let mut deadline = Deadline::after(Duration::from_millis(1));
        assert_eq!(deadline.within(pending::<()>()).await, None);
        let begun = std::cell::Cell::new(false);
        assert_eq!(deadline.within(async { begun.set(true) }).await, None);
        assert!(!begun.get());
    }
}
