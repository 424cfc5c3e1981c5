//! What others were bitten by when they took money, each held off by name. Two more have their tests where their things are:
//! `refunds::ten_refunds_at_once_send_what_was_captured_and_no_more` and
//! `paying::fifty_notifications_and_questions_at_once_settle_once`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use billing_gateway::gateways::stripe::{Stripe, StripeConfig};
use entity::enums::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{Store, World, at, on_every_store, project, run, server, text};

fn key() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn reference(begun: &Value) -> String {
    let url = text(&begun["nextAction"]["url"]);
    url.rsplit('/').next().unwrap().to_owned()
}

async fn press(world: &World, begun: &Value, press: &str) {
    world.press(&format!("checkouts/{}", reference(begun)), press).await;
}

/// Cash, and what is held.
async fn wallet(world: &World) -> (String, String) {
    let query = "{ wallet { cash { amount } held { amount } } }";
    let data = world.data(&world.token(Role::Owner), query, json!({})).await;
    (
        text(&data["wallet"]["cash"]["amount"]),
        text(&data["wallet"]["held"]["amount"]),
    )
}

fn amounts(cash: &str, held: &str) -> (String, String) {
    (cash.to_owned(), held.to_owned())
}

async fn ordered(world: &World, payment: Value) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": payment, "idempotencyKey": key() });
    world.done(&world.token(Role::Owner), "placeOrder", input).await
}

async fn order_status(world: &World, begun: &Value) -> String {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": begun["order"]["id"] }))
        .await;
    text(&data["node"]["status"])
}

