//! What every benchmark needs: both stores, a serving process on loopback, and rounds that alternate between us and
//! the floor, so that a machine that drifts drifts for both.
#![allow(dead_code, reason = "each benchmark uses its part")]

#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor as _;
use billing_gateway::app::{App, Settings};
use billing_gateway::commands::seed;
use billing_gateway::config::Edge;
use billing_gateway::run::serve::{Running, Serving, start};
use billing_gateway::run::tools::{mint, principal};
use billing_gateway::{clock, db, graphql};
use entity::enums::Role;
use sea_orm::ConnectionTrait as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

/// The allocator of the program; the floor has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A store with a serving process in front of it.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) app: Arc<App>,
    pub(crate) account: Uuid,
    pub(crate) owner: String,
    secret: SecretString,
    pub(crate) url: String,
    database: String,
    wires: wire::Wires,
    running: Running,
    _folder: Option<tempfile::TempDir>,
}

/// A store with nothing in it.
pub(crate) struct Empty {
    pub(crate) name: &'static str,
    pub(crate) app: Arc<App>,
    url: String,
    folder: Option<tempfile::TempDir>,
}

/// Both stores; SQLite alone where the machine has no PostgreSQL.
pub(crate) async fn empty_stores() -> Vec<Empty> {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("bench.sqlite3").display());
    let mut stores = vec![Empty::open("SQLite", &sqlite, Some(folder)).await];
    if let Some(url) = postgres::new_database() {
        stores.push(Empty::open("PostgreSQL", &url, None).await);
    }
    stores
}

/// Both stores, each with a serving process in front of it.
pub(crate) async fn stores() -> Vec<Bench> {
    let mut stores = Vec::new();
    for empty in empty_stores().await {
        stores.push(Bench::open(empty).await);
    }
    stores
}

impl Empty {
    async fn open(name: &'static str, url: &str, folder: Option<tempfile::TempDir>) -> Self {
        let settings = Settings {
            development: true,
            return_origins: Vec::new(),
            most_releases: 1_000_000,
        };
        let options = db::Options::new(url.to_owned(), 16);
        Self {
            name,
            app: Arc::new(App::open(&options, settings).await.unwrap()),
            url: url.to_owned(),
            folder,
        }
    }

    /// What another process over the same store would have.
    pub(crate) async fn another(&self) -> Arc<App> {
        Self::open(self.name, &self.url, None).await.app
    }

    /// As [`Bench::look_at_tables`].
    pub(crate) async fn look_at_tables(&self) {
        look_at_tables(&self.app).await;
    }
}

fn owner_of(secret: &SecretString, account: Uuid) -> String {
    mint(secret, &principal("bench", Role::Owner, Some(account), None, 24)).unwrap()
}

async fn look_at_tables(app: &App) {
    if db::locks_rows(app.db.backend()) {
        let looked = app
            .db
            .write("analyze", async |tx| Ok(tx.execute_unprepared("analyze").await?));
        looked.await.unwrap();
    }
}

impl Bench {
    async fn open(empty: Empty) -> Self {
        let Empty {
            name,
            app,
            url: database,
            folder,
        } = empty;
        let account = seed::seed(&app).await.unwrap().unwrap().accounts[0].1;
        let secret = SecretString::from("a secret of the benchmarks, longer than 32 bytes".to_owned());
        let owner = owner_of(&secret, account);
        let serving = Serving {
            listen: "127.0.0.1:0".parse().unwrap(),
            edge: Edge::development(),
            secret: secret.clone(),
            engine_every: None,
            mail: None,
            public_url: None,
            metrics: None,
        };
        let running = start(Arc::clone(&app), serving).await.unwrap();
        let url = format!("http://{}/graphql", running.address);
        Self {
            name,
            app,
            account,
            owner,
            secret,
            url,
            database,
            wires: wire::Wires::default(),
            running,
            _folder: folder,
        }
    }

