//! What it costs that other processes are told, and how soon they are: orders of many accounts paid while each is
//! announced to another process, where nobody or somebody listens to each of them, against orders paid while nobody
//! tells anything. PostgreSQL only. `cargo bench --bench relay` (ACCOUNTS makes another number of them)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use billing_gateway::app::App;
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Action, Create, PriceRequest, create};
use billing_gateway::commands::seed;
use billing_gateway::domain::term::Term;
use billing_gateway::store::Scope;
use billing_gateway::{clock, live};
use entity::enums::{FundsKind, Language};
use futures_util::StreamExt as _;
use support::{empty_stores, rate, report, scale};
use tokio::task::JoinSet;
use uuid::Uuid;

const ROUNDS: usize = 15;
const ORDERS: usize = 400;
const CALLERS: usize = 16;
const ACCOUNTS: usize = 2_000;
const WAITS: usize = 300;

async fn quotes(app: &App, accounts: &[Uuid], count: usize) -> Vec<(Uuid, Uuid)> {
    let mut quotes = Vec::with_capacity(count);
    for account in accounts.iter().copied().cycle().take(count) {
        let wanted = Create {
            product: "vserver".to_owned(),
            resource_type: "server".to_owned(),
            components: vec![("s-general-1x1".to_owned(), 1)],
            quantity: 1,
            term: Term::Months(1),
            name: None,
            auto_renew: false,
        };
        let request = PriceRequest {
            account,
            actions: vec![Action::Create(wanted)],
            coupon_code: None,
        };
        let quote = create(app, &scope(account), request).await.unwrap();
        quotes.push((account, quote.id));
    }
    quotes
}

fn scope(account: Uuid) -> Scope {
    Scope::Account {
        account,
        principal: "bench".to_owned(),
    }
}

async fn pay(app: &App, (account, quote): (Uuid, Uuid), number: u64) {
    let order = PlaceOrder {
        account,
        quote,
        payment: Some(PayBy::Credit),
        return_url: None,
        idempotency_key: number.to_string(),
    };
    place_order(app, &scope(account), order).await.unwrap();
}

#[tokio::main]
async fn main() {
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    let (rounds, orders) = scale(ROUNDS, ORDERS);
    let (_, waits) = scale(1, WAITS);
    let asked = std::env::var("ACCOUNTS").ok().map(|text| text.parse().unwrap());
    let (_, many) = scale(1, asked.unwrap_or(ACCOUNTS));
    for store in empty_stores()
        .await
        .into_iter()
        .filter(|store| store.name == "PostgreSQL")
    {
        let app = Arc::clone(&store.app);
        let elsewhere = store.another().await;
        seed::seed(&app).await.unwrap();
        let opened = app.db.write("open", async |tx| {
            let mut accounts = Vec::new();
            for number in 0..many {
                let code = format!("BENCH-{number}");
                accounts.push(
                    seed::open(&tx, &code, &code, Language::Vi, clock::machine_now())
                        .await?
                        .1,
                );
            }
            Ok(accounts)
        });
        let accounts = opened.await.unwrap();
        let operator = Scope::Operator {
            principal: "bench".to_owned(),
        };
        for account in &accounts {
            let grant = Grant {
                account: *account,
                funds: FundsKind::Cash,
                amount: "900000000000".to_owned(),
                reason: "benchmark".to_owned(),
                idempotency_key: "grant".to_owned(),
            };
            credit::grant(&app, &operator, grant).await.unwrap();
        }
        let numbers = AtomicU64::new(0);
        let next = || numbers.fetch_add(1, Ordering::Relaxed);
        for quote in quotes(&app, &accounts, 500).await {
            pay(&app, quote, next()).await;
        }
        store.look_at_tables().await;

        let events = async |account: Uuid| {
            let events = live::events(Arc::clone(&elsewhere), Scope::engine(), account, None).await;
            Box::pin(events.unwrap())
        };
        let relay = async || {
            let mut relay = JoinSet::new();
            relay.spawn(live::announce(Arc::clone(&app)));
            relay.spawn(live::hear(Arc::clone(&app)));
            relay.spawn(live::poll(Arc::clone(&app)));
            relay.spawn(live::hear(Arc::clone(&elsewhere)));
            relay.spawn(live::poll(Arc::clone(&elsewhere)));
            relay
        };
        let paying = async || {
            let made = quotes(&app, &accounts, orders).await;
            rate(made, CALLERS, |quote| pay(&app, quote, next())).await
        };
        let (mut without, mut told, mut heard) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            without.push(paying().await);
            let mut telling = relay().await;
            told.push(paying().await);
            for account in &accounts {
                let mut listened = events(*account).await;
                telling.spawn(async move { while listened.next().await.is_some() {} });
            }
            heard.push(paying().await);
            telling.shutdown().await;
        }
        report(
            store.name,
            "paying, others are told",
            CALLERS,
            &mut told,
            &mut without,
            0,
        );
        report(
            store.name,
            "paying, others listen",
            CALLERS,
            &mut heard,
            &mut without,
            0,
        );

        let _telling = relay().await;
        let mut listened = events(accounts[0]).await;
        let mut micros = Vec::with_capacity(waits);
        for quote in quotes(&app, &accounts[..1], waits).await {
            pay(&app, quote, next()).await;
            let paid = clock::monotonic();
            // An order that is paid tells two things at once.
            for _ in 0..2 {
                listened.next().await.unwrap().unwrap();
            }
            micros.push(paid.elapsed().as_micros());
        }
        micros.sort_unstable();
        let at = |share: usize| micros[(micros.len() - 1) * share / 100];
        println!(
            "{:<11} told elsewhere after the commit within {} us (half), {} us (99 %), {} us (all)",
            store.name,
            at(50),
            at(99),
            at(100)
        );
    }
}
