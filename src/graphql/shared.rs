//! Subscriptions that are shared: whoever selects the same of an account's events, with the same rights, is told with
//! the same bytes.
//!
//! A subscriber first has an execution of its own, which checks the document and its arguments and tells what happened
//! before it came. Then it joins the group of its selection. The group resolves each event once for all, writes it as JSON
//! once, and keeps the newest of them. It has no task of its own, or one only while there is something new: most accounts
//! are told nothing for hours, and whoever waits should cost little. A group that rests is called by its listener. What its
//! document makes of an event it has in common with the groups of other accounts that select the same. With but one
//! subscriber it keeps none of those taken. Who is too slow for what is kept catches up with an execution of its own, and
//! joins again. A group ends with its last subscriber.
//!
//! What is alone has a task of its own; who belongs to a group has none and holds nothing. So the answers of either may be
//! taken when it suits.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType, Selection};
use async_graphql::{Data, Request, Response, ServerError, Value, Variables};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::apart::apart;
use super::caller::Caller;
use super::session::{Part, Session};
use super::showing::{Said, Showing, Wanted};
use super::told::{Next, Told};
use super::written;
use crate::live::{self, Called, Listener};

/// The fields whose subscribers are told the same.
const SHARED: [&str; 2] = ["accountEvents", "expiryAlerts"];
/// As few texts and selections need no tidying.
const FEW: usize = 100;

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

impl Said {
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
    /// Of who asked first; those who join have the same rights.
    session: Arc<Session>,
    text: Arc<Text>,
    operation_name: Option<String>,
    /// As JSON: there is one of these for each account, which may wait for days, and a map takes a kilobyte.
    variables: Box<str>,
    selection: Key,
    introspection: async_graphql::IntrospectionMode,
}

/// A document. Many subscribers send the same.
struct Text {
    query: String,
    document: ExecutableDocument,
}

impl Template {
    /// Runs a part of the subscription.
    fn run(&self, run: &Run, part: Part) -> Option<BoxStream<'static, Response>> {
        let session = Session::open_part(Arc::clone(&self.session.app), self.session.caller.clone(), part).ok()?;
        let variables: Variables = serde_json::from_str(&self.variables).ok()?;
        let mut request = Request::new(self.text.query.clone()).variables(variables);
        request.operation_name.clone_from(&self.operation_name);
        request.introspection_mode = self.introspection;
        request.set_parsed_query(self.text.document.clone());
        Some(run(request.data(Arc::new(session))))
    }

    /// What all who are told the same have in common, but for the account; its digest.
    fn key(&self) -> Key {
        let Caller {
            principal: _,
            role,
            account,
            accounts,
            product,
            permissions,
        } = &self.session.caller;
        let whole = format!(
            "{role:?} {account:?} {accounts:?} {product:?} {permissions:?} {:?}",
            self.selection
        );
        Sha256::digest(whole.as_bytes()).into()
    }
}

/// What makes the same of an event, whoever is told; its digest. The variables are those without the cursor.
fn selection(request: &Request, variables: &Variables) -> Key {
    let variables = serde_json::to_string(variables).unwrap_or_default();
    let whole = format!("{:?}\n{variables}\n{}", request.operation_name, request.query);
    Sha256::digest(whole.as_bytes()).into()
}

/// A digest of what makes subscribers be told the same.
type Key = [u8; 32];

/// The groups of a process.
#[derive(Clone, Default)]
pub(super) struct Groups(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By their account and key.
    groups: HashMap<(Uuid, Key), Weak<Group>>,
    /// The documents of all of them, by their text's digest.
    texts: Used<Text>,
    /// What those who have been told something make of events, by their selection.
    showings: Used<Showing>,
}

/// What is used by some, as long as it is.
struct Used<T> {
    known: HashMap<Key, Weak<T>>,
    /// When there are so many, the ones that nobody uses are forgotten.
    tidied_at: usize,
}

impl<T> Default for Used<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            tidied_at: FEW,
        }
    }
}

impl<T> Used<T> {
    fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.known.get(key)?.upgrade()
    }

    /// That of a key, or else this one.
    fn get_or_put(&mut self, key: Key, one: T) -> Arc<T> {
        if let Some(known) = self.get(&key) {
            return known;
        }
        if self.known.len() >= self.tidied_at {
            self.known.retain(|_, one| one.strong_count() > 0);
            self.tidied_at = self.known.len().saturating_mul(2).max(FEW);
        }
        let one = Arc::new(one);
        self.known.insert(key, Arc::downgrade(&one));
        one
    }
}

