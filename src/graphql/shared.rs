//! Subscriptions that are shared: whoever selects the same of an account's events, with the same rights, is told with
//! the same bytes.
//!
//! A subscriber first has an execution of its own, which checks the document and its arguments and tells what happened
//! before it came. Then it joins the group of its selection. The group has one execution for all: it resolves each event
//! once, writes it as JSON once, and keeps the newest of them. Who is too slow for what is kept goes on alone, from where
//! it stands. A group ends with its last subscriber.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType, Selection};
use async_graphql::{Name, Request, Response, ServerError, Value, Variables};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::caller::Caller;
use super::session::{Part, Session};
use crate::app::App;

/// The fields whose subscribers are told the same.
const SHARED: [&str; 2] = ["accountEvents", "expiryAlerts"];
/// How many answers a group keeps for those who have not taken them.
const KEPT: usize = 100;

/// Runs a request's subscription.
pub(super) type Run = Arc<dyn Fn(Request) -> BoxStream<'static, Response> + Send + Sync>;

/// Where an execution of a subscriber's own ends.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    /// The account, and how far its events went.
    place: OnceLock<(Uuid, i64)>,
    failed: AtomicBool,
}

impl Handover {
    /// What was there is told up to here.
    pub(crate) fn will_end(&self, account: Uuid, sequence: i64) {
        // A subscription has one root field, which begins once.
        let _ = self.place.set((account, sequence));
    }

    /// Not all of it could be told.
    pub(crate) fn has_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The place, when all before it was told.
    fn taken(&self) -> Option<(Uuid, i64)> {
        let place = self.place.get().copied();
        place.filter(|_| !self.failed.load(Ordering::Relaxed))
    }
}

/// An answer, cheap to give to many.
#[derive(Clone, Debug)]
enum Shown {
    /// The JSON of its data.
    Json(Bytes),
    /// One with errors, whose words are each subscriber's own.
    Failed(Value, Vec<ServerError>),
}

impl Shown {
    fn of(response: Response) -> Self {
        if response.errors.is_empty()
            && let Ok(json) = serde_json::to_vec(&response.data)
        {
            return Self::Json(Bytes::from(json));
        }
        Self::Failed(response.data, response.errors)
    }

    fn response(self) -> Response {
        match self {
            Self::Json(json) => Response::new(Value::Binary(json)),
            Self::Failed(data, errors) => {
                let mut response = Response::new(data);
                response.errors = errors;
                response
            }
        }
    }
}

/// What a subscription was asked with, to be run again.
struct Template {
    app: Arc<App>,
    caller: Caller,
    query: String,
    operation_name: Option<String>,
    variables: Variables,
    document: ExecutableDocument,
    introspection: async_graphql::IntrospectionMode,
}

impl Template {
    /// Runs a part of the subscription; the session knows which event was told last.
    fn run(&self, run: &Run, part: Part) -> Option<(Arc<Session>, BoxStream<'static, Response>)> {
        let session = Session::open_part(Arc::clone(&self.app), self.caller.clone(), part).ok()?;
        let session = Arc::new(session);
        let mut request = Request::new(self.query.clone()).variables(self.variables.clone());
        request.operation_name.clone_from(&self.operation_name);
        request.introspection_mode = self.introspection;
        request.set_parsed_query(self.document.clone());
        let answers = run(request.data(Arc::clone(&session)));
        Some((session, answers))
    }

    /// What all who are told the same have in common, but for the account.
    fn key(&self, after: Option<&Name>) -> String {
        let mut variables = self.variables.clone();
        if let Some(after) = after {
            variables.remove(after);
        }
        let Caller {
            principal: _,
            role,
            account,
            accounts,
            product,
            permissions,
        } = &self.caller;
        let variables = serde_json::to_string(&variables).unwrap_or_default();
        let (operation, query) = (&self.operation_name, &self.query);
        format!("{role:?} {account:?} {accounts:?} {product:?} {permissions:?} {operation:?}\n{variables}\n{query}")
    }
}

/// The groups of a process.
#[derive(Clone, Default)]
pub(super) struct Groups(Arc<Mutex<HashMap<Arc<str>, Weak<Group>>>>);

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups")
    }
}

