//! Paying through a gateway, with the sandbox as its other side: whatever it does, money is recorded, and nothing is given
//! without money.

use entity::enums::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};

use billing_gateway::commands::payments;
use billing_gateway::gateways::sandbox::Press;

use crate::support::{World, execute, on_every_store, project, server, text};

/// The reference of the checkout that a payer was sent to.
fn reference(begun: &Value) -> String {
    let url = text(&begun["nextAction"]["url"]);
    url.rsplit('/').next().unwrap().to_owned()
}

fn key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Presses a button of a checkout's page.
async fn press(world: &World, reference: &str, press: &str) {
    world.press(&format!("checkouts/{reference}"), press).await;
}

/// Lets the sandbox not know of a checkout, or know of it again.
fn renamed(from: &str, to: &str) -> String {
    format!("UPDATE sandbox_record SET id = '{to}' WHERE id = '{from}'")
}

/// What the sandbox knows of a checkout.
async fn known(world: &World, reference: &str) -> Value {
    let url = format!("http://{}/sandbox/checkouts/{reference}", world.address());
    let shown = world
        .http()
        .get(url)
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    shown.json().await.unwrap()
}

async fn top_up(world: &World, amount: &str) -> Value {
    let input = json!({ "amount": amount, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
    world.done(&world.token(Role::Owner), "topUpWallet", input).await
}

/// Orders a server and begins to pay it.
async fn order_by(world: &World, payment: Value) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": payment, "idempotencyKey": key() });
    world.done(&world.token(Role::Owner), "placeOrder", input).await
}

async fn ordered(world: &World) -> Value {
    order_by(world, json!({ "gateway": "SANDBOX" })).await
}

/// Cash, promotional money and what is held of them.
async fn wallet(world: &World) -> (String, String, String) {
    let data = world
        .data(
            &world.token(Role::Owner),
            "{ wallet { cash { amount } promotional { amount } held { amount } } }",
            json!({}),
        )
        .await;
    let part = |name: &str| text(&data["wallet"][name]["amount"]);
    (part("cash"), part("promotional"), part("held"))
}

fn amounts(cash: &str, promotional: &str, held: &str) -> (String, String, String) {
    (cash.to_owned(), promotional.to_owned(), held.to_owned())
}

async fn payment(world: &World, begun: &Value) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on Payment { status becameCredit isReviewed failure { code } amount { amount }
        cash { amount } promotional { amount } throughGateway { amount } nextAction { ... on RedirectAction { url } } } } }";
    let mut data = world
        .data(
            &world.token(Role::Owner),
            query,
            json!({ "id": begun["payment"]["id"] }),
        )
        .await;
    data["node"].take()
}

async fn order(world: &World, begun: &Value) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status cancelledBecause expiresAt paidAt payments { status } items { status resource { name status } } } } }";
    let mut data = world
        .data(&world.token(Role::Owner), query, json!({ "id": begun["order"]["id"] }))
        .await;
    data["node"].take()
}

async fn events(world: &World) -> Vec<String> {
    use sea_orm::{EntityTrait as _, QueryOrder as _};
    let rows = entity::account_event::Entity::find()
        .order_by_asc(entity::account_event::Column::Sequence)
        .all(world.app.db.read())
        .await
        .unwrap();
    rows.into_iter()
        .filter(|row| row.account_id == world.account)
        .map(|row| row.kind.to_string())
        .collect()
}

async fn verdicts(world: &World) -> Vec<String> {
    use sea_orm::{EntityTrait as _, QueryOrder as _};
    let rows = entity::gateway_notice::Entity::find()
        .order_by_asc(entity::gateway_notice::Column::Id)
        .all(world.app.db.read())
        .await
        .unwrap();
    rows.into_iter().map(|row| row.verdict.to_string()).collect()
}

