//! The payment history and the credit history: searched, paged while they are searched, and taken home as files.

use chrono::TimeDelta;
use entity::enums::{PaymentMethod, PaymentPurpose, PaymentStatus, Role};
use entity::payment;
use sea_orm::{ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, at, on_every_store, project, server, text};

async fn granted(world: &World, kind: &str, amount: &str, reason: &str) {
    let input = json!({ "accountId": world.account_id().await, "kind": kind, "amount": amount, "reason": reason,
                        "idempotencyKey": Uuid::now_v7().to_string() });
    world.done(&world.token(Role::Operator), "grantCredit", input).await;
}

/// The details of the credit history that a filter lets through, newest first, read in pages of two.
async fn entries(world: &World, filter: Value) -> Vec<String> {
    let query = "query($filter: WalletEntryFilter, $after: String) { wallet { entries(filter: $filter, first: 2, after: $after) {
        nodes { details } pageInfo { hasNextPage endCursor } } } }";
    paged(world, query, filter, "/wallet/entries", "details").await
}

/// The details of the payment history that a filter lets through, likewise.
async fn payments(world: &World, filter: Value) -> Vec<String> {
    let query = "query($filter: PaymentFilter, $after: String) { payments(filter: $filter, first: 2, after: $after) {
        nodes { details } pageInfo { hasNextPage endCursor } } }";
    paged(world, query, filter, "/payments", "details").await
}

async fn paged(world: &World, query: &str, filter: Value, place: &str, field: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let variables = json!({ "filter": filter, "after": after });
        let data = world.data(&world.token(Role::Owner), query, variables).await;
        let page = data.pointer(place).unwrap();
        found.extend(page["nodes"].as_array().unwrap().iter().map(|node| text(&node[field])));
        if page["pageInfo"]["hasNextPage"] == false {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// Asks for a file: its status, its headers and its text.
async fn file(world: &World, token: &str, path: &str) -> (u16, reqwest::header::HeaderMap, String) {
    let url = format!("http://{}/exports/{path}", world.address());
    let mut asked = world.http().get(url);
    if !token.is_empty() {
        asked = asked.bearer_auth(token);
    }
    let answer = asked.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap())
}

/// Reads a file as RFC 4180 says: its rows by the names of its columns.
fn rows(csv: &str) -> Vec<Value> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(row.is_empty() && cell.is_empty(), "the last row has its end");
    let columns = rows.remove(0);
    let named = |row: Vec<String>| -> Value {
        assert_eq!(row.len(), columns.len());
        columns.iter().cloned().zip(row.into_iter().map(Value::from)).collect()
    };
    rows.into_iter().map(named).collect()
}

/// A column of a file.
fn column(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| text(&row[name])).collect()
}

const YEAR: &str = "from=2023-01-01&to=2023-12-31";

