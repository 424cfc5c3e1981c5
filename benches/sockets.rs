//! Sockets at scale: what an idle subscriber takes of memory, and how many deliveries a second one event to all of them
//! makes, and one to each account where each subscriber has its own, written by the same process and by another one,
//! against a bare axum socket server that sends the same bytes. Both serve from a process of their own, and are told in
//! turns.
//! `cargo bench --bench sockets` (SOCKETS makes another number of them)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, Utf8Bytes, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use billing_gateway::clock;
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::seed;
use billing_gateway::db::writes::Writes;
use billing_gateway::live::{Cursor, read_news};
use billing_gateway::store::Scope;
use billing_gateway::store::event_log::{self, News};
use entity::account_event;
use entity::enums::{EventType, FundsKind, Language};
use futures_util::{SinkExt as _, StreamExt as _};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use support::{Bench, report, scale};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use uuid::Uuid;

const SOCKETS: usize = 10_000;
/// How many of them are told something: as many more are those of the bare server, which is told in turns.
const TOLD: usize = 5_000;
const ROUNDS: usize = 31;
const SERVER: &str = "SOCKETS_SERVER";
/// How many accounts the server has, each with a subscriber of its own; none when all subscribe to the same.
const ACCOUNTS: &str = "SOCKETS_ACCOUNTS";
/// A server that is told what another process wrote, as several on one store are.
const ELSEWHERE: &str = "elsewhere";
const ELSEWHERE_POSTGRES: &str = "elsewhere (PostgreSQL)";
/// From the cursor on that stood before the first subscriber came: each is owed each event, however late it begins.
const SUBSCRIBE: &str =
    "subscription ($after: EventCursor!) { accountEvents(after: $after) { cursor type createdAt } }";
const EVENT_CURSOR: &str = "{ viewer { account { eventCursor } } }";
/// A round that takes longer has lost an event.
const LONGEST: Duration = Duration::from_secs(60);

/// A server in a process of its own, told what to do over its standard input.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// One, or one for each subscriber.
    callers: Vec<Address>,
}

/// Where a subscriber goes, as whom, and after what.
#[derive(Clone)]
struct Address {
    url: String,
    token: String,
    after: String,
}

impl Server {
    fn start(which: &str, accounts: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(SERVER, which)
            .env(ACCOUNTS, accounts.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let url = line();
        let callers = (0..accounts.max(1)).map(|_| {
            let caller = line();
            let (token, after) = caller.split_once(' ').unwrap();
            Address {
                url: url.clone(),
                token: token.to_owned(),
                after: after.to_owned(),
            }
        });
        let callers = callers.collect();
        Self { child, lines, callers }
    }

    /// Where the subscriber of this number goes.
    fn at(&self, number: usize) -> Address {
        self.callers[number % self.callers.len()].clone()
    }

    /// Has it write what is to be told, where that is something to each: what is measured is how it is delivered.
    fn write(&mut self) {
        self.do_it("write");
    }

    /// Has it tell everybody something.
    fn tell(&mut self) {
        self.do_it("tell");
    }

    fn do_it(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        assert_eq!(self.lines.next().unwrap().unwrap(), "done");
    }

    /// Its resident memory, in KB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the parent is gone.
async fn serve(which: &str) {
    let (tell, _) = broadcast::channel::<Utf8Bytes>(16);
    let accounts: usize = std::env::var(ACCOUNTS).unwrap().parse().unwrap();
    let gateway = if which != "floor" {
        let store = if which == ELSEWHERE_POSTGRES {
            "PostgreSQL"
        } else {
            "SQLite"
        };
        support::stores().await.into_iter().find(|bench| bench.name == store)
    } else {
        None
    };
    let mut each = Vec::new();
    match &gateway {
        Some(bench) => {
            println!("{}", bench.url.replace("http://", "ws://"));
            each = open_accounts(bench, accounts).await;
            for account in &each {
                let after = Cursor::new(bench.app.epoch, *account, 0).encode();
                println!("{} {after}", bench.token(*account));
            }
            if each.is_empty() {
                let answer = bench.ask(EVENT_CURSOR, json!({})).await;
                let after = answer["data"]["viewer"]["account"]["eventCursor"].as_str().unwrap();
                println!("{} {after}", bench.owner);
            }
        }
        None => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("ws://{}/", listener.local_addr().unwrap());
            (0..accounts.max(1)).for_each(|_| println!("none none"));
            let routes = Router::new().route("/", any(bare)).with_state(tell.clone());
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
    }
    let sample = json!({ "id": "1", "type": "next", "payload": { "data": { "accountEvents": {
        "cursor": "A".repeat(32), "type": "WALLET_CREDITED", "createdAt": "2026-11-25T00:00:00.123456Z" } } } });
    let sample = Utf8Bytes::from(sample.to_string());
    let (said, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin()
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| said.send(line))
    });
    let (mut number, mut written) = (0, Vec::new());
    while let Some(line) = lines.recv().await {
        let writes = line == "write";
        number += i64::from(writes);
        match &gateway {
            Some(bench) if writes && !each.is_empty() => written = write_to_each(bench, &each, number).await,
            _ if writes => {}
            Some(bench) if each.is_empty() => grant(bench, number).await,
            // As where a notice of another process has come.
            Some(bench) if which == ELSEWHERE || which == ELSEWHERE_POSTGRES => {
                read_news(&bench.app, each.iter().copied()).await.unwrap()
            }
            // As the engine tells of what it wrote.
            Some(bench) => bench.app.hub.tell(&written),
            None => drop(tell.send(sample.clone())),
        }
        println!("done");
    }
}

