//! The edge over real HTTP and sockets, with a toy schema behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod around;
mod over_events;
mod over_http;
mod over_sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_graphql::{
    Context, Error, ErrorExtensions, InputValueError, Object, Scalar, ScalarType, Schema, Subscription, Value,
};
use chrono::{DateTime, Utc};
use entity::enums::Role;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use secrecy::SecretString;
use serde_json::Value as Json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::auth::{Authenticator, Principal};
use super::config::{EdgeConfig, Introspection};
use super::edge::{Caller, Edge, SchemaEngine};
use crate::graphql::Permission;

/// 2026-01-01T00:00:00Z in microseconds: the test clocks' beginning.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// A day, as the toys speak it; its parser refuses without a code, as custom scalars do.
struct Day(String);

#[Scalar]
impl ScalarType for Day {
    fn parse(value: Value) -> Result<Self, InputValueError<Self>> {
        match value {
            Value::String(text) if text.len() == 10 => Ok(Self(text)),
            _ => Err(InputValueError::custom("a day is YYYY-MM-DD")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

struct Toy;

#[Object]
impl Toy {
    async fn name(&self) -> &'static str {
        "toy"
    }

    async fn toy(&self) -> Self {
        Self
    }

    async fn toys(&self, first: Option<i32>) -> Vec<Self> {
        (0..first.unwrap_or(1)).map(|_| Self).collect()
    }

    /// Fails below the root, where a null may stand.
    async fn broken(&self) -> Result<Option<i32>, Error> {
        Err(Error::new("postgres://secret@host refused the connection"))
    }
}

struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &'static str {
        "world"
    }

    async fn echo(&self, text: String) -> String {
        text
    }

    async fn day(&self, day: Day) -> Day {
        day
    }

    async fn toy(&self) -> Toy {
        Toy
    }

    async fn whoami(&self, ctx: &Context<'_>) -> Option<String> {
        ctx.data_unchecked::<Caller>()
            .principal
            .as_ref()
            .map(|principal| principal.subject.clone())
    }

    async fn refused(&self) -> Result<Option<i32>, Error> {
        Err(Error::new("not for you").extend_with(|_, extensions| extensions.set("code", "FORBIDDEN")))
    }

    async fn internal(&self) -> Result<Option<i32>, Error> {
        Err(Error::new("row 7 of wallet is gone").extend_with(|_, extensions| extensions.set("code", "INTERNAL")))
    }

    async fn panics(&self) -> Option<i32> {
        let nothing: Vec<i32> = Vec::new();
        Some(*nothing.first().expect("a secret in a panic"))
    }

    async fn never(&self) -> Option<i32> {
        std::future::pending().await
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &Context<'_>) -> u64 {
        ctx.data_unchecked::<Arc<AtomicU64>>().fetch_add(1, Ordering::SeqCst) + 1
    }

    /// In the middle of its work until the gate opens.
    async fn gated(&self, ctx: &Context<'_>) -> u64 {
        ctx.data_unchecked::<Gate>().0.notified().await;
        self.bump(ctx).await.unwrap()
    }
}

/// What `gated` waits for.
#[derive(Clone, Default)]
struct Gate(Arc<Notify>);

/// How many messages `flood` has made.
#[derive(Clone, Default)]
struct Flooded(Arc<AtomicU64>);

/// Tells when a subscription's stream is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    /// 0, 1, ... below `to`, and the end.
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(0..to)
    }

    /// One event, and then silence until it is dropped.
    async fn silence(&self, ctx: &Context<'_>) -> impl Stream<Item = i32> {
        let dropped = Dropped(Arc::clone(ctx.data_unchecked::<Arc<Notify>>()));
        stream::once(async { 1 }).chain(stream::pending()).map(move |event| {
            let _held = &dropped;
            event
        })
    }

    /// As much as anybody reads.
    async fn flood(&self, ctx: &Context<'_>) -> impl Stream<Item = String> {
        let dropped = Dropped(Arc::clone(ctx.data_unchecked::<Arc<Notify>>()));
        let flooded = ctx.data_unchecked::<Flooded>().clone();
        stream::repeat_with(move || {
            let _held = &dropped;
            flooded.0.fetch_add(1, Ordering::SeqCst);
            "x".repeat(64 * 1024)
        })
    }

    async fn closed(&self) -> Result<stream::Empty<i32>, Error> {
        Err(Error::new("too old").extend_with(|_, extensions| extensions.set("code", "CURSOR_EXPIRED")))
    }

    async fn bursts(&self) -> impl Stream<Item = i32> {
        stream::iter(0..3).map(|event| {
            if event == 1 {
                panic!("a secret in a stream")
            } else {
                event
            }
        })
    }
}

