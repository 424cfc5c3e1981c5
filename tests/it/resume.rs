//! Streams that are cut: whatever was not read comes to the next socket, once, in order, whichever process it finds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use billing_gateway::app::App;
use billing_gateway::engine;
use billing_gateway::ids::{Chance, random_bytes};
use chrono::TimeDelta;
use entity::enums::Role;
use entity::{expiry_alert, resource};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::socket::Socket;
use crate::support::{Another, World, on_every_store, server, text};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);
const SUBSCRIBE: &str = "subscription($after: EventCursor) { expiryAlerts(after: $after) {
    cursor alert { step resource { name } } } }";

type Told = (String, String);

/// Servers of one account, alive.
async fn servers(world: &World, orders: usize) {
    world.grant("CASH", "100000000").await;
    for order in 0..orders {
        let mut create = server("s-general-1x1");
        create["quantity"] = json!(20);
        create["name"] = json!(format!("web-{order}"));
        world.buy(create).await;
        for _ in 0..20 {
            world.provision().await;
        }
    }
}

/// What the account was told, in its order.
async fn all_told(world: &World) -> Vec<Told> {
    let db = world.app.db.read();
    let resources = resource::Entity::find().all(db).await.unwrap();
    let names: HashMap<Uuid, String> = resources.into_iter().map(|row| (row.id, row.name)).collect();
    let alerts = expiry_alert::Entity::find()
        .filter(expiry_alert::Column::AccountId.eq(world.account))
        .order_by_asc(expiry_alert::Column::EventSequence)
        .all(db);
    let alerts = alerts.await.unwrap().into_iter();
    alerts
        .map(|alert| (alert.step, names[&alert.resource_id].clone()))
        .collect()
}

fn told(message: &Value) -> Told {
    let alert = &message["expiryAlerts"]["alert"];
    (text(&alert["step"]), text(&alert["resource"]["name"]))
}

/// Lets some time pass, the engine of one process running.
async fn pass(app: &Arc<App>, minutes: u32) {
    app.follow_clock().await.unwrap();
    let until = app.clock.now() + TimeDelta::minutes(i64::from(minutes));
    engine::advance(app, until).await.unwrap();
}

on_every_store! {
    async fn five_hundred_cuts_lose_nothing_and_repeat_nothing(world: World) {
        servers(&world, 1).await;
        let mut another = Another::of(&world).await;
        let token = world.token(Role::Owner);
        let cursor = world.data(&token, "{ account { eventCursor } }", json!({})).await;
        let mut after = text(&cursor["account"]["eventCursor"]);
        let mut chance = Chance::of(u64::from_le_bytes(random_bytes()));
        println!("{chance:?}");
        let mut seen: Vec<Told> = Vec::new();
        let (mut live, mut written) = (0, 0);
        pass(&world.app, 24 * 60 * 23).await;
        for cut in 0..500 {
            if cut % 80 == 30 {
                world.restart().await;
            }
            if cut % 80 == 70 {
                another.restart(&world).await;
            }
            let url = if chance.below(2) == 0 { world.ws_url() } else { another.ws_url() };
            let mut socket = Socket::open(&url, &token).await;
            match chance.below(20) {
                0 => continue,
                1 => {
                    socket.subscribe("1", SUBSCRIBE, json!({ "after": after })).await;
                    continue;
                }
                _ => socket.subscribe("1", SUBSCRIBE, json!({ "after": after })).await,
            }
            if written == seen.len() || chance.below(4) == 0 {
                // While the socket listens: of the other process, or of its own.
                let engine = if chance.below(2) == 0 { &world.app } else { &another.app };
                pass(engine, chance.below(16 * 60)).await;
                written = all_told(&world).await.len();
                live += 1;
            }
            let here = usize::try_from(chance.below(5)).unwrap().min(written - seen.len());
            for _ in 0..here {
                let message = socket.data().await;
                after = text(&message["expiryAlerts"]["cursor"]);
                seen.push(told(&message));
            }
        }
        assert!(live > 50 && seen.len() > 350, "{live} {}", seen.len());
        let all = all_told(&world).await;
        let mut socket = Socket::open(&another.ws_url(), &token).await;
        socket.subscribe("1", SUBSCRIBE, json!({ "after": after })).await;
        while seen.len() < all.len() {
            seen.push(told(&socket.data().await));
        }
        let first_wrong = seen.iter().zip(&all).position(|(seen, all)| seen != all);
        assert_eq!(first_wrong, None, "{:?}", &seen[first_wrong.unwrap_or(0)..]);
        another.end().await;
    }

    async fn a_list_and_the_subscription_after_it_lose_nothing_between_them(world: World) {
        servers(&world, 1).await;
        let another = Another::of(&world).await;
        let token = world.token(Role::Owner);
        let mut known: BTreeSet<Told> = BTreeSet::new();
        pass(&world.app, 24 * 60 * 23).await;
        for race in 0..40 {
            let (app, url) = if race % 2 == 0 { (&world.app, another.ws_url()) } else { (&another.app, world.ws_url()) };
            let racing = async {
                let list = "{ account { eventCursor } expiryAlerts(first: 100) { nodes { step resource { name } } } }";
                let list = world.data(&token, list, json!({})).await;
                let mut socket = Socket::open(&url, &token).await;
                socket.subscribe("1", SUBSCRIBE, json!({ "after": list["account"]["eventCursor"] })).await;
                (list, socket)
            };
            let ((list, mut socket), ()) = tokio::join!(racing, pass(app, 12 * 60));
            for alert in list["expiryAlerts"]["nodes"].as_array().unwrap() {
                known.insert((text(&alert["step"]), text(&alert["resource"]["name"])));
            }
            let all: BTreeSet<Told> = all_told(&world).await.into_iter().collect();
            let rest = async {
                while known.len() < all.len() {
                    known.insert(told(&socket.data().await));
                }
            };
            tokio::time::timeout(PATIENCE, rest).await.expect("what the list does not show comes");
            assert!(known == all);
        }
        assert!(known.len() > 300, "{}", known.len());
        another.end().await;
    }

    async fn a_cursor_of_another_account_is_refused(world: World) {
        world.grant("CASH", "1000").await;
        let other = world.token_of(Role::Owner, world.other_account);
        let theirs = world.data(&other, "{ account { eventCursor } }", json!({})).await;
        let mut socket = Socket::open(&world.ws_url(), &world.token(Role::Owner)).await;
        for foreign in [theirs["account"]["eventCursor"].clone(), json!("A".repeat(32)), json!(""), json!("é")] {
            socket.subscribe("1", SUBSCRIBE, json!({ "after": foreign })).await;
            let refused = socket.expect("error").await;
            assert_eq!(refused["payload"][0]["extensions"]["code"], "CURSOR_EXPIRED", "{refused}");
        }
    }
}
