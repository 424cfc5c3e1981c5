#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::gateways::contract::{self, Back, Call, Dialect, Play, Stand, TRANSACTION, Truth, Vendor};

/// The demonstration keys of the vendor's own examples.
const ACCESS: &str = "F8BBA842ECF85";
const SECRET: &str = "K951B6PE1waDMi640xX08PD3vg6EkVlz";
/// The published example of a sealed token: its key, the sealed and the open token.
const SEALING: &str = "um76xDBeRmmj5kVMhXiCeFKixZTTlmZb";
const SEALED: &str =
    "7jI+zlRwr0tDSsUFfVCkv05wgncH8boVLIFEuu+V41Q/aS+L/VtXlzBe4W9cKmRc0fkrBVEBqXNpdvDYZ3Usi4UtVHPwWenR4QsPBuZEe3E=";
const OPEN: &str = "519a3403c37b00bf50ab1a130db1da6959c33b5714a7fd172447edfe944a687c";

struct Spoken;

crate::gateways::contract::contract!(Spoken);

fn config(api: Url) -> MomoConfig {
    MomoConfig {
        api,
        partner_code: "MOMO".to_owned(),
        access_key: ACCESS.into(),
        secret_key: SECRET.into(),
        token_key: None,
    }
}

fn local() -> Momo {
    Momo::new(config("http://127.0.0.1:9".parse().unwrap())).unwrap()
}

async fn playing(plays: Vec<Play>) -> (Vendor, Momo) {
    let vendor = Vendor::playing(plays).await;
    let gateway = Momo::new(config(vendor.api.clone())).unwrap();
    (vendor, gateway)
}

/// A gateway with linked wallets, and MoMo's side of the key.
async fn linking(plays: Vec<Play>) -> (Vendor, Momo, Pkcs1PrivateDecryptingKey) {
    let vendor = Vendor::playing(plays).await;
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let public = private.public_key().as_der().unwrap().as_ref().to_vec();
    let config = MomoConfig {
        secret_key: SEALING.into(),
        token_key: Some(STANDARD.encode(public)),
        ..config(vendor.api.clone())
    };
    let gateway = Momo::new(config).unwrap();
    (vendor, gateway, Pkcs1PrivateDecryptingKey::new(private).unwrap())
}

fn created(gateway: &Momo, reference: &str) -> Value {
    let mut said = json!({
        "partnerCode": "MOMO", "orderId": reference, "requestId": reference, "amount": 181_000,
        "responseTime": 1_764_000_000_000_i64, "message": "Successful.", "resultCode": 0,
        "payUrl": "https://test-payment.momo.vn/v2/gateway/pay?t=1", "deeplink": "momo://app?action=pay",
        "qrCodeUrl": "momo://app?qr=1",
    });
    let text = |name: &str| wire::text(said.get(name)).unwrap();
    let written = format!(
        "accessKey={ACCESS}&amount={}&orderId={}&partnerCode={}&payUrl={}&requestId={}&responseTime={}&resultCode={}",
        text("amount"),
        text("orderId"),
        text("partnerCode"),
        text("payUrl"),
        text("requestId"),
        text("responseTime"),
        text("resultCode")
    );
    said["signature"] = gateway.key.hex(written).into();
    said
}

fn code(attempt: &Attempt, code: i64) -> Play {
    Play::ok(json!({
        "partnerCode": "MOMO", "orderId": attempt.reference, "amount": attempt.amount.minor(),
        "transId": 240_423_000_000_123_i64, "resultCode": code, "message": "x",
    }))
}

fn told(mut fields: Value, secret: &str) -> Call {
    let names = fields.as_object().unwrap().keys().cloned();
    let mut pairs: Vec<String> = names
        .map(|name| format!("{name}={}", wire::text(fields.get(&name)).unwrap()))
        .collect();
    pairs.push(format!("accessKey={ACCESS}"));
    pairs.sort();
    fields["signature"] = Sha256Key::new("KEY", &secret.into())
        .unwrap()
        .hex(pairs.join("&"))
        .into();
    Call {
        method: "POST",
        query: String::new(),
        headers: Vec::new(),
        body: fields.to_string().into_bytes(),
    }
}

fn notification(reference: &str, code: i64) -> Value {
    json!({
        "partnerCode": "MOMO", "orderId": reference, "requestId": reference, "amount": 181_000,
        "orderInfo": "Order 42", "orderType": "momo_wallet", "transId": TRANSACTION.parse::<i64>().unwrap(),
        "resultCode": code, "message": "Giao dịch thành công.", "payType": "qr",
        "responseTime": 1_764_000_000_000_i64, "extraData": "",
    })
}

