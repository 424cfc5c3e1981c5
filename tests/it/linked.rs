//! Linked accounts: confirmed once at the gateway, charged without their owner, and topping up by themselves.

use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::{World, at, execute, on_every_store, server, text};

fn key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The reference of the page that somebody was sent to.
fn reference(begun: &Value) -> String {
    let url = text(&begun["nextAction"]["url"]);
    url.rsplit('/').next().unwrap().to_owned()
}

async fn press(world: &World, begun: &Value, press: &str) {
    world.press(&format!("checkouts/{}", reference(begun)), press).await;
}

async fn begin(world: &World) -> Value {
    let input = json!({ "gateway": "SANDBOX", "returnUrl": "https://console.test/cards", "idempotencyKey": key() });
    world.done(&world.token(Role::Owner), "linkPaymentMethod", input).await
}

/// Links an account whose charges end so, and answers its id.
async fn link(world: &World, how: &str) -> String {
    let begun = begin(world).await;
    press(world, &begun, how).await;
    text(&begun["paymentMethod"]["id"])
}

async fn methods(world: &World) -> Value {
    let query = "{ paymentMethods { id label status isDefault gateway nextAction { ... on RedirectAction { url } } } }";
    world.data(&world.token(Role::Owner), query, json!({})).await["paymentMethods"].take()
}

async fn method(world: &World, id: &str) -> Value {
    let query =
        "query($id: ID!) { node(id: $id) { ... on SavedPaymentMethod { status isDefault detail linkedAt endedAt } } }";
    world.data(&world.token(Role::Owner), query, json!({ "id": id })).await["node"].take()
}

async fn order_by(world: &World, payment: Value) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": payment, "idempotencyKey": key() });
    world.act(&world.token(Role::Owner), "placeOrder", input).await
}

async fn cash(world: &World) -> String {
    let data = world
        .data(&world.token(Role::Owner), "{ wallet { cash { amount } } }", json!({}))
        .await;
    text(&data["wallet"]["cash"]["amount"])
}

async fn payments(world: &World) -> Vec<(String, String)> {
    let query = "{ payments(first: 50) { nodes { status details } } }";
    let data = world.data(&world.token(Role::Owner), query, json!({})).await;
    let nodes = data["payments"]["nodes"].as_array().unwrap().clone();
    nodes
        .iter()
        .rev()
        .map(|node| (text(&node["details"]), text(&node["status"])))
        .collect()
}

async fn auto(world: &World) -> Value {
    let query = "{ autoTopUp { isOn below { amount } amount { amount } monthlyLimit { amount } stoppedBecause paymentMethod { id } } }";
    world.data(&world.token(Role::Owner), query, json!({})).await["autoTopUp"].take()
}

fn below(amount: &str, limit: &str) -> Value {
    json!({ "isOn": true, "below": "50000", "amount": amount, "monthlyLimit": limit })
}

