//! `demo`: a fresh store, two accounts, and the main job played against itself over real HTTP and a real socket, each
//! step printed as a person wants to read it. Then it stays up, with tokens ready.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use entity::enums::Role;
use futures_util::{SinkExt as _, StreamExt as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::serve::{Running, Serving, metrics, start, told_to_stop};
use super::tools::{mint, principal};
use crate::app::{App, Settings};
use crate::commands::seed;
use crate::config::{Demo, Edge};
use crate::db;
use crate::engine;
use crate::error::Error;
use crate::ids;

/// How long the demo waits for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the demo's tokens are good for, in hours.
const TOKEN_HOURS: i64 = 24 * 30;

/// Plays the demo.
///
/// # Errors
/// [`Error::Internal`] naming the step that did not go as it should, or what the store said.
pub async fn demo(options: Demo) -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("billing-gateway-demo-{}", ids::new_id()));
    let url = match &options.database_url {
        Some(url) => url.clone(),
        None => {
            std::fs::create_dir_all(&folder).map_err(Error::internal)?;
            format!("sqlite://{}", folder.join("demo.sqlite3").display())
        }
    };
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 100,
    };
    let app = Arc::new(App::open(&db::Options::new(url, 10), settings).await?);
    let seeded = seed::seed(&app).await?.ok_or_else(|| {
        Error::configuration("the demo needs an empty store, and this one has accounts: name another")
    })?;
    let (code, account) = seeded
        .accounts
        .first()
        .cloned()
        .ok_or_else(|| Error::internal("nothing was seeded"))?;

    let secret: String = ids::random_bytes::<32>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let secret = SecretString::from(secret);
    let serving = Serving {
        listen: options.listen,
        edge: Edge::development(),
        secret: secret.clone(),
        // The script moves time itself; the engine of the process begins when it has ended.
        engine_every: None,
        metrics: Some(metrics()?),
    };
    let running = start(Arc::clone(&app), serving).await?;
    let token = |role: Role, product: Option<&str>| {
        let account = matches!(role, Role::Owner | Role::BillingAdmin | Role::Viewer).then_some(account);
        mint(&secret, &principal("demo", role, account, product, TOKEN_HOURS))
    };
    let stage = Stage {
        app,
        http: reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(Error::internal)?,
        url: format!("http://{}/graphql", running.address),
        ws_url: format!("ws://{}/graphql", running.address),
        owner: token(Role::Owner, None)?,
        operator: token(Role::Operator, None)?,
        product: token(Role::Product, Some("vserver"))?,
        quiet: options.json,
    };
    // Listened for before anyone is told that there is something to end.
    let told = told_to_stop();
    if options.json {
        let accounts: Vec<Value> = seeded
            .accounts
            .iter()
            .map(|(code, id)| json!({ "code": code, "id": id.to_string() }))
            .collect();
        let line = json!({
            "url": stage.url,
            "ws_url": stage.ws_url,
            "accounts": accounts,
            "tokens": {
                "OWNER": stage.owner,
                "BILLING_ADMIN": token(Role::BillingAdmin, None)?,
                "VIEWER": token(Role::Viewer, None)?,
                "PRODUCT": stage.product,
                "OPERATOR": stage.operator,
            },
        });
        println!("{line}");
    }
    let viewer = token(Role::Viewer, None)?;
    let play = async {
        stage.play(&code).await?;
        if !options.exit {
            stage.stay(&running, &viewer).await;
        }
        Ok(())
    };
    let played = tokio::select! {
        () = told => Ok(()),
        played = play => played,
    };
    running.stop().await;
    if options.database_url.is_none() {
        let _ = std::fs::remove_dir_all(&folder);
    }
    played
}

struct Stage {
    app: Arc<App>,
    http: reqwest::Client,
    url: String,
    ws_url: String,
    owner: String,
    operator: String,
    product: String,
    quiet: bool,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

impl Stage {
    fn say(&self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
    }

