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
}
