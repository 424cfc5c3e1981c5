//! A forecast is what comes: random accounts are foreseen, lived, and compared event by event.

use billing_gateway::engine::{self, Forecast};
use billing_gateway::ids::Chance;
use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{EventType, Role, WalletKind};
use entity::{account, account_event, expiry_alert, order, price, wallet};
use sea_orm::{ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, at, on_every_store, server};

/// What is foreseen: what is told besides.
const FORESEEN: &[EventType] = &[
    EventType::ResourceRenewed,
    EventType::RenewalFailed,
    EventType::AutoRenewStopped,
    EventType::ResourceExpired,
    EventType::ResourceSuspended,
    EventType::FinalNotice,
    EventType::ResourceReleased,
];

type Told = (DateTime<Utc>, EventType, Option<Uuid>, Option<i64>);

async fn account(world: &World) -> account::Model {
    let all = account::Entity::find().all(world.app.db.read()).await.unwrap();
    all.into_iter().find(|account| account.id == world.account).unwrap()
}

async fn foreseen(world: &World, until: DateTime<Utc>) -> Forecast {
    let scope = billing_gateway::store::Scope::engine();
    engine::forecast(&world.app, &scope, &account(world).await, until)
        .await
        .unwrap()
}

async fn available(world: &World) -> i64 {
    let wallets = wallet::Entity::find()
        .filter(wallet::Column::AccountId.eq(world.account))
        .filter(wallet::Column::Kind.eq(WalletKind::Credit))
        .one(world.app.db.read());
    let wallet = wallets.await.unwrap().unwrap();
    wallet.cash_minor + wallet.promotional_minor - wallet.held_minor
}

/// What was told behind an event: when, what, of which resource; and what was paid or missing.
async fn told(world: &World, behind: i64) -> Vec<Told> {
    let db = world.app.db.read();
    let events = account_event::Entity::find()
        .filter(account_event::Column::AccountId.eq(world.account))
        .filter(account_event::Column::Sequence.gt(behind))
        .filter(account_event::Column::Kind.is_in(FORESEEN.iter().copied()))
        .order_by_asc(account_event::Column::Sequence)
        .all(db)
        .await
        .unwrap();
    let mut told = Vec::new();
    for event in events {
        let amount = match (event.kind, event.order_id, event.alert_id) {
            (EventType::ResourceRenewed, Some(id), _) => order::Entity::find_by_id(id)
                .one(db)
                .await
                .unwrap()
                .map(|order| order.charged_minor),
            (EventType::RenewalFailed, _, Some(id)) => {
                let alert = expiry_alert::Entity::find_by_id(id).one(db).await.unwrap();
                alert.and_then(|alert| alert.shortfall_minor)
            }
            _ => None,
        };
        told.push((event.created_at, event.kind, event.resource_id, amount));
    }
    told
}

fn of(forecast: &Forecast) -> Vec<Told> {
    let events = forecast.events.iter();
    events
        .map(|event| {
            let amount = event.amount.or(event.shortfall()).map(|amount| amount.minor());
            (event.at, event.kind, Some(event.resource.id), amount)
        })
        .collect()
}

async fn newest(world: &World) -> i64 {
    account(world).await.event_sequence
}

const GOODS: &[(&str, &str, &str)] = &[
    ("vserver", "server", "s-general-1x1"),
    ("vserver", "server", "s-general-2x4"),
    ("vserver", "volume", "disk-20gb"),
    ("vstorage", "project", "storage-100gb"),
    ("vmonitor", "log-quota", "log-10gb"),
    ("vdb", "database", "db-1x2"),
    ("vcontainer", "cluster", "node-2x4"),
];

/// An account that has bought this and that over a month, and has some money left.
async fn random_account(world: &World, seed: u64) {
    let mut chance = Chance::of(seed);
    world.app.clock.stand_at(at("2023-03-06T00:00:00+07:00"));
    let mut now = at("2023-03-06T00:00:00+07:00");
    for number in 0..10_u32 {
        now += TimeDelta::minutes(i64::from(chance.below(4_000)));
        world.app.clock.stand_at(now);
        engine::advance(&world.app, now).await.unwrap();
        let (product, kind, component) = chance.one_of(GOODS).unwrap();
        let term = match chance.below(4) {
            0 => json!({ "days": 9 + chance.below(30) }),
            1 => json!({ "months": 2 }),
            _ => json!({ "months": 1 }),
        };
        let create = json!({ "product": product, "resourceType": kind, "quantity": 1 + chance.below(2), "term": term,
            "name": format!("{kind}-{number}"), "autoRenew": chance.below(4) > 0,
            "components": [{ "code": component, "quantity": 1 }] });
        let (quote, charged) = world.quote(create, None).await;
        world
            .grant(if chance.below(3) == 0 { "PROMOTIONAL" } else { "CASH" }, &charged)
            .await;
        let paying = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": quote });
        world.done(&world.token(Role::Owner), "placeOrder", paying).await;
        let operator = world.token(Role::Operator);
        let tasks = world
            .data(
                &operator,
                "{ provisioningTasks(first: 50) { nodes { id } } }",
                json!({}),
            )
            .await;
        for task in tasks["provisioningTasks"]["nodes"].as_array().unwrap() {
            let made = json!({ "taskId": task["id"], "outcome": { "succeeded": {} } });
            world.done(&operator, "reportProvisioning", made).await;
        }
    }
    // It suffices for some of what comes.
    world
        .grant("CASH", &(i64::from(chance.below(12)) * 400_000 + 1).to_string())
        .await;
}