async fn open_accounts(bench: &Bench, count: usize) -> Vec<Uuid> {
    let opened = bench.app.db.write("open", async |tx| {
        let mut accounts = Vec::with_capacity(count);
        for number in 0..count {
            let code = format!("BENCH-{number}");
            accounts.push(
                seed::open(&tx, &code, &code, Language::Vi, clock::machine_now())
                    .await?
                    .1,
            );
        }
        Ok(accounts)
    });
    opened.await.unwrap()
}

/// An event to each of the accounts, in one transaction.
async fn write_to_each(bench: &Bench, accounts: &[Uuid], number: i64) -> Vec<account_event::Model> {
    let (news, now) = (News::of(EventType::WalletCredited), clock::machine_now());
    let events = accounts.iter().map(|account| news.event(*account, number, now));
    let events: Vec<_> = events.collect();
    let written = bench.app.db.write("tell", async |tx| {
        tx.execute_unprepared("update account set event_sequence = event_sequence + 1 where code like 'BENCH-%'")
            .await?;
        let mut writes = Writes::of(&tx);
        event_log::write_at(&mut writes, &Scope::engine(), &events);
        writes.send(&tx).await?;
        Ok(())
    });
    written.await.unwrap();
    events
}

async fn grant(bench: &Bench, number: i64) {
    let operator = Scope::Operator {
        principal: "bench".to_owned(),
    };
    let grant = Grant {
        account: bench.account,
        funds: FundsKind::Cash,
        amount: "1000".to_owned(),
        reason: "benchmark".to_owned(),
        idempotency_key: number.to_string(),
    };
    credit::grant(&bench.app, &operator, grant).await.unwrap();
}

