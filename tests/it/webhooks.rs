//! Webhooks: what is told is signed as others check it, sent until it is taken, seen, sent anew; and a product's service
//! hears what it is to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::time::Duration;

use billing_gateway::clock::machine_now;
use billing_gateway::notify::{Passed, Sender};
use billing_gateway::store::{Scope, deliveries};
use chrono::{DateTime, TimeDelta, Utc};
use entity::account_event;
use entity::enums::{EventType, Role};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::clients::program;
use crate::support::{World, on_every_store, server, text};

const PATIENCE: Duration = Duration::from_secs(20);

/// A receiver that checks signatures with the specification's own library.
struct Receiver {
    process: Child,
    stdin: ChildStdin,
    lines: Lines<String>,
    port: u16,
}

impl Receiver {
    /// None where what it needs is not installed.
    fn start() -> Option<Self> {
        let mut process = program(".venv/bin/python", "webhook-receiver.py", ".venv")?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let port = lines.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        let stdin = process.stdin.take().unwrap();
        Some(Self {
            process,
            stdin,
            lines,
            port,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Says which secrets sign what comes to a path.
    fn knows(&mut self, path: &str, secrets: &[&str]) {
        writeln!(self.stdin, "{path} {}", secrets.join(" ")).unwrap();
        assert_eq!(self.next()["knows"], path);
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// What came, all of it signed: how many are expected.
    fn requests(&self, count: usize) -> Vec<Value> {
        let requests: Vec<Value> = (0..count).map(|_| self.next()).collect();
        for request in &requests {
            assert_eq!(request["verified"], true, "{request}");
        }
        assert!(self.lines.try_recv().is_err(), "one more came");
        requests
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kinds(requests: &[Value]) -> Vec<String> {
    requests.iter().map(|request| text(&request["body"]["type"])).collect()
}

async fn act(world: &World, token: &str, name: &str, kind: &str, fields: &str, input: Value) -> Value {
    let query =
        format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {fields} userErrors {{ code path }} }} }}");
    let mut data = world.data(token, &query, json!({ "input": input })).await;
    data[name].take()
}

const WEBHOOK: &str = "webhook { id url events status failingSince disabledReason product { code } } secret";

async fn create(world: &World, token: &str, input: Value) -> Value {
    act(world, token, "createWebhook", "CreateWebhookInput", WEBHOOK, input).await
}

async fn update(world: &World, token: &str, input: Value) -> Value {
    act(world, token, "updateWebhook", "UpdateWebhookInput", WEBHOOK, input).await
}

/// A customer's webhook at a path of the receiver, which knows its secret.
async fn hooked(world: &World, receiver: &mut Receiver, path: &str, events: Value) -> Value {
    let input = json!({ "url": receiver.url(path), "events": events });
    let mut made = create(world, &world.token(Role::Owner), input).await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    receiver.knows(path, &[&text(&made["secret"])]);
    made["webhook"].take()
}

async fn sent(world: &World, token: &str, webhook: &Value) -> Vec<Value> {
    let query = "query($id: ID!) { webhookDeliveries(webhookId: $id, first: 100) { nodes { id told status attempts lastError nextAttemptAt deliveredAt } } }";
    let data = world.data(token, query, json!({ "id": webhook["id"] })).await;
    data["webhookDeliveries"]["nodes"].as_array().unwrap().clone()
}

async fn pass(world: &World, now: DateTime<Utc>) -> Passed {
    let sender = Sender::of(&world.app).unwrap();
    let mut all = Passed::default();
    loop {
        let passed = sender.pass(&world.app, now).await.unwrap();
        all.made += passed.made;
        all.taken += passed.taken;
        all.failed += passed.failed;
        all.dead += passed.dead;
        if !passed.more {
            return all;
        }
    }
}

async fn told(world: &World, kind: EventType) -> usize {
    let events = account_event::Entity::find().filter(account_event::Column::Kind.eq(kind));
    events.all(world.app.db.read()).await.unwrap().len()
}

on_every_store! {
    async fn a_customer_is_told_what_they_chose_signed_as_the_specification_says(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        world.grant("CASH", "1000000").await;
        let some = hooked(&world, &mut receiver, "/some", json!(["RESOURCE_PROVISIONED", "INVOICE_ISSUED", "EXPIRY_REMINDER"])).await;
        assert_eq!(some["events"], json!(["EXPIRY_REMINDER", "RESOURCE_PROVISIONED", "INVOICE_ISSUED"]));
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let passed = pass(&world, machine_now()).await;
        assert_eq!((passed.made, passed.taken), (2, 2));
        let mut requests = receiver.requests(2);
        requests.sort_by_key(|request| request["body"]["data"]["sequence"].as_i64());
        assert_eq!(kinds(&requests), ["RESOURCE_PROVISIONED", "INVOICE_ISSUED"]);
        let data = &requests[0]["body"]["data"];
        assert_eq!((&data["resource"]["status"], &data["resource"]["externalId"], &data["resource"]["product"]), (&json!("ACTIVE"), &json!("srv-1"), &json!("vserver")));
        assert_eq!(data["resource"]["configuration"], json!([{ "code": "s-general-1x1", "quantity": 1 }]));
        assert_eq!(data["accountId"], json!(world.account_id().await));
        assert!(requests[1]["body"]["data"]["invoiceId"].is_string());
        assert_eq!(pass(&world, machine_now()).await, Passed::default(), "once");
        world.advance("2023-03-30T00:01:00+07:00").await;
        pass(&world, machine_now()).await;
        let reminder = receiver.requests(1).remove(0);
        assert_eq!((&reminder["body"]["data"]["alert"]["step"], &reminder["body"]["data"]["alert"]["daysLeft"]), (&json!("REMINDER:-7"), &json!(7)));
        assert!(text(&reminder["body"]["timestamp"]).starts_with("2023-03-29T17:0"));
        // One that is made later is not told what was before it; a change of secret is signed with both.
        let all = hooked(&world, &mut receiver, "/all", json!([])).await;
        let fresh = act(&world, &world.token(Role::Owner), "rotateWebhookSecret", "WebhookInput", "secret", json!({ "webhookId": some["id"] })).await;
        world.advance("2023-03-31T00:01:00+07:00").await;
        receiver.knows("/some", &[&text(&fresh["secret"])]);
        pass(&world, machine_now()).await;
        let requests = receiver.requests(2);
        assert_eq!(kinds(&requests), ["EXPIRY_REMINDER", "EXPIRY_REMINDER"]);
        assert_eq!(sent(&world, &world.token(Role::Owner), &all).await.len(), 1);
    }

    async fn what_is_not_taken_is_sent_again_ever_later_with_the_same_id(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let owner = world.token(Role::Owner);
        let hook = hooked(&world, &mut receiver, "/fail/2/x", json!([])).await;
        world.grant("CASH", "1").await;
        let now = machine_now();
        assert_eq!(pass(&world, now).await.failed, 1);
        let delivery = sent(&world, &owner, &hook).await.remove(0);
        assert_eq!((&delivery["status"], &delivery["attempts"], &delivery["lastError"]), (&json!("PENDING"), &json!(1), &json!("it answered 500")));
        let failing = world.data(&owner, "{ webhooks { failingSince status } }", json!({})).await;
        assert!(failing["webhooks"][0]["failingSince"].is_string());
        assert_eq!(pass(&world, now + TimeDelta::seconds(4)).await, Passed::default());
        assert_eq!(pass(&world, now + TimeDelta::seconds(6)).await.failed, 1);
        assert_eq!(pass(&world, now + TimeDelta::seconds(30)).await, Passed::default());
        assert_eq!(pass(&world, now + TimeDelta::seconds(40)).await.taken, 1);
        // The library refuses what is signed for another hour: only the first is of this one.
        let ids: Vec<String> = (0..3).map(|_| text(&receiver.next()["id"])).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let delivery = sent(&world, &owner, &hook).await.remove(0);
        assert_eq!((&delivery["status"], &delivery["attempts"], &delivery["nextAttemptAt"]), (&json!("DELIVERED"), &json!(3), &Value::Null));
        let well = world.data(&owner, "{ webhooks { failingSince status } }", json!({})).await;
        assert_eq!(well["webhooks"], json!([{ "failingSince": null, "status": "ENABLED" }]));
    }

    async fn it_is_given_up_after_three_days_seen_and_sent_anew_and_switched_off_after_five(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let owner = world.token(Role::Owner);
        let hook = hooked(&world, &mut receiver, "/fail/1000/x", json!(["WALLET_CREDITED", "WEBHOOK_DISABLED"])).await;
        world.grant("CASH", "1").await;
        let began = machine_now();
        let (mut now, mut failed, mut dead) = (began, 0, 0);
        while now < began + TimeDelta::hours(80) {
            let passed = pass(&world, now).await;
            (failed, dead) = (failed + passed.failed, dead + passed.dead);
            now += TimeDelta::minutes(20);
        }
        assert_eq!(dead, 1);
        assert!((10..20).contains(&failed), "{failed}");
        let delivery = sent(&world, &owner, &hook).await.remove(0);
        assert_eq!(delivery["status"], "DEAD");
        assert_eq!(told(&world, EventType::WebhookDisabled).await, 0);
        // Two days on it still takes nothing.
        world.grant("CASH", "2").await;
        pass(&world, began + TimeDelta::hours(119)).await;
        pass(&world, began + TimeDelta::hours(121)).await;
        let off = world.data(&owner, "{ webhooks { status disabledReason } }", json!({})).await;
        assert_eq!(off["webhooks"][0]["status"], "DISABLED");
        assert!(text(&off["webhooks"][0]["disabledReason"]).contains("took nothing since"), "{off}");
        assert_eq!(told(&world, EventType::WebhookDisabled).await, 1);
        // Switched on again it begins anew, elsewhere; what was given up can be sent anew.
        let on = update(&world, &owner, json!({ "webhookId": hook["id"], "url": receiver.url("/ok"), "enabled": true })).await;
        assert_eq!((&on["webhook"]["status"], &on["webhook"]["failingSince"], &on["secret"]), (&json!("ENABLED"), &Value::Null, &Value::Null));
        let anew = act(&world, &owner, "resendDelivery", "ResendDeliveryInput", "delivery { status attempts }", json!({ "deliveryId": delivery["id"] })).await;
        assert_eq!(anew["delivery"], json!({ "status": "PENDING", "attempts": 0 }));
        assert!(pass(&world, machine_now()).await.taken >= 1);
        let other = world.token_of(Role::Owner, world.other_account);
        let refused = act(&world, &other, "resendDelivery", "ResendDeliveryInput", "delivery { status }", json!({ "deliveryId": delivery["id"] })).await;
        assert_eq!(refused["userErrors"], json!([{ "code": "DELIVERY_NOT_FOUND", "path": ["deliveryId"] }]));
    }

    async fn gone_is_gone_and_a_redirect_is_not_followed(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let owner = world.token(Role::Owner);
        let gone = hooked(&world, &mut receiver, "/gone", json!([])).await;
        let moved = hooked(&world, &mut receiver, "/moved", json!([])).await;
        world.grant("CASH", "1").await;
        let passed = pass(&world, machine_now()).await;
        assert_eq!((passed.dead, passed.failed, passed.taken), (1, 2, 0));
        let mut paths: Vec<String> = receiver.requests(3).iter().map(|request| text(&request["path"])).collect();
        paths.sort();
        assert_eq!(paths, ["/gone", "/moved", "/moved"], "told that the other is switched off; nothing came to where it was sent on");
        let all = world.data(&owner, "{ webhooks { id status disabledReason } }", json!({})).await;
        assert_eq!(all["webhooks"][0]["id"], gone["id"]);
        assert_eq!(all["webhooks"][0]["status"], "DISABLED");
        assert_eq!(told(&world, EventType::WebhookDisabled).await, 1);
        assert_eq!(sent(&world, &owner, &moved).await[0]["lastError"], "it answered 302");
    }

    async fn a_products_service_hears_what_it_is_to_do_and_reports(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let (owner, product) = (world.token(Role::Owner), world.token(Role::Product));
        let made = create(&world, &product, json!({ "url": receiver.url("/vserver") })).await;
        assert_eq!(made["webhook"]["product"]["code"], "vserver");
        receiver.knows("/vserver", &[&text(&made["secret"])]);
        let second = create(&world, &world.token(Role::Operator), json!({ "url": receiver.url("/x"), "product": "vserver" })).await;
        assert_eq!(second["userErrors"][0]["code"], "LIMIT_EXCEEDED");
        world.grant("CASH", "5000000").await;
        world.buy(server("s-general-1x1")).await;
        pass(&world, machine_now()).await;
        let provision = receiver.requests(1).remove(0);
        let data = &provision["body"]["data"];
        assert_eq!((&provision["body"]["type"], &data["wanted"]), (&json!("PROVISION"), &json!([{ "code": "s-general-1x1", "quantity": 1 }])));
        assert_eq!((&data["resource"]["status"], &data["resource"]["resourceType"]), (&json!("PROVISIONING"), &json!("server")));
        world.done(&product, "reportProvisioning", json!({ "taskId": data["taskId"], "outcome": { "succeeded": { "externalId": "srv-9" } } })).await;
        let id = data["resource"]["id"].clone();
        for name in ["stopResource", "startResource", "rebootResource"] {
            act(&world, &owner, name, "SwitchResourceInput", "resource { id }", json!({ "resourceId": id })).await;
        }
        // What the service did itself it is not told; another product's resources are not there for it.
        for (name, refusals) in [("stopResource", json!([])), ("stopResource", json!([{ "code": "STATE_CONFLICT", "path": ["resourceId"] }])), ("startResource", json!([]))] {
            let done = act(&world, &product, name, "SwitchResourceInput", "resource { id }", json!({ "resourceId": id })).await;
            assert_eq!((&done["userErrors"], &done["resource"]), (&refusals, &Value::Null));
        }
        crate::support::execute(&world.app, "update resource set product_id = (select id from product where code = 'vdb')").await;
        let foreign = act(&world, &product, "stopResource", "SwitchResourceInput", "resource { id }", json!({ "resourceId": id })).await;
        assert_eq!(foreign["userErrors"][0]["code"], "RESOURCE_NOT_FOUND");
        crate::support::execute(&world.app, "update resource set product_id = (select id from product where code = 'vserver')").await;
        world.order(json!({ "resize": { "resourceId": id, "components": [{ "code": "s-general-2x4", "quantity": 1 }] } })).await;
        pass(&world, machine_now()).await;
        let requests = receiver.requests(4);
        assert_eq!(kinds(&requests), ["STOP", "START", "REBOOT", "RESIZE"]);
        let data = &requests[3]["body"]["data"];
        assert_eq!((&data["wanted"][0]["code"], &data["resource"]["externalId"]), (&json!("s-general-2x4"), &json!("srv-9")));
        world.done(&product, "reportProvisioning", json!({ "taskId": data["taskId"], "outcome": { "succeeded": {} } })).await;
        // A renewal in time is nothing to the product; one after the suspension is.
        world.order(json!({ "renew": { "resourceId": id, "term": { "months": 1 } } })).await;
        assert_eq!(pass(&world, machine_now()).await, Passed::default());
        world.advance("2023-05-22T00:01:00+07:00").await;
        world.order(json!({ "renew": { "resourceId": id, "term": { "months": 1 } } })).await;
        world.order(json!({ "delete": { "resourceId": id } })).await;
        world.advance("2023-06-10T00:01:00+07:00").await;
        pass(&world, machine_now()).await;
        let requests = receiver.requests(4);
        assert_eq!(kinds(&requests), ["SUSPEND", "START", "DELETE", "RELEASE"]);
        let seen = sent(&world, &product, &made["webhook"]).await;
        assert_eq!(seen.len(), 9);
        // Given up, nothing more is written for it.
        act(&world, &product, "deleteWebhook", "WebhookInput", "webhook { status }", json!({ "webhookId": made["webhook"]["id"] })).await;
        world.buy(server("s-general-1x1")).await;
        assert_eq!(pass(&world, machine_now()).await, Passed::default());
    }

    async fn two_senders_send_each_once_and_what_a_dead_one_took_is_sent_by_the_other(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        hooked(&world, &mut receiver, "/ok", json!(["WALLET_CREDITED"])).await;
        for amount in 1..=40 {
            world.grant("CASH", &amount.to_string()).await;
        }
        let other = world.another(100).await;
        let now = machine_now();
        let (one, two) = (Sender::of(&world.app).unwrap(), Sender::of(&other).unwrap());
        let (one, two) = tokio::join!(one.pass(&world.app, now), two.pass(&other, now));
        let (one, two) = (one.unwrap(), two.unwrap());
        let rest = pass(&world, now).await;
        assert_eq!(one.taken + two.taken + rest.taken, 40);
        let mut ids: Vec<String> = receiver.requests(40).iter().map(|request| text(&request["id"])).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        // Taken by one that dies before it sends: it is the other's when the time to send it is over.
        let hook = hooked(&world, &mut receiver, "/fail/1/x", json!(["WALLET_CREDITED"])).await;
        update(&world, &world.token(Role::Owner), json!({ "webhookId": hook["id"], "events": ["WALLET_CREDITED"] })).await;
        world.grant("CASH", "41").await;
        let failed = pass(&world, now).await;
        assert_eq!((failed.taken, failed.failed), (1, 1), "the other webhook takes it at once");
        let scope = Scope::engine();
        let claimed = world.app.db.write("claim", async |tx| {
            deliveries::claim(&tx, &scope, now + TimeDelta::seconds(6), TimeDelta::seconds(60), (10, 10)).await
        });
        assert_eq!(claimed.await.unwrap().len(), 1);
        assert_eq!(pass(&world, now + TimeDelta::seconds(60)).await, Passed::default());
        assert_eq!(pass(&world, now + TimeDelta::seconds(67)).await.taken, 1);
        assert_eq!(sent(&world, &world.token(Role::Owner), &hook).await[0]["attempts"], 3);
    }

    async fn what_was_overtaken_is_not_sent_again(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let (owner, product) = (world.token(Role::Owner), world.token(Role::Product));
        world.grant("CASH", "5000000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let data = world.data(&owner, "{ resources(first: 1) { nodes { id } } }", json!({})).await;
        let id = data["resources"]["nodes"][0]["id"].clone();
        let hook = create(&world, &product, json!({ "url": receiver.url("/fail/1/x") })).await;
        receiver.knows("/fail/1/x", &[&text(&hook["secret"])]);
        crate::support::execute(&world.app, "update product set grace_service = 'LIMITED' where code = 'vserver'").await;
        world.advance("2023-04-06T12:00:00+07:00").await;
        let now = machine_now();
        assert_eq!(pass(&world, now).await.failed, 1);
        world.advance("2023-05-01T00:00:00+07:00").await;
        world.order(json!({ "renew": { "resourceId": id, "term": { "months": 1 } } })).await;
        // The first may be on its way still, for all that another process knows.
        assert_eq!(pass(&world, now + TimeDelta::seconds(1)).await, Passed::default());
        assert_eq!(pass(&world, now + TimeDelta::seconds(6)).await.taken, 2);
        assert_eq!(kinds(&receiver.requests(3)), ["LIMIT", "SUSPEND", "START"], "what was never tried is told in its turn");
        assert_eq!(pass(&world, now + TimeDelta::days(1)).await, Passed::default());
        let mut seen = sent(&world, &product, &hook["webhook"]).await;
        seen.sort_by_key(|row| text(&row["told"]));
        let stands: Vec<_> = seen.iter().map(|row| (&row["told"], &row["status"], &row["lastError"])).collect();
        assert_eq!(stands, [(&json!("LIMIT"), &json!("DEAD"), &json!("overtaken by a later call")),
            (&json!("START"), &json!("DELIVERED"), &Value::Null), (&json!("SUSPEND"), &json!("DELIVERED"), &Value::Null)]);
    }

    async fn one_with_much_to_be_told_keeps_nobody_waiting(world: World) {
        let Some(mut receiver) = Receiver::start() else { return world };
        let product = world.token(Role::Product);
        create(&world, &product, json!({ "url": receiver.url("/vserver") })).await;
        hooked(&world, &mut receiver, "/ok", json!(["WALLET_CREDITED"])).await;
        for amount in 1..=20 {
            world.grant("CASH", &(amount * 100_000).to_string()).await;
        }
        world.buy(server("s-general-1x1")).await;
        let sender = Sender::of(&world.app).unwrap();
        let passed = sender.pass(&world.app, machine_now()).await.unwrap();
        // Its turn comes again with the next pass, which follows at once.
        assert_eq!((passed.made, passed.taken, passed.more), (20, 9, true), "eight of the account, one of the product");
        assert_eq!(pass(&world, machine_now()).await.taken, 12);
    }

    async fn a_webhook_has_its_rules(world: World) {
        let owner = world.token(Role::Owner);
        for url in ["ftp://a.example.com/", "http://user:pw@127.0.0.1/", "", "nonsense"] {
            let refused = create(&world, &owner, json!({ "url": url })).await;
            assert_eq!(refused["userErrors"], json!([{ "code": "WEBHOOK_URL_NOT_ALLOWED", "path": ["url"] }]), "{url}");
        }
        let mut first = Value::Null;
        for number in 0..10 {
            let made = create(&world, &owner, json!({ "url": format!("https://hooks.example.com/{number}") })).await;
            assert!(text(&made["secret"]).starts_with("whsec_"));
            if number == 0 {
                first = made["webhook"].clone();
            }
        }
        let refused = create(&world, &owner, json!({ "url": "https://hooks.example.com/10" })).await;
        assert_eq!(refused["userErrors"], json!([{ "code": "LIMIT_EXCEEDED", "path": null }]));
        act(&world, &owner, "deleteWebhook", "WebhookInput", "webhook { status }", json!({ "webhookId": first["id"] })).await;
        let gone = update(&world, &owner, json!({ "webhookId": first["id"], "enabled": true })).await;
        assert_eq!(gone["userErrors"], json!([{ "code": "WEBHOOK_NOT_FOUND", "path": ["webhookId"] }]));
        let left = world.data(&owner, "{ webhooks { id } }", json!({})).await;
        assert_eq!(left["webhooks"].as_array().unwrap().len(), 9);
    }
}
