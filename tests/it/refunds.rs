//! Money that goes back to its payer: never more than was captured, and always told what became of it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use billing_gateway::gateways::stripe::{Stripe, StripeConfig};
use billing_gateway::store::{Scope, refunds};
use entity::enums::Role;
use futures_util::future::join_all;
use hmac::{Hmac, Mac as _};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{Notify, mpsc};

use crate::support::{Store, World, execute, on_every_store, run, text};

/// A top-up that the gateway has taken; answers its payment.
async fn topped_up(world: &World, amount: &str) -> String {
    let input = json!({ "amount": amount, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": uuid::Uuid::now_v7().to_string() });
    let begun = world.done(&world.token(Role::Owner), "topUpWallet", input).await;
    let url = text(&begun["nextAction"]["url"]);
    world
        .press(&format!("checkouts/{}", url.rsplit('/').next().unwrap()), "APPROVE")
        .await;
    text(&begun["payment"]["id"])
}

fn refund(payment: &str, amount: Option<&str>, key: &str) -> Value {
    json!({ "paymentId": payment, "amount": amount, "reason": "asked for by the customer", "idempotencyKey": key })
}

/// Cash, and each refund of a payment as it stands.
async fn stands(world: &World, payment: &str) -> (String, Vec<(String, String)>) {
    let query = "query($id: ID!) { wallet { cash { amount } } node(id: $id) { ... on Payment { refunds { amount { amount } status } } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": payment }))
        .await;
    let refunds = data["node"]["refunds"].as_array().unwrap().iter();
    let refunds = refunds
        .map(|refund| (text(&refund["amount"]["amount"]), text(&refund["status"])))
        .collect();
    (text(&data["wallet"]["cash"]["amount"]), refunds)
}

fn one(amount: &str, status: &str) -> Vec<(String, String)> {
    vec![(amount.to_owned(), status.to_owned())]
}

