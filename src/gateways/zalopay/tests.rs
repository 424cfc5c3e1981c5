#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::gateways::contract::{self, Back, Call, Dialect, Play, Stand, TRANSACTION, Truth, Vendor};

/// The demonstration keys that ZaloPay publishes.
const KEY1: &str = "PcY4iZIKFCIdgZvA6ueMcMHHUbRLYjPL";
const KEY2: &str = "kLtgPl8HHhfvMuDHPwKfgfsY4Ydm9eIz";
/// The data of the sample callback in ZaloPay's documentation.
const SAMPLE: &str = include_str!("callback.json");

struct Spoken;

crate::gateways::contract::contract!(Spoken);

fn zalopay(api: Url, patience: Duration) -> ZaloPay {
    let config = ZaloPayConfig {
        api,
        app_id: 2553,
        key1: KEY1.into(),
        key2: KEY2.into(),
    };
    ZaloPay::with_patience(config, patience).unwrap()
}

fn local() -> ZaloPay {
    zalopay("http://127.0.0.1:9".parse().unwrap(), wire::PATIENCE)
}

async fn playing(plays: Vec<Play>) -> (Vendor, ZaloPay) {
    let vendor = Vendor::playing(plays).await;
    let gateway = zalopay(vendor.api.clone(), wire::PATIENCE);
    (vendor, gateway)
}

fn code(code: i64, sub: i64) -> Play {
    Play::ok(json!({ "return_code": code, "return_message": "x", "sub_return_code": sub }))
}

fn callback(key: &str, data: &str, kind: u8) -> Call {
    let mac = Sha256Key::new("KEY", &key.into()).unwrap().hex(data);
    Call {
        method: "POST",
        query: String::new(),
        headers: Vec::new(),
        body: json!({ "data": data, "mac": mac, "type": kind })
            .to_string()
            .into_bytes(),
    }
}

impl Dialect for Spoken {
    fn gateway(&self, api: Url, patience: Duration) -> Box<dyn Gateway> {
        Box::new(zalopay(api, patience))
    }

    fn secrets(&self) -> Vec<&'static str> {
        vec![KEY1, KEY2]
    }

    fn begun(&self, _: &Attempt) -> Vec<Play> {
        vec![Play::ok(json!({
            "return_code": 1, "sub_return_code": 1, "zp_trans_token": "ACs_token",
            "order_url": "https://qcgateway.zalopay.vn/openinapp?order=abc", "qr_code": "00020101021226",
        }))]
    }

    fn stands(&self, attempt: &Attempt, stand: Stand) -> Option<Vec<Play>> {
        Some(vec![match stand {
            Stand::Pending => code(3, -49),
            Stand::Paid => Play::ok(json!({
                "return_code": 1, "sub_return_code": 1, "is_processing": false,
                "amount": attempt.amount.minor(), "zp_trans_id": 240_423_000_000_123_i64,
            })),
            Stand::Failed => code(2, -54),
            // An order that is not there is answered like one that failed.
            Stand::Unheard => return None,
        }])
    }

    fn refunds(&self, _: &Refund, back: Back) -> Vec<Play> {
        vec![match back {
            Back::Pending => code(3, 3),
            Back::Done => code(1, 1),
            Back::Failed => code(2, -13),
        }]
    }

    fn refunded(&self, refund: &Refund, back: Back) -> Vec<Play> {
        self.refunds(refund, back)
    }

    fn tells_paid(&self, attempt: &Attempt, truth: Truth) -> Call {
        let app = if matches!(truth, Truth::OtherMerchant) {
            2554
        } else {
            2553
        };
        let data = json!({
            "app_id": app, "app_trans_id": attempt.reference, "amount": attempt.amount.minor(),
            "zp_trans_id": TRANSACTION.parse::<i64>().unwrap(), "server_time": 1_764_000_000_000_i64, "channel": 38,
        })
        .to_string();
        let mut call = callback(if matches!(truth, Truth::WrongKey) { KEY1 } else { KEY2 }, &data, 1);
        if matches!(truth, Truth::Tampered) {
            let body = String::from_utf8(call.body).unwrap().replace("181000", "981000");
            call.body = body.into_bytes();
        }
        if matches!(truth, Truth::Unsigned) {
            call.body = json!({ "data": data, "type": 1 }).to_string().into_bytes();
        }
        call
    }
}