/// A served edge and the handles a test pulls.
struct World {
    at: SocketAddr,
    edge: Arc<Edge>,
    shutdown: CancellationToken,
    /// Machine time, microseconds.
    clock: Arc<AtomicI64>,
    bumped: Arc<AtomicU64>,
    /// A `silence` or `flood` was dropped.
    dropped: Arc<Notify>,
    gate: Gate,
    flooded: Flooded,
    client: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(set: impl FnOnce(&mut EdgeConfig)) -> Self {
        Self::dressed(set, |edge| edge).await
    }

    async fn dressed(set: impl FnOnce(&mut EdgeConfig), dress: impl FnOnce(Edge) -> Edge) -> Self {
        let mut config = EdgeConfig {
            introspection: Introspection::Authenticated,
            ..EdgeConfig::default()
        };
        set(&mut config);
        let (clock, bumped, dropped) = (
            Arc::new(AtomicI64::new(BEGINNING)),
            Arc::new(AtomicU64::new(0)),
            Arc::new(Notify::new()),
        );
        let (gate, flooded) = (Gate::default(), Flooded::default());
        let schema = Schema::build(Query, Mutation, Subscriptions)
            .data(gate.clone())
            .data(flooded.clone())
            .data(Arc::clone(&bumped))
            .data(Arc::clone(&dropped))
            .finish();
        let sdl = schema.sdl();
        let engine = SchemaEngine::new(schema, &sdl, |caller: &Caller, request| request.data(caller.clone()));
        let shutdown = CancellationToken::new();
        let (read, ids) = (Arc::clone(&clock), AtomicU64::new(0));
        let now = move || DateTime::<Utc>::from_timestamp_micros(read.load(Ordering::SeqCst)).unwrap();
        let next = move || Uuid::from_u64_pair(7, ids.fetch_add(1, Ordering::SeqCst));
        let edge = Edge::new(config, engine, authenticator(), now, next)
            .shutdown(shutdown.clone())
            .metrics(|| "toy_metric 1\n".to_owned());
        let edge = Arc::new(dress(edge));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = super::router(Arc::clone(&edge));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            at,
            edge,
            shutdown,
            clock,
            bumped,
            dropped,
            gate,
            flooded,
            client: reqwest::Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// A token for an owner that ends `micros` after the beginning.
    fn token_until(&self, seconds: i64) -> String {
        let expires_at = DateTime::from_timestamp(BEGINNING / 1_000_000 + seconds, 0).unwrap();
        let principal = Principal {
            subject: "an".to_owned(),
            account: Some(Uuid::nil()),
            serves: Vec::new(),
            role: Role::Owner,
            permissions: Permission::of_role(Role::Owner),
            product: None,
            expires_at,
        };
        authenticator().mint(&principal).unwrap()
    }

    fn token(&self) -> String {
        self.token_until(3_600)
    }

    fn post(&self) -> reqwest::RequestBuilder {
        self.client.post(self.url("/graphql"))
    }

    /// A POST of JSON; the status and the answer.
    async fn asks(&self, body: &Json) -> (u16, Json) {
        read(self.post().json(body)).await
    }

    /// A query's answer to a caller with a token, in the newer form.
    async fn owner_asks(&self, query: &str) -> (u16, Json) {
        let request = self
            .post()
            .bearer_auth(self.token())
            .header("accept", "application/graphql-response+json");
        read(request.json(&serde_json::json!({ "query": query }))).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Json) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn authenticator() -> Authenticator {
    Authenticator::hs256(&SecretString::from("a secret of the tests, 32 bytes and more")).unwrap()
}

/// The codes of an answer's errors.
fn codes(answer: &Json) -> Vec<&str> {
    answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["extensions"]["code"].as_str().unwrap())
        .collect()
}
