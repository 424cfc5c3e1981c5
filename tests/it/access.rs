//! Who may do what. Every root field of the schema has a case here: a field without one fails the test, so that nothing
//! is added unguarded.

use std::collections::BTreeSet;

use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::socket::Socket;
use crate::support::{World, on_every_store, server, text};

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Data, without an error.
    Data,
    /// Null, without an error: as for a thing that does not exist.
    Nothing,
    /// An error or user error of this code.
    Code(&'static str),
}
use Answer::{Code, Data, Nothing};

/// A root field, a document that asks for it about ACME's things, and what each caller gets for it.
struct Case {
    field: &'static str,
    document: &'static str,
    owner: Answer,
    viewer: Answer,
    /// An owner of another account, who names ACME's things.
    other: Answer,
}

const fn case(field: &'static str, document: &'static str, owner: Answer, viewer: Answer, other: Answer) -> Case {
    Case {
        field,
        document,
        owner,
        viewer,
        other,
    }
}

const FORBIDDEN: Answer = Code("FORBIDDEN");
const MISSING: Answer = Code("NOT_FOUND");

const QUERIES: &[Case] = &[
    case("node", "query($order: ID!) { node(id: $order) { id } }", Data, Data, Nothing),
    case("nodes", "query($order: ID!) { nodes(ids: [$order]) { id } }", Data, Data, Data),
    case("viewer", "{ viewer { role } }", Data, Data, Data),
    case("account", "query($account: ID!) { account(id: $account) { id } }", Data, Data, Nothing),
    case("wallets", "query($account: ID!) { wallets(accountId: $account) { id } }", Data, Data, MISSING),
    case("wallet", "query($account: ID!) { wallet(accountId: $account) { id } }", Data, Data, MISSING),
    case("products", "{ products(first: 1) { nodes { id } } }", Data, Data, Data),
    case("pricePreview", "query($account: ID!) { pricePreview(input: { accountId: $account, items: [{ create: { product: \"vserver\",
        resourceType: \"server\", components: [{ code: \"s-general-1x1\", quantity: 1 }], term: { months: 1 } } }] }) { charged { amount } } }",
        Data, Data, MISSING),
    case("resources", "query($account: ID!) { resources(accountId: $account, first: 1) { nodes { id } } }", Data, Data, MISSING),
    case("orders", "query($account: ID!) { orders(accountId: $account, first: 1) { nodes { id } } }", Data, Data, MISSING),
    case("payments", "query($account: ID!) { payments(accountId: $account, first: 1) { nodes { id } } }", Data, Data, MISSING),
    case("invoices", "query($account: ID!) { invoices(accountId: $account, first: 1) { nodes { id } } }", Data, Data, MISSING),
    case("expiryAlerts", "query($account: ID!) { expiryAlerts(accountId: $account, first: 1) { nodes { id } } }", Data, Data, MISSING),
    case("provisioningTasks", "{ provisioningTasks(first: 1) { nodes { id } } }", FORBIDDEN, FORBIDDEN, FORBIDDEN),
];

const MUTATIONS: &[Case] = &[
    case("createQuote", "mutation($account: ID!) { createQuote(input: { accountId: $account, items: [{ create: { product: \"vserver\",
        resourceType: \"server\", components: [{ code: \"s-general-1x1\", quantity: 1 }], term: { months: 1 } } }] }) { userErrors { code } } }",
        Data, FORBIDDEN, MISSING),
    case("placeOrder", "mutation($account: ID!, $quote: ID!) { placeOrder(input: { accountId: $account, quoteId: $quote,
        payment: { credit: true }, idempotencyKey: \"access\" }) { userErrors { code } } }", Code("QUOTE_ALREADY_ORDERED"), FORBIDDEN, MISSING),
    case("reportProvisioning", "mutation($task: ID!) { reportProvisioning(input: { taskId: $task, outcome: { succeeded: {} } }) { userErrors { code } } }",
        FORBIDDEN, FORBIDDEN, FORBIDDEN),
    case("grantCredit", "mutation($account: ID!) { grantCredit(input: { accountId: $account, kind: CASH, amount: \"1\", reason: \"x\",
        idempotencyKey: \"access\" }) { userErrors { code } } }", FORBIDDEN, FORBIDDEN, FORBIDDEN),
    case("createCoupon", "mutation { createCoupon(input: { code: \"ACCESS\", value: { percent: \"1\" }, currency: \"VND\" }) { userErrors { code } } }",
        FORBIDDEN, FORBIDDEN, FORBIDDEN),
    case("approveReleases", "mutation { approveReleases(input: {}) { userErrors { code } } }", FORBIDDEN, FORBIDDEN, FORBIDDEN),
];

