#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::gateways::About;
use crate::gateways::contract::{self, Back, Call, Dialect, Play, Stand, TRANSACTION, Truth, Vendor, created_at};

const KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
const SIGNING: &str = "whsec_test_secret";

struct Spoken;

crate::gateways::contract::contract!(Spoken);

fn config(api: Url) -> StripeConfig {
    StripeConfig {
        api,
        secret_key: KEY.into(),
        webhook_secret: SIGNING.into(),
        live: false,
        account: None,
    }
}

fn local() -> Stripe {
    Stripe::new(config("http://127.0.0.1:9".parse().unwrap())).unwrap()
}

async fn playing(plays: Vec<Play>) -> (Vendor, Stripe) {
    let vendor = Vendor::playing(plays).await;
    let gateway = Stripe::new(config(vendor.api.clone())).unwrap();
    (vendor, gateway)
}

fn intent(reference: &str, kind: &str, status: &str) -> Value {
    json!({
        "id": "pi_42", "object": "payment_intent", "client_secret": "pi_42_secret_x", "status": status,
        "amount": 181_000, "amount_received": 181_000, "currency": "vnd", "livemode": false,
        "metadata": { "reference": reference, "kind": kind }, "last_payment_error": null,
    })
}

fn back(reference: &str, status: &str) -> Value {
    json!({ "id": "re_1", "object": "refund", "status": status, "metadata": { "reference": reference } })
}

fn fault(status: u16, code: &str, reason: &str) -> Play {
    let error = json!({ "error": { "type": "card_error", "code": code, "decline_code": reason, "message": "x" } });
    Play::Say(status, error.to_string())
}

fn signed(secret: &str, time: i64, body: Vec<u8>) -> Call {
    let digest = Sha256Key::new("KEY", &secret.into()).unwrap();
    let digest = digest.hex([time.to_string().as_bytes(), b".", &body].concat());
    Call {
        method: "POST",
        query: String::new(),
        headers: vec![("stripe-signature".to_owned(), format!("t={time},v1={digest},v0=00"))],
        body,
    }
}

fn event(kind: &str, thing: &Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "type": kind, "livemode": false, "data": { "object": thing },
    })
}

fn told(event: &Value) -> Call {
    signed(SIGNING, created_at().timestamp(), event.to_string().into_bytes())
}

const fn status(back: Back) -> &'static str {
    match back {
        Back::Pending => "pending",
        Back::Done => "succeeded",
        Back::Failed => "failed",
    }
}

impl Dialect for Spoken {
    fn gateway(&self, api: Url, patience: Duration) -> Box<dyn Gateway> {
        Box::new(Stripe::with_patience(config(api), patience).unwrap())
    }

    fn secrets(&self) -> Vec<&'static str> {
        vec![KEY, SIGNING]
    }

    fn begun(&self, attempt: &Attempt) -> Vec<Play> {
        vec![Play::ok(intent(
            &attempt.reference,
            "checkout",
            "requires_payment_method",
        ))]
    }

    fn stands(&self, attempt: &Attempt, stand: Stand) -> Option<Vec<Play>> {
        let stands = |status| Play::ok(intent(&attempt.reference, "checkout", status));
        Some(vec![match stand {
            Stand::Pending => stands("processing"),
            Stand::Paid => stands("succeeded"),
            Stand::Failed => stands("canceled"),
            Stand::Unheard => fault(404, "resource_missing", ""),
        }])
    }

    fn refunds(&self, refund: &Refund, stands: Back) -> Vec<Play> {
        vec![Play::ok(back(&refund.reference, status(stands)))]
    }

    fn refunded(&self, refund: &Refund, stands: Back) -> Vec<Play> {
        let data = [back("another", "failed"), back(&refund.reference, status(stands))];
        vec![Play::ok(json!({ "object": "list", "data": data, "has_more": false }))]
    }

    fn tells_paid(&self, attempt: &Attempt, truth: Truth) -> Call {
        let mut event = event(
            "payment_intent.succeeded",
            &intent(&attempt.reference, "checkout", "succeeded"),
        );
        if matches!(truth, Truth::OtherMerchant) {
            event["account"] = "acct_other".into();
        }
        let mut call = told(&event);
        match truth {
            Truth::WrongKey => call = signed("whsec_other", created_at().timestamp(), call.body),
            Truth::Unsigned => call.headers.clear(),
            Truth::Tampered => {
                call.body = String::from_utf8(call.body)
                    .unwrap()
                    .replace("181000", "981000")
                    .into_bytes();
            }
            Truth::Honest | Truth::OtherMerchant => {}
        }
        call
    }
}