impl Known {
    /// The document of a text, shared with all who sent the same.
    fn text(&mut self, query: String, document: ExecutableDocument) -> Arc<Text> {
        let digest = Sha256::digest(query.as_bytes()).into();
        self.texts.get_or_put(digest, Text { query, document })
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
    listener: Arc<Listener>,
    state: Mutex<State>,
}

/// What tells a group.
struct Source {
    template: Template,
    run: Run,
    /// What its document makes of an event; none before the first one.
    showing: OnceLock<Arc<Showing>>,
}

impl Source {
    /// What its document makes of an event; or why that can't be known.
    async fn showing(&self, groups: &Groups) -> Result<Arc<Showing>, Option<Said>> {
        if let Some(showing) = self.showing.get() {
            return Ok(Arc::clone(showing));
        }
        let known = groups.lock().showings.get(&self.template.selection);
        let showing = match known {
            Some(showing) => showing,
            None => {
                let wanted = Wanted::default();
                let mut answers = self
                    .template
                    .run(&self.run, Part::Show(Arc::clone(&wanted)))
                    .ok_or(None)?;
                let refused = answers.next().await;
                let made = wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
                let made = made.ok_or_else(|| refused.map(Said::of))?;
                groups.lock().showings.get_or_put(self.template.selection, made)
            }
        };
        Ok(Arc::clone(self.showing.get_or_init(|| showing)))
    }
}

/// What a group does.
enum State {
    /// All up to the one event was told, and nobody has told of any after the other.
    Rests(i64, i64),
    /// All up to this event was told, and there is something new, which its only subscriber resolves when it is asked.
    Called(i64),
    /// What is new is being resolved; by a task, where that has to wait.
    Resolves(Option<AbortHandle>),
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes after an event. When that is to wait, it has waited.
    async fn next(self: &Arc<Self>, seen: i64) -> Next {
        // Before the look: what is kept meanwhile is heard of.
        let news = self.told.news();
        let mut next = self.told.next(seen, Arc::strong_count(self) == 1);
        if matches!(next, Next::Wait) && self.resolve() {
            next = self.told.next(seen, Arc::strong_count(self) == 1);
        }
        if matches!(next, Next::Wait) {
            news.await;
        }
        next
    }

    /// Somebody may have told of an event. A task resolves it for many; for its only subscriber that is woken, it is
    /// resolved when it looks, which saves the task.
    fn look(self: &Arc<Self>) {
        let mut state = self.state();
        let State::Rests(seen, known) = *state else { return };
        if self.listener.newest() <= known {
            return;
        }
        // That one's, and this.
        if Arc::strong_count(self) <= 2 {
            *state = State::Called(seen);
            drop(state);
            self.told.wake();
        } else {
            let resolving = tokio::spawn(self.resolving(seen));
            *state = State::Resolves(Some(resolving.abort_handle()));
        }
    }

    /// Resolves what is new, when it was called. Where that has to wait, a task goes on with it: whoever looks may look
    /// away for long, and would hold what it has, a connection of the store above all. Answers whether it was called and is
    /// done.
    fn resolve(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        let State::Called(seen) = *state else { return false };
        *state = State::Resolves(None);
        drop(state);
        // A panic ends the group, as that of a task does.
        let mut resolving = Box::pin(AssertUnwindSafe(self.resolving(seen)).catch_unwind());
        let done = (&mut resolving).now_or_never().is_some();
        if !done {
            let mut state = self.state();
            *state = State::Resolves(Some(tokio::spawn(resolving).abort_handle()));
        }
        done
    }

    fn resolving(self: &Arc<Self>, seen: i64) -> impl Future<Output = ()> + Send + use<> {
        let (groups, source) = (self.groups.clone(), Arc::clone(&self.source));
        let (ending, listener) = (Ending::of(Arc::clone(&self.told)), Arc::clone(&self.listener));
        resolve(Arc::downgrade(self), groups, source, ending, seen, listener)
    }

