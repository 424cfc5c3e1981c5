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
    /// The service of vServer.
    product: Answer,
    operator: Answer,
}

/// The answers in this order: owner, viewer, another account's owner, the product's service, an operator.
const fn case(field: &'static str, document: &'static str, answers: [Answer; 5]) -> Case {
    let [owner, viewer, other, product, operator] = answers;
    Case {
        field,
        document,
        owner,
        viewer,
        other,
        product,
        operator,
    }
}

impl Case {
    fn callers(&self, world: &World) -> Vec<(&'static str, String, Answer)> {
        vec![
            ("owner", world.token(Role::Owner), self.owner),
            ("viewer", world.token(Role::Viewer), self.viewer),
            ("other", world.token_of(Role::Owner, world.other_account), self.other),
            ("product", world.token(Role::Product), self.product),
            ("operator", world.token(Role::Operator), self.operator),
        ]
    }
}

const FORBIDDEN: Answer = Code("FORBIDDEN");
const MISSING: Answer = Code("NOT_FOUND");

const QUERIES: &[Case] = &[
    case("node", "query($order: ID!) { node(id: $order) { id } }", [Data, Data, Nothing, FORBIDDEN, Data]),
    case("nodes", "query($order: ID!) { nodes(ids: [$order]) { id } }", [Data, Data, Data, FORBIDDEN, Data]),
    case("viewer", "{ viewer { role } }", [Data, Data, Data, Data, Data]),
    case("account", "query($account: ID!) { account(id: $account) { id } }", [Data, Data, Nothing, FORBIDDEN, Data]),
    case("wallets", "query($account: ID!) { wallets(accountId: $account) { id } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("wallet", "query($account: ID!) { wallet(accountId: $account) { id } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("forecast", "query($account: ID!) { forecast(accountId: $account, until: \"2023-06-01T00:00:00Z\") { available { amount } } }",
        [Data, Data, MISSING, FORBIDDEN, Data]),
    case("webhooks", "query($account: ID!) { webhooks(accountId: $account) { id } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("webhookDeliveries", "query($hook: ID!) { webhookDeliveries(webhookId: $hook, first: 1) { nodes { id } } }", [Data, FORBIDDEN, MISSING, MISSING, Data]),
    case("engineStatus", "{ engineStatus { dueResources } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data]),
    case("products", "{ products(first: 1) { nodes { id } } }", [Data, Data, Data, Data, Data]),
    case("pricePreview", "query($account: ID!) { pricePreview(input: { accountId: $account, items: [{ create: { product: \"vserver\",
        resourceType: \"server\", components: [{ code: \"s-general-1x1\", quantity: 1 }], term: { months: 1 } } }] }) { charged { amount } } }",
        [Data, Data, MISSING, FORBIDDEN, Data]),
    case("resources", "query($account: ID!) { resources(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("orders", "query($account: ID!) { orders(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("payments", "query($account: ID!) { payments(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("paymentGateways", "query($account: ID!) { paymentGateways(accountId: $account) { code } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("paymentMethods", "query($account: ID!) { paymentMethods(accountId: $account) { id } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("autoTopUp", "query($account: ID!) { autoTopUp(accountId: $account) { isOn } }", [Nothing, Nothing, MISSING, FORBIDDEN, Nothing]),
    case("topUpOptions", "query($account: ID!) { topUpOptions(accountId: $account) { least { amount } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("quarantine", "{ quarantine(first: 1) { nodes { id } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data]),
    case("invoices", "query($account: ID!) { invoices(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("expiryAlerts", "query($account: ID!) { expiryAlerts(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("mailDeliveries", "query($account: ID!) { mailDeliveries(accountId: $account, first: 1) { nodes { id } } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("billingAddresses", "query($account: ID!) { billingAddresses(accountId: $account) { id } }", [Data, Data, MISSING, FORBIDDEN, Data]),
    case("provisioningTasks", "{ provisioningTasks(first: 1) { nodes { id } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, Data]),
];

const MUTATIONS: &[Case] = &[
    case("createQuote", "mutation($account: ID!) { createQuote(input: { accountId: $account, items: [{ create: { product: \"vserver\",
        resourceType: \"server\", components: [{ code: \"s-general-1x1\", quantity: 1 }], term: { months: 1 } } }] }) { userErrors { code } } }",
        [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("placeOrder", "mutation($account: ID!, $quote: ID!) { placeOrder(input: { accountId: $account, quoteId: $quote,
        payment: { credit: true }, idempotencyKey: \"access\" }) { userErrors { code } } }", 
        [Code("QUOTE_ALREADY_ORDERED"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("payOrder", "mutation($account: ID!, $order: ID!) { payOrder(input: { accountId: $account, orderId: $order, payment: { credit: true },
        idempotencyKey: \"access\" }) { userErrors { code } } }", [Code("ORDER_PAID"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("cancelOrder", "mutation($account: ID!, $order: ID!) { cancelOrder(input: { accountId: $account, orderId: $order }) { userErrors { code } } }",
        [Code("ORDER_PAID"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("refundPayment", "mutation($order: ID!) { refundPayment(input: { paymentId: $order, reason: \"x\", idempotencyKey: \"access\" }) {
        userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Code("INVALID_ID")]),
    case("resolveRefund", "mutation($order: ID!) { resolveRefund(input: { paymentId: $order, reference: \"x\", outcome: SENT, reason: \"x\" }) {
        userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Code("INVALID_ID")]),
    case("resolveQuarantine", "mutation($order: ID!) { resolveQuarantine(input: { quarantineId: $order, decision: CREDIT, reason: \"x\" }) {
        userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Code("INVALID_ID")]),
    case("importStatement", "mutation { importStatement(input: { csv: \"\" }) { userErrors { code } } }",
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Code("STATEMENT_INVALID")]),
    case("topUpWallet", "mutation($account: ID!) { topUpWallet(input: { accountId: $account, amount: \"100000\", payment: { gateway: \"SANDBOX\" },
        idempotencyKey: \"access\" }) { userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("linkPaymentMethod", "mutation($account: ID!) { linkPaymentMethod(input: { accountId: $account, gateway: \"SANDBOX\", idempotencyKey: \"access\" }) {
        userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("unlinkPaymentMethod", "mutation($account: ID!) { unlinkPaymentMethod(input: { accountId: $account, paymentMethodId: $account }) {
        userErrors { code } } }", [Code("INVALID_ID"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("setDefaultPaymentMethod", "mutation($account: ID!) { setDefaultPaymentMethod(input: { accountId: $account, paymentMethodId: $account }) {
        userErrors { code } } }", [Code("INVALID_ID"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("setAutoTopUp", "mutation($account: ID!) { setAutoTopUp(input: { accountId: $account, isOn: true, below: \"1\", amount: \"10000\", monthlyLimit: \"10000\" }) {
        userErrors { code } } }", [Code("PAYMENT_METHOD_NOT_FOUND"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("reportProvisioning", "mutation($task: ID!) { reportProvisioning(input: { taskId: $task, outcome: { succeeded: {} } }) { userErrors { code } } }",
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, Data, Data]),
    case("grantCredit", "mutation($account: ID!) { grantCredit(input: { accountId: $account, kind: CASH, amount: \"1\", reason: \"x\",
        idempotencyKey: \"access\" }) { userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data]),
    case("transferCredit", "mutation($account: ID!) { transferCredit(input: { fromAccountId: $account, toAccountId: $account, amount: \"1\",
        idempotencyKey: \"access\" }) { userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN]),
    case("createCoupon", "mutation { createCoupon(input: { code: \"ACCESS\", value: { percent: \"1\" }, currency: \"VND\" }) { userErrors { code } } }",
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data]),
    case("stopResource", "mutation($account: ID!, $resource: ID!) { stopResource(input: { accountId: $account, resourceId: $resource }) { userErrors { code } } }",
        [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("startResource", "mutation($account: ID!, $resource: ID!) { startResource(input: { accountId: $account, resourceId: $resource }) { userErrors { code } } }",
        [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("rebootResource", "mutation($account: ID!, $resource: ID!) { rebootResource(input: { accountId: $account, resourceId: $resource }) { userErrors { code } } }",
        [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("setAutoRenew", "mutation($account: ID!, $resource: ID!) { setAutoRenew(input: { accountId: $account, resourceIds: [$resource], enabled: false }) {
        userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("tagResources", "mutation($account: ID!, $resource: ID!) { tagResources(input: { accountId: $account, resourceIds: [$resource],
        set: [{ key: \"team\", value: \"web\" }] }) { userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("acknowledgeAlerts", "mutation($account: ID!) { acknowledgeAlerts(input: { accountId: $account, alertIds: [] }) { userErrors { code } } }",
        [Code("NOTHING_TO_BUY"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("advanceClock", "mutation { advanceClock(input: { until: \"2001-01-01T00:00:00Z\" }) { userErrors { code } } }",
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Code("INVALID_INSTANT")]),
    case("createWebhook", "mutation($account: ID!) { createWebhook(input: { accountId: $account, url: \"https://hooks.example.com/\" }) { userErrors { code } } }",
        [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("updateWebhook", "mutation($hook: ID!) { updateWebhook(input: { webhookId: $hook, enabled: false }) { userErrors { code } } }",
        [Data, FORBIDDEN, Code("WEBHOOK_NOT_FOUND"), Code("WEBHOOK_NOT_FOUND"), Data]),
    case("rotateWebhookSecret", "mutation($hook: ID!) { rotateWebhookSecret(input: { webhookId: $hook }) { userErrors { code } } }",
        [Data, FORBIDDEN, Code("WEBHOOK_NOT_FOUND"), Code("WEBHOOK_NOT_FOUND"), Data]),
    case("deleteWebhook", "mutation($hook: ID!) { deleteWebhook(input: { webhookId: $hook }) { userErrors { code } } }",
        [Data, FORBIDDEN, Code("WEBHOOK_NOT_FOUND"), Code("WEBHOOK_NOT_FOUND"), Code("WEBHOOK_NOT_FOUND")]),
    case("resendDelivery", "mutation { resendDelivery(input: { deliveryId: \"AAAA\" }) { userErrors { code } } }",
        [Code("DELIVERY_NOT_FOUND"), FORBIDDEN, Code("DELIVERY_NOT_FOUND"), Code("DELIVERY_NOT_FOUND"), Code("DELIVERY_NOT_FOUND")]),
    case("setAlertRecipients", "mutation($account: ID!) { setAlertRecipients(input: { accountId: $account, recipients: [{ email: \"an@example.com\" }] }) {
        userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("setBillingAddress", "mutation($account: ID!) { setBillingAddress(input: { accountId: $account, identity: { taxCode: \"0303490096\" }, name: \"VNG\",
        addressLines: [\"1\"], idempotencyKey: \"access\" }) { userErrors { code } } }", [Data, FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("deleteBillingAddress", "mutation($account: ID!) { deleteBillingAddress(input: { accountId: $account, billingAddressId: \"AAAA\" }) {
        userErrors { code } } }", [Code("INVALID_ID"), FORBIDDEN, MISSING, FORBIDDEN, FORBIDDEN]),
    case("approveReleases", "mutation { approveReleases(input: {}) { userErrors { code } } }", [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, Data]),
];

const SUBSCRIPTIONS: &[Case] = &[
    case(
        "expiryAlerts",
        "subscription($account: ID!, $after: EventCursor!) { expiryAlerts(accountId: $account, after: $after) { cursor } }",
        [Data, Data, MISSING, FORBIDDEN, Data],
    ),
    case(
        "accountEvents",
        "subscription($account: ID!, $after: EventCursor!) { accountEvents(accountId: $account, after: $after) { cursor } }",
        [Data, Data, MISSING, FORBIDDEN, Data],
    ),
    case(
        "orderUpdates",
        "subscription($order: ID!) { orderUpdates(orderId: $order) { id } }",
        [Data, Data, MISSING, FORBIDDEN, Data],
    ),
    case(
        "walletUpdates",
        "subscription($account: ID!) { walletUpdates(accountId: $account) { id } }",
        [Data, Data, MISSING, FORBIDDEN, Data],
    ),
];

/// Fields below the root that need a permission of their own, a document that asks an owner for them, and where they
/// stand in its answer.
const NESTED: &[(&str, &str, &str)] = &[
    (
        "GetUserBalance",
        "{ account { id wallets { id } } }",
        "/account/wallets",
    ),
    ("GetUserBalance", "{ account { id wallet { id } } }", "/account/wallet"),
    (
        "ListBillings",
        "{ account { id orders(first: 1) { nodes { id } } } }",
        "/account/orders",
    ),
    (
        "ListBillings",
        "{ account { id invoices(first: 1) { nodes { id } } } }",
        "/account/invoices",
    ),
    (
        "ListPayments",
        "{ account { id payments(first: 1) { nodes { id } } } }",
        "/account/payments",
    ),
    (
        "GetBilling",
        "{ account { id billingAddresses { id } } }",
        "/account/billingAddresses",
    ),
    (
        "ListBillings",
        "{ resources(first: 1) { nodes { id invoices(first: 1) { nodes { id } } } } }",
        "/resources/nodes/0/invoices",
    ),
    (
        "ListCredit",
        "{ wallet { id entries(first: 1) { nodes { id } } } }",
        "/wallet/entries",
    ),
    (
        "ListBillings",
        "{ wallet { entries(first: 1) { nodes { id order { id } } } } }",
        "/wallet/entries/nodes/0/order",
    ),
    (
        "ListPayments",
        "{ orders(first: 1) { nodes { id payments { id } } } }",
        "/orders/nodes/0/payments",
    ),
    (
        "ListBillings",
        "{ payments(first: 1) { nodes { id order { id } } } }",
        "/payments/nodes/0/order",
    ),
    (
        "GetBilling",
        "{ payments(first: 1) { nodes { id invoice { id } } } }",
        "/payments/nodes/0/invoice",
    ),
    (
        "ListBillings",
        "query($invoice: ID!) { node(id: $invoice) { id ... on Invoice { order { id } } } }",
        "/node/order",
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
        let owner = world.token(Role::Owner);
        let before = world.data(&owner, "{ account { eventCursor } }", json!({})).await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "once" });
        let order = world.done(&owner, "placeOrder", input).await["order"].take();
        let bought = world.data(&owner, "{ resources(first: 1) { nodes { id } } }", json!({})).await;
        let hook = world.data(&owner, "mutation { createWebhook(input: { url: \"https://hooks.example.com/\" }) { webhook { id } } }", json!({})).await;
        let ours = json!({ "account": world.account_id().await, "hook": hook["createWebhook"]["webhook"]["id"], "resource": bought["resources"]["nodes"][0]["id"], "order": order["id"], "quote": quote,
                           "task": order["items"][0]["id"], "after": before["account"]["eventCursor"] });

        for (root, cases) in [("Query", QUERIES), ("Mutation", MUTATIONS)] {
            let covered: BTreeSet<String> = cases.iter().map(|case| case.field.to_owned()).collect();
            assert_eq!(fields(&world, root).await, covered, "a field of {root} has no case here");
            for case in cases {
                let body = json!({ "query": case.document, "variables": ours });
                let stranger = world.http().post(&world.url).json(&body).send().await.unwrap();
                let stranger: Value = stranger.json().await.unwrap();
                assert_eq!(answer(&stranger, case.field), "UNAUTHENTICATED", "{}: {stranger}", case.field);
                for (who, token, is) in case.callers(&world) {
                    let body = world.ask(&token, case.document, ours.clone()).await;
                    assert_eq!(answer(&body, case.field), expected(is), "{} for {who}: {body}", case.field);
                }
            }
        }
        // The service has reported the task by now: there is something to be reminded of.
        world.advance("2023-03-30T00:01:00+07:00").await;
        let covered: BTreeSet<String> = SUBSCRIPTIONS.iter().map(|case| case.field.to_owned()).collect();
        assert_eq!(fields(&world, "Subscription").await, covered, "a subscription has no case here");
        assert_eq!(Socket::refused(&world.ws_url()).await, 4403, "a stranger has no socket");
        for case in SUBSCRIPTIONS {
            for (who, token, is) in case.callers(&world) {
                let mut socket = Socket::open(&world.ws_url(), &token).await;
                socket.subscribe("1", case.document, ours.clone()).await;
                let told = socket.next().await;
                let body = match told["type"].as_str() {
                    Some("next") => told["payload"].clone(),
                    _ => json!({ "errors": told["payload"] }),
                };
                assert_eq!(answer(&body, case.field), expected(is), "{} for {who}: {told}", case.field);
            }
        }
    }

    async fn a_field_that_a_permission_hides_is_null_and_the_rest_is_there(world: World) {
        world.grant("CASH", "181000").await;
        let (quote, _) = world.quote(server("s-general-1x1"), None).await;
        let owner = world.token(Role::Owner);
        let pay = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "once" });
        world.done(&owner, "placeOrder", pay).await;
        world.provision().await;
        let invoices = world.data(&owner, "{ invoices(first: 1) { nodes { id } } }", json!({})).await;
        let ours = json!({ "invoice": invoices["invoices"]["nodes"][0]["id"] });
        for (permission, document, place) in NESTED {
            let whole = world.data(&owner, document, ours.clone()).await;
            assert!(whole.pointer(place).is_some(), "{document}: {whole}");
            let mut body = world.ask(&world.token_without(permission), document, ours.clone()).await;
            let errors = body["errors"].take();
            assert_eq!(errors[0]["extensions"]["code"], "FORBIDDEN", "{document} without {permission}: {body}");
            assert!(errors[0]["extensions"]["needs"].as_str().unwrap().contains(permission), "{errors}");
            assert_eq!(errors.as_array().unwrap().len(), 1, "{errors}");
            let mut expected = whole.clone();
            *expected.pointer_mut(place).unwrap() = Value::Null;
            assert_eq!(body["data"], expected, "{document} without {permission}");
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
