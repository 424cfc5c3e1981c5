//! The gateways against counterparts that others have written, so that we never only agree with ourselves: the libraries that
//! merchants have for VNPAY, Stripe and VietQR, and a Stripe of somebody else's making. Their programs are in `tests/clients`.

mod stripe;
mod vnpay;

use billing_gateway::domain::money::{Currency, Money};
use billing_gateway::domain::viet_qr::VietQr;
use billing_gateway::gateways::{Attempt, Gateway, Refund};
use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{Language, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clients::program;
use crate::support::peer::answer;
use crate::support::{World, at, server};

/// A payment that begins at an instant, of 181,000 dong.
fn attempt(gateway: &dyn Gateway, created_at: DateTime<Utc>) -> Attempt {
    Attempt {
        reference: gateway.reference(Uuid::now_v7(), created_at),
        amount: Money::of(181_000, Currency::Vnd),
        created_at,
        expires_at: created_at + TimeDelta::minutes(15),
        description: "Order ORD-ACME-2026-000017".to_owned(),
        payer: "payer-7".to_owned(),
        payer_address: None,
        language: Language::Vi,
        return_url: "https://pay.example.test/payments/return/42".to_owned(),
        notify_url: "https://pay.example.test/webhooks/gateway".to_owned(),
        gateway_id: None,
        transaction: None,
    }
}

/// A part of a payment that goes back.
fn refund_of(gateway: &dyn Gateway, payment: Attempt, minor: i64) -> Refund {
    Refund {
        reference: gateway.reference(Uuid::now_v7(), payment.created_at),
        created_at: payment.created_at + TimeDelta::minutes(30),
        payment,
        amount: Money::of(minor, Currency::Vnd),
        reason: "Asked for by the customer".to_owned(),
        by: "operator-1".to_owned(),
        gateway_id: None,
    }
}

/// Orders a server and begins to pay it through a gateway.
async fn ordered(world: &World, gateway: &str) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input =
        json!({ "quoteId": quote, "payment": { "gateway": gateway }, "idempotencyKey": Uuid::now_v7().to_string() });
    world.done(&world.token(Role::Owner), "placeOrder", input).await
}

/// Begins to top the wallet up through a gateway.
async fn topped_up(world: &World, gateway: &str, amount: &str) -> Value {
    let input =
        json!({ "amount": amount, "payment": { "gateway": gateway }, "idempotencyKey": Uuid::now_v7().to_string() });
    world.done(&world.token(Role::Owner), "topUpWallet", input).await
}

/// Where a payment, or an order, stands.
async fn status(world: &World, node: &Value) -> String {
    let query = "query($id: ID!) { node(id: $id) { ... on Payment { paid: status } ... on Order { is: status } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": node["id"] }))
        .await;
    let node = data["node"].as_object().unwrap().values().next().unwrap();
    node.as_str().unwrap().to_owned()
}

/// An operator sends a part of a payment back; answers where the refund stands.
async fn sent_back(world: &World, payment: &Value, amount: &str) -> String {
    let input = json!({ "paymentId": payment["id"], "amount": amount, "reason": "asked for by the customer",
        "idempotencyKey": Uuid::now_v7().to_string() });
    let done = world.done(&world.token(Role::Operator), "refundPayment", input).await;
    let refunds = done["payment"]["refunds"].as_array().unwrap();
    let refund = refunds.iter().find(|refund| refund["amount"]["amount"] == amount);
    refund.unwrap()["status"].as_str().unwrap().to_owned()
}

/// The payer's browser comes back from the gateway.
async fn comes_back(world: &World, address: &str) {
    let path = address.split_once("/payments/return/").unwrap().1;
    let url = format!("http://{}/payments/return/{path}", world.address());
    assert_eq!(world.http().get(url).send().await.unwrap().status(), 200);
}

fn beginning() -> DateTime<Utc> {
    at(crate::support::BEGINNING)
}

#[test]
fn viet_qr_codes_are_those_of_another_generator() {
    let Some(generator) = program("node", "viet-qr.mjs", "node_modules/vietnam-qr-pay") else {
        return;
    };
    let mut transfers = Vec::new();
    for (bank, account) in [
        ("970436", "0011001234567"),
        ("970416", "257678859"),
        ("970407", "1"),
        ("971025", "PSP1234567890000000"),
    ] {
        for minor in [1, 9_999, 181_000, 499_999_999] {
            for memo in ["A", "PAYACME2026000017", "Chuyen tien", "ORD-ACME-2026-000017 ABCD"] {
                transfers.push((bank, account, minor, memo));
            }
        }
    }
    let asked: Vec<Value> = transfers
        .iter()
        .map(|(bank, account, minor, memo)| {
            json!({ "bankBin": bank, "bankNumber": account, "amount": minor.to_string(), "purpose": memo })
        })
        .collect();
    let theirs = answer(generator, &Value::from(asked));
    let ours: Vec<String> = transfers
        .iter()
        .map(|(bank, account, minor, memo)| {
            let code = VietQr {
                bank_bin: bank,
                account_number: account,
                amount: Money::of(*minor, Currency::Vnd),
                memo,
            };
            code.payload().unwrap()
        })
        .collect();
    assert_eq!(theirs, json!(ours));
}