/// The signature on which the vendor's own libraries for two other languages agree.
#[test]
fn the_published_signature_is_believed() {
    let mut call = told(&json!({}));
    call.body = br#"{"id":"evt_test","object":"event"}"#.to_vec();
    let digest = "691252e266ce41cb94d709c84e9580d4172b117a510bbc81723f657d2cd5d215";
    let at = |header: &str, seconds: i64| {
        let call = Call {
            headers: vec![("stripe-signature".to_owned(), header.to_owned())],
            ..call.clone()
        };
        let received_at = DateTime::from_timestamp(seconds, 0).unwrap();
        local().notified(&RawNotice {
            received_at,
            ..call.raw()
        })
    };
    let header = format!("t=1492774577,v1={digest}");
    let nothing = Notice {
        event: "evt_test".to_owned(),
        about: About::Nothing,
    };
    for near in [-300, 0, 300] {
        assert_eq!(at(&header, 1_492_774_577 + near), Ok(nothing.clone()));
    }
    for far in [-301, 301] {
        assert_eq!(at(&header, 1_492_774_577 + far), Err(Rejected::Stale));
    }
    // While a secret is changed, two digests come: one of them is enough.
    let two = format!("t=1492774577,v1={},v1={digest},v0=1", "0".repeat(64));
    assert_eq!(at(&two, 1_492_774_577), Ok(nothing));
    for wrong in [
        format!("t=1492774578,v1={digest}"),
        format!("t=1492774577,v0={digest}"),
        format!("t=1492774577,v1={}", digest.to_uppercase()),
        format!("t=1492774577,t=1492774577,v1={digest}"),
        format!("t=+1492774577,v1={digest}"),
        format!("v1={digest}"),
        "t=1492774577".to_owned(),
        String::new(),
    ] {
        assert_eq!(at(&wrong, 1_492_774_577), Err(Rejected::Signature), "{wrong}");
    }
}

#[tokio::test]
async fn a_checkout_is_a_form_with_a_key_and_a_version() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    vendor.plays(Spoken.begun(&attempt));
    let shown = gateway.begin(&attempt).await.unwrap();
    assert_eq!(shown.gateway_id.as_deref(), Some("pi_42"));
    assert_eq!(shown.client_secret.as_deref(), Some("pi_42_secret_x"));
    let [seen] = &vendor.seen()[..] else { panic!() };
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/v1/payment_intents")
    );
    assert_eq!(seen.header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(seen.header("stripe-version"), VERSION);
    assert_eq!(seen.header("idempotency-key"), format!("{}-pay", attempt.reference));
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        seen.form(),
        [
            pair("amount", "181000"),
            pair("currency", "vnd"),
            pair("payment_method_types[]", "card"),
            pair("metadata[reference]", &attempt.reference),
            pair("metadata[kind]", "checkout"),
            pair("metadata[description]", "Order 42"),
        ]
    );
}

