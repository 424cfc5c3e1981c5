//! What one request may use: the caller, its scope, its loaders, and one instant for all that it reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, ID};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use uuid::Uuid;

use super::caller::Caller;
use super::errors::{ApiError, Result};
use super::ids::{self, Kind};
use super::loaders::Loaders;
use super::shared::Handover;
use super::showing::Wanted;
use crate::app::App;
use crate::error::Error;
use crate::live::{self, Cursor, Listener, Told};
use crate::store::Scope;

/// Which events of an account a subscription tells.
#[derive(Clone, Debug, Default)]
pub(crate) enum Part {
    /// Those after its cursor, without end.
    #[default]
    Whole,
    /// Those after its cursor that were there when it began; and how far they went.
    Replay(Arc<Handover>),
    /// Those after an event, whatever its cursor is, that were there when it began; and how far they went.
    CatchUp(Arc<Handover>, i64),
    /// None: what it would make of them is wanted.
    Show(Wanted),
}

/// One operation of one caller.
#[derive(Debug)]
pub(crate) struct Session {
    /// The gateway.
    pub(crate) app: Arc<App>,
    /// Who calls.
    pub(crate) caller: Caller,
    /// Whose rows it may see.
    pub(crate) scope: Scope,
    /// None while nothing was read.
    loaders: Mutex<Option<Arc<Loaders>>>,
    replayed: AtomicBool,
    part: Part,
}

impl Session {
    /// A session of a caller.
    pub(crate) fn open(app: Arc<App>, caller: Caller) -> std::result::Result<Self, Error> {
        Self::open_part(app, caller, Part::Whole)
    }

    /// A session that tells a part of the events it subscribes to.
    pub(crate) fn open_part(app: Arc<App>, caller: Caller, part: Part) -> std::result::Result<Self, Error> {
        let scope = caller.scope()?;
        Ok(Self {
            app,
            caller,
            scope,
            loaders: Mutex::default(),
            replayed: AtomicBool::new(false),
            part,
        })
    }

    /// The loaders of the moment.
    pub(crate) fn loaders(&self) -> Arc<Loaders> {
        let mut loaders = self.loaders.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Loaders::new(Arc::clone(&self.app), self.scope.clone()));
        Arc::clone(loaders.get_or_insert_with(fresh))
    }

    /// Forgets what was read: after a write, and before each event of a subscription.
    pub(crate) fn forget(&self) {
        *self.loaders.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A stream of news that forgets what was read while it waits for the next: a subscriber that waits for days holds
    /// no loaders for so long.
    pub(crate) fn resting<S>(self: &Arc<Self>, news: S) -> BoxStream<'static, S::Item>
    where
        S: Stream + Send + 'static,
    {
        let session = Arc::clone(self);
        let mut news = Box::pin(news);
        Box::pin(stream::poll_fn(move |context| {
            let polled = news.as_mut().poll_next(context);
            if polled.is_pending() {
                session.forget();
            }
            polled
        }))
    }

    /// The events that a subscription tells of an account.
    pub(crate) async fn events(
        self: &Arc<Self>,
        account: Uuid,
        after: Option<Cursor>,
    ) -> Result<BoxStream<'static, std::result::Result<Told, Error>>> {
        let (app, scope) = (Arc::clone(&self.app), self.scope.clone());
        let events = match &self.part {
            Part::Whole => live::events(app, scope, account, after).await?.boxed(),
            Part::Replay(handover) => {
                let listener = app.hub.listen(account);
                let (until, events) = live::replay(app, scope, account, after).await?;
                handed_over(handover, account, until, listener, events)
            }
            Part::CatchUp(handover, seen) => {
                let listener = app.hub.listen(account);
                let (until, events) = live::catch_up(app, scope, account, *seen).await?;
                handed_over(handover, account, until, listener, events)
            }
            Part::Show(_) => stream::empty().boxed(),
        };
        Ok(self.resting(events))
    }

    /// Where it wants to have put what its subscription makes of events.
    pub(crate) fn wants_showing(&self) -> Option<&Wanted> {
        match &self.part {
            Part::Show(wanted) => Some(wanted),
            _ => None,
        }
    }

    /// Reads the caller's account, and with it the place in its stream of events, before anything else is read: what
    /// happens while an answer is put together comes after the cursor, whether the answer's lists show it or not.
    pub(crate) async fn begin_at_cursor(&self) {
        if let Some(account) = self.caller.account {
            // A store that does not answer is told of by the field that asks again.
            let _ = self.loaders().accounts.load(account).await;
        }
    }

    /// Remembers that an answer is that of an earlier call with the same key.
    pub(crate) fn was_replayed(&self) {
        self.replayed.store(true, Ordering::Relaxed);
    }

    /// Whether some answer is that of an earlier call.
    pub(crate) fn is_replay(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }

    /// The account that a field is about: the one it names, or the caller's own. Somebody else's answers like one that
    /// does not exist.
    pub(crate) async fn account(&self, named: Option<&ID>) -> Result<Uuid> {
        let Some(named) = named else {
            return self
                .caller
                .account
                .ok_or_else(|| ApiError::bad_input("Name an account: a caller of this role has none of its own."));
        };
        let account = ids::parse(named, Kind::Account).filter(|account| self.scope.covers(*account));
        let account = account.ok_or(Error::NotFound("account"))?;
        // An operator is let through to every account, also to those that do not exist.
        if self.caller.account != Some(account) && self.loaders().accounts.load(account).await?.is_none() {
            return Err(Error::NotFound("account").into());
        }
        Ok(account)
    }
}

/// Events that end where they are handed over.
fn handed_over<S>(
    handover: &Arc<Handover>,
    account: Uuid,
    until: i64,
    listener: Listener,
    events: S,
) -> BoxStream<'static, S::Item>
where
    S: Stream<Item = std::result::Result<Told, Error>> + Send + 'static,
{
    handover.will_end(account, until, listener);
    let handover = Arc::clone(handover);
    let fails = move |told: &S::Item| {
        if told.is_err() {
            handover.has_failed();
        }
    };
    events.inspect(fails).boxed()
}

/// How resolvers reach the session.
pub(crate) trait Reach {
    /// The session; strangers have none.
    fn session(&self) -> Result<&Arc<Session>>;

    /// Who calls.
    fn caller(&self) -> Result<&Caller> {
        Ok(&self.session()?.caller)
    }

    /// The loaders of the moment.
    fn loaders(&self) -> Result<Arc<Loaders>> {
        Ok(self.session()?.loaders())
    }
}

impl Reach for Context<'_> {
    fn session(&self) -> Result<&Arc<Session>> {
        self.data_opt::<Arc<Session>>()
            .ok_or_else(|| Error::Unauthenticated.into())
    }
}
