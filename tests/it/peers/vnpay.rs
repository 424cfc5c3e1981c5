//! VNPAY against the library that its merchants have: what we sign, it verifies; what it signs, we believe.

use std::sync::Arc;

use billing_gateway::domain::gateway::{Outcome, RefundOutcome};
use billing_gateway::domain::money::{Currency, Money};
use billing_gateway::gateways::vnpay::{Vnpay, VnpayConfig};
use billing_gateway::gateways::{Attempt, Failure, Gateway as _};
use chrono::TimeDelta;
use entity::enums::Language;
use serde_json::Value;

use super::{attempt, beginning, comes_back, ordered, refund_of, sent_back, status, topped_up};
use crate::clients::program;
use crate::support::peer::Peer;
use crate::support::{Store, World, run, text};

const TERMINAL: &str = "TESTTMN1";
const SECRET: &str = "UNITTESTSECRETUNITTESTSECRET0001";

fn library() -> Option<Peer> {
    let mut program = program("node", "vnpay.mjs", "node_modules/vnpay")?;
    program.args([TERMINAL, SECRET]);
    Some(Peer::start(program))
}

fn vnpay(library: &Peer, secret: &str) -> Vnpay {
    Vnpay::new(VnpayConfig {
        page: library.url("/paymentv2/vpcpay.html"),
        api: library.url("/merchant_webapi/api/transaction"),
        tmn_code: TERMINAL.to_owned(),
        hash_secret: secret.into(),
        server_address: "127.0.0.1".to_owned(),
    })
    .unwrap()
}