on_every_store! {
    async fn histories_are_searched_and_paged_at_once(world: World) {
        granted(&world, "CASH", "500000", "100%_sure").await;
        granted(&world, "CASH", "1", "1000 xsure").await;
        granted(&world, "PROMOTIONAL", "150000", "Điều chỉnh SỐ DƯ").await;
        world.buy(server("s-general-1x1")).await;
        world.advance("2023-03-08T00:00:00+07:00").await;
        world.buy(project()).await;
        let top_up = json!({ "amount": "100000", "payment": { "gateway": "SANDBOX" }, "idempotencyKey": "top-up" });
        world.done(&world.token(Role::Owner), "topUpWallet", top_up).await;

        let (sure, thousand, vietnamese) = ("100%_sure", "1000 xsure", "Điều chỉnh SỐ DƯ");
        let all = entries(&world, Value::Null).await;
        assert_eq!(all.len(), 5);
        assert_eq!(entries(&world, json!({ "text": "0%" })).await, [sure]);
        assert_eq!(entries(&world, json!({ "text": "_SURE" })).await, [sure]);
        assert_eq!(entries(&world, json!({ "text": "\\" })).await, [""; 0]);
        assert_eq!(entries(&world, json!({ "text": "điều CHỈNH số dư" })).await, [vietnamese]);
        assert_eq!(entries(&world, json!({ "text": "sure" })).await, [thousand, sure]);
        assert_eq!(entries(&world, json!({ "action": ["GRANT"] })).await, [vietnamese, thousand, sure]);
        assert_eq!(entries(&world, json!({ "action": ["GRANT", "TOP_UP"], "part": "PROMOTIONAL" })).await, [vietnamese]);
        // The first order took all promotional money, and some cash.
        assert_eq!(entries(&world, json!({ "part": "PROMOTIONAL" })).await, [all[1].as_str(), vietnamese]);
        assert_eq!(entries(&world, json!({ "product": "vstorage" })).await, [all[0].clone()]);
        assert_eq!(entries(&world, json!({ "product": "vserver" })).await, [all[1].clone()]);
        assert_eq!(entries(&world, json!({ "product": "nothing" })).await, [""; 0]);
        assert_eq!(entries(&world, json!({ "from": "2023-03-08T00:00:00+07:00" })).await, [all[0].clone()]);
        assert_eq!(entries(&world, json!({ "to": "2023-03-08T00:00:00+07:00", "text": "sure" })).await, [thousand, sure]);

        let all = payments(&world, Value::Null).await;
        assert_eq!((all.len(), all[0].as_str()), (3, "Top-up"));
        assert_eq!(payments(&world, json!({ "status": ["PENDING"] })).await, ["Top-up"]);
        assert_eq!(payments(&world, json!({ "status": ["PENDING", "SUCCEEDED"], "purpose": ["ORDER"] })).await, all[1..]);
        assert_eq!(payments(&world, json!({ "gateway": "SANDBOX" })).await, ["Top-up"]);
        assert_eq!(payments(&world, json!({ "gateway": "MOMO" })).await, [""; 0]);
        assert_eq!(payments(&world, json!({ "method": ["CREDIT"], "product": "vserver" })).await, [all[2].clone()]);
        assert_eq!(payments(&world, json!({ "text": "top-UP" })).await, ["Top-up"]);
        assert_eq!(payments(&world, json!({ "text": "pay-acme-2023-000001" })).await, [all[2].clone()]);
        assert_eq!(payments(&world, json!({ "from": "2023-03-06T00:00:00+07:00", "to": "2023-03-07T00:00:00+07:00" })).await, [all[2].clone()]);
        assert_eq!(payments(&world, json!({ "status": [], "method": [] })).await, all);

        let owner = world.token(Role::Owner);
        for (filter, field) in [
            (json!({ "text": "x".repeat(257) }), "text"),
            (json!({ "product": "a\u{0}" }), "product"),
            (json!({ "from": "2023-03-08T00:00:00Z", "to": "2023-03-08T00:00:00Z" }), "to"),
            (json!({ "from": "1999-03-08T00:00:00Z" }), "from"),
        ] {
            for query in ["query($filter: PaymentFilter) { payments(filter: $filter, first: 1) { nodes { id } } }",
                          "query($filter: WalletEntryFilter) { wallet { entries(filter: $filter, first: 1) { nodes { id } } } }"] {
                let body = world.ask(&owner, query, json!({ "filter": filter })).await;
                assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
                assert!(text(&body["errors"][0]["message"]).starts_with(field), "{body}");
            }
        }
    }

    async fn the_credit_history_is_a_file_in_which_nothing_is_a_formula(world: World) {
        for reason in ["=HYPERLINK(\"http://x\",\"y\")", "+84 90", "-5", "@SUM(A1)", "plain, \"quoted\""] {
            granted(&world, "CASH", "50000", reason).await;
        }
        world.buy(server("s-general-1x1")).await;
        let owner = world.token(Role::Owner);
        let (status, headers, csv) = file(&world, &owner, &format!("credit.csv?{YEAR}")).await;
        assert_eq!(status, 200, "{csv}");
        assert_eq!(headers["content-type"], "text/csv; charset=utf-8; header=present");
        assert_eq!(headers["content-disposition"], "attachment; filename=\"credit-ACME-2023-01-01.csv\"");
        assert_eq!(headers["cache-control"], "no-store");
        let rows = rows(&csv);
        assert_eq!(column(&rows, "sequence"), ["1", "2", "3", "4", "5", "6"]);
        let details = column(&rows, "details");
        assert_eq!(details[..5], ["'=HYPERLINK(\"http://x\",\"y\")", "'+84 90", "'-5", "'@SUM(A1)", "plain, \"quoted\""]);
        let paid = rows.last().unwrap();
        assert_eq!((&paid["action"], &paid["amount"], &paid["cash"], &paid["promotional"], &paid["balance_after"], &paid["currency"]),
            (&json!("ORDER_PAYMENT"), &json!("-181000"), &json!("-181000"), &json!("0"), &json!("69000"), &json!("VND")));
        assert_eq!(paid["order"], "ORD-ACME-2023-000001");
        assert!(text(&paid["at"]).starts_with("2023-03-06T00:0") && text(&paid["at"]).ends_with("+07:00"), "{paid}");

        let marked = file(&world, &owner, &format!("credit.csv?{YEAR}&bom=true&action=ORDER_PAYMENT")).await.2;
        assert!(marked.starts_with("\u{feff}sequence,at,"), "{marked}");
        assert_eq!(marked.lines().count(), 2);
        for (asked, found) in [("part=CASH", 6), ("part=PROMOTIONAL", 0), ("action=GRANT,ORDER_PAYMENT", 6), ("action=GRANT&action=TOP_UP", 5),
                               ("text=%2B84", 1), ("text=%25", 0), ("product=vserver", 1), ("text=", 6)] {
            let (status, _, csv) = file(&world, &owner, &format!("credit.csv?{YEAR}&{asked}")).await;
            assert_eq!((status, csv.lines().count() - 1), (200, found), "{asked}: {csv}");
        }
        // A day is a whole day of the account, an instant is where the period ends.
        for (period, found) in [("from=2023-03-06&to=2023-03-06", 6), ("from=2023-03-07&to=2023-03-08", 0),
                                ("from=2023-03-05T17:00:00Z&to=2023-03-06T17:00:00%2B00:00", 6), ("from=2023-03-01&to=2023-03-06T00:00:00+07:00", 0)] {
            let (status, _, csv) = file(&world, &owner, &format!("credit.csv?{period}")).await;
            assert_eq!((status, csv.lines().count() - 1), (200, found), "{period}: {csv}");
        }
    }

    async fn files_are_whole_however_many_pages_they_are_read_in(world: World) {
        let row = |number: i64| payment::Model {
            id: Uuid::from_u128(0xfeed_0000_0000_0000 + u128::try_from(number).unwrap()),
            account_id: world.account,
            code: format!("PAY-MANY-{number:06}"),
            order_id: None,
            invoice_id: None,
            purpose: PaymentPurpose::TopUp,
            method: PaymentMethod::Gateway,
            status: if number % 2 == 0 { PaymentStatus::Failed } else { PaymentStatus::Expired },
            currency: "VND".to_owned(),
            amount_minor: number + 1,
            cash_minor: 0,
            promotional_minor: 0,
            gateway_minor: number + 1,
            gateway: Some("SANDBOX".to_owned()),
            became_credit: false,
            details: "Top-up".to_owned(),
            principal: "tester".to_owned(),
            // Many of one instant: their keys tell them apart.
            created_at: at("2023-02-01T00:00:00Z") + TimeDelta::seconds(number / 700),
            completed_at: None,
            version: 1,
        };
        let many = || (0..1_400).map(|number| row(number).into_active_model());
        let written = world.app.db.write("many", async |tx| Ok(payment::Entity::insert_many(many()).exec_without_returning(&**tx).await?));
        assert_eq!(written.await.unwrap(), 1_400);
        let owner = world.token(Role::Owner);
        let (status, _, csv) = file(&world, &owner, &format!("payments.csv?{YEAR}")).await;
        assert_eq!(status, 200);
        let whole: Vec<String> = (0..1_400).map(|number| format!("PAY-MANY-{number:06}")).collect();
        assert_eq!(column(&rows(&csv), "code"), whole);
        let halved = rows(&file(&world, &owner, &format!("payments.csv?{YEAR}&status=FAILED&text=many")).await.2);
        assert_eq!(halved.len(), 700);
        assert!(halved.iter().all(|row| row["status"] == "FAILED" && row["through_gateway"] == row["amount"]));
        let ours = payment::Entity::delete_many().filter(payment::Column::Code.like("PAY-MANY-%"));
        world.app.db.write("none", async |tx| Ok(ours.clone().exec(&**tx).await?)).await.unwrap();
    }

    async fn files_are_for_who_may_export_and_of_their_own_account(world: World) {
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        let (ours, owner) = (world.account_id().await, world.token(Role::Owner));
        let other = world.token_of(Role::Owner, world.other_account);
        for (name, permission) in [("payments.csv", "ExportPayments"), ("credit.csv", "ExportCredits")] {
            let of_account = format!("{name}?{YEAR}&account={ours}");
            for (who, token, path, expected, code) in [
                ("a stranger", String::new(), &of_account, 401, "UNAUTHENTICATED"),
                ("a forger", "x".to_owned(), &of_account, 401, "UNAUTHENTICATED"),
                ("who lacks the permission", world.token_without(permission), &of_account, 403, "FORBIDDEN"),
                ("a product's service", world.token(Role::Product), &of_account, 403, "FORBIDDEN"),
                ("another account", other.clone(), &of_account, 404, "NOT_FOUND"),
                ("an operator who names nobody", world.token(Role::Operator), &format!("{name}?{YEAR}"), 400, "BAD_USER_INPUT"),
                ("an operator who names nothing", world.token(Role::Operator), &format!("{name}?{YEAR}&account=AAAA"), 404, "NOT_FOUND"),
            ] {
                let (status, headers, body) = file(&world, &token, path).await;
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!((status, body["errors"][0]["extensions"]["code"].as_str()), (expected, Some(code)), "{who}: {body}");
                assert!(headers.contains_key("x-request-id"));
                assert_eq!(headers.contains_key("www-authenticate"), expected == 401, "{who}");
            }
            for token in [&owner, &world.token(Role::Viewer), &world.token(Role::Operator)] {
                let (status, _, csv) = file(&world, token, &of_account).await;
                assert!(status == 200 && csv.contains("ORD-ACME-2023-000001"), "{csv}");
            }
            let (status, _, csv) = file(&world, &other, &format!("{name}?{YEAR}")).await;
            assert_eq!((status, csv.lines().count()), (200, 1), "another account has its own: {csv}");
        }
        for (query, told) in [
            ("", "from"),
            ("from=2023-01-01", "to"),
            ("from=2022-01-01&to=2023-01-02", "to"),
            ("from=2023-02-01&to=2023-01-01", "to"),
            ("from=yesterday&to=2023-01-01", "from"),
            ("from=2023-01-01&to=2023-13-01", "to"),
            ("from=1999-01-01&to=1999-02-01", "from"),
            ("from=2023-01-01&from=2023-01-02&to=2023-02-01", "from"),
            ("from=2023-01-01&to=2023-02-01&state=FAILED", "state"),
            ("from=2023-01-01&to=2023-02-01&status=LOST", "status"),
            ("from=2023-01-01&to=2023-02-01&bom=1", "bom"),
            ("from=2023-01-01&to=2023-02-01&text=%00", "text"),
        ] {
            let (status, _, body) = file(&world, &owner, &format!("payments.csv?{query}")).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            let message = text(&body["errors"][0]["message"]);
            assert!(status == 400 && message.starts_with(&format!("{told}: ")), "{query}: {body}");
        }
        for (query, told) in [("action=THEFT", "action"), ("wallet=CREDIT&wallet=POC", "wallet"), ("gateway=MOMO", "gateway")] {
            let (status, _, body) = file(&world, &owner, &format!("credit.csv?{YEAR}&{query}")).await;
            assert!(status == 400 && body.contains(&format!("\"{told}: ")), "{query}: {body}");
        }
        assert_eq!(file(&world, &owner, &format!("credit.csv?{YEAR}&wallet=POC")).await.0, 404);
        let posted = world.http().post(format!("http://{}/exports/credit.csv?{YEAR}", world.address())).bearer_auth(&owner).send().await.unwrap();
        assert_eq!(posted.status(), 405);
    }
}