#[test]
fn the_published_callback_is_believed_byte_by_byte() {
    let mac = "d8d33baf449b31d7f9b94fa50d7c942c08cd4d83f28fa185557da21acb104f67";
    assert_eq!(local().key2.hex(SAMPLE), mac);
    let call = callback(KEY2, SAMPLE, 1);
    let notice = local().notified(&call.raw()).unwrap();
    assert_eq!(
        notice,
        Notice {
            event: "order:200904000000389".to_owned(),
            about: About::Payment {
                reference: "200904_2553_1598435687208".to_owned(),
                outcome: Outcome::Paid(Capture {
                    transaction: "200904000000389".to_owned(),
                    amount: Money::of(10_000, Currency::Vnd),
                }),
            },
        }
    );
    // The same meaning in other letters is not what was signed.
    let spaced = json!({ "data": SAMPLE.replace(':', ": "), "mac": mac, "type": 1 }).to_string();
    let call = Call {
        body: spaced.into_bytes(),
        ..call
    };
    assert_eq!(local().notified(&call.raw()), Err(Rejected::Signature));
}

#[rstest]
#[case(
    "2553|231115_order1|user123|50000|1700000000000|{}|[]",
    "50c98304cb1f0c93a3adbba6c6d99dd38e3ab8d4a9d0d5d90009c3f85117bf4b"
)]
#[case(
    "2553|231115_order1|PcY4iZIKFCIdgZvA6ueMcMHHUbRLYjPL",
    "3c382e1f01957b30b448ae909e740c9f543596687291d97d268086b20a5a11be"
)]
fn digests_are_as_another_tool_makes_them(#[case] signed: &str, #[case] mac: &str) {
    assert_eq!(local().key1.hex(signed), mac);
}

#[tokio::test]
async fn an_order_is_signed_letter_by_letter_as_it_is_sent() {
    let (vendor, gateway) = playing(Spoken.begun(&contract::attempt(&local()))).await;
    let attempt = contract::attempt(&gateway);
    let checkout = gateway.begin(&attempt).await.unwrap();
    assert_eq!(checkout.gateway_id.as_deref(), Some("ACs_token"));
    assert_eq!(checkout.qr.as_deref(), Some("00020101021226"));

    let [seen] = &vendor.seen()[..] else { panic!() };
    let sent = seen.json();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v2/create"));
    assert_eq!(
        sent["embed_data"],
        r#"{"redirecturl":"https://pay.example.test/return?x=1"}"#
    );
    assert_eq!(sent["expire_duration_seconds"], 900);
    assert_eq!(sent["callback_url"], attempt.notify_url);
    assert!(sent.get("product_code").is_none());
    let signed = format!(
        "2553|{}|payer-7|181000|1795398000000|{}|[]",
        attempt.reference,
        sent["embed_data"].as_str().unwrap()
    );
    assert_eq!(sent["mac"], gateway.key1.hex(signed));
    assert!(attempt.reference.starts_with("261123_2553_"));
}

#[test]
fn the_day_of_a_reference_is_vietnam_s() {
    let late: DateTime<Utc> = "2026-12-31T17:00:00Z".parse().unwrap();
    assert!(local().reference(Uuid::nil(), late).starts_with("270101_2553_"));
    let longest = ZaloPayConfig {
        app_id: LARGEST_APP,
        ..local().config.clone()
    };
    let longest = ZaloPay::new(longest).unwrap();
    assert_eq!(longest.reference(Uuid::max(), late).len(), 40);
    for app_id in [0, LARGEST_APP + 1] {
        let config = ZaloPayConfig {
            app_id,
            ..local().config.clone()
        };
        assert!(matches!(ZaloPay::new(config), Err(Error::Configuration(_))));
    }
}

#[rstest]
#[case(2, -68, None)]
#[case(2, -429, None)]
#[case(2, -500, None)]
#[case(2, -999, None)]
#[case(3, 0, None)]
#[case(-1, 0, None)]
#[case(2, -401, Some(Decline::Rejected))]
#[case(2, -402, Some(Decline::Rejected))]
#[case(2, -33, Some(Decline::IssuerUnavailable))]
#[case(2, -7, Some(Decline::Declined))]
#[tokio::test]
async fn an_order_that_is_not_made(#[case] one: i64, #[case] sub: i64, #[case] refused: Option<Decline>) {
    let (_, gateway) = playing(vec![code(one, sub)]).await;
    let failure = gateway.begin(&contract::attempt(&gateway)).await.unwrap_err();
    match (failure, refused) {
        (Failure::Refused { decline, .. }, Some(expected)) => assert_eq!(decline, expected),
        (failure, refused) => assert!(
            refused.is_none() && matches!(failure, Failure::Unknown(_)),
            "{failure:?}"
        ),
    }
}

