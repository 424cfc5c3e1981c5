//! The sandbox: a gateway for development whose other side is here too. It takes no real money, does whatever it is told, and
//! behaves as badly as real ones do: what it says may come late, twice, wrong, forged or never.
//!
//! What it remembers is kept through [`Memory`], apart from everything of ours: like a real gateway it knows what it has done
//! after we were killed, and is asked for it. It never starts in production.

mod record;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use super::{
    About, Answer, Attempt, Capabilities, Checkout, Failure, Gateway, Limits, Link, Notice, RawNotice, Refund,
    Rejected, SavedMethod, Verdict,
};
use crate::clock::Clock;
use crate::domain::gateway::{Capture, Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money, Sign};
use crate::error::Error;
use crate::ids;

pub use record::{Delivery, Press, Record, Refunded, Standing};

/// Our name at the sandbox.
const MERCHANT: &str = "billing-gateway";
/// How old a signature may be, in seconds.
const TOLERANCE_SECONDS: i64 = 300;
/// The header with the signature of a notification.
pub const SIGNATURE: &str = "sandbox-signature";
/// How often a change that somebody else got ahead of is made again. Each time it is another's change that was made, of
/// which two passes at once have a dozen for one record: fewer tries would give up where nothing is wrong.
const TRIES: u32 = 64;

/// What is kept under an id.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The document.
    pub document: Value,
    /// Grows with every change.
    pub version: i64,
}

/// Where the sandbox keeps what it remembers.
#[async_trait]
pub trait Memory: fmt::Debug + Send + Sync {
    /// What is kept under an id.
    async fn read(&self, id: &str) -> Result<Option<Kept>, Error>;

    /// Keeps a document under an id, if it still is of this version, or is none yet where there is no version; answers
    /// whether it was kept. `deliver_at` is when a notification of it is due.
    async fn keep(
        &self,
        id: &str,
        document: Value,
        deliver_at: Option<DateTime<Utc>>,
        version: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// The ids of which a notification is due, the oldest first, at most `most`.
    async fn due(&self, now: DateTime<Utc>, most: u64) -> Result<Vec<String>, Error>;

    /// When the next notification is due.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Error>;
}

/// A notification to be delivered.
#[derive(Clone, Debug)]
pub struct Due {
    /// Of which record.
    pub reference: String,
    /// Which of its deliveries.
    pub position: usize,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// What a notification says, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    id: String,
    merchant: String,
    /// Whether it is about an account that is linked, not about a payment.
    #[serde(default)]
    link: bool,
    reference: String,
    status: String,
    amount: String,
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline: Option<Decline>,
}

/// The sandbox.
#[derive(Debug)]
pub struct Sandbox {
    memory: Arc<dyn Memory>,
    clock: Arc<Clock>,
    key: String,
}

impl Sandbox {
    /// A sandbox with this memory; `seed` makes its key, the same in every process of a store.
    #[must_use]
    pub fn new(memory: Arc<dyn Memory>, clock: Arc<Clock>, seed: Uuid) -> Self {
        Self {
            memory,
            clock,
            key: ids::digest(&format!("sandbox of {seed}")),
        }
    }

    /// What it knows of a reference.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn record(&self, reference: &str) -> Result<Option<Record>, Error> {
        let kept = self.memory.read(reference).await?;
        Ok(kept.map(|kept| serde_json::from_value(kept.document)).transpose()?)
    }

