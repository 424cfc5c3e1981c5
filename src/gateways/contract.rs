//! What every gateway has to do, tried on each against a vendor that is played: the same tests, whatever the wire.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::Language;
use reqwest::Url;
use uuid::Uuid;

use super::wire::PATIENCE;
use super::*;
use crate::domain::gateway::Capture;

/// What the played vendor does with a request.
#[derive(Clone, Debug)]
pub(super) enum Play {
    /// Answers a status and a body.
    Say(u16, String),
    /// Says nothing, ever.
    Silence,
}

impl Play {
    pub(super) fn ok(body: impl fmt::Display) -> Self {
        Self::Say(200, body.to_string())
    }
}

/// A request that the played vendor got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// A vendor that is played on this machine's own network.
#[derive(Clone)]
pub(super) struct Vendor {
    pub(super) api: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    plays: Arc<Mutex<VecDeque<Play>>>,
}

impl Vendor {
    /// A vendor that will do this, one after the other, and then answer 500.
    pub(super) async fn playing(plays: Vec<Play>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let vendor = Self {
            api,
            seen: Arc::default(),
            plays: Arc::new(Mutex::new(plays.into())),
        };
        let routes = Router::new().fallback(answer).with_state(vendor.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        vendor
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn plays(&self, plays: Vec<Play>) {
        self.plays.lock().unwrap().extend(plays);
    }
}

async fn answer(State(vendor): State<Vendor>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1_000_000).await.unwrap();
    let headers = parts.headers.iter();
    vendor.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let play = vendor.plays.lock().unwrap().pop_front();
    match play {
        Some(Play::Say(status, body)) => (StatusCode::from_u16(status).unwrap(), Body::from(body)).into_response(),
        Some(Play::Silence) => std::future::pending().await,
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Where a payment stands that is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stand {
    Pending,
    Paid,
    Failed,
    Unheard,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Back {
    Pending,
    Done,
    Failed,
}

/// How true a notification is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Truth {
    Honest,
    Tampered,
    WrongKey,
    OtherMerchant,
    Unsigned,
}

/// A notification that is sent to us.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn raw(&self) -> RawNotice<'_> {
        RawNotice {
            method: self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            received_at: created_at(),
        }
    }
}

/// How a vendor says what the contract is about.
pub(super) trait Dialect: Sync {
    fn gateway(&self, api: Url, patience: Duration) -> Box<dyn Gateway>;
    /// What may never be seen.
    fn secrets(&self) -> Vec<&'static str>;
    /// The answers to a checkout; none where it is begun without asking.
    fn begun(&self, attempt: &Attempt) -> Vec<Play>;
    /// The answers to a question about a payment; none where the vendor has no word for it.
    fn stands(&self, attempt: &Attempt, stand: Stand) -> Option<Vec<Play>>;
    /// The answers to a refund.
    fn refunds(&self, refund: &Refund, back: Back) -> Vec<Play>;
    /// The answers to a question about a refund.
    fn refunded(&self, refund: &Refund, back: Back) -> Vec<Play>;
    /// A notification that the payment is paid.
    fn tells_paid(&self, attempt: &Attempt, truth: Truth) -> Call;
}

pub(super) const TRANSACTION: &str = "240423000000123";

pub(super) fn created_at() -> DateTime<Utc> {
    "2026-11-23T01:40:00Z".parse().unwrap()
}

pub(super) fn attempt(gateway: &dyn Gateway) -> Attempt {
    let id = Uuid::from_u128(0x0193_5e0a_7c00_7000_8000_0000_0000_0042);
    Attempt {
        reference: gateway.reference(id, created_at()),
        amount: Money::of(181_000, Currency::Vnd),
        created_at: created_at(),
        expires_at: created_at() + TimeDelta::minutes(15),
        description: "Order 42".to_owned(),
        payer: "payer-7".to_owned(),
        payer_address: Some("203.0.113.9".to_owned()),
        language: Language::Vi,
        return_url: "https://pay.example.test/return?x=1".to_owned(),
        notify_url: "https://pay.example.test/webhooks/vendor".to_owned(),
        gateway_id: Some("pi_42".to_owned()),
        transaction: None,
    }
}

pub(super) fn refund(gateway: &dyn Gateway) -> Refund {
    let id = Uuid::from_u128(0x0193_5e0a_7c00_7000_8000_0000_0000_0043);
    Refund {
        reference: gateway.reference(id, created_at()),
        payment: Attempt {
            transaction: Some(TRANSACTION.to_owned()),
            ..attempt(gateway)
        },
        amount: Money::of(81_000, Currency::Vnd),
        reason: "Too much".to_owned(),
        by: "operator-1".to_owned(),
        created_at: created_at() + TimeDelta::minutes(30),
        gateway_id: None,
    }
}

pub(super) fn link(gateway: &dyn Gateway) -> Link {
    let attempt = attempt(gateway);
    Link {
        reference: attempt.reference,
        created_at: attempt.created_at,
        expires_at: attempt.expires_at,
        payer: attempt.payer,
        language: attempt.language,
        return_url: attempt.return_url,
        notify_url: attempt.notify_url,
        gateway_id: Some("seti_42".to_owned()),
    }
}

async fn playing(dialect: &dyn Dialect) -> (Vendor, Box<dyn Gateway>) {
    let vendor = Vendor::playing(Vec::new()).await;
    let gateway = dialect.gateway(vendor.api.clone(), PATIENCE);
    (vendor, gateway)
}

pub(super) async fn a_checkout_shows_where_to_pay(dialect: &dyn Dialect) {
    let (vendor, gateway) = playing(dialect).await;
    let attempt = attempt(&*gateway);
    vendor.plays(dialect.begun(&attempt));
    let shown = gateway.begin(&attempt).await.unwrap();
    assert!(
        [&shown.url, &shown.app_url, &shown.qr, &shown.client_secret]
            .iter()
            .any(|way| way.as_ref().is_some_and(|way| !way.is_empty())),
        "{shown:?}"
    );
}

pub(super) async fn what_is_asked_twice_is_asked_alike(dialect: &dyn Dialect) {
    let (vendor, gateway) = playing(dialect).await;
    let (attempt, refund) = (attempt(&*gateway), refund(&*gateway));
    for _ in 0..2 {
        vendor.plays(dialect.begun(&attempt));
        gateway.begin(&attempt).await.unwrap();
    }
    let seen = vendor.seen();
    let (first, second) = seen.split_at(seen.len() / 2);
    assert_eq!(first, second);

    for _ in 0..2 {
        vendor.plays(dialect.refunds(&refund, Back::Pending));
        gateway.refund(&refund).await.unwrap();
    }
    let seen = &vendor.seen()[seen.len()..];
    let (first, second) = seen.split_at(seen.len() / 2);
    assert!(!first.is_empty());
    assert_eq!(first, second);
}

pub(super) async fn a_payment_is_asked_about(dialect: &dyn Dialect) {
    for stand in [Stand::Pending, Stand::Paid, Stand::Failed, Stand::Unheard] {
        let (vendor, gateway) = playing(dialect).await;
        let attempt = attempt(&*gateway);
        let Some(plays) = dialect.stands(&attempt, stand) else {
            continue;
        };
        vendor.plays(plays);
        let outcome = gateway.query(&attempt).await.unwrap();
        match stand {
            Stand::Pending => assert_eq!(outcome, Outcome::Pending),
            Stand::Paid => assert!(
                matches!(&outcome, Outcome::Paid(Capture { transaction, amount })
                    if !transaction.is_empty() && *amount == attempt.amount),
                "{outcome:?}"
            ),
            Stand::Failed => assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}"),
            Stand::Unheard => assert_eq!(outcome, Outcome::Unknown),
        }
    }
}