#[rstest]
#[case(Play::Say(409, "{}".to_owned()), None)]
#[case(Play::Say(429, "{}".to_owned()), None)]
#[case(Play::Say(400, r#"{"error":{"type":"idempotency_error"}}"#.to_owned()), None)]
#[case(Play::Say(401, "<html>".to_owned()), None)]
#[case(Play::Say(401, r#"{"error":{"type":"invalid_request_error"}}"#.to_owned()), Some(Decline::Rejected))]
#[case(fault(400, "amount_too_small", ""), Some(Decline::Rejected))]
#[case(Play::ok(r#"{"id":"pi_1"}"#), None)]
#[tokio::test]
async fn a_checkout_that_is_not_begun(#[case] play: Play, #[case] refused: Option<Decline>) {
    let (_, gateway) = playing(vec![play]).await;
    let failure = gateway.begin(&contract::attempt(&gateway)).await.unwrap_err();
    match refused {
        Some(expected) => assert!(matches!(failure, Failure::Refused { decline, .. } if decline == expected)),
        None => assert!(matches!(failure, Failure::Unknown(_)), "{failure:?}"),
    }
}

fn method() -> SavedMethod {
    SavedMethod {
        payer: "payer-7".to_owned(),
        token: "cus_1:pm_1".into(),
        reference: "link".to_owned(),
    }
}

#[tokio::test]
async fn a_card_is_charged_once_however_often_it_is_asked() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    let paid = Play::ok(intent(&attempt.reference, "charge", "succeeded"));
    vendor.plays(vec![paid.clone(), paid]);
    for _ in 0..2 {
        let outcome = gateway.charge(&attempt, &method()).await.unwrap();
        assert!(matches!(outcome, Outcome::Paid(capture) if capture.amount == attempt.amount));
    }
    let seen = vendor.seen();
    assert_eq!(seen[0], seen[1]);
    assert_eq!(
        seen[0].header("idempotency-key"),
        format!("{}-charge", attempt.reference)
    );
    for (name, value) in [
        ("customer", "cus_1"),
        ("payment_method", "pm_1"),
        ("off_session", "true"),
        ("confirm", "true"),
    ] {
        assert!(seen[0].form().contains(&(name.to_owned(), value.to_owned())), "{name}");
    }
}

#[rstest]
#[case("card_declined", "insufficient_funds", Decline::InsufficientFunds)]
#[case("card_declined", "generic_decline", Decline::Declined)]
#[case("card_declined", "fraudulent", Decline::Suspicious)]
#[case("card_declined", "lost_card", Decline::MethodRevoked)]
#[case("card_declined", "issuer_not_available", Decline::IssuerUnavailable)]
#[case("card_declined", "card_velocity_exceeded", Decline::LimitReached)]
#[case("expired_card", "", Decline::MethodRevoked)]
#[case("authentication_required", "authentication_required", Decline::ChallengeRequired)]
#[tokio::test]
async fn a_card_is_declined(#[case] code: &str, #[case] reason: &str, #[case] expected: Decline) {
    let (vendor, gateway) = playing(vec![fault(402, code, reason)]).await;
    let attempt = contract::attempt(&gateway);
    let outcome = gateway.charge(&attempt, &method()).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { decline, .. } if decline == expected));
    // Asked about later, it is told alike.
    let mut stands = intent(&attempt.reference, "charge", "requires_payment_method");
    stands["last_payment_error"] = json!({ "code": code, "decline_code": reason });
    vendor.plays(vec![Play::ok(stands)]);
    assert_eq!(gateway.query(&attempt).await, Ok(outcome));
}

#[tokio::test]
async fn a_charge_that_asks_for_the_payer_has_failed() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    vendor.plays(vec![Play::ok(intent(&attempt.reference, "charge", "requires_action"))]);
    let outcome = gateway.charge(&attempt, &method()).await.unwrap();
    assert!(matches!(
        outcome,
        Outcome::Failed {
            decline: Decline::ChallengeRequired,
            ..
        }
    ));
}

#[tokio::test]
async fn a_card_that_is_gone_is_revoked_and_a_token_of_others_is_refused() {
    let gone =
        json!({ "error": { "type": "invalid_request_error", "code": "resource_missing", "param": "payment_method" } });
    let (_, gateway) = playing(vec![Play::Say(400, gone.to_string())]).await;
    let attempt = contract::attempt(&gateway);
    let refused = gateway.charge(&attempt, &method()).await;
    assert!(matches!(
        refused,
        Err(Failure::Refused {
            decline: Decline::MethodRevoked,
            ..
        })
    ));
    for token in ["", "pm_1", ":pm_1", "cus_1:"] {
        let method = SavedMethod {
            token: token.into(),
            ..method()
        };
        let refused = gateway.charge(&attempt, &method).await;
        assert!(matches!(
            refused,
            Err(Failure::Refused {
                decline: Decline::Rejected,
                ..
            })
        ));
    }
}