#[rstest]
#[case(-54, Decline::Expired)]
#[case(-329, Decline::Cancelled)]
#[case(-12345, Decline::Declined)]
#[tokio::test]
async fn an_order_that_failed(#[case] sub: i64, #[case] expected: Decline) {
    let (_, gateway) = playing(vec![code(2, sub)]).await;
    let outcome = gateway.query(&contract::attempt(&gateway)).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { decline, .. } if decline == expected));
}

/// That our question was not taken says nothing of the payment.
#[rstest]
#[case(2, -401)]
#[case(2, -402)]
#[case(2, -429)]
#[case(2, -500)]
#[case(1, 1)]
#[tokio::test]
async fn a_question_that_is_not_answered(#[case] one: i64, #[case] sub: i64) {
    let (_, gateway) = playing(vec![code(one, sub)]).await;
    let failure = gateway.query(&contract::attempt(&gateway)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unknown(_)));
}

#[tokio::test]
async fn a_fraction_is_no_amount() {
    for amount in [
        json!(1.5),
        json!(181_000.0),
        json!("181000.0"),
        json!(-181_000),
        json!(0),
        json!(null),
    ] {
        let said = json!({ "return_code": 1, "amount": amount, "zp_trans_id": 1 });
        let (_, gateway) = playing(vec![Play::ok(said)]).await;
        let failure = gateway.query(&contract::attempt(&gateway)).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown(_)), "{amount}");
    }
    let data = json!({ "app_id": 2553, "app_trans_id": "x", "amount": 1.5, "zp_trans_id": 1 }).to_string();
    assert_eq!(
        local().notified(&callback(KEY2, &data, 1).raw()),
        Err(Rejected::Malformed)
    );
}

#[tokio::test]
async fn a_refund_signs_everything_but_its_own_name() {
    let (vendor, gateway) = playing(vec![code(3, 3)]).await;
    let refund = contract::refund(&gateway);
    gateway.refund(&refund).await.unwrap();
    let sent = vendor.seen()[0].json();
    assert_eq!(sent["m_refund_id"], refund.reference);
    let signed = format!(
        "2553|{TRANSACTION}|81000|Too much|{}",
        refund.created_at.timestamp_millis()
    );
    assert_eq!(sent["mac"], gateway.key1.hex(signed));
}

fn method() -> SavedMethod {
    SavedMethod {
        payer: "payer-7".to_owned(),
        token: "PAYTOKEN".into(),
        reference: "261101_2553_link".to_owned(),
    }
}

fn made(status: i64) -> Play {
    Play::ok(json!({
        "return_code": 1, "sub_return_code": 1,
        "data": {
            "app_id": 2553, "app_trans_id": "261101_2553_link", "binding_id": "BINDING", "pay_token": "PAYTOKEN",
            "status": status, "msg_type": 1, "masked_user_phone": "****3801",
        },
    }))
}

fn order() -> Play {
    Spoken.begun(&contract::attempt(&local())).remove(0)
}

#[tokio::test]
async fn a_wallet_is_charged_and_the_amount_asked_for() {
    let (vendor, gateway) = playing(vec![order(), code(1, 1)]).await;
    let attempt = contract::attempt(&gateway);
    vendor.plays(Spoken.stands(&attempt, Stand::Paid).unwrap());
    let outcome = gateway.charge(&attempt, &method()).await.unwrap();
    assert!(matches!(outcome, Outcome::Paid(capture) if capture.amount == attempt.amount));
    let seen = vendor.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(paths, ["/v2/create", "/v2/agreement/pay", "/v2/query"]);
    assert_eq!(seen[0].json()["product_code"], "AGREEMENT");
    let signed = format!(
        "2553|payer-7|ACs_token|PAYTOKEN|{}",
        attempt.created_at.timestamp_millis()
    );
    assert_eq!(seen[1].json()["mac"], gateway.key1.hex(signed));
}

#[tokio::test]
async fn a_charge_that_is_repeated_asks_and_never_pays_again() {
    let (vendor, gateway) = playing(vec![order(), Play::Say(504, String::new()), code(2, -68), code(3, 3)]).await;
    let attempt = contract::attempt(&gateway);
    let lost = gateway.charge(&attempt, &method()).await.unwrap_err();
    assert!(matches!(lost, Failure::Unknown(_)));
    assert_eq!(gateway.charge(&attempt, &method()).await, Ok(Outcome::Pending));
    let seen = vendor.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(paths, ["/v2/create", "/v2/agreement/pay", "/v2/create", "/v2/query"]);
    assert_eq!(seen[0].body, seen[2].body);
}

