//! Stripe against its own library, which signs and asks, and against a Stripe of somebody else's making, where money moves.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use billing_gateway::clock::machine_now;
use billing_gateway::domain::gateway::{Decline, LinkOutcome, Outcome, RefundOutcome};
use billing_gateway::gateways::stripe::{Stripe, StripeConfig};
use billing_gateway::gateways::{About, Attempt, Failure, Gateway as _, Link, RawNotice, Rejected, SavedMethod};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use serde_json::{Value, json};

use super::{attempt, beginning, comes_back, ordered, refund_of, sent_back, status, topped_up};
use crate::clients::program;
use crate::support::peer::{Peer, answer, until};
use crate::support::{Store, World, run, text};

const KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
const SIGNING: &str = "whsec_test_secret";

fn stripe(api: Url) -> Stripe {
    Stripe::new(StripeConfig {
        api,
        secret_key: KEY.into(),
        webhook_secret: SIGNING.into(),
        live: false,
        account: None,
    })
    .unwrap()
}

/// What Stripe's own library answers; nothing when it is not installed.
fn library(question: &Value) -> Option<Value> {
    let program = program("node", "stripe.mjs", "node_modules/stripe")?;
    Some(answer(program, question))
}

fn notified(gateway: &Stripe, body: &str, header: &str, received_at: DateTime<Utc>) -> Result<About, Rejected> {
    let headers = [("stripe-signature".to_owned(), header.to_owned())];
    let raw = RawNotice {
        method: "POST",
        query: "",
        headers: &headers,
        body: body.as_bytes(),
        received_at,
    };
    gateway.notified(&raw).map(|notice| notice.about)
}

#[test]
fn a_webhook_is_believed_when_the_library_signed_it_and_not_otherwise() {
    let gateway = stripe("http://127.0.0.1:9".parse().unwrap());
    let signed_at = beginning();
    let event = json!({ "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "livemode": false,
        "data": { "object": { "id": "pi_1", "status": "succeeded", "amount_received": 181_000, "currency": "vnd",
            "metadata": { "reference": "Gọi món" } } } });
    let body = event.to_string();
    let sign = |secret: &str| {
        let question = json!({ "payload": body, "secret": secret, "timestamp": signed_at.timestamp() });
        library(&json!({ "sign": question })).map(|header| text(&header))
    };
    let (Some(header), Some(strange)) = (sign(SIGNING), sign("whsec_another")) else {
        return;
    };
    let (time, digest) = header.split_once(',').unwrap();
    let (_, strange_digest) = strange.split_once(',').unwrap();
    let late = signed_at + TimeDelta::seconds(301);
    for (body, header, received_at, expected) in [
        (&body, header.clone(), signed_at, Ok(())),
        (&body, header.clone(), signed_at + TimeDelta::seconds(300), Ok(())),
        // While a secret is changed, two sign.
        (
            &body,
            format!("{time},{strange_digest},{digest},v0=00"),
            signed_at,
            Ok(()),
        ),
        (&body, strange.clone(), signed_at, Err(Rejected::Signature)),
        (&body, time.to_owned(), signed_at, Err(Rejected::Signature)),
        (&body, digest.to_owned(), signed_at, Err(Rejected::Signature)),
        (&body, header.replace("v1=", "v0="), signed_at, Err(Rejected::Signature)),
        (
            &body,
            header.to_uppercase().replace("V1", "v1").replace('T', "t"),
            signed_at,
            Err(Rejected::Signature),
        ),
        (&body, header.replace("t=1", "t=2"), signed_at, Err(Rejected::Signature)),
        (
            &body.replace("181000", "181001"),
            header.clone(),
            signed_at,
            Err(Rejected::Signature),
        ),
        (&body, header.clone(), late, Err(Rejected::Stale)),
    ] {
        let judged = json!({ "payload": body, "header": header, "secret": SIGNING, "receivedAt": received_at.timestamp_millis() });
        let theirs = library(&json!({ "verify": judged })).unwrap();
        let ours = notified(&gateway, body, &header, received_at);
        assert_eq!(theirs, ours.is_ok(), "{header}");
        assert_eq!(
            ours.map(|about| assert!(matches!(about, About::Payment { .. }))),
            expected,
            "{header}"
        );
    }
}

