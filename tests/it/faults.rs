//! The store lets go at the worst moment: nothing is lost, nothing happens twice, and nobody has to restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use billing_gateway::app::{App, Settings};
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Action, Create, PriceRequest, create};
use billing_gateway::db::Options;
use billing_gateway::domain::term::Term;
use billing_gateway::engine;
use billing_gateway::error::Error;
use billing_gateway::ids::{Chance, random_bytes};
use billing_gateway::store::Scope;
use entity::enums::FundsKind;
use entity::{expiry_alert, order, wallet_entry};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::cutter::{Cut, Cutter};
use crate::support::{World, at, on_every_store, postgres, project};

const CUTS: [Cut; 8] = [
    Cut::Before,
    Cut::After,
    Cut::After,
    Cut::Before,
    Cut::After,
    Cut::Before,
    Cut::Before,
    Cut::After,
];

/// Another process over the world's store that waits for it only so long.
async fn impatient(world: &World) -> App {
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 100,
    };
    let options = Options::new(world.database(), 2).waiting(Duration::from_millis(200));
    let app = App::open(&options, settings).await.unwrap();
    app.follow_clock().await.unwrap();
    app
}

/// Keeps transactions open until the sender is dropped.
async fn hold(app: &App, count: usize) -> (watch::Sender<()>, Vec<tokio::task::JoinHandle<()>>) {
    let (let_go, held) = watch::channel(());
    let (began, mut begun) = mpsc::unbounded_channel();
    let mut holding = Vec::new();
    for _ in 0..count {
        let (db, held, began) = (app.db.clone(), held.clone(), began.clone());
        holding.push(tokio::spawn(async move {
            let holds = db.write("hold", async |tx| {
                let mut held = held.clone();
                began.send(()).unwrap();
                let _ = held.changed().await;
                drop(tx);
                Ok(())
            });
            holds.await.unwrap();
        }));
        begun.recv().await.unwrap();
    }
    (let_go, holding)
}

/// An order of a quote, by an owner.
fn order_of(world: &World, quote: Uuid, key: &str) -> PlaceOrder {
    PlaceOrder {
        account: world.account,
        quote,
        payment: Some(PayBy::Credit),
        return_url: None,
        idempotency_key: key.to_owned(),
    }
}

/// A quote of a storage project.
async fn quoted(world: &World, owner: &Scope) -> Uuid {
    let wanted = Create {
        product: "vstorage".to_owned(),
        resource_type: "project".to_owned(),
        components: vec![("storage-100gb".to_owned(), 1)],
        quantity: 1,
        term: Term::Months(1),
        name: None,
        auto_renew: false,
    };
    let request = PriceRequest {
        account: world.account,
        actions: vec![Action::Create(wanted)],
        coupon_code: None,
    };
    create(&world.app, owner, request).await.unwrap().id
}

/// Whoever can't write now is told so, changes nothing, and can write as soon as the others let go.
async fn is_told_and_goes_on(world: &World, app: &App, holder: &App, count: usize) {
    let owner = Scope::Account {
        account: world.account,
        principal: "owner".to_owned(),
    };
    world.grant("CASH", "1000000").await;
    let quote = quoted(world, &owner).await;
    let (let_go, holding) = hold(holder, count).await;
    for _ in 0..2 {
        let refused = place_order(app, &owner, order_of(world, quote, "held"))
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
        assert!(
            engine::tick(app).await.is_err(),
            "an engine that can't write has made no pass"
        );
    }
    drop(let_go);
    for holding in holding {
        holding.await.unwrap();
    }
    let placed = place_order(app, &owner, order_of(world, quote, "held")).await.unwrap();
    assert!(placed.written.is_some(), "nothing of it was kept before");
    engine::tick(app).await.unwrap();
    assert_eq!(order::Entity::find().count(world.app.db.read()).await.unwrap(), 1);
}

