//! Subscriptions that are shared: whoever selects the same of an account's events, with the same rights, is told with
//! the same bytes.
//!
//! A subscriber first has an execution of its own, which checks the document and its arguments and tells what happened
//! before it came. Then it joins the group of its selection. The group has one execution for all: it resolves each event
//! once, writes it as JSON once, and keeps the newest of them. It begins with the first event and rests when none has come
//! for a while: most accounts are told nothing for hours, and whoever waits should cost little. A group that rests is woken
//! by its listener; it has no task. With but one subscriber it keeps few of those taken. Who is too slow
//! for what is kept catches up with an execution of its own, and joins again. A group ends with its last subscriber.
//!
//! What is alone has a task of its own; who belongs to a group has none and holds nothing. So the answers of either may be
//! taken when it suits.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType, Selection};
use async_graphql::{Request, Response, ServerError, Value, Variables};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::apart::apart;
use super::caller::Caller;
use super::session::{Part, Session};
use super::written;
use crate::app::App;
use crate::clock;
use crate::live::Listener;

/// The fields whose subscribers are told the same.
const SHARED: [&str; 2] = ["accountEvents", "expiryAlerts"];
/// How many answers a group keeps for those who have not taken them.
const KEPT: usize = 100;
/// How many for who is about to join, while only one is to take them.
const KEPT_FOR_OTHERS: usize = 4;
/// For how long a group without news keeps what resolves its events.
const RESTS_AFTER: Duration = Duration::from_secs(60);

/// Runs a request's subscription.
pub(super) type Run = Arc<dyn Fn(Request) -> BoxStream<'static, Response> + Send + Sync>;

/// Where an execution of a subscriber's own ends.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    /// The account, and how far its events went.
    place: OnceLock<(Uuid, i64)>,
    /// Hears of all events after that.
    listener: Mutex<Option<Listener>>,
    failed: AtomicBool,
}

impl Handover {
    /// What was there is told up to here; the listener has listened since before that was read.
    pub(crate) fn will_end(&self, account: Uuid, sequence: i64, listener: Listener) {
        // A subscription has one root field, which begins once.
        if self.place.set((account, sequence)).is_ok() {
            *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        }
    }

    /// Not all of it could be told.
    pub(crate) fn has_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The place, when all before it was told, and who listens from there on.
    fn taken(&self) -> Option<(Uuid, i64, Listener)> {
        let (account, sequence) = self.place.get().copied()?;
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (!self.failed.load(Ordering::Relaxed)).then_some((account, sequence, listener))
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
        if response.errors.is_empty() {
            return Self::Json(written::bytes(&response.data));
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
    text: Arc<Text>,
    operation_name: Option<String>,
    /// As JSON: there is one of these for each account, which may wait for days, and a map takes a kilobyte.
    variables: Box<str>,
    introspection: async_graphql::IntrospectionMode,
}

/// A document. Many subscribers send the same.
struct Text {
    query: String,
    document: ExecutableDocument,
}

impl Template {
    /// Runs a part of the subscription; the session knows which event was told last.
    fn run(&self, run: &Run, part: Part) -> Option<(Arc<Session>, BoxStream<'static, Response>)> {
        let session = Session::open_part(Arc::clone(&self.app), self.caller.clone(), part).ok()?;
        let session = Arc::new(session);
        let variables: Variables = serde_json::from_str(&self.variables).ok()?;
        let mut request = Request::new(self.text.query.clone()).variables(variables);
        request.operation_name.clone_from(&self.operation_name);
        request.introspection_mode = self.introspection;
        request.set_parsed_query(self.text.document.clone());
        let answers = run(request.data(Arc::clone(&session)));
        Some((session, answers))
    }

    /// What all who are told the same have in common, but for the account; its digest. The variables are those without the
    /// cursor.
    fn key(&self, variables: &Variables) -> Key {
        let Caller {
            principal: _,
            role,
            account,
            accounts,
            product,
            permissions,
        } = &self.caller;
        let variables = serde_json::to_string(variables).unwrap_or_default();
        let (operation, query) = (&self.operation_name, &self.text.query);
        let whole = format!(
            "{role:?} {account:?} {accounts:?} {product:?} {permissions:?} {operation:?}\n{variables}\n{query}"
        );
        Sha256::digest(whole.as_bytes()).into()
    }
}

/// A digest of all that makes subscribers be told the same.
type Key = [u8; 32];

/// The groups of a process.
#[derive(Clone)]
pub(super) struct Groups {
    known: Arc<Mutex<Known>>,
    /// For how long a group without news keeps what resolves its events.
    pub(super) rests_after: Duration,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            rests_after: RESTS_AFTER,
        }
    }
}