impl Dialect for Spoken {
    fn gateway(&self, api: Url, patience: Duration) -> Box<dyn Gateway> {
        Box::new(Momo::with_patience(config(api), patience).unwrap())
    }

    fn secrets(&self) -> Vec<&'static str> {
        vec![ACCESS, SECRET]
    }

    fn begun(&self, attempt: &Attempt) -> Vec<Play> {
        vec![Play::ok(created(&local(), &attempt.reference))]
    }

    fn stands(&self, attempt: &Attempt, stand: Stand) -> Option<Vec<Play>> {
        Some(vec![match stand {
            Stand::Pending => code(attempt, 1000),
            Stand::Paid => code(attempt, 0),
            Stand::Failed => code(attempt, 1001),
            Stand::Unheard => Play::ok(json!({ "resultCode": 42 })),
        }])
    }

    fn refunds(&self, refund: &Refund, back: Back) -> Vec<Play> {
        vec![code(&refund.payment, stand(back))]
    }

    fn refunded(&self, refund: &Refund, back: Back) -> Vec<Play> {
        vec![Play::ok(json!({
            "partnerCode": "MOMO", "orderId": refund.payment.reference, "resultCode": 0,
            "amount": 181_000, "transId": 1,
            "refundTrans": [
                { "orderId": "another", "amount": 1_000, "resultCode": 1081, "transId": 2 },
                { "orderId": refund.reference, "amount": 81_000, "resultCode": stand(back), "transId": 3 },
            ],
        }))]
    }

    fn tells_paid(&self, attempt: &Attempt, truth: Truth) -> Call {
        let mut fields = notification(&attempt.reference, 0);
        if matches!(truth, Truth::OtherMerchant) {
            fields["partnerCode"] = "OTHER".into();
        }
        let mut call = told(
            fields,
            if matches!(truth, Truth::WrongKey) {
                SEALING
            } else {
                SECRET
            },
        );
        if matches!(truth, Truth::Tampered) {
            let body = String::from_utf8(call.body).unwrap().replace("181000", "981000");
            call.body = body.into_bytes();
        }
        if matches!(truth, Truth::Unsigned) {
            call.body = notification(&attempt.reference, 0).to_string().into_bytes();
        }
        call
    }
}

const fn stand(back: Back) -> i64 {
    match back {
        Back::Pending => 7002,
        Back::Done => 0,
        Back::Failed => 1081,
    }
}

/// Signatures as another tool makes them, each of what the gateway's own list of names writes.
#[rstest]
#[case(
    &["amount", "extraData", "ipnUrl", "orderId", "orderInfo", "partnerCode", "redirectUrl", "requestId", "requestType"],
    "4378bb95714712f6be833da81f743910a01e5ba6279bfe596b8a08e891259424"
)]
#[case(
    &[
        "amount", "extraData", "message", "orderId", "orderInfo", "orderType", "partnerCode", "payType", "requestId",
        "responseTime", "resultCode", "transId",
    ],
    "002fd3713f926adc44e3af3146bffaf3625dc9662437faa7a1ffa4fb5ec6b82e"
)]
fn what_is_signed_is_written_by_name(#[case] names: &[&'static str], #[case] signature: &str) {
    let fields = json!({
        "amount": 50_000, "extraData": "", "ipnUrl": "https://callback.url/notify", "message": "Successful.",
        "orderId": "MOMO1700000000000", "orderInfo": "pay with MoMo", "orderType": "momo_wallet",
        "partnerCode": "MOMO", "payType": "qr", "redirectUrl": "https://momo.vn/return",
        "requestId": "MOMO1700000000000", "requestType": "captureWallet", "responseTime": 1_700_000_012_345_i64,
        "resultCode": 0, "transId": 4_088_878_653_i64,
    });
    let gateway = local();
    assert_eq!(gateway.key.hex(gateway.written_of(&fields, names).unwrap()), signature);
}

#[rstest]
#[case(
    &[("orderId", "MOMO1700000000000"), ("partnerCode", "MOMO"), ("requestId", "MOMO1700000000001")],
    "a26066ed14201c6eba262240cd1472f31ffe9b8b7af1c7131791b9cef097464a"
)]
#[case(
    &[
        ("transId", "4088878653"), ("amount", "20000"), ("description", ""), ("orderId", "RF1700000000000"),
        ("partnerCode", "MOMO"), ("requestId", "RF1700000000000"),
    ],
    "460cce28d35c20373f9870c00e65c7a34d946e9d3872a487517bfad7c472f375"
)]
fn the_order_of_names_is_the_alphabet_s(#[case] pairs: &[(&str, &str)], #[case] signature: &str) {
    assert_eq!(local().key.hex(local().written(pairs)), signature);
}