#[rstest]
#[case("requires_payment_method")]
#[case("requires_confirmation")]
#[case("requires_action")]
#[tokio::test]
async fn an_intent_that_is_out_of_time_is_closed(#[case] status: &str) {
    let (vendor, gateway) = playing(Vec::new()).await;
    let attempt = contract::attempt(&gateway);
    let open = || Play::ok(intent(&attempt.reference, "checkout", status));
    let in_time = Attempt {
        expires_at: machine_now(),
        ..attempt.clone()
    };
    vendor.plays(vec![open()]);
    assert_eq!(gateway.query(&in_time).await, Ok(Outcome::Pending));

    let late = Attempt {
        expires_at: machine_now() - TimeDelta::hours(1),
        ..attempt.clone()
    };
    vendor.plays(vec![
        open(),
        Play::ok(intent(&attempt.reference, "checkout", "canceled")),
    ]);
    let outcome = gateway.query(&late).await.unwrap();
    assert!(matches!(
        outcome,
        Outcome::Failed {
            decline: Decline::Expired,
            ..
        }
    ));
    let seen = vendor.seen().pop().unwrap();
    assert_eq!(seen.path, "/v1/payment_intents/pi_42/cancel");
    assert_eq!(seen.header("idempotency-key"), format!("{}-cancel", attempt.reference));

    // Paid in the last moment: it is not closed, and nothing is claimed.
    vendor.plays(vec![open(), fault(400, "payment_intent_unexpected_state", "")]);
    assert!(matches!(gateway.query(&late).await, Err(Failure::Unknown(_))));
}

#[tokio::test]
async fn an_intent_without_a_name_is_searched_for() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let attempt = Attempt {
        gateway_id: None,
        ..contract::attempt(&gateway)
    };
    let found = json!({ "data": [intent(&attempt.reference, "charge", "succeeded")], "has_more": false });
    let none = json!({ "data": [], "has_more": false });
    vendor.plays(vec![
        Play::ok(found),
        Play::ok(&none),
        Play::ok(none),
        Play::Say(404, r#"{"error":{"type":"x"}}"#.into()),
    ]);
    assert!(matches!(gateway.query(&attempt).await, Ok(Outcome::Paid(_))));
    let seen = vendor.seen().pop().unwrap();
    assert_eq!(seen.path, "/v1/payment_intents/search");
    assert!(seen.query.contains(&attempt.reference));

    let old = Attempt {
        created_at: machine_now() - TimeDelta::hours(2),
        ..attempt.clone()
    };
    assert_eq!(gateway.query(&old).await, Ok(Outcome::Unknown));
    let new = Attempt {
        created_at: machine_now(),
        ..attempt.clone()
    };
    assert!(matches!(gateway.query(&new).await, Err(Failure::Unknown(_))));
    // That there is no search is not that there is no payment.
    assert!(matches!(gateway.query(&old).await, Err(Failure::Unknown(_))));
}

#[tokio::test]
async fn another_payment_s_intent_is_not_taken() {
    let (_, gateway) = playing(vec![Play::ok(intent("another", "checkout", "succeeded"))]).await;
    let failure = gateway.query(&contract::attempt(&gateway)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unknown(_)));
}

