//! What customers change of their resources without paying: the switch and the tags.

use entity::enums::{EventType, Role};
use entity::{account_event, invoice};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::{Value, json};

use crate::support::{World, on_every_store, server, text};

async fn only(world: &World) -> Value {
    let query = "{ resources(first: 1) { nodes { id status power tags { key value kind } } } }";
    let mut data = world.data(&world.token(Role::Owner), query, json!({})).await;
    data["resources"]["nodes"][0].take()
}

async fn switch(world: &World, name: &str, resource: &Value) -> Value {
    let query = format!(
        "mutation($input: SwitchResourceInput!) {{ {name}(input: $input) {{ resource {{ status power }}
            userErrors {{ code path ... on StateError {{ state allowed }} }} }} }}"
    );
    let input = json!({ "input": { "resourceId": resource } });
    let mut data = world.data(&world.token(Role::Owner), &query, input).await;
    data[name].take()
}

async fn tag(world: &World, input: Value) -> Value {
    let query = "mutation($input: TagResourcesInput!) { tagResources(input: $input) {
        results { resource { tags { key value } } userErrors { code path message } } userErrors { code path } } }";
    let mut data = world
        .data(&world.token(Role::Owner), query, json!({ "input": input }))
        .await;
    data["tagResources"].take()
}