    /// What another process over the same store would have.
    pub(crate) async fn another(&self) -> Arc<App> {
        Empty::open(self.name, &self.database, None).await.app
    }

    /// A token of an account's owner.
    pub(crate) fn token(&self, account: Uuid) -> String {
        owner_of(&self.secret, account)
    }

    /// Asks over HTTP and answers the body.
    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        self.ask_as(&self.owner, query, variables).await
    }

    /// Asks as whoever has a token.
    pub(crate) async fn ask_as(&self, token: &str, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let head = format!("authorization: Bearer {token}\r\n");
        let answer = self.wires.post(&self.url, &head, &body).await;
        let body: Value = serde_json::from_slice(&answer).unwrap();
        assert!(body.get("errors").is_none(), "{body}");
        body
    }

    /// Asks over HTTP and answers the data alone.
    pub(crate) async fn data(&self, query: &str) -> Value {
        let head = format!("authorization: Bearer {}\r\n", self.owner);
        data_of(&self.wires.post(&self.url, &head, &json!({ "query": query })).await)
    }

    /// How many SQL statements a query sends.
    pub(crate) async fn statements(&self, query: &str) -> u64 {
        let schema = graphql::schema(Arc::clone(&self.app));
        let permissions = graphql::Permission::of_role(Role::Owner);
        let caller = graphql::Caller::new("bench".to_owned(), Role::Owner, Some(self.account), None, permissions);
        let request = graphql::prepare(async_graphql::Request::new(query), &self.app, Some(caller));
        db::statements::counted(schema.execute(request)).await.1
    }

    /// Lets the database look at what its tables hold by now, as one that has run for a while has: PostgreSQL keeps the
    /// plans of prepared statements, and those that it makes for empty tables read whole ones.
    pub(crate) async fn look_at_tables(&self) {
        look_at_tables(&self.app).await;
    }

    pub(crate) async fn end(self) {
        self.running.stop().await;
    }
}

/// The data of an answer without errors. What else is said beside it is passed over, as by most clients.
pub(crate) fn data_of(answer: &[u8]) -> Value {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Value,
        errors: Option<Value>,
    }
    let Answer { data, errors } = serde_json::from_slice(answer).unwrap();
    assert!(errors.is_none(), "{errors:?}");
    data
}

/// How much is measured: all of it under `cargo bench`, which says so; under `cargo test --bench` a round of few calls, only
/// to see that floor and gateway still do the same.
pub(crate) fn scale(rounds: usize, calls: usize) -> (usize, usize) {
    if std::env::args().any(|argument| argument == "--bench") {
        (rounds, calls)
    } else {
        (1, 20)
    }
}

/// Runs `work` once for each of `items`, `callers` at a time, and answers how many were done in a second.
pub(crate) async fn rate<T, F, R>(items: Vec<T>, callers: usize, work: F) -> u64
where
    F: Fn(T) -> R,
    R: Future<Output = ()>,
{
    use futures_util::StreamExt as _;
    let count = u64::try_from(items.len()).unwrap();
    let began = clock::monotonic();
    futures_util::stream::iter(items)
        .map(work)
        .buffer_unordered(callers)
        .collect::<Vec<()>>()
        .await;
    let took = began.elapsed().max(Duration::from_micros(1));
    count * 1_000_000 / u64::try_from(took.as_micros()).unwrap()
}

/// A row of a report: ours, the floor, and the ratio in hundredths.
pub(crate) fn report(store: &str, what: &str, callers: usize, ours: &mut [u64], floor: &mut [u64], statements: u64) {
    ours.sort_unstable();
    floor.sort_unstable();
    let (ours, floor) = (ours[ours.len() / 2], floor[floor.len() / 2].max(1));
    let hundredths = ours * 100 / floor;
    println!(
        "{store:<11} {what:<22} {callers:>3} callers: {ours:>6}/s against {floor:>6}/s, ratio {}.{:02}; {statements} statements",
        hundredths / 100,
        hundredths % 100
    );
}
