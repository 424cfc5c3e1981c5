#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use entity::enums::Language;

use super::*;

/// A memory that forgets at the end of the test.
#[derive(Debug, Default)]
struct InMind(Mutex<BTreeMap<String, Remembered>>);

/// What is kept, and when something of it is to be told.
type Remembered = (Kept, Option<DateTime<Utc>>);

#[async_trait]
impl Memory for InMind {
    async fn read(&self, id: &str) -> Result<Option<Kept>, Error> {
        Ok(self.0.lock().unwrap().get(id).map(|(kept, _)| kept.clone()))
    }

    async fn keep(
        &self,
        id: &str,
        document: Value,
        deliver_at: Option<DateTime<Utc>>,
        version: Option<i64>,
        _now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let mut all = self.0.lock().unwrap();
        let present = all.get(id).map(|(kept, _)| kept.version);
        if present != version {
            return Ok(false);
        }
        let kept = Kept {
            document,
            version: version.map_or(1, |version| version + 1),
        };
        all.insert(id.to_owned(), (kept, deliver_at));
        Ok(true)
    }

    async fn due(&self, now: DateTime<Utc>, _most: u64) -> Result<Vec<String>, Error> {
        let all = self.0.lock().unwrap();
        let due = all.iter().filter(|(_, (_, at))| at.is_some_and(|at| at <= now));
        Ok(due.map(|(id, _)| id.clone()).collect())
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.0.lock().unwrap().values().filter_map(|(_, at)| *at).min())
    }
}

fn instant(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).unwrap()
}

fn sandbox() -> Sandbox {
    let clock = Arc::new(Clock::default());
    clock.stand_at(instant(0));
    Sandbox::new(Arc::new(InMind::default()), clock, Uuid::nil())
}

fn attempt(reference: &str) -> Attempt {
    Attempt {
        reference: reference.to_owned(),
        amount: Money::of(50_000, Currency::Vnd),
        created_at: instant(0),
        expires_at: instant(15),
        description: "Payment".to_owned(),
        payer: "payer".to_owned(),
        payer_address: None,
        language: Language::En,
        return_url: "http://127.0.0.1/payments/return/1".to_owned(),
        notify_url: "http://127.0.0.1/webhooks/sandbox".to_owned(),
        gateway_id: None,
        transaction: None,
    }
}