#[derive(Default)]
struct Known {
    /// By their account and key.
    groups: HashMap<(Uuid, Key), Weak<Group>>,
    /// The documents of all of them, by their text's digest.
    texts: HashMap<Key, Weak<Text>>,
    /// When there are so many of those, the ones that nobody uses are forgotten.
    tidied_at: usize,
}

impl Known {
    /// The document of a text, shared with all who sent the same.
    fn text(&mut self, query: String, document: ExecutableDocument) -> Arc<Text> {
        let digest = Sha256::digest(query.as_bytes()).into();
        if let Some(known) = self.texts.get(&digest).and_then(Weak::upgrade) {
            return known;
        }
        if self.texts.len() >= self.tidied_at {
            self.texts.retain(|_, text| text.strong_count() > 0);
            self.tidied_at = self.texts.len().saturating_mul(2).max(100);
        }
        let text = Arc::new(Text { query, document });
        self.texts.insert(digest, Arc::downgrade(&text));
        text
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups")
    }
}

/// Those who are told the same.
struct Group {
    key: (Uuid, Key),
    groups: Groups,
    source: Arc<Source>,
    told: Arc<Told>,
    state: Mutex<State>,
}

/// What tells a group.
struct Source {
    template: Template,
    run: Run,
    rests_after: Duration,
}

/// What a group does.
enum State {
    /// All up to this event was told. At the next one the listener begins.
    Rests(i64, Arc<Listener>),
    /// A task resolves its events.
    Resolves(AbortHandle),
    /// Between the two.
    Turns,
}

/// What a group was told.
struct Told {
    kept: Mutex<Kept>,
    news: Notify,
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
    /// Nothing yet, of what comes after an event.
    fn after(seen: i64) -> Self {
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

    fn keep(&self, sequence: i64, shown: Shown) {
        let mut kept = self.lock();
        if kept.answers.len() == KEPT
            && let Some((sequence, _)) = kept.answers.pop_front()
        {
            kept.after = sequence;
        }
        kept.answers.push_back((sequence, shown));
        drop(kept);
        self.news.notify_waiters();
    }

    fn end(&self, error: Option<Shown>) {
        self.lock().ended = Some(error);
        self.news.notify_waiters();
    }

    /// What comes after an event. When that is to wait, it has waited.
    async fn next_or_news(&self, seen: i64, alone: bool) -> Next {
        // Before the look: what is kept meanwhile is heard of.
        let news = self.news.notified();
        let next = self.next(seen, alone);
        if matches!(next, Next::Wait) {
            news.await;
        }
        next
    }

    /// What comes after an event. Who is alone has little need that what was before is kept.
    fn next(&self, seen: i64, alone: bool) -> Next {
        let mut kept = self.lock();
        if seen < kept.after {
            return Next::Behind;
        }
        while alone
            && kept.answers.len() > KEPT_FOR_OTHERS
            && kept.answers.front().is_some_and(|(sequence, _)| *sequence <= seen)
            && let Some((sequence, _)) = kept.answers.pop_front()
        {
            kept.after = sequence;
        }
        let place = kept.answers.partition_point(|(sequence, _)| *sequence <= seen);
        match (kept.answers.get(place), &kept.ended) {
            (Some((sequence, shown)), _) => Next::Answer(*sequence, shown.clone()),
            (None, Some(error)) => Next::End(error.clone()),
            (None, None) => Next::Wait,
        }
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rests until there is something after `seen`.
    fn rest(self: &Arc<Self>, seen: i64, listener: Arc<Listener>) {
        let group = Arc::downgrade(self);
        let begin = move || {
            if let Some(group) = group.upgrade() {
                group.begin();
            }
        };
        let mut state = self.state();
        let rests = listener.at_news_after(seen, begin);
        *state = State::Rests(seen, listener);
        drop(state);
        if !rests {
            self.begin();
        }
    }

    /// Begins to resolve, if it rests.
    fn begin(self: &Arc<Self>) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Turns) {
            State::Rests(seen, listener) => {
                let resolving = tokio::spawn(resolve(
                    Arc::downgrade(self),
                    Arc::clone(&self.told),
                    Arc::clone(&self.source),
                    seen,
                    listener,
                ));
                *state = State::Resolves(resolving.abort_handle());
            }
            other => *state = other,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let State::Resolves(resolving) = &*self.state() {
            resolving.abort();
        }
        let groups = &mut self.groups.lock().groups;
        if groups.get(&self.key).is_some_and(|group| group.strong_count() == 0) {
            groups.remove(&self.key);
        }
    }
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many groups there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().groups.len()
    }

