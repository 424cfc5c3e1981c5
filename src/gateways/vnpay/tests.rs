#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::gateways::contract::{self, Back, Call, Dialect, Play, Stand, TRANSACTION, Truth, Vendor};

/// Two programs of others and this key agree on the address below.
const SECRET: &str = "UNITTESTSECRETUNITTESTSECRET0001";

struct Spoken;

crate::gateways::contract::contract!(Spoken);

fn config(api: Url) -> VnpayConfig {
    VnpayConfig {
        page: SANDBOX_PAGE.parse().unwrap(),
        api,
        tmn_code: "TESTTMN1".to_owned(),
        hash_secret: SECRET.into(),
        server_address: "192.0.2.1".to_owned(),
    }
}

/// Built once: thousands of cases ask it, and each client reads the machine's certificates.
fn local() -> &'static Vnpay {
    static LOCAL: LazyLock<Vnpay> =
        LazyLock::new(|| Vnpay::new(config("http://127.0.0.1:9".parse().unwrap())).unwrap());
    &LOCAL
}

async fn playing(plays: Vec<Play>) -> (Vendor, Vnpay) {
    let vendor = Vendor::playing(plays).await;
    let gateway = Vnpay::new(config(vendor.api.clone())).unwrap();
    (vendor, gateway)
}

/// An answer, signed by the order of names.
fn said(command: &str, code: &str, kind: &str, status: &str, money: Money) -> Value {
    let reference = contract::attempt(local()).reference;
    let mut said = json!({
        "vnp_ResponseId": "r1", "vnp_Command": command, "vnp_ResponseCode": code, "vnp_Message": "x",
        "vnp_TmnCode": "TESTTMN1", "vnp_TxnRef": reference, "vnp_Amount": hundredths(money).unwrap(),
        "vnp_BankCode": "NCB", "vnp_PayDate": "20261123084500", "vnp_TransactionNo": TRANSACTION,
        "vnp_TransactionType": kind, "vnp_TransactionStatus": status, "vnp_OrderInfo": "Order 42",
    });
    sign(&mut said);
    said
}

fn sign(said: &mut Value) {
    let names = if said["vnp_Command"] == "refund" {
        &SIGNED_OF_QUERY[..13]
    } else {
        SIGNED_OF_QUERY
    };
    let parts: Vec<String> = names.iter().map(|name| wire::text(said.get(*name)).unwrap()).collect();
    said["vnp_SecureHash"] = local().key.hex(parts.join("|")).into();
}

fn whole() -> Money {
    Money::of(181_000, Currency::Vnd)
}

fn told(fields: &[(&str, &str)]) -> Call {
    Call {
        method: "GET",
        query: local().signed_query(fields),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

fn notification<'a>(reference: &'a str, code: &'a str, status: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("vnp_Amount", "18100000"),
        ("vnp_BankCode", "NCB"),
        ("vnp_BankTranNo", ""),
        ("vnp_CardType", "ATM"),
        ("vnp_OrderInfo", "Order 42"),
        ("vnp_PayDate", "20261123084500"),
        ("vnp_ResponseCode", code),
        ("vnp_TmnCode", "TESTTMN1"),
        ("vnp_TransactionNo", TRANSACTION),
        ("vnp_TransactionStatus", status),
        ("vnp_TxnRef", reference),
    ]
}

const fn status(back: Back) -> &'static str {
    match back {
        Back::Pending => "05",
        Back::Done => "06",
        Back::Failed => "09",
    }
}

impl Dialect for Spoken {
    fn gateway(&self, api: Url, patience: Duration) -> Box<dyn Gateway> {
        Box::new(Vnpay::with_patience(config(api), patience).unwrap())
    }