    /// Lets the next checkout that is begun go as it is told before it is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn prepare(&self, press: Press) -> Result<(), Error> {
        let now = self.clock.now();
        let kept = self.memory.read(NEXT).await?;
        let version = kept.map(|kept| kept.version);
        self.memory
            .keep(NEXT, serde_json::to_value(Some(press))?, None, version, now)
            .await?;
        Ok(())
    }

    /// What the next checkout was prepared to do, once.
    async fn prepared(&self) -> Result<Option<Press>, Error> {
        let Some(kept) = self.memory.read(NEXT).await? else {
            return Ok(None);
        };
        let press: Option<Press> = serde_json::from_value(kept.document)?;
        if press.is_some() {
            let now = self.clock.now();
            self.memory
                .keep(NEXT, Value::Null, None, Some(kept.version), now)
                .await?;
        }
        Ok(press)
    }

    /// Presses a button of a checkout's page, and answers the record after it; nothing when there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn press(&self, reference: &str, press: Press) -> Result<Option<Record>, Error> {
        let now = self.clock.now();
        self.change(reference, |record| record.press(press, now)).await
    }

    /// The notifications that are due, at most `most` records of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn due(&self, now: DateTime<Utc>, most: u64) -> Result<Vec<Due>, Error> {
        let mut due = Vec::new();
        for reference in self.memory.due(now, most).await? {
            let Some(record) = self.record(&reference).await? else {
                continue;
            };
            let open = record.deliveries.iter().enumerate();
            for (position, delivery) in open.filter(|(_, delivery)| !delivery.done && delivery.at <= now) {
                due.push(self.signed(&record, position, delivery, now)?);
            }
        }
        Ok(due)
    }

    /// Notes how a notification was answered: what was not taken comes again, a few times.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn answered(&self, due: &Due, status: u16) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(&due.reference, |record| record.answered(due.position, status, now))
            .await?;
        Ok(())
    }

    /// When the next notification is due.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its memory does not answer.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Error> {
        self.memory.next_due().await
    }

    /// Keeps a new record. One that is known already stays as it is.
    async fn remember(&self, record: &Record) -> Result<(), Failure> {
        let (document, due) = (
            serde_json::to_value(record).map_err(Failure::unknown)?,
            record.next_due(),
        );
        let kept = self
            .memory
            .keep(&record.reference, document, due, None, self.clock.now());
        kept.await.map_err(|error| lost(&error))?;
        Ok(())
    }

    async fn change(&self, reference: &str, change: impl Fn(&mut Record)) -> Result<Option<Record>, Error> {
        for _ in 0..TRIES {
            let Some(kept) = self.memory.read(reference).await? else {
                return Ok(None);
            };
            let mut record: Record = serde_json::from_value(kept.document)?;
            change(&mut record);
            let now = self.clock.now();
            let (document, due) = (serde_json::to_value(&record)?, record.next_due());
            if self
                .memory
                .keep(reference, document, due, Some(kept.version), now)
                .await?
            {
                return Ok(Some(record));
            }
        }
        Err(Error::Unavailable("the sandbox is changed by many at once".into()))
    }

    fn signed(&self, record: &Record, position: usize, delivery: &Delivery, now: DateTime<Utc>) -> Result<Due, Error> {
        let status = match &delivery.says {
            Standing::Open => "PENDING",
            Standing::Review => "REVIEW",
            Standing::Paid { .. } => "PAID",
            Standing::Declined { .. } => "DECLINED",
            Standing::Expired => "EXPIRED",
        };
        let amount = delivery.amount.unwrap_or(record.amount);
        let body = Body {
            id: delivery.event.clone(),
            merchant: if delivery.wrong_merchant {
                "somebody-else"
            } else {
                MERCHANT
            }
            .to_owned(),
            link: record.is_link,
            reference: record.reference.clone(),
            status: status.to_owned(),
            amount: amount.to_decimal_text(),
            currency: amount.currency().code().to_owned(),
            transaction: match &delivery.says {
                Standing::Paid { transaction } => Some(transaction.clone()),
                _ => None,
            },
            decline: match &delivery.says {
                Standing::Declined { decline } => Some(*decline),
                _ => None,
            },
        };
        let body = serde_json::to_string(&body)?;
        let signed_at = if delivery.stale { now - TimeDelta::hours(1) } else { now }.timestamp();
        let key = if delivery.forged { "not the key" } else { &self.key };
        let signature = sign(key, signed_at, body.as_bytes()).map_err(Error::internal)?;
        Ok(Due {
            reference: record.reference.clone(),
            position,
            headers: vec![(SIGNATURE.to_owned(), format!("t={signed_at},v1={signature}"))],
            body,
        })
    }
}

/// Under which id it is kept what the next checkout will do.
const NEXT: &str = "next";

fn mac(key: &str, signed_at: i64, body: &[u8]) -> Result<Hmac<Sha256>, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    mac.update(format!("{signed_at}.").as_bytes());
    mac.update(body);
    Ok(mac)
}

fn sign(key: &str, signed_at: i64, body: &[u8]) -> Result<String, String> {
    let bytes = mac(key, signed_at, body)?.finalize().into_bytes();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The bytes of hexadecimal text in small letters.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        })
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

fn lost(error: &Error) -> Failure {
    Failure::unknown(error)
}