/// A request as it was sent; lists are written `name[]`, whatever was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    line: String,
    fields: Vec<(String, String)>,
    authorization: String,
    key: String,
}

async fn record(State(sent): State<Arc<Mutex<Vec<Sent>>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let header = |name: &str| {
        let value = parts.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let mut fields: Vec<(String, String)> = url::form_urlencoded::parse(&[query.as_bytes(), b"&", &body].concat())
        .map(|(name, value)| (name.replace("[0]", "[]"), value.into_owned()))
        .collect();
    fields.sort();
    sent.lock().unwrap().push(Sent {
        line: format!("{} {}", parts.method, parts.uri.path()),
        fields,
        authorization: header("authorization"),
        key: header("idempotency-key"),
    });
    axum::Json(json!({ "id": "thing_1", "client_secret": "secret", "status": "succeeded", "amount": 181_000, "currency": "vnd",
        "metadata": { "reference": "ref-1" }, "data": [], "has_more": false, "customer": "cus_1", "payment_method": "pm_1" }))
    .into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_asked_as_the_library_asks_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
    let routes = Router::new().fallback(record).with_state(Arc::clone(&sent));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let take = || std::mem::take(&mut *sent.lock().unwrap());

    let gateway = stripe(format!("http://127.0.0.1:{port}").parse().unwrap());
    let payment = Attempt {
        reference: "ref-1".to_owned(),
        gateway_id: Some("pi_1".to_owned()),
        transaction: Some("pi_1".to_owned()),
        ..attempt(&gateway, beginning())
    };
    let refund = refund_of(&gateway, payment.clone(), 81_000);
    let link = link(&payment);
    let method = method("cus_1:pm_1");
    gateway.begin(&payment).await.unwrap();
    gateway.charge(&payment, &method).await.unwrap();
    gateway.query(&payment).await.unwrap();
    let nameless = Attempt {
        gateway_id: None,
        ..payment.clone()
    };
    assert_eq!(gateway.query(&nameless).await, Ok(Outcome::Unknown));
    gateway.refund(&refund).await.unwrap();
    assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Unknown));
    gateway.begin_link(&link).await.unwrap();
    gateway.query_link(&link).await.unwrap();
    gateway.unlink(&method).await.unwrap();
    let ours = take();

    let kept = |kind: &str| json!({ "reference": "ref-1", "kind": kind, "description": payment.description });
    let key = |name: &str| json!({ "idempotencyKey": name });
    let calls = json!([
        ["paymentIntents", "create", { "amount": 181_000, "currency": "vnd", "payment_method_types": ["card"], "metadata": kept("checkout") },
            key("ref-1-pay")],
        ["paymentIntents", "create", { "amount": 181_000, "currency": "vnd", "payment_method_types": ["card"], "customer": "cus_1",
            "payment_method": "pm_1", "off_session": true, "confirm": true, "metadata": kept("charge") }, key("ref-1-charge")],
        ["paymentIntents", "retrieve", "pi_1"],
        ["paymentIntents", "search", { "query": "metadata['reference']:'ref-1'", "limit": 1 }],
        ["refunds", "create", { "payment_intent": "pi_1", "amount": 81_000,
            "metadata": { "reference": refund.reference, "reason": refund.reason } }, key(&format!("{}-refund", refund.reference))],
        ["refunds", "list", { "payment_intent": "pi_1", "limit": 100 }],
        ["customers", "create", { "metadata": { "payer": "payer-7" } }, key("customer-payer-7")],
        ["setupIntents", "create", { "customer": "thing_1", "usage": "off_session", "payment_method_types": ["card"],
            "metadata": { "reference": "ref-1" } }, key("ref-1-link")],
        ["setupIntents", "retrieve", "seti_1"],
        ["paymentMethods", "retrieve", "pm_1"],
        ["paymentMethods", "detach", "pm_1", {}, key("detach-pm_1")],
    ]);
    if library(&json!({ "send": { "port": port, "key": KEY, "calls": calls } })).is_none() {
        return;
    }
    let theirs = take();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

