//! A small world for each test: a store, a server on loopback, a clock that stands where the test puts it, and the
//! people who use it. When the test ends, the books are proved.

pub(crate) mod binary;
pub(crate) mod cutter;
pub(crate) mod nginx;
pub(crate) mod peer;
pub(crate) mod post;
pub(crate) mod postgres;
pub(crate) mod rows;
pub(crate) mod socket;
pub(crate) mod wire;

use std::future::Future;
use std::sync::Arc;

use billing_gateway::app::{App, Settings};
use billing_gateway::commands::seed;
use billing_gateway::config::Edge;
use billing_gateway::gateways::Gateway;
use billing_gateway::gateways::bank::{Bank, BankAccount};
use billing_gateway::run::serve::{Running, Serving, start};
use billing_gateway::run::tools::{mint, principal};
use billing_gateway::{db, engine};
use chrono::{DateTime, Utc};
use entity::enums::Role;
use sea_orm::ConnectionTrait as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

/// The first instant of every test: midnight of 6 March 2023 in Ho Chi Minh City.
pub(crate) const BEGINNING: &str = "2023-03-06T00:00:00+07:00";

/// The secret that signs the tests' tokens.
pub(crate) const SECRET: &str = "a secret of the tests, longer than thirty-two bytes";

/// Where a test's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// Declares a test that runs on every store. Each test is a sentence.
macro_rules! on_every_store {
    ($(async fn $name:ident($world:ident : World) $body:block)+) => {
        $(
            mod $name {
                use super::*;

                #[allow(unused_mut, reason = "some tests restart their world")]
                async fn body(mut $world: World) -> World {
                    $body
                    $world
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    crate::support::run(crate::support::Store::Sqlite, body).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    crate::support::run(crate::support::Store::Postgres, body).await;
                }
            }
        )+
    };
}
pub(crate) use on_every_store;

/// Runs a test in a world of its own and proves the books after it.
pub(crate) async fn run<F, R>(store: Store, test: F)
where
    F: FnOnce(World) -> R,
    R: Future<Output = World>,
{
    let Some(world) = World::new(store).await else { return };
    let world = test(world).await;
    world.books_agree().await;
    world.end().await;
}

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    pub(crate) account: Uuid,
    pub(crate) other_account: Uuid,
    database: String,
    running: Option<Running>,
    http: reqwest::Client,
    /// Keeps a SQLite file's folder.
    _folder: Option<tempfile::TempDir>,
}