#[async_trait]
impl Gateway for Sandbox {
    fn code(&self) -> &'static str {
        "SANDBOX"
    }

    fn name(&self) -> &'static str {
        "Sandbox"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            hosted_page: true,
            saved_methods: true,
            partial_refunds: true,
            refunds_by_reference: true,
            repeatable_checkout: true,
        }
    }

    fn limits(&self, currency: Currency) -> Option<Limits> {
        let (least, most) = match currency {
            Currency::Vnd => (1_000, 500_000_000),
            other => (other.minor_per_unit(), other.minor_per_unit().saturating_mul(50_000)),
        };
        Some(Limits {
            least: Money::of(least, currency),
            most: Money::of(most, currency),
        })
    }

    fn reference(&self, id: Uuid, _created_at: DateTime<Utc>) -> String {
        format!("SBX{}", id.simple())
    }

    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        let prepared = self.prepared().await.map_err(|error| lost(&error))?;
        if prepared == Some(Press::RefuseBegin) {
            return Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: "the sandbox was told to refuse".to_owned(),
            });
        }
        let mut record = Record::of(attempt);
        if let Some(press) = prepared {
            record.press(press, self.clock.now());
        }
        self.remember(&record).await?;
        if prepared == Some(Press::LoseBegin) {
            return Err(Failure::unknown("the sandbox was told not to answer"));
        }
        Ok(page_of(&attempt.reference, &attempt.notify_url))
    }

    async fn charge(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure> {
        let now = self.clock.now();
        let prepared = self.prepared().await.map_err(|error| lost(&error))?;
        let link = self.record(&method.reference).await.map_err(|error| lost(&error))?;
        let token = method.token.expose_secret();
        let Some(link) = link.filter(|link| link.is_charged_by(token)) else {
            return Ok(Outcome::Failed {
                decline: Decline::MethodRevoked,
                detail: "it is not linked any more".to_owned(),
            });
        };
        let press = prepared.or(link.charged).unwrap_or(Press::Approve);
        if press == Press::RefuseBegin {
            return Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: "the sandbox was told to refuse".to_owned(),
            });
        }
        let mut record = Record::of(attempt);
        match press {
            Press::Challenge => record.is_challenged(now),
            Press::LoseBegin => record.press(Press::Approve, now),
            press => record.press(press, now),
        }
        self.remember(&record).await?;
        // Charged before, it stays as it was.
        let known = self.record(&attempt.reference).await.map_err(|error| lost(&error))?;
        match known {
            _ if press == Press::LoseBegin => Err(Failure::unknown("the sandbox was told not to answer")),
            Some(known) => Ok(outcome_of(&known.standing_at(now), known.asked_amount())),
            None => Err(Failure::unknown("the sandbox has forgotten it")),
        }
    }

    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure> {
        let now = self.clock.now();
        let Some(record) = self.record(&attempt.reference).await.map_err(|error| lost(&error))? else {
            return Ok(Outcome::Unknown);
        };
        if record.silent_queries > 0 {
            self.change(&attempt.reference, |record| {
                record.silent_queries = record.silent_queries.saturating_sub(1);
            })
            .await
            .map_err(|error| lost(&error))?;
            return Err(Failure::unknown("the sandbox was told to answer 500"));
        }
        Ok(outcome_of(&record.standing_at(now), record.asked_amount()))
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let now = self.clock.now();
        let prepared = self.prepared().await.map_err(|error| lost(&error))?;
        let of = &refund.payment.reference;
        let changed = self.change(of, |record| {
            record.give_back(&refund.reference, refund.amount, prepared, now);
        });
        let record = changed.await.map_err(|error| lost(&error))?;
        if prepared == Some(Press::LoseRefund) {
            return Err(Failure::unknown("the sandbox was told not to answer"));
        }
        match refunded(record.as_ref(), &refund.reference, now) {
            RefundOutcome::Unknown => Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: "more than is left of what was paid".to_owned(),
            }),
            outcome => Ok(outcome),
        }
    }

    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let record = self
            .record(&refund.payment.reference)
            .await
            .map_err(|error| lost(&error))?;
        Ok(refunded(record.as_ref(), &refund.reference, self.clock.now()))
    }

    async fn begin_link(&self, link: &Link) -> Result<Checkout, Failure> {
        let prepared = self.prepared().await.map_err(|error| lost(&error))?;
        if prepared == Some(Press::RefuseBegin) {
            return Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: "the sandbox was told to refuse".to_owned(),
            });
        }
        let mut record = Record::of_link(link);
        if let Some(press) = prepared {
            record.press(press, self.clock.now());
        }
        self.remember(&record).await?;
        if prepared == Some(Press::LoseBegin) {
            return Err(Failure::unknown("the sandbox was told not to answer"));
        }
        Ok(page_of(&link.reference, &link.notify_url))
    }

    async fn query_link(&self, link: &Link) -> Result<LinkOutcome, Failure> {
        let now = self.clock.now();
        let record = self.record(&link.reference).await.map_err(|error| lost(&error))?;
        Ok(match record.filter(|record| record.is_link) {
            Some(record) => linked(&record.standing_at(now)),
            None => LinkOutcome::Unknown,
        })
    }

    async fn unlink(&self, method: &SavedMethod) -> Result<(), Failure> {
        let prepared = self.prepared().await.map_err(|error| lost(&error))?;
        let changed = self.change(&method.reference, Record::end).await;
        changed.map_err(|error| lost(&error))?;
        if prepared == Some(Press::LoseBegin) {
            return Err(Failure::unknown("the sandbox was told not to answer"));
        }
        Ok(())
    }

    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        let header = notice.header(SIGNATURE).ok_or(Rejected::Signature)?;
        let (time, signature) = header
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="))
            .ok_or(Rejected::Signature)?;
        let signed_at: i64 = time.parse().map_err(|_| Rejected::Signature)?;
        let signature = bytes_of(signature).ok_or(Rejected::Signature)?;
        let mac = mac(&self.key, signed_at, notice.body).map_err(|_| Rejected::Signature)?;
        mac.verify_slice(&signature).map_err(|_| Rejected::Signature)?;
        if (notice.received_at.timestamp() - signed_at).abs() > TOLERANCE_SECONDS {
            return Err(Rejected::Stale);
        }
        let body: Body = serde_json::from_slice(notice.body).map_err(|_| Rejected::Malformed)?;
        if body.merchant != MERCHANT {
            return Err(Rejected::Merchant);
        }
        let currency: Currency = body.currency.parse().map_err(|_| Rejected::Malformed)?;
        let amount =
            Money::from_decimal_text(&body.amount, currency, Sign::NotNegative).map_err(|_| Rejected::Malformed)?;
        let standing = match (body.status.as_str(), body.transaction, body.decline) {
            ("PAID", Some(transaction), _) => Standing::Paid { transaction },
            ("DECLINED", _, Some(decline)) => Standing::Declined { decline },
            ("EXPIRED", ..) => Standing::Expired,
            ("REVIEW", ..) => Standing::Review,
            ("PENDING", ..) => Standing::Open,
            _ => return Err(Rejected::Malformed),
        };
        let reference = body.reference;
        let about = match (body.link, &standing) {
            (
                true,
                Standing::Declined {
                    decline: Decline::MethodRevoked,
                },
            ) => About::Unlinked { reference },
            (true, _) => About::Link {
                reference,
                outcome: linked(&standing),
            },
            (false, _) => About::Payment {
                reference,
                outcome: outcome_of(&standing, amount),
            },
        };
        Ok(Notice { event: body.id, about })
    }

    fn answer(&self, verdict: Verdict) -> Answer {
        let (status, said) = match verdict {
            Verdict::Taken | Verdict::Repeated => (200, "OK"),
            Verdict::WrongAmount => (200, "WRONG_AMOUNT"),
            Verdict::Rejected(_) => (400, "REJECTED"),
            Verdict::NoSuchReference => (404, "NO_SUCH_REFERENCE"),
            Verdict::Later => (503, "LATER"),
        };
        Answer {
            status,
            body: format!("{{\"result\":\"{said}\"}}"),
        }
    }
}