pub(super) async fn a_refund_is_pending_done_or_failed(dialect: &dyn Dialect) {
    for back in [Back::Pending, Back::Done, Back::Failed] {
        let (vendor, gateway) = playing(dialect).await;
        let refund = refund(&*gateway);
        vendor.plays(dialect.refunds(&refund, back));
        vendor.plays(dialect.refunded(&refund, back));
        for outcome in [gateway.refund(&refund).await, gateway.query_refund(&refund).await] {
            let outcome = outcome.unwrap();
            match back {
                Back::Pending => assert_eq!(outcome, RefundOutcome::Pending),
                Back::Done => assert_eq!(outcome, RefundOutcome::Succeeded),
                Back::Failed => assert!(matches!(outcome, RefundOutcome::Failed { .. }), "{outcome:?}"),
            }
        }
    }
}

/// Every way to ask, each against a vendor that does one thing; what came of it, as an error.
async fn all_failures(dialect: &dyn Dialect, play: &Play, patience: Duration) -> Vec<Failure> {
    let mut failures = Vec::new();
    let vendor = Vendor::playing(vec![play.clone(); 12]).await;
    let gateway = dialect.gateway(vendor.api.clone(), patience);
    let (attempt, refund) = (attempt(&*gateway), refund(&*gateway));
    for way in 0..4 {
        let failure = match way {
            0 => gateway.query(&attempt).await.err(),
            1 => gateway.refund(&refund).await.err(),
            2 => gateway.query_refund(&refund).await.err(),
            _ if dialect.begun(&attempt).is_empty() => continue,
            _ => gateway.begin(&attempt).await.err(),
        };
        failures.push(failure.unwrap_or_else(|| panic!("way {way}, {play:?}: no failure")));
    }
    failures
}

