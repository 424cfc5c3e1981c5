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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::super::reply::coded;
    use super::*;

    #[test]
    fn each_request_and_operation_is_counted_once_under_its_own_labels() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let told = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let counts = Counts::default();
            let requests = [
                ("/graphql", "POST", 200),
                ("/graphql", "POST", 200),
                ("/graphql", "POST", 503),
                ("/graphql", "GET", 200),
                ("/graphql", "POST", 200),
                ("/healthz", "GET", 200),
            ];
            for (route, method, status) in requests {
                counts.answered(route, method, status, Duration::from_millis(2));
            }
            let mut answer = Answer::refused(Vec::new());
            counts.ran(OperationType::Query, &answer);
            answer.outcome = Outcome::Executed;
            counts.ran(OperationType::Query, &answer);
            counts.ran(OperationType::Query, &answer);
            answer.errors.push(coded("NOT_FOUND", "It is gone."));
            counts.ran(OperationType::Mutation, &answer);
            answer.outcome = Outcome::TimedOut;
            counts.ran(OperationType::Subscription, &answer);
        });
        let told = told.render();
        let mut counted: Vec<&str> = told.lines().filter(|line| line.contains("_total{")).collect();
        counted.sort_unstable();
        assert_eq!(
            counted,
            [
                "graphql_operations_total{type=\"mutation\",outcome=\"errors\"} 1",
                "graphql_operations_total{type=\"query\",outcome=\"ok\"} 2",
                "graphql_operations_total{type=\"query\",outcome=\"refused\"} 1",
                "graphql_operations_total{type=\"subscription\",outcome=\"timeout\"} 1",
                "http_requests_total{route=\"/graphql\",method=\"GET\",status=\"200\"} 1",
                "http_requests_total{route=\"/graphql\",method=\"POST\",status=\"200\"} 3",
                "http_requests_total{route=\"/graphql\",method=\"POST\",status=\"503\"} 1",
                "http_requests_total{route=\"/healthz\",method=\"GET\",status=\"200\"} 1",
            ]
        );
        let took = |route: &str| told.contains(&format!("http_request_duration_seconds_count{{route=\"{route}\"}} "));
        assert!(took("/graphql") && took("/healthz"), "{told}");
    }
}