    /// In how many of them a task resolves events.
    #[cfg(test)]
    pub(super) fn resolving(&self) -> usize {
        let groups: Vec<Arc<Group>> = self.lock().groups.values().filter_map(Weak::upgrade).collect();
        let resolves = |group: &&Arc<Group>| matches!(*group.state(), State::Resolves(_));
        groups.iter().filter(resolves).count()
    }

    /// Runs a subscription, shared if others may be told the same.
    pub(super) fn subscribe(&self, mut request: Request, run: Run) -> BoxStream<'static, Response> {
        let Some((session, template, key)) = self.template(&mut request) else {
            return apart(run(request));
        };
        let handover = Arc::<Handover>::default();
        let replay = Part::Replay(Arc::clone(&handover));
        let Ok(own) = Session::open_part(Arc::clone(&session.app), session.caller.clone(), replay) else {
            return apart(run(request));
        };
        let own = apart(run(request.data(Arc::new(own))));
        let source = Source {
            template,
            run,
            rests_after: self.rests_after,
        };
        let joining = Joining {
            handover,
            key,
            source: Arc::new(source),
            groups: self.clone(),
            _behind: None,
        };
        stream::unfold(Subscriber::Alone(own, Box::new(joining)), Subscriber::next).boxed()
    }

    /// The group of a key; a new one, which tells what comes after `seen`, when there is none that goes on.
    fn join(&self, joining: Joining, account: Uuid, seen: i64, listener: Listener) -> Arc<Group> {
        let key = (account, joining.key);
        // Not under the lock: a group that turns out to be its last subscriber's wants it when it is dropped.
        let existing = self.lock().groups.get(&key).and_then(Weak::upgrade);
        if let Some(group) = existing
            && group.told.lock().ended.is_none()
        {
            return group;
        }
        let group = Arc::new(Group {
            key,
            groups: self.clone(),
            source: joining.source,
            told: Arc::new(Told::after(seen)),
            state: Mutex::new(State::Turns),
        });
        self.lock().groups.insert(key, Arc::downgrade(&group));
        group.rest(seen, Arc::new(listener));
        group
    }

    /// What a subscription of a shared field was asked with, and the key of those who are told the same; nothing for
    /// others.
    fn template(&self, request: &mut Request) -> Option<(Arc<Session>, Template, Key)> {
        let session = super::session_of(&request.data)?;
        let name = request.operation_name.clone();
        let document = request.parsed_query().ok()?;
        let operation = match (&document.operations, &name) {
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
        let document = document.clone();
        let template = Template {
            app: Arc::clone(&session.app),
            caller: session.caller.clone(),
            text: self.lock().text(request.query.clone(), document),
            operation_name: name,
            variables: serde_json::to_string(&request.variables).ok()?.into(),
            introspection: request.introspection_mode,
        };
        let mut variables = request.variables.clone();
        if let Some(after) = &after {
            variables.remove(after);
        }
        let key = template.key(&variables);
        Some((session, template, key))
    }
}

/// Resolves each event for a group, until none has come for a while: then it rests, and so does the group.
async fn resolve(group: Weak<Group>, told: Arc<Told>, source: Arc<Source>, seen: i64, listener: Arc<Listener>) {
    let mut ending = Ending(Some(told));
    let mut last = seen;
    let part = Part::Follow(Arc::clone(&listener), last);
    let Some((session, mut answers)) = source.template.run(&source.run, part) else {
        ending.0.iter().for_each(|told| told.end(None));
        return;
    };
    let mut rests = pin!(tokio::time::sleep(source.rests_after));
    let mut busy = clock::monotonic();
    while let Some(told) = &ending.0 {
        let answer = tokio::select! {
            biased;
            answer = answers.next() => Ok(answer),
            () = rests.as_mut() => Err(()),
        };
        match answer {
            Err(()) => {
                // Amid an event: being read, or an answer being made of it. That must not be given up.
                let amid = listener.newest() > session.told().max(last) || session.shown() > last;
                let began = if amid { clock::monotonic() } else { busy };
                let left = source.rests_after.saturating_sub(began.elapsed());
                // Put off only here, which is cheaper than with each event.
                if amid || !left.is_zero() {
                    rests.as_mut().reset((clock::monotonic() + left).into());
                    continue;
                }
                // What is told and not shown, because of its type, is told nevertheless.
                last = last.max(session.told());
                ending.0 = None;
                drop(answers);
                if let Some(group) = group.upgrade() {
                    group.rest(last, listener);
                }
                return;
            }
            Ok(None) => return told.end(None),
            Ok(Some(response)) => {
                let sequence = session.told();
                if sequence <= last {
                    // No event: the stream has failed.
                    return told.end(Some(Shown::of(response)));
                }
                last = sequence;
                busy = clock::monotonic();
                told.keep(sequence, Shown::of(response));
            }
        }
    }
}

