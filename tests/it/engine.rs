//! The engine under strain: brakes before a release, two engines at once, one that is late, one thing that fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use billing_gateway::app::App;
use billing_gateway::commands::seed;
use billing_gateway::engine::{self, Passed};
use billing_gateway::store::{Scope, due, state};
use chrono::TimeDelta;
use entity::enums::{Language, Role, StepStatus};
use entity::{engine_downtime, expiry_alert, resource, schedule_step};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::binary::Process;
use crate::support::{BEGINNING, World, at, execute, on_every_store, project, server, text};

const APPROVE: &str = "mutation { approveReleases(input: {}) { resumed userErrors { code } } }";

/// Moves the store's clock and makes one pass: what an engine does that looks only now.
async fn pass_at(app: &App, instant: &str) -> Passed {
    app.set_clock(at(instant)).await.unwrap();
    engine::tick(app).await.unwrap()
}

/// How many resources are in each state, over all accounts.
async fn states(world: &World) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for row in resource::Entity::find().all(world.app.db.read()).await.unwrap() {
        *states.entry(row.life.to_string()).or_default() += 1;
    }
    states
}

async fn resource_of(world: &World, id: Uuid) -> resource::Model {
    resource::Entity::find_by_id(id)
        .one(world.app.db.read())
        .await
        .unwrap()
        .unwrap()
}

/// Makes a resource wait for a step, as only a mishap does.
async fn waits_for(world: &World, id: Uuid, step: &str) {
    let mut row = resource_of(world, id).await.into_active_model();
    row.next_step = Set(Some(step.to_owned()));
    world
        .app
        .db
        .write("mishap", async |tx| Ok(row.clone().update(&**tx).await?))
        .await
        .unwrap();
}

/// Puts everything off, as after failures.
async fn put_off(world: &World, until: &str) {
    for row in resource::Entity::find().all(world.app.db.read()).await.unwrap() {
        let put_off = world.app.db.write("put_off", async |tx| {
            due::put_off(&tx, &Scope::engine(), row.id, at(until)).await
        });
        put_off.await.unwrap();
    }
}

async fn all_are(world: &World, life: &str, many: usize, why: &str) {
    assert_eq!(states(world).await, BTreeMap::from([(life.to_owned(), many)]), "{why}");
}

/// The alerts of the caller's account, oldest first.
async fn alerts(world: &World) -> Vec<Value> {
    let query = "{ expiryAlerts(first: 100) { nodes { step createdAt releasesAt } } }";
    let data = world.data(&world.token(Role::Owner), query, json!({})).await;
    let mut alerts = data["expiryAlerts"]["nodes"].as_array().unwrap().clone();
    alerts.reverse();
    alerts
}

/// How often each step was told, over all accounts.
async fn told(app: &App) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for alert in expiry_alert::Entity::find().all(app.db.read()).await.unwrap() {
        *told.entry(alert.step).or_default() += 1;
    }
    told
}

/// Buys so many storage projects for an account that may be new.
async fn buys(world: &World, account: Uuid, many: usize) {
    let owner = world.token_of(Role::Owner, account);
    let id = world.data(&owner, "{ account { id } }", json!({})).await["account"]["id"].take();
    let grant = json!({ "accountId": id, "kind": "CASH", "amount": "100000000", "reason": "for a test", "idempotencyKey": "rich" });
    world.done(&world.token(Role::Operator), "grantCredit", grant).await;
    let mut create = project();
    create["quantity"] = json!(many);
    let quote = world
        .done(&owner, "createQuote", json!({ "items": [{ "create": create }] }))
        .await;
    let order = json!({ "quoteId": quote["quote"]["id"], "payment": { "credit": true }, "idempotencyKey": "all" });
    world.done(&owner, "placeOrder", order).await;
}

/// A server, bought and made at the beginning: paid until 6 April, to be suspended on 21 April and released on 6 May.
async fn a_server(world: &World) {
    world.grant("CASH", "181000").await;
    world.buy(server("s-general-1x1")).await;
    world.provision().await;
}