fn link(payment: &Attempt) -> Link {
    Link {
        reference: payment.reference.clone(),
        created_at: payment.created_at,
        expires_at: payment.expires_at,
        payer: payment.payer.clone(),
        language: payment.language,
        return_url: payment.return_url.clone(),
        notify_url: payment.notify_url.clone(),
        gateway_id: Some("seti_1".to_owned()),
    }
}

fn method(token: &str) -> SavedMethod {
    SavedMethod {
        payer: "payer-7".to_owned(),
        token: token.into(),
        reference: "ref-1".to_owned(),
    }
}

/// A Stripe of somebody else's making, and what the payer's browser does there.
struct Server(Peer);

/// Always good; declined when it is charged; declined when it is kept; asks for the payer.
const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const NOT_KEPT: &str = "4000000000000002";
const ASKS: &str = "4000002500003155";

impl Server {
    fn start() -> Option<Self> {
        program(".venv/bin/python", "stripe-server.py", ".venv/bin/localstripe")
            .map(|program| Self(Peer::start(program)))
    }

    fn gateway(&self) -> Stripe {
        stripe(self.0.url(""))
    }

    async fn get(&self, path: &str) -> Value {
        let get = reqwest::Client::new().get(self.0.url(path)).bearer_auth(KEY);
        get.send().await.unwrap().json().await.unwrap()
    }

    /// Posts a form, and answers the status and what was said.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let post = reqwest::Client::new().post(self.0.url(path)).bearer_auth(KEY);
        let post = post
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = post.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default(),
        )
    }

    /// A card, as the script in the payer's browser tells of it.
    async fn card(&self, number: &str) -> String {
        let fields = [
            ("type", "card"),
            ("card[number]", number),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2035"),
            ("card[cvc]", "123"),
        ];
        let (status, card) = self.post("/v1/payment_methods", &fields).await;
        assert_eq!(status, 200, "{card}");
        text(&card["id"])
    }

    /// The payer pays with a card; answers the status.
    async fn pay(&self, client_secret: &str, number: &str) -> u16 {
        let (id, _) = client_secret.split_once("_secret_").unwrap();
        let intent = format!("/v1/payment_intents/{id}");
        let card = self.card(number).await;
        let (status, said) = self.post(&intent, &[("payment_method", &card)]).await;
        assert_eq!(status, 200, "{said}");
        self.post(&format!("{intent}/confirm"), &[]).await.0
    }

    /// The payer lets a card be kept; answers the status.
    async fn keep(&self, client_secret: &str, number: &str) -> u16 {
        let (id, _) = client_secret.split_once("_secret_").unwrap();
        let card = self.card(number).await;
        let fields = [("client_secret", client_secret), ("payment_method", &card)];
        self.post(&format!("/v1/setup_intents/{id}/confirm"), &fields).await.0
    }

    /// Has it tell a world of its events.
    async fn tells(&self, world: &World) {
        let url = format!("http://{}/webhooks/stripe", world.address());
        let (status, _) = self
            .post("/_config/webhooks/ours", &[("url", &url), ("secret", SIGNING)])
            .await;
        assert_eq!(status, 200);
    }
}