/// The page that a payer is sent to.
fn page_of(reference: &str, notify_url: &str) -> Checkout {
    let base = notify_url.split_once("/webhooks/").map_or("", |(base, _)| base);
    Checkout {
        gateway_id: Some(reference.to_owned()),
        url: Some(format!("{base}/sandbox/checkouts/{reference}")),
        ..Checkout::default()
    }
}

/// Where a link stands.
fn linked(standing: &Standing) -> LinkOutcome {
    match standing {
        Standing::Open | Standing::Review => LinkOutcome::Pending,
        Standing::Paid { transaction } => LinkOutcome::Linked {
            token: transaction.clone(),
            label: "Sandbox •••• 4242".to_owned(),
        },
        Standing::Declined { decline } => LinkOutcome::Failed {
            detail: decline.as_str().to_owned(),
        },
        Standing::Expired => LinkOutcome::Failed {
            detail: "EXPIRED".to_owned(),
        },
    }
}

fn refunded(record: Option<&Record>, reference: &str, now: DateTime<Utc>) -> RefundOutcome {
    let refunds = record.map_or(&[][..], |record| &record.refunds);
    match refunds.iter().find(|known| known.reference == reference) {
        None => RefundOutcome::Unknown,
        Some(known) if known.done_at > now => RefundOutcome::Pending,
        Some(known) if known.fails => RefundOutcome::Failed {
            detail: "the sandbox was told not to send it".to_owned(),
        },
        Some(_) => RefundOutcome::Succeeded,
    }
}

fn outcome_of(standing: &Standing, amount: Money) -> Outcome {
    match standing {
        Standing::Open => Outcome::Pending,
        Standing::Review => Outcome::Review,
        Standing::Paid { transaction } => Outcome::Paid(Capture {
            transaction: transaction.clone(),
            amount,
        }),
        Standing::Declined { decline } => Outcome::Failed {
            decline: *decline,
            detail: decline.as_str().to_owned(),
        },
        Standing::Expired => Outcome::Failed {
            decline: Decline::Expired,
            detail: "EXPIRED".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
