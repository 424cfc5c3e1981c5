//! Bank transfers: found in the bank's statement by their memo, taken once, and never lost.

use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::{World, on_every_store, server, text};

const ACTION: &str = "payment { id code status } nextAction { ... on BankTransferAction { memo qr bankBin accountNumber accountHolder expiresAt } } userErrors { code }";

/// Begins to pay an order for a server by transfer; answers the payload.
async fn ordered(world: &World) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": { "bankTransfer": true }, "idempotencyKey": uuid::Uuid::now_v7().to_string() });
    let query =
        format!("mutation($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ order {{ id }} {ACTION} }} }}");
    let mut data = world
        .data(&world.token(Role::Owner), &query, json!({ "input": input }))
        .await;
    let begun = data["placeOrder"].take();
    assert_eq!(begun["userErrors"], json!([]), "{begun}");
    begun
}

async fn top_up(world: &World, amount: &str) -> Value {
    let input = json!({ "amount": amount, "payment": { "bankTransfer": true }, "idempotencyKey": uuid::Uuid::now_v7().to_string() });
    let query = format!("mutation($input: TopUpWalletInput!) {{ topUpWallet(input: $input) {{ {ACTION} }} }}");
    let mut data = world
        .data(&world.token(Role::Owner), &query, json!({ "input": input }))
        .await;
    data["topUpWallet"].take()
}

/// Takes lines of (reference, amount, memo) in, and answers what became of each.
async fn import(world: &World, lines: &[(&str, &str, &str)]) -> Vec<String> {
    let mut csv = "date,reference,amount,currency,memo,payer\n".to_owned();
    for (reference, amount, memo) in lines {
        csv.push_str(&format!("2023-03-06,{reference},{amount},VND,\"{memo}\",NGUYEN AN\n"));
    }
    let payload = world
        .done(&world.token(Role::Operator), "importStatement", json!({ "csv": csv }))
        .await;
    payload["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| text(&line["outcome"]))
        .collect()
}

async fn order_status(world: &World, begun: &Value) -> String {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": begun["order"]["id"] }))
        .await;
    text(&data["node"]["status"])
}

async fn cash(world: &World) -> String {
    let data = world
        .data(&world.token(Role::Owner), "{ wallet { cash { amount } } }", json!({}))
        .await;
    text(&data["wallet"]["cash"]["amount"])
}

on_every_store! {
    async fn an_order_is_paid_by_a_transfer_that_names_it_once(world: World) {
        let begun = ordered(&world).await;
        let action = &begun["nextAction"];
        let memo = text(&action["memo"]);
        assert_eq!(memo, text(&begun["payment"]["code"]).replace('-', ""));
        let qr = text(&action["qr"]);
        assert!(qr.contains("970436") && qr.contains("5406181000") && qr.contains(&memo), "{qr}");
        assert_eq!((action["accountHolder"].clone(), text(&action["expiresAt"])[..10].to_owned()), (json!("CLOUD JSC"), "2023-03-08".to_owned()));
        // Over the weekend.
        world.advance("2023-03-07T12:00:00+07:00").await;
        let bank = format!("MBVCB.4711.{}.CT tu 001 toi 0011001234567", text(&begun["payment"]["code"]).to_lowercase().replace('-', " "));
        assert_eq!(import(&world, &[("FT1", "181000", &bank), ("FT2", "-5500", "fee")]).await, ["PAID"]);
        assert_eq!(order_status(&world, &begun).await, "IN_PROGRESS");
        // The statement of the week has it as well, and the payer sent it twice.
        assert_eq!(import(&world, &[("FT1", "181000", &bank), ("FT3", "181000", &memo)]).await, ["REPEATED", "CREDITED"]);
        assert_eq!(cash(&world).await, "181000");
    }

    async fn a_transfer_that_does_not_fit_waits_for_an_operator(world: World) {
        let begun = top_up(&world, "100000").await;
        let memo = text(&begun["nextAction"]["memo"]);
        assert_eq!(import(&world, &[("FT1", "99999", &memo), ("FT2", "70000", "for my server"), ("FT3", "30000", "PAY NOBODY 2023 000001")]).await,
            ["QUARANTINED", "QUARANTINED", "QUARANTINED"]);
        assert_eq!(import(&world, &[("FT1", "99999", &memo), ("FT2", "70000", "for my server")]).await, ["REPEATED", "REPEATED"]);
        assert_eq!(cash(&world).await, "0");
        let operator = world.token(Role::Operator);
        let query = "{ quarantine(first: 10) { nodes { id reason amount { amount } } } }";
        let listed = world.data(&operator, query, json!({})).await["quarantine"]["nodes"].take();
        let id = |amount: &str| {
            listed.as_array().unwrap().iter().find(|row| row["amount"]["amount"] == amount).unwrap()["id"].clone()
        };
        let decide = |amount: &str, decision: &str, account: Option<String>| {
            json!({ "quarantineId": id(amount), "decision": decision, "accountId": account, "reason": "the customer called" })
        };
        let ours = world.account_id().await;
        assert_eq!(world.refused(&operator, "resolveQuarantine", decide("70000", "CREDIT", None)).await, "ACCOUNT_NOT_FOUND");
        world.done(&operator, "resolveQuarantine", decide("70000", "CREDIT", Some(ours.clone()))).await;
        world.done(&operator, "resolveQuarantine", decide("70000", "CREDIT", Some(ours))).await;
        let other = world.data(&world.token_of(Role::Owner, world.other_account), "{ account { id } }", json!({})).await;
        let another = Some(text(&other["account"]["id"]));
        assert_eq!(world.refused(&operator, "resolveQuarantine", decide("70000", "CREDIT", another.clone())).await, "QUARANTINE_OWNED");
        assert_eq!(world.refused(&operator, "resolveQuarantine", decide("99999", "CREDIT", another)).await, "QUARANTINE_OWNED");
        world.done(&operator, "resolveQuarantine", decide("30000", "RETURNED", None)).await;
        world.done(&operator, "resolveQuarantine", decide("99999", "CREDIT", None)).await;
        assert_eq!(cash(&world).await, "169999");
    }

    async fn a_transfer_after_three_days_is_credit_and_a_bad_statement_takes_nothing(world: World) {
        let begun = ordered(&world).await;
        let memo = text(&begun["nextAction"]["memo"]);
        let bad = format!("reference,amount,currency,memo\nFT1,181000,VND,{memo}\nFT2,x,VND,y\n");
        assert_eq!(world.refused(&world.token(Role::Operator), "importStatement", json!({ "csv": bad })).await, "STATEMENT_INVALID");
        assert_eq!(order_status(&world, &begun).await, "AWAITING_PAYMENT");
        world.advance("2023-03-10T00:00:00+07:00").await;
        assert_eq!(order_status(&world, &begun).await, "CANCELLED");
        assert_eq!(import(&world, &[("FT1", "181000", &memo)]).await, ["CREDITED"]);
        assert_eq!(cash(&world).await, "181000");
    }
}
