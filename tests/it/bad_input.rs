//! Values that make no sense: each is refused with a stable code, and nothing is written.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::rows::rows;
use crate::support::{World, on_every_store, server, text};

/// GraphQL's own words for a value that its type does not take: by its form, or by what it says.
const TYPE: &str = "GRAPHQL_VALIDATION_FAILED or BAD_USER_INPUT";

/// Texts that are no amount of dong.
const AMOUNTS: &[(&str, &str)] = &[
    ("1.5", "TOO_MANY_DECIMALS"),
    ("1.0", "TOO_MANY_DECIMALS"),
    ("0.000001", "TOO_MANY_DECIMALS"),
    ("0", "INVALID_AMOUNT"),
    ("-0", "INVALID_AMOUNT"),
    ("-1", "INVALID_AMOUNT"),
    ("-1000000000000001", "AMOUNT_OUT_OF_RANGE"),
    ("1000000000000001", "AMOUNT_OUT_OF_RANGE"),
    ("9223372036854775808", "AMOUNT_OUT_OF_RANGE"),
    ("", "INVALID_AMOUNT"),
    (" 1", "INVALID_AMOUNT"),
    ("1 ", "INVALID_AMOUNT"),
    ("+1", "INVALID_AMOUNT"),
    ("1.", "INVALID_AMOUNT"),
    (".5", "INVALID_AMOUNT"),
    ("1e3", "INVALID_AMOUNT"),
    ("1E+3", "INVALID_AMOUNT"),
    ("1,000", "INVALID_AMOUNT"),
    ("1_000", "INVALID_AMOUNT"),
    ("0x10", "INVALID_AMOUNT"),
    ("NaN", "INVALID_AMOUNT"),
    ("Infinity", "INVALID_AMOUNT"),
    ("\u{ff11}", "INVALID_AMOUNT"),
    ("1\u{0}", "INVALID_AMOUNT"),
];

/// Texts that are no id, of anything.
const IDS: &[&str] = &[
    "",
    "0",
    "nothing",
    "AAAAAAAAAAAAAAAAAAAAAAA",
    "a\u{0}b",
    "' or 1=1 --",
    "é",
];

/// One call and the code it must be refused with.
type Case = (Role, &'static str, Value, &'static str);

/// An id as the gateway makes it, of a kind, with a key that nothing has.
pub(crate) fn id(kind: u8) -> String {
    let mut bytes = [0x42; 17];
    bytes[0] = kind;
    URL_SAFE_NO_PAD.encode(bytes)
}

fn with(base: &Value, field: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[field] = value;
    changed
}

/// The code of a refusal, in the payload or at the top.
pub(crate) fn code(body: &Value) -> String {
    if let Some(error) = body["errors"].get(0) {
        return text(&error["extensions"]["code"]);
    }
    let fields = body["data"].as_object().unwrap();
    let payload = fields.values().next().unwrap();
    payload["userErrors"][0]["code"]
        .as_str()
        .unwrap_or("ACCEPTED")
        .to_owned()
}

/// A document that does one thing with its input and asks for nothing but refusals.
pub(crate) fn document(name: &str) -> String {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let verb = if name == "pricePreview" { "query" } else { "mutation" };
    format!("{verb}($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ code message path }} }} }}")
}