    /// All up to `seen` was told, and nobody had told of any after `known`. Who has meanwhile found it at work.
    fn rest(self: &Arc<Self>, seen: i64, known: i64) {
        *self.state() = State::Rests(seen, known.max(seen));
        self.look();
    }
}

impl Called for Group {
    fn called(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let State::Resolves(Some(resolving)) = &*self.state() {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many groups there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().groups.len()
    }

    /// How many are told by groups.
    #[cfg(test)]
    pub(super) fn members(&self) -> usize {
        self.lock().groups.values().map(Weak::strong_count).sum()
    }

    /// Where what is made of events is kept, as far as somebody uses it.
    #[cfg(test)]
    pub(super) fn showings(&self) -> Vec<*const Showing> {
        let known = self.lock();
        let used = known.showings.known.values();
        used.filter(|showing| showing.strong_count() > 0)
            .map(Weak::as_ptr)
            .collect()
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
            showing: OnceLock::new(),
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
            && !group.told.has_ended()
        {
            return group;
        }
        let group = Arc::new(Group {
            key,
            groups: self.clone(),
            source: joining.source,
            told: Arc::new(Told::after(seen)),
            listener: Arc::new(listener),
            state: Mutex::new(State::Rests(seen, seen)),
        });
        self.lock().groups.insert(key, Arc::downgrade(&group));
        let called: Weak<Group> = Arc::downgrade(&group);
        group.listener.at_news(called);
        // Of what was told of before that.
        group.look();
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
        let mut variables = request.variables.clone();
        if let Some(after) = &after {
            variables.remove(after);
        }
        let template = Template {
            session: Arc::clone(&session),
            text: self.lock().text(request.query.clone(), document),
            operation_name: name,
            variables: serde_json::to_string(&request.variables).ok()?.into(),
            selection: selection(request, &variables),
            introspection: request.introspection_mode,
        };
        let key = template.key();
        Some((session, template, key))
    }
}

/// Resolves what is new for a group, and then it rests.
async fn resolve(
    group: Weak<Group>,
    groups: Groups,
    source: Arc<Source>,
    mut ending: Ending,
    mut seen: i64,
    listener: Arc<Listener>,
) {
    let showing = match source.showing(&groups).await {
        Ok(showing) => showing,
        Err(refused) => return ending.end(refused),
    };
    let session = &source.template.session;
    let app = &session.app;
    let mut data = Data::default();
    data.insert(Arc::clone(session));
    let mut known = listener.newest();
    while seen < known {
        match live::news(app, &listener, seen, known).await {
            // It is not to be seen yet: there will be news of it.
            Ok(events) if events.is_empty() => break,
            Ok(events) => {
                for event in events {
                    seen = event.sequence;
                    let told = live::Told::new(app, event, false);
                    if let Some(said) = showing.show(session, &data, Ok(told)).await {
                        ending.told.keep(seen, said);
                    }
                }
            }
            // The client resumes from its cursor on a new subscription.
            Err(error) => return ending.end(showing.show(session, &data, Err(error)).await),
        }
        known = known.max(listener.newest());
    }
    session.forget();
    ending.goes_on = true;
    if let Some(group) = group.upgrade() {
        group.rest(seen, known);
    }
}

/// Ends a group, also when what resolves its events panics: nobody waits for what will never come.
struct Ending {
    told: Arc<Told>,
    /// It need not end.
    goes_on: bool,
}

impl Ending {
    const fn of(told: Arc<Told>) -> Self {
        Self { told, goes_on: false }
    }

    /// Ends it with an error, if there is one.
    fn end(self, error: Option<Said>) {
        self.told.end(error);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.goes_on && !self.told.has_ended() {
            let mut error = ServerError::new("the answer to an event could not be made", None);
            error.extensions.get_or_insert_default().set("code", "INTERNAL");
            self.told.end(Some(Said::Failed(Value::Null, vec![error])));
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
                Self::Together(group, seen) => match group.next(seen).await {
                    Next::Answer(sequence, said) => {
                        return Some((said.response(), Self::Together(group, sequence)));
                    }
                    Next::Wait => Self::Together(group, seen),
                    Next::Behind => {
                        let handover = Arc::<Handover>::default();
                        let source = Arc::clone(&group.source);
                        let part = Part::CatchUp(Arc::clone(&handover), seen);
                        let answers = source.template.run(&source.run, part)?;
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
                },
                Self::Done => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_group_whose_events_are_resolved_no_more() {
        let told = Arc::new(Told::after(3));
        let resolving = Ending::of(Arc::clone(&told));
        told.keep(5, Said::Failed(Value::Null, Vec::new()));
        assert!(matches!(told.next(2, false), Next::Behind));
        assert!(matches!(told.next(3, false), Next::Answer(5, _)));
        assert!(matches!(told.next(5, false), Next::Wait));
        // It panics.
        drop(resolving);
        assert!(
            matches!(told.next(3, false), Next::Answer(5, _)),
            "what was told before is heard"
        );
        assert!(matches!(told.next(5, false), Next::End(Some(Said::Failed(..)))));
    }
}