async fn get(url: impl reqwest::IntoUrl) -> Value {
    reqwest::get(url)
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// The query of a notification about a payment, which the library believes.
async fn tells(library: &Peer, reference: &str, says: &str) -> String {
    let told = get(library.url(&format!("/tells/{reference}?{says}"))).await;
    assert_eq!(told["isVerified"], true);
    text(&told["query"])
}

/// Knocks at our door, and answers the code that VNPAY hears.
async fn notify(world: &World, query: &str) -> String {
    let answer = get(format!("http://{}/webhooks/vnpay?{query}", world.address())).await;
    text(&answer["RspCode"])
}

/// A value of a page's address.
fn value(url: &str, name: &str) -> String {
    let url: reqwest::Url = url.parse().unwrap();
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.unwrap().1.into_owned()
}

#[tokio::test]
async fn a_page_s_address_is_the_one_that_the_library_writes() {
    let Some(library) = library() else { return };
    let gateway = vnpay(&library, SECRET);
    let usual = attempt(&gateway, beginning());
    let attempts = [
        usual.clone(),
        Attempt {
            amount: Money::of(9_999_999_999, Currency::Vnd),
            language: Language::En,
            payer_address: Some("2001:db8::1".to_owned()),
            ..usual.clone()
        },
        Attempt {
            description: "Top-up  a b".to_owned(),
            return_url: "https://pay.example.test/return?a=1&b=%20+('*')!~#top".to_owned(),
            payer_address: Some("203.0.113.9".to_owned()),
            ..usual
        },
    ];
    for attempt in attempts {
        let url = gateway.begin(&attempt).await.unwrap().url.unwrap();
        let judged = get(&url).await;
        assert_eq!(judged["isVerified"], true, "{url}");
        assert_eq!(url.split_once('?').unwrap().1, judged["query"]);
        let tampered = url.replace("vnp_Command=pay", "vnp_Command=pai");
        assert_eq!(get(&tampered).await["isVerified"], false, "{tampered}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_as_the_library_tells() {
    let Some(library) = library() else { return };
    run(Store::Sqlite, async |mut world| {
        world.take_payments_through(Arc::new(vnpay(&library, SECRET))).await;
        let begun = ordered(&world, "VNPAY").await;
        let url = text(&begun["nextAction"]["url"]);
        assert_eq!(get(&url).await["isVerified"], true);
        let reference = value(&url, "vnp_TxnRef");

        let paid = tells(&library, &reference, "").await;
        for tampered in [
            paid.replace("vnp_Amount=18100000", "vnp_Amount=18100001"),
            paid.replace("vnp_TransactionStatus=00", "vnp_TransactionStatus=%300"),
            format!("{paid}&vnp_Amount=18100000"),
            paid.split_once("&vnp_SecureHash").unwrap().0.to_owned(),
        ] {
            assert_eq!(notify(&world, &tampered).await, "97", "{tampered}");
        }
        let unheard = tells(&library, "unheard", "vnp_Amount=18100000&vnp_OrderInfo=x").await;
        assert_eq!(notify(&world, &unheard).await, "01");
        assert_eq!(status(&world, &begun["order"]).await, "AWAITING_PAYMENT");
        assert_eq!(notify(&world, &paid).await, "00");
        assert_eq!(notify(&world, &paid).await, "02");
        assert_eq!(status(&world, &begun["order"]).await, "IN_PROGRESS");

        // A payer who gives up, and one who pays something else.
        for (says, heard, becomes) in [
            (
                "vnp_ResponseCode=24&vnp_TransactionStatus=02&vnp_TransactionNo=0",
                "00",
                "FAILED",
            ),
            ("vnp_Amount=4999900&vnp_TransactionNo=14226113", "04", "FAILED"),
        ] {
            let begun = topped_up(&world, "VNPAY", "50000").await;
            let url = text(&begun["nextAction"]["url"]);
            get(&url).await;
            let told = tells(&library, &value(&url, "vnp_TxnRef"), says).await;
            assert_eq!(notify(&world, &told).await, heard, "{says}");
            assert_eq!(status(&world, &begun["payment"]).await, becomes, "{says}");
        }

        // Nothing is told: the payer is back, and VNPAY is asked.
        let begun = topped_up(&world, "VNPAY", "100000").await;
        let url = text(&begun["nextAction"]["url"]);
        get(&url).await;
        tells(&library, &value(&url, "vnp_TxnRef"), "vnp_TransactionNo=14226114").await;
        assert_eq!(status(&world, &begun["payment"]).await, "PENDING");
        comes_back(&world, &value(&url, "vnp_ReturnUrl")).await;
        assert_eq!(status(&world, &begun["payment"]).await, "SUCCEEDED");
        for part in ["30000", "70000"] {
            assert_eq!(sent_back(&world, &begun["payment"], part).await, "SUCCEEDED");
        }
        world
    })
    .await;
}

/// Each request of ours is made by the library too, and the two signatures compared; each answer is read by both.
#[tokio::test]
async fn questions_and_refunds_are_signed_as_the_library_signs_them() {
    let Some(library) = library() else { return };
    let gateway = vnpay(&library, SECRET);
    let attempt = attempt(&gateway, beginning());
    assert_eq!(
        gateway.query(&attempt).await,
        Ok(Outcome::Unknown),
        "nobody has seen its page"
    );
    get(gateway.begin(&attempt).await.unwrap().url.unwrap()).await;
    assert_eq!(gateway.query(&attempt).await, Ok(Outcome::Pending));
    tells(&library, &attempt.reference, "").await;
    let Ok(Outcome::Paid(capture)) = gateway.query(&attempt).await else {
        panic!("not paid");
    };
    assert_eq!(
        (capture.transaction.as_str(), capture.amount),
        ("14226112", attempt.amount)
    );
    let paid = Attempt {
        transaction: Some(capture.transaction),
        ..attempt.clone()
    };
    for minor in [81_000, 181_000] {
        let refund = refund_of(&gateway, paid.clone(), minor);
        assert_eq!(gateway.refund(&refund).await, Ok(RefundOutcome::Succeeded));
        assert_eq!(gateway.query_refund(&refund).await, Ok(RefundOutcome::Succeeded));
    }
    // Another day, and it is another payment.
    let yesterday = Attempt {
        created_at: attempt.created_at - TimeDelta::days(1),
        ..attempt.clone()
    };
    assert_eq!(gateway.query(&yesterday).await, Ok(Outcome::Unknown));
    // With another key nothing is agreed upon.
    let stranger = vnpay(&library, "another key");
    let refund = refund_of(&stranger, paid, 81_000);
    for failure in [
        stranger.query(&attempt).await.unwrap_err(),
        stranger.refund(&refund).await.unwrap_err(),
    ] {
        assert!(matches!(failure, Failure::Unknown(_)), "{failure:?}");
    }
}