#[rstest]
#[case(json!(1.5), json!("vnd"))]
#[case(json!(0), json!("vnd"))]
#[case(json!(-1), json!("vnd"))]
#[case(json!("all"), json!("vnd"))]
#[case(json!(181_000), json!("xxx"))]
#[case(json!(181_000), json!(null))]
#[tokio::test]
async fn what_is_no_amount_is_not_paid(#[case] amount: Value, #[case] currency: Value) {
    let mut stands = intent(&contract::attempt(&local()).reference, "checkout", "succeeded");
    stands["amount_received"] = amount;
    stands["currency"] = currency;
    assert_eq!(
        local().notified(&told(&event("payment_intent.succeeded", &stands)).raw()),
        Err(Rejected::Malformed)
    );
    let (_, gateway) = playing(vec![Play::ok(stands)]).await;
    let failure = gateway.query(&contract::attempt(&gateway)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unknown(_)));
}

#[tokio::test]
async fn a_refund_has_the_payment_and_a_key() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let refund = contract::refund(&gateway);
    vendor.plays(vec![fault(400, "charge_already_refunded", "")]);
    let refused = gateway.refund(&refund).await;
    assert!(matches!(
        refused,
        Err(Failure::Refused {
            decline: Decline::Rejected,
            ..
        })
    ));
    let seen = vendor.seen().pop().unwrap();
    assert_eq!(seen.header("idempotency-key"), format!("{}-refund", refund.reference));
    assert!(
        seen.form()
            .contains(&("payment_intent".to_owned(), TRANSACTION.to_owned()))
    );
    assert!(seen.form().contains(&("amount".to_owned(), "81000".to_owned())));

    let list = |more: bool| Play::ok(json!({ "data": [back("another", "succeeded")], "has_more": more }));
    vendor.plays(vec![list(false), list(true)]);
    assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Unknown));
    assert!(matches!(gateway.query_refund(&refund).await, Err(Failure::Unknown(_))));
    let named = Refund {
        gateway_id: Some("re_1".to_owned()),
        ..refund.clone()
    };
    vendor.plays(vec![Play::ok(back(&refund.reference, "pending"))]);
    assert_eq!(gateway.query_refund(&named).await, Ok(RefundOutcome::Pending));
}

fn setup(reference: &str, status: &str) -> Value {
    json!({
        "id": "seti_42", "client_secret": "seti_42_secret_x", "status": status, "customer": "cus_1",
        "payment_method": "pm_1", "metadata": { "reference": reference },
    })
}

fn card() -> Play {
    Play::ok(json!({ "id": "pm_1", "customer": "cus_1", "card": { "brand": "visa", "last4": "4242" } }))
}

#[tokio::test]
async fn a_card_is_kept_asked_about_and_parted_with() {
    let (vendor, gateway) = playing(Vec::new()).await;
    let link = contract::link(&gateway);
    let customer = || Play::ok(json!({ "id": "cus_1" }));
    vendor.plays(vec![
        customer(),
        Play::ok(setup(&link.reference, "requires_payment_method")),
    ]);
    let shown = gateway.begin_link(&link).await.unwrap();
    assert_eq!(shown.client_secret.as_deref(), Some("seti_42_secret_x"));
    let seen = vendor.seen();
    assert_eq!(seen[0].header("idempotency-key"), "customer-payer-7");
    assert_eq!(seen[1].header("idempotency-key"), format!("{}-link", link.reference));
    assert!(seen[1].form().contains(&("usage".to_owned(), "off_session".to_owned())));

    vendor.plays(vec![Play::ok(setup(&link.reference, "requires_action"))]);
    assert_eq!(gateway.query_link(&link).await, Ok(LinkOutcome::Pending));
    let linked = LinkOutcome::Linked {
        token: "cus_1:pm_1".to_owned(),
        label: "Visa •••• 4242".to_owned(),
    };
    vendor.plays(vec![Play::ok(setup(&link.reference, "succeeded")), card()]);
    assert_eq!(gateway.query_link(&link).await, Ok(linked.clone()));
    // The answer that named it was lost: with the same keys, it comes again.
    let nameless = Link {
        gateway_id: None,
        ..link.clone()
    };
    let again = Play::ok(setup(&link.reference, "requires_payment_method"));
    vendor.plays(vec![
        customer(),
        again,
        Play::ok(setup(&link.reference, "succeeded")),
        card(),
    ]);
    assert_eq!(gateway.query_link(&nameless).await, Ok(linked.clone()));
    vendor.plays(vec![Play::ok(setup(&link.reference, "succeeded")), card()]);
    assert_eq!(gateway.finish_link(&nameless, &"seti_42".into()).await, Ok(linked));
    vendor.plays(vec![Play::ok(setup("another", "succeeded"))]);
    assert!(matches!(gateway.query_link(&link).await, Err(Failure::Unknown(_))));
    vendor.plays(vec![fault(404, "resource_missing", "")]);
    assert_eq!(gateway.query_link(&link).await, Ok(LinkOutcome::Unknown));

    vendor.plays(vec![card()]);
    gateway.unlink(&method()).await.unwrap();
    assert_eq!(vendor.seen().pop().unwrap().path, "/v1/payment_methods/pm_1/detach");
    let parted = Play::ok(json!({ "id": "pm_1", "customer": null }));
    vendor.plays(vec![fault(400, "x", ""), parted]);
    gateway.unlink(&method()).await.unwrap();
    vendor.plays(vec![fault(400, "x", ""), card()]);
    assert!(gateway.unlink(&method()).await.is_err());
}