#[test]
fn the_published_notification_is_believed() {
    let body = json!({
        "amount": 50_000, "extraData": "", "message": "Successful.", "orderId": "MOMO1700000000000",
        "orderInfo": "pay with MoMo", "orderType": "momo_wallet", "partnerCode": "MOMO", "payType": "qr",
        "requestId": "MOMO1700000000000", "responseTime": 1_700_000_012_345_i64, "resultCode": 0,
        "transId": 4_088_878_653_i64,
        "signature": "002fd3713f926adc44e3af3146bffaf3625dc9662437faa7a1ffa4fb5ec6b82e",
    });
    let mut call = told(notification("x", 0), SECRET);
    call.body = body.to_string().into_bytes();
    let notice = local().notified(&call.raw()).unwrap();
    assert_eq!(notice.event, "MOMO1700000000000:4088878653:0");
    let amount = Money::of(50_000, Currency::Vnd);
    assert!(matches!(
        notice.about,
        About::Payment { outcome: Outcome::Paid(capture), .. }
            if capture.amount == amount && capture.transaction == "4088878653"
    ));
    call.body = String::from_utf8(call.body)
        .unwrap()
        .replace("002fd", "002FD")
        .into_bytes();
    assert_eq!(local().notified(&call.raw()), Err(Rejected::Signature));
}

#[rstest]
#[case(1006, Some(Outcome::Failed { decline: Decline::Cancelled, detail: "result code 1006".to_owned() }))]
#[case(9000, Some(Outcome::Pending))]
#[case(10, None)]
#[case(31_337, None)]
fn a_notification_need_not_be_of_money(#[case] code: i64, #[case] expected: Option<Outcome>) {
    let mut fields = notification("one", code);
    fields["transId"] = 0.into();
    let notice = local().notified(&told(fields, SECRET).raw()).unwrap();
    // Payments that failed without a number are still told from each other.
    assert_eq!(notice.event, format!("one:0:{code}"));
    match expected {
        Some(outcome) => {
            let reference = "one".to_owned();
            assert_eq!(notice.about, About::Payment { reference, outcome });
        }
        None => assert_eq!(notice.about, About::Nothing),
    }
}

#[rstest]
#[case("amount", json!(181_000.5))]
#[case("amount", json!(true))]
#[case("transId", json!(1.0))]
#[tokio::test]
async fn a_fraction_is_no_number(#[case] name: &str, #[case] value: Value) {
    let attempt = contract::attempt(&local());
    let Play::Say(_, body) = code(&attempt, 0) else {
        panic!()
    };
    let mut said: Value = serde_json::from_str(&body).unwrap();
    said[name] = value.clone();
    let (_, gateway) = playing(vec![Play::ok(said)]).await;
    assert!(matches!(gateway.query(&attempt).await, Err(Failure::Unknown(_))));

    let mut body: Value = serde_json::from_slice(&told(notification("x", 0), SECRET).body).unwrap();
    body[name] = value;
    let call = Call {
        body: body.to_string().into_bytes(),
        ..told(notification("x", 0), SECRET)
    };
    assert_eq!(local().notified(&call.raw()), Err(Rejected::Signature));
}

#[tokio::test]
async fn an_answer_to_a_new_payment_has_to_be_signed() {
    let attempt = contract::attempt(&local());
    let honest = created(&local(), &attempt.reference);
    let with = |name: &str, value: Value| {
        let mut said = honest.clone();
        said[name] = value;
        said
    };
    let other = created(&local(), "another");
    for said in [
        with("payUrl", "https://evil.test".into()),
        with("amount", 1_000.into()),
        with("signature", Value::Null),
        with("signature", "".into()),
        with("resultCode", 1006.into()),
        other,
    ] {
        let (_, gateway) = playing(vec![Play::ok(&said)]).await;
        let failure = gateway.begin(&attempt).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown(_)), "{said}");
    }
}

