//! E-mail: who is written to confirms first, each is told once, and what goes wrong is tried again or seen. The mail
//! server is aiosmtpd, and what it took is read as Python's mail library shows it.

use billing_gateway::db::statements::counted;
use billing_gateway::notify::mail::Mailer;
use chrono::TimeDelta;
use entity::enums::Role;
use entity::outbox_delivery;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};

use crate::reads::cost;
use crate::support::binary::Process;
use crate::support::post::{Post, mailer, pass_of};
use crate::support::{SECRET, Store, World, execute, on_every_store, project, run, server, text};

const NOW: TimeDelta = TimeDelta::zero();
const AN: &str = "an@example.com";
const BINH: &str = "binh@example.com";

async fn set(world: &World, recipients: Value) -> Value {
    let query = "mutation($input: SetAlertRecipientsInput!) { setAlertRecipients(input: $input) {
        account { alertRecipients { email status categories linkExpiresAt confirmedAt } } userErrors { code path message } } }";
    let input = json!({ "input": { "recipients": recipients } });
    let mut data = world.data(&world.token(Role::Owner), query, input).await;
    data["setAlertRecipients"].take()
}

async fn recipients(world: &World) -> Vec<(String, String)> {
    let query = "{ account { alertRecipients { email status } } }";
    let data = world.data(&world.token(Role::Viewer), query, json!({})).await;
    let listed = data["account"]["alertRecipients"].as_array().unwrap().clone();
    listed
        .iter()
        .map(|one| (text(&one["email"]), text(&one["status"])))
        .collect()
}

async fn deliveries(world: &World, role: Role, status: Option<&str>) -> Vec<Value> {
    let query = "query($status: DeliveryStatus) { mailDeliveries(status: $status, first: 100) { nodes {
        id target status attempts nextAttemptAt lastError deliveredAt account { code } event { type resource { name } }
        message { subject text html } } } }";
    let mut data = world.data(&world.token(role), query, json!({ "status": status })).await;
    data["mailDeliveries"]["nodes"]
        .as_array_mut()
        .unwrap()
        .drain(..)
        .collect()
}

async fn resend(world: &World, delivery: &Value) -> Value {
    let query = "mutation($id: ID!) { resendDelivery(input: { deliveryId: $id }) {
        delivery { status attempts lastError } userErrors { code message ... on StateError { state } } } }";
    let mut data = world
        .data(&world.token(Role::Operator), query, json!({ "id": delivery }))
        .await;
    data["resendDelivery"].take()
}

/// The link of a message.
fn link(message: &Value) -> String {
    let told = text(&message["text"]);
    let link = told
        .split_whitespace()
        .find(|word| word.contains("/recipients/confirm?token="));
    link.unwrap_or_else(|| panic!("no link: {told}")).to_owned()
}

async fn opened(world: &World, link: &str) -> (u16, String) {
    let page = world.http().get(link).send().await.unwrap();
    (page.status().as_u16(), page.text().await.unwrap())
}

/// Presses the button of the page behind a link.
async fn pressed(world: &World, link: &str) -> (u16, String) {
    let (address, token) = link.split_once('?').unwrap();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let page = world.http().post(address).header(form.0, form.1).body(token.to_owned());
    let page = page.send().await.unwrap();
    (page.status().as_u16(), page.text().await.unwrap())
}

/// Makes these the recipients of the world's account, each with what it is told, and lets them confirm.
async fn confirmed(world: &World, post: &Post, mailer: &Mailer, wanted: &[(&str, Value)]) {
    let named: Vec<Value> = wanted
        .iter()
        .map(|(email, categories)| json!({ "email": email, "categories": categories }))
        .collect();
    let before = post.took().len();
    assert_eq!(set(world, json!(named)).await["userErrors"], json!([]));
    pass_of(&world.app, Some(mailer), NOW).await;
    let links: Vec<String> = post.took()[before..].iter().map(link).collect();
    assert_eq!(links.len(), wanted.len());
    for link in links {
        assert_eq!(pressed(world, &link).await.0, 200);
    }
}