/// SQLite dies with its process only, of which there are tests of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_amid_commits_and_comes_back_loses_nothing() {
    // A server of its own: others share theirs.
    let Some(server) = postgres::Server::start() else {
        return;
    };
    let world = World::over_store(server.new_database(), None).await;
    world.grant("CASH", "100000000").await;
    let owner = Scope::Account {
        account: world.account,
        principal: "owner".to_owned(),
    };
    let mut chance = Chance::of(u64::from_le_bytes(random_bytes()));
    println!("{chance:?}");
    for round in 0..8 {
        let mut quotes = Vec::new();
        for _ in 0..12 {
            quotes.push(quoted(&world, &owner).await);
        }
        let answered = Arc::new(AtomicU32::new(0));
        let mut paying = JoinSet::new();
        for (number, quote) in quotes.into_iter().enumerate() {
            let (app, owner, answered) = (Arc::clone(&world.app), owner.clone(), Arc::clone(&answered));
            let order = order_of(&world, quote, &format!("{round}-{number}"));
            paying.spawn(async move {
                // As a frontend does: the same call again until it is answered.
                loop {
                    match place_order(&app, &owner, order.clone()).await {
                        Ok(placed) => {
                            answered.fetch_add(1, Ordering::SeqCst);
                            return placed.order;
                        }
                        Err(Error::Unavailable(_) | Error::InDoubt(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        let (enough, within) = (chance.below(8), chance.below(2_000));
        while answered.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
        for _ in 0..within {
            tokio::task::yield_now().await;
        }
        server.kill();
        let placed: BTreeSet<Uuid> = paying.join_all().await.into_iter().collect();
        assert_eq!(
            placed.len(),
            12,
            "each quote was ordered once, and each call answered its own order"
        );
        let until = world.app.clock.now() + chrono::TimeDelta::days(4);
        while let Err(error) = engine::advance(&world.app, until).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        }
        world.books_agree().await;
    }
    let db = world.app.db.read();
    assert_eq!(order::Entity::find().count(db).await.unwrap(), 8 * 12);
    assert_eq!(wallet_entry::Entity::find().count(db).await.unwrap(), 8 * 12 + 1);
    let answer = world
        .http()
        .get(world.url.replace("/graphql", "/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "the server goes on without a restart");
    world.end().await;
}

on_every_store! {
    async fn a_pool_that_is_exhausted_is_told_and_nothing_happens(world: World) {
        let app = impatient(&world).await;
        // SQLite has one connection that writes.
        let all = if world.database().starts_with("sqlite") { 1 } else { 2 };
        is_told_and_goes_on(&world, &app, &app, all).await;
    }

    async fn a_lock_that_another_process_keeps_too_long_is_told_and_nothing_happens(world: World) {
        if !world.database().starts_with("sqlite") {
            // PostgreSQL locks rows, not the store.
            return world;
        }
        let app = impatient(&world).await;
        is_told_and_goes_on(&world, &app, &world.app, 1).await;
    }

    async fn a_commit_whose_answer_is_lost_happened_once_all_the_same(world: World) {
        if world.database().starts_with("sqlite") {
            // SQLite is in the process: its commit's answer can't be lost without it.
            return world;
        }
        let wire = Cutter::before(world.database()).await;
        let app = world.over(wire.url()).await;
        let operator = Scope::Operator { principal: "operator".to_owned() };
        let owner = Scope::Account { account: world.account, principal: "owner".to_owned() };
        for (round, cut) in CUTS.into_iter().enumerate() {
            let grant = Grant {
                account: world.account,
                funds: FundsKind::Cash,
                amount: "500000".to_owned(),
                reason: "cut".to_owned(),
                idempotency_key: format!("grant-{round}"),
            };
            wire.cut_next(cut);
            credit::grant(&app, &operator, grant).await.unwrap();
            assert!(wire.has_cut());

            let wanted = Create {
                product: "vserver".to_owned(),
                resource_type: "server".to_owned(),
                components: vec![("s-general-1x1".to_owned(), 1)],
                quantity: 1,
                term: Term::Months(1),
                name: None,
auto_renew: false,
            };
            let request = PriceRequest { account: world.account, actions: vec![Action::Create(wanted)], coupon_code: None };
            wire.cut_next(cut);
            let quote = create(&app, &owner, request).await.unwrap().id;
            assert!(wire.has_cut());

            let pay = PlaceOrder {
                account: world.account,
                quote,
                payment: Some(PayBy::Credit),
                return_url: None,
                idempotency_key: format!("order-{round}"),
            };
            wire.cut_next(cut);
            place_order(&app, &owner, pay).await.unwrap();
            assert!(wire.has_cut());
            world.books_agree().await;
        }
        let db = world.app.db.read();
        assert_eq!(order::Entity::find().count(db).await.unwrap(), 8, "eight orders");
        assert_eq!(wallet_entry::Entity::find().count(db).await.unwrap(), 16, "eight grants and eight payments");
    }

    async fn an_engine_whose_commit_is_cut_tells_each_thing_once(world: World) {
        if world.database().starts_with("sqlite") {
            return world;
        }
        world.grant("CASH", "100000000").await;
        let mut resources = project();
        resources["quantity"] = serde_json::json!(5);
        world.buy(resources).await;
        let wire = Cutter::before(world.database()).await;
        let app = world.over(wire.url()).await;
        for (day, cut) in (1..).step_by(5).zip(CUTS) {
            wire.cut_next(cut);
            let until = at("2023-03-12T00:00:00+07:00") + chrono::TimeDelta::days(day);
            engine::advance(&app, until).await.unwrap();
            assert!(wire.has_cut());
            world.books_agree().await;
        }
        let told = expiry_alert::Entity::find().count(world.app.db.read()).await.unwrap();
        assert_eq!(told, 5 * 4, "each resource was told each step, once");
    }
}