on_every_store! {
    async fn two_identical_top_ups_credit_once(world: World) {
        let owner = world.token(Role::Owner);
        let input = json!({ "amount": "50000", "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "nervous" });
        let both = join_all((0..2).map(|_| world.done(&owner, "topUpWallet", input.clone()))).await;
        assert_eq!(both[0]["payment"]["id"], both[1]["payment"]["id"]);
        press(&world, &both[0], "APPROVE").await;
        press(&world, &both[1], "APPROVE").await;
        assert_eq!(wallet(&world).await, amounts("50000", "0"));
    }

    async fn what_is_held_is_not_available(world: World) {
        world.grant("CASH", "150000").await;
        ordered(&world, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        assert_eq!(wallet(&world).await, amounts("150000", "150000"));
        let (quote, _) = world.quote(project(), None).await;
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": key() });
        let refused = world.act(&world.token(Role::Owner), "placeOrder", input).await;
        assert_eq!((&refused["userErrors"][0]["code"], &refused["userErrors"][0]["available"]["amount"]), (&json!("INSUFFICIENT_CREDIT"), &json!("0")));
    }

    async fn a_hold_that_is_refused_leaves_nothing_behind(world: World) {
        world.grant("CASH", "60000").await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "topUpAndPay": { "gateway": "PIGGYBANK" } }, "idempotencyKey": key() });
        assert_eq!(world.refused(&world.token(Role::Owner), "placeOrder", input).await, "UNKNOWN_GATEWAY");
        assert_eq!(wallet(&world).await, amounts("60000", "0"));
        let data = world.data(&world.token(Role::Owner), "{ orders(first: 1) { nodes { id } } payments(first: 1) { nodes { id } } }", json!({})).await;
        assert_eq!(data, json!({ "orders": { "nodes": [] }, "payments": { "nodes": [] } }));
        // And the quote is still good.
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        world.done(&world.token(Role::Owner), "placeOrder", input).await;
    }

    async fn a_notification_that_races_the_confirmation_keeps_the_order(world: World) {
        use billing_gateway::gateways::sandbox::Press;
        let owner = world.token(Role::Owner);
        for _ in 0..5 {
            let begun = ordered(&world, json!({ "gateway": "SANDBOX" })).await;
            let sandbox = world.app.sandbox.as_ref().unwrap();
            sandbox.press(&reference(&begun), Press::Approve).await.unwrap();
            // Told, asked about by the payer who comes back, and looked after by the engine, all at once.
            let told = billing_gateway::commands::payments::hear_sandbox(&world.app);
            let query = "query($id: ID!) { node(id: $id) { ... on Payment { status } } }";
            let came_back = world.data(&owner, query, json!({ "id": begun["payment"]["id"] }));
            let looked_after = billing_gateway::engine::tick(&world.app);
            let (told, _, looked_after) = futures_util::future::join3(told, came_back, looked_after).await;
            told.unwrap();
            looked_after.unwrap();
            assert_eq!(order_status(&world, &begun).await, "IN_PROGRESS");
            assert_eq!(wallet(&world).await, amounts("0", "0"), "nothing came back as credit");
        }
    }

    async fn a_coupon_is_not_used_past_its_limit_by_orders_that_wait(world: World) {
        let owner = world.token(Role::Owner);
        let coupon = json!({ "code": "TWICE", "value": { "percent": "10" }, "currency": "VND", "totalLimit": 2 });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let mut quotes = Vec::new();
        for _ in 0..6 {
            quotes.push(world.quote(server("s-general-1x1"), Some("TWICE")).await.0);
        }
        let all = join_all(quotes.iter().map(|quote| {
            let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": quote });
            world.act(&owner, "placeOrder", input)
        }));
        let placed: Vec<Value> = all.await;
        let waits: Vec<&Value> = placed.iter().filter(|placed| placed["userErrors"] == json!([])).collect();
        assert_eq!(waits.len(), 2);
        // Given up, it is free for another.
        world.done(&owner, "cancelOrder", json!({ "orderId": waits[0]["order"]["id"] })).await;
        let again = quotes.iter().zip(&placed).find(|(_, placed)| placed["userErrors"] != json!([])).unwrap().0;
        let input = json!({ "quoteId": again, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        world.done(&owner, "placeOrder", input).await;
    }

    async fn no_more_goes_back_than_was_paid(world: World) {
        let operator = world.token(Role::Operator);
        let input = json!({ "amount": "100000", "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        let begun = world.done(&world.token(Role::Owner), "topUpWallet", input).await;
        let refund = |amount: &'static str| json!({ "paymentId": begun["payment"]["id"], "amount": amount, "reason": "x", "idempotencyKey": key() });
        assert_eq!(world.refused(&operator, "refundPayment", refund("1")).await, "NOT_REFUNDABLE");
        press(&world, &begun, "APPROVE").await;
        world.grant("CASH", "900000").await;
        assert_eq!(world.refused(&operator, "refundPayment", refund("100001")).await, "REFUND_TOO_LARGE");
        world.done(&operator, "refundPayment", refund("100000")).await;
        assert_eq!(world.refused(&operator, "refundPayment", refund("1")).await, "NOT_REFUNDABLE");
        assert_eq!(wallet(&world).await, amounts("900000", "0"));
    }
}

/// A Stripe that says nothing of any payment until it is asked about as many as there are.
async fn stripe_that_waits_for(payments: usize) -> Stripe {
    let references: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let all_are_asked_about = Arc::new(Barrier::new(payments));
    let begun = Arc::clone(&references);
    let begin = async move |form: String| {
        let mut form = url::form_urlencoded::parse(form.as_bytes());
        let (_, reference) = form.find(|(name, _)| name == "metadata[reference]").unwrap();
        let mut begun = begun.lock().unwrap();
        let id = format!("pi_{}", begun.len());
        begun.insert(id.clone(), reference.into_owned());
        Json(json!({ "id": id, "client_secret": format!("{id}_secret_x") }))
    };
    let stands = async move |Path(id): Path<String>| {
        all_are_asked_about.wait().await;
        let reference = references.lock().unwrap()[&id].clone();
        Json(
            json!({ "id": id, "status": "succeeded", "amount_received": 50_000, "currency": "vnd", "metadata": { "reference": reference } }),
        )
    };
    let routes = Router::new()
        .route("/v1/payment_intents", post(begin))
        .route("/v1/payment_intents/{id}", get(stands));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Stripe::new(StripeConfig {
        api: api.parse().unwrap(),
        secret_key: "sk_test_1".into(),
        webhook_secret: "whsec_test".into(),
        live: false,
        account: None,
    })
    .unwrap()
}

/// A gateway that thinks for half a minute about one payment is asked about the others meanwhile, and nothing else waits longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_about_one_payment_holds_up_no_other() {
    for store in [Store::Sqlite, Store::Postgres] {
        run(store, async |mut world| {
            world
                .take_payments_through(Arc::new(stripe_that_waits_for(20).await))
                .await;
            for _ in 0..20 {
                let input = json!({ "amount": "50000", "payment": { "gateway": "STRIPE" }, "idempotencyKey": key() });
                world.done(&world.token(Role::Owner), "topUpWallet", input).await;
            }
            // No engine runs before all are due.
            world.app.set_clock(at("2023-03-06T00:05:00+07:00")).await.unwrap();
            world.advance("2023-03-06T00:05:01+07:00").await;
            assert_eq!(wallet(&world).await, amounts("1000000", "0"));
            world
        })
        .await;
    }
}