on_every_store! {
    async fn an_operator_sends_a_payment_back_in_parts_and_never_more_than_it_was(world: World) {
        let operator = world.token(Role::Operator);
        let payment = topped_up(&world, "100000").await;
        world.done(&operator, "refundPayment", refund(&payment, Some("30000"), "one")).await;
        assert_eq!(stands(&world, &payment).await, ("70000".into(), one("30000", "SUCCEEDED")));
        let again = world.done(&operator, "refundPayment", refund(&payment, Some("30000"), "one")).await;
        assert_eq!(again["replayed"], true);
        world.grant("CASH", "500000").await;
        assert_eq!(world.refused(&operator, "refundPayment", refund(&payment, Some("70001"), "two")).await, "REFUND_TOO_LARGE");
        world.done(&operator, "refundPayment", refund(&payment, None, "three")).await;
        let (cash, refunds) = stands(&world, &payment).await;
        assert_eq!((cash.as_str(), refunds.len()), ("500000", 2));
        assert_eq!(world.refused(&operator, "refundPayment", refund(&payment, None, "four")).await, "NOT_REFUNDABLE");
        let history = world.data(&world.token(Role::Owner), "{ wallet { entries(first: 2) { nodes { action amount { amount } } } } }", json!({})).await;
        assert_eq!(history["wallet"]["entries"]["nodes"][0], json!({ "action": "REFUND_TO_SOURCE", "amount": { "amount": "-70000" } }));
    }

    async fn a_refund_is_asked_for_by_one_however_many_would(world: World) {
        let operator = world.token(Role::Operator);
        let payment = topped_up(&world, "100000").await;
        world.press("next", "REFUND_SLOWLY").await;
        world.done(&operator, "refundPayment", refund(&payment, None, "one")).await;
        assert_eq!(stands(&world, &payment).await, ("0".into(), one("100000", "PENDING")));
        let row = entity::gateway_refund::Entity::find().one(world.app.db.read()).await.unwrap().unwrap();
        let scope = Scope::engine();
        let take = || refunds::take_first(&world.app.db, &scope, row.id, row.created_at);
        assert_eq!(take().await.unwrap(), None, "it was asked for already");
        execute(&world.app, "UPDATE gateway_refund SET checks = 0").await;
        let taken = join_all((0..10).map(|_| take())).await;
        assert_eq!(taken.into_iter().filter_map(Result::unwrap).count(), 1);
    }

    async fn ten_refunds_at_once_send_what_was_captured_and_no_more(world: World) {
        let operator = world.token(Role::Operator);
        let payment = topped_up(&world, "100000").await;
        world.grant("CASH", "900000").await;
        let tries = (0..10).map(|number| {
            let (world, operator, input) = (&world, operator.clone(), refund(&payment, Some("30000"), &format!("race-{number}")));
            async move { world.act(&operator, "refundPayment", input).await }
        });
        let done = join_all(tries).await;
        assert_eq!(done.iter().filter(|payload| payload["userErrors"] == json!([])).count(), 3);
        assert_eq!(stands(&world, &payment).await.0, "910000");
    }

    async fn what_was_spent_or_granted_does_not_leave(world: World) {
        let operator = world.token(Role::Operator);
        let payment = topped_up(&world, "200000").await;
        world.grant("PROMOTIONAL", "150000").await;
        // 150,000 promotional and 31,000 cash.
        world.buy(crate::support::server("s-general-1x1")).await;
        let refused = world.act(&operator, "refundPayment", refund(&payment, None, "all")).await;
        assert_eq!((refused["userErrors"][0]["code"].clone(), refused["userErrors"][0]["shortfall"]["amount"].clone()), (json!("INSUFFICIENT_CREDIT"), json!("31000")));
        world.done(&operator, "refundPayment", refund(&payment, Some("169000"), "what-is-there")).await;
        assert_eq!(stands(&world, &payment).await.0, "0");
    }

    async fn a_slow_refund_is_followed_and_one_that_fails_is_credit_again(world: World) {
        let operator = world.token(Role::Operator);
        let slow = topped_up(&world, "100000").await;
        world.press("next", "REFUND_SLOWLY").await;
        world.done(&operator, "refundPayment", refund(&slow, None, "slow")).await;
        assert_eq!(stands(&world, &slow).await, ("0".into(), one("100000", "PENDING")));
        let failing = topped_up(&world, "50000").await;
        world.press("next", "REFUND_FAILS").await;
        world.done(&operator, "refundPayment", refund(&failing, None, "fails")).await;
        let lost = topped_up(&world, "70000").await;
        world.press("next", "LOSE_REFUND").await;
        world.done(&operator, "refundPayment", refund(&lost, None, "lost")).await;
        assert_eq!(stands(&world, &lost).await, ("0".into(), one("70000", "PENDING")), "no answer is neither yes nor no");
        world.advance("2023-03-06T01:00:00+07:00").await;
        assert_eq!(stands(&world, &slow).await.1, one("100000", "SUCCEEDED"));
        assert_eq!(stands(&world, &lost).await.1, one("70000", "SUCCEEDED"));
        assert_eq!(stands(&world, &failing).await, ("50000".into(), one("50000", "FAILED")));
        // What came back may be sent again.
        world.done(&operator, "refundPayment", refund(&failing, None, "again")).await;
        assert_eq!(stands(&world, &failing).await.0, "0");
    }

    async fn nothing_goes_back_of_what_was_not_taken(world: World) {
        let operator = world.token(Role::Operator);
        let input = json!({ "amount": "100000", "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "open" });
        let open = world.done(&world.token(Role::Owner), "topUpWallet", input).await;
        assert_eq!(world.refused(&operator, "refundPayment", refund(&text(&open["payment"]["id"]), None, "open")).await, "NOT_REFUNDABLE");
        world.grant("CASH", "181000").await;
        let bought = world.buy(crate::support::server("s-general-1x1")).await;
        let query = "query($id: ID!) { node(id: $id) { ... on Order { payments { id } } } }";
        let data = world.data(&world.token(Role::Owner), query, json!({ "id": bought["id"] })).await;
        let paid = text(&data["node"]["payments"][0]["id"]);
        assert_eq!(world.refused(&operator, "refundPayment", refund(&paid, None, "credit")).await, "NOT_REFUNDABLE");
    }

    async fn an_operator_says_what_became_of_a_refund_of_which_the_gateway_says_nothing(world: World) {
        let operator = world.token(Role::Operator);
        let mut asked = Vec::new();
        for key in ["sent", "kept"] {
            let payment = topped_up(&world, "100000").await;
            world.press("next", "REFUND_SLOWLY").await;
            let done = world.done(&operator, "refundPayment", refund(&payment, None, key)).await;
            asked.push((payment, text(&done["payment"]["refunds"][0]["reference"])));
        }
        let seen = |(payment, reference): &(String, String), outcome: &str| {
            json!({ "paymentId": payment, "reference": reference, "outcome": outcome, "reason": "seen in the merchant's portal" })
        };
        assert_eq!(world.refused(&operator, "resolveRefund", seen(&asked[0], "SENT")).await, "REFUND_UNDERWAY");
        let strange = (asked[0].0.clone(), asked[1].1.clone());
        assert_eq!(world.refused(&operator, "resolveRefund", seen(&strange, "SENT")).await, "REFUND_NOT_FOUND");
        // It is not asked any more, as after thirty days.
        for (_, reference) in &asked {
            execute(&world.app, &format!("UPDATE gateway_refund SET next_check_at = NULL WHERE reference = '{reference}'")).await;
        }
        world.advance("2023-03-07T12:00:00+07:00").await;
        assert_eq!(stands(&world, &asked[0].0).await, ("0".into(), one("100000", "PENDING")));
        for _ in 0..2 {
            world.done(&operator, "resolveRefund", seen(&asked[0], "SENT")).await;
            world.done(&operator, "resolveRefund", seen(&asked[1], "NOT_SENT")).await;
        }
        assert_eq!(stands(&world, &asked[0].0).await, ("100000".into(), one("100000", "SUCCEEDED")));
        assert_eq!(stands(&world, &asked[1].0).await.1, one("100000", "FAILED"));
        assert_eq!(world.refused(&operator, "resolveRefund", seen(&asked[0], "NOT_SENT")).await, "REFUND_RESOLVED");
        assert_eq!(world.refused(&operator, "resolveRefund", seen(&asked[1], "SENT")).await, "REFUND_RESOLVED");
        assert_eq!(stands(&world, &asked[1].0).await.0, "100000");
        // What was not sent may be sent again.
        world.done(&operator, "refundPayment", refund(&asked[1].0, None, "again")).await;
    }
}

const SIGNING: &str = "whsec_test";

fn stripe(api: &str) -> Arc<Stripe> {
    let config = StripeConfig {
        api: api.parse().unwrap(),
        secret_key: "sk_test_1".into(),
        webhook_secret: SIGNING.into(),
        live: false,
        account: None,
    };
    Arc::new(Stripe::new(config).unwrap())
}

/// Stripe tells something of a refund.
async fn stripe_tells(world: &World, event: &str, reference: &str, status: &str) {
    let body = json!({ "id": event, "object": "event", "type": "refund.updated", "livemode": false, "data": { "object": {
        "id": "re_1", "status": status, "failure_reason": "lost_or_stolen_card", "metadata": { "reference": reference } } } });
    let (body, now) = (body.to_string(), world.app.clock.now().timestamp());
    let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING.as_bytes()).unwrap();
    mac.update(format!("{now}.{body}").as_bytes());
    let digest: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let post = world.http().post(format!("http://{}/webhooks/stripe", world.address()));
    let post = post.header("stripe-signature", format!("t={now},v1={digest}"));
    assert_eq!(post.body(body).send().await.unwrap().status(), 200);
}

/// A card was closed, or its bank refused the money: Stripe had called the refund a success, and calls it failed days later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_comes_back_from_the_payers_bank_is_credit_again() {
    for store in [Store::Sqlite, Store::Postgres] {
        run(store, async |mut world| {
            let operator = world.token(Role::Operator);
            let payment = topped_up(&world, "100000").await;
            let done = world
                .done(&operator, "refundPayment", refund(&payment, Some("60000"), "one"))
                .await;
            let reference = text(&done["payment"]["refunds"][0]["reference"]);
            assert_eq!(
                stands(&world, &payment).await,
                ("40000".into(), one("60000", "SUCCEEDED"))
            );
            // As if Stripe had sent it.
            execute(&world.app, "UPDATE gateway_refund SET gateway = 'STRIPE'").await;
            world.take_payments_through(stripe("http://127.0.0.1:9")).await;
            stripe_tells(&world, "evt_1", &reference, "succeeded").await;
            assert_eq!(
                stands(&world, &payment).await,
                ("40000".into(), one("60000", "SUCCEEDED"))
            );
            for event in ["evt_2", "evt_2", "evt_3"] {
                stripe_tells(&world, event, &reference, "failed").await;
                assert_eq!(
                    stands(&world, &payment).await,
                    ("100000".into(), one("60000", "FAILED")),
                    "once"
                );
            }
            // What has failed does not succeed.
            stripe_tells(&world, "evt_4", &reference, "succeeded").await;
            assert_eq!(
                stands(&world, &payment).await,
                ("100000".into(), one("60000", "FAILED"))
            );
            world
        })
        .await;
    }
}