async fn verdicts(world: &World) -> Vec<String> {
    use sea_orm::{EntityTrait as _, QueryOrder as _};
    let rows = entity::gateway_notice::Entity::find()
        .order_by_asc(entity::gateway_notice::Column::Id)
        .all(world.app.db.read())
        .await
        .unwrap();
    rows.into_iter().map(|row| row.verdict.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_at_another_s_stripe() {
    let Some(server) = Server::start() else { return };
    run(Store::Sqlite, async |mut world| {
        world.take_payments_through(Arc::new(server.gateway())).await;
        // It dates its events by the machine's clock.
        world.app.set_clock(machine_now()).await.unwrap();
        server.tells(&world).await;
        let secret = |begun: &Value| text(&begun["nextAction"]["clientSecret"]);

        // Told by webhook: a declined card leaves the payer another try, and the order waits.
        let begun = ordered(&world, "STRIPE").await;
        assert_eq!(server.pay(&secret(&begun), DECLINED).await, 402);
        until("the decline is heard", async || verdicts(&world).await == ["TAKEN"]).await;
        assert_eq!(status(&world, &begun["payment"]).await, "PENDING");
        assert_eq!(status(&world, &begun["order"]).await, "AWAITING_PAYMENT");
        let pay =
            json!({ "orderId": begun["order"]["id"], "payment": { "gateway": "STRIPE" }, "idempotencyKey": "again" });
        let again = world
            .done(&world.token(entity::enums::Role::Owner), "payOrder", pay)
            .await;
        assert_eq!(server.pay(&secret(&again), GOOD).await, 200);
        until("the payment is heard", async || {
            status(&world, &again["payment"]).await == "SUCCEEDED"
        })
        .await;
        assert_eq!(status(&world, &begun["order"]).await, "IN_PROGRESS");

        // The payer is back before the webhook: Stripe is asked. Then it tells the same, and nothing happens twice.
        let topped = topped_up(&world, "STRIPE", "100000").await;
        assert_eq!(server.pay(&secret(&topped), GOOD).await, 200);
        let id = uuid_of(&world, &topped).await;
        comes_back(&world, &format!("/payments/return/{id}")).await;
        assert_eq!(status(&world, &topped["payment"]).await, "SUCCEEDED");
        until("the second payment is heard", async || {
            verdicts(&world).await.len() == 3
        })
        .await;
        let wallet = "{ wallet { cash { amount } } }";
        let data = world
            .data(&world.token(entity::enums::Role::Owner), wallet, json!({}))
            .await;
        assert_eq!(data["wallet"]["cash"]["amount"], "100000");

        for part in ["30000", "70000"] {
            assert_eq!(sent_back(&world, &topped["payment"], part).await, "SUCCEEDED");
        }
        let (intent, _) = secret(&topped)
            .split_once("_secret_")
            .map(|(id, rest)| (id.to_owned(), rest.to_owned()))
            .unwrap();
        let sent = server.get(&format!("/v1/refunds?payment_intent={intent}")).await;
        let mut amounts: Vec<i64> = sent["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|refund| refund["amount"].as_i64().unwrap())
            .collect();
        amounts.sort_unstable();
        assert_eq!(amounts, [30_000, 70_000]);
        world
    })
    .await;
}

/// The key of a payment's row.
async fn uuid_of(world: &World, begun: &Value) -> uuid::Uuid {
    use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
    let found =
        entity::payment::Entity::find().filter(entity::payment::Column::Code.eq(text(&begun["payment"]["code"])));
    found.one(world.app.db.read()).await.unwrap().unwrap().id
}

#[tokio::test]
async fn an_intent_is_paid_refunded_or_closed() {
    let Some(server) = Server::start() else { return };
    let gateway = server.gateway();
    let begin = async || {
        let payment = attempt(&gateway, machine_now());
        let shown = gateway.begin(&payment).await.unwrap();
        let payment = Attempt {
            gateway_id: shown.gateway_id,
            ..payment
        };
        (payment, shown.client_secret.unwrap())
    };
    let (payment, secret) = begin().await;
    assert_eq!(gateway.query(&payment).await, Ok(Outcome::Pending));
    assert_eq!(server.pay(&secret, GOOD).await, 200);
    let Ok(Outcome::Paid(capture)) = gateway.query(&payment).await else {
        panic!("not paid");
    };
    assert_eq!(
        (Some(&capture.transaction), capture.amount),
        (payment.gateway_id.as_ref(), payment.amount)
    );
    let paid = Attempt {
        transaction: Some(capture.transaction),
        ..payment
    };
    for minor in [81_000, 100_000] {
        let refund = refund_of(&gateway, paid.clone(), minor);
        assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Unknown));
        assert_eq!(gateway.refund(&refund).await, Ok(RefundOutcome::Succeeded));
        assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Succeeded));
    }

    // Nobody can pay any more for what has been closed.
    let (payment, secret) = begin().await;
    let late = Attempt {
        expires_at: machine_now() - TimeDelta::hours(1),
        ..payment
    };
    let closed = gateway.query(&late).await.unwrap();
    assert!(
        matches!(
            closed,
            Outcome::Failed {
                decline: Decline::Expired,
                ..
            }
        ),
        "{closed:?}"
    );
    assert_eq!(server.pay(&secret, GOOD).await, 400);
    let stands = gateway.query(&late).await.unwrap();
    assert!(
        matches!(
            stands,
            Outcome::Failed {
                decline: Decline::Cancelled,
                ..
            }
        ),
        "{stands:?}"
    );
}