/// Those who are told the same.
struct Group {
    key: Arc<str>,
    groups: Groups,
    template: Template,
    run: Run,
    told: Arc<Told>,
    /// Set once, by the one who made the group.
    resolving: OnceLock<AbortHandle>,
}

/// What a group was told.
struct Told {
    kept: Mutex<Kept>,
    news: watch::Sender<()>,
}

struct Kept {
    /// All that came after this event is among the answers.
    after: i64,
    answers: VecDeque<(i64, Shown)>,
    /// Nothing more comes; after an error, if there is one.
    ended: Option<Option<Shown>>,
}

/// What a subscriber takes next.
enum Next {
    Answer(i64, Shown),
    /// Later.
    Wait,
    /// It is behind what is kept.
    Behind,
    End(Option<Shown>),
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, sequence: i64, shown: Shown) {
        let mut kept = self.lock();
        if kept.answers.len() == KEPT
            && let Some((sequence, _)) = kept.answers.pop_front()
        {
            kept.after = sequence;
        }
        kept.answers.push_back((sequence, shown));
        drop(kept);
        self.news.send_replace(());
    }

    fn end(&self, error: Option<Shown>) {
        self.lock().ended = Some(error);
        self.news.send_replace(());
    }

    fn next(&self, seen: i64) -> Next {
        let kept = self.lock();
        if seen < kept.after {
            return Next::Behind;
        }
        let place = kept.answers.partition_point(|(sequence, _)| *sequence <= seen);
        match (kept.answers.get(place), &kept.ended) {
            (Some((sequence, shown)), _) => Next::Answer(*sequence, shown.clone()),
            (None, Some(error)) => Next::End(error.clone()),
            (None, None) => Next::Wait,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(resolving) = self.resolving.get() {
            resolving.abort();
        }
        let mut groups = self.groups.lock();
        if groups.get(&self.key).is_some_and(|group| group.strong_count() == 0) {
            groups.remove(&self.key);
        }
    }
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Group>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many groups there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Runs a subscription, shared if others may be told the same.
    pub(super) fn subscribe(&self, mut request: Request, run: Run) -> BoxStream<'static, Response> {
        let Some((session, template, after)) = template(&mut request) else {
            return run(request);
        };
        let handover = Arc::<Handover>::default();
        let replay = Part::Replay(Arc::clone(&handover));
        let Ok(own) = Session::open_part(Arc::clone(&session.app), session.caller.clone(), replay) else {
            return run(request);
        };
        let own = run(request.data(Arc::new(own)));
        let joining = Joining {
            handover,
            key: template.key(after.as_ref()),
            template,
            run,
            groups: self.clone(),
        };
        stream::unfold(Subscriber::Alone(own, Some(Box::new(joining))), Subscriber::next).boxed()
    }

    /// The group of a key; a new one, which tells what comes after `seen`, when there is none that goes on.
    fn join(&self, joining: Joining, account: Uuid, seen: i64) -> Arc<Group> {
        let key: Arc<str> = Arc::from(format!("{account} {}", joining.key));
        // Not under the lock: a group that turns out to be its last subscriber's wants it when it is dropped.
        let existing = self.lock().get(&key).and_then(Weak::upgrade);
        if let Some(group) = existing
            && group.told.lock().ended.is_none()
        {
            return group;
        }
        let told = Arc::new(Told {
            kept: Mutex::new(Kept {
                after: seen,
                answers: VecDeque::new(),
                ended: None,
            }),
            news: watch::Sender::new(()),
        });
        let group = Arc::new(Group {
            key: Arc::clone(&key),
            groups: self.clone(),
            template: joining.template,
            run: joining.run,
            told: Arc::clone(&told),
            resolving: OnceLock::new(),
        });
        self.lock().insert(key, Arc::downgrade(&group));
        match group.template.run(&group.run, Part::Follow(seen)) {
            Some((session, answers)) => {
                let resolving = tokio::spawn(resolve(told, session, answers, seen));
                let _ = group.resolving.set(resolving.abort_handle());
            }
            None => told.end(None),
        }
        group
    }
}

/// Resolves each event for a group.
async fn resolve(told: Arc<Told>, session: Arc<Session>, mut answers: BoxStream<'static, Response>, seen: i64) {
    let ending = Ending(told);
    let mut last = seen;
    while let Some(response) = answers.next().await {
        let sequence = session.told();
        if sequence <= last {
            // No event: the stream has failed.
            return ending.0.end(Some(Shown::of(response)));
        }
        last = sequence;
        ending.0.keep(sequence, Shown::of(response));
    }
    ending.0.end(None);
}