/// What the next due notifications say, as they are believed.
async fn heard(sandbox: &Sandbox) -> Vec<Result<Outcome, Rejected>> {
    let now = sandbox.clock.now();
    let mut heard = Vec::new();
    for due in sandbox.due(now, 100).await.unwrap() {
        let raw = RawNotice {
            method: "POST",
            query: "",
            headers: &due.headers,
            body: due.body.as_bytes(),
            received_at: now,
        };
        heard.push(sandbox.notified(&raw).map(|notice| match notice.about {
            About::Payment { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }));
        sandbox.answered(&due, 200).await.unwrap();
    }
    heard
}

fn paid(minor: i64, transaction: &str) -> Outcome {
    Outcome::Paid(Capture {
        transaction: transaction.to_owned(),
        amount: Money::of(minor, Currency::Vnd),
    })
}

async fn pressed(press: Press) -> (Sandbox, Vec<Result<Outcome, Rejected>>) {
    let sandbox = sandbox();
    sandbox.begin(&attempt("R")).await.unwrap();
    sandbox.press("R", press).await.unwrap();
    let heard = heard(&sandbox).await;
    (sandbox, heard)
}

#[tokio::test]
async fn a_checkout_is_approved_once_however_often_it_is_clicked() {
    let (sandbox, heard_first) = pressed(Press::Approve).await;
    assert_eq!(heard_first, [Ok(paid(50_000, "R-1"))]);
    sandbox.press("R", Press::Approve).await.unwrap();
    sandbox.press("R", Press::Decline).await.unwrap();
    assert!(heard(&sandbox).await.is_empty());
    assert_eq!(sandbox.query(&attempt("R")).await.unwrap(), paid(50_000, "R-1"));
}

#[tokio::test]
async fn each_button_does_what_it_says() {
    for (press, expected) in [
        (Press::DeclineFunds, Decline::InsufficientFunds),
        (Press::DeclineLimit, Decline::LimitReached),
        (Press::DeclineExpiredMethod, Decline::MethodRevoked),
        (Press::DeclineFraud, Decline::Suspicious),
        (Press::Decline, Decline::Declined),
        (Press::Cancel, Decline::Cancelled),
    ] {
        let (_, heard) = pressed(press).await;
        assert!(
            matches!(&heard[..], [Ok(Outcome::Failed { decline, .. })] if *decline == expected),
            "{press:?}: {heard:?}"
        );
    }
    assert_eq!(pressed(Press::Challenge).await.1, [Ok(Outcome::Pending)]);
    assert_eq!(pressed(Press::Review).await.1, [Ok(Outcome::Review)]);
    assert_eq!(pressed(Press::WrongMerchant).await.1, [Err(Rejected::Merchant)]);
    assert_eq!(pressed(Press::Forge).await.1, [Err(Rejected::Signature)]);
    assert_eq!(pressed(Press::Stale).await.1, [Err(Rejected::Stale)]);
    assert_eq!(pressed(Press::WrongAmount).await.1, [Ok(paid(49_999, "R-1"))]);
    assert!(pressed(Press::ApproveSilently).await.1.is_empty());
    assert_eq!(pressed(Press::ApproveRepeatedly).await.1.len(), 3);
    assert_eq!(
        pressed(Press::PayTwice).await.1,
        [Ok(paid(50_000, "R-1")), Ok(paid(50_000, "R-2"))]
    );
}

#[tokio::test]
async fn slow_news_come_when_they_are_due() {
    let (sandbox, at_once) = pressed(Press::ApproveSlowly).await;
    assert!(at_once.is_empty());
    assert_eq!(sandbox.next_due().await.unwrap(), Some(instant(10)));
    sandbox.clock.stand_at(instant(10));
    assert_eq!(heard(&sandbox).await, [Ok(paid(50_000, "R-1"))]);
    assert_eq!(sandbox.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn nobody_pays_after_the_end_but_who_is_told_to() {
    let sandbox = sandbox();
    sandbox.begin(&attempt("R")).await.unwrap();
    sandbox.clock.stand_at(instant(15));
    sandbox.press("R", Press::Approve).await.unwrap();
    assert!(matches!(
        sandbox.query(&attempt("R")).await.unwrap(),
        Outcome::Failed {
            decline: Decline::Expired,
            ..
        }
    ));
    sandbox.press("R", Press::PayLate).await.unwrap();
    assert_eq!(heard(&sandbox).await, [Ok(paid(50_000, "R-1"))]);
}

#[tokio::test]
async fn what_was_not_taken_comes_again_a_few_times() {
    let sandbox = sandbox();
    sandbox.begin(&attempt("R")).await.unwrap();
    sandbox.press("R", Press::Approve).await.unwrap();
    let mut minutes = Vec::new();
    while let Some(at) = sandbox.next_due().await.unwrap() {
        sandbox.clock.stand_at(at);
        minutes.push((at - instant(0)).num_minutes());
        let due = sandbox.due(at, 10).await.unwrap();
        sandbox.answered(&due[0], 503).await.unwrap();
    }
    assert_eq!(minutes, [0, 1, 6, 21, 81]);
}

#[tokio::test]
async fn a_checkout_is_prepared_before_it_is_begun_and_begins_the_same_twice() {
    let sandbox = sandbox();
    sandbox.prepare(Press::LoseBegin).await.unwrap();
    assert!(matches!(sandbox.begin(&attempt("R")).await, Err(Failure::Unknown(_))));
    let again = sandbox.begin(&attempt("R")).await.unwrap();
    assert_eq!(again, sandbox.begin(&attempt("R")).await.unwrap());
    assert_eq!(again.url.as_deref(), Some("http://127.0.0.1/sandbox/checkouts/R"));
    sandbox.prepare(Press::RefuseBegin).await.unwrap();
    assert!(matches!(
        sandbox.begin(&attempt("S")).await,
        Err(Failure::Refused { .. })
    ));
    assert_eq!(sandbox.query(&attempt("S")).await.unwrap(), Outcome::Unknown);
    sandbox.press("R", Press::ApproveUnreachable).await.unwrap();
    for _ in 0..3 {
        assert!(sandbox.query(&attempt("R")).await.is_err());
    }
    assert_eq!(sandbox.query(&attempt("R")).await.unwrap(), paid(50_000, "R-1"));
}

#[tokio::test]
async fn a_signature_is_of_these_very_bytes() {
    let sandbox = sandbox();
    sandbox.begin(&attempt("R")).await.unwrap();
    sandbox.press("R", Press::Approve).await.unwrap();
    let now = sandbox.clock.now();
    let due = sandbox.due(now, 10).await.unwrap().remove(0);
    let believed = |headers: &[(String, String)], body: &str| {
        sandbox.notified(&RawNotice {
            method: "POST",
            query: "",
            headers,
            body: body.as_bytes(),
            received_at: now,
        })
    };
    assert!(believed(&due.headers, &due.body).is_ok());
    assert_eq!(
        believed(&due.headers, &due.body.replace("50000", "5000")),
        Err(Rejected::Signature)
    );
    assert_eq!(
        believed(&due.headers, &format!("{} ", due.body)),
        Err(Rejected::Signature)
    );
    assert_eq!(believed(&[], &due.body), Err(Rejected::Signature));
    let twice = [due.headers.clone(), due.headers.clone()].concat();
    assert_eq!(believed(&twice, &due.body), Err(Rejected::Signature));
    let upper = [(
        SIGNATURE.to_owned(),
        due.headers[0]
            .1
            .to_uppercase()
            .replace("T=", "t=")
            .replace("V1=", "v1="),
    )];
    assert_eq!(believed(&upper, &due.body), Err(Rejected::Signature));
}