#[tokio::test]
async fn a_card_is_kept_charged_and_parted_with() {
    let Some(server) = Server::start() else { return };
    let gateway = server.gateway();
    let begin = async || {
        let link = link(&attempt(&gateway, machine_now()));
        let shown = gateway.begin_link(&link).await.unwrap();
        let link = Link {
            gateway_id: shown.gateway_id,
            ..link
        };
        (link, shown.client_secret.unwrap())
    };
    let kept = async |number: &str, last: &str| {
        let (link, secret) = begin().await;
        assert_eq!(gateway.query_link(&link).await, Ok(LinkOutcome::Pending));
        assert_eq!(server.keep(&secret, number).await, 200);
        let Ok(LinkOutcome::Linked { token, label }) = gateway.query_link(&link).await else {
            panic!("{number} is not kept");
        };
        assert_eq!(label, format!("Visa •••• {last}"));
        method(&token)
    };
    let good = kept(GOOD, "4242").await;
    let payment = attempt(&gateway, machine_now());
    let charged = gateway.charge(&payment, &good).await.unwrap();
    let Outcome::Paid(capture) = &charged else {
        panic!("not paid: {charged:?}");
    };
    let known = Attempt {
        gateway_id: Some(capture.transaction.clone()),
        ..payment.clone()
    };
    assert_eq!(gateway.query(&known).await, Ok(charged.clone()));
    // It can't search: that is no answer, and no no.
    assert!(matches!(gateway.query(&payment).await, Err(Failure::Unknown(_))));

    let declined = kept(DECLINED, "0341").await;
    let charged = gateway
        .charge(&attempt(&gateway, machine_now()), &declined)
        .await
        .unwrap();
    assert!(
        matches!(
            charged,
            Outcome::Failed {
                decline: Decline::Declined,
                ..
            }
        ),
        "{charged:?}"
    );

    let (link, secret) = begin().await;
    assert_eq!(server.keep(&secret, NOT_KEPT).await, 402);
    assert!(matches!(
        gateway.query_link(&link).await,
        Ok(LinkOutcome::Failed { .. })
    ));

    let (link, secret) = begin().await;
    assert_eq!(server.keep(&secret, ASKS).await, 200);
    assert_eq!(gateway.query_link(&link).await, Ok(LinkOutcome::Pending));
    let setup = server
        .get(&format!("/v1/setup_intents/{}", link.gateway_id.unwrap()))
        .await;
    let asking = method(&format!(
        "{}:{}",
        text(&setup["customer"]),
        text(&setup["payment_method"])
    ));
    let charged = gateway
        .charge(&attempt(&gateway, machine_now()), &asking)
        .await
        .unwrap();
    assert!(
        matches!(
            charged,
            Outcome::Failed {
                decline: Decline::ChallengeRequired,
                ..
            }
        ),
        "{charged:?}"
    );

    gateway.unlink(&good).await.unwrap();
    gateway.unlink(&good).await.unwrap();
    let stranger = method("cus_1:pm_1");
    gateway.unlink(&stranger).await.unwrap();
    let charged = gateway.charge(&payment, &stranger).await;
    assert!(
        matches!(
            charged,
            Err(Failure::Refused {
                decline: Decline::Rejected,
                ..
            })
        ),
        "{charged:?}"
    );
}