#[rstest]
#[case(made(1), Decline::Declined)]
#[case(made(3), Decline::MethodRevoked)]
#[case(made(4), Decline::MethodRevoked)]
#[case(Play::Say(500, String::new()), Decline::Declined)]
#[tokio::test]
async fn a_declined_charge_tells_whether_the_wallet_is_still_linked(
    #[case] agreement: Play,
    #[case] expected: Decline,
) {
    let (_, gateway) = playing(vec![order(), code(2, -1), agreement]).await;
    let outcome = gateway.charge(&contract::attempt(&gateway), &method()).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { decline, .. } if decline == expected));
}

#[tokio::test]
async fn a_wallet_is_linked_asked_about_and_unlinked() {
    let bound = json!({
        "return_code": 1, "sub_return_code": 1, "binding_token": "TOKEN", "deep_link": "zalopay://launch/app/732",
        "binding_qr_link": "https://binding.test?t=TOKEN", "short_link": "https://short.test/TOKEN",
    });
    let (vendor, gateway) = playing(vec![Play::ok(bound), code(3, 3), made(1), made(1), code(1, 1), made(3)]).await;
    let link = Link {
        reference: method().reference,
        ..contract::link(&gateway)
    };
    let shown = gateway.begin_link(&link).await.unwrap();
    assert_eq!(shown.url.as_deref(), Some("https://short.test/TOKEN"));
    assert_eq!(shown.app_url.as_deref(), Some("zalopay://launch/app/732"));
    assert_eq!(gateway.query_link(&link).await, Ok(LinkOutcome::Pending));
    let linked = LinkOutcome::Linked {
        token: "PAYTOKEN".to_owned(),
        label: "ZaloPay •••• 3801".to_owned(),
    };
    assert_eq!(gateway.query_link(&link).await, Ok(linked));
    gateway.unlink(&method()).await.unwrap();
    // Its owner was faster.
    gateway.unlink(&method()).await.unwrap();
    let seen = vendor.seen();
    let sent = seen[0].json();
    let signed = format!(
        "2553|{}|{{}}|WALLET|payer-7|0|{}",
        link.reference,
        link.created_at.timestamp_millis()
    );
    assert_eq!(
        (seen[0].path.as_str(), &sent["mac"]),
        ("/v2/agreement/bind", &gateway.key1.hex(signed).into())
    );
    let sent = seen[4].json();
    let signed = format!("2553|payer-7|BINDING|{}", sent["req_date"]);
    assert_eq!(
        (seen[4].path.as_str(), &sent["mac"]),
        ("/v2/agreement/unbind", &gateway.key1.hex(signed).into())
    );
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn another_agreement_than_ours_is_not_taken() {
    let (_, gateway) = playing(vec![made(1)]).await;
    let failure = gateway.query_link(&contract::link(&gateway)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unknown(_)));
}

#[rstest]
#[case(1)]
#[case(3)]
#[case(4)]
fn a_callback_of_an_agreement(#[case] status: i64) {
    let data = json!({
        "app_id": 2553, "app_trans_id": "261101_2553_link", "binding_id": "BINDING", "pay_token": "PAYTOKEN",
        "server_time": 1_680_849_004, "status": status, "msg_type": 1, "masked_user_phone": "****3801",
    });
    // Beside the data stands what kind it is, unsigned: it decides nothing.
    for kind in [1, 2] {
        let notice = local()
            .notified(&callback(KEY2, &data.to_string(), kind).raw())
            .unwrap();
        let reference = "261101_2553_link".to_owned();
        assert_eq!(notice.event, format!("agreement:BINDING:{status}:1:1680849004"));
        assert_eq!(
            notice.about,
            if status == 1 {
                let outcome = LinkOutcome::Linked {
                    token: "PAYTOKEN".to_owned(),
                    label: "ZaloPay •••• 3801".to_owned(),
                };
                About::Link { reference, outcome }
            } else {
                About::Unlinked { reference }
            }
        );
    }
}

#[test]
fn the_vendor_hears_numbers() {
    let says = |verdict| local().answer(verdict).body;
    assert_eq!(says(Verdict::Taken), r#"{"return_code":1,"return_message":"success"}"#);
    assert!(says(Verdict::Repeated).contains(":1,"));
    assert!(says(Verdict::Later).contains(":0,"));
    assert!(says(Verdict::Rejected(Rejected::Signature)).contains(":-1,"));
}