pub(super) async fn no_answer_is_not_a_no(dialect: &dyn Dialect) {
    let silence = (Play::Silence, Duration::from_millis(50));
    let others = [
        Play::Say(500, "{}".to_owned()),
        Play::Say(502, "<html>Bad Gateway</html>".to_owned()),
        Play::Say(503, String::new()),
        Play::Say(302, String::new()),
        Play::ok(""),
        Play::ok("null"),
        Play::ok("[]"),
        Play::ok("{}"),
        Play::ok("<html>Welcome</html>"),
        Play::ok(r#"{"return_code":1.0,"resultCode":"0.0","status":[],"vnp_ResponseCode":0}"#),
        Play::ok(format!("{{\"long\":\"{}\"}}", "x".repeat(300_000))),
    ];
    let others = others.into_iter().map(|play| (play, PATIENCE));
    for (play, patience) in std::iter::once(silence).chain(others) {
        for failure in all_failures(dialect, &play, patience).await {
            assert!(matches!(failure, Failure::Unknown(_)), "{play:?}: {failure:?}");
        }
    }
}

pub(super) async fn no_secret_is_told(dialect: &dyn Dialect) {
    let (vendor, gateway) = playing(dialect).await;
    let mut said = vec![format!("{gateway:?}"), format!("{gateway:#?}")];
    for play in [
        Play::Silence,
        Play::Say(500, String::new()),
        Play::Say(401, dialect.secrets().join(" ")),
        Play::ok(format!("{{\"status\":\"{}\"", dialect.secrets().join(" "))),
    ] {
        let patience = Duration::from_millis(200);
        for failure in all_failures(dialect, &play, patience).await {
            said.push(format!("{failure} {failure:?}"));
        }
    }
    // Nobody listens there any more.
    let gateway = dialect.gateway("http://127.0.0.1:9/".parse().unwrap(), PATIENCE);
    let failure = gateway.query(&attempt(&*gateway)).await.unwrap_err();
    said.push(failure.to_string());
    for text in said {
        for secret in dialect.secrets() {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(vendor.seen().is_empty());
}

pub(super) async fn only_honest_notifications_are_believed(dialect: &dyn Dialect) {
    let (_, gateway) = playing(dialect).await;
    let attempt = attempt(&*gateway);
    let told = |truth| gateway.notified(&dialect.tells_paid(&attempt, truth).raw());
    let honest = told(Truth::Honest).unwrap();
    let About::Payment {
        reference,
        outcome: Outcome::Paid(capture),
    } = &honest.about
    else {
        panic!("{honest:?}");
    };
    assert_eq!((reference, capture.amount), (&attempt.reference, attempt.amount));
    assert!(!honest.event.is_empty() && !capture.transaction.is_empty());
    // Told again, it is the same event.
    assert_eq!(told(Truth::Honest).unwrap(), honest);
    for lie in [Truth::Tampered, Truth::WrongKey, Truth::Unsigned] {
        assert_eq!(told(lie).unwrap_err(), Rejected::Signature, "{lie:?}");
    }
    assert_eq!(told(Truth::OtherMerchant).unwrap_err(), Rejected::Merchant);

    // Whatever byte is another: it is not believed, or it says the same.
    let call = dialect.tells_paid(&attempt, Truth::Honest);
    for (at, _) in call.body.iter().enumerate() {
        let mut other = call.clone();
        other.body[at] ^= 1;
        assert!(
            gateway
                .notified(&other.raw())
                .is_ok_and(|notice| notice != honest)
                .eq(&false)
        );
    }
    for (at, _) in call.query.bytes().enumerate() {
        let mut bytes = call.query.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(query) = String::from_utf8(bytes) else { continue };
        let other = Call { query, ..call.clone() };
        assert!(
            gateway
                .notified(&other.raw())
                .is_ok_and(|notice| notice != honest)
                .eq(&false)
        );
    }
}

pub(super) async fn limits_and_references_are_as_promised(dialect: &dyn Dialect) {
    let (_, gateway) = playing(dialect).await;
    let limits = gateway.limits(Currency::Vnd).unwrap();
    assert!(limits.least.is_positive() && limits.least.minor() < limits.most.minor());
    let one = gateway.reference(Uuid::from_u128(1), created_at());
    assert_eq!(one, gateway.reference(Uuid::from_u128(1), created_at()));
    assert_ne!(one, gateway.reference(Uuid::from_u128(2), created_at()));
    let most = gateway.reference(Uuid::from_u128(u128::MAX), created_at());
    assert!(one.len() <= 40 && most.len() <= 40, "{one} {most}");
    assert_eq!(gateway.code(), gateway.code().to_uppercase());
}

pub(super) async fn each_verdict_has_an_answer(dialect: &dyn Dialect) {
    let (_, gateway) = playing(dialect).await;
    for verdict in [
        Verdict::Taken,
        Verdict::Repeated,
        Verdict::Rejected(Rejected::Signature),
        Verdict::Rejected(Rejected::Stale),
        Verdict::Rejected(Rejected::Malformed),
        Verdict::Rejected(Rejected::Merchant),
        Verdict::NoSuchReference,
        Verdict::WrongAmount,
        Verdict::Later,
    ] {
        let answer = gateway.answer(verdict);
        assert!((200..600).contains(&answer.status), "{answer:?}");
        if !answer.body.is_empty() {
            serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
        }
    }
    assert_ne!(gateway.answer(Verdict::Taken), gateway.answer(Verdict::Later));
}

/// The contract, for a vendor.
macro_rules! contract {
    ($dialect:expr; $($rule:ident)+) => {
        mod promises {
            use super::*;
            $(
                #[tokio::test]
                async fn $rule() {
                    $crate::gateways::contract::$rule(&$dialect).await;
                }
            )+
        }
    };
    ($dialect:expr) => {
        $crate::gateways::contract::contract!($dialect;
            a_checkout_shows_where_to_pay
            what_is_asked_twice_is_asked_alike
            a_payment_is_asked_about
            a_refund_is_pending_done_or_failed
            no_answer_is_not_a_no
            no_secret_is_told
            only_honest_notifications_are_believed
            limits_and_references_are_as_promised
            each_verdict_has_an_answer
        );
    };
}
pub(super) use contract;