/// The floor: acknowledges what comes, and sends what it is told to, the same bytes to all, with buffers like ours.
async fn bare(upgrade: WebSocketUpgrade, State(tell): State<broadcast::Sender<Utf8Bytes>>) -> Response {
    upgrade
        .protocols(["graphql-transport-ws"])
        .read_buffer_size(1_024)
        .write_buffer_size(0)
        .on_upgrade(async move |mut socket| {
            let mut told = tell.subscribe();
            loop {
                let sent = tokio::select! {
                    came = socket.recv() => match came {
                        Some(Ok(Frame::Text(text))) if text.contains("connection_init") => {
                            socket.send(Frame::Text(r#"{"type":"connection_ack"}"#.into())).await
                        }
                        Some(Ok(Frame::Text(text))) if text.contains("\"ping\"") => {
                            socket.send(Frame::Text(r#"{"type":"pong"}"#.into())).await
                        }
                        Some(Ok(_)) => Ok(()),
                        _ => return,
                    },
                    text = told.recv() => match text {
                        Ok(text) => socket.send(Frame::Text(text)).await,
                        Err(_) => return,
                    },
                };
                if sent.is_err() {
                    return;
                }
            }
        })
}

/// How many have come so far; whoever waits is woken when all have.
#[derive(Default)]
struct Count {
    wanted: AtomicUsize,
    came: AtomicUsize,
    all: Notify,
}

impl Count {
    fn one(&self) {
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 == self.wanted.load(Ordering::Acquire) {
            self.all.notify_one();
        }
    }

    /// From now on so many are waited for.
    fn begin(&self, wanted: usize) {
        self.came.store(0, Ordering::Release);
        self.wanted.store(wanted, Ordering::Release);
    }

    async fn all(&self) {
        let all = timeout(LONGEST, self.all.notified()).await;
        assert!(
            all.is_ok(),
            "{} of {} came",
            self.came.load(Ordering::Acquire),
            self.wanted.load(Ordering::Acquire)
        );
    }
}

async fn subscriber(at: Address, count: Arc<Count>) {
    let mut request = at.url.into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let config = WebSocketConfig::default().read_buffer_size(2_048).write_buffer_size(0);
    let (mut socket, _) = tokio_tungstenite::connect_async_with_config(request, Some(config), true)
        .await
        .unwrap();
    let init = json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", at.token) } });
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": {
        "query": SUBSCRIBE, "variables": { "after": at.after } } });
    // A ping behind the subscription is answered when it stands.
    for message in [init, subscribe, json!({ "type": "ping" })] {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["type"].as_str().unwrap() {
                "next" | "pong" => count.one(),
                "ping" => socket.send(Message::text(r#"{"type":"pong"}"#)).await.unwrap(),
                "connection_ack" => {}
                other => panic!("{other}: {message}"),
            }
        }
    }
}

/// A server and those who subscribe to it.
struct Crowd {
    which: &'static str,
    server: Server,
    subscribers: JoinSet<()>,
    count: Arc<Count>,
    sockets: usize,
    /// Before any but the first of them came, in KB.
    before: usize,
}

impl Crowd {
    /// They come, and say how much memory each takes while it waits.
    async fn gather(which: &'static str, sockets: usize, accounts: usize) -> Self {
        let server = Server::start(which, accounts);
        let count = Arc::new(Count::default());
        // One first, so that what the first one costs is not counted.
        count.begin(1);
        let mut subscribers = JoinSet::new();
        subscribers.spawn(subscriber(server.at(0), Arc::clone(&count)));
        count.all().await;
        let before = server.memory();
        for begun in (1..sockets).step_by(200) {
            let more = (sockets - begun).min(200);
            count.begin(more);
            for number in begun..begun + more {
                subscribers.spawn(subscriber(server.at(number), Arc::clone(&count)));
            }
            count.all().await;
        }
        let each = (server.memory() - before) / sockets.max(2);
        println!(
            "{which:<23} {sockets} sockets, {accounts} accounts of their own: {before} KB before, {each} KB each idle"
        );
        Self {
            which,
            server,
            subscribers,
            count,
            sockets,
            before,
        }
    }

    /// Each is told something: how many deliveries a second that makes.
    async fn round(&mut self) -> u64 {
        self.count.begin(self.sockets);
        self.server.write();
        let began = clock::monotonic();
        self.server.tell();
        self.count.all().await;
        let micros = u64::try_from(began.elapsed().as_micros().max(1)).unwrap();
        u64::try_from(self.sockets).unwrap() * 1_000_000 / micros
    }

    /// They leave.
    async fn leave(mut self) {
        let busy = self.server.memory();
        self.subscribers.shutdown().await;
        // The server hears of it socket by socket.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (which, before, left) = (self.which, self.before, self.server.memory());
        println!("{which:<23} {before} KB before, {busy} KB after all events, {left} KB when all have left");
    }
}

#[tokio::main]
async fn main() {
    if let Ok(which) = std::env::var(SERVER) {
        tokio::spawn(async move { serve(&which).await }).await.unwrap();
        return;
    }
    let asked = std::env::var("SOCKETS").ok().map(|text| text.parse().unwrap());
    let (rounds, sockets) = scale(ROUNDS, asked.unwrap_or(SOCKETS));
    let measure = async move {
        for accounts in [0, sockets] {
            for which in ["floor", "gateway"] {
                Crowd::gather(which, sockets, accounts).await.leave().await;
            }
        }
        let told = sockets.min(TOLD);
        for (what, accounts) in [("one event to all", 0), ("one event to each", told)] {
            let mut floor = Crowd::gather("floor", told, accounts).await;
            let cases = [
                ("SQLite", "gateway", what),
                ("SQLite", ELSEWHERE, "one to each, written elsewhere"),
                ("PostgreSQL", ELSEWHERE_POSTGRES, "one to each, written elsewhere"),
            ];
            for (store, which, what) in cases.into_iter().take(if accounts > 0 { 3 } else { 1 }) {
                if store == "PostgreSQL" && support::empty_stores().await.len() < 2 {
                    continue;
                }
                let mut ours = Crowd::gather(which, told, accounts).await;
                let (mut own, mut bare) = (Vec::new(), Vec::new());
                for _ in 0..rounds {
                    own.push(ours.round().await);
                    bare.push(floor.round().await);
                }
                report(store, what, 1, &mut own, &mut bare, 0);
                ours.leave().await;
            }
            floor.leave().await;
        }
    };
    tokio::spawn(measure).await.unwrap();
}