const SUBSCRIPTIONS: &[(&str, &str, Answer)] = &[
    (
        "expiryAlerts",
        "subscription($account: ID!) { expiryAlerts(accountId: $account) { cursor } }",
        MISSING,
    ),
    (
        "accountEvents",
        "subscription($account: ID!) { accountEvents(accountId: $account) { cursor } }",
        MISSING,
    ),
    (
        "orderUpdates",
        "subscription($order: ID!) { orderUpdates(orderId: $order) { id } }",
        MISSING,
    ),
    (
        "walletUpdates",
        "subscription($account: ID!) { walletUpdates(accountId: $account) { id } }",
        MISSING,
    ),
];

async fn fields(world: &World, root: &str) -> BTreeSet<String> {
    let query = format!("{{ __type(name: \"{root}\") {{ fields {{ name }} }} }}");
    let data = world.data(&world.token(Role::Owner), &query, json!({})).await;
    data["__type"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| text(&field["name"]))
        .collect()
}

fn answer(body: &Value, field: &str) -> String {
    if let Some(code) = body["errors"][0]["extensions"]["code"].as_str() {
        return code.to_owned();
    }
    if let Some(code) = body["data"][field]["userErrors"][0]["code"].as_str() {
        return code.to_owned();
    }
    if body["data"][field].is_null() {
        "null".to_owned()
    } else {
        "data".to_owned()
    }
}

fn expected(answer: Answer) -> &'static str {
    match answer {
        Data => "data",
        Nothing => "null",
        Code(code) => code,
    }
}

on_every_store! {
    async fn every_root_field_answers_strangers_viewers_and_other_accounts_as_it_should(world: World) {
        world.grant("CASH", "181000").await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let owner = world.token(Role::Owner);
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "once" });
        let order = world.done(&owner, "placeOrder", input).await["order"].take();
        let ours = json!({ "account": world.account_id().await, "order": order["id"], "quote": quote,
                           "task": order["items"][0]["id"] });

        for (root, cases) in [("Query", QUERIES), ("Mutation", MUTATIONS)] {
            let covered: BTreeSet<String> = cases.iter().map(|case| case.field.to_owned()).collect();
            assert_eq!(fields(&world, root).await, covered, "a field of {root} has no case here");
            for case in cases {
                let body = json!({ "query": case.document, "variables": ours });
                let stranger = world.http().post(&world.url).json(&body).send().await.unwrap();
                let stranger: Value = stranger.json().await.unwrap();
                assert_eq!(answer(&stranger, case.field), "UNAUTHENTICATED", "{}: {stranger}", case.field);
                for (who, token, is) in [
                    ("owner", owner.clone(), case.owner),
                    ("viewer", world.token(Role::Viewer), case.viewer),
                    ("other", world.token_of(Role::Owner, world.other_account), case.other),
                ] {
                    let body = world.ask(&token, case.document, ours.clone()).await;
                    assert_eq!(answer(&body, case.field), expected(is), "{} for {who}: {body}", case.field);
                }
            }
        }
        let covered: BTreeSet<String> = SUBSCRIPTIONS.iter().map(|(field, _, _)| (*field).to_owned()).collect();
        assert_eq!(fields(&world, "Subscription").await, covered, "a subscription has no case here");
        for (field, document, is) in SUBSCRIPTIONS {
            let other = world.token_of(Role::Owner, world.other_account);
            let mut socket = Socket::open(&world.ws_url(), &other).await;
            socket.subscribe("1", document, ours.clone()).await;
            let refused = socket.expect("error").await;
            assert_eq!(refused["payload"][0]["extensions"]["code"], expected(*is), "{field}: {refused}");
        }
    }

    async fn a_tampered_or_expired_token_is_nobody(world: World) {
        let token = world.token(Role::Owner);
        for bad in ["", "x", &token[..token.len() - 2], &format!("{token}x")] {
            let body = world.ask(bad, "{ viewer { role } }", json!({})).await;
            assert_eq!(answer(&body, "viewer"), "UNAUTHENTICATED", "{bad}: {body}");
        }
    }
}