async fn approve(world: &World, role: Role) -> Value {
    // The world's own process has not moved the clock: it takes it over, as its poll would.
    world.app.follow_clock().await.unwrap();
    world.ask(&world.token(role), APPROVE, json!({})).await
}

async fn engine_status(world: &World) -> Value {
    world.app.follow_clock().await.unwrap();
    let query = "{ engineStatus { lastPassAt dueResources oldestDueAt failingResources releasesHaltedAt releasesHaltedReason releasesApprovedAt } }";
    world.data(&world.token(Role::Operator), query, json!({})).await["engineStatus"].clone()
}

on_every_store! {
    async fn the_metrics_say_where_the_engine_stands(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        // Time passes while no engine runs; nothing falls due in the next hours.
        let now = at(BEGINNING) + TimeDelta::hours(26 * 24 + 12);
        world.app.set_clock(now).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["--database-url", world.database(), "--engine-seconds", "1"];
        let (process, address) = Process::serve(folder.path(), &arguments);
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let metrics: BTreeMap<String, f64> = loop {
            tick.tick().await;
            let text = world.http().get(format!("http://{address}/metrics")).send().await.unwrap();
            let text = text.text().await.unwrap();
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            let metrics = lines
                .filter(|(name, _)| name.starts_with("engine_"))
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
            let metrics: BTreeMap<_, _> = metrics.collect();
            if metrics.contains_key("engine_last_pass_timestamp_seconds") {
                break metrics;
            }
        };
        let of = |name: &str| metrics.get(name).map(|value| value.round().to_string());
        // The reminders whose time had passed: one is told, the rest are missed.
        assert_ne!(of("engine_steps_total"), Some("0".to_owned()), "{metrics:?}");
        for (name, value) in [
            ("engine_failures_total", 0_i64),
            ("engine_due_resources", 0),
            ("engine_oldest_due_seconds", 0),
            ("engine_failing_resources", 0),
            ("engine_releases_halted", 0),
        ] {
            assert_eq!(of(name), Some(value.to_string()), "{name}: {metrics:?}");
        }
        let last_pass: i64 = of("engine_last_pass_timestamp_seconds").unwrap().parse().unwrap();
        let hour = now.timestamp()..now.timestamp() + 3_600;
        assert!(hour.contains(&last_pass), "{metrics:?}");
        assert_eq!(process.terminate(), Some(0));
    }

    async fn more_releases_than_one_pass_may_make_wait_for_an_operator(world: World) {
        world.grant("CASH", "10000000").await;
        for _ in 0..3 {
            world.buy(project()).await;
        }
        for minute in 0..3 {
            world.advance(&format!("2023-03-08T00:0{minute}:00+07:00")).await;
            world.buy(project()).await;
        }
        world.advance("2023-04-12T23:30:00+07:00").await;
        let careful = world.another(2).await;
        let halted = |states: BTreeMap<String, usize>| states.get("SUSPENDED").copied().unwrap_or(0);
        careful.set_clock(at("2023-04-13T00:09:00+07:00")).await.unwrap();
        let status = engine_status(&world).await;
        assert_eq!((&status["dueResources"], &status["failingResources"]), (&json!(3), &json!(0)), "{status}");
        let oldest = at(&text(&status["oldestDueAt"]));
        assert!(oldest <= at("2023-04-13T00:09:00+07:00") && oldest >= at("2023-04-12T23:30:00+07:00"), "{status}");
        pass_at(&careful, "2023-04-13T00:10:00+07:00").await;
        all_are(&world, "SUSPENDED", 6, "three releases are due and two may be made: none is").await;
        pass_at(&careful, "2023-04-13T00:30:00+07:00").await;
        let bolder = world.another(100).await;
        pass_at(&bolder, "2023-04-13T00:50:00+07:00").await;
        all_are(&world, "SUSPENDED", 6, "a halt is the store's: an engine that may make more obeys it too").await;

        let status = engine_status(&world).await;
        assert_eq!(status["dueResources"], 0, "what waits is looked at again later: {status}");
        assert!(!status["releasesHaltedAt"].is_null() && !status["lastPassAt"].is_null(), "{status}");
        assert!(text(&status["releasesHaltedReason"]).contains("more than 2"), "{status}");

        for role in [Role::Owner, Role::BillingAdmin, Role::Viewer, Role::Product, Role::Partner] {
            let refused = approve(&world, role).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{role}: {refused}");
        }
        pass_at(&careful, "2023-04-13T01:10:00+07:00").await;
        all_are(&world, "SUSPENDED", 6, "nobody but an operator approves").await;

        assert_eq!(approve(&world, Role::Operator).await["data"]["approveReleases"]["resumed"], true);
        assert_eq!(approve(&world, Role::Operator).await["data"]["approveReleases"]["resumed"], false);
        let status = engine_status(&world).await;
        assert!(status["releasesHaltedAt"].is_null() && status["releasesHaltedReason"].is_null(), "{status}");
        assert!(!status["releasesApprovedAt"].is_null(), "{status}");
        pass_at(&careful, "2023-04-13T01:30:00+07:00").await;
        assert_eq!(halted(states(&world).await), 3, "what was approved is released, though it is more than two");

        engine::advance(&careful, at("2023-04-15T12:00:00+07:00")).await.unwrap();
        assert_eq!(halted(states(&world).await), 0, "one after the other they are no reason to halt");
    }

    async fn an_approval_is_for_what_waited_and_not_for_later_releases(world: World) {
        buys(&world, world.account, 3).await;
        world.advance("2023-03-08T00:00:00+07:00").await;
        buys(&world, world.other_account, 3).await;
        world.advance("2023-04-12T23:30:00+07:00").await;
        let careful = world.another(2).await;
        pass_at(&careful, "2023-04-13T00:10:00+07:00").await;
        approve(&world, Role::Operator).await;
        engine::advance(&careful, at("2023-04-14T23:30:00+07:00")).await.unwrap();
        assert_eq!(states(&world).await, BTreeMap::from([("DELETED".to_owned(), 3), ("SUSPENDED".to_owned(), 3)]));
        pass_at(&careful, "2023-04-15T00:10:00+07:00").await;
        pass_at(&careful, "2023-04-15T00:40:00+07:00").await;
        assert_eq!(states(&world).await, BTreeMap::from([("DELETED".to_owned(), 3), ("SUSPENDED".to_owned(), 3)]));
        approve(&world, Role::Operator).await;
        pass_at(&careful, "2023-04-15T01:00:00+07:00").await;
        all_are(&world, "DELETED", 6, "approved as well").await;
    }

    async fn releases_that_come_with_other_steps_are_counted_too(world: World) {
        world.grant("CASH", "10000000").await;
        for _ in 0..3 {
            world.buy(server("s-general-1x1")).await;
            world.provision().await;
        }
        world.advance("2023-05-04T12:00:00+07:00").await;
        // The last reminder fails until the release is due as well.
        put_off(&world, "2023-05-06T00:20:00+07:00").await;
        world.advance("2023-05-06T00:10:00+07:00").await;
        let careful = world.another(2).await;
        for minute in [30, 40, 50] {
            pass_at(&careful, &format!("2023-05-06T00:{minute}:00+07:00")).await;
            all_are(&world, "SUSPENDED", 3, "three are due and two may be made").await;
        }
        approve(&world, Role::Operator).await;
        pass_at(&careful, "2023-05-06T01:10:00+07:00").await;
        all_are(&world, "DELETED", 3, "approved").await;
    }

    async fn a_release_waits_for_72_hours_after_its_notice(world: World) {
        a_server(&world).await;
        world.advance("2023-05-02T12:00:00+07:00").await;
        // The notice of 3 May can't be sent for two days, and the engine runs all along.
        put_off(&world, "2023-05-05T00:00:00+07:00").await;
        world.advance("2023-05-07T23:59:00+07:00").await;
        all_are(&world, "SUSPENDED", 1, "planned for 6 May, but its notice is of 5 May").await;
        world.advance("2023-05-08T00:10:00+07:00").await;
        all_are(&world, "DELETED", 1, "8 May").await;
        let alerts = alerts(&world).await;
        let notice = alerts.iter().find(|alert| alert["step"] == "FINAL_NOTICE:27").unwrap();
        let (sent, promised) = (at(&text(&notice["createdAt"])), at(&text(&notice["releasesAt"])));
        // The two days that it was put off count in whole minutes.
        let late = promised - sent - TimeDelta::hours(72);
        assert!((TimeDelta::zero()..TimeDelta::minutes(1)).contains(&late), "the notice says when: {promised}");
        let release = alerts.last().unwrap();
        assert_eq!(release["step"], "RELEASE:30");
        assert!(at(&text(&release["createdAt"])) >= promised, "and it is not before");
    }

    async fn the_time_without_an_engine_extends_grace_to_the_minute(world: World) {
        a_server(&world).await;
        world.advance("2023-05-01T00:30:00+07:00").await;
        // Two days without an engine: the notice is half an hour late, the release two days.
        pass_at(&world.app, "2023-05-03T00:30:00+07:00").await;
        world.advance("2023-05-07T23:59:00+07:00").await;
        all_are(&world, "SUSPENDED", 1, "planned for 6 May, and two days were lost").await;
        world.advance("2023-05-08T00:03:00+07:00").await;
        all_are(&world, "DELETED", 1, "8 May").await;
        let alerts = alerts(&world).await;
        let notice = alerts.iter().find(|alert| alert["step"] == "FINAL_NOTICE:27").unwrap();
        let promised = at(&text(&notice["releasesAt"]));
        assert!((at("2023-05-08T00:00:00+07:00")..at("2023-05-08T00:02:00+07:00")).contains(&promised), "{promised}");
    }

    async fn two_engines_on_one_store_tell_everything_once(world: World) {
        let mut accounts = vec![world.account, world.other_account];
        for number in 0..10 {
            let code = format!("SHOP{number}");
            let opened = world.app.db.write("open", async |tx| {
                seed::open(&tx, &code, "A shop", Language::En, world.app.clock.now()).await
            });
            accounts.push(opened.await.unwrap().1);
        }
        for account in &accounts {
            buys(&world, *account, 6).await;
        }
        let engines = [Arc::clone(&world.app), world.another(1_000).await];
        let mut made = 0;
        for instant in ["2023-03-30T00:30:00+07:00", "2023-04-06T00:30:00+07:00", "2023-04-10T00:30:00+07:00", "2023-04-17T01:30:00+07:00"] {
            world.app.set_clock(at(instant)).await.unwrap();
            if instant.starts_with("2023-04-17") {
                // Of the last week both were there; the four days before it extend the grace by as much.
                world.app.db.write("both_were_there", async |tx| {
                    state::note_pass(&tx, &Scope::engine(), at(instant) - TimeDelta::minutes(30)).await
                }).await.unwrap();
            }
            engines[1].follow_clock().await.unwrap();
            let passes = engines.clone().map(|engine| tokio::spawn(async move {
                let mut alerts = 0;
                loop {
                    let passed = engine::tick(&engine).await.unwrap();
                    assert_eq!(passed.failed, 0);
                    alerts += passed.alerts;
                    if !passed.more && !passed.elsewhere {
                        return alerts;
                    }
                }
            }));
            for pass in passes {
                made += pass.await.unwrap();
            }
        }
        let many = accounts.len() * 6;
        all_are(&world, "DELETED", many, "each life has ended").await;
        let once = ["REMINDER:-7", "EXPIRE:0", "FINAL_NOTICE:4", "RELEASE:7"].map(|step| (step.to_owned(), many));
        assert_eq!(told(&world.app).await, BTreeMap::from(once));
        assert_eq!(made, 4 * u64::try_from(many).unwrap(), "what the engines say they told is what was told");
        let spans = engine_downtime::Entity::find().count(world.app.db.read()).await.unwrap();
        assert_eq!(spans, 2, "two engines that come back at once tell of one time without an engine, not of two");
        for account in accounts {
            let events = "{ account { eventCursor } expiryAlerts(first: 100) { nodes { step } } }";
            let data = world.data(&world.token_of(Role::Owner, account), events, json!({})).await;
            assert_eq!(data["expiryAlerts"]["nodes"].as_array().unwrap().len(), 24);
        }
    }

    async fn a_resource_that_fails_does_not_hold_up_the_others(world: World) {
        buys(&world, world.account, 5).await;
        buys(&world, world.other_account, 1).await;
        let rows = resource::Entity::find().all(world.app.db.read()).await.unwrap();
        let broken = rows.iter().find(|row| row.account_id == world.account).unwrap().id;
        let row = || resource_of(&world, broken);
        waits_for(&world, broken, "DANCE:-7").await;
        let passed = pass_at(&world.app, "2023-03-30T00:30:00+07:00").await;
        assert_eq!((passed.alerts, passed.failed), (5, 1), "{passed:?}");
        assert_eq!(row().await.attempts, 1);
        let mut put_off = row().await.next_due_at.unwrap();
        assert!(put_off > world.app.clock.now(), "it is tried again, later");
        for _ in 0..12 {
            world.app.set_clock(put_off).await.unwrap();
            assert_eq!(engine::tick(&world.app).await.unwrap().failed, 1);
            let next = row().await.next_due_at.unwrap();
            assert!(next - put_off <= TimeDelta::days(1) + TimeDelta::minutes(1), "never more than a day later");
            put_off = next;
        }
        waits_for(&world, broken, "REMINDER:-7").await;
        world.app.set_clock(put_off).await.unwrap();
        engine::tick(&world.app).await.unwrap();
        assert_eq!(row().await.attempts, 0, "mended, it goes on as if nothing had been");
        assert_eq!(told(&world.app).await["REMINDER:-7"], 6);
    }

    async fn an_account_that_fails_does_not_hold_up_the_others(world: World) {
        buys(&world, world.account, 2).await;
        buys(&world, world.other_account, 2).await;
        execute(&world.app, "update account set zone = 'Mars/Olympus_Mons' where code = 'ACME'").await;
        let passed = pass_at(&world.app, "2023-03-30T00:30:00+07:00").await;
        assert_eq!((passed.alerts, passed.failed), (2, 2), "{passed:?}");
        assert_eq!(pass_at(&world.app, "2023-03-30T00:30:10+07:00").await.failed, 0, "what failed is put off");
        execute(&world.app, "update account set zone = 'Asia/Ho_Chi_Minh' where code = 'ACME'").await;
        world.advance("2023-03-30T01:00:00+07:00").await;
        assert_eq!(told(&world.app).await, BTreeMap::from([("REMINDER:-7".to_owned(), 4)]));
    }

    async fn of_the_reminders_that_a_late_engine_finds_the_last_is_told(world: World) {
        a_server(&world).await;
        world.advance("2023-03-29T12:00:00+07:00").await;
        pass_at(&world.app, "2023-04-08T00:30:00+07:00").await;
        let steps = schedule_step::Entity::find().all(world.app.db.read()).await.unwrap();
        let of = |status: StepStatus| {
            let mut keys: Vec<String> = steps.iter().filter(|step| step.status == status).map(|step| step.step.clone()).collect();
            keys.sort();
            keys
        };
        assert_eq!(of(StepStatus::Sent), ["EXPIRE:0", "REMINDER:2"], "the end is never missed");
        let missed: Vec<String> = ["-1", "-2", "-3", "-4", "-5", "-6", "-7", "0", "1"].map(|day| format!("REMINDER:{day}")).into();
        assert_eq!(of(StepStatus::Missed), missed);
        let told: Vec<String> = alerts(&world).await.iter().map(|alert| text(&alert["step"])).collect();
        assert_eq!(told, ["EXPIRE:0", "REMINDER:2"], "and states come in their order");
        all_are(&world, "GRACE", 1, "two days after the end").await;
    }
}