    fn secrets(&self) -> Vec<&'static str> {
        vec![SECRET]
    }

    fn begun(&self, _: &Attempt) -> Vec<Play> {
        Vec::new()
    }

    fn stands(&self, attempt: &Attempt, stand: Stand) -> Option<Vec<Play>> {
        let (code, status) = match stand {
            Stand::Pending => ("00", "01"),
            Stand::Paid => ("00", "00"),
            Stand::Failed => ("00", "02"),
            Stand::Unheard => ("91", ""),
        };
        Some(vec![Play::ok(said("querydr", code, "01", status, attempt.amount))])
    }

    fn refunds(&self, refund: &Refund, back: Back) -> Vec<Play> {
        vec![Play::ok(said("refund", "00", "03", status(back), refund.amount))]
    }

    fn refunded(&self, refund: &Refund, back: Back) -> Vec<Play> {
        vec![Play::ok(said("querydr", "00", "03", status(back), refund.amount))]
    }

    fn tells_paid(&self, attempt: &Attempt, truth: Truth) -> Call {
        let mut fields = notification(&attempt.reference, "00", "00");
        if matches!(truth, Truth::OtherMerchant) {
            fields[7].1 = "OTHERTMN";
        }
        let mut call = told(&fields);
        match truth {
            Truth::Tampered => call.query = call.query.replace("18100000", "98100000"),
            Truth::Unsigned => call.query.truncate(call.query.find("&vnp_SecureHash").unwrap()),
            Truth::WrongKey => {
                let hash_secret = "another".into();
                let other = VnpayConfig {
                    hash_secret,
                    ..config(SANDBOX_API.parse().unwrap())
                };
                call.query = Vnpay::new(other).unwrap().signed_query(&fields);
            }
            Truth::Honest | Truth::OtherMerchant => {}
        }
        call
    }
}

/// The address as two programs of others sign it.
#[test]
fn an_address_is_signed_as_others_sign_it() {
    let query = local().signed_query(&[
        ("vnp_Version", VERSION),
        ("vnp_TxnRef", "ord42"),
        ("vnp_TmnCode", "TESTTMN1"),
        ("vnp_ReturnUrl", "https://pay.example.test/return?x=1"),
        ("vnp_OrderType", "other"),
        ("vnp_OrderInfo", "Nap vi 42"),
        ("vnp_Locale", "vn"),
        ("vnp_BankCode", ""),
        ("vnp_IpAddr", "127.0.0.1"),
        ("vnp_ExpireDate", "20261123085500"),
        ("vnp_CurrCode", "VND"),
        ("vnp_CreateDate", "20261123084000"),
        ("vnp_Command", "pay"),
        ("vnp_Amount", "25000000"),
    ]);
    assert_eq!(
        query,
        "vnp_Amount=25000000&vnp_Command=pay&vnp_CreateDate=20261123084000&vnp_CurrCode=VND\
         &vnp_ExpireDate=20261123085500&vnp_IpAddr=127.0.0.1&vnp_Locale=vn&vnp_OrderInfo=Nap+vi+42&vnp_OrderType=other\
         &vnp_ReturnUrl=https%3A%2F%2Fpay.example.test%2Freturn%3Fx%3D1&vnp_TmnCode=TESTTMN1&vnp_TxnRef=ord42\
         &vnp_Version=2.1.0&vnp_SecureHash=\
         987c8bc1295ed95ddcf308c41fb3888afaa90db2207d46e870ef9dbf9b842cb1\
         7d6123175bebecc59267554882c2868ac38a16fa7c55d3bcd8038f8a03d43e0f"
    );
}

#[tokio::test]
async fn the_page_s_address_is_made_here_and_alike_each_time() {
    let gateway = local();
    let attempt = contract::attempt(gateway);
    let url = gateway.begin(&attempt).await.unwrap().url.unwrap();
    assert_eq!(gateway.begin(&attempt).await.unwrap().url.unwrap(), url);
    let url: Url = url.parse().unwrap();
    assert!(url.as_str().starts_with(SANDBOX_PAGE));
    let fields: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(fields["vnp_Amount"], "18100000");
    assert_eq!(fields["vnp_CreateDate"], "20261123084000");
    assert_eq!(fields["vnp_ExpireDate"], "20261123085500");
    assert_eq!(fields["vnp_IpAddr"], "203.0.113.9");
    assert_eq!(fields["vnp_ReturnUrl"], attempt.return_url);
    assert!(!fields.contains_key("vnp_SecureHashType"));
    // What is in the address is what was signed, whatever its parser makes of it.
    assert!(gateway.told(url.query().unwrap()).is_ok());

    let nowhere = Attempt {
        payer_address: None,
        ..attempt.clone()
    };
    assert!(
        gateway
            .begin(&nowhere)
            .await
            .unwrap()
            .url
            .unwrap()
            .contains("vnp_IpAddr=192.0.2.1&")
    );
    let dollars = Attempt {
        amount: Money::of(100, Currency::Usd),
        ..attempt
    };
    assert_eq!(gateway.begin(&dollars).await, Err(Failure::Unsupported));
}