impl World {
    async fn new(store: Store) -> Option<Self> {
        let (database, folder) = match store {
            Store::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                (
                    format!("sqlite://{}", folder.path().join("test.sqlite3").display()),
                    Some(folder),
                )
            }
            Store::Postgres => (postgres::new_database()?, None),
        };
        Some(Self::over_store(database, folder).await)
    }

    /// A world in an empty store.
    pub(crate) async fn over_store(database: String, folder: Option<tempfile::TempDir>) -> Self {
        let app = open(&database, 100).await;
        app.set_clock(at(BEGINNING)).await.unwrap();
        let seeded = seed::seed(&app).await.unwrap().unwrap();
        let running = serve(&app).await;
        Self {
            url: format!("http://{}/graphql", running.address),
            app,
            account: seeded.accounts[0].1,
            other_account: seeded.accounts[1].1,
            database,
            running: Some(running),
            http: reqwest::Client::new(),
            _folder: folder,
        }
    }

    /// Ends the server and begins another over the same store: another process, as far as anyone can tell.
    pub(crate) async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        self.app = open(&self.database, 100).await;
        let running = serve(&self.app).await;
        self.url = format!("http://{}/graphql", running.address);
        self.running = Some(running);
    }

    /// Serves anew, with another gateway beside the sandbox and the bank.
    pub(crate) async fn take_payments_through(&mut self, gateway: Arc<dyn Gateway>) {
        self.running.take().unwrap().stop().await;
        self.app = open_with(&self.database, 100, vec![gateway]).await;
        let running = serve(&self.app).await;
        self.url = format!("http://{}/graphql", running.address);
        self.running = Some(running);
    }

    /// What another process over the same store would have: its own connections, its own leases.
    pub(crate) async fn another(&self, most_releases: u64) -> Arc<App> {
        open(&self.database, most_releases).await
    }

    /// What another process would have that reaches the store over another wire.
    pub(crate) async fn over(&self, database: &str) -> Arc<App> {
        open(database, 100).await
    }

    /// Serves anew with another limit for bodies.
    pub(crate) async fn take_bodies_of(&mut self, bytes: u64) {
        self.serve_anew(|edge| edge.body_bytes = bytes).await;
    }

    /// Serves anew at another edge.
    pub(crate) async fn serve_anew(&mut self, set: impl FnOnce(&mut Edge)) {
        self.running.take().unwrap().stop().await;
        let mut edge = edge();
        set(&mut edge);
        let running = serve_with(&self.app, edge).await;
        self.url = format!("http://{}/graphql", running.address);
        self.running = Some(running);
    }

    /// Where it is served: host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/graphql")
    }

    pub(crate) fn ws_url(&self) -> String {
        self.url.replace("http://", "ws://")
    }

    /// The store's URL, for processes of their own.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) fn token(&self, role: Role) -> String {
        self.token_of(role, self.account)
    }

    pub(crate) fn token_of(&self, role: Role, account: Uuid) -> String {
        let owns = matches!(role, Role::Owner | Role::BillingAdmin | Role::Viewer);
        let product = (role == Role::Product).then_some("vserver");
        mint(
            &secret(),
            &principal("tester", role, owns.then_some(account), product, 24),
        )
        .unwrap()
    }

    /// The token of a partner with an account of its own, which serves these.
    pub(crate) fn token_of_partner(&self, own: Uuid, serves: &[Uuid]) -> String {
        let mut partner = principal("partner", Role::Partner, Some(own), None, 24);
        partner.serves = serves.to_vec();
        mint(&secret(), &partner).unwrap()
    }

    /// An owner's token that names all permissions but one.
    pub(crate) fn token_without(&self, permission: &str) -> String {
        let mut owner = principal("tester", Role::Owner, Some(self.account), None, 24);
        let all = owner.permissions;
        owner.permissions = all.iter().filter(|may| may.as_str() != permission).collect();
        assert_ne!(owner.permissions, all, "there is no permission {permission}");
        mint(&secret(), &owner).unwrap()
    }

    /// Asks over HTTP and answers the whole body.
    pub(crate) async fn ask(&self, token: &str, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let answer = self
            .http
            .post(&self.url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// Asks what must be answered without an error, and answers `data`.
    pub(crate) async fn data(&self, token: &str, query: &str, variables: Value) -> Value {
        let mut body = self.ask(token, query, variables).await;
        assert!(body.get("errors").is_none(), "{query}: {body}");
        body["data"].take()
    }

    /// Runs a mutation and answers its payload, refusals and all.
    pub(crate) async fn act(&self, token: &str, name: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let fields = match name {
            "createQuote" => {
                "quote { id gross { amount } coupon { amount } tax { amount } charged { amount } items { lines { explanation charged { amount } } } }"
            }
            "placeOrder" | "payOrder" => {
                "order { id code status items { id status } } payment { id code status amount { amount } failure { code } }
                 nextAction { ... on RedirectAction { url } ... on ClientSecretAction { clientSecret } ... on ShareAction { url payerEmail expiresAt } }"
            }
            "topUpWallet" => {
                "payment { id code status amount { amount } failure { code } }
                 nextAction { ... on RedirectAction { url } ... on ClientSecretAction { clientSecret } }"
            }
            "linkPaymentMethod" => {
                "paymentMethod { id status } nextAction { ... on RedirectAction { url } }"
            }
            "unlinkPaymentMethod" | "setDefaultPaymentMethod" => "paymentMethod { id status isDefault }",
            "setAutoTopUp" => "autoTopUp { isOn }",
            "cancelOrder" => "order { id status cancelledBecause }",
            "resolveQuarantine" => "quarantined { id status }",
            "importStatement" => "lines { line outcome payment { code } }",
            "refundPayment" | "resolveRefund" => "payment { id refunds { reference amount { amount } status } }",
            "createCoupon" => "coupon { id code }",
            "reportProvisioning" => "item { id status }",
            "setBillingAddress" => "billingAddress { id isDefault }",
            "deleteBillingAddress" => "deletedId",
            "transferCredit" => "transfer { id fromAccountCode toAccountCode note amount { amount currency } }",
            "grantCredit" => "wallet { cash { amount } promotional { amount } }",
            other => panic!("no selection for {other}"),
        };
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {fields} userErrors {{ code message path
                ... on GatewayError {{ retryable }}
                ... on InsufficientCreditError {{ required {{ amount }} available {{ amount }} shortfall {{ amount }} }} }} }} }}"
        );
        let mut body = self.ask(token, &query, json!({ "input": input })).await;
        assert!(body.get("errors").is_none(), "{name} {input}: {body}");
        let mut payload = body["data"][name].take();
        payload["replayed"] = body["extensions"]["idempotentReplay"].take();
        payload
    }

    /// Runs a mutation that must not be refused.
    pub(crate) async fn done(&self, token: &str, name: &str, input: Value) -> Value {
        let payload = self.act(token, name, input).await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: {payload}");
        payload
    }

    /// Runs a mutation that must be refused, and answers the first refusal's code.
    pub(crate) async fn refused(&self, token: &str, name: &str, input: Value) -> String {
        let payload = self.act(token, name, input).await;
        payload["userErrors"][0]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("not refused: {payload}"))
            .to_owned()
    }

    /// Presses a button of the sandbox: of a checkout (`checkouts/REFERENCE`), or of the next one (`next`).
    pub(crate) async fn press(&self, path: &str, press: &str) {
        let post = self.http.post(format!("http://{}/sandbox/{path}", self.address()));
        let post = post
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        let pressed = post.body(format!("press={press}")).send().await.unwrap();
        assert_eq!(pressed.status(), 200, "{path}: {press}");
    }

    pub(crate) async fn grant(&self, kind: &str, amount: &str) {
        let input = json!({ "accountId": self.account_id().await, "kind": kind, "amount": amount, "reason": "for a test",
                            "idempotencyKey": Uuid::now_v7().to_string() });
        self.done(&self.token(Role::Operator), "grantCredit", input).await;
    }

    pub(crate) async fn account_id(&self) -> String {
        let data = self
            .data(&self.token(Role::Owner), "{ account { id } }", json!({}))
            .await;
        data["account"]["id"].as_str().unwrap().to_owned()
    }

    /// A quote for new resources, and what is to be paid.
    pub(crate) async fn quote(&self, create: Value, coupon: Option<&str>) -> (String, String) {
        let input = json!({ "items": [{ "create": create }], "couponCode": coupon });
        let quote = self.done(&self.token(Role::Owner), "createQuote", input).await["quote"].take();
        (text(&quote["id"]), text(&quote["charged"]["amount"]))
    }

    /// Buys and answers the order.
    pub(crate) async fn buy(&self, create: Value) -> Value {
        let (quote, _) = self.quote(create, None).await;
        let input =
            json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": Uuid::now_v7().to_string() });
        self.done(&self.token(Role::Owner), "placeOrder", input).await["order"].take()
    }

    /// Quotes something for a resource that exists, and orders it.
    pub(crate) async fn order(&self, item: Value) {
        let owner = self.token(Role::Owner);
        let quote = self.done(&owner, "createQuote", json!({ "items": [item] })).await["quote"]["id"].take();
        let due = "query($id: ID!) { node(id: $id) { ... on Quote { due { amount } } } }";
        let due = self.data(&owner, due, json!({ "id": quote })).await;
        let pays = due["node"]["due"]["amount"] != "0";
        let payment = if pays { json!({ "credit": true }) } else { Value::Null };
        let input = json!({ "quoteId": quote, "payment": payment, "idempotencyKey": quote });
        self.done(&owner, "placeOrder", input).await;
    }

    /// Reports the oldest waiting task of vServer as made.
    pub(crate) async fn provision(&self) {
        let token = self.token(Role::Product);
        let data = self
            .data(&token, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({}))
            .await;
        let task = &data["provisioningTasks"]["nodes"][0]["id"];
        let outcome = json!({ "succeeded": { "externalId": "srv-1" } });
        self.done(
            &token,
            "reportProvisioning",
            json!({ "taskId": task, "outcome": outcome }),
        )
        .await;
    }

    /// Lets time pass up to an instant, with the engine running.
    pub(crate) async fn advance(&self, until: &str) -> engine::Passed {
        engine::advance(&self.app, at(until)).await.unwrap()
    }

    pub(crate) async fn books_agree(&self) {
        let differences = db::proof::differences(&self.app.db).await.unwrap();
        assert!(differences.is_empty(), "the books do not agree: {differences:#?}");
    }

    pub(crate) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

