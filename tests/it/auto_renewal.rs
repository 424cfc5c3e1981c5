//! Renewing by itself: from credit, at the attempts of the policy, told whether it succeeds or fails, and never twice.

use billing_gateway::engine;
use entity::enums::{EventType, Role, StepKind, StepStatus};
use entity::{account_event, schedule_step};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};

use crate::support::{World, at, on_every_store, project, server, text};

const RESOURCES: &str = "{ resources(first: 50, orderBy: { field: CREATED_AT, direction: ASC }) { nodes { id name status autoRenew autoRenewMonths expiresAt } } }";
const ALERTS: &str =
    "{ expiryAlerts(first: 50) { nodes { kind step daysLeft failure shortfall { amount } resource { name } } } }";

async fn resources(world: &World) -> Vec<Value> {
    let data = world.data(&world.token(Role::Owner), RESOURCES, json!({})).await;
    data["resources"]["nodes"].as_array().unwrap().clone()
}

/// The failed attempts that were told, oldest first: the step, why, what was missing.
async fn failures(world: &World) -> Vec<(String, String, String)> {
    let data = world.data(&world.token(Role::Owner), ALERTS, json!({})).await;
    let alerts = data["expiryAlerts"]["nodes"].as_array().unwrap().clone();
    let failed = alerts.iter().rev().filter(|alert| alert["kind"] == "AUTO_RENEW");
    let told = failed.map(|alert| {
        (
            text(&alert["step"]),
            text(&alert["failure"]),
            text(&alert["shortfall"]["amount"]),
        )
    });
    told.collect()
}

async fn cash(world: &World) -> String {
    let data = world
        .data(&world.token(Role::Owner), "{ wallet { cash { amount } } }", json!({}))
        .await;
    text(&data["wallet"]["cash"]["amount"])
}

/// Its status, and its end to the minute: the clock of a test runs.
fn stands(resource: &Value) -> (String, String) {
    (text(&resource["status"]), text(&resource["expiresAt"])[..16].to_owned())
}

fn standing(status: &str, end: &str) -> (String, String) {
    (status.to_owned(), end.to_owned())
}

fn renewed_by_itself(mut create: Value) -> Value {
    create["autoRenew"] = json!(true);
    create
}

async fn told(world: &World, kind: EventType) -> usize {
    let events = account_event::Entity::find().filter(account_event::Column::Kind.eq(kind));
    events.all(world.app.db.read()).await.unwrap().len()
}

async fn steps(world: &World, kind: StepKind) -> Vec<(String, StepStatus)> {
    let steps = schedule_step::Entity::find()
        .filter(schedule_step::Column::Kind.eq(kind))
        .order_by_asc(schedule_step::Column::DueAt);
    let steps = steps.all(world.app.db.read()).await.unwrap();
    steps.into_iter().map(|step| (step.step, step.status)).collect()
}

async fn set_auto_renew(world: &World, input: Value) -> Value {
    let query = "mutation($input: SetAutoRenewInput!) { setAutoRenew(input: $input) {
        results { resourceId resource { autoRenew autoRenewMonths } userErrors { code message path ... on StateError { state allowed } } }
        userErrors { code path } } }";
    let mut data = world
        .data(&world.token(Role::Owner), query, json!({ "input": input }))
        .await;
    data["setAutoRenew"].take()
}