on_every_store! {
    async fn a_wallet_is_topped_up_when_the_gateway_has_the_money_and_once(world: World) {
        let owner = world.token(Role::Owner);
        let input = json!({ "amount": "200000", "payment": { "gateway": "SANDBOX" }, "returnUrl": "https://console.test/wallet?tab=1#top",
                            "idempotencyKey": "top-up" });
        let begun = world.done(&owner, "topUpWallet", input.clone()).await;
        assert_eq!(begun["payment"]["status"], "PENDING");
        assert_eq!(wallet(&world).await, amounts("0", "0", "0"), "nothing before the money is there");
        let again = world.done(&owner, "topUpWallet", input).await;
        assert_eq!(again["replayed"], true);
        assert_eq!(again["nextAction"], begun["nextAction"], "a repeated call leads to the same page");

        // The payer sees what is to be paid, and what becomes of it.
        let page = world.http().get(text(&begun["nextAction"]["url"])).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("200,000 VND") || page.contains("200000"), "{page}");
        assert!(page.contains("15:00") || page.contains("14:5"), "{page}");
        press(&world, &reference(&begun), "APPROVE").await;
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(wallet(&world).await, amounts("200000", "0", "0"));
        assert_eq!(payment(&world, &begun).await["status"], "SUCCEEDED");
        assert_eq!(payment(&world, &begun).await["nextAction"], Value::Null);
        assert_eq!(events(&world).await, ["PAYMENT_SUCCEEDED", "WALLET_CREDITED"]);
        assert_eq!(verdicts(&world).await, ["TAKEN"]);

        // Back to where the basket was.
        let raw = known(&world, &reference(&begun)).await;
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let back = client.get(text(&raw["return_url"])).send().await.unwrap();
        assert_eq!(back.status(), 303);
        let target = back.headers()["location"].to_str().unwrap().to_owned();
        let code = text(&begun["payment"]["code"]);
        assert_eq!(target, format!("https://console.test/wallet?tab=1&payment={code}&status=SUCCEEDED#top"));
    }

    async fn a_top_up_keeps_to_its_limits(world: World) {
        let owner = world.token(Role::Owner);
        let asked = |amount: &'static str, gateway: &'static str, url: Option<&'static str>| {
            json!({ "amount": amount, "payment": { "gateway": gateway }, "returnUrl": url, "idempotencyKey": key() })
        };
        for (input, code) in [
            (asked("9999", "SANDBOX", None), "TOP_UP_LIMIT"),
            (asked("500000001", "SANDBOX", None), "TOP_UP_LIMIT"),
            (asked("100000.5", "SANDBOX", None), "TOO_MANY_DECIMALS"),
            (asked("-100000", "SANDBOX", None), "INVALID_AMOUNT"),
            (asked("100000", "PIGGYBANK", None), "UNKNOWN_GATEWAY"),
            (asked("100000", "SANDBOX", Some("https://evil.test/")), "RETURN_URL_NOT_ALLOWED"),
        ] {
            assert_eq!(world.refused(&owner, "topUpWallet", input).await, code);
        }
        let data = world.data(&owner, "{ topUpOptions { least { amount } most { amount } suggested { amount } }
            paymentGateways { code name least { amount } most { amount } savesMethods refundsPartly } payments(first: 1) { nodes { id } } }", json!({})).await;
        assert_eq!(data["topUpOptions"]["least"]["amount"], "10000");
        assert_eq!(data["topUpOptions"]["suggested"][0]["amount"], "100000");
        assert_eq!(data["paymentGateways"][1]["code"], "SANDBOX");
        assert_eq!(data["payments"]["nodes"], json!([]), "a refusal leaves nothing");
    }

    async fn an_order_waits_for_its_gateway_and_is_served_when_it_has_paid(world: World) {
        world.grant("CASH", "500000").await;
        let begun = ordered(&world).await;
        assert_eq!(begun["order"]["status"], "AWAITING_PAYMENT");
        let waits = order(&world, &begun).await;
        assert_eq!(waits["items"][0], json!({ "status": "AWAITING_PAYMENT", "resource": null }), "nothing is made before the money is there");
        assert_ne!(waits["expiresAt"], Value::Null);
        let tasks = world.data(&world.token(Role::Product), "{ provisioningTasks(first: 5) { nodes { id } } }", json!({})).await;
        assert_eq!(tasks["provisioningTasks"]["nodes"], json!([]));

        press(&world, &reference(&begun), "APPROVE").await;
        let paid = order(&world, &begun).await;
        assert_eq!(paid["status"], "IN_PROGRESS");
        assert_eq!(paid["items"][0], json!({ "status": "PROVISIONING", "resource": { "name": "web", "status": "PROVISIONING" } }));
        assert_eq!(wallet(&world).await, amounts("500000", "0", "0"), "the wallet is not touched");
        let shown = payment(&world, &begun).await;
        assert_eq!((text(&shown["throughGateway"]["amount"]), text(&shown["cash"]["amount"])), ("181000".into(), "0".into()));
        world.provision().await;
        assert_eq!(order(&world, &begun).await["status"], "FULFILLED");
        let data = world.data(&world.token(Role::Owner), "{ resources(first: 1) { nodes { status tags { key value } } } invoices(first: 1) { nodes { total { amount } } } }", json!({})).await;
        assert_eq!(data["resources"]["nodes"][0], json!({ "status": "ACTIVE", "tags": [{ "key": "created-by", "value": "tester" }] }));
        assert_eq!(data["invoices"]["nodes"][0]["total"]["amount"], "181000");
    }

    async fn what_a_gateway_paid_comes_back_as_credit_when_it_can_not_be_provisioned(world: World) {
        let begun = ordered(&world).await;
        press(&world, &reference(&begun), "APPROVE").await;
        let token = world.token(Role::Product);
        let task = world.data(&token, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({})).await;
        let report = json!({ "taskId": task["provisioningTasks"]["nodes"][0]["id"], "outcome": { "failed": { "reason": "no capacity" } } });
        world.done(&token, "reportProvisioning", report).await;
        assert_eq!(wallet(&world).await, amounts("181000", "0", "0"));
    }

    async fn a_decline_that_was_told_is_asked_about_once_more(world: World) {
        let begun = ordered(&world).await;
        let sandbox = world.app.sandbox.as_ref().unwrap();
        sandbox.press(&reference(&begun), Press::ApproveOutOfOrder).await.unwrap();
        // It was paid, and that gets lost on the way; what comes is that it failed.
        let due = sandbox.due(world.app.clock.now(), 10).await.unwrap();
        sandbox.answered(&due[0], 200).await.unwrap();
        payments::hear_sandbox(&world.app).await.unwrap();
        assert_eq!(payment(&world, &begun).await["status"], "FAILED");
        world.advance("2023-03-06T00:59:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "FAILED");
        world.advance("2023-03-06T01:01:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "SUCCEEDED");
        assert_eq!(wallet(&world).await, amounts("181000", "0", "0"), "its order is over by then: it is credit");
    }

    async fn a_payer_may_come_to_their_gateway_late_and_even_after_their_time(world: World) {
        // Some gateways know of a payment only when its payer's browser comes.
        let begun = ordered(&world).await;
        let reference = reference(&begun);
        let (hide, show) = (renamed(&reference, "hidden"), renamed("hidden", &reference));
        execute(&world.app, &hide).await;
        world.advance("2023-03-06T00:10:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "PENDING", "it may not be paid another time");
        execute(&world.app, &show).await;
        press(&world, &reference, "APPROVE_UNREACHABLE").await;
        execute(&world.app, &hide).await;
        world.advance("2023-03-06T00:18:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "EXPIRED");
        execute(&world.app, &show).await;
        // Nobody answers the question an hour later: it is asked again.
        world.advance("2023-03-06T01:30:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "EXPIRED");
        world.advance("2023-03-06T06:00:00+07:00").await;
        assert_eq!(payment(&world, &begun).await["status"], "SUCCEEDED");
        assert_eq!(wallet(&world).await, amounts("181000", "0", "0"));
    }

    async fn an_instant_product_is_there_with_the_gateways_word(world: World) {
        let (quote, charged) = world.quote(project(), None).await;
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        let begun = world.done(&world.token(Role::Owner), "placeOrder", input).await;
        assert_eq!(text(&begun["payment"]["amount"]["amount"]), charged);
        press(&world, &reference(&begun), "APPROVE_REPEATEDLY").await;
        assert_eq!(order(&world, &begun).await["status"], "FULFILLED");
        assert_eq!(verdicts(&world).await, ["TAKEN", "REPEATED", "REPEATED"]);
    }

    async fn a_declined_order_is_paid_another_way(world: World) {
        let owner = world.token(Role::Owner);
        let begun = ordered(&world).await;
        press(&world, &reference(&begun), "DECLINE_FUNDS").await;
        let failed = payment(&world, &begun).await;
        assert_eq!((text(&failed["status"]), text(&failed["failure"]["code"])), ("FAILED".into(), "INSUFFICIENT_FUNDS".into()));
        assert_eq!(order(&world, &begun).await["status"], "AWAITING_PAYMENT");
        let id = &begun["order"]["id"];
        let credit = json!({ "orderId": id, "payment": { "credit": true }, "idempotencyKey": key() });
        assert_eq!(world.refused(&owner, "payOrder", credit.clone()).await, "INSUFFICIENT_CREDIT");
        world.grant("PROMOTIONAL", "100000").await;
        world.grant("CASH", "100000").await;
        let paid = world.done(&owner, "payOrder", credit.clone()).await;
        assert_eq!((text(&paid["order"]["status"]), text(&paid["payment"]["status"])), ("IN_PROGRESS".into(), "SUCCEEDED".into()));
        assert_eq!(wallet(&world).await, amounts("19000", "0", "0"));
        let again = world.done(&owner, "payOrder", credit).await;
        assert_eq!((again["replayed"].clone(), again["payment"]["id"].clone()), (json!(true), paid["payment"]["id"].clone()));
        let more = json!({ "orderId": id, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        assert_eq!(world.refused(&owner, "payOrder", more).await, "ORDER_PAID");
        assert_eq!(world.refused(&owner, "cancelOrder", json!({ "orderId": id })).await, "ORDER_PAID");
    }

    async fn credit_and_gateway_are_taken_together_or_not_at_all(world: World) {
        let owner = world.token(Role::Owner);
        world.grant("CASH", "60000").await;
        world.grant("PROMOTIONAL", "40000").await;
        let both = json!({ "topUpAndPay": { "gateway": "SANDBOX" } });
        let begun = order_by(&world, both.clone()).await;
        assert_eq!(wallet(&world).await, amounts("60000", "40000", "100000"), "all credit is held");
        // What is held can't be spent.
        let (quote, _) = world.quote(project(), None).await;
        let other = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": key() });
        let refused = world.act(&owner, "placeOrder", other).await;
        assert_eq!(refused["userErrors"][0]["available"]["amount"], "0");
        press(&world, &reference(&begun), "DECLINE").await;
        assert_eq!(wallet(&world).await, amounts("60000", "40000", "0"), "what was held is free again");

        let again = json!({ "orderId": begun["order"]["id"], "payment": both, "idempotencyKey": key() });
        let begun = world.done(&owner, "payOrder", again).await;
        assert_eq!(wallet(&world).await, amounts("60000", "40000", "100000"));
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(wallet(&world).await, amounts("0", "0", "0"));
        let shown = payment(&world, &begun).await;
        let part = |name: &str| text(&shown[name]["amount"]);
        assert_eq!((part("amount"), part("cash"), part("promotional"), part("throughGateway")), ("181000".into(), "60000".into(), "40000".into(), "81000".into()));
        // It goes back to where it came from: the gateway's part as cash.
        let token = world.token(Role::Product);
        let task = world.data(&token, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({})).await;
        let report = json!({ "taskId": task["provisioningTasks"]["nodes"][0]["id"], "outcome": { "failed": { "reason": "no capacity" } } });
        world.done(&token, "reportProvisioning", report).await;
        assert_eq!(wallet(&world).await, amounts("141000", "40000", "0"));
    }

    async fn enough_credit_needs_no_gateway_and_a_small_rest_is_made_large_enough(world: World) {
        world.grant("CASH", "180900").await;
        // 100 dong are less than the gateway takes: it takes its least, and less credit is used.
        let begun = order_by(&world, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        assert_eq!(wallet(&world).await, amounts("180900", "0", "180000"));
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(wallet(&world).await, amounts("900", "0", "0"));
        world.grant("CASH", "181000").await;
        let paid = order_by(&world, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        assert_eq!((text(&paid["order"]["status"]), paid["nextAction"].clone()), ("IN_PROGRESS".into(), Value::Null));
        assert_eq!(wallet(&world).await, amounts("900", "0", "0"));
    }

    async fn money_for_a_cancelled_order_is_credit_and_its_quote_and_coupon_are_free(world: World) {
        let owner = world.token(Role::Owner);
        let coupon = json!({ "code": "ONCE", "value": { "percent": "10" }, "currency": "VND", "totalLimit": 1 });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let (quote, _) = world.quote(server("s-general-1x1"), Some("ONCE")).await;
        let place = |key: &str| json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key });
        let begun = world.done(&owner, "placeOrder", place("one")).await;
        assert_eq!(world.refused(&owner, "placeOrder", place("two")).await, "QUOTE_ALREADY_ORDERED");
        let cancel = json!({ "orderId": begun["order"]["id"] });
        let cancelled = world.done(&owner, "cancelOrder", cancel.clone()).await;
        assert_eq!((text(&cancelled["order"]["status"]), text(&cancelled["order"]["cancelledBecause"])), ("CANCELLED".into(), "CUSTOMER".into()));
        world.done(&owner, "cancelOrder", cancel).await;
        let pay = json!({ "orderId": begun["order"]["id"], "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        assert_eq!(world.refused(&owner, "payOrder", pay).await, "ORDER_CANCELLED");

        let anew = world.done(&owner, "placeOrder", place("two")).await;
        assert_eq!(anew["order"]["status"], "AWAITING_PAYMENT");
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(wallet(&world).await, amounts("162900", "0", "0"));
        let late = payment(&world, &begun).await;
        assert_eq!((late["status"].clone(), late["becameCredit"].clone()), (json!("SUCCEEDED"), json!(true)));
        press(&world, &reference(&anew), "APPROVE").await;
        assert_eq!(order(&world, &anew).await["status"], "IN_PROGRESS");
        assert_eq!(wallet(&world).await, amounts("162900", "0", "0"));
    }

    async fn a_second_payment_of_one_order_is_credit(world: World) {
        let owner = world.token(Role::Owner);
        let first = ordered(&world).await;
        // Back, and another way in a second tab: both are paid.
        let again = json!({ "orderId": first["order"]["id"], "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        let second = world.done(&owner, "payOrder", again).await;
        press(&world, &reference(&first), "APPROVE").await;
        assert_eq!(order(&world, &first).await["status"], "IN_PROGRESS");
        press(&world, &reference(&second), "PAY_TWICE").await;
        assert_eq!(wallet(&world).await, amounts("362000", "0", "0"), "both captures of the second one");
    }

    async fn nobody_tells_and_the_engine_asks(world: World) {
        let silent = ordered(&world).await;
        press(&world, &reference(&silent), "APPROVE_SILENTLY").await;
        let unreachable = top_up(&world, "50000").await;
        press(&world, &reference(&unreachable), "APPROVE_UNREACHABLE").await;
        let slow = top_up(&world, "70000").await;
        press(&world, &reference(&slow), "APPROVE_SLOWLY").await;
        assert_eq!(order(&world, &silent).await["status"], "AWAITING_PAYMENT");
        world.advance("2023-03-06T00:02:00+07:00").await;
        assert_eq!(order(&world, &silent).await["status"], "IN_PROGRESS");
        assert_eq!(wallet(&world).await, amounts("70000", "0", "0"), "asked before it was told");
        assert_eq!(payment(&world, &unreachable).await["status"], "PENDING", "no answer is not a no");
        world.advance("2023-03-06T01:00:00+07:00").await;
        assert_eq!(wallet(&world).await, amounts("120000", "0", "0"));
    }

    async fn what_nobody_pays_expires_and_late_money_is_credit(world: World) {
        world.grant("CASH", "100000").await;
        let begun = order_by(&world, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        let passed = world.advance("2023-03-06T00:18:00+07:00").await;
        assert!(!passed.more, "what was due is done");
        assert_eq!(payment(&world, &begun).await["status"], "EXPIRED");
        assert_eq!(wallet(&world).await, amounts("100000", "0", "0"));
        assert_eq!(order(&world, &begun).await["status"], "AWAITING_PAYMENT");
        world.advance("2023-03-06T00:21:00+07:00").await;
        let over = order(&world, &begun).await;
        assert_eq!((over["status"].clone(), over["cancelledBecause"].clone()), (json!("CANCELLED"), json!("EXPIRED")));
        let pay = json!({ "orderId": begun["order"]["id"], "payment": { "credit": true }, "idempotencyKey": key() });
        assert_eq!(world.refused(&world.token(Role::Owner), "payOrder", pay).await, "ORDER_EXPIRED");
        press(&world, &reference(&begun), "PAY_LATE").await;
        assert_eq!(wallet(&world).await, amounts("181000", "0", "0"));
        assert_eq!(events(&world).await, ["WALLET_CREDITED", "PAYMENT_FAILED", "ORDER_CANCELLED", "PAYMENT_SUCCEEDED", "WALLET_CREDITED"]);
    }

    async fn an_order_is_not_given_up_before_its_gateway_has_said_no(world: World) {
        let begun = ordered(&world).await;
        execute(&world.app, "update gateway_payment set gateway = 'AWAY'").await;
        world.advance("2023-03-06T06:00:00+07:00").await;
        assert_eq!(order(&world, &begun).await["status"], "AWAITING_PAYMENT");
        assert_eq!(payment(&world, &begun).await["status"], "PENDING");
        execute(&world.app, "update gateway_payment set gateway = 'SANDBOX'").await;
        world.advance("2023-03-08T00:00:00+07:00").await;
        assert_eq!(order(&world, &begun).await["cancelledBecause"], "EXPIRED");
    }

    async fn another_amount_or_currency_is_kept_for_an_operator(world: World) {
        for (button, told) in [("WRONG_AMOUNT", "49999"), ("WRONG_CURRENCY", "50000")] {
            let begun = top_up(&world, "50000").await;
            press(&world, &reference(&begun), button).await;
            let held = payment(&world, &begun).await;
            assert_eq!((held["status"].clone(), held["failure"]["code"].clone()), (json!("FAILED"), json!("REJECTED")), "{told}");
        }
        assert_eq!(wallet(&world).await, amounts("0", "0", "0"));
        assert_eq!(events(&world).await, ["PAYMENT_HELD", "PAYMENT_HELD"]);
        let operator = world.token(Role::Operator);
        let listed = world.data(&operator, "{ quarantine(first: 10) { nodes { id amount { amount currency } payment { code } } } }", json!({})).await;
        let listed = &listed["quarantine"]["nodes"];
        assert_eq!((listed[0]["amount"].clone(), listed[1]["amount"].clone()),
            (json!({ "amount": "49999", "currency": "VND" }), json!({ "amount": "500.00", "currency": "USD" })));
        let decide = |index: usize, decision: &str| json!({ "quarantineId": listed[index]["id"], "decision": decision, "reason": "looked into" });
        assert_eq!(world.refused(&operator, "resolveQuarantine", decide(1, "CREDIT")).await, "CURRENCY_MISMATCH");
        world.done(&operator, "resolveQuarantine", decide(1, "RETURNED")).await;
        world.done(&operator, "resolveQuarantine", decide(0, "CREDIT")).await;
        world.done(&operator, "resolveQuarantine", decide(0, "CREDIT")).await;
        assert_eq!(world.refused(&operator, "resolveQuarantine", decide(0, "RETURNED")).await, "QUARANTINE_RESOLVED");
        assert_eq!(wallet(&world).await, amounts("49999", "0", "0"));
    }

    async fn what_is_not_the_gateways_is_not_believed(world: World) {
        for (button, verdict) in [("FORGE", "SIGNATURE"), ("STALE", "STALE"), ("WRONG_MERCHANT", "MERCHANT")] {
            let begun = top_up(&world, "50000").await;
            press(&world, &reference(&begun), button).await;
            assert_eq!(payment(&world, &begun).await["status"], "PENDING", "{button}");
            assert_eq!(verdicts(&world).await.last().unwrap(), verdict);
        }
        // From outside: nothing is believed without a signature, and what is unknown is not there.
        let post = |gateway: &str, body: &'static str| {
            world.http().post(format!("http://{}/webhooks/{gateway}", world.address())).body(body).send()
        };
        assert_eq!(post("sandbox", "{}").await.unwrap().status(), 400);
        assert_eq!(post("piggybank", "{}").await.unwrap().status(), 404);
        assert_eq!(wallet(&world).await, amounts("0", "0", "0"));
        // The money was taken all the same: whoever asks learns it.
        world.advance("2023-03-06T00:02:00+07:00").await;
        assert_eq!(wallet(&world).await, amounts("150000", "0", "0"));
    }

    async fn a_late_failure_does_not_undo_a_success(world: World) {
        let begun = ordered(&world).await;
        press(&world, &reference(&begun), "APPROVE_OUT_OF_ORDER").await;
        assert_eq!(payment(&world, &begun).await["status"], "SUCCEEDED");
        assert_eq!(order(&world, &begun).await["status"], "IN_PROGRESS");
        assert_eq!(verdicts(&world).await, ["TAKEN", "TAKEN", "TAKEN"]);
    }

    async fn what_a_gateway_looks_into_is_neither_paid_nor_failed(world: World) {
        let begun = ordered(&world).await;
        press(&world, &reference(&begun), "REVIEW").await;
        let shown = payment(&world, &begun).await;
        assert_eq!((shown["status"].clone(), shown["isReviewed"].clone()), (json!("PENDING"), json!(true)));
        world.advance("2023-03-07T00:00:00+07:00").await;
        assert_eq!(order(&world, &begun).await["status"], "AWAITING_PAYMENT", "it is not given up meanwhile");
        press(&world, &reference(&begun), "CLEAR").await;
        assert_eq!(order(&world, &begun).await["status"], "IN_PROGRESS");
    }

    async fn a_gateway_that_refuses_or_does_not_answer_leaves_the_order_to_be_paid(world: World) {
        let owner = world.token(Role::Owner);
        world.press("next", "REFUSE_BEGIN").await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "refused" });
        let refused = world.act(&owner, "placeOrder", input).await;
        assert_eq!((refused["userErrors"][0]["code"].clone(), refused["userErrors"][0]["retryable"].clone()), (json!("GATEWAY_REFUSED"), json!(false)));
        assert_eq!((refused["order"]["status"].clone(), refused["payment"]["status"].clone()), (json!("AWAITING_PAYMENT"), json!("FAILED")));
        let again = world.act(&owner, "placeOrder", json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "refused" })).await;
        assert_eq!(again["userErrors"], refused["userErrors"], "told again as it was told first");

        world.press("next", "LOSE_BEGIN").await;
        let input = json!({ "orderId": refused["order"]["id"], "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "lost" });
        let lost = world.act(&owner, "payOrder", input.clone()).await;
        assert_eq!((lost["userErrors"][0]["code"].clone(), lost["userErrors"][0]["retryable"].clone()), (json!("GATEWAY_UNAVAILABLE"), json!(true)));
        // The same call again asks again, and this gateway answers the same checkout.
        let begun = world.done(&owner, "payOrder", input).await;
        assert_eq!(begun["payment"]["id"], lost["payment"]["id"]);
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(order(&world, &refused).await["status"], "IN_PROGRESS");
    }

    async fn money_for_what_has_changed_meanwhile_is_credit(world: World) {
        let owner = world.token(Role::Owner);
        world.grant("CASH", "400000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let data = world.data(&owner, "{ resources(first: 1) { nodes { id } } }", json!({})).await;
        let renew = json!({ "renew": { "resourceId": data["resources"]["nodes"][0]["id"], "term": { "months": 1 } } });
        let quote = world.done(&owner, "createQuote", json!({ "items": [renew.clone()] })).await["quote"]["id"].take();
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        let begun = world.done(&owner, "placeOrder", input).await;
        // Somebody renews it from credit while the payer is at the gateway.
        world.order(renew).await;
        assert_eq!(wallet(&world).await, amounts("38000", "0", "0"));
        press(&world, &reference(&begun), "APPROVE").await;
        let over = order(&world, &begun).await;
        assert_eq!((over["status"].clone(), over["cancelledBecause"].clone()), (json!("CANCELLED"), json!("STALE")));
        assert_eq!(payment(&world, &begun).await["becameCredit"], true);
        assert_eq!(wallet(&world).await, amounts("219000", "0", "0"));
    }

    async fn an_order_that_is_given_up_holds_nothing_any_more(world: World) {
        let owner = world.token(Role::Owner);
        world.grant("CASH", "300000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let data = world.data(&owner, "{ resources(first: 1) { nodes { id } } }", json!({})).await;
        let renew = json!({ "renew": { "resourceId": data["resources"]["nodes"][0]["id"], "term": { "months": 1 } } });
        let quote = world.done(&owner, "createQuote", json!({ "items": [renew.clone()] })).await["quote"]["id"].take();
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": key() });
        let begun = world.done(&owner, "placeOrder", input).await;
        // A second try holds credit; then somebody renews the server another way, and the first try is paid.
        let both = json!({ "orderId": begun["order"]["id"], "payment": { "topUpAndPay": { "gateway": "SANDBOX" } }, "idempotencyKey": key() });
        world.done(&owner, "payOrder", both).await;
        assert_eq!(wallet(&world).await.2, "119000");
        world.grant("CASH", "200000").await;
        world.order(renew).await;
        press(&world, &reference(&begun), "APPROVE").await;
        assert_eq!(order(&world, &begun).await["cancelledBecause"], "STALE");
        assert_eq!(wallet(&world).await.2, "0", "with the order goes what was held for it");
    }

    async fn fifty_notifications_and_questions_at_once_settle_once(world: World) {
        let begun = ordered(&world).await;
        let reference = reference(&begun);
        // Paid, and told by nobody yet.
        world.app.sandbox.as_ref().unwrap().press(&reference, billing_gateway::gateways::sandbox::Press::Approve).await.unwrap();
        let due = world.app.sandbox.as_ref().unwrap().due(world.app.clock.now(), 10).await.unwrap().remove(0);
        let told = join_all((0..25).map(|_| {
            let mut post = world.http().post(format!("http://{}/webhooks/sandbox", world.address())).body(due.body.clone());
            for (name, value) in &due.headers {
                post = post.header(name, value);
            }
            post.send()
        }));
        let came_back = join_all((0..25).map(|_| {
            let id = text(&begun["payment"]["id"]);
            let query = "query($id: ID!) { node(id: $id) { ... on Payment { status } } }";
            let token = world.token(Role::Owner);
            let world = &world;
            async move { world.data(&token, query, json!({ "id": id })).await }
        }));
        let (told, _) = futures_util::join!(told, came_back);
        assert!(told.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
        assert_eq!(order(&world, &begun).await["status"], "IN_PROGRESS");
        let verdicts = verdicts(&world).await;
        assert_eq!(verdicts.iter().filter(|verdict| *verdict == "TAKEN").count(), 1);
        assert_eq!(verdicts.len(), 25);
    }
}
