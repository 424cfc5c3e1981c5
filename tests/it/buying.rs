//! Quotes, orders, provisioning, invoices.

use entity::enums::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{World, on_every_store, project, server, text};

const INVOICES: &str = "{ invoices(first: 10) { nodes { code status total { amount } tax { amount } coupon { amount }
    lines { component { code } unitPrice quantity minutes total { amount } } resource { name status expiresAt } } } }";

on_every_store! {
    async fn a_server_is_quoted_paid_provisioned_invoiced_and_explained(world: World) {
        world.grant("CASH", "900000").await;
        world.grant("PROMOTIONAL", "100000").await;
        let coupon = json!({ "code": "LAUNCH10", "value": { "percent": "10" }, "currency": "VND" });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let owner = world.token(Role::Owner);

        let (quote, charged) = world.quote(server("s-general-1x1"), Some("LAUNCH10")).await;
        assert_eq!(charged, "162900");
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "order-1" });
        let placed = world.done(&owner, "placeOrder", input).await;
        assert_eq!(placed["order"]["status"], "IN_PROGRESS");
        assert_eq!(placed["payment"]["amount"]["amount"], "162900");
        world.provision().await;

        let invoices = world.data(&owner, INVOICES, json!({})).await["invoices"]["nodes"].take();
        let invoice = &invoices[0];
        assert_eq!(invoice["status"], "PAID");
        assert_eq!(invoice["total"]["amount"], "162900");
        assert_eq!(invoice["tax"]["amount"], "16455");
        assert_eq!(invoice["coupon"]["amount"], "18100");
        assert_eq!(invoice["lines"][0]["minutes"], 43_200);
        assert_eq!(invoice["resource"]["status"], "ACTIVE");
        assert_eq!(text(&invoice["resource"]["expiresAt"])[..10], *"2023-04-05", "6 April in Ho Chi Minh City");

        let wallet = world.data(&owner, "{ wallet { cash { amount } promotional { amount } available { amount }
            entries(first: 10) { nodes { action amount { amount } balanceAfter { amount } } } } }", json!({})).await;
        let wallet = &wallet["wallet"];
        assert_eq!((text(&wallet["cash"]["amount"]), text(&wallet["promotional"]["amount"])), ("837100".into(), "0".into()));
        let history: Vec<(String, String)> = wallet["entries"]["nodes"].as_array().unwrap().iter()
            .map(|entry| (text(&entry["amount"]["amount"]), text(&entry["balanceAfter"]["amount"]))).collect();
        assert_eq!(history, [("-162900".into(), "837100".into()), ("100000".into(), "1000000".into()), ("900000".into(), "900000".into())]);
    }

    async fn fifty_parallel_copies_of_one_payment_buy_once(world: World) {
        world.grant("CASH", "10000000").await;
        let owner = world.token(Role::Owner);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "nervous-finger" });
        let copies = join_all((0..50).map(|_| world.done(&owner, "placeOrder", input.clone()))).await;
        let orders: std::collections::HashSet<String> = copies.iter().map(|copy| text(&copy["order"]["id"])).collect();
        assert_eq!(orders.len(), 1);
        assert_eq!(copies.iter().filter(|copy| copy["replayed"] == true).count(), 49);
        let data = world.data(&owner, "{ orders(first: 10) { nodes { id } } wallet { cash { amount } } }", json!({})).await;
        assert_eq!(data["orders"]["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(data["wallet"]["cash"]["amount"], "9819000");
    }

    async fn a_refused_key_works_after_a_top_up_and_not_for_another_input(world: World) {
        let owner = world.token(Role::Owner);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "the-key" });
        let refused = world.act(&owner, "placeOrder", input.clone()).await;
        let error = &refused["userErrors"][0];
        assert_eq!(error["code"], "INSUFFICIENT_CREDIT");
        assert_eq!(error["shortfall"]["amount"], "181000");
        world.grant("CASH", "200000").await;
        world.done(&owner, "placeOrder", input).await;
        let (other, _) = world.quote(server("s-general-2x4"), None).await;
        let reused = json!({ "quoteId": other, "payment": { "credit": true }, "idempotencyKey": "the-key" });
        assert_eq!(world.refused(&owner, "placeOrder", reused).await, "IDEMPOTENCY_KEY_REUSED");
    }

    async fn a_failed_provisioning_gives_back_what_was_charged_and_the_rest_lives_on(world: World) {
        world.grant("CASH", "300000").await;
        world.grant("PROMOTIONAL", "100000").await;
        let owner = world.token(Role::Owner);
        let input = json!({ "items": [{ "create": server("s-general-1x1") }, { "create": server("dev.v1.small1x1") }] });
        let quote = text(&world.done(&owner, "createQuote", input).await["quote"]["id"]);
        let pay = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "two" });
        world.done(&owner, "placeOrder", pay).await;
        let tasks = world.data(&world.token(Role::Product), "{ provisioningTasks(first: 2) { nodes { id } } }", json!({})).await;
        let task = &tasks["provisioningTasks"]["nodes"][0]["id"];
        let failed = json!({ "taskId": task, "outcome": { "failed": { "reason": "no room in the zone" } } });
        let product = world.token(Role::Product);
        world.done(&product, "reportProvisioning", failed.clone()).await;
        world.done(&product, "reportProvisioning", failed).await;
        let otherwise = json!({ "taskId": task, "outcome": { "failed": { "reason": "another reason" } } });
        assert_eq!(world.refused(&product, "reportProvisioning", otherwise).await, "TASK_ALREADY_REPORTED");
        let late = json!({ "taskId": task, "outcome": { "succeeded": {} } });
        assert_eq!(world.refused(&product, "reportProvisioning", late).await, "TASK_ALREADY_REPORTED");
        world.provision().await;
        let data = world.data(&owner, "{ orders(first: 1) { nodes { status items { status } } }
            wallet { cash { amount } promotional { amount } } resources(first: 5) { nodes { status } } }", json!({})).await;
        assert_eq!(data["orders"]["nodes"][0]["status"], "PARTIALLY_FULFILLED");
        assert_eq!(data["wallet"]["cash"]["amount"], "243210", "300,000 less its share of 271,000, promotional first");
        assert_eq!(data["wallet"]["promotional"]["amount"], "66790");
    }

    async fn a_report_again_is_the_same_report_or_it_is_refused(world: World) {
        world.grant("CASH", "181000").await;
        let order = world.buy(server("s-general-1x1")).await;
        let product = world.token(Role::Product);
        let made = |name: Value| json!({ "taskId": order["items"][0]["id"], "outcome": { "succeeded": { "externalId": name } } });
        world.done(&product, "reportProvisioning", made(json!("srv-1"))).await;
        world.done(&product, "reportProvisioning", made(json!("srv-1"))).await;
        for other in [json!("srv-2"), Value::Null] {
            assert_eq!(world.refused(&product, "reportProvisioning", made(other)).await, "TASK_ALREADY_REPORTED");
        }
    }

    async fn a_refusal_names_the_field_of_the_input(world: World) {
        world.grant("CASH", "181000").await;
        let order = world.buy(server("s-general-1x1")).await;
        let wish = |field: &str, value: Value| {
            let mut create = server("s-general-1x1");
            create[field] = value;
            json!({ "items": [{ "create": server("s-general-1x1") }, { "create": create }] })
        };
        let coupon = |value: Value| json!({ "code": "PATHS", "value": value, "currency": "VND" });
        let report = |outcome: Value| json!({ "taskId": order["items"][0]["id"], "outcome": outcome });
        let limit = |field: &str, limit: i64| {
            let mut coupon = coupon(json!({ "amount": "1" }));
            coupon[field] = json!(limit);
            coupon
        };
        for (role, name, input, path) in [
            (Role::Owner, "createQuote", wish("product", json!("nothing")), "items.1.create.product"),
            (Role::Owner, "createQuote", wish("product", json!("\u{0}")), "items.1.create.product"),
            (Role::Owner, "createQuote", wish("name", json!("\u{0}")), "items.1.create.name"),
            (Role::Owner, "createQuote", wish("quantity", json!(0)), "items.1.create.quantity"),
            (Role::Owner, "createQuote", wish("components", json!([])), "items.1.create.components"),
            (Role::Owner, "createQuote", wish("components", json!([{ "code": "x", "quantity": 1 }])), "items.1.create.components.0.code"),
            (Role::Owner, "createQuote", wish("term", json!({ "months": 0 })), "items.1.create.term.months"),
            (Role::Operator, "createCoupon", coupon(json!({ "percent": "ten" })), "value.percent"),
            (Role::Operator, "createCoupon", coupon(json!({ "percent": "0" })), "value.percent"),
            (Role::Operator, "createCoupon", coupon(json!({ "amount": "-1" })), "value.amount"),
            (Role::Operator, "createCoupon", limit("totalLimit", 0), "totalLimit"),
            (Role::Operator, "createCoupon", limit("totalLimit", 2_147_483_648), "totalLimit"),
            (Role::Operator, "createCoupon", limit("perAccountLimit", i64::MAX), "perAccountLimit"),
            (Role::Product, "reportProvisioning", report(json!({ "failed": { "reason": "" } })), "outcome.failed.reason"),
            (Role::Product, "reportProvisioning", report(json!({ "succeeded": { "externalId": "" } })), "outcome.succeeded.externalId"),
        ] {
            let payload = world.act(&world.token(role), name, input.clone()).await;
            let named: Vec<String> = payload["userErrors"][0]["path"]
                .as_array()
                .unwrap_or_else(|| panic!("{name} {input}: {payload}"))
                .iter()
                .map(text)
                .collect();
            assert_eq!(named.join("."), path, "{name} {input}: {payload}");
        }
    }

    async fn a_value_of_the_wrong_kind_refuses_the_whole_request(world: World) {
        let account = world.account_id().await;
        let grant = json!({ "accountId": account, "kind": "CASH", "amount": "1", "reason": "x", "idempotencyKey": "before" });
        for (kind, value, place) in [
            ("Decimal!", json!(1), "value: { amount: $x }, currency: \"VND\""),
            ("Decimal!", json!("1".repeat(65)), "value: { amount: $x }, currency: \"VND\""),
            ("CurrencyCode!", json!(["VND"]), "value: { amount: \"1\" }, currency: $x"),
            ("DateTime!", json!("yesterday"), "value: { amount: \"1\" }, currency: \"VND\", validFrom: $x"),
        ] {
            let query = format!(
                "mutation($grant: GrantCreditInput!, $x: {kind}) {{ grantCredit(input: $grant) {{ wallet {{ id }} }}
                    createCoupon(input: {{ code: \"WRONG\", {place} }}) {{ userErrors {{ code }} }} }}"
            );
            let body = world.ask(&world.token(Role::Operator), &query, json!({ "grant": grant, "x": value })).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{kind}: {body}");
            assert!(body.get("data").is_none(), "{body}");
        }
        let cash = world.data(&world.token(Role::Owner), "{ wallet { cash { amount } } }", json!({})).await;
        assert_eq!(cash["wallet"]["cash"]["amount"], "0", "nothing ran");
    }

    async fn an_instant_product_is_there_at_once(world: World) {
        world.grant("CASH", "150000").await;
        assert_eq!(world.buy(project()).await["status"], "FULFILLED");
        let owner = world.token(Role::Owner);
        let invoices = world.data(&owner, INVOICES, json!({})).await;
        assert_eq!(invoices["invoices"]["nodes"][0]["total"]["amount"], "150000");
    }

    async fn a_coupon_is_never_used_past_its_limit(world: World) {
        world.grant("CASH", "100000000").await;
        let coupon = json!({ "code": "FIRST3", "value": { "amount": "10000" }, "currency": "VND", "totalLimit": 3 });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let mut quotes = Vec::new();
        for _ in 0..10 {
            quotes.push(world.quote(server("s-general-1x1"), Some("FIRST3")).await.0);
        }
        let owner = world.token(Role::Owner);
        let answers = join_all(quotes.iter().enumerate().map(|(number, quote)| {
            let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": format!("key-{number}") });
            world.act(&owner, "placeOrder", input)
        })).await;
        let refused: Vec<&Value> = answers.iter().filter_map(|answer| answer["userErrors"].get(0)).collect();
        assert_eq!(refused.len(), 7);
        assert!(refused.iter().all(|error| error["code"] == "QUOTE_STALE"), "{refused:?}");
    }

    async fn a_quote_is_ordered_once_and_expires(world: World) {
        world.grant("CASH", "1000000").await;
        let owner = world.token(Role::Owner);
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let order = |key: &str, quote: &str| json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": key });
        assert_eq!(world.refused(&owner, "placeOrder", json!({ "quoteId": quote, "idempotencyKey": "0" })).await, "PAYMENT_REQUIRED");
        world.done(&owner, "placeOrder", order("1", &quote)).await;
        assert_eq!(world.refused(&owner, "placeOrder", order("2", &quote)).await, "QUOTE_ALREADY_ORDERED");
        let (late, _) = world.quote(server("s-general-1x1"), None).await;
        world.advance("2023-03-06T00:30:00+07:00").await;
        assert_eq!(world.refused(&owner, "placeOrder", order("3", &late)).await, "QUOTE_EXPIRED");
        let other = world.token_of(Role::Owner, world.other_account);
        let (open, _) = world.quote(server("s-general-1x1"), None).await;
        assert_eq!(world.refused(&other, "placeOrder", order("4", &open)).await, "QUOTE_NOT_FOUND");
    }

    async fn nothing_is_taken_for_an_end_that_has_passed_since_the_quote(world: World) {
        world.grant("CASH", "1000000").await;
        let owner = world.token(Role::Owner);
        let mut create = server("s-general-1x1");
        create["term"] = json!({ "until": "2023-03-06T00:05:00+07:00" });
        let (quote, _) = world.quote(create, None).await;
        world.advance("2023-03-06T00:10:00+07:00").await;
        let pay = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "late" });
        assert_eq!(world.refused(&owner, "placeOrder", pay).await, "QUOTE_STALE");
        let data = world.data(&owner, "{ wallet { available { amount } } }", json!({})).await;
        assert_eq!(data["wallet"]["available"]["amount"], "1000000");
    }

    async fn a_product_that_must_renew_is_bought_with_auto_renewal_on(world: World) {
        world.grant("CASH", "100000000").await;
        let create = json!({ "product": "vmonitor", "resourceType": "log-quota", "quantity": 1, "term": { "months": 1 }, "name": "logs",
                             "components": [{ "code": "log-10gb", "quantity": 1 }] });
        world.buy(create).await;
        let owner = world.token(Role::Owner);
        let data = world.data(&owner, "{ resources(first: 5) { nodes { autoRenew } } }", json!({})).await;
        assert_eq!(data["resources"]["nodes"], json!([{ "autoRenew": true }]));
    }

    async fn bad_input_is_refused_with_its_field_and_nothing_is_written(world: World) {
        let owner = world.token(Role::Owner);
        let with = |field: &str, value: Value| {
            let mut create = server("s-general-1x1");
            create[field] = value;
            json!({ "items": [{ "create": create }] })
        };
        let cases = [
            (with("quantity", json!(0)), "INVALID_QUANTITY"),
            (with("quantity", json!(-1)), "INVALID_QUANTITY"),
            (with("quantity", json!(2_000_000_000)), "INVALID_QUANTITY"),
            (with("term", json!({ "months": 0 })), "INVALID_TERM"),
            (with("term", json!({ "months": -3 })), "INVALID_TERM"),
            (with("term", json!({ "days": 2_000_000_000 })), "INVALID_TERM"),
            (with("term", json!({ "until": "2023-03-01T00:00:00Z" })), "END_NOT_AFTER_START"),
            (with("term", json!({ "until": "9999-03-01T00:00:00Z" })), "INVALID_INSTANT"),
            (with("product", json!("nothing")), "UNKNOWN_PRODUCT"),
            (with("components", json!([{ "code": "nothing", "quantity": 1 }])), "UNKNOWN_COMPONENT"),
            (with("components", json!([])), "NOTHING_TO_BUY"),
            (with("name", json!("x".repeat(60_000))), "INVALID_TEXT"),
            (json!({ "items": [] }), "NOTHING_TO_BUY"),
            (json!({ "items": [{ "create": server("s-general-1x1") }], "couponCode": "NOPE" }), "COUPON_UNKNOWN"),
        ];
        for (input, code) in cases {
            assert_eq!(world.refused(&owner, "createQuote", input.clone()).await, code, "{input}");
        }
        let grant = |amount: &str| json!({ "accountId": "nothing", "kind": "CASH", "amount": amount, "reason": "x", "idempotencyKey": "k" });
        let operator = world.token(Role::Operator);
        let account = world.account_id().await;
        for (amount, code) in [("1.5", "TOO_MANY_DECIMALS"), ("-1", "INVALID_AMOUNT"), ("1e3", "INVALID_AMOUNT"), ("99999999999999999", "AMOUNT_OUT_OF_RANGE")] {
            let mut input = grant(amount);
            input["accountId"] = json!(account);
            assert_eq!(world.refused(&operator, "grantCredit", input).await, code, "{amount}");
        }
        let data = world.data(&owner, "{ wallet { cash { amount } } orders(first: 1) { nodes { id } } }", json!({})).await;
        assert_eq!(data, json!({ "wallet": { "cash": { "amount": "0" } }, "orders": { "nodes": [] } }));
    }
}