/// Foresees, lives, compares.
async fn comes_true(world: &World, days: i64) -> Forecast {
    let now = world.app.clock.now();
    let until = now + TimeDelta::days(days);
    let forecast = foreseen(world, until).await;
    let behind = newest(world).await;
    engine::advance(&world.app, until).await.unwrap();
    world.app.clock.stand_at(until);
    let (expected, came) = (of(&forecast), told(world, behind).await);
    for (place, (expected, came)) in expected.iter().zip(&came).enumerate() {
        assert_eq!(expected, came, "event {place}");
    }
    assert_eq!(expected.len(), came.len());
    assert_eq!(forecast.available.minor(), available(world).await);
    let renewed = came.iter().filter(|(_, kind, ..)| *kind == EventType::ResourceRenewed);
    assert_eq!(
        forecast.charged.minor(),
        renewed.filter_map(|(.., amount)| *amount).sum::<i64>()
    );
    let short = came.iter().find(|(_, kind, ..)| *kind == EventType::RenewalFailed);
    assert_eq!(forecast.runs_out_at, short.map(|(at, ..)| *at));
    forecast
}

async fn random_accounts_live_as_foreseen(world: &World, seed: u64) {
    random_account(world, seed).await;
    // A price that is published ahead counts from its instant.
    let prices = price::Entity::find().all(world.app.db.read()).await.unwrap();
    let from = world.app.clock.now() + TimeDelta::days(40);
    let dearer = prices.into_iter().map(|row| price::Model {
        id: billing_gateway::ids::new_id(),
        valid_from: from,
        unit_price_micros: row.unit_price_micros / 10 * 11,
        ..row
    });
    let dearer: Vec<_> = dearer.map(|row| row.into_active_model()).collect();
    let published = world.app.db.write("publish_prices", async |tx| {
        let tx = &*tx;
        Ok(price::Entity::insert_many(dearer.clone())
            .exec_without_returning(&**tx)
            .await?)
    });
    published.await.unwrap();
    let first = comes_true(world, 75).await;
    assert!(first.events.len() > 10, "{}", first.events.len());
    comes_true(world, 60).await;
}

on_every_store! {
    async fn what_is_foreseen_of_one_account_comes(world: World) {
        random_accounts_live_as_foreseen(&world, 1).await;
    }

    async fn what_is_foreseen_of_another_account_comes(world: World) {
        random_accounts_live_as_foreseen(&world, 2).await;
    }

    async fn what_is_foreseen_of_a_new_account_comes(world: World) {
        let seed = u64::from(std::process::id()) ^ Utc::now().timestamp_micros().unsigned_abs();
        println!("the seed is {seed}");
        random_accounts_live_as_foreseen(&world, seed).await;
    }

    async fn the_least_top_up_is_what_it_takes_and_no_dong_less(world: World) {
        random_account(&world, 5).await;
        let until = world.app.clock.now() + TimeDelta::days(90);
        let poor = foreseen(&world, until).await;
        assert!(poor.top_up.is_positive() && poor.runs_out_at.is_some(), "{:?}", poor.top_up);
        world.grant("CASH", &(poor.top_up.minor() - 1).to_string()).await;
        assert!(foreseen(&world, until).await.runs_out_at.is_some());
        world.grant("CASH", "1").await;
        let rich = foreseen(&world, until).await;
        assert_eq!((rich.runs_out_at, rich.top_up.minor(), rich.available.minor()), (None, 0, 0));
        comes_true(&world, 90).await;
        assert_eq!(available(&world).await, 0);
    }

    async fn a_customer_sees_the_forecast_page_by_page(world: World) {
        world.grant("CASH", "381000").await;
        let mut create = server("s-general-1x1");
        create["autoRenew"] = json!(true);
        world.buy(create).await;
        world.provision().await;
        let query = "query($until: DateTime!, $after: String) { forecast(until: $until) { until available { amount } charged { amount } runsOutAt topUp { amount }
            events(first: 2, after: $after) { pageInfo { hasNextPage endCursor } nodes { at type status expiresAt amount { amount } failure shortfall { amount } available { amount } resource { name } } } } }";
        let owner = world.token(Role::Owner);
        let until = "2023-06-10T00:00:00Z";
        let forecast = world.data(&owner, query, json!({ "until": until })).await["forecast"].take();
        assert_eq!((&forecast["charged"]["amount"], &forecast["available"]["amount"], &forecast["topUp"]["amount"]), (&json!("181000"), &json!("19000"), &json!("343000")));
        assert_eq!(forecast["runsOutAt"], "2023-04-28T01:00:00Z");
        let first = &forecast["events"]["nodes"][0];
        assert_eq!((&first["type"], &first["at"], &first["amount"]["amount"], &first["available"]["amount"], &first["status"]),
            (&json!("RESOURCE_RENEWED"), &json!("2023-03-29T01:00:00Z"), &json!("181000"), &json!("19000"), &json!("ACTIVE")));
        let mut kinds = Vec::new();
        let mut after = Value::Null;
        loop {
            let page = world.data(&owner, query, json!({ "until": until, "after": after })).await["forecast"]["events"].take();
            kinds.extend(page["nodes"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()));
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        let failed = "RENEWAL_FAILED";
        assert_eq!(kinds, ["RESOURCE_RENEWED", failed, failed, failed, failed, "AUTO_RENEW_STOPPED", "RESOURCE_EXPIRED", "RESOURCE_SUSPENDED", "FINAL_NOTICE", "RESOURCE_RELEASED"]);
        for until in ["2023-03-05T00:00:00Z", "2024-06-01T00:00:00Z"] {
            let body = world.ask(&owner, query, json!({ "until": until })).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "INVALID_INSTANT", "{body}");
        }
    }
}