#[test]
fn a_signature_is_of_the_text_as_it_came() {
    let call = told(&notification("ord42", "00", "00"));
    let believed = |query: &str| local().told(query).is_ok();
    assert!(believed(&call.query));
    // In any order, with what is not VNPAY's, and with what is empty.
    let mut parts: Vec<&str> = call.query.split('&').collect();
    parts.reverse();
    parts.extend(["utm=1", "vnp_BankTranNo=", "vnp_SecureHashType=HmacSHA512", ""]);
    assert!(believed(&parts.join("&")));
    // Spelled otherwise, the same values are not what was signed.
    assert!(call.query.contains("Order+42"));
    assert!(!believed(&call.query.replace("Order+42", "Order%2042")));
    // Signed in that spelling, they are.
    let spelled = "vnp_OrderInfo=Order%2042&vnp_TmnCode=TESTTMN1";
    let hash = local().key.hex(spelled);
    let fields = local().told(&format!("{spelled}&vnp_SecureHash={hash}")).unwrap();
    assert_eq!(fields["vnp_OrderInfo"], "Order 42");
    for wrong in [
        format!("{}&vnp_Amount=1", call.query),
        format!("{}&vnp_New=1", call.query),
        format!("{}&vnp_SecureHash={}", call.query, "0".repeat(128)),
        call.query.replace("vnp_TxnRef=ord42", "vnp_TxnRef=ord43"),
        format!("{spelled}&vnp_SecureHash={}", hash.to_uppercase()),
        spelled.to_owned(),
        String::new(),
    ] {
        assert!(!believed(&wrong), "{wrong}");
    }
    // A name in another spelling is not read at all.
    let fields = local()
        .told(&format!("{spelled}&vnp%5FAmount=1&vnp_SecureHash={hash}"))
        .unwrap();
    assert!(!fields.contains_key("vnp_Amount"));
}

proptest! {
    #[test]
    fn whatever_is_signed_is_read_back(value in "[ -~]{1,40}", other in "[ -~]{1,40}") {
        let query = local().signed_query(&[("vnp_OrderInfo", &value), ("vnp_BankCode", &other)]);
        let fields = local().told(&query).unwrap();
        prop_assert_eq!(&fields["vnp_OrderInfo"], &value);
        prop_assert_eq!(&fields["vnp_BankCode"], &other);
    }

    #[test]
    fn any_text_is_answered(query in ".{0,200}") {
        prop_assert_eq!(local().told(&query), Err(Rejected::Signature));
    }
}

#[rstest]
#[case("00", "00", Outcome::Paid(Capture { transaction: TRANSACTION.to_owned(), amount: whole() }))]
#[case("00", "01", Outcome::Pending)]
#[case("07", "00", Outcome::Review)]
#[case("07", "07", Outcome::Review)]
#[case("00", "07", Outcome::Review)]
#[case("00", "04", Outcome::Review)]
#[case("24", "00", Outcome::Review)]
#[case("24", "02", failed(Decline::Cancelled, "24"))]
#[case("11", "02", failed(Decline::Expired, "11"))]
#[case("51", "02", failed(Decline::InsufficientFunds, "51"))]
#[case("65", "02", failed(Decline::LimitReached, "65"))]
#[case("75", "02", failed(Decline::IssuerUnavailable, "75"))]
#[case("09", "02", failed(Decline::Declined, "09"))]
#[case("00", "02", failed(Decline::Declined, "00"))]
fn a_notification_is_of_two_codes(#[case] code: &str, #[case] status: &str, #[case] expected: Outcome) {
    let notice = local()
        .notified(&told(&notification("ord42", code, status)).raw())
        .unwrap();
    assert_eq!(notice.event, format!("ord42:{TRANSACTION}:{code}:{status}"));
    let reference = "ord42".to_owned();
    assert_eq!(
        notice.about,
        About::Payment {
            reference,
            outcome: expected
        }
    );
}

