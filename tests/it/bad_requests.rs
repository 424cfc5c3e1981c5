//! Requests that make no sense: pages, tokens, JSON, sizes. Each is refused with a stable code, and nothing is written.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use billing_gateway::run::tools::{mint, principal};
use entity::enums::Role;
use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::bad_input::{code, document, id};
use crate::support::rows::rows;
use crate::support::{SECRET, World, on_every_store, server, text};

/// What an answer to nonsense may be long: it never repeats what it was sent.
const SHORT: usize = 4_000;

/// A cursor as the gateway makes it: of a list, with a key of some kind.
fn cursor(list: u8, tag: u8, key: &[u8]) -> String {
    let mut bytes = vec![list, tag];
    bytes.extend([7; 16]);
    bytes.extend(key);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Sends a request and answers the status and the body, which is short whatever was sent.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    assert!(body.len() < SHORT, "an answer of {} bytes", body.len());
    (status, serde_json::from_str(&body).unwrap())
}

/// A change that the owner may make; nobody else makes it by it.
fn purchase() -> Value {
    let input = json!({ "items": [{ "create": server("s-general-1x1") }] });
    json!({ "query": document("createQuote"), "variables": { "input": input } })
}

on_every_store! {
    async fn a_page_that_can_not_be_is_refused(world: World) {
        let before = rows(&world).await;
        let instants = [i64::MIN, i64::MAX, -3_000_000_000_000_000_000, 8_000_000_000_000_000_000, -1, 0];
        let mut cursors: Vec<String> = ["", "junk", "é", "\u{0}", "====", "' or 1=1 --"].map(str::to_owned).into();
        cursors.push("A".repeat(600));
        for list in 0..=10 {
            cursors.push(cursor(list, 3, b"a\0b"));
            cursors.push(cursor(list, 3, &[0xff, 0xfe]));
            cursors.push(cursor(list, 9, b""));
            cursors.push(cursor(list, 1, b"short"));
            cursors.extend(instants.map(|micros| cursor(list, 1, &micros.to_be_bytes())));
        }
        for (list, role) in [
            ("products", Role::Owner), ("resources", Role::Owner), ("orders", Role::Owner), ("payments", Role::Owner),
            ("invoices", Role::Owner), ("expiryAlerts", Role::Owner), ("provisioningTasks", Role::Product),
        ] {
            let token = world.token(role);
            let query = format!("query($first: Int, $after: String, $last: Int, $before: String) {{
                {list}(first: $first, after: $after, last: $last, before: $before) {{ pageInfo {{ hasNextPage }} }} }}");
            let mut pages = vec![json!({}), json!({ "first": 1, "last": 1 }), json!({ "first": 1, "before": "x" })];
            for size in [0, -1, 101, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MIN] {
                pages.extend([json!({ "first": size }), json!({ "last": size })]);
            }
            pages.extend([json!({ "first": "1" }), json!({ "first": 1.5 }), json!({ "first": [1, 2] })]);
            for cursor in &cursors {
                pages.extend([json!({ "first": 1, "after": cursor }), json!({ "last": 1, "before": cursor })]);
            }
            for page in pages {
                let body = world.ask(&token, &query, page.clone()).await;
                let expected = ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"];
                assert!(expected.contains(&code(&body).as_str()), "{list} {page}: {body}");
            }
        }
        assert_eq!(rows(&world).await, before);
    }

    async fn a_filter_or_an_id_that_can_not_be_finds_nothing_and_breaks_nothing(world: World) {
        let owner = world.token(Role::Owner);
        let before = rows(&world).await;
        for filter in [
            json!({ "product": "\u{0}" }), json!({ "resourceType": "a\u{0}" }), json!({ "text": "\u{0}" }),
            json!({ "tag": { "key": "\u{0}" } }), json!({ "tag": { "key": "a", "value": "\u{0}" } }),
            json!({ "text": "x".repeat(10_000) }), json!({ "status": ["ASLEEP"] }), json!({ "colour": 1 }),
        ] {
            let query = "query($filter: ResourceFilter) { resources(first: 1, filter: $filter) { nodes { id } } }";
            let body = world.ask(&owner, query, json!({ "filter": filter })).await;
            let expected = ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"];
            assert!(expected.contains(&code(&body).as_str()), "{filter}: {body}");
        }
        for text in ["%", "_", "\\", "'", "\"; drop table wallet; --", "\u{202e}", "💸"] {
            let query = "query($text: String) { resources(first: 1, filter: { text: $text, product: $text }) { nodes { id } } }";
            let data = world.data(&owner, query, json!({ "text": text })).await;
            assert_eq!(data["resources"]["nodes"], json!([]), "{text}");
        }
        let tasks = "query($product: String) { provisioningTasks(first: 1, product: $product) { nodes { id } } }";
        for product in ["", "\u{0}", "vserver\u{0}", "é", &"x".repeat(65)] {
            let body = world.ask(&world.token(Role::Operator), tasks, json!({ "product": product })).await;
            assert_eq!(code(&body), "BAD_USER_INPUT", "{product}: {body}");
        }
        let one = "query($id: ID!) { node(id: $id) { id } account(id: $id) { id } }";
        for nothing in ["", "0", "nothing", "\u{0}", "é", &id(0), &id(1), &id(6), &id(99), &"x".repeat(10_000)] {
            let data = world.data(&owner, one, json!({ "id": nothing })).await;
            assert_eq!(data, json!({ "node": null, "account": null }), "{nothing}");
        }
        for list in ["wallets(accountId: $id) { id }", "resources(accountId: $id, first: 1) { nodes { id } }"] {
            for nothing in ["", "\u{0}", &id(1), &id(6)] {
                let body = world.ask(&owner, &format!("query($id: ID) {{ {list} }}"), json!({ "id": nothing })).await;
                assert_eq!(code(&body), "NOT_FOUND", "{list} {nothing}: {body}");
            }
        }
        let many = world.ask(&owner, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": vec![id(6); 101] })).await;
        assert!(["BAD_USER_INPUT", "LIMIT_EXCEEDED"].contains(&code(&many).as_str()), "{many}");
        assert_eq!(rows(&world).await, before);
    }

    async fn a_token_that_is_not_ours_changes_nothing(world: World) {
        let before = rows(&world).await;
        let owner = world.token(Role::Owner);
        let by = |secret: &str, hours: i64| {
            mint(&SecretString::from(secret.to_owned()), &principal("x", Role::Owner, Some(world.account), None, hours)).unwrap()
        };
        let unsigned = |header: Value| {
            let claims = owner.split('.').nth(1).unwrap();
            format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header.to_string()))
        };
        let other_claims = {
            let claims = json!({ "sub": "x", "role": "OPERATOR", "exp": 99_999_999_999_i64 });
            let parts: Vec<&str> = owner.split('.').collect();
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
        };
        for (bad, reason) in [
            ("garbage".to_owned(), "MALFORMED"),
            (String::new(), "MALFORMED"),
            ("a.b.c".to_owned(), "MALFORMED"),
            ("x".repeat(9_000), "MALFORMED"),
            (unsigned(json!({ "alg": "none", "typ": "JWT" })), "MALFORMED"),
            (unsigned(json!({ "alg": "HS512", "typ": "JWT" })), "MALFORMED"),
            (unsigned(json!({ "alg": "HS256", "typ": "JWT" })), "BAD_SIGNATURE"),
            (other_claims, "BAD_SIGNATURE"),
            (by("another secret, and as long as ours is, if not longer", 1), "BAD_SIGNATURE"),
            (by(SECRET, -1), "EXPIRED"),
            (by(SECRET, 0), "EXPIRED"),
        ] {
            let (status, body) = answer(world.http().post(&world.url).bearer_auth(&bad).json(&purchase())).await;
            assert_eq!((status, code(&body).as_str()), (401, "UNAUTHENTICATED"), "{bad}: {body}");
            assert_eq!(body["errors"][0]["extensions"]["reason"], reason, "{bad}: {body}");
        }
        let plain = || world.http().post(&world.url).json(&purchase());
        for (request, why) in [
            (plain().bearer_auth(&owner).bearer_auth(world.token(Role::Viewer)), "two headers"),
            (plain().bearer_auth(&owner).bearer_auth(&owner), "the same twice"),
            (plain().basic_auth("x", Some(&owner)), "another scheme"),
            (plain().header("authorization", owner.as_str()), "no scheme"),
            (plain().header("authorization", &b"Bearer \xff"[..]), "no text"),
        ] {
            let (status, body) = answer(request).await;
            assert_eq!((status, code(&body).as_str()), (401, "UNAUTHENTICATED"), "{why}: {body}");
        }
        let (_, body) = answer(plain()).await;
        assert_eq!(code(&body), "UNAUTHENTICATED", "{body}");
        assert_eq!(rows(&world).await, before);
    }

    async fn a_body_that_is_no_request_is_refused(world: World) {
        let before = rows(&world).await;
        let query = document("createQuote");
        let input = r#"{"items":[{"create":{"product":"vserver","resourceType":"server","term":{"months":1},"name":"NAME","components":[{"code":"s-general-1x1","quantity":1}]}}]}"#;
        let asked = |input: &str| format!(r#"{{"query":"{query}","variables":{{"input":{input}}}}}"#);
        let name = |name: &str| asked(&input.replace("NAME", name));
        let nested = |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
        for (body, expected) in [
            ("", "BAD_REQUEST"),
            ("   ", "BAD_REQUEST"),
            ("{", "BAD_REQUEST"),
            ("nul", "BAD_REQUEST"),
            ("[]", "BAD_REQUEST"),
            ("1", "BAD_REQUEST"),
            ("null", "BAD_REQUEST"),
            ("\"query\"", "BAD_REQUEST"),
            ("{}", "BAD_REQUEST"),
            (r#"{"query":null}"#, "BAD_REQUEST"),
            (r#"{"query":1}"#, "BAD_REQUEST"),
            (r#"{"query":["{ viewer { role } }"]}"#, "BAD_REQUEST"),
            (r#"{"query":"{ viewer { role } }","variables":[]}"#, "BAD_REQUEST"),
            (r#"{"query":"{ viewer { role } }","variables":"{}"}"#, "BAD_REQUEST"),
            (r#"{"query":"{ viewer { role } }","operationName":7}"#, "BAD_REQUEST"),
            (r#"{"query":"{ viewer { role } }","extensions":7}"#, "BAD_REQUEST"),
            (r#"[{"query":"{ viewer { role } }"}]"#, "BAD_REQUEST"),
            (r#"{"query":"{ viewer { role } }"} trailing"#, "BAD_REQUEST"),
            (r#"{"query":""}"#, "GRAPHQL_PARSE_FAILED"),
            (r#"{"query":"{ viewer { role } "}"#, "GRAPHQL_PARSE_FAILED"),
            (r#"{"query":"{ viewer { role } }","operationName":"Other"}"#, "OPERATION_RESOLUTION_FAILURE"),
            (r#"{"query":"{ viewer { salary } }"}"#, "GRAPHQL_VALIDATION_FAILED"),
            (name("\\ud800").as_str(), "BAD_REQUEST"),
            (name("a\\u0000b").as_str(), "INVALID_TEXT"),
            (asked("null").as_str(), "BAD_USER_INPUT"),
            (asked("1e999").as_str(), "BAD_REQUEST"),
            (asked(&input.replace("\"quantity\":1", "\"quantity\":99999999999999999999")).as_str(), "GRAPHQL_VALIDATION_FAILED or BAD_USER_INPUT"),
            (asked(&nested("[", "]", 100)).as_str(), "GRAPHQL_VALIDATION_FAILED or BAD_USER_INPUT"),
            (asked(&nested("[", "]", 40_000)).as_str(), "BAD_REQUEST"),
            (nested("{\"a\":", "}", 15_000).as_str(), "BAD_REQUEST"),
            (json!({ "query": nested("{ a ", "}", 5_000) }).to_string().as_str(), "LIMIT_EXCEEDED"),
            (json!({ "query": format!("{{ node(id: {}) {{ id }} }}", nested("[", "]", 2_000)) }).to_string().as_str(), "LIMIT_EXCEEDED"),
        ] {
            let request = world.http().post(&world.url).bearer_auth(world.token(Role::Owner));
            let (status, answered) = answer(request.header("content-type", "application/json").body(body.to_owned())).await;
            let shown: String = body.chars().take(200).collect();
            assert!(expected.split(" or ").any(|expected| expected == code(&answered)), "{shown}: {expected} was expected: {answered}");
            assert_eq!(status, if expected == "BAD_REQUEST" { 400 } else { 200 }, "{shown}: {answered}");
        }
        assert_eq!(rows(&world).await, before);
    }

    async fn a_megabyte_is_refused_by_the_edge_or_by_the_field(world: World) {
        let megabyte = "x".repeat(1_000_000);
        let account = world.account_id().await;
        world.grant("CASH", "1000000").await;
        let order = world.buy(server("s-general-1x1")).await;
        let task = text(&order["items"][0]["id"]);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let wish = |field: &str, value: Value| {
            let mut create = server("s-general-1x1");
            create[field] = value;
            json!({ "items": [{ "create": create }] })
        };
        let pay = |field: &str| {
            let mut order = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "k" });
            order[field] = json!(megabyte);
            order
        };
        let grant = |field: &str| {
            let mut grant = json!({ "accountId": account, "kind": "CASH", "amount": "1", "reason": "x", "idempotencyKey": "k" });
            grant[field] = json!(megabyte);
            grant
        };
        let long_coupon = |field: &str, value: Value| {
            let mut coupon = json!({ "code": "LONG", "value": { "amount": "1" }, "currency": "VND" });
            coupon[field] = value;
            coupon
        };
        let cases = [
            (Role::Owner, "createQuote", wish("name", json!(megabyte)), "INVALID_TEXT"),
            (Role::Owner, "createQuote", wish("product", json!(megabyte)), "UNKNOWN_PRODUCT"),
            (Role::Owner, "createQuote", wish("components", json!([{ "code": megabyte, "quantity": 1 }])), "UNKNOWN_COMPONENT"),
            (Role::Owner, "createQuote", wish("term", json!({ "until": megabyte })), "GRAPHQL_VALIDATION_FAILED"),
            (Role::Owner, "createQuote", json!({ "items": [{ "create": server("s-general-1x1") }], "couponCode": megabyte }), "COUPON_UNKNOWN"),
            (Role::Owner, "placeOrder", pay("quoteId"), "INVALID_ID"),
            (Role::Owner, "placeOrder", pay("idempotencyKey"), "IDEMPOTENCY_KEY_INVALID"),
            (Role::Owner, "placeOrder", pay("returnUrl"), "RETURN_URL_NOT_ALLOWED"),
            (Role::Operator, "grantCredit", grant("accountId"), "INVALID_ID"),
            (Role::Operator, "grantCredit", grant("amount"), "GRAPHQL_VALIDATION_FAILED"),
            (Role::Operator, "grantCredit", grant("reason"), "INVALID_TEXT"),
            (Role::Operator, "grantCredit", grant("idempotencyKey"), "IDEMPOTENCY_KEY_INVALID"),
            (Role::Operator, "createCoupon", long_coupon("code", json!(megabyte)), "INVALID_TEXT"),
            (Role::Operator, "createCoupon", long_coupon("products", json!([megabyte])), "LIMIT_EXCEEDED"),
            (Role::Product, "reportProvisioning", json!({ "taskId": task, "outcome": { "failed": { "reason": megabyte } } }), "INVALID_TEXT"),
            (Role::Product, "reportProvisioning", json!({ "taskId": task, "outcome": { "succeeded": { "externalId": megabyte } } }), "INVALID_TEXT"),
        ];
        let before = rows(&world).await;
        let (name, body) = (document("createQuote"), &cases[0].2);
        let request = world.http().post(&world.url).bearer_auth(world.token(Role::Owner));
        let (status, refused) = answer(request.json(&json!({ "query": name, "variables": { "input": body } }))).await;
        assert_eq!((status, code(&refused).as_str()), (413, "BODY_TOO_LARGE"), "{refused}");
        world.take_bodies_of(2_000_000).await;
        for (role, name, input, expected) in cases {
            let body = json!({ "query": document(name), "variables": { "input": input } });
            let (status, refused) = answer(world.http().post(&world.url).bearer_auth(world.token(role)).json(&body)).await;
            assert_eq!((status, code(&refused).as_str()), (200, expected), "{name}: {refused}");
        }
        for (query, expected) in [
            ("query($x: String) { resources(first: 1, after: $x) { nodes { id } } }", "BAD_USER_INPUT"),
            ("query($x: String) { resources(first: 1, filter: { text: $x }) { nodes { id } } }", "BAD_USER_INPUT"),
            ("query($x: ID) { wallets(accountId: $x) { id } }", "NOT_FOUND"),
        ] {
            let body = json!({ "query": query, "variables": { "x": megabyte } });
            let (_, refused) = answer(world.http().post(&world.url).bearer_auth(world.token(Role::Owner)).json(&body)).await;
            assert_eq!(code(&refused), expected, "{query}: {refused}");
        }
        assert_eq!(rows(&world).await, before);
    }
}