on_every_store! {
    async fn a_renewal_is_paid_from_credit_a_week_before_the_end_and_nobody_is_reminded(world: World) {
        world.grant("CASH", "362000").await;
        world.buy(renewed_by_itself(server("s-general-1x1"))).await;
        world.provision().await;
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-04-05T17:00"));
        let before = world.advance("2023-03-29T07:59:00+07:00").await;
        assert_eq!((before.renewed, cash(&world).await.as_str()), (0, "181000"));
        let passed = world.advance("2023-03-29T08:01:00+07:00").await;
        assert_eq!((passed.renewed, passed.steps, passed.alerts), (1, 1, 0));
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-05-05T17:00"));
        assert_eq!(cash(&world).await, "0");
        assert_eq!(steps(&world, StepKind::AutoRenew).await, [("AUTO_RENEW:-7".to_owned(), StepStatus::Sent)]);
        assert_eq!((told(&world, EventType::ResourceRenewed).await, told(&world, EventType::InvoiceIssued).await), (1, 2));
        // Nothing of the old plan is told: what comes next is the attempt of the new one.
        let quiet = world.advance("2023-04-28T07:59:00+07:00").await;
        assert_eq!((quiet.steps, quiet.alerts), (0, 0));
        world.books_agree().await;
    }

    async fn a_shortfall_is_told_and_tried_again_and_the_last_failure_stops_it(world: World) {
        world.grant("CASH", "281000").await;
        world.buy(renewed_by_itself(server("s-general-1x1"))).await;
        world.provision().await;
        world.advance("2023-03-29T09:00:00+07:00").await;
        let missing = |step: &str| (step.to_owned(), "INSUFFICIENT_CREDIT".to_owned(), "81000".to_owned());
        assert_eq!(failures(&world).await, [missing("AUTO_RENEW:-7")]);
        assert_eq!(cash(&world).await, "100000", "all of it or nothing");
        world.advance("2023-04-04T09:00:00+07:00").await;
        assert_eq!(failures(&world).await, ["AUTO_RENEW:-7", "AUTO_RENEW:-4", "AUTO_RENEW:-1"].map(missing));
        assert_eq!((told(&world, EventType::RenewalFailed).await, told(&world, EventType::AutoRenewStopped).await), (3, 0));
        world.advance("2023-04-05T09:00:00+07:00").await;
        assert_eq!(failures(&world).await.len(), 4);
        assert_eq!((told(&world, EventType::RenewalFailed).await, told(&world, EventType::AutoRenewStopped).await), (4, 1));
        let stopped = &resources(&world).await[0];
        assert_eq!((&stopped["autoRenew"], &stopped["status"]), (&json!(false), &json!("ACTIVE")));
        // Money that comes too late is left alone.
        world.grant("CASH", "1000000").await;
        world.advance("2023-04-06T01:00:00+07:00").await;
        assert_eq!(resources(&world).await[0]["status"], "GRACE");
        assert_eq!(cash(&world).await, "1100000");
        world.books_agree().await;
    }

    async fn money_that_comes_in_time_renews_at_the_next_attempt(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(renewed_by_itself(server("s-general-1x1"))).await;
        world.provision().await;
        world.advance("2023-04-03T00:30:00+07:00").await;
        assert_eq!(failures(&world).await.len(), 2);
        world.grant("PROMOTIONAL", "100000").await;
        world.grant("CASH", "81000").await;
        let passed = world.advance("2023-04-04T08:30:00+07:00").await;
        assert_eq!((passed.renewed, passed.alerts), (1, 1), "one more reminder came before it");
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-05-05T17:00"));
        assert_eq!(world.advance("2023-04-10T00:00:00+07:00").await.steps, 0);
        world.books_agree().await;
    }

    async fn money_for_some_goes_to_the_soonest_end_and_then_to_the_cheapest(world: World) {
        world.grant("CASH", "3000000").await;
        // Of one end, to the microsecond: the dear one was asked for first.
        let until = |component: &str| {
            let mut create = renewed_by_itself(server(component));
            create["term"] = json!({ "until": "2023-04-05T17:00:00Z" });
            json!({ "create": create })
        };
        let both = json!([until("s-general-2x4"), until("s-general-1x1")]);
        let quote = world.done(&world.token(Role::Owner), "createQuote", json!({ "items": both })).await["quote"].take();
        world.done(&world.token(Role::Owner), "placeOrder", json!({ "quoteId": quote["id"], "payment": { "credit": true }, "idempotencyKey": "both" })).await;
        world.provision().await;
        world.provision().await;
        let mut later = renewed_by_itself(server("s-general-1x1"));
        later["name"] = json!("later");
        world.advance("2023-03-06T02:00:00+07:00").await;
        world.buy(later).await;
        world.provision().await;
        let spend = world.quote(json!({ "product": "vstorage", "resourceType": "project", "term": { "months": 1 }, "name": "rest",
            "components": [{ "code": "storage-100gb", "quantity": 12 }] }), None).await;
        world.done(&world.token(Role::Owner), "placeOrder", json!({ "quoteId": spend.0, "payment": { "credit": true }, "idempotencyKey": "spend" })).await;
        let left: i64 = cash(&world).await.parse().unwrap();
        // 520,000 and 181,000 for the two with the sooner end, and all but one dong of 181,000 for the later one.
        world.grant("CASH", &(520_000 + 181_000 + 180_999 - left).to_string()).await;
        let passed = world.advance("2023-03-29T08:30:00+07:00").await;
        assert_eq!((passed.renewed, passed.alerts), (2, 1));
        let failed = world.data(&world.token(Role::Owner), ALERTS, json!({})).await;
        assert_eq!(failed["expiryAlerts"]["nodes"][0]["resource"]["name"], "later");
        assert_eq!(failed["expiryAlerts"]["nodes"][0]["shortfall"]["amount"], "1");
        // With the price it says what the account has: who may not read that is not told.
        let hidden = world.ask(&world.token_without("GetUserBalance"), ALERTS, json!({})).await;
        assert_eq!((&hidden["data"]["expiryAlerts"]["nodes"][0]["shortfall"], &hidden["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
        // With the dong that was missing it is renewed at its next attempt.
        world.grant("CASH", "1").await;
        assert_eq!(world.advance("2023-04-02T00:00:00+07:00").await.renewed, 1);
        // A month on there is money for one of them: the cheap one of the sooner end,
        // and what is left goes to the later one.
        world.grant("CASH", "520000").await;
        let passed = world.advance("2023-04-28T08:30:00+07:00").await;
        assert_eq!((passed.renewed, told(&world, EventType::RenewalFailed).await), (2, 2));
        let all = resources(&world).await;
        let cheap = all.iter().find(|one| stands(one).1 == "2023-06-05T17:00").unwrap();
        assert_eq!(cheap["id"], all[1]["id"], "{all:#?}");
        world.books_agree().await;
    }

    async fn what_its_product_is_changing_is_renewed_when_that_is_done(world: World) {
        world.grant("CASH", "3000000").await;
        world.buy(renewed_by_itself(server("s-general-1x1"))).await;
        world.provision().await;
        world.advance("2023-03-29T07:00:00+07:00").await;
        let bought = resources(&world).await.remove(0);
        let resize = json!([{ "resize": { "resourceId": bought["id"], "components": [{ "code": "s-general-2x4", "quantity": 1 }] } }]);
        let quote = world.done(&world.token(Role::Owner), "createQuote", json!({ "items": resize })).await["quote"].take();
        world.done(&world.token(Role::Owner), "placeOrder", json!({ "quoteId": quote["id"], "payment": { "credit": true }, "idempotencyKey": "larger" })).await;
        let waiting = world.advance("2023-03-29T12:00:00+07:00").await;
        assert_eq!((waiting.renewed, waiting.alerts, waiting.failed), (0, 0, 0));
        world.provision().await;
        let before = cash(&world).await.parse::<i64>().unwrap();
        assert_eq!(world.advance("2023-03-29T12:30:00+07:00").await.renewed, 1);
        assert_eq!(cash(&world).await.parse::<i64>().unwrap(), before - 520_000, "at the price of what it has become");
        world.books_agree().await;
    }

    async fn a_late_engine_never_charges_an_attempt_of_another_day(world: World) {
        world.grant("CASH", "1000000").await;
        world.buy(renewed_by_itself(server("s-general-1x1"))).await;
        world.provision().await;
        world.app.set_clock(at("2023-03-30T08:01:00+07:00")).await.unwrap();
        let passed = engine::tick(&world.app).await.unwrap();
        assert_eq!((passed.renewed, passed.alerts), (0, 1), "a reminder, and no attempt");
        assert_eq!(steps(&world, StepKind::AutoRenew).await, [("AUTO_RENEW:-7".to_owned(), StepStatus::Missed)]);
        // Down at the end itself: the attempt of that day comes first, up to a day late.
        world.app.set_clock(at("2023-04-06T23:00:00+07:00")).await.unwrap();
        let mut renewed = 0;
        loop {
            let passed = engine::tick(&world.app).await.unwrap();
            renewed += passed.renewed;
            if !passed.more {
                break;
            }
        }
        assert_eq!(renewed, 1);
        let expected = [(-7, StepStatus::Missed), (-4, StepStatus::Missed), (-1, StepStatus::Missed), (0, StepStatus::Sent)];
        assert_eq!(steps(&world, StepKind::AutoRenew).await, expected.map(|(day, status)| (format!("AUTO_RENEW:{day}"), status)));
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-05-05T17:00"));
        assert_eq!(cash(&world).await, "638000");
        world.books_agree().await;
    }

    async fn two_engines_renew_once(world: World) {
        world.grant("CASH", "10000000").await;
        let mut many = renewed_by_itself(server("s-general-1x1"));
        many["quantity"] = json!(8);
        world.buy(many).await;
        for _ in 0..8 {
            world.provision().await;
        }
        let other = world.another(100).await;
        world.app.set_clock(at("2023-03-29T08:10:00+07:00")).await.unwrap();
        other.follow_clock().await.unwrap();
        let mut renewed = 0;
        while renewed < 8 {
            let (one, two) = tokio::join!(engine::tick(&world.app), engine::tick(&other));
            renewed += one.unwrap().renewed + two.unwrap().renewed;
        }
        assert_eq!(renewed, 8);
        assert_eq!(cash(&world).await, (10_000_000 - 16 * 181_000).to_string());
        assert_eq!(told(&world, EventType::ResourceRenewed).await, 8);
        world.books_agree().await;
    }

    async fn the_trash_policy_tries_once_and_a_locked_product_always(world: World) {
        world.grant("CASH", "420000").await;
        world.buy(renewed_by_itself(project())).await;
        world.buy(json!({ "product": "vmonitor", "resourceType": "log-quota", "term": { "months": 1 }, "name": "logs",
            "components": [{ "code": "log-10gb", "quantity": 1 }] })).await;
        let all = resources(&world).await;
        assert_eq!(all[1]["autoRenew"], json!(true), "nobody asked for it: the product demands it");
        let off = set_auto_renew(&world, json!({ "resourceIds": [all[0]["id"], all[1]["id"]], "enabled": false })).await;
        assert_eq!(off["results"][0]["resource"]["autoRenew"], json!(false));
        let refusal = &off["results"][1]["userErrors"][0];
        assert_eq!((&refusal["code"], &refusal["path"]), (&json!("STATE_CONFLICT"), &json!(["resourceIds", "1"])));
        assert!(text(&refusal["message"]).contains("always renewed"), "{refusal}");
        set_auto_renew(&world, json!({ "resourceIds": [all[0]["id"]], "enabled": true })).await;
        let passed = world.advance("2023-04-02T08:30:00+07:00").await;
        // 150,000 are left: the project and the quota end within a minute, the sooner end comes first.
        assert_eq!(passed.renewed, 1);
        let failed = failures(&world).await;
        assert_eq!(failed.iter().map(|(step, ..)| step.as_str()).collect::<Vec<_>>(), ["AUTO_RENEW:-3"]);
        assert_eq!(told(&world, EventType::AutoRenewStopped).await, 0);
        world.advance("2023-04-07T00:00:00+07:00").await;
        let all = resources(&world).await;
        assert_eq!((stands(&all[0]).0.as_str(), stands(&all[1]).0.as_str()), ("ACTIVE", "SUSPENDED"));
        assert_eq!(all[1]["autoRenew"], json!(true));
        world.books_agree().await;
    }

    async fn switched_on_late_only_later_attempts_are_made_by_its_own_term(world: World) {
        world.grant("CASH", "3000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let bought = resources(&world).await.remove(0);
        world.advance("2023-04-03T00:00:00+07:00").await;
        let on = set_auto_renew(&world, json!({ "resourceIds": [bought["id"]], "enabled": true, "months": 3 })).await;
        assert_eq!(on["results"][0]["resource"], json!({ "autoRenew": true, "autoRenewMonths": 3 }));
        let off = set_auto_renew(&world, json!({ "resourceIds": [bought["id"]], "enabled": false })).await;
        assert_eq!(off["results"][0]["resource"], json!({ "autoRenew": false, "autoRenewMonths": 3 }));
        assert_eq!(world.advance("2023-04-04T08:30:00+07:00").await.renewed, 0);
        set_auto_renew(&world, json!({ "resourceIds": [bought["id"]], "enabled": true })).await;
        let quiet = world.advance("2023-04-05T07:00:00+07:00").await;
        assert_eq!((quiet.renewed, quiet.alerts), (0, 1), "the attempt of the day before has passed");
        assert_eq!(world.advance("2023-04-05T08:30:00+07:00").await.renewed, 1);
        assert_eq!(stands(&resources(&world).await[0]), standing("ACTIVE", "2023-07-05T17:00"));
        assert_eq!(told(&world, EventType::ResourceChanged).await, 3);
        world.books_agree().await;
    }

    async fn each_resource_has_its_own_result_and_the_whole_has_its_rules(world: World) {
        world.grant("CASH", "3000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let bought = resources(&world).await.remove(0);
        let nobody = json!("AAAAAAAAAAAAAAAAAAAAAAA");
        let some = set_auto_renew(&world, json!({ "resourceIds": [nobody, bought["id"]], "enabled": true })).await;
        assert_eq!((&some["results"][0]["userErrors"][0]["code"], &some["results"][0]["resource"]), (&json!("RESOURCE_NOT_FOUND"), &Value::Null));
        assert_eq!((&some["results"][1]["userErrors"], &some["results"][1]["resource"]["autoRenew"]), (&json!([]), &json!(true)));
        for (input, code, path) in [
            (json!({ "resourceIds": [], "enabled": true }), "NOTHING_TO_BUY", json!(["resourceIds"])),
            (json!({ "resourceIds": vec![&bought["id"]; 101], "enabled": true }), "TOO_MANY_ITEMS", json!(["resourceIds"])),
            (json!({ "resourceIds": [bought["id"], bought["id"]], "enabled": true }), "DUPLICATE_RESOURCE", json!(["resourceIds", "1"])),
            (json!({ "resourceIds": [bought["id"]], "enabled": true, "months": 0 }), "INVALID_TERM", json!(["months"])),
            (json!({ "resourceIds": [bought["id"]], "enabled": true, "months": 121 }), "INVALID_TERM", json!(["months"])),
        ] {
            let refused = set_auto_renew(&world, input).await;
            assert_eq!(refused["userErrors"], json!([{ "code": code, "path": path }]));
            assert_eq!(refused["results"], json!([]));
        }
        // Of what was given up nothing is renewed.
        let quote = world.done(&world.token(Role::Owner), "createQuote", json!({ "items": [{ "delete": { "resourceId": bought["id"] } }] })).await["quote"].take();
        world.done(&world.token(Role::Owner), "placeOrder", json!({ "quoteId": quote["id"], "idempotencyKey": "gone" })).await;
        let trashed = set_auto_renew(&world, json!({ "resourceIds": [bought["id"]], "enabled": false })).await;
        let refusal = &trashed["results"][0]["userErrors"][0];
        assert_eq!((&refusal["code"], &refusal["state"], &refusal["allowed"]), (&json!("STATE_CONFLICT"), &json!("TRASHED"), &json!(["RECOVER"])));
        assert_eq!(world.advance("2023-04-12T08:30:00+07:00").await.renewed, 0);
    }
}