fn failed(decline: Decline, code: &str) -> Outcome {
    Outcome::Failed {
        decline,
        detail: format!("response {code}, status 02"),
    }
}

#[rstest]
#[case("18100001")]
#[case("181000.00")]
#[case("-18100000")]
#[case("0")]
#[case("99999999999999999999")]
#[case("")]
fn what_is_no_amount_is_not_paid(#[case] told_amount: &str) {
    let mut fields = notification("ord42", "00", "00");
    fields[0].1 = told_amount;
    assert_eq!(local().notified(&told(&fields).raw()), Err(Rejected::Malformed));
    assert_eq!(amount(told_amount), None);
}

#[tokio::test]
async fn an_answer_that_is_not_signed_is_none() {
    let attempt = contract::attempt(local());
    let honest = said("querydr", "00", "01", "00", whole());
    let with = |name: &str, value: Value| {
        let mut said = honest.clone();
        said[name] = value;
        said
    };
    let mut other = with("vnp_TxnRef", "another".into());
    sign(&mut other);
    let mut terminal = with("vnp_TmnCode", "OTHERTMN".into());
    sign(&mut terminal);
    let upper = honest["vnp_SecureHash"].as_str().unwrap().to_uppercase();
    for said in [
        with("vnp_Amount", "100".into()),
        with("vnp_ResponseCode", "91".into()),
        with("vnp_SecureHash", Value::Null),
        with("vnp_SecureHash", upper.into()),
        with("vnp_Amount", json!(18_100_000.0)),
        other,
        terminal,
        json!({ "vnp_ResponseCode": "97", "vnp_Message": "Invalid signature" }),
        json!({ "vnp_ResponseCode": "91" }),
    ] {
        let (_, gateway) = playing(vec![Play::ok(&said)]).await;
        assert!(
            matches!(gateway.query(&attempt).await, Err(Failure::Unknown(_))),
            "{said}"
        );
    }
    // A number is signed as its digits.
    let mut number = with("vnp_Amount", 18_100_000.into());
    sign(&mut number);
    let (_, gateway) = playing(vec![Play::ok(number)]).await;
    assert!(matches!(gateway.query(&attempt).await, Ok(Outcome::Paid(_))));
}

#[rstest]
#[case("00", "07", "01")]
#[case("00", "04", "01")]
#[case("00", "05", "02")]
#[case("00", "00", "02")]
#[tokio::test]
async fn what_is_looked_into_is_neither_paid_nor_failed(#[case] code: &str, #[case] status: &str, #[case] kind: &str) {
    let (_, gateway) = playing(vec![Play::ok(said("querydr", code, kind, status, whole()))]).await;
    assert_eq!(gateway.query(&contract::attempt(&gateway)).await, Ok(Outcome::Review));
}

#[rstest]
#[case("02")]
#[case("94")]
#[case("97")]
#[case("99")]
#[tokio::test]
async fn a_question_that_is_not_taken_is_not_answered(#[case] code: &str) {
    let (_, gateway) = playing(vec![Play::ok(said("querydr", code, "", "", whole()))]).await;
    let failure = gateway.query(&contract::attempt(&gateway)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unknown(_)));
}