/// A server of one component for a month.
pub(crate) fn server(component: &str) -> Value {
    json!({ "product": "vserver", "resourceType": "server", "quantity": 1, "term": { "months": 1 }, "name": "web",
            "components": [{ "code": component, "quantity": 1 }] })
}

/// A storage project for a month: instant, with the trash policy.
pub(crate) fn project() -> Value {
    json!({ "product": "vstorage", "resourceType": "project", "quantity": 1, "term": { "months": 1 }, "name": "files",
            "components": [{ "code": "storage-100gb", "quantity": 1 }] })
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

/// Runs a statement on the store behind the gateway's back: what only a mishap or an intruder does.
pub(crate) async fn execute(app: &App, sql: &str) {
    let done = app
        .db
        .write("behind_its_back", async |tx| Ok(tx.execute_unprepared(sql).await?));
    assert_eq!(done.await.unwrap().rows_affected(), 1, "{sql}");
}

/// Another process that serves a world's store.
pub(crate) struct Another {
    pub(crate) app: Arc<App>,
    running: Running,
}

impl Another {
    pub(crate) async fn of(world: &World) -> Self {
        let app = world.another(100).await;
        let running = serve(&app).await;
        Self { app, running }
    }

    /// Ends, and begins anew.
    pub(crate) async fn restart(&mut self, world: &World) {
        let new = Self::of(world).await;
        std::mem::replace(self, new).end().await;
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/graphql", self.running.address)
    }

    pub(crate) async fn end(self) {
        self.running.stop().await;
    }
}

fn secret() -> SecretString {
    SecretString::from(SECRET.to_owned())
}

pub(crate) async fn open(database: &str, most_releases: u64) -> Arc<App> {
    open_with(database, most_releases, Vec::new()).await
}

async fn open_with(database: &str, most_releases: u64, more: Vec<Arc<dyn Gateway>>) -> Arc<App> {
    let settings = Settings {
        development: true,
        return_origins: vec!["https://console.test".to_owned(), "http://shop.test".to_owned()],
        most_releases,
    };
    let options = db::Options::new(database.to_owned(), 10);
    let bank = Bank::new(BankAccount {
        bank_bin: "970436".to_owned(),
        number: "0011001234567".to_owned(),
        holder: "CLOUD JSC".to_owned(),
    });
    let app = App::open(&options, settings).await.unwrap();
    Arc::new(app.with_gateways(vec![Arc::new(bank)]).with_gateways(more))
}

async fn serve(app: &Arc<App>) -> Running {
    serve_with(app, edge()).await
}

fn edge() -> Edge {
    Edge {
        introspection: false,
        ..Edge::development()
    }
}

async fn serve_with(app: &Arc<App>, edge: Edge) -> Running {
    let serving = Serving {
        listen: "127.0.0.1:0".parse().unwrap(),
        edge,
        secret: secret(),
        // The tests move time themselves.
        engine_every: None,
        mail: None,
        public_url: None,
        metrics: None,
    };
    start(Arc::clone(app), serving).await.unwrap()
}