/// A question that is overtaken: the gateway has told that it sent the money before it answers the question with a no.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_no_to_a_question_takes_back_no_refund_that_was_told_to_be_sent() {
    for store in [Store::Sqlite, Store::Postgres] {
        run(store, async |mut world| {
            let payment = topped_up(&world, "100000").await;
            // As if Stripe had taken it.
            execute(&world.app, "UPDATE payment SET gateway = 'STRIPE'").await;
            execute(&world.app, "UPDATE gateway_payment SET gateway = 'STRIPE'").await;
            let (asking, mut asked) = mpsc::unbounded_channel();
            let answers = Arc::new(Notify::new());
            let release = Arc::clone(&answers);
            let refuse = async move |form: String| {
                let mut form = url::form_urlencoded::parse(form.as_bytes());
                let (_, reference) = form.find(|(name, _)| name == "metadata[reference]").unwrap();
                asking.send(reference.into_owned()).unwrap();
                answers.notified().await;
                let error = json!({ "error": { "type": "invalid_request_error", "code": "charge_already_refunded" } });
                (StatusCode::BAD_REQUEST, Json(error))
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let api = format!("http://{}", listener.local_addr().unwrap());
            let routes = Router::new().route("/v1/refunds", post(refuse));
            tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
            world.take_payments_through(stripe(&api)).await;
            let operator = world.token(Role::Operator);
            let told = async {
                let reference = asked.recv().await.unwrap();
                stripe_tells(&world, "evt_1", &reference, "succeeded").await;
                release.notify_one();
            };
            let (done, ()) = tokio::join!(
                world.done(&operator, "refundPayment", refund(&payment, None, "one")),
                told
            );
            assert_eq!(done["payment"]["refunds"][0]["status"], "SUCCEEDED");
            assert_eq!(stands(&world, &payment).await, ("0".into(), one("100000", "SUCCEEDED")));
            world
        })
        .await;
    }
}