#[rstest]
#[case(10, None)]
#[case(40, None)]
#[case(41, None)]
#[case(43, None)]
#[case(7000, None)]
#[case(12_345, None)]
#[case(13, Some(Decline::Rejected))]
#[case(22, Some(Decline::Rejected))]
#[case(1005, Some(Decline::Expired))]
#[tokio::test]
async fn a_payment_that_is_not_begun(#[case] result: i64, #[case] refused: Option<Decline>) {
    let (_, gateway) = playing(vec![Play::ok(json!({ "resultCode": result }))]).await;
    let failure = gateway.begin(&contract::attempt(&gateway)).await.unwrap_err();
    match refused {
        Some(expected) => assert!(matches!(failure, Failure::Refused { decline, .. } if decline == expected)),
        None => assert!(matches!(failure, Failure::Unknown(_)), "{failure:?}"),
    }
}

/// Every code that MoMo publishes as final, pending or our mistake, and what a question makes of it.
#[tokio::test]
async fn codes_are_final_pending_or_not_known() {
    let attempt = contract::attempt(&local());
    let of = async |result: i64| {
        let (_, gateway) = playing(vec![code(&attempt, result)]).await;
        gateway.query(&attempt).await
    };
    for pending in [1000, 7000, 7002, 8000, 9000] {
        assert_eq!(of(pending).await, Ok(Outcome::Pending), "{pending}");
    }
    let last = [1017, 1026, 1080, 1081, 1088, 2019, 4001, 4002, 4100];
    for failed in [98, 99].into_iter().chain(1001..=1007).chain(last) {
        assert!(matches!(of(failed).await, Ok(Outcome::Failed { .. })), "{failed}");
    }
    for open in [10, 11, 12, 13, 20, 21, 22, 40, 41, 43, 45, 47, -1, 5] {
        assert!(matches!(of(open).await, Err(Failure::Unknown(_))), "{open}");
    }
    assert_eq!(of(42).await, Ok(Outcome::Unknown));
}

#[tokio::test]
async fn another_order_s_answer_is_not_taken() {
    let (_, gateway) = playing(vec![code(&contract::attempt(&local()), 0)]).await;
    let attempt = Attempt {
        reference: "mine".to_owned(),
        ..contract::attempt(&gateway)
    };
    assert!(matches!(gateway.query(&attempt).await, Err(Failure::Unknown(_))));
}

#[tokio::test]
async fn each_question_has_a_number_of_its_own() {
    let attempt = contract::attempt(&local());
    let (vendor, gateway) = playing(vec![code(&attempt, 1000), code(&attempt, 1000)]).await;
    for _ in 0..2 {
        gateway.query(&attempt).await.unwrap();
    }
    let seen = vendor.seen();
    assert_eq!(seen[0].path, "/v2/gateway/api/query");
    assert_ne!(seen[0].json()["requestId"], seen[1].json()["requestId"]);
}

#[tokio::test]
async fn a_refund_that_is_not_told_is_not_known() {
    let (_, gateway) = playing(vec![code(&contract::attempt(&local()), 0)]).await;
    let refund = contract::refund(&gateway);
    assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Unknown));
}

fn method() -> SavedMethod {
    SavedMethod {
        payer: "payer-7".to_owned(),
        token: OPEN.into(),
        reference: "link".to_owned(),
    }
}

#[test]
fn the_published_token_is_opened() {
    assert_eq!(tokens::open(SEALING.as_bytes(), SEALED).as_deref(), Some(OPEN));
    assert_eq!(tokens::open(SECRET.as_bytes(), SEALED), None);
    for broken in ["", "AAAA", "not base64", &SEALED[..20], &SEALED[4..]] {
        assert_ne!(tokens::open(SEALING.as_bytes(), broken).as_deref(), Some(OPEN));
    }
}

#[tokio::test]
async fn without_its_key_nothing_is_linked() {
    let gateway = local();
    assert!(!gateway.capabilities().saved_methods);
    let link = contract::link(&gateway);
    assert_eq!(gateway.begin_link(&link).await, Err(Failure::Unsupported));
    assert_eq!(gateway.query_link(&link).await, Err(Failure::Unsupported));
    assert_eq!(
        gateway.charge(&contract::attempt(&gateway), &method()).await,
        Err(Failure::Unsupported)
    );
    let short = MomoConfig {
        token_key: Some("AAAA".to_owned()),
        ..config("https://momo.test".parse().unwrap())
    };
    assert!(matches!(Momo::new(short), Err(Error::Configuration(_))));
}