on_every_store! {
    async fn an_account_is_linked_when_its_owner_has_confirmed_it_and_pays_without_them(world: World) {
        let owner = world.token(Role::Owner);
        let input = json!({ "gateway": "SANDBOX", "returnUrl": "https://console.test/cards", "idempotencyKey": "link" });
        let begun = world.done(&owner, "linkPaymentMethod", input.clone()).await;
        assert_eq!(begun["paymentMethod"]["status"], "PENDING");
        let again = world.done(&owner, "linkPaymentMethod", input).await;
        assert_eq!((again["replayed"].clone(), again["nextAction"].clone()), (json!(true), begun["nextAction"].clone()));
        let id = text(&begun["paymentMethod"]["id"]);
        let refused = order_by(&world, json!({ "linkedAccount": id })).await;
        assert_eq!(refused["userErrors"][0]["code"], "PAYMENT_METHOD_NOT_FOUND", "it is not confirmed yet");
        let page = world.http().get(text(&begun["nextAction"]["url"])).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("Link your sandbox account"), "{page}");
        press(&world, &begun, "APPROVE_REPEATEDLY").await;
        let shown = methods(&world).await;
        assert_eq!(shown, json!([{ "id": id, "label": "Sandbox •••• 4242", "status": "ACTIVE", "isDefault": true, "gateway": "SANDBOX", "nextAction": null }]));

        let paid = order_by(&world, json!({ "linkedAccount": id })).await;
        assert_eq!(paid["userErrors"], json!([]));
        assert_eq!((text(&paid["order"]["status"]), text(&paid["payment"]["status"]), paid["nextAction"].clone()),
            ("IN_PROGRESS".into(), "SUCCEEDED".into(), Value::Null), "paid at once");
        let input = json!({ "amount": "200000", "payment": { "linkedAccount": id }, "idempotencyKey": "top-up" });
        let topped = world.done(&owner, "topUpWallet", input.clone()).await;
        assert_eq!(topped["payment"]["status"], "SUCCEEDED");
        world.done(&owner, "topUpWallet", input).await;
        assert_eq!(cash(&world).await, "200000", "charged once");
        // The credit first, the rest from the account: together.
        let both = order_by(&world, json!({ "topUpAndPay": { "paymentMethodId": id } })).await;
        assert_eq!(both["order"]["status"], "IN_PROGRESS");
        assert_eq!(cash(&world).await, "19000");
    }

    async fn what_is_charged_may_be_declined_challenged_lost_or_looked_into(world: World) {
        let owner = world.token(Role::Owner);
        for (how, code) in [("LINK_WITHOUT_FUNDS", "INSUFFICIENT_FUNDS"), ("LINK_CHALLENGED", "CHALLENGE_REQUIRED")] {
            let id = link(&world, how).await;
            let declined = order_by(&world, json!({ "linkedAccount": id })).await;
            assert_eq!(declined["userErrors"][0]["code"], "GATEWAY_REFUSED");
            assert_eq!((text(&declined["payment"]["status"]), text(&declined["payment"]["failure"]["code"])), ("FAILED".into(), code.into()));
            assert_eq!(declined["order"]["status"], "AWAITING_PAYMENT", "it may be paid another way");
            assert_eq!(method(&world, &id).await["status"], "ACTIVE");
        }
        let lost = link(&world, "LINK_LOST").await;
        let unknown = order_by(&world, json!({ "linkedAccount": lost })).await;
        let told = &unknown["userErrors"][0];
        assert_eq!((&told["code"], &told["retryable"]), (&json!("GATEWAY_UNAVAILABLE"), &json!(false)));
        assert!(text(&told["message"]).contains("not known yet. Do not pay again"), "{told}");
        assert_eq!(unknown["payment"]["status"], "PENDING", "no answer is not a no");
        let reviewed = link(&world, "LINK_REVIEWED").await;
        let waits = order_by(&world, json!({ "linkedAccount": reviewed })).await;
        assert_eq!(waits["payment"]["status"], "PENDING");
        world.advance("2023-03-06T00:03:00+07:00").await;
        let query = "{ orders(first: 10) { nodes { status } } }";
        let data = world.data(&owner, query, json!({})).await;
        assert_eq!(data["orders"]["nodes"], json!([{ "status": "AWAITING_PAYMENT" }, { "status": "IN_PROGRESS" },
            { "status": "AWAITING_PAYMENT" }, { "status": "AWAITING_PAYMENT" }]), "asked, the gateway tells what it took");
    }

    async fn one_is_the_default_and_what_is_unlinked_is_charged_no_more(world: World) {
        let owner = world.token(Role::Owner);
        let (first, second) = (link(&world, "APPROVE").await, link(&world, "APPROVE").await);
        assert_eq!(method(&world, &second).await["isDefault"], false);
        world.done(&owner, "setDefaultPaymentMethod", json!({ "paymentMethodId": second })).await;
        world.done(&owner, "setDefaultPaymentMethod", json!({ "paymentMethodId": second })).await;
        assert_eq!((method(&world, &first).await["isDefault"].clone(), method(&world, &second).await["isDefault"].clone()), (json!(false), json!(true)));
        world.press("next", "LOSE_BEGIN").await;
        world.done(&owner, "unlinkPaymentMethod", json!({ "paymentMethodId": second })).await;
        world.done(&owner, "unlinkPaymentMethod", json!({ "paymentMethodId": second })).await;
        assert_eq!(order_by(&world, json!({ "linkedAccount": second })).await["userErrors"][0]["code"], "PAYMENT_METHOD_NOT_FOUND");
        assert_eq!(methods(&world).await.as_array().unwrap().len(), 1);
        assert_eq!(world.refused(&owner, "setDefaultPaymentMethod", json!({ "paymentMethodId": second })).await, "PAYMENT_METHOD_NOT_FOUND");
        // The gateway is told until it has heard, and what charged is forgotten.
        world.advance("2023-03-06T00:10:00+07:00").await;
        let kept = kept_tokens(&world).await;
        assert_eq!(kept, 1, "only the one that is still linked");
        // And the owner may end it there.
        let begun = begin(&world).await;
        press(&world, &begun, "APPROVE").await;
        press(&world, &begun, "UNLINK").await;
        let id = text(&begun["paymentMethod"]["id"]);
        assert_eq!(method(&world, &id).await["status"], "ENDED");
        assert_eq!(kept_tokens(&world).await, 1);
    }

    async fn links_that_are_not_confirmed_end_and_late_confirmations_count(world: World) {
        let owner = world.token(Role::Owner);
        let (declined, silent, left, gone) = (begin(&world).await, begin(&world).await, begin(&world).await, begin(&world).await);
        press(&world, &declined, "DECLINE").await;
        assert_eq!(method(&world, &text(&declined["paymentMethod"]["id"])).await["status"], "FAILED");
        press(&world, &silent, "APPROVE_SILENTLY").await;
        // Unlinked here before it was confirmed there.
        let id = text(&gone["paymentMethod"]["id"]);
        world.done(&owner, "unlinkPaymentMethod", json!({ "paymentMethodId": id })).await;
        press(&world, &gone, "APPROVE_SILENTLY").await;
        world.advance("2023-03-06T02:00:00+07:00").await;
        assert_eq!(method(&world, &text(&silent["paymentMethod"]["id"])).await["status"], "ACTIVE");
        assert_eq!(method(&world, &text(&left["paymentMethod"]["id"])).await["status"], "FAILED");
        assert_eq!(method(&world, &id).await["status"], "ENDED");
        assert_eq!(kept_tokens(&world).await, 1, "what was confirmed too late was ended there");
        let refused = json!({ "gateway": "BANK_TRANSFER", "idempotencyKey": key() });
        assert_eq!(world.refused(&owner, "linkPaymentMethod", refused).await, "LINKING_NOT_SUPPORTED");
        let refused = json!({ "gateway": "SANDBOX", "returnUrl": "https://evil.test/", "idempotencyKey": key() });
        assert_eq!(world.refused(&owner, "linkPaymentMethod", refused).await, "RETURN_URL_NOT_ALLOWED");
        // Back to where it was begun.
        let raw = world.http().get(format!("http://{}/sandbox/checkouts/{}", world.address(), reference(&silent)))
            .header("accept", "application/json").send().await.unwrap().json::<Value>().await.unwrap();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let back = client.get(text(&raw["return_url"])).send().await.unwrap();
        assert_eq!(back.headers()["location"], "https://console.test/cards?link=ACTIVE");
    }

    async fn a_wallet_tops_itself_up_within_the_months_limit(world: World) {
        let owner = world.token(Role::Owner);
        assert_eq!(world.refused(&owner, "setAutoTopUp", below("100000", "250000")).await, "PAYMENT_METHOD_NOT_FOUND");
        link(&world, "APPROVE").await;
        assert_eq!(world.refused(&owner, "setAutoTopUp", below("100000", "99999")).await, "AUTO_TOP_UP_INVALID");
        assert_eq!(world.refused(&owner, "setAutoTopUp", below("9999", "99999")).await, "TOP_UP_LIMIT");
        world.done(&owner, "setAutoTopUp", below("100000", "250000")).await;
        world.advance("2023-03-06T00:01:00+07:00").await;
        assert_eq!(cash(&world).await, "100000");
        world.advance("2023-03-06T09:00:00+07:00").await;
        assert_eq!(cash(&world).await, "100000", "there is enough");
        for day in [7, 8] {
            spend(&world).await;
            world.advance(&format!("2023-03-{day:02}T09:00:00+07:00")).await;
        }
        assert_eq!(cash(&world).await, "20000", "two in this month, and no third");
        world.advance("2023-04-01T00:00:00+07:00").await;
        assert_eq!(cash(&world).await, "120000", "another month");
        let made = payments(&world).await;
        let by_itself = made.iter().filter(|(details, _)| details == "Automatic top-up");
        assert!(by_itself.clone().all(|(_, status)| status == "SUCCEEDED"));
        assert_eq!(by_itself.count(), 3);
        world.done(&owner, "setAutoTopUp", json!({ "isOn": false, "below": "500000", "amount": "100000", "monthlyLimit": "500000" })).await;
        world.advance("2023-04-02T00:00:00+07:00").await;
        assert_eq!(cash(&world).await, "120000", "it is switched off");
    }

    async fn what_is_topped_up_pays_for_the_renewal_that_is_due_at_the_same_time(world: World) {
        let owner = world.token(Role::Owner);
        link(&world, "APPROVE").await;
        world.grant("CASH", "90000").await;
        let mut create = server("dev.v1.small1x1");
        create["autoRenew"] = json!(true);
        world.buy(create).await;
        world.provision().await;
        world.advance("2023-03-28T23:00:00+07:00").await;
        assert_eq!(cash(&world).await, "0");
        // No engine runs before both are due: the top-up at once, the first attempt at eight.
        world.done(&owner, "setAutoTopUp", below("100000", "250000")).await;
        world.app.set_clock(at("2023-03-29T09:00:00+07:00")).await.unwrap();
        world.advance("2023-03-29T09:01:00+07:00").await;
        assert_eq!(cash(&world).await, "10000", "topped up, and renewed from it");
    }

    async fn a_wallet_that_can_not_be_decided_about_comes_later_and_stops_nothing(world: World) {
        let owner = world.token(Role::Owner);
        link(&world, "APPROVE").await;
        world.done(&owner, "setAutoTopUp", below("100000", "250000")).await;
        let moves_to = |zone: &str| format!("UPDATE account SET zone = '{zone}' WHERE code = 'ACME'");
        execute(&world.app, &moves_to("Asia/Atlantis")).await;
        world.advance("2023-03-06T00:10:00+07:00").await;
        assert_eq!(cash(&world).await, "0");
        execute(&world.app, &moves_to("Asia/Ho_Chi_Minh")).await;
        world.advance("2023-03-06T00:50:00+07:00").await;
        assert_eq!(cash(&world).await, "0", "it is not tried all the time");
        world.advance("2023-03-06T01:10:00+07:00").await;
        assert_eq!(cash(&world).await, "100000");
    }

    async fn topping_up_by_itself_stops_when_it_is_declined_again_and_again(world: World) {
        let owner = world.token(Role::Owner);
        let id = link(&world, "LINK_WITHOUT_FUNDS").await;
        let mut wanted = below("100000", "1000000");
        wanted["paymentMethodId"] = json!(id);
        world.done(&owner, "setAutoTopUp", wanted.clone()).await;
        world.advance("2023-03-06T12:00:00+07:00").await;
        assert_eq!(payments(&world).await, [("Automatic top-up".to_owned(), "FAILED".to_owned())], "once, and not again the same day");
        world.advance("2023-03-12T00:00:00+07:00").await;
        assert_eq!(payments(&world).await.len(), 3);
        let stopped = auto(&world).await;
        assert_eq!((stopped["isOn"].clone(), stopped["stoppedBecause"].clone()), (json!(false), json!("DECLINED")));
        // Set anew it tries anew; unlinked, it stops at once.
        world.done(&owner, "setAutoTopUp", wanted).await;
        world.done(&owner, "unlinkPaymentMethod", json!({ "paymentMethodId": id })).await;
        world.advance("2023-03-12T00:10:00+07:00").await;
        assert_eq!(payments(&world).await.len(), 3);
        assert_eq!(auto(&world).await["stoppedBecause"], "PAYMENT_METHOD_NOT_FOUND");
    }

    async fn a_charge_whose_process_died_is_made_by_the_next_one_and_once(world: World) {
        use billing_gateway::commands::top_up::{Through, TopUp, top_up};
        use billing_gateway::store::Scope;
        let id = link(&world, "APPROVE").await;
        let (_, method) = uuid_of(&id);
        let scope = Scope::Account { account: world.account, principal: "tester".to_owned() };
        let input = TopUp { account: world.account, amount: "70000".to_owned(), through: Through::Linked(method), return_url: None, idempotency_key: "died".to_owned() };
        let late = TopUp { idempotency_key: "late".to_owned(), ..input.clone() };
        // Written, and nobody lives to charge it.
        top_up(&world.app, &scope, input).await.unwrap();
        let others = [world.another(100).await, world.another(100).await];
        let [first, second] = &others;
        let ticks = futures_util::future::join(billing_gateway::engine::tick(first), billing_gateway::engine::tick(second));
        let (first, second) = ticks.await;
        first.unwrap();
        second.unwrap();
        assert_eq!(cash(&world).await, "70000");
        // Whoever finds one too late does not charge what nobody waits for any more.
        top_up(&world.app, &scope, late).await.unwrap();
        world.app.set_clock(crate::support::at("2023-03-07T00:00:00+07:00")).await.unwrap();
        world.advance("2023-03-07T01:00:00+07:00").await;
        assert_eq!(cash(&world).await, "70000");
        assert_eq!(payments(&world).await.last().unwrap().1, "FAILED");
    }
}

/// The kind and the key that an id names.
fn uuid_of(id: &str) -> (u8, uuid::Uuid) {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).unwrap();
    (bytes[0], uuid::Uuid::from_slice(&bytes[1..]).unwrap())
}

/// Buys a project for 90,000 dong of component.
async fn spend(world: &World) {
    let mut create = server("dev.v1.small1x1");
    create["name"] = json!("small");
    let (quote, charged) = world.quote(create, None).await;
    assert_eq!(charged, "90000");
    let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": key() });
    world.done(&world.token(Role::Owner), "placeOrder", input).await;
    world.provision().await;
}

/// How many linked accounts the store could still charge.
async fn kept_tokens(world: &World) -> usize {
    use sea_orm::EntityTrait as _;
    let rows = entity::payment_method::Entity::find()
        .all(world.app.db.read())
        .await
        .unwrap();
    rows.iter().filter(|row| row.token.is_some()).count()
}
