//! Expiry: what the engine does as time passes, and how it is told.

use entity::enums::Role;
use serde_json::json;

use crate::support::socket::Socket;
use crate::support::{World, on_every_store, project, server, text};

const SUBSCRIBE: &str = "subscription($after: EventCursor) { expiryAlerts(after: $after) {
    cursor replayed alert { step daysLeft expiresAt } } }";

async fn steps(world: &World) -> Vec<String> {
    let data = world
        .data(
            &world.token(Role::Owner),
            "{ expiryAlerts(first: 100) { nodes { step } } }",
            json!({}),
        )
        .await;
    let mut steps: Vec<String> = data["expiryAlerts"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| text(&alert["step"]))
        .collect();
    steps.reverse();
    steps
}

async fn status(world: &World) -> String {
    let data = world
        .data(
            &world.token(Role::Owner),
            "{ resources(first: 1) { nodes { status } } }",
            json!({}),
        )
        .await;
    text(&data["resources"]["nodes"][0]["status"])
}

on_every_store! {
    async fn an_alert_arrives_on_an_open_socket_when_it_happens(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let mut socket = Socket::open(&world.ws_url(), &world.token(Role::Owner)).await;
        socket.subscribe("1", SUBSCRIBE, json!({})).await;
        socket.send(json!({ "type": "ping" })).await;
        socket.expect("pong").await;
        world.advance("2023-03-30T00:01:00+07:00").await;
        let told = socket.data().await["expiryAlerts"].take();
        assert_eq!((text(&told["alert"]["step"]), told["alert"]["daysLeft"].clone()), ("REMINDER:-7".into(), json!(7)));
        assert_eq!(told["replayed"], false);
    }

    async fn a_dropped_socket_resumes_with_each_alert_once_in_order_across_a_restart(world: World) {
        world.grant("CASH", "181000").await;
        let cursor = world.data(&world.token(Role::Owner), "{ account { eventCursor } }", json!({})).await;
        let mut after = text(&cursor["account"]["eventCursor"]);
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let mut seen = Vec::new();
        for day in 30..=36 {
            let date = if day <= 31 { format!("2023-03-{day}") } else { format!("2023-04-{:02}", day - 31) };
            world.advance(&format!("{date}T00:01:00+07:00")).await;
            if day == 33 {
                world.restart().await;
            }
            // Each socket takes two alerts at most and is dropped: what is left comes to the next one.
            let mut socket = Socket::open(&world.ws_url(), &world.token(Role::Owner)).await;
            socket.subscribe("1", SUBSCRIBE, json!({ "after": after })).await;
            let told = socket.data().await["expiryAlerts"].take();
            after = text(&told["cursor"]);
            seen.push(text(&told["alert"]["step"]));
        }
        assert_eq!(seen, ["REMINDER:-7", "REMINDER:-6", "REMINDER:-5", "REMINDER:-4", "REMINDER:-3", "REMINDER:-2", "REMINDER:-1"]);
        let mut socket = Socket::open(&world.ws_url(), &world.token(Role::Owner)).await;
        socket.subscribe("1", SUBSCRIBE, json!({ "after": "A".repeat(32) })).await;
        let refused = socket.expect("error").await;
        assert_eq!(refused["payload"][0]["extensions"]["code"], "CURSOR_EXPIRED", "{refused}");
    }

    async fn the_standard_policy_goes_through_grace_and_suspension_to_release(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        for (until, expected) in [
            ("2023-04-05T23:59:00+07:00", "ACTIVE"),
            ("2023-04-06T00:01:00+07:00", "GRACE"),
            ("2023-04-20T23:59:00+07:00", "GRACE"),
            ("2023-04-21T00:01:00+07:00", "SUSPENDED"),
            ("2023-05-05T23:59:00+07:00", "SUSPENDED"),
            ("2023-05-06T00:01:00+07:00", "DELETED"),
        ] {
            world.advance(until).await;
            assert_eq!(status(&world).await, expected, "{until}");
        }
        let told = steps(&world).await;
        assert_eq!(told.first().unwrap(), "REMINDER:-7");
        assert_eq!(told.last().unwrap(), "RELEASE:30");
        for step in ["EXPIRE:0", "SUSPEND:15", "FINAL_NOTICE:27"] {
            assert_eq!(told.iter().filter(|told| *told == step).count(), 1, "{step}");
        }
    }

    async fn the_trash_policy_reminds_once_and_suspends_at_the_end(world: World) {
        world.grant("CASH", "150000").await;
        world.buy(project()).await;
        world.advance("2023-04-06T00:01:00+07:00").await;
        assert_eq!(status(&world).await, "SUSPENDED");
        world.advance("2023-05-01T00:00:00+07:00").await;
        assert_eq!(steps(&world).await, ["REMINDER:-7", "EXPIRE:0", "FINAL_NOTICE:4", "RELEASE:7"]);
        assert_eq!(status(&world).await, "DELETED");
    }

    async fn an_engine_that_was_away_for_forty_days_destroys_nothing(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        world.advance("2023-04-06T00:01:00+07:00").await;
        // Forty days without a pass, past the planned release.
        world.app.set_clock(crate::support::at("2023-05-16T00:01:00+07:00")).await.unwrap();
        billing_gateway::engine::tick(&world.app).await.unwrap();
        assert_eq!(status(&world).await, "SUSPENDED", "the states catch up, but the notice comes first");
        world.advance("2023-05-25T00:00:00+07:00").await;
        assert_eq!(status(&world).await, "SUSPENDED", "the time we were away extends the grace");
        world.advance("2023-06-20T00:00:00+07:00").await;
        assert_eq!(status(&world).await, "DELETED");
    }

    async fn a_pass_that_is_made_twice_tells_once(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        world.app.set_clock(crate::support::at("2023-03-31T00:01:00+07:00")).await.unwrap();
        for _ in 0..3 {
            billing_gateway::engine::tick(&world.app).await.unwrap();
        }
        assert_eq!(steps(&world).await, ["REMINDER:-6"], "of two that are due at once, the last is told");
    }

    async fn an_alert_says_what_renewing_costs_as_things_stand_and_whether_it_will_be_tried(world: World) {
        let alerts = "{ expiryAlerts(first: 1) { nodes { step daysLeft renewal { months price { amount } refusal nextAttemptAt sufficientCredit shortfall { amount } } } } }";
        world.grant("CASH", "281000").await;
        let mut create = server("s-general-1x1");
        create["autoRenew"] = json!(true);
        world.buy(create).await;
        world.provision().await;
        world.advance("2023-03-30T00:01:00+07:00").await;
        let owner = world.token(Role::Owner);
        let newest = world.data(&owner, alerts, json!({})).await["expiryAlerts"]["nodes"][0].take();
        assert_eq!((&newest["step"], &newest["daysLeft"]), (&json!("REMINDER:-7"), &json!(7)));
        assert_eq!(newest["renewal"], json!({ "months": 1, "price": { "amount": "181000" }, "refusal": null,
            "nextAttemptAt": "2023-04-01T01:00:00Z", "sufficientCredit": false, "shortfall": { "amount": "81000" } }));
        world.grant("PROMOTIONAL", "81000").await;
        let newest = world.data(&owner, alerts, json!({})).await["expiryAlerts"]["nodes"][0].take();
        assert_eq!((&newest["renewal"]["sufficientCredit"], &newest["renewal"]["shortfall"]["amount"]), (&json!(true), &json!("0")));
        // Who may not see the balance is not told whether it suffices.
        let mut hidden = world.ask(&world.token_without("GetUserBalance"), alerts, json!({})).await;
        let renewal = hidden["data"]["expiryAlerts"]["nodes"][0]["renewal"].take();
        assert_eq!((&renewal["price"]["amount"], &renewal["sufficientCredit"], &renewal["shortfall"]), (&json!("181000"), &json!(null), &json!(null)));
        assert_eq!(hidden["errors"].as_array().unwrap().len(), 2, "{hidden}");
        // What can't be renewed says why, and what is gone says nothing.
        let resource = "{ resources(first: 1) { nodes { id renewal { price { amount } refusal nextAttemptAt sufficientCredit } } } }";
        let id = world.data(&owner, resource, json!({})).await["resources"]["nodes"][0]["id"].take();
        let quote = world.done(&owner, "createQuote", json!({ "items": [{ "delete": { "resourceId": id } }] })).await["quote"].take();
        world.done(&owner, "placeOrder", json!({ "quoteId": quote["id"], "idempotencyKey": "gone" })).await;
        let trashed = world.data(&owner, resource, json!({})).await["resources"]["nodes"][0]["renewal"].take();
        assert_eq!(trashed, json!({ "price": null, "refusal": "STATE_CONFLICT", "nextAttemptAt": null, "sufficientCredit": null }));
        world.advance("2023-04-30T00:00:00+07:00").await;
        assert_eq!(world.data(&owner, resource, json!({})).await["resources"]["nodes"][0]["renewal"], json!(null));
    }

    async fn alerts_are_acknowledged_all_or_none_once(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        world.advance("2023-04-01T00:01:00+07:00").await;
        let owner = world.token(Role::Owner);
        let listed = "query($seen: Boolean) { expiryAlerts(first: 10, acknowledged: $seen) { nodes { id acknowledgedAt acknowledgedBy } } }";
        let all = world.data(&owner, listed, json!({})).await["expiryAlerts"]["nodes"].take();
        let ids: Vec<_> = all.as_array().unwrap().iter().map(|alert| alert["id"].clone()).collect();
        assert_eq!(ids.len(), 3);
        let acknowledge = "mutation($input: AcknowledgeAlertsInput!) { acknowledgeAlerts(input: $input) {
            alerts { id acknowledgedAt acknowledgedBy } userErrors { code path } } }";
        let strange = json!({ "input": { "alertIds": [ids[0], "AAAAAAAAAAAAAAAAAAAAAAA"] } });
        let refused = world.data(&owner, acknowledge, strange).await;
        assert_eq!(refused["acknowledgeAlerts"]["userErrors"], json!([{ "code": "ALERT_NOT_FOUND", "path": ["alertIds", "1"] }]));
        let none = world.data(&owner, listed, json!({ "seen": true })).await;
        assert_eq!(none["expiryAlerts"]["nodes"], json!([]));
        let first = world.data(&owner, acknowledge, json!({ "input": { "alertIds": [ids[1]] } })).await["acknowledgeAlerts"]["alerts"].take();
        assert!(first[0]["acknowledgedBy"].is_string() && first[0]["acknowledgedAt"].is_string(), "{first}");
        let both = world.data(&owner, acknowledge, json!({ "input": { "alertIds": [ids[0], ids[1]] } })).await["acknowledgeAlerts"]["alerts"].take();
        assert_eq!(both[1], first[0], "whoever saw it first saw it");
        let left = world.data(&owner, listed, json!({ "seen": false })).await;
        assert_eq!(left["expiryAlerts"]["nodes"].as_array().unwrap().len(), 1);
        let other = world.token_of(Role::Owner, world.other_account);
        let refused = world.data(&other, acknowledge, json!({ "input": { "alertIds": [ids[2]] } })).await;
        assert_eq!(refused["acknowledgeAlerts"]["userErrors"][0]["code"], "ALERT_NOT_FOUND");
    }

    async fn who_was_away_for_a_week_is_told_everything_in_order_and_then_live(world: World) {
        world.grant("CASH", "262000").await;
        let owner = world.token(Role::Owner);
        let mut create = server("s-general-1x1");
        create["autoRenew"] = json!(true);
        world.buy(create).await;
        world.provision().await;
        world.advance("2023-03-29T00:01:00+07:00").await;
        let cursor = world.data(&owner, "{ account { eventCursor } }", json!({})).await;
        world.advance("2023-04-04T09:00:00+07:00").await;
        let mut socket = Socket::open(&world.ws_url(), &owner).await;
        let events = "subscription($after: EventCursor) { accountEvents(after: $after) { cursor type replayed alert { step shortfall { amount } } } }";
        socket.subscribe("1", events, json!({ "after": cursor["account"]["eventCursor"] })).await;
        let mut told = Vec::new();
        for _ in 0..9 {
            let event = socket.data().await["accountEvents"].take();
            assert_eq!(event["replayed"], true);
            told.push((text(&event["type"]), text(&event["alert"]["step"])));
        }
        let expected = [("RENEWAL_FAILED", "AUTO_RENEW:-7"), ("EXPIRY_REMINDER", "REMINDER:-7"), ("EXPIRY_REMINDER", "REMINDER:-6"),
            ("EXPIRY_REMINDER", "REMINDER:-5"), ("RENEWAL_FAILED", "AUTO_RENEW:-4"), ("EXPIRY_REMINDER", "REMINDER:-4"),
            ("EXPIRY_REMINDER", "REMINDER:-3"), ("EXPIRY_REMINDER", "REMINDER:-2"), ("RENEWAL_FAILED", "AUTO_RENEW:-1")];
        assert_eq!(told, expected.map(|(kind, step)| (kind.to_owned(), step.to_owned())));
        world.grant("CASH", "100000").await;
        let live = socket.data().await["accountEvents"].take();
        assert_eq!((&live["type"], &live["replayed"]), (&json!("WALLET_CREDITED"), &json!(false)));
        world.advance("2023-04-05T09:00:00+07:00").await;
        for kind in ["EXPIRY_REMINDER", "ORDER_PAID", "PAYMENT_SUCCEEDED", "RESOURCE_RENEWED", "INVOICE_ISSUED", "ORDER_COMPLETED"] {
            assert_eq!(socket.data().await["accountEvents"]["type"], kind);
        }
    }

    async fn a_developer_sees_time_pass_and_is_told_on_the_way(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let mut socket = Socket::open(&world.ws_url(), &world.token(Role::Owner)).await;
        socket.subscribe("1", SUBSCRIBE, json!({})).await;
        socket.send(json!({ "type": "ping" })).await;
        socket.expect("pong").await;
        let advance = "mutation($input: AdvanceClockInput!) { advanceClock(input: $input) { now finished steps alerts renewed userErrors { code path } } }";
        let operator = world.token(Role::Operator);
        let moved = world.data(&operator, advance, json!({ "input": { "until": "2024-03-06T00:00:00Z" } })).await["advanceClock"].take();
        assert_eq!((&moved["now"], &moved["finished"], &moved["userErrors"]), (&json!("2024-03-06T00:00:00Z"), &json!(true), &json!([])));
        assert_eq!(moved["alerts"], 41, "37 reminders, the end, the suspension, the final notice, the release");
        assert_eq!(socket.data().await["expiryAlerts"]["alert"]["step"], "REMINDER:-7");
        for until in ["2024-03-05T00:00:00Z", "2034-03-20T00:00:00Z"] {
            let refused = world.data(&operator, advance, json!({ "input": { "until": until } })).await["advanceClock"].take();
            assert_eq!(refused["userErrors"], json!([{ "code": "INVALID_INSTANT", "path": ["until"] }]));
        }
    }
}
