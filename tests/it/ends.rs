//! What stands in the way of an end: an order that is being carried out, and time that is paid for still.

use billing_gateway::engine;
use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::{World, at, on_every_store, server, text};

const QUOTE: &str = "mutation($input: CreateQuoteInput!) { createQuote(input: $input) { quote { id due { amount } }
    userErrors { code } } }";

async fn resource(world: &World) -> Value {
    let resources = "{ resources(first: 2) { nodes { id status expiresAt } } }";
    let mut data = world.data(&world.token(Role::Owner), resources, json!({})).await;
    data["resources"]["nodes"][0].take()
}

async fn status(world: &World) -> String {
    text(&resource(world).await["status"])
}

async fn asked(world: &World, item: Value) -> Value {
    let input = json!({ "input": { "items": [item] } });
    let mut data = world.data(&world.token(Role::Owner), QUOTE, input).await;
    data["createQuote"].take()
}

/// The service of the product reports the one thing it was asked to do.
async fn reported(world: &World) {
    let token = world.token(Role::Product);
    let data = world
        .data(&token, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({}))
        .await;
    let input = json!({ "taskId": data["provisioningTasks"]["nodes"][0]["id"], "outcome": { "succeeded": { "externalId": "i-2x4" } } });
    world.done(&token, "reportProvisioning", input).await;
}

async fn releases_foreseen(world: &World, until: &str) -> Vec<String> {
    let forecast = "query($until: DateTime!) { forecast(until: $until) { events(first: 50) { nodes { at type } } } }";
    let data = world
        .data(&world.token(Role::Owner), forecast, json!({ "until": until }))
        .await;
    let events = data["forecast"]["events"]["nodes"].as_array().unwrap().iter();
    events
        .filter(|event| event["type"] == "RESOURCE_RELEASED")
        .map(|event| text(&event["at"])[..16].to_owned())
        .collect()
}

on_every_store! {
    async fn what_is_given_up_is_released_after_its_days_though_it_is_paid_for(world: World) {
        world.grant("CASH", "5000000").await;
        world.buy(json!({ "product": "vmonitor", "resourceType": "log-quota", "term": { "months": 3 }, "name": "logs",
            "components": [{ "code": "log-10gb", "quantity": 1 }] })).await;
        world.advance("2023-03-10T00:00:00+07:00").await;
        let bought = resource(&world).await;
        world.order(json!({ "delete": { "resourceId": bought["id"] } })).await;
        let given_up = resource(&world).await;
        assert_eq!(given_up["status"], "TRASHED");
        assert_eq!(given_up["expiresAt"], bought["expiresAt"], "nothing was given back for it");
        // The notice has been sent, and the days are not over.
        world.advance("2023-03-15T00:00:00+07:00").await;
        assert_eq!(releases_foreseen(&world, "2023-07-01T00:00:00+07:00").await, ["2023-03-16T17:00"]);
        world.advance("2023-03-16T12:00:00+07:00").await;
        assert_eq!(status(&world).await, "TRASHED");
        world.advance("2023-03-17T01:00:00+07:00").await;
        assert_eq!(status(&world).await, "DELETED");
    }

    async fn nothing_comes_back_for_what_has_ended_since_it_was_quoted(world: World) {
        world.grant("CASH", "1000000").await;
        world.app.clock.stand_at(at("2023-03-06T00:00:00+07:00"));
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        world.app.clock.stand_at(at("2023-04-05T23:55:00+07:00"));
        let id = resource(&world).await["id"].clone();
        let deletion = json!({ "items": [{ "delete": { "resourceId": id } }] });
        let owner = world.token(Role::Owner);
        let ordering = async || {
            let quote = world.done(&owner, "createQuote", deletion.clone()).await["quote"]["id"].take();
            json!({ "quoteId": quote, "payment": null, "idempotencyKey": quote })
        };
        let quoted = ordering().await;
        // The engine has not looked yet: it is ACTIVE still.
        world.app.clock.stand_at(at("2023-04-06T00:01:00+07:00"));
        assert_eq!(world.refused(&owner, "placeOrder", quoted).await, "QUOTE_STALE");
        assert_eq!(status(&world).await, "ACTIVE");
        world.done(&owner, "placeOrder", ordering().await).await;
        assert_eq!(status(&world).await, "TRASHED");
        let wallet = world.data(&owner, "{ wallet { cash { amount } } }", json!({})).await;
        assert_eq!(wallet["wallet"]["cash"]["amount"], "819000");
    }

    async fn nothing_is_taken_from_what_its_customer_may_not_renew(world: World) {
        world.grant("CASH", "5000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        world.advance("2023-04-03T12:00:00+07:00").await;
        let id = resource(&world).await["id"].clone();
        world.order(json!({ "resize": { "resourceId": id, "components": [{ "code": "s-general-2x4", "quantity": 1 }] } })).await;
        // Its product says nothing for two months, and the customer may not renew it all that time.
        for day in ["2023-04-22", "2023-05-04", "2023-05-07", "2023-06-06"] {
            world.app.clock.stand_at(at(&format!("{day}T12:00:00+07:00")));
            engine::tick(&world.app).await.unwrap();
            assert_eq!(status(&world).await, "GRACE", "{day}");
            let renewal = asked(&world, json!({ "renew": { "resourceId": id, "term": { "months": 3 } } })).await;
            assert_eq!(renewal["userErrors"][0]["code"], "STATE_CONFLICT");
        }
        assert_eq!(releases_foreseen(&world, "2024-04-01T00:00:00+07:00").await, Vec::<String>::new());
        reported(&world).await;
        // The notice is still to come, and three days behind it.
        world.advance("2023-06-06T14:00:00+07:00").await;
        assert_eq!(status(&world).await, "SUSPENDED");
        world.advance("2023-06-09T12:00:00+07:00").await;
        assert_eq!(status(&world).await, "SUSPENDED");
        world.order(json!({ "renew": { "resourceId": id, "term": { "months": 3 } } })).await;
        assert_eq!(status(&world).await, "ACTIVE");
        world.books_agree().await;
    }
}
