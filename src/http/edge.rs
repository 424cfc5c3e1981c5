//! What the edge is given: the engine it runs, the clock, ids, keys, and what an operator configured.

use std::fmt;
use std::sync::Arc;

use async_graphql::{Executor, Request, Response, ServerError};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::auth::{AuthError, Authenticator, Principal};
use super::config::{EdgeConfig, Introspection};
use super::counts::Counts;
use super::guard::Documents;
use super::mend::Shape;

/// Machine time, for tokens: `clock::machine_now`.
pub type MachineClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;
/// New ids, for requests: `ids::request_id`.
pub type IdSource = Arc<dyn Fn() -> Uuid + Send + Sync>;
/// Says that the process can serve, or why not, in words for the log.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
/// Renders the metrics in Prometheus' text format.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What is done with a link of an e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is opened.
    Look,
    /// Its button is pressed.
    Confirm,
}

/// A page for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The document.
    pub html: String,
}

/// Answers the page behind a link by its secret, or why it can't, in words for the log.
pub type Pages = Arc<dyn Fn(Step, String) -> BoxFuture<'static, Result<Page, String>> + Send + Sync>;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// GraphQL over HTTP.
    Http,
    /// graphql-transport-ws.
    Socket,
}

/// Whom a request is run for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is; `None` for a caller without a token.
    pub principal: Option<Arc<Principal>>,
    /// The id in `x-request-id` and in the logs; each operation on a socket has its own.
    pub request_id: Uuid,
    /// How it came.
    pub transport: Transport,
}

/// What runs GraphQL. The edge has measured the document and put it, parsed, into the request.
pub trait Engine: Send + Sync + 'static {
    /// Runs a query or a mutation. A [`Value::Binary`](async_graphql::Value) in its data is JSON; where there are errors there
    /// is none.
    fn execute(&self, caller: &Caller, request: Request) -> BoxFuture<'_, Response>;

    /// Runs a subscription, until the stream ends or is dropped. It is asked for answers when there is room to send them,
    /// which may take long: a stream that waits must hold nothing that others need, or have a task of its own. Data may be JSON
    /// here as well: several subscribers are given the same bytes.
    fn subscribe(&self, caller: &Caller, request: Request) -> BoxStream<'static, Response>;

    /// How an error that is about to be masked stands in the log, its source included.
    fn describe(&self, error: &ServerError) -> String {
        format!("{error:?}")
    }

    /// Which fields may be null, so that failed ones stand where the specification wants them.
    fn shape(&self) -> &Shape;
}

/// An async-graphql schema as an [`Engine`]; `prepare` puts what a request may use (scope, loaders) into it.
pub struct SchemaEngine<E, P> {
    schema: E,
    prepare: P,
    shape: Shape,
}

impl<E, P> fmt::Debug for SchemaEngine<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SchemaEngine")
    }
}

impl<E, P> SchemaEngine<E, P>
where
    E: Executor,
    P: Fn(&Caller, Request) -> Request + Send + Sync + 'static,
{
    /// What executes, its schema definition, and the hook that is called once for each operation.
    pub fn new(schema: E, sdl: &str, prepare: P) -> Self {
        let shape = Shape::of_sdl(sdl);
        Self { schema, prepare, shape }
    }
}

impl<E, P> Engine for SchemaEngine<E, P>
where
    E: Executor,
    P: Fn(&Caller, Request) -> Request + Send + Sync + 'static,
{
    fn execute(&self, caller: &Caller, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.schema.execute((self.prepare)(caller, request)))
    }

    fn subscribe(&self, caller: &Caller, request: Request) -> BoxStream<'static, Response> {
        self.schema.execute_stream((self.prepare)(caller, request), None)
    }

    fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// All that the edge uses; built once, shared by every request.
pub struct Edge {
    pub(super) config: EdgeConfig,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) documents: Documents,
    pub(super) counts: Counts,
    pub(super) authenticator: Authenticator,
    pub(super) clock: MachineClock,
    pub(super) ids: IdSource,
    pub(super) ready: ReadyCheck,
    pub(super) metrics: Option<MetricsText>,
    pub(super) pages: Option<Pages>,
    pub(super) shutdown: CancellationToken,
    pub(super) sockets: watch::Sender<usize>,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge over an engine. It is always ready, serves no metrics and never shuts down until told otherwise.
    pub fn new(
        config: EdgeConfig,
        engine: impl Engine,
        authenticator: Authenticator,
        clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        ids: impl Fn() -> Uuid + Send + Sync + 'static,
    ) -> Self {
        Self {
            config,
            engine: Arc::new(engine),
            documents: Documents::default(),
            counts: Counts::default(),
            authenticator,
            clock: Arc::new(clock),
            ids: Arc::new(ids),
            ready: Arc::new(|| Box::pin(async { Ok(()) })),
            metrics: None,
            pages: None,
            shutdown: CancellationToken::new(),
            sockets: watch::Sender::new(0),
        }
    }

    /// What `/readyz` asks.
    #[must_use]
    pub fn ready_when(
        mut self,
        ready: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        self.ready = Arc::new(ready);
        self
    }

    /// Serves `/metrics` with this text.
    #[must_use]
    pub fn metrics(mut self, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics = Some(Arc::new(text));
        self
    }

    /// Serves `/recipients/confirm` with these pages.
    #[must_use]
    pub fn pages(
        mut self,
        pages: impl Fn(Step, String) -> BoxFuture<'static, Result<Page, String>> + Send + Sync + 'static,
    ) -> Self {
        self.pages = Some(Arc::new(pages));
        self
    }

    /// Closes every socket with 1001 when the token is cancelled, and turns new ones away.
    #[must_use]
    pub fn shutdown(mut self, shutdown: CancellationToken) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sockets that are open.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        *self.sockets.borrow()
    }

    /// Waits until no socket is open. The HTTP server's graceful end does not wait for upgraded connections.
    pub async fn sockets_closed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.sockets.subscribe().wait_for(|open| *open == 0).await;
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    pub(super) fn new_id(&self) -> Uuid {
        (self.ids)()
    }

    /// The principal of a request's headers. Two `Authorization` headers are malformed: which one counts is a guess.
    pub(super) fn authenticate(&self, headers: &axum::http::HeaderMap) -> Result<Option<Arc<Principal>>, AuthError> {
        let mut values = headers.get_all(axum::http::header::AUTHORIZATION).iter();
        let value = values
            .next()
            .map(|value| value.to_str().map_err(|_| AuthError::Malformed))
            .transpose()?;
        if values.next().is_some() {
            return Err(AuthError::Malformed);
        }
        self.authenticator.verify_header(value, self.now())
    }

    pub(super) fn may_introspect(&self, caller: &Caller) -> bool {
        match (&self.config.introspection, &caller.principal) {
            (Introspection::Everyone, _) | (Introspection::Authenticated, Some(_)) => true,
            (Introspection::Roles(roles), Some(principal)) => roles.contains(&principal.role),
            (Introspection::Nobody | Introspection::Authenticated | Introspection::Roles(_), _) => false,
        }
    }
}
