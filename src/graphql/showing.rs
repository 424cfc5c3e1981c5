//! How a subscription shows an event.
//!
//! The library runs each subscription as a stream of its own, with a copy of its document and tens of kilobytes around it.
//! Groups of many accounts select the same: what their document makes of an event is kept once for all of them, as a
//! [`Showing`], and each event is resolved with it by itself. A group at rest then keeps nothing but its place.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::context::{QueryEnv, QueryEnvInner};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::Field;
use async_graphql::{
    Context, ContextSelectionSet, Data, OutputType, Positioned, QueryPathNode, QueryPathSegment, SchemaEnv,
    ServerError, ServerResult, Value,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use uuid::Uuid;

use super::errors::Result;
use super::session::{Reach as _, Session};
use super::written::{self, Object, Written};
use crate::error::Error;
use crate::live::{Cursor, Told};

/// What a subscription's field makes of an event.
pub(crate) trait Shows: Send + Sync + 'static {
    /// What is shown.
    type Shown: OutputType + Send + Sync;

    /// What it shows of an event; nothing of one that it passes over.
    fn show(&self, session: &Session, told: Told) -> impl Future<Output = Option<Result<Self::Shown>>> + Send;
}

/// The answers of a subscription's field to the events of an account after a cursor. Or, where a session wants to know how
/// they are made, none.
pub(crate) async fn shown<S: Shows>(
    ctx: &Context<'_>,
    account: Uuid,
    after: Option<Cursor>,
    shows: S,
) -> Result<BoxStream<'static, Result<S::Shown>>> {
    let session = ctx.session()?;
    if let Some(wanted) = session.wants_showing() {
        // Where the session is kept on, it is without what it has read.
        session.forget();
        *wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Showing::of(ctx, shows));
        return Ok(stream::empty().boxed());
    }
    let told = session.events(account, after).await?;
    let (session, shows) = (Arc::clone(session), Arc::new(shows));
    let show = move |told| {
        let (session, shows) = (Arc::clone(&session), Arc::clone(&shows));
        async move { made(&*shows, &session, told).await }
    };
    Ok(told.filter_map(show).boxed())
}

/// What is shown of what was told. What was read for the event before is forgotten.
async fn made<S: Shows>(
    shows: &S,
    session: &Session,
    told: std::result::Result<Told, Error>,
) -> Option<Result<S::Shown>> {
    session.forget();
    match told {
        Ok(told) => shows.show(session, told).await,
        Err(error) => Some(Err(error.into())),
    }
}

/// Where a session wants it put.
pub(crate) type Wanted = Arc<Mutex<Option<Showing>>>;

/// What an answer says, cheap to give to many.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// The JSON of its data.
    Json(Bytes),
    /// One with errors, whose words are each subscriber's own; its data is a tree.
    Failed(Value, Vec<ServerError>),
}

/// How many copies of a document are kept for who resolves an event next. More are made while more are resolved at once.
const COPIES: usize = 8;

/// What one selection makes of events, of any account and for any caller: who that is comes with each event.
pub(crate) struct Showing {
    schema: SchemaEnv,
    /// The root field.
    field: Positioned<Field>,
    shows: Box<dyn Resolves>,
    /// The document and its variables. Nothing is resolved with this one: errors are collected in it.
    pattern: QueryEnv,
    /// Copies of it that nobody uses at the moment.
    copies: Mutex<Vec<QueryEnv>>,
}

impl fmt::Debug for Showing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Showing")
    }
}

/// [`Shows`], whatever it shows.
trait Resolves: Send + Sync {
    fn resolve<'a>(
        &'a self,
        session: &'a Session,
        told: std::result::Result<Told, Error>,
        ctx: &'a ContextSelectionSet<'a>,
        field: &'a Positioned<Field>,
    ) -> BoxFuture<'a, Option<ServerResult<Value>>>;
}

impl<S: Shows> Resolves for S {
    fn resolve<'a>(
        &'a self,
        session: &'a Session,
        told: std::result::Result<Told, Error>,
        ctx: &'a ContextSelectionSet<'a>,
        field: &'a Positioned<Field>,
    ) -> BoxFuture<'a, Option<ServerResult<Value>>> {
        async move {
            let shown = made(self, session, told).await?;
            Some(shown.resolve(ctx, field).await)
        }
        .boxed()
    }
}

impl Showing {
    fn of<S: Shows>(ctx: &Context<'_>, shows: S) -> Self {
        let field = ctx.item.clone();
        let mut data = Data::default();
        if !written::merges_below(&field.node, &ctx.query_env.fragments) {
            data.insert(Written);
        }
        Self {
            schema: ctx.schema_env.clone(),
            field,
            shows: Box::new(shows),
            // Without a session: one comes with each event. What extensions would be told of, if there were any, still has that
            // of who was first.
            pattern: copied(ctx.query_env, Arc::new(data)),
            copies: Mutex::default(),
        }
    }

    /// What is said of an event, or of why there is none, to who has this session, which also is in `data`. Nothing of an
    /// event that is passed over.
    pub(super) async fn show(
        &self,
        session: &Session,
        data: &Data,
        told: std::result::Result<Told, Error>,
    ) -> Option<Said> {
        let kept = self.copies().pop();
        // Its own while it is used: errors are collected in it.
        let env = kept.unwrap_or_else(|| copied(&self.pattern, Arc::clone(&self.pattern.query_data)));
        let name = &self.field.node.response_key().node;
        let path = QueryPathNode {
            parent: None,
            segment: QueryPathSegment::Name(name),
        };
        let ctx = env.create_context(&self.schema, Some(path), &self.field.node.selection_set, Some(data));
        let resolved = self.shows.resolve(session, told, &ctx, &self.field).await;
        let others = std::mem::take(&mut *env.errors.lock().unwrap_or_else(PoisonError::into_inner));
        let mut copies = self.copies();
        if copies.len() < COPIES {
            copies.push(env);
        }
        drop(copies);
        Some(match resolved? {
            Ok(value) if others.is_empty() => Said::Json(Object::of_one(name, &value)),
            Ok(value) => {
                let fields = IndexMap::from([(name.clone(), written::read(value))]);
                Said::Failed(Value::Object(fields), others)
            }
            Err(error) => Said::Failed(Value::Null, [vec![error], others].concat()),
        })
    }

    fn copies(&self) -> MutexGuard<'_, Vec<QueryEnv>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document and its variables as they were, with other data.
fn copied(env: &QueryEnv, query_data: Arc<Data>) -> QueryEnv {
    QueryEnv::new(QueryEnvInner {
        extensions: env.extensions.clone(),
        variables: env.variables.clone(),
        operation_name: env.operation_name.clone(),
        operation: env.operation.clone(),
        fragments: env.fragments.clone(),
        uploads: Vec::new(),
        session_data: Arc::clone(&env.session_data),
        query_data,
        http_headers: Mutex::default(),
        introspection_mode: env.introspection_mode,
        errors: Mutex::default(),
    })
}