#[tokio::test]
async fn a_question_tells_when_the_payment_was_begun() {
    let (vendor, gateway) = playing(vec![Play::ok(said("querydr", "00", "01", "01", whole()))]).await;
    let attempt = contract::attempt(&gateway);
    gateway.query(&attempt).await.unwrap();
    let sent = vendor.seen()[0].json();
    let part = |name: &str| sent[name].as_str().unwrap();
    assert_eq!(part("vnp_TransactionDate"), "20261123084000");
    let signed = format!(
        "{}|2.1.0|querydr|TESTTMN1|{}|20261123084000|{}|192.0.2.1|Order 42",
        part("vnp_RequestId"),
        attempt.reference,
        part("vnp_CreateDate")
    );
    assert_eq!(part("vnp_SecureHash"), gateway.key.hex(signed));
}

#[rstest]
#[case(81_000, "03")]
#[case(181_000, "02")]
#[tokio::test]
async fn a_refund_is_whole_or_partial(#[case] minor: i64, #[case] kind: &str) {
    let money = Money::of(minor, Currency::Vnd);
    let (vendor, gateway) = playing(vec![Play::ok(said("refund", "00", kind, "05", money))]).await;
    let refund = Refund {
        amount: money,
        ..contract::refund(&gateway)
    };
    assert_eq!(gateway.refund(&refund).await, Ok(RefundOutcome::Pending));
    let sent = vendor.seen()[0].json();
    let signed = format!(
        "{}|2.1.0|refund|TESTTMN1|{kind}|{}|{minor}00|{TRANSACTION}|20261123084000|operator-1|20261123091000|192.0.2.1|Too much",
        refund.reference, refund.payment.reference
    );
    assert_eq!(sent["vnp_SecureHash"], gateway.key.hex(signed));
}

#[rstest]
#[case("95", true)]
#[case("91", true)]
#[case("94", false)]
#[case("99", false)]
#[tokio::test]
async fn a_refund_that_is_not_taken(#[case] code: &str, #[case] refused: bool) {
    let (_, gateway) = playing(vec![Play::ok(said("refund", code, "", "", whole()))]).await;
    let failure = gateway.refund(&contract::refund(&gateway)).await.unwrap_err();
    assert_eq!(matches!(failure, Failure::Refused { .. }), refused, "{failure:?}");
}

#[tokio::test]
async fn another_refund_s_answer_is_not_this_one_s() {
    let (vendor, gateway) = playing(Vec::new()).await;
    vendor.plays(vec![
        Play::ok(said("querydr", "00", "03", "06", whole())),
        Play::ok(said("querydr", "00", "01", "00", Money::of(81_000, Currency::Vnd))),
    ]);
    for _ in 0..2 {
        let asked = gateway.query_refund(&contract::refund(&gateway)).await;
        assert!(matches!(asked, Err(Failure::Unknown(_))));
    }
}

#[tokio::test]
async fn nothing_is_charged_without_the_payer() {
    let gateway = local();
    let method = SavedMethod {
        payer: "payer-7".to_owned(),
        token: "t".into(),
        reference: "r".to_owned(),
    };
    let link = contract::link(gateway);
    assert!(!gateway.capabilities().saved_methods);
    assert_eq!(
        gateway.charge(&contract::attempt(gateway), &method).await,
        Err(Failure::Unsupported)
    );
    assert_eq!(gateway.begin_link(&link).await, Err(Failure::Unsupported));
    assert_eq!(gateway.query_link(&link).await, Err(Failure::Unsupported));
    assert_eq!(gateway.finish_link(&link, &"p".into()).await, Err(Failure::Unsupported));
    assert_eq!(gateway.unlink(&method).await, Err(Failure::Unsupported));
}

#[test]
fn the_vendor_hears_codes() {
    for (verdict, code) in [
        (Verdict::Taken, "00"),
        (Verdict::Repeated, "02"),
        (Verdict::NoSuchReference, "01"),
        (Verdict::WrongAmount, "04"),
        (Verdict::Rejected(Rejected::Signature), "97"),
        (Verdict::Rejected(Rejected::Merchant), "99"),
        (Verdict::Later, "99"),
    ] {
        let answer = local().answer(verdict);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &body["RspCode"]), (200, &json!(code)));
    }
}
