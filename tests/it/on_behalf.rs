//! Paying on behalf: somebody without an account pays an order by a link, once; all that comes of it is the asker's.

use entity::enums::Role;
use futures_util::future::join_all;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::support::post::{Post, pass_of};
use crate::support::{World, on_every_store, server, text};

const PAYER: &str = "boss@example.com";

fn key() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn asked(email: &str) -> Value {
    json!({ "onBehalf": { "gateway": "SANDBOX", "payerEmail": email } })
}

async fn order_by(world: &World, payment: Value) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": payment, "idempotencyKey": key() });
    world.act(&world.token(Role::Owner), "placeOrder", input).await
}

/// Orders a server that somebody else is asked to pay, and answers the order and the link.
async fn ask(world: &World) -> (Value, String) {
    let placed = order_by(world, asked(PAYER)).await;
    assert_eq!(placed["userErrors"], json!([]), "{placed}");
    (placed["order"].clone(), text(&placed["nextAction"]["url"]))
}

async fn pay_by(world: &World, order: &Value, payment: Value) -> Value {
    let input = json!({ "orderId": order["id"], "payment": payment, "idempotencyKey": key() });
    world.act(&world.token(Role::Owner), "payOrder", input).await
}

/// The page behind a link: its status, its policy and itself.
async fn opened(world: &World, link: &str) -> (u16, String) {
    let page = world.http().get(link).send().await.unwrap();
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert_eq!(page.headers()["cache-control"], "no-store");
    (page.status().as_u16(), page.text().await.unwrap())
}

/// Presses the page's button: where it leads to, or what is shown.
async fn pressed(link: &str) -> Result<String, (u16, String)> {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let answer = client.post(link).send().await.unwrap();
    if answer.status() == 303 {
        return Ok(answer.headers()["location"].to_str().unwrap().to_owned());
    }
    Err((answer.status().as_u16(), answer.text().await.unwrap()))
}

fn reference(checkout: &str) -> String {
    checkout.rsplit('/').next().unwrap().to_owned()
}

async fn at_checkout(world: &World, checkout: &str, press: &str) {
    world.press(&format!("checkouts/{}", reference(checkout)), press).await;
}

/// The order's status, its payments, and the link that can be used still.
async fn standing(world: &World, order: &Value) -> (String, Vec<(String, String)>, Value) {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status payments { method status becameCredit } paymentLink { url } } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": order["id"] }))
        .await;
    let order = &data["node"];
    let payments = order["payments"].as_array().unwrap();
    let payments = payments.iter().map(|payment| {
        let became = if payment["becameCredit"] == json!(true) {
            "CREDIT"
        } else {
            payment["status"].as_str().unwrap()
        };
        (text(&payment["method"]), became.to_owned())
    });
    (
        text(&order["status"]),
        payments.collect(),
        order["paymentLink"]["url"].clone(),
    )
}

fn on_behalf(became: &[&str]) -> Vec<(String, String)> {
    became
        .iter()
        .map(|status| ("ON_BEHALF".to_owned(), (*status).to_owned()))
        .collect()
}

async fn cash(world: &World) -> String {
    let data = world
        .data(
            &world.token(Role::Owner),
            "{ wallet { cash { amount } held { amount } } }",
            json!({}),
        )
        .await;
    assert_eq!(data["wallet"]["held"]["amount"], "0");
    text(&data["wallet"]["cash"]["amount"])
}

async fn report(world: &World, outcome: Value) {
    let token = world.token(Role::Product);
    let task = world
        .data(&token, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({}))
        .await;
    let report = json!({ "taskId": task["provisioningTasks"]["nodes"][0]["id"], "outcome": outcome });
    world.done(&token, "reportProvisioning", report).await;
}