/// Ends a group, also when what resolves its events panics: nobody waits for what will never come.
struct Ending(Arc<Told>);

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.lock().ended.is_none() {
            let mut error = ServerError::new("the answer to an event could not be made", None);
            error.extensions.get_or_insert_default().set("code", "INTERNAL");
            self.0.end(Some(Shown::Failed(Value::Null, vec![error])));
        }
    }
}

/// What a subscriber that is still alone joins a group with.
struct Joining {
    handover: Arc<Handover>,
    key: String,
    template: Template,
    run: Run,
    groups: Groups,
}

enum Subscriber {
    Alone(BoxStream<'static, Response>, Option<Box<Joining>>),
    Together(Arc<Group>, i64, watch::Receiver<()>),
    Done,
}

impl Subscriber {
    async fn next(mut self) -> Option<(Response, Self)> {
        loop {
            self = match self {
                Self::Alone(mut answers, joining) => {
                    if let Some(response) = answers.next().await {
                        return Some((response, Self::Alone(answers, joining)));
                    }
                    // Nothing was handed over by what was refused or has failed.
                    let joining = joining?;
                    let (account, seen) = joining.handover.taken()?;
                    let group = joining.groups.clone().join(*joining, account, seen);
                    let news = group.told.news.subscribe();
                    Self::Together(group, seen, news)
                }
                Self::Together(group, seen, mut news) => {
                    news.mark_unchanged();
                    match group.told.next(seen) {
                        Next::Answer(sequence, shown) => {
                            return Some((shown.response(), Self::Together(group, sequence, news)));
                        }
                        Next::Wait => {
                            // The sender lives in the group.
                            let _ = news.changed().await;
                            Self::Together(group, seen, news)
                        }
                        Next::Behind => {
                            let (_, answers) = group.template.run(&group.run, Part::Follow(seen))?;
                            Self::Alone(answers, None)
                        }
                        Next::End(error) => return Some((error?.response(), Self::Done)),
                    }
                }
                Self::Done => return None,
            };
        }
    }
}

/// What a subscription of a shared field was asked with, and the variable that carries its cursor; nothing for others.
fn template(request: &mut Request) -> Option<(Arc<Session>, Template, Option<Name>)> {
    let session = super::session_of(&request.data)?;
    let document = request.parsed_query().ok()?.clone();
    let operation = match (&document.operations, &request.operation_name) {
        (DocumentOperations::Single(operation), _) => operation,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name.as_str())?,
        (DocumentOperations::Multiple(operations), None) => operations.values().next()?,
    };
    if operation.node.ty != OperationType::Subscription {
        return None;
    }
    let [root] = operation.node.selection_set.node.items.as_slice() else {
        return None;
    };
    let Selection::Field(root) = &root.node else {
        return None;
    };
    if !SHARED.contains(&root.node.name.node.as_str()) {
        return None;
    }
    let after = root.node.get_argument("after").and_then(|value| match &value.node {
        async_graphql_value::Value::Variable(name) => Some(name.clone()),
        _ => None,
    });
    let template = Template {
        app: Arc::clone(&session.app),
        caller: session.caller.clone(),
        query: request.query.clone(),
        operation_name: request.operation_name.clone(),
        variables: request.variables.clone(),
        introspection: request.introspection_mode,
        document,
    };
    Some((session, template, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_group_whose_events_are_resolved_no_more() {
        let told = Arc::new(Told {
            kept: Mutex::new(Kept {
                after: 3,
                answers: VecDeque::new(),
                ended: None,
            }),
            news: watch::Sender::new(()),
        });
        let resolving = Ending(Arc::clone(&told));
        told.keep(5, Shown::Failed(Value::Null, Vec::new()));
        assert!(matches!(told.next(2), Next::Behind));
        assert!(matches!(told.next(3), Next::Answer(5, _)));
        assert!(matches!(told.next(5), Next::Wait));
        // It panics.
        drop(resolving);
        assert!(
            matches!(told.next(3), Next::Answer(5, _)),
            "what was told before is heard"
        );
        assert!(matches!(told.next(5), Next::End(Some(Shown::Failed(..)))));
    }
}