/// Ends a group, also when what resolves its events panics: nobody waits for what will never come. None when it goes on.
struct Ending(Option<Arc<Told>>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(told) = &self.0
            && told.lock().ended.is_none()
        {
            let mut error = ServerError::new("the answer to an event could not be made", None);
            error.extensions.get_or_insert_default().set("code", "INTERNAL");
            told.end(Some(Shown::Failed(Value::Null, vec![error])));
        }
    }
}

/// What a subscriber that is still alone joins a group with.
struct Joining {
    handover: Arc<Handover>,
    key: Key,
    source: Arc<Source>,
    groups: Groups,
    /// The group that it has fallen behind: it does not end meanwhile, and keeps as much as for any other.
    _behind: Option<Arc<Group>>,
}

enum Subscriber {
    Alone(BoxStream<'static, Response>, Box<Joining>),
    Together(Arc<Group>, i64),
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
                    let (account, seen, listener) = joining.handover.taken()?;
                    let group = joining.groups.clone().join(*joining, account, seen, listener);
                    Self::Together(group, seen)
                }
                Self::Together(group, seen) => {
                    match group.told.next_or_news(seen, Arc::strong_count(&group) == 1).await {
                        Next::Answer(sequence, shown) => {
                            return Some((shown.response(), Self::Together(group, sequence)));
                        }
                        Next::Wait => Self::Together(group, seen),
                        Next::Behind => {
                            let handover = Arc::<Handover>::default();
                            let source = Arc::clone(&group.source);
                            let part = Part::CatchUp(Arc::clone(&handover), seen);
                            let (_, answers) = source.template.run(&source.run, part)?;
                            let joining = Joining {
                                handover,
                                key: group.key.1,
                                source,
                                groups: group.groups.clone(),
                                _behind: Some(group),
                            };
                            Self::Alone(apart(answers), Box::new(joining))
                        }
                        Next::End(error) => return Some((error?.response(), Self::Done)),
                    }
                }
                Self::Done => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_only_one_has_taken_is_kept_no_longer_but_for_the_newest_few() {
        let told = Told::after(3);
        for sequence in [5, 6, 9, 10, 11, 12] {
            told.keep(sequence, Shown::Failed(Value::Null, Vec::new()));
        }
        // Another may take them too.
        assert!(matches!(told.next(3, false), Next::Answer(5, _)));
        assert!(matches!(told.next(5, false), Next::Answer(6, _)));
        assert_eq!(told.lock().answers.len(), 6);
        // Now it is alone: what it has not taken stays, and who joins from before is behind.
        assert!(matches!(told.next(5, true), Next::Answer(6, _)));
        assert_eq!(told.lock().answers.len(), 5);
        assert!(matches!(told.next(3, false), Next::Behind));
        assert!(matches!(told.next(11, true), Next::Answer(12, _)));
        assert!(matches!(told.next(12, true), Next::Wait));
        assert_eq!(told.lock().answers.len(), KEPT_FOR_OTHERS);
        assert!(matches!(told.next(6, false), Next::Answer(9, _)), "who joins now");
    }

    #[test]
    fn nobody_waits_for_a_group_whose_events_are_resolved_no_more() {
        let told = Arc::new(Told::after(3));
        let resolving = Ending(Some(Arc::clone(&told)));
        told.keep(5, Shown::Failed(Value::Null, Vec::new()));
        assert!(matches!(told.next(2, false), Next::Behind));
        assert!(matches!(told.next(3, false), Next::Answer(5, _)));
        assert!(matches!(told.next(5, false), Next::Wait));
        // It panics.
        drop(resolving);
        assert!(
            matches!(told.next(3, false), Next::Answer(5, _)),
            "what was told before is heard"
        );
        assert!(matches!(told.next(5, false), Next::End(Some(Shown::Failed(..)))));
    }
}
