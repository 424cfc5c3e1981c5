//! What the edge counts of every request. A metric is found by its labels, which are texts: each is looked up once and kept.

use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use metrics::{Counter, Histogram};

use super::reply::{Answer, Outcome};

/// Requests, by route, method and status; operations, by type and outcome.
#[derive(Default)]
pub(super) struct Counts {
    routes: RwLock<Vec<Route>>,
    operations: [[OnceLock<Counter>; OUTCOMES.len()]; TYPES.len()],
}

/// One route: as many as there are, not as many as strangers make up.
struct Route {
    path: String,
    took: Histogram,
    answered: Vec<(&'static str, u16, Counter)>,
}

const TYPES: [&str; 3] = ["query", "mutation", "subscription"];
const OUTCOMES: [&str; 4] = ["ok", "errors", "refused", "timeout"];

impl Counts {
    /// A request was answered: at a route, with a method as a label, a status, and the time it took to the answer's head.
    pub(super) fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.path == route)
            && let Some(counter) = known.counter(method, status)
        {
            counter.increment(1);
            known.took.record(took);
            return;
        }
        drop(known);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let at = routes.iter().position(|known| known.path == route);
        let at = at.unwrap_or_else(|| {
            routes.push(Route {
                path: route.to_owned(),
                took: metrics::histogram!("http_request_duration_seconds", "route" => route.to_owned()),
                answered: Vec::new(),
            });
            routes.len() - 1
        });
        let known = &mut routes[at];
        known.took.record(took);
        if let Some(counter) = known.counter(method, status) {
            counter.increment(1);
            return;
        }
        let counter = metrics::counter!(
            "http_requests_total", "route" => route.to_owned(), "method" => method, "status" => status.to_string()
        );
        counter.increment(1);
        known.answered.push((method, status, counter));
    }

    /// An operation was answered; a subscription for the first time.
    pub(super) fn ran(&self, kind: OperationType, answer: &Answer) {
        let kind = match kind {
            OperationType::Query => 0,
            OperationType::Mutation => 1,
            OperationType::Subscription => 2,
        };
        let outcome = match answer.outcome {
            Outcome::Executed if answer.errors.is_empty() => 0,
            Outcome::Executed => 1,
            Outcome::Refused => 2,
            Outcome::TimedOut => 3,
        };
        let counter =
            || metrics::counter!("graphql_operations_total", "type" => TYPES[kind], "outcome" => OUTCOMES[outcome]);
        self.operations[kind][outcome].get_or_init(counter).increment(1);
    }
}

impl Route {
    fn counter(&self, method: &str, status: u16) -> Option<&Counter> {
        let mut known = self.answered.iter();
        known
            .find(|(with, of, _)| *of == status && *with == method)
            .map(|(_, _, counter)| counter)
    }
}