#[test]
fn events_are_about_payments_refunds_links_or_nothing() {
    let about = |kind: &str, thing: &Value| local().notified(&told(&event(kind, thing)).raw()).unwrap().about;
    let payment = |outcome| About::Payment {
        reference: "r".to_owned(),
        outcome,
    };
    // A payer whose card was declined may try another; a charge has nobody who would.
    let tried = |kind: &str| {
        about(
            "payment_intent.payment_failed",
            &intent("r", kind, "requires_payment_method"),
        )
    };
    assert_eq!(tried("checkout"), payment(Outcome::Pending));
    assert!(matches!(
        tried("charge"),
        About::Payment {
            outcome: Outcome::Failed { .. },
            ..
        }
    ));
    let refund = |kind: &str| about(kind, &back("r", "failed"));
    for kind in ["refund.updated", "refund.failed", "charge.refund.updated"] {
        assert!(
            matches!(
                refund(kind),
                About::Refund {
                    outcome: RefundOutcome::Failed { .. },
                    ..
                }
            ),
            "{kind}"
        );
    }
    let confirmed = about("setup_intent.succeeded", &setup("r", "succeeded"));
    let (reference, proof) = ("r".to_owned(), "seti_42".to_owned());
    assert_eq!(confirmed, About::Confirmed { reference, proof });
    for (kind, thing) in [
        (
            "payment_intent.succeeded",
            json!({ "id": "pi_other", "status": "succeeded", "metadata": {} }),
        ),
        (
            "charge.refunded",
            json!({ "id": "ch_1", "metadata": { "reference": "r" } }),
        ),
        ("invoice.paid", json!({ "id": "in_1" })),
        ("", json!(null)),
    ] {
        assert_eq!(about(kind, &thing), About::Nothing, "{kind}");
    }
}

#[test]
fn real_money_and_play_money_are_not_mixed() {
    let mut event = event("payment_intent.succeeded", &intent("r", "checkout", "succeeded"));
    event["livemode"] = true.into();
    assert_eq!(local().notified(&told(&event).raw()), Err(Rejected::Merchant));
    let live = StripeConfig {
        live: true,
        account: Some("acct_1".to_owned()),
        ..local().config.clone()
    };
    let live = Stripe::new(live).unwrap();
    assert!(live.notified(&told(&event).raw()).is_ok());
    event["account"] = "acct_1".into();
    assert!(live.notified(&told(&event).raw()).is_ok());
    event["account"] = "acct_2".into();
    assert_eq!(live.notified(&told(&event).raw()), Err(Rejected::Merchant));
}

#[test]
fn a_header_that_comes_twice_is_none() {
    let mut call = told(&event(
        "payment_intent.succeeded",
        &intent("r", "checkout", "succeeded"),
    ));
    call.headers.push(call.headers[0].clone());
    assert_eq!(local().notified(&call.raw()), Err(Rejected::Signature));
}
