//! `demo`: a fresh store, two accounts, and the life of a server played against itself over real HTTP and a real socket,
//! each step printed as a person wants to read it. Then it stays up, with tokens ready.

mod life;

use std::sync::Arc;
use std::time::Duration;

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
        mail: None,
        public_url: None,
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
        alone: options.exit,
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
        let checkout = stage.play(&code).await?;
        if !options.exit {
            stage.stay(&running, &viewer, &checkout).await;
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

/// Where the demo is played: the gateway, and who calls it.
struct Stage {
    app: Arc<App>,
    http: reqwest::Client,
    url: String,
    ws_url: String,
    owner: String,
    operator: String,
    product: String,
    quiet: bool,
    /// Nobody is there to press buttons.
    alone: bool,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

impl Stage {
    fn say(&self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
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
        let query = "subscription { expiryAlerts { cursor alert { step kind daysLeft shortfall { amount currency } resource { name } } } }";
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

    async fn stay(&self, running: &Running, viewer: &str, checkout: &str) {
        self.say(&format!(
            "It stays up at {}; GraphiQL is at http://{}/graphiql. Tokens:\n  OWNER     {}\n  VIEWER    {}\n  PRODUCT   {}\n  OPERATOR  {}\n\n\
             A checkout waits for you, for 15 minutes: pay, decline, go back, click twice.\n  {checkout}\n\nCtrl-C ends it.",
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