/// Each case is refused with its code, and leaves no row. All that are not are told at once.
async fn refuses(world: &World, cases: Vec<Case>) {
    let before = rows(world).await;
    let mut wrong = Vec::new();
    for (role, name, input, expected) in cases {
        let body = world
            .ask(&world.token(role), &document(name), json!({ "input": input }))
            .await;
        let shown: String = input.to_string().chars().take(300).collect();
        if !expected.split(" or ").any(|expected| expected == code(&body)) {
            wrong.push(format!("{name} {shown}: {expected} was expected: {body}"));
        }
        if rows(world).await != before {
            wrong.push(format!("{name} {shown} wrote something"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same wish, priced and quoted.
fn wishes(cases: Vec<(Value, &'static str)>) -> Vec<Case> {
    let twice = |(input, code): (Value, &'static str)| {
        [
            (Role::Owner, "createQuote", input.clone(), code),
            (Role::Owner, "pricePreview", input, code),
        ]
    };
    cases.into_iter().flat_map(twice).collect()
}

fn one(create: &Value) -> Value {
    json!({ "items": [{ "create": create }] })
}

on_every_store! {
    async fn an_amount_is_exact_positive_and_within_what_is_counted(world: World) {
        let account = world.account_id().await;
        let grant = json!({ "accountId": account, "kind": "CASH", "amount": "1", "reason": "x", "idempotencyKey": "k" });
        let coupon = json!({ "code": "AMOUNTS", "value": { "amount": "1" }, "currency": "VND" });
        let mut cases = Vec::new();
        for (amount, code) in AMOUNTS {
            cases.push((Role::Operator, "grantCredit", with(&grant, "amount", json!(amount)), *code));
            cases.push((Role::Operator, "createCoupon", with(&coupon, "value", json!({ "amount": amount })), *code));
            for field in ["minimumOrder", "maximumDiscount"] {
                cases.push((Role::Operator, "createCoupon", with(&coupon, field, json!(amount)), *code));
            }
        }
        let long = "9".repeat(65);
        for number in [json!(1), json!(1.5), json!(-1), json!(1e300), json!(true), json!([1]), json!({}), Value::Null, json!(long)] {
            cases.push((Role::Operator, "grantCredit", with(&grant, "amount", number.clone()), TYPE));
            cases.push((Role::Operator, "createCoupon", with(&coupon, "value", json!({ "amount": number })), TYPE));
        }
        for percent in ["0", "-1", "100.000001", "101", "1e1", "NaN", "", "10%", "0.00000001", "1\u{0}"] {
            let code = if percent == "0" { "COUPON_INVALID" } else { "INVALID_RATE" };
            cases.push((Role::Operator, "createCoupon", with(&coupon, "value", json!({ "percent": percent })), code));
        }
        refuses(&world, cases).await;
        // The largest amount is taken once, and the wallet that holds it takes no more.
        let most = with(&grant, "amount", json!("1000000000000000"));
        world.done(&world.token(Role::Operator), "grantCredit", most.clone()).await;
        let more = with(&with(&grant, "amount", json!("1")), "idempotencyKey", json!("more"));
        refuses(&world, vec![
            (Role::Operator, "grantCredit", more, "WALLET_LIMIT"),
            (Role::Operator, "grantCredit", with(&most, "amount", json!("2")), "IDEMPOTENCY_KEY_REUSED"),
        ]).await;
    }

    async fn a_wish_that_can_not_be_has_no_price(world: World) {
        let base = server("s-general-1x1");
        let change = |field: &str, value: Value| one(&with(&base, field, value));
        let part = |code: &str, quantity: Value| change("components", json!([{ "code": code, "quantity": quantity }]));
        let mut cases = vec![
            (change("quantity", json!(51)), "INVALID_QUANTITY"),
            (change("quantity", json!(1.5)), TYPE),
            (change("quantity", json!("1")), TYPE),
            (part("s-general-1x1", json!(2)), "INVALID_QUANTITY"),
            (change("term", json!({ "months": 121 })), "INVALID_TERM"),
            (change("term", json!({ "days": 3_661 })), "INVALID_TERM"),
            (change("term", json!({})), TYPE),
            (change("term", json!({ "months": 1, "days": 1 })), TYPE),
            (change("term", json!({ "months": "1" })), TYPE),
            (change("term", json!({ "until": "2023-03-05T17:00:00Z" })), "END_NOT_AFTER_START"),
            (change("term", json!({ "until": "2023-03-05T16:59:59Z" })), "END_NOT_AFTER_START"),
            (change("term", json!({ "until": "0001-01-01T00:00:00Z" })), "INVALID_INSTANT"),
            (change("term", json!({ "until": "2033-03-07T00:00:00Z" })), "INVALID_TERM"),
            (change("term", json!({ "until": "2201-01-01T00:00:00Z" })), "INVALID_INSTANT"),
            (change("term", json!({ "until": "9999-12-31T23:59:59Z" })), "INVALID_INSTANT"),
            (change("term", json!({ "until": "2023-02-30T00:00:00Z" })), TYPE),
            (change("term", json!({ "until": "tomorrow" })), TYPE),
            (change("term", json!({ "until": 1_700_000_000 })), TYPE),
            (change("components", json!([])), "NOTHING_TO_BUY"),
            (change("components", json!([{ "code": "s-general-1x1", "quantity": 1 }, { "code": "s-general-1x1", "quantity": 1 }])), "DUPLICATE_COMPONENT"),
            (part("disk-20gb", json!(1)), "UNKNOWN_COMPONENT"),
            (json!({ "items": [] }), "NOTHING_TO_BUY"),
            (json!({ "items": vec![json!({ "create": base }); 21] }), "TOO_MANY_ITEMS"),
            (json!({ "items": null }), TYPE),
            (json!({ "items": [{}] }), TYPE),
            (json!({ "items": [{ "destroy": base }] }), TYPE),
            (change("colour", json!("red")), TYPE),
        ];
        for quantity in [0, -1, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            cases.push((change("quantity", json!(quantity)), "INVALID_QUANTITY"));
            cases.push((part("s-general-1x1", json!(quantity)), "INVALID_QUANTITY"));
            cases.push((change("term", json!({ "months": quantity })), "INVALID_TERM"));
            cases.push((change("term", json!({ "days": quantity })), "INVALID_TERM"));
        }
        for nothing in ["", " ", "nothing", "VSERVER", "vserver ", "vserver\u{0}", "\u{0}", "%", "' or 1=1 --", &"x".repeat(65), &"x".repeat(60_000)] {
            cases.push((change("product", json!(nothing)), "UNKNOWN_PRODUCT"));
            cases.push((change("resourceType", json!(nothing)), "UNKNOWN_PRODUCT"));
            cases.push((part(nothing, json!(1)), "UNKNOWN_COMPONENT"));
            cases.push((with(&one(&base), "couponCode", json!(nothing)), "COUPON_UNKNOWN"));
        }
        for name in ["", " ", "a\nb", "a\u{0}b", "\u{0}", "a\u{202e}b", &"x".repeat(65), &"x".repeat(60_000)] {
            cases.push((change("name", json!(name)), "INVALID_TEXT"));
        }
        for account in IDS.iter().map(|bad| json!(bad)).chain([json!(id(1)), json!(id(7)), json!(5)]) {
            cases.push((with(&one(&base), "accountId", account), "NOT_FOUND"));
        }
        refuses(&world, wishes(cases)).await;
    }

    async fn an_order_needs_its_quote_its_key_and_a_way_to_pay(world: World) {
        world.grant("CASH", "1000000").await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let order = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "order" });
        let mut cases = vec![
            (with(&order, "quoteId", json!(id(13))), "QUOTE_NOT_FOUND"),
            (with(&order, "quoteId", json!(id(7))), "INVALID_ID"),
            (with(&order, "quoteId", json!(world.account_id().await)), "INVALID_ID"),
            (with(&order, "payment", Value::Null), "PAYMENT_REQUIRED"),
            (with(&order, "payment", json!({ "credit": false })), "PAYMENT_REQUIRED"),
            (with(&order, "payment", json!({})), TYPE),
            (with(&order, "payment", json!({ "cash": true })), TYPE),
            (with(&order, "idempotencyKey", Value::Null), TYPE),
            (with(&order, "accountId", json!(id(1))), "NOT_FOUND"),
        ];
        cases.extend(IDS.iter().map(|bad| (with(&order, "quoteId", json!(bad)), "INVALID_ID")));
        for key in ["", " ", "two words", "kéy", "a\u{0}b", &"k".repeat(256), &"k".repeat(60_000)] {
            cases.push((with(&order, "idempotencyKey", json!(key)), "IDEMPOTENCY_KEY_INVALID"));
        }
        for url in ["", "https://evil.test/", "https://console.test.evil.test/", "http://console.test/", "//console.test/",
            "javascript:alert(1)", "https://console.test@evil.test/", "https://console.test/\u{0}", "https://console.test/é"] {
            cases.push((with(&order, "returnUrl", json!(url)), "RETURN_URL_NOT_ALLOWED"));
        }
        refuses(&world, cases.into_iter().map(|(input, code)| (Role::Owner, "placeOrder", input, code)).collect()).await;
        // None of it has spoiled the quote.
        world.done(&world.token(Role::Owner), "placeOrder", order).await;
    }

    async fn operators_and_products_are_refused_as_well(world: World) {
        world.grant("CASH", "1000000").await;
        let order = world.buy(server("s-general-1x1")).await;
        let made = json!({ "taskId": order["items"][0]["id"], "outcome": { "succeeded": { "externalId": "srv-1" } } });
        let grant = json!({ "accountId": world.account_id().await, "kind": "CASH", "amount": "1", "reason": "x", "idempotencyKey": "k" });
        let coupon = json!({ "code": "TAKEN", "value": { "amount": "1" }, "currency": "VND" });
        world.done(&world.token(Role::Operator), "createCoupon", coupon.clone()).await;
        let fresh = with(&coupon, "code", json!("FRESH"));
        let report = |input: Value, code| (Role::Product, "reportProvisioning", input, code);
        let outcome = |outcome: Value, code| report(with(&made, "outcome", outcome), code);
        let coupons = |field: &str, value: Value, code| (Role::Operator, "createCoupon", with(&fresh, field, value), code);
        let mut cases = vec![
            report(with(&made, "taskId", json!(id(15))), "TASK_NOT_FOUND"),
            report(with(&made, "taskId", json!(id(8))), "TASK_NOT_FOUND"),
            report(with(&made, "taskId", json!(order["id"])), "INVALID_ID"),
            outcome(json!({}), TYPE),
            outcome(json!({ "succeeded": {}, "failed": { "reason": "x" } }), TYPE),
            outcome(json!({ "failed": {} }), TYPE),
            (Role::Operator, "grantCredit", with(&grant, "accountId", json!(id(1))), "ACCOUNT_NOT_FOUND"),
            (Role::Operator, "grantCredit", with(&grant, "accountId", json!(order["id"])), "INVALID_ID"),
            (Role::Operator, "grantCredit", with(&grant, "kind", json!("GOLD")), TYPE),
            (Role::Operator, "createCoupon", coupon, "COUPON_CODE_TAKEN"),
            coupons("currency", json!("x".repeat(65)), TYPE),
            coupons("validUntil", json!("2023-03-06T00:00:00+07:00"), "COUPON_INVALID"),
            coupons("validUntil", json!("9999-01-01T00:00:00Z"), "INVALID_INSTANT"),
            coupons("validFrom", json!("0001-01-01T00:00:00Z"), "INVALID_INSTANT"),
            coupons("totalLimit", json!(0), "COUPON_INVALID"),
            coupons("perAccountLimit", json!(-1), "COUPON_INVALID"),
            coupons("totalLimit", json!(i64::MIN), "COUPON_INVALID"),
            coupons("products", json!(vec!["vserver"; 51]), "LIMIT_EXCEEDED"),
            coupons("value", json!({}), TYPE),
            coupons("value", json!({ "percent": "1", "amount": "1" }), TYPE),
        ];
        for bad in IDS {
            cases.push(report(with(&made, "taskId", json!(bad)), "INVALID_ID"));
            cases.push((Role::Operator, "grantCredit", with(&grant, "accountId", json!(bad)), "INVALID_ID"));
        }
        for line in ["", " ", "a\u{0}b", "a\nb", "\u{0}", &"x".repeat(256), &"x".repeat(60_000)] {
            cases.push(outcome(json!({ "succeeded": { "externalId": line } }), "INVALID_TEXT"));
            cases.push(outcome(json!({ "failed": { "reason": line } }), "INVALID_TEXT"));
            cases.push((Role::Operator, "grantCredit", with(&grant, "reason", json!(line)), "INVALID_TEXT"));
            cases.push((Role::Operator, "grantCredit", with(&grant, "idempotencyKey", json!(line)), "IDEMPOTENCY_KEY_INVALID"));
            cases.push(coupons("code", json!(line), "INVALID_TEXT"));
        }
        for currency in ["", "XXX", "vnd", "VND\u{0}", "đồng"] {
            cases.push(coupons("currency", json!(currency), "UNKNOWN_CURRENCY"));
        }
        for product in ["", "nothing", "vserver\u{0}", "\u{0}"] {
            cases.push(coupons("products", json!([product]), "UNKNOWN_PRODUCT"));
        }
        refuses(&world, cases).await;
        world.done(&world.token(Role::Product), "reportProvisioning", made).await;
    }
}