    fn now(&self) -> String {
        self.app.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Asks the gateway over HTTP, as any client does, and answers `data`.
    async fn ask(&self, token: &str, query: &str, variables: Value) -> Result<Value, Error> {
        let answer = self
            .http
            .post(&self.url)
            .bearer_auth(token)
            .json(&json!({ "query": query, "variables": variables }))
            .send()
            .await
            .map_err(Error::internal)?;
        let mut body: Value = answer.json().await.map_err(Error::internal)?;
        match body.get("errors") {
            Some(errors) => Err(Error::internal(format_args!("the gateway answered {errors}"))),
            None => Ok(body["data"].take()),
        }
    }

    /// The payload of a mutation that must not be refused.
    async fn act(&self, token: &str, name: &str, query: &str, input: Value) -> Result<Value, Error> {
        let mut data = self.ask(token, query, json!({ "input": input })).await?;
        let payload = data[name].take();
        match payload["userErrors"].as_array() {
            Some(refusals) if refusals.is_empty() => Ok(payload),
            _ => Err(Error::internal(format_args!("{name} was refused: {payload}"))),
        }
    }

    async fn play(&self, code: &str) -> Result<(), Error> {
        self.say(&format!("billing-gateway demo: {} at {}\n", code, self.now()));
        let account = text(&self.ask(&self.owner, "{ account { id } }", json!({})).await?["account"]["id"]);

        self.say("1. An operator grants 1,000,000 VND of credit, 100,000 of it promotional.");
        for (kind, amount) in [("CASH", "900000"), ("PROMOTIONAL", "100000")] {
            let input = json!({ "accountId": account, "kind": kind, "amount": amount, "reason": "Welcome",
                                "idempotencyKey": format!("demo-grant-{kind}") });
            self.act(&self.operator, "grantCredit", GRANT, input).await?;
        }
        let coupon = json!({ "code": "LAUNCH10", "value": { "percent": "10" }, "currency": "VND" });
        self.act(&self.operator, "createCoupon", COUPON, coupon).await?;

        self.say("2. The customer asks what a server costs for a month, with the coupon LAUNCH10.");
        let create = json!({ "create": { "product": "vserver", "resourceType": "server", "name": "web-1", "quantity": 1,
            "term": { "months": 1 },
            "components": [ { "code": "s-general-1x1", "quantity": 1 }, { "code": "root-disk-20gb", "quantity": 1 } ] } });
        let quoted = self
            .act(
                &self.owner,
                "createQuote",
                QUOTE,
                json!({ "items": [create], "couponCode": "LAUNCH10" }),
            )
            .await?;
        let quote = &quoted["quote"];
        for item in list(&quote["items"]) {
            for line in list(&item["lines"]) {
                self.say(&format!("     {}", text(&line["explanation"])));
            }
        }
        self.say(&format!("     to pay: {}", money(&quote["charged"])));

        let mut alerts = self.listen().await?;
        self.say("3. They pay from the wallet.");
        let input = json!({ "quoteId": quote["id"], "payment": { "credit": true }, "idempotencyKey": "demo-order-1" });
        let placed = self.act(&self.owner, "placeOrder", PLACE, input).await?;
        self.say(&format!(
            "     order {} is {}",
            text(&placed["order"]["code"]),
            text(&placed["order"]["status"])
        ));

        self.say("4. vServer makes the server and reports it.");
        let tasks = self
            .ask(
                &self.product,
                "{ provisioningTasks(first: 10) { nodes { id } } }",
                json!({}),
            )
            .await?;
        let task = tasks["provisioningTasks"]["nodes"][0]["id"].clone();
        let report = json!({ "taskId": task, "outcome": { "succeeded": { "externalId": "srv-0001" } } });
        self.act(&self.product, "reportProvisioning", REPORT, report).await?;

        let shown = self.ask(&self.owner, SHOW, json!({})).await?;
        let resource = &shown["resources"]["nodes"][0];
        self.say(&format!(
            "     {} is {} until {}",
            text(&resource["name"]),
            text(&resource["status"]),
            text(&resource["expiresAt"])
        ));
        let invoice = &shown["invoices"]["nodes"][0];
        self.say(&format!(
            "5. Invoice {}: {}, {}, of which {} tax",
            text(&invoice["code"]),
            money(&invoice["total"]),
            text(&invoice["status"]),
            money(&invoice["tax"])
        ));
        self.say("6. The wallet's history explains the balance:");
        for entry in list(&shown["wallet"]["entries"]["nodes"]).iter().rev() {
            self.say(&format!(
                "     {:<14} {:>14}  {:<24} leaves {}",
                text(&entry["action"]),
                money(&entry["amount"]),
                text(&entry["details"]),
                money(&entry["balanceAfter"])
            ));
        }

        let expires: DateTime<Utc> = text(&resource["expiresAt"]).parse().map_err(Error::internal)?;
        let until = expires - TimeDelta::days(7) + TimeDelta::minutes(1);
        self.say(&format!(
            "7. Time moves to {}.",
            until.to_rfc3339_opts(SecondsFormat::Secs, true)
        ));
        engine::advance(&self.app, until).await?;
        let told = next_alert(&mut alerts).await?;
        let alert = &told["alert"];
        self.say(&format!(
            "     the socket says at once: {} has {} days left (step {})",
            text(&alert["resource"]["name"]),
            alert["daysLeft"],
            text(&alert["step"])
        ));
        let differences = db::proof::differences(&self.app.db).await?;
        if !differences.is_empty() {
            return Err(Error::internal(format_args!("the books do not agree: {differences:?}")));
        }
        self.say("8. The books agree.\n");
        Ok(())
    }

    /// A socket on which the owner's expiry alerts arrive.
    async fn listen(&self) -> Result<Socket, Error> {
        let mut request = self.ws_url.as_str().into_client_request().map_err(Error::internal)?;
        let protocol = "graphql-transport-ws".parse().map_err(Error::internal)?;
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .map_err(Error::internal)?;
        let init =
            json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", self.owner) } });
        socket
            .send(Message::text(init.to_string()))
            .await
            .map_err(Error::internal)?;
        expect(&mut socket, "connection_ack").await?;
        let query = "subscription { expiryAlerts { cursor replayed alert { step daysLeft resource { name } } } }";
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
        socket
            .send(Message::text(subscribe.to_string()))
            .await
            .map_err(Error::internal)?;
        // A ping answered after the subscribe message shows that the subscription stands.
        socket
            .send(Message::text(json!({ "type": "ping" }).to_string()))
            .await
            .map_err(Error::internal)?;
        expect(&mut socket, "pong").await?;
        Ok(socket)
    }

    async fn stay(&self, running: &Running, viewer: &str) {
        self.say(&format!(
            "It stays up at {}; GraphiQL is at http://{}/graphiql. Tokens:\n  OWNER     {}\n  VIEWER    {}\n  PRODUCT   {}\n  OPERATOR  {}\n\nCtrl-C ends it.",
            self.url, running.address, self.owner, viewer, self.product, self.operator
        ));
        engine::drive(Arc::clone(&self.app), Duration::from_secs(1)).await;
    }
}

async fn expect(socket: &mut Socket, kind: &str) -> Result<Value, Error> {
    let wait = async {
        while let Some(message) = socket.next().await {
            let message = message.map_err(Error::internal)?;
            if let Message::Text(text) = message {
                let value: Value = serde_json::from_str(&text)?;
                if value["type"] == kind {
                    return Ok(value);
                }
                if value["type"] == "error" {
                    return Err(Error::internal(format_args!("the socket answered {value}")));
                }
            }
        }
        Err(Error::internal("the socket closed"))
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .map_err(|_| Error::internal(format_args!("no {kind} came")))?
}

async fn next_alert(socket: &mut Socket) -> Result<Value, Error> {
    let mut next = expect(socket, "next").await?;
    Ok(next["payload"]["data"]["expiryAlerts"].take())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Decimal text with the thousands of its whole part set apart.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.find('.').map_or((text, ""), |point| text.split_at(point));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

fn money(value: &Value) -> String {
    format!(
        "{} {}",
        grouped(value["amount"].as_str().unwrap_or("?")),
        text(&value["currency"])
    )
}

const GRANT: &str =
    "mutation($input: GrantCreditInput!) { grantCredit(input: $input) { userErrors { code message } } }";
const COUPON: &str =
    "mutation($input: CreateCouponInput!) { createCoupon(input: $input) { userErrors { code message } } }";
const QUOTE: &str = "mutation($input: CreateQuoteInput!) { createQuote(input: $input) {
    quote { id charged { amount currency } items { lines { explanation } } } userErrors { code message } } }";
const PLACE: &str = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) {
    order { id code status } userErrors { code message } } }";
const REPORT: &str =
    "mutation($input: ReportProvisioningInput!) { reportProvisioning(input: $input) { userErrors { code message } } }";
const SHOW: &str = "{ resources(first: 1) { nodes { name status expiresAt } }
    invoices(first: 1) { nodes { code status total { amount currency } tax { amount currency } } }
    wallet { entries(first: 20) { nodes { action details amount { amount currency } balanceAfter { amount currency } } } } }";