#[tokio::test]
async fn a_wallet_is_linked_by_a_proof() {
    let (vendor, gateway, _) = linking(Vec::new()).await;
    let link = contract::link(&gateway);
    vendor.plays(vec![Play::ok(created(&gateway, &link.reference))]);
    gateway.begin_link(&link).await.unwrap();
    let seen = vendor.seen();
    let sent = seen[0].json();
    let written = format!(
        "accessKey={ACCESS}&amount=0&extraData={}&ipnUrl={}&orderId={}&orderInfo=Link wallet&partnerClientId=payer-7\
         &partnerCode=MOMO&redirectUrl={}&requestId={}&requestType=linkWallet",
        tokens::mark(),
        link.notify_url,
        link.reference,
        link.return_url,
        link.reference
    );
    assert_eq!(sent["signature"], gateway.key.hex(written));

    let mut fields = notification(&link.reference, 9000);
    fields["extraData"] = tokens::mark().into();
    fields["callbackToken"] = "PROOF".into();
    fields["partnerClientId"] = "payer-7".into();
    let notice = gateway.notified(&told(fields.clone(), SEALING).raw()).unwrap();
    let About::Confirmed { reference, proof } = notice.about else {
        panic!()
    };
    assert_eq!((reference.as_str(), proof.as_str()), (link.reference.as_str(), "PROOF"));

    vendor.plays(vec![Play::ok(json!({ "resultCode": 0, "aesToken": SEALED }))]);
    let linked = gateway.finish_link(&link, &proof.as_str().into()).await.unwrap();
    let label = "MoMo".to_owned();
    assert_eq!(
        linked,
        LinkOutcome::Linked {
            token: OPEN.to_owned(),
            label
        }
    );
    let sent = vendor.seen()[1].json();
    let written = format!(
        "accessKey={ACCESS}&callbackToken=PROOF&orderId={0}&partnerClientId=payer-7&partnerCode=MOMO&requestId={0}-token",
        link.reference
    );
    assert_eq!(sent["signature"], gateway.key.hex(written));

    fields["resultCode"] = 1006.into();
    let notice = gateway.notified(&told(fields, SEALING).raw()).unwrap();
    assert!(matches!(
        notice.about,
        About::Link {
            outcome: LinkOutcome::Failed { .. },
            ..
        }
    ));
}

#[tokio::test]
async fn a_token_that_can_t_be_opened_is_not_linked() {
    let said = json!({ "resultCode": 0, "aesToken": "AAAA" });
    let (_, gateway, _) = linking(vec![Play::ok(said)]).await;
    let linked = gateway.finish_link(&contract::link(&gateway), &"PROOF".into()).await;
    assert!(matches!(linked, Err(Failure::Unknown(_))));
}

#[tokio::test]
async fn a_wallet_is_charged_with_a_sealed_token() {
    let (vendor, gateway, momo) = linking(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    vendor.plays(vec![code(&attempt, 0), code(&attempt, 41), code(&attempt, 1000)]);
    let paid = gateway.charge(&attempt, &method()).await.unwrap();
    assert!(matches!(paid, Outcome::Paid(capture) if capture.amount == attempt.amount));
    // Charged again under the same name, it is asked about.
    assert_eq!(gateway.charge(&attempt, &method()).await, Ok(Outcome::Pending));
    let seen = vendor.seen();
    let paths: Vec<&str> = seen
        .iter()
        .map(|seen| seen.path.rsplit("api/").next().unwrap())
        .collect();
    assert_eq!(paths, ["tokenization/pay", "tokenization/pay", "query"]);
    assert_eq!(seen[0].json()["signature"], seen[1].json()["signature"]);
    assert!(!seen[0].body.contains(OPEN));

    let sealed = STANDARD.decode(seen[0].json()["token"].as_str().unwrap()).unwrap();
    let mut plain = vec![0; momo.min_output_size()];
    let plain = momo.decrypt(&sealed, &mut plain).unwrap();
    let plain: Value = serde_json::from_slice(plain).unwrap();
    assert_eq!(plain, json!({ "token": OPEN }));
}

#[rstest]
#[case(1001, Decline::InsufficientFunds)]
#[case(1007, Decline::MethodRevoked)]
#[case(1004, Decline::LimitReached)]
#[tokio::test]
async fn a_charge_is_declined(#[case] result: i64, #[case] expected: Decline) {
    let (vendor, gateway, _) = linking(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    vendor.plays(vec![code(&attempt, result)]);
    let outcome = gateway.charge(&attempt, &method()).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { decline, .. } if decline == expected));
}

#[test]
fn the_vendor_hears_statuses_without_content() {
    for (verdict, status) in [
        (Verdict::Taken, 204),
        (Verdict::Repeated, 204),
        (Verdict::WrongAmount, 204),
        (Verdict::Rejected(Rejected::Signature), 400),
        (Verdict::Later, 503),
    ] {
        let body = String::new();
        assert_eq!(local().answer(verdict), Answer { status, body });
    }
}