async fn a_server(world: &World) {
    world.grant("CASH", "1000000").await;
    world.buy(server("s-general-1x1")).await;
    world.provision().await;
}

on_every_store! {
    async fn a_recipient_confirms_by_the_link_and_is_told_what_comes_after(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        a_server(&world).await;
        let done = set(&world, json!([{ "email": " An@Example.com " }, { "email": BINH, "categories": ["EXPIRY"] }])).await;
        assert_eq!(done["account"]["alertRecipients"], json!([
            { "email": AN, "status": "PENDING", "categories": ["EXPIRY", "RENEWAL", "BILLING", "RESOURCES"], "linkExpiresAt": null, "confirmedAt": null },
            { "email": BINH, "status": "PENDING", "categories": ["EXPIRY"], "linkExpiresAt": null, "confirmedAt": null },
        ]));
        let passed = pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!((passed.written, passed.delivered), (0, 2), "what was told before is not mailed");
        let first = post.took().into_iter().find(|message| message["to"] == json!([AN])).unwrap();
        assert_eq!(first["headers"]["subject"], "Confirm your address for ACME Joint Stock Company");
        assert_eq!(first["headers"]["from"], "Cloud Billing <billing@example.com>");
        assert_eq!((&first["type"], &first["defects"]), (&json!("multipart/alternative"), &json!([])));
        let link = link(&first);
        assert!(text(&first["html"]).contains(&link), "the same link in both");
        assert!(text(&first["text"]).contains("2023-03-09"), "until when it is good: {}", first["text"]);

        // A program that opens links confirms nothing.
        let (status, page) = opened(&world, &link).await;
        assert!(status == 200 && page.contains("<form method=\"post\"") && page.contains(AN), "{page}");
        world.grant("CASH", "1000").await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.written, 0);
        assert_eq!(recipients(&world).await[0], (AN.to_owned(), "PENDING".to_owned()));
        let (status, page) = pressed(&world, &link).await;
        assert!(status == 200 && page.contains("is confirmed for ACME"), "{page}");
        assert_eq!(recipients(&world).await[0], (AN.to_owned(), "CONFIRMED".to_owned()));
        let (status, page) = pressed(&world, &link).await;
        assert!(status == 200 && page.contains("is confirmed for ACME") && !page.contains("<form"), "{page}");

        world.grant("CASH", "2000").await;
        world.grant("PROMOTIONAL", "3000").await;
        let passed = pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!((passed.written, passed.delivered), (2, 2));
        let mut told = post.subjects(AN).split_off(1);
        told.sort();
        assert_eq!(told, ["Wallet: 2,000 VND", "Wallet: 3,000 VND"], "what came before the confirmation is not told");
        assert_eq!(post.subjects(BINH).len(), 1, "who has not confirmed gets nothing but the link");
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 0);
        for unknown in ["", "x", &"0".repeat(64), &"0".repeat(5000)] {
            let (address, _) = link.split_once('?').unwrap();
            assert_eq!(opened(&world, &format!("{address}?token={unknown}")).await.0, 404);
            assert_eq!(pressed(&world, &format!("{address}?token={unknown}")).await.0, 404);
        }
    }

    async fn a_link_is_good_for_three_days_and_another_one_is_asked_for_by_setting_the_recipient_again(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        set(&world, json!([{ "email": AN }])).await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        let old = link(&post.took()[0]);
        let again = set(&world, json!([{ "email": AN, "categories": [] }])).await;
        assert_eq!(again["account"]["alertRecipients"][0]["categories"], json!([]));
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 0, "the first link is still good");
        world.advance("2023-03-08T23:59:00+07:00").await;
        assert_eq!(opened(&world, &old).await.0, 200);
        world.advance("2023-03-09T00:01:00+07:00").await;
        for (status, page) in [opened(&world, &old).await, pressed(&world, &old).await] {
            assert!(status == 410 && page.contains("expired") && !page.contains("<form"), "{page}");
        }
        assert_eq!(recipients(&world).await, [(AN.to_owned(), "PENDING".to_owned())]);
        set(&world, json!([{ "email": AN }])).await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 1);
        let new = link(&post.took()[1]);
        assert_eq!(pressed(&world, &old).await.0, 404);
        assert_eq!(pressed(&world, &new).await.0, 200);
        assert_eq!(recipients(&world).await, [(AN.to_owned(), "CONFIRMED".to_owned())]);
    }

    async fn who_is_taken_off_the_list_gets_nothing_more_and_confirms_again_to_come_back(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null), (BINH, Value::Null)]).await;
        world.grant("CASH", "1000").await;
        // Handed on, and not sent yet.
        pass_of(&world.app, None, NOW).await;
        set(&world, json!([{ "email": BINH }])).await;
        assert_eq!(recipients(&world).await, [(BINH.to_owned(), "CONFIRMED".to_owned())]);
        world.grant("CASH", "2000").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!((post.subjects(AN).len(), post.subjects(BINH).len()), (1, 3));
        let dead = deliveries(&world, Role::Operator, Some("DEAD")).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(resend(&world, &dead[0]["id"]).await["userErrors"][0]["state"], "REMOVED");
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        world.grant("CASH", "3000").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!(post.subjects(AN)[2..], ["Wallet: 3,000 VND"], "{:?}", post.subjects(AN));
        assert_eq!(post.subjects(BINH).len(), 3);
    }

    async fn messages_come_in_the_accounts_language_as_text_and_html_and_names_begin_no_header(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        a_server(&world).await;
        confirmed(&world, &post, &mailer, &[(AN, json!(["EXPIRY"]))]).await;
        world.advance("2023-03-30T00:01:00+07:00").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        execute(&world.app, "update account set language = 'VI' where code = 'ACME'").await;
        world.advance("2023-03-31T00:01:00+07:00").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        execute(&world.app, "update resource set name = '<b>a</b>' || char(13) || char(10) || 'Bcc: all@example.com' || char(10) || char(10) || 'x'"
            .replace("char(", if world.database().starts_with("sqlite") { "char(" } else { "chr(" }).as_str()).await;
        world.advance("2023-04-01T00:01:00+07:00").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        let took = post.took().split_off(1);
        let [english, vietnamese, evil] = took.as_slice() else { panic!("{took:#?}") };
        assert_eq!(english["headers"]["subject"], "web ends in 7 days");
        assert_eq!(vietnamese["headers"]["subject"], "web sẽ hết hạn sau 6 ngày");
        let told = [
            (english, ["7 days", "To keep it, renew it", "Deleted for good"]),
            (vietnamese, ["6 ngày", "hãy gia hạn", "Bị xóa vĩnh viễn"]),
        ];
        for (message, words) in told {
            for body in ["text", "html"] {
                let body = text(&message[body]);
                for word in words.iter().chain(&["2023-04-06 00:00 (Asia/Ho_Chi_Minh)", "2023-05-06 00:00", "srv-1"]) {
                    assert!(body.contains(word), "{word}: {body}");
                }
            }
        }
        assert!(text(&evil["headers"]["subject"]).starts_with("<b>a</b>  Bcc: all@example.com  x sẽ hết hạn"), "{evil}");
        assert!(text(&evil["html"]).contains("&lt;b&gt;a&lt;/b&gt;"));
        for message in [english, vietnamese, evil] {
            assert_eq!((&message["to"], &message["headers"]["to"]), (&json!([AN]), &json!(AN)));
            assert_eq!((&message["type"], &message["defects"]), (&json!("multipart/alternative"), &json!([])));
            let mut names: Vec<String> = message["names"].as_array().unwrap().iter().map(text).collect();
            names.sort();
            assert_eq!(names, ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"]);
        }
    }

    async fn each_category_is_switched_off_alone_and_a_deletion_for_good_is_always_told(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        let all = [(AN, json!([])), (BINH, json!(["BILLING"])), ("chi@example.com", json!(["RESOURCES"])), ("dung@example.com", json!(["RENEWAL"])),
            ("em@example.com", Value::Null)];
        confirmed(&world, &post, &mailer, &all).await;
        world.grant("CASH", "160000").await;
        let mut bought = project();
        bought["autoRenew"] = json!(true);
        world.buy(bought).await;
        world.advance("2023-06-30T00:00:00+07:00").await;
        pass_of(&world.app, Some(&mailer), NOW).await;
        let told = |to: &str| { let mut told = post.subjects(to).split_off(1); told.sort(); told };
        assert_eq!(told(AN), ["Final notice: files will be deleted for good", "files was deleted for good"]);
        let billing: Vec<String> = told(BINH).into_iter().filter(|told| !told.contains("files")).collect();
        assert!(billing.iter().any(|told| told.starts_with("Invoice INV-ACME-2023-000001: ")), "{billing:?}");
        assert!(billing.iter().any(|told| told.starts_with("Payment PAY-")), "{billing:?}");
        assert_eq!(billing.len() + 2, told(BINH).len());
        assert!(told("chi@example.com").contains(&"files is ready".to_owned()));
        assert_eq!(told("chi@example.com").len(), 3);
        assert!(told("dung@example.com").iter().any(|told| told == "files could not be renewed"), "{:?}", told("dung@example.com"));
        let everything = told("em@example.com");
        assert!(everything.iter().any(|told| told == "files has expired") && everything.len() >= 8, "{everything:?}");
    }

    async fn what_fails_for_a_while_is_tried_again_later_and_sent_once(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        world.grant("CASH", "1000").await;
        post.does("once:busy");
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.postponed, 1);
        let waiting = deliveries(&world, Role::Owner, Some("PENDING")).await;
        assert_eq!((&waiting[0]["attempts"], &waiting[0]["target"]), (&json!(1), &json!(AN)));
        assert!(text(&waiting[0]["lastError"]).contains("451") && waiting[0]["nextAttemptAt"].is_string(), "{waiting:?}");
        let passed = pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!((passed.delivered, passed.postponed), (0, 0), "not at once");
        post.does("once:busy-data");
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::minutes(2)).await.postponed, 1);
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::minutes(3)).await.postponed, 0, "longer each time");
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::minutes(5)).await.delivered, 1);
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::days(1)).await, billing_gateway::notify::mail::Passed::default());
        assert_eq!(post.subjects(AN)[1..], ["Wallet: 1,000 VND"]);
        let sent = deliveries(&world, Role::Owner, Some("DELIVERED")).await;
        assert_eq!((&sent[0]["attempts"], &sent[0]["lastError"]), (&json!(3), &Value::Null));
        assert!(sent[0]["deliveredAt"].is_string());

        // A server that is away for good is given up on in the end, after more than three days.
        let away = mailer_to_nowhere(&world).await;
        world.grant("CASH", "2000").await;
        let mut later = TimeDelta::zero();
        let mut attempts = 0;
        while deliveries(&world, Role::Owner, Some("DEAD")).await.is_empty() {
            attempts += pass_of(&world.app, Some(&away), later).await.postponed;
            later += TimeDelta::hours(1);
            assert!(later < TimeDelta::days(5));
        }
        assert_eq!(attempts, 15);
        let dead = deliveries(&world, Role::Owner, Some("DEAD")).await;
        assert!(text(&dead[0]["lastError"]).starts_with("given up after 16 attempts"), "{dead:?}");
    }

    async fn a_reminder_of_an_end_that_moved_is_not_sent(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, json!(["EXPIRY"]))]).await;
        a_server(&world).await;
        world.advance("2023-03-30T12:00:00+07:00").await;
        let owner = world.token(Role::Owner);
        let data = world.data(&owner, "{ resources(first: 1) { nodes { id } } }", json!({})).await;
        let id = &data["resources"]["nodes"][0]["id"];
        world.order(json!({ "renew": { "resourceId": id, "term": { "months": 1 } } })).await;
        let passed = pass_of(&world.app, Some(&mailer), NOW).await;
        assert_eq!((passed.delivered, passed.dead), (0, 1));
        let dead = deliveries(&world, Role::Owner, Some("DEAD")).await;
        assert!(text(&dead[0]["lastError"]).starts_with("overtaken"), "{dead:?}");
        // The next one is of the plan that is followed.
        world.advance("2023-04-29T12:00:00+07:00").await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 1);
    }

    async fn what_is_refused_for_good_is_seen_and_an_operator_sends_it_again(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        a_server(&world).await;
        confirmed(&world, &post, &mailer, &[(AN, Value::Null), (BINH, json!(["EXPIRY"]))]).await;
        post.does("refuse");
        world.grant("CASH", "1000").await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.dead, 1);
        post.does("accept");
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::days(1)).await.delivered, 0, "it is not tried again");
        let dead = deliveries(&world, Role::Operator, Some("DEAD")).await;
        assert_eq!(dead.len(), 1);
        assert!(text(&dead[0]["lastError"]).contains("550"), "{dead:?}");
        assert_eq!((&dead[0]["account"]["code"], &dead[0]["event"]["type"]), (&json!("ACME"), &json!("WALLET_CREDITED")));
        assert_eq!(dead[0]["message"]["subject"], "Wallet: 1,000 VND");
        let again = resend(&world, &dead[0]["id"]).await;
        assert_eq!(again["delivery"], json!({ "status": "PENDING", "attempts": 0, "lastError": dead[0]["lastError"] }));
        let twice = resend(&world, &dead[0]["id"]).await;
        assert_eq!((&twice["userErrors"][0]["code"], &twice["userErrors"][0]["state"]), (&json!("STATE_CONFLICT"), &json!("PENDING")));
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 1);
        assert_eq!(post.subjects(AN)[1..], ["Wallet: 1,000 VND"]);
        for unknown in ["AAAAAAAAAAAAAAAAAAAAAAA", ""] {
            assert_eq!(resend(&world, &json!(unknown)).await["userErrors"][0]["code"], "DELIVERY_NOT_FOUND");
        }
        // Another account sees none of it.
        let query = "{ mailDeliveries(first: 10) { nodes { id } } }";
        let other = world.data(&world.token_of(Role::Owner, world.other_account), query, json!({})).await;
        assert_eq!(other["mailDeliveries"]["nodes"], json!([]));
        // A permission hides what the messages say, another one the list.
        let query = "{ mailDeliveries(first: 1) { nodes { id status message { subject } } } }";
        let mut shown = Value::Null;
        for permission in ["ListPayments", "GetUserBalance", "GetBilling"] {
            let mut hidden = world.ask(&world.token_without(permission), query, json!({})).await;
            shown = hidden["data"]["mailDeliveries"]["nodes"][0].take();
            assert_eq!((&shown["message"], &hidden["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
        }
        let hidden = world.ask(&world.token_without("ListBillings"), query, json!({})).await;
        assert_eq!((&hidden["data"]["mailDeliveries"], &hidden["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
        let node = "query($id: ID!) { node(id: $id) { id ... on MailDelivery { status } } }";
        for (token, found) in [(world.token(Role::Owner), true), (world.token_of(Role::Owner, world.other_account), false)] {
            let data = world.data(&token, node, json!({ "id": shown["id"] })).await;
            assert_eq!(data["node"].is_object(), found);
        }
        let owner = world.ask(&world.token(Role::Owner), "mutation($id: ID!) { resendDelivery(input: { deliveryId: $id }) { userErrors { code } } }", json!({ "id": shown["id"] })).await;
        assert_eq!(owner["errors"][0]["extensions"]["code"], "FORBIDDEN");
        // Nobody else's link can be read from the list.
        let links: Vec<Value> = deliveries(&world, Role::Operator, None).await.into_iter().filter(|sent| sent["event"].is_null()).collect();
        assert_eq!(links.len(), 2);
        assert!(links.iter().all(|sent| !text(&sent["message"]["text"]).contains("token=") && !text(&sent["message"]["html"]).contains("href")));
    }

    async fn an_answer_that_is_lost_is_not_taken_for_a_no(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        post.does("once:drop");
        world.grant("CASH", "1000").await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.dead, 1);
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::days(2)).await.delivered, 0);
        let dead = deliveries(&world, Role::Operator, Some("DEAD")).await;
        assert!(text(&dead[0]["lastError"]).starts_with("unknown outcome"), "{dead:?}");
        assert_eq!(post.subjects(AN)[1..], ["Wallet: 1,000 VND"], "it had arrived, and came once");
    }

    async fn a_process_that_is_killed_while_it_hands_a_message_over_sends_it_once(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        post.takes_one();
        post.does("once:hang");
        world.grant("CASH", "1000").await;
        let folder = tempfile::tempdir().unwrap();
        let url = post.url();
        let arguments = ["--database-url", world.database(), "--jwt-secret", SECRET, "--engine-seconds", "0", "--smtp-url", &url,
            "--mail-from", "billing@example.com", "--mail-seconds", "1"];
        let (process, _) = Process::serve(folder.path(), &arguments);
        // The server has the whole message, and the process has no answer yet.
        post.takes_one();
        process.kill();
        post.does("accept");
        assert_eq!(pass_of(&world.app, Some(&mailer), TimeDelta::days(1)).await.delivered, 0, "it is another process's");
        let sending = deliveries(&world, Role::Operator, Some("SENDING")).await;
        assert_eq!(sending.len(), 1);
        assert_eq!(resend(&world, &sending[0]["id"]).await["userErrors"][0]["state"], "SENDING");
        execute(&world.app, "update outbox_delivery set lease_until_ms = 0 where status = 'SENDING'").await;
        let passed = pass_of(&world.app, Some(&mailer), TimeDelta::days(1)).await;
        assert_eq!((passed.delivered, passed.dead), (0, 1));
        let dead = deliveries(&world, Role::Operator, Some("DEAD")).await;
        assert!(text(&dead[0]["lastError"]).starts_with("unknown outcome"), "{dead:?}");
        assert_eq!(post.subjects(AN)[1..], ["Wallet: 1,000 VND"], "not sent again by itself");
        resend(&world, &dead[0]["id"]).await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 1);
        let ids: Vec<Value> = post.took()[1..].iter().map(|message| message["headers"]["message-id"].clone()).collect();
        assert!(ids.len() == 2 && ids[0] == ids[1], "a mail box knows the second copy: {ids:?}");
    }

    async fn a_serving_process_sends_by_itself_and_ends_between_two_messages(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        post.takes_one();
        let folder = tempfile::tempdir().unwrap();
        let url = post.url();
        let arguments = ["--database-url", world.database(), "--jwt-secret", SECRET, "--engine-seconds", "0", "--smtp-url", &url,
            "--mail-from", "billing@example.com", "--mail-seconds", "1"];
        let (process, address) = Process::serve(folder.path(), &arguments);
        for amount in ["1000", "2000"] {
            world.grant("CASH", amount).await;
            post.takes_one();
        }
        let metrics = loop {
            let metrics = world.http().get(format!("http://{address}/metrics")).send().await.unwrap();
            let metrics = metrics.text().await.unwrap();
            if metrics.contains("mail_deliveries_total{outcome=\"delivered\"} 2\n") && metrics.contains("mail_pending 0\n") {
                break metrics;
            }
        };
        for told in ["mail_written_total 2\n", "mail_dead 0\n", "mail_oldest_due_seconds 0\n"] {
            assert!(metrics.contains(told), "{told}: {metrics}");
        }
        assert_eq!(process.terminate(), Some(0));
        assert_eq!(deliveries(&world, Role::Operator, Some("DELIVERED")).await.len(), 3, "what was under way was noted");
        assert_eq!(post.subjects(AN).len(), 3);
    }

    async fn several_processes_share_the_work_and_each_message_is_sent_once(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null), (BINH, Value::Null)]).await;
        for _ in 0..20 {
            world.grant("CASH", "1000").await;
        }
        let (two, three) = (world.another(100).await, world.another(100).await);
        let all = tokio::join!(
            pass_of(&world.app, Some(&mailer), NOW),
            pass_of(&two, Some(&mailer), NOW),
            pass_of(&three, Some(&mailer), NOW)
        );
        assert_eq!(all.0.written + all.1.written + all.2.written, 40);
        // One may have looked before another had written: the rest goes with the next pass.
        let rest = pass_of(&two, Some(&mailer), NOW).await;
        assert_eq!(all.0.delivered + all.1.delivered + all.2.delivered + rest.delivered, 40);
        let ids: std::collections::BTreeSet<String> = post.took().iter().map(|message| text(&message["headers"]["message-id"])).collect();
        assert_eq!((ids.len(), post.took().len()), (42, 42));
        assert_eq!(post.subjects(AN).len(), 21);
    }

    async fn without_a_mail_server_messages_are_kept_and_listed_and_too_old_ones_are_not_sent(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        world.grant("CASH", "1000").await;
        let passed = pass_of(&world.app, None, NOW).await;
        assert_eq!((passed.written, passed.delivered), (1, 0));
        let kept = deliveries(&world, Role::Owner, Some("PENDING")).await;
        assert_eq!((&kept[0]["attempts"], &kept[0]["message"]["subject"]), (&json!(0), &json!("Wallet: 1,000 VND")));
        assert_eq!(pass_of(&world.app, None, TimeDelta::days(8)).await.dead, 0, "they wait as long as it takes");
        let passed = pass_of(&world.app, Some(&mailer), TimeDelta::days(8)).await;
        assert_eq!((passed.delivered, passed.dead), (0, 1));
        let dead = deliveries(&world, Role::Operator, Some("DEAD")).await;
        assert!(text(&dead[0]["lastError"]).starts_with("too old"), "{dead:?}");
        resend(&world, &dead[0]["id"]).await;
        assert_eq!(pass_of(&world.app, Some(&mailer), NOW).await.delivered, 1);
        assert_eq!(post.subjects(AN)[1..], ["Wallet: 1,000 VND"]);
    }

    async fn what_is_listed_and_what_waits_costs_no_more_statements_for_more_of_it(world: World) {
        let Some(post) = Post::open() else { return world };
        let mailer = post.mailer(&world);
        confirmed(&world, &post, &mailer, &[(AN, Value::Null)]).await;
        a_server(&world).await;
        pass_of(&world.app, None, NOW).await;
        let query = "{ mailDeliveries(first: 100) { nodes { status account { code } event { type resource { name } } message { subject text } } } }";
        let (few, statements) = cost(&world, query).await;
        for name in ["two", "three"] {
            let mut more = server("s-general-1x1");
            more["name"] = json!(name);
            world.buy(more).await;
            world.provision().await;
        }
        world.advance("2023-04-07T00:01:00+07:00").await;
        pass_of(&world.app, None, NOW).await;
        let (many, same) = cost(&world, query).await;
        let count = |data: &Value| data["mailDeliveries"]["nodes"].as_array().unwrap().len();
        assert!(count(&few) > 4 && count(&many) > count(&few) + 20, "{} and {}", count(&few), count(&many));
        // Alerts have come, which are one kind of thing more.
        assert!(same <= statements + 1, "{statements} and {same}");
        // A pass that finds nothing asks three things, and writes nothing.
        let (passed, statements) = counted(pass_of(&world.app, None, NOW)).await;
        assert_eq!((passed, statements), (billing_gateway::notify::mail::Passed::default(), 3));
    }

    async fn nothing_goes_unprotected_where_protection_is_asked_for(world: World) {
        let Some(post) = Post::open() else { return world };
        let plain = post.mailer(&world);
        confirmed(&world, &post, &plain, &[(AN, Value::Null)]).await;
        world.grant("CASH", "1000").await;
        let urls = [format!("{}?tls=required", post.url()), post.url().replace("//", "//an:secret@"), post.url().replace("smtp:", "smtps:")];
        for (hours, url) in (1..).zip(urls) {
            let passed = pass_of(&world.app, Some(&mailer(&url, &world)), TimeDelta::hours(hours)).await;
            assert_eq!((passed.delivered, passed.postponed), (0, 1), "{url}");
        }
        let waiting = deliveries(&world, Role::Owner, Some("PENDING")).await;
        assert!(!waiting[0].to_string().contains("secret"), "{waiting:?}");
        assert_eq!(post.subjects(AN).len(), 1);
    }

    async fn addresses_are_checked_each_once_and_nobody_is_pestered(world: World) {
        for (wanted, code, path) in [
            (json!([{ "email": "an" }]), "INVALID_EMAIL", json!(["recipients", "0", "email"])),
            (json!([{ "email": AN }, { "email": "an@example.com\r\nBcc: x@example.com" }]), "INVALID_EMAIL", json!(["recipients", "1", "email"])),
            (json!([{ "email": AN }, { "email": " AN@example.COM" }]), "DUPLICATE_RECIPIENT", json!(["recipients", "1", "email"])),
            (json!((0..21).map(|n| json!({ "email": format!("a{n}@example.com") })).collect::<Vec<_>>()), "TOO_MANY_ITEMS", json!(["recipients"])),
        ] {
            let refused = set(&world, wanted).await;
            assert_eq!((&refused["userErrors"][0]["code"], &refused["userErrors"][0]["path"]), (&json!(code), &path));
            assert_eq!(refused["account"], Value::Null);
        }
        let twenty = |from: usize| json!((from..from + 20).map(|n| json!({ "email": format!("a{n}@example.com") })).collect::<Vec<_>>());
        for from in [0, 20] {
            assert_eq!(set(&world, twenty(from)).await["userErrors"], json!([]));
            assert_eq!(set(&world, twenty(from)).await["userErrors"], json!([]), "the same again asks nobody");
        }
        assert_eq!(set(&world, twenty(40)).await["userErrors"][0]["code"], "LIMIT_EXCEEDED");
        assert_eq!(set(&world, json!([])).await["account"]["alertRecipients"], json!([]));
        world.advance("2023-03-07T00:01:00+07:00").await;
        assert_eq!(set(&world, twenty(40)).await["userErrors"], json!([]));
        let rows = outbox_delivery::Entity::find().count(world.app.db.read()).await.unwrap();
        assert_eq!(rows, 60);
        let of_another = world.data(&world.token_of(Role::Owner, world.other_account), "{ account { alertRecipients { email } } }", json!({})).await;
        assert_eq!(of_another["account"]["alertRecipients"], json!([]));
    }
}