async fn told(world: &World, kinds: &[EventType]) -> Vec<EventType> {
    let events = account_event::Entity::find()
        .filter(account_event::Column::Kind.is_in(kinds.iter().copied()))
        .order_by_asc(account_event::Column::Sequence);
    let events = events.all(world.app.db.read()).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

async fn changes(world: &World) -> usize {
    told(world, &[EventType::ResourceChanged]).await.len()
}

const SWITCHED: &[EventType] = &[
    EventType::ResourceStopped,
    EventType::ResourceStarted,
    EventType::ResourceRebooted,
];

on_every_store! {
    async fn a_resource_is_stopped_started_and_rebooted_and_a_wrong_switch_says_what_is_allowed(world: World) {
        world.grant("CASH", "1000000").await;
        world.buy(server("s-general-1x1")).await;
        let id = only(&world).await["id"].take();
        let refused = switch(&world, "stopResource", &id).await;
        assert_eq!(refused["userErrors"][0]["code"], "STATE_CONFLICT");
        assert_eq!(refused["userErrors"][0]["state"], "PROVISIONING");
        world.provision().await;
        let started = switch(&world, "startResource", &id).await;
        assert_eq!((&started["userErrors"][0]["code"], &started["userErrors"][0]["path"]), (&json!("STATE_CONFLICT"), &json!(["resourceId"])));
        assert_eq!(switch(&world, "rebootResource", &id).await["resource"], json!({ "status": "ACTIVE", "power": "RUNNING" }));
        assert_eq!(switch(&world, "stopResource", &id).await["resource"], json!({ "status": "STOPPED", "power": "STOPPED" }));
        for wrong in ["stopResource", "rebootResource"] {
            let refused = switch(&world, wrong, &id).await;
            assert_eq!(refused["resource"], Value::Null);
            let allowed = refused["userErrors"][0]["allowed"].as_array().unwrap().clone();
            assert!(allowed.contains(&json!("START")) && !allowed.contains(&json!("STOP")), "{refused}");
        }
        assert_eq!(told(&world, SWITCHED).await, [EventType::ResourceRebooted, EventType::ResourceStopped]);
        // It ends as it would have, and what is off stays off.
        world.advance("2023-04-07T00:00:00+07:00").await;
        let ended = only(&world).await;
        assert_eq!((&ended["status"], &ended["power"]), (&json!("GRACE"), &json!("STOPPED")));
        let nobody = switch(&world, "stopResource", &json!("AAAAAAAAAAAAAAAAAAAAAAA")).await;
        assert_eq!(nobody["userErrors"][0]["code"], "RESOURCE_NOT_FOUND");
    }

    async fn of_two_who_stop_it_at_once_one_is_told(world: World) {
        world.grant("CASH", "1000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let id = only(&world).await["id"].take();
        let (one, two) = tokio::join!(switch(&world, "stopResource", &id), switch(&world, "stopResource", &id));
        let codes = [one, two].map(|payload| payload["userErrors"][0]["code"].clone());
        assert!(codes.contains(&Value::Null) && codes.contains(&json!("STATE_CONFLICT")), "{codes:?}");
        assert_eq!(told(&world, SWITCHED).await, [EventType::ResourceStopped]);
    }

    async fn tags_are_written_over_and_removed_and_the_systems_own_stay(world: World) {
        world.grant("CASH", "1000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let id = only(&world).await["id"].take();
        let two = json!([{ "key": "team", "value": "web" }, { "key": " stage ", "value": "prod" }]);
        let done = tag(&world, json!({ "resourceIds": [id], "set": two })).await;
        let tags = done["results"][0]["resource"]["tags"].as_array().unwrap().clone();
        assert_eq!(tags.iter().map(|tag| text(&tag["key"])).collect::<Vec<_>>(), ["created-by", "stage", "team"]);
        tag(&world, json!({ "resourceIds": [id], "set": [{ "key": "team", "value": "api" }], "remove": ["stage", "nothing"] })).await;
        let kept: Vec<_> = only(&world).await["tags"].as_array().unwrap().iter().map(|tag| (text(&tag["key"]), text(&tag["kind"]))).collect();
        assert_eq!(kept, [("created-by".to_owned(), "SYSTEM".to_owned()), ("team".to_owned(), "CUSTOMER".to_owned())]);
        assert_eq!(changes(&world).await, 2);
        // Written again it changes nothing, and tells nothing.
        tag(&world, json!({ "resourceIds": [id], "set": [{ "key": "team", "value": "api" }] })).await;
        assert_eq!(changes(&world).await, 2);
        for input in [json!({ "set": [{ "key": "created-by", "value": "me" }] }), json!({ "remove": ["created-by"] })] {
            let mut input = input;
            input["resourceIds"] = json!([id]);
            let refused = tag(&world, input).await;
            let error = &refused["results"][0]["userErrors"][0];
            assert_eq!((&error["code"], &error["path"]), (&json!("SYSTEM_TAG"), &json!(["resourceIds", "0"])));
        }
        let many: Vec<_> = (0..49).map(|place| json!({ "key": format!("k{place}"), "value": "v" })).collect();
        let refused = tag(&world, json!({ "resourceIds": [id], "set": many })).await;
        assert_eq!(refused["results"][0]["userErrors"][0]["code"], "LIMIT_EXCEEDED");
        for (input, code, path) in [
            (json!({}), "NOTHING_TO_BUY", json!(["set"])),
            (json!({ "set": [{ "key": "", "value": "v" }] }), "INVALID_TEXT", json!(["set", "0", "key"])),
            (json!({ "set": [{ "key": "k", "value": "a\nb" }] }), "INVALID_TEXT", json!(["set", "0", "value"])),
            (json!({ "set": [{ "key": "k", "value": "a" }, { "key": "k ", "value": "b" }] }), "INVALID_TEXT", json!(["set", "1", "key"])),
            (json!({ "set": [{ "key": "k", "value": "a" }], "remove": ["k"] }), "INVALID_TEXT", json!(["remove", "0"])),
        ] {
            let mut input = input;
            input["resourceIds"] = json!([id]);
            let refused = tag(&world, input).await;
            assert_eq!(refused["userErrors"], json!([{ "code": code, "path": path }]), "{refused}");
        }
        // An invoice keeps the tags as they were: the next one has the new ones.
        let quote = world.done(&world.token(Role::Owner), "createQuote", json!({ "items": [{ "renew": { "resourceId": id, "term": { "months": 1 } } }] })).await["quote"].take();
        world.done(&world.token(Role::Owner), "placeOrder", json!({ "quoteId": quote["id"], "payment": { "credit": true }, "idempotencyKey": "more" })).await;
        let invoices = invoice::Entity::find().order_by_asc(invoice::Column::IssuedAt).all(world.app.db.read()).await.unwrap();
        assert_eq!(invoices.iter().map(|invoice| invoice.tags.get("team").cloned()).collect::<Vec<_>>(), [None, Some(json!("api"))]);
    }
}