on_every_store! {
    async fn somebody_else_sees_what_and_for_whom_pays_once_and_all_of_it_is_the_askers(world: World) {
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": asked(" Boss@Example.com "), "idempotencyKey": "ask-1" });
        let owner = world.token(Role::Owner);
        let placed = world.done(&owner, "placeOrder", input.clone()).await;
        assert_eq!((&placed["order"]["status"], &placed["payment"]), (&json!("AWAITING_PAYMENT"), &Value::Null));
        assert_eq!(placed["nextAction"]["payerEmail"], PAYER);
        assert!(text(&placed["nextAction"]["expiresAt"]).starts_with("2023-03-08T17:00:0"), "three days: {placed}");
        let link = text(&placed["nextAction"]["url"]);
        let again = world.done(&owner, "placeOrder", input).await;
        assert_eq!((&again["nextAction"], &again["order"]["id"]), (&placed["nextAction"], &placed["order"]["id"]));

        // It is looked at without beginning anything, and says nothing but this.
        let (status, page) = opened(&world, &link).await;
        assert!(status == 200 && page.contains("<form method=\"post\""), "{page}");
        for told in ["ACME Joint Stock Company", "New: web (vServer)", "181,000 VND"] {
            assert!(page.contains(told), "{told}: {page}");
        }
        for untold in [text(&placed["order"]["code"]), PAYER.to_owned(), quote.clone()] {
            assert!(!page.contains(&untold), "{untold}: {page}");
        }
        assert_eq!(standing(&world, &placed["order"]).await, ("AWAITING_PAYMENT".into(), vec![], json!(link)));

        let checkout = pressed(&link).await.unwrap();
        assert_eq!(standing(&world, &placed["order"]).await.1, on_behalf(&["PENDING"]));
        at_checkout(&world, &checkout, "APPROVE").await;
        assert_eq!(standing(&world, &placed["order"]).await, ("IN_PROGRESS".into(), on_behalf(&["SUCCEEDED"]), Value::Null));
        assert_eq!(cash(&world).await, "0");
        let (status, page) = opened(&world, &link).await;
        assert!(status == 200 && page.contains("is paid") && !page.contains("<form") && !page.contains("181,000"), "{page}");
        assert!(pressed(&link).await.unwrap_err().1.contains("is paid"));
        assert_eq!(standing(&world, &placed["order"]).await.1.len(), 1);

        // The payer comes back from the gateway to a page that does not give the link away.
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        let shown = client.get(&checkout).header("accept", "application/json").send().await.unwrap();
        let back = text(&shown.json::<Value>().await.unwrap()["return_url"]);
        let back = client.get(back).send().await.unwrap();
        assert_eq!((back.status().as_u16(), back.headers().get("location")), (200, None));
        let back = back.text().await.unwrap();
        assert!(back.contains("has succeeded") && !back.contains("/pay/"), "{back}");

        report(&world, json!({ "succeeded": { "externalId": "srv-1" } })).await;
        let invoices = world.data(&owner, "{ invoices(first: 1) { nodes { total { amount } status } } }", json!({})).await;
        assert_eq!(invoices["invoices"]["nodes"][0], json!({ "total": { "amount": "181000" }, "status": "PAID" }));
    }

    async fn what_can_not_be_provisioned_goes_back_to_the_asker(world: World) {
        let (_, link) = ask(&world).await;
        at_checkout(&world, &pressed(&link).await.unwrap(), "APPROVE").await;
        report(&world, json!({ "failed": { "reason": "no capacity" } })).await;
        assert_eq!(cash(&world).await, "181000");
        let payments = world.data(&world.token(Role::Owner), "{ payments(first: 1) { nodes { id } } }", json!({})).await;
        let input = json!({ "paymentId": payments["payments"]["nodes"][0]["id"], "reason": "asked for", "idempotencyKey": key() });
        assert_eq!(world.refused(&world.token(Role::Operator), "refundPayment", input).await, "NOT_REFUNDABLE");
    }

    async fn a_nervous_payer_pays_once(world: World) {
        let (order, link) = ask(&world).await;
        let mut led: Vec<String> = join_all((0..8).map(|_| pressed(&link))).await.into_iter().map(|led| led.unwrap()).collect();
        led.dedup();
        assert_eq!(led.len(), 1, "{led:?}");
        assert_eq!(standing(&world, &order).await.1, on_behalf(&["PENDING"]));
        at_checkout(&world, &led[0], "PAY_TWICE").await;
        assert_eq!(standing(&world, &order).await, ("IN_PROGRESS".into(), on_behalf(&["SUCCEEDED"]), Value::Null));
        assert_eq!(cash(&world).await, "181000", "what was paid the second time is the asker's credit");
    }

    async fn who_is_declined_tries_again_and_who_is_looked_into_waits(world: World) {
        let (order, link) = ask(&world).await;
        let first = pressed(&link).await.unwrap();
        at_checkout(&world, &first, "DECLINE_FUNDS").await;
        let second = pressed(&link).await.unwrap();
        assert_ne!(first, second);
        at_checkout(&world, &second, "REVIEW").await;
        for (_, page) in [opened(&world, &link).await, pressed(&link).await.unwrap_err()] {
            assert!(page.contains("on its way") && !page.contains("<form"), "{page}");
        }
        at_checkout(&world, &second, "CLEAR").await;
        assert_eq!(standing(&world, &order).await, ("IN_PROGRESS".into(), on_behalf(&["FAILED", "SUCCEEDED"]), Value::Null));
    }

    async fn a_link_is_good_for_three_days_and_what_is_begun_in_its_last_minute_pays_still(world: World) {
        let (late, late_link) = ask(&world).await;
        let (order, link) = ask(&world).await;
        world.advance("2023-03-08T23:59:00+07:00").await;
        assert_eq!(opened(&world, &late_link).await.0, 200);
        let checkout = pressed(&link).await.unwrap();
        let query = "query($id: ID!) { node(id: $id) { ... on Order { expiresAt } } }";
        let data = world.data(&world.token(Role::Owner), query, json!({ "id": order["id"] })).await;
        let until = text(&data["node"]["expiresAt"]);
        assert!(until.as_str() > "2023-03-08T17:18:59", "it waits as long as its payer may pay: {until}");
        world.advance("2023-03-09T00:01:00+07:00").await;
        let (status, page) = opened(&world, &late_link).await;
        assert!(status == 410 && !page.contains("<form"), "{page}");
        assert_eq!(pressed(&late_link).await.unwrap_err().0, 410);
        let (status, payments, link_of) = standing(&world, &late).await;
        assert_eq!((status.as_str(), payments.len(), link_of), ("CANCELLED", 0, Value::Null));
        // Who was led to the gateway in time finds the way back to it, and pays.
        assert_eq!(pressed(&link).await.unwrap(), checkout);
        at_checkout(&world, &checkout, "APPROVE").await;
        assert_eq!(standing(&world, &order).await.0, "IN_PROGRESS");
    }

    async fn an_attempt_that_was_left_is_waited_for_before_another_is_begun(world: World) {
        let (order, link) = ask(&world).await;
        let first = pressed(&link).await.unwrap();
        // Its time is over, and the gateway has not been asked yet whether it was paid in its last moment.
        world.app.set_clock(crate::support::at("2023-03-06T00:16:00+07:00")).await.unwrap();
        let (status, page) = pressed(&link).await.unwrap_err();
        assert!(status == 200 && page.contains("on its way"), "{page}");
        world.advance("2023-03-06T00:20:00+07:00").await;
        assert_eq!(standing(&world, &order).await.1, on_behalf(&["EXPIRED"]));
        let second = pressed(&link).await.unwrap();
        assert_ne!(first, second);
        at_checkout(&world, &second, "APPROVE").await;
        assert_eq!(standing(&world, &order).await.0, "IN_PROGRESS");
    }

    async fn what_would_have_ended_by_then_is_paid_by_nobody(world: World) {
        let mut wanted = server("s-general-1x1");
        wanted["term"] = json!({ "until": "2023-03-07T12:00:00+07:00" });
        let (quote, _) = world.quote(wanted, None).await;
        let input = json!({ "quoteId": quote, "payment": asked(PAYER), "idempotencyKey": key() });
        let placed = world.done(&world.token(Role::Owner), "placeOrder", input).await;
        let link = text(&placed["nextAction"]["url"]);
        world.advance("2023-03-07T12:01:00+07:00").await;
        let (_, page) = pressed(&link).await.unwrap_err();
        assert!(page.contains("nothing was paid. Tell ACME"), "{page}");
        assert_eq!(standing(&world, &placed["order"]).await.1, []);
    }

    async fn the_asker_may_pay_another_way_meanwhile_and_money_that_comes_then_is_credit(world: World) {
        let (order, link) = ask(&world).await;
        let checkout = pressed(&link).await.unwrap();
        world.grant("CASH", "200000").await;
        let paid = pay_by(&world, &order, json!({ "credit": true })).await;
        assert_eq!((&paid["userErrors"], &paid["nextAction"]), (&json!([]), &Value::Null));
        assert!(opened(&world, &link).await.1.contains("is paid"));
        at_checkout(&world, &checkout, "APPROVE").await;
        assert_eq!(cash(&world).await, "200000");
        let (_, payments, _) = standing(&world, &order).await;
        assert!(payments.contains(&("ON_BEHALF".to_owned(), "CREDIT".to_owned())), "{payments:?}");
    }

    async fn who_sends_an_order_again_is_shown_their_own_payment_and_not_the_payers(world: World) {
        let owner = world.token(Role::Owner);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "again" });
        let placed = world.done(&owner, "placeOrder", input.clone()).await;
        let asking = pay_by(&world, &placed["order"], asked(PAYER)).await;
        let theirs = pressed(&text(&asking["nextAction"]["url"])).await.unwrap();
        let again = world.done(&owner, "placeOrder", input).await;
        assert_eq!((&again["replayed"], &again["payment"]["id"]), (&json!(true), &placed["payment"]["id"]));
        assert!(!again.to_string().contains(&reference(&theirs)), "{again}");
    }

    async fn what_the_asker_holds_for_another_payment_is_free_when_the_link_has_paid(world: World) {
        let (order, link) = ask(&world).await;
        let theirs = pressed(&link).await.unwrap();
        world.grant("CASH", "50000").await;
        let both = pay_by(&world, &order, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        let ours = text(&both["nextAction"]["url"]);
        at_checkout(&world, &theirs, "APPROVE").await;
        assert_eq!(standing(&world, &order).await.0, "IN_PROGRESS");
        assert_eq!(cash(&world).await, "50000", "and nothing is held");
        at_checkout(&world, &ours, "APPROVE").await;
        assert_eq!(cash(&world).await, "181000", "what came too late is credit");
    }

    async fn another_link_takes_the_place_of_the_first_and_cancelling_ends_both(world: World) {
        world.grant("CASH", "50000").await;
        let begun = order_by(&world, json!({ "topUpAndPay": { "gateway": "SANDBOX" } })).await;
        let order = begun["order"].clone();
        let input = json!({ "orderId": order["id"], "payment": asked("one@example.com"), "idempotencyKey": "first" });
        let first = world.done(&world.token(Role::Owner), "payOrder", input.clone()).await;
        assert_eq!((&first["payment"], &first["nextAction"]["payerEmail"]), (&Value::Null, &json!("one@example.com")));
        assert_eq!(cash(&world).await, "50000", "and nothing is held for the payment that was begun before");
        let replayed = world.done(&world.token(Role::Owner), "payOrder", input).await;
        assert_eq!((&replayed["nextAction"], &replayed["replayed"]), (&first["nextAction"], &json!(true)));
        let second = pay_by(&world, &order, asked("two@example.com")).await;
        let (first, second) = (text(&first["nextAction"]["url"]), text(&second["nextAction"]["url"]));
        assert_eq!(opened(&world, &first).await.0, 410);
        assert_eq!(pressed(&first).await.unwrap_err().0, 410);
        assert_eq!(standing(&world, &order).await.2, json!(second));
        world.done(&world.token(Role::Owner), "cancelOrder", json!({ "orderId": order["id"] })).await;
        let (status, page) = pressed(&second).await.unwrap_err();
        assert!(status == 410 && page.contains("cancelled"), "{page}");
        let refused = pay_by(&world, &order, asked(PAYER)).await;
        assert_eq!(refused["userErrors"][0]["code"], "ORDER_CANCELLED");
        // Those are no links at all.
        for unknown in ["x", &"0".repeat(64), &"0".repeat(65), "..%2f..", "%00"] {
            let link = format!("http://{}/pay/{unknown}", world.address());
            assert_eq!((opened(&world, &link).await.0, pressed(&link).await.unwrap_err().0), (404, 404), "{unknown}");
        }
    }

    async fn an_account_asks_nobody_who_can_not_be_asked(world: World) {
        for (gateway, email, code, path) in [
            ("NO_SUCH", PAYER, "UNKNOWN_GATEWAY", "gateway"),
            ("BANK_TRANSFER", PAYER, "UNKNOWN_GATEWAY", "gateway"),
            ("SANDBOX", "boss", "INVALID_EMAIL", "payerEmail"),
            ("SANDBOX", "boss@example.com\r\nBcc: all@example.com", "INVALID_EMAIL", "payerEmail"),
        ] {
            let refused = order_by(&world, json!({ "onBehalf": { "gateway": gateway, "payerEmail": email } })).await;
            let error = &refused["userErrors"][0];
            assert_eq!((&error["code"], &error["path"]), (&json!(code), &json!(["payment", "onBehalf", path])), "{refused}");
            assert_eq!(refused["order"], Value::Null);
        }
        let (order, _) = ask(&world).await;
        for _ in 1..50 {
            assert_eq!(pay_by(&world, &order, asked(PAYER)).await["userErrors"], json!([]));
        }
        let refused = pay_by(&world, &order, asked(PAYER)).await;
        assert_eq!(refused["userErrors"][0]["code"], "LIMIT_EXCEEDED");
        let viewer = world.ask(&world.token(Role::Viewer), "query($id: ID!) { node(id: $id) { ... on Order { paymentLink { url } } } }", json!({ "id": order["id"] })).await;
        assert_eq!(viewer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{viewer}");
    }

    async fn the_link_goes_out_by_e_mail_unless_it_is_overtaken_and_who_reads_the_message_later_has_no_link(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        let (_, link) = ask(&world).await;
        let (gone, _) = ask(&world).await;
        world.done(&world.token(Role::Owner), "cancelOrder", json!({ "orderId": gone["id"] })).await;
        let passed = pass_of(&world.app, Some(&mailer), chrono::TimeDelta::zero()).await;
        assert_eq!((passed.delivered, passed.dead), (1, 1));
        let took = post.took();
        assert_eq!(took[0]["to"], json!([PAYER]));
        assert_eq!(took[0]["headers"]["subject"], "ACME Joint Stock Company asks you to pay 181,000 VND");
        for told in [&took[0]["text"], &took[0]["html"]] {
            let told = text(told);
            for part in [link.as_str(), "New: vServer", "181,000 VND", "2023-03-09 00:00"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(!told.contains("web"), "what the customer calls it is their own text, and this goes to a stranger: {told}");
        }
        let query = "{ mailDeliveries(first: 5) { nodes { status lastError target event { type } message { subject text html } } } }";
        let shown = world.data(&world.token(Role::Owner), query, json!({})).await;
        let shown = shown["mailDeliveries"]["nodes"].as_array().unwrap();
        let status = |at: usize| text(&shown[at]["status"]);
        assert_eq!((status(0), status(1)), ("DEAD".into(), "DELIVERED".into()));
        assert!(text(&shown[0]["lastError"]).contains("overtaken"));
        assert!(text(&shown[1]["message"]["subject"]).contains("asks you to pay") && !shown[1].to_string().contains("/pay/"), "{shown:?}");
    }
}