/// Serves with this mail server until the first message of the account was tried, and answers what became of it.
async fn tried(world: &World, url: &str, authority: Option<&std::path::Path>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--database-url",
        world.database(),
        "--jwt-secret",
        SECRET,
        "--engine-seconds",
        "0",
        "--smtp-url",
        url,
        "--mail-from",
        "billing@example.com",
        "--mail-seconds",
        "1",
    ];
    set(world, json!([])).await;
    set(world, json!([{ "email": AN }])).await;
    let (process, _) = Process::serve_trusting(folder.path(), &arguments, authority);
    loop {
        let newest = deliveries(world, Role::Operator, None).await.swap_remove(0);
        if newest["attempts"] == json!(1) && newest["status"] != json!("SENDING") {
            assert_eq!(process.terminate(), Some(0));
            return newest;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_goes_over_a_protected_way_to_a_server_that_is_who_it_says() {
    run(Store::Sqlite, async |world: World| {
        for (way, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
            let Some(post) = Post::open_protected(way) else {
                return world;
            };
            let (authority, port) = (post.authority(), post.port());
            let url = |password: &str| format!("{scheme}://an:{password}@localhost:{port}");
            let wrong = tried(&world, &url("wrong"), Some(&authority)).await;
            assert!(text(&wrong["lastError"]).contains("535"), "{way}: {wrong}");
            let stranger = tried(&world, &url("p%40ss"), None).await;
            assert!(
                stranger["lastError"].is_string() && stranger["status"] == "PENDING",
                "{way}: {stranger}"
            );
            assert_eq!(post.took().len(), 0, "{way}");
            let right = tried(&world, &url("p%40ss"), Some(&authority)).await;
            assert_eq!(
                (&right["status"], &right["lastError"]),
                (&json!("DELIVERED"), &Value::Null),
                "{way}: {right}"
            );
            assert_eq!(post.subjects(AN), ["Confirm your address for ACME Joint Stock Company"]);
        }
        world
    })
    .await;
}

/// A mailer to a port where nobody listens.
async fn mailer_to_nowhere(world: &World) -> Mailer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    mailer(&format!("smtp://127.0.0.1:{port}"), world)
}
