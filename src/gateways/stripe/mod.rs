//! Stripe: payments by card in the page (PaymentIntents), cards that are kept (SetupIntents), charges without the payer.
//!
//! Each request that makes something has an idempotency key made of our own reference, so that asking again makes nothing
//! twice; Stripe keeps keys for a day at least. An intent never ends by itself: one that is asked about after its payer's
//! time is cancelled, so that nobody pays for what is not held any more.
//!
//! What charges a card is the customer and the card together, written `cus_…:pm_…`.

mod cards;
mod notices;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use uuid::Uuid;

use super::wire::{self, Reply, Sha256Key, Wire};
use super::{
    Answer, Attempt, Capabilities, Checkout, Failure, Gateway, Limits, Link, Notice, RawNotice, Refund, Rejected,
    SavedMethod, Verdict,
};
use crate::clock::machine_now;
use crate::domain::gateway::{Capture, Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money};
use crate::error::Error;

/// The address, of test and real money alike: the key tells which.
pub const API: &str = "https://api.stripe.com";
/// The version of the API that this is written for.
const VERSION: &str = "2024-06-20";

/// The most of a charge in minor units, as published: eight digits.
const MOST: i64 = 99_999_999;
/// How long after the payer's time an intent that may still be paid is cancelled: a payer may be at their bank's page.
const GRACE: TimeDelta = TimeDelta::minutes(5);
/// After how long an intent that the search does not find is not there. It finds new ones within a minute, when all is
/// well there.
const SEARCHABLE: TimeDelta = TimeDelta::hours(1);
/// How many refunds of a payment are read.
const REFUNDS: &str = "100";

/// What a merchant is given by Stripe.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// The address, without `/v1`: [`API`].
    pub api: Url,
    /// The secret or restricted key.
    pub secret_key: SecretString,
    /// The endpoint's signing secret, `whsec_…`.
    pub webhook_secret: SecretString,
    /// Whether this is real money: events of the other kind are not ours.
    pub live: bool,
    /// The connected account that events may name. Without one, events that name any are not ours.
    pub account: Option<String>,
}

/// The gateway.
#[derive(Debug)]
pub struct Stripe {
    config: StripeConfig,
    signing: Sha256Key,
    wire: Wire,
}

/// An error as Stripe tells it: nothing was done.
#[derive(Clone, Debug, Default)]
struct Fault {
    status: u16,
    code: String,
    reason: String,
    parameter: String,
}

/// A word of Stripe's, as far as it is one.
fn word(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let plain = |letter: &char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || *letter == '_';
    text.chars().take(60).take_while(plain).collect()
}

impl Fault {
    fn read(status: u16, error: &Value) -> Self {
        Self {
            status,
            code: word(&error["code"]),
            reason: word(&error["decline_code"]),
            parameter: word(&error["param"]),
        }
    }

    fn words(&self) -> String {
        let words = [self.code.as_str(), self.reason.as_str()];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        match (words.is_empty(), self.status) {
            (true, 0) => "declined".to_owned(),
            (true, status) => format!("status {status}"),
            (false, _) => words.join("/"),
        }
    }

    /// Why a card was not charged.
    fn decline(&self) -> Decline {
        match (self.code.as_str(), self.reason.as_str()) {
            ("authentication_required", _) | (_, "authentication_required") => Decline::ChallengeRequired,
            (_, "insufficient_funds") => Decline::InsufficientFunds,
            (_, "card_velocity_exceeded" | "withdrawal_count_limit_exceeded") => Decline::LimitReached,
            (_, "fraudulent" | "merchant_blacklist" | "security_violation") => Decline::Suspicious,
            ("expired_card", _)
            | (
                _,
                "expired_card"
                | "lost_card"
                | "stolen_card"
                | "pickup_card"
                | "invalid_account"
                | "revocation_of_all_authorizations"
                | "revocation_of_authorization"
                | "stop_payment_order",
            ) => Decline::MethodRevoked,
            ("processing_error", _) | (_, "issuer_not_available" | "try_again_later" | "processing_error") => {
                Decline::IssuerUnavailable
            }
            _ => Decline::Declined,
        }
    }

    fn refused(&self) -> Failure {
        let gone = self.code == "resource_missing" && matches!(self.parameter.as_str(), "customer" | "payment_method");
        Failure::Refused {
            decline: match self.status {
                402 => self.decline(),
                _ if gone => Decline::MethodRevoked,
                _ => Decline::Rejected,
            },
            detail: self.words(),
        }
    }

    /// A question that was not taken says nothing of what was asked about.
    fn unanswered(&self) -> Failure {
        Failure::Unknown(self.words())
    }

    const fn is_missing(&self) -> bool {
        self.status == 404
    }
}

/// Reads an answer: the thing, or that nothing was done. All else leaves open what happened.
fn read(reply: &Reply) -> Result<Result<Value, Fault>, Failure> {
    let status = reply.status;
    match status {
        200..=299 => {
            let thing: Value = reply.json()?;
            if thing["id"].is_string() || thing["data"].is_array() {
                Ok(Ok(thing))
            } else {
                Err(Failure::unknown("the answer can't be read"))
            }
        }
        400..=404 => {
            let said: Value = reply.json()?;
            let error = &said["error"];
            match error["type"].as_str() {
                // The key was used for something else: what came of that is not told.
                Some("idempotency_error") => Err(Failure::unknown("the idempotency key was used for something else")),
                Some(_) => Ok(Err(Fault::read(status, error))),
                None => Err(Failure::unknown("the answer can't be read")),
            }
        }
        // 409: the same key is at work just now. 429: too many requests.
        _ => Err(Failure::Unknown(format!("the answer's status is {status}"))),
    }
}

fn filled(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// What we called a thing there.
fn reference(thing: &Value) -> Option<String> {
    filled(&thing["metadata"]["reference"])
}

/// An amount with its currency, as things there have them.
fn money(amount: &Value, currency: &Value) -> Option<Money> {
    let currency: Currency = currency.as_str()?.to_ascii_uppercase().parse().ok()?;
    wire::amount(amount, currency)
}

/// Where a payment stands, by its intent. A charge is not tried again by anybody: where a payer might try another card,
/// it has failed.
fn outcome(intent: &Value) -> Result<Outcome, Failure> {
    let charge = intent["metadata"]["kind"] == "charge";
    let fault = Fault::read(0, &intent["last_payment_error"]);
    match intent["status"].as_str() {
        Some("succeeded") => {
            // Servers that stand in for Stripe leave out what was received. Nothing of ours is captured in part.
            let amount = match &intent["amount_received"] {
                Value::Null => &intent["amount"],
                received => received,
            };
            let amount = money(amount, &intent["currency"]);
            let (Some(transaction), Some(amount)) = (filled(&intent["id"]), amount) else {
                return Err(Failure::unknown("paid, but not what and how much"));
            };
            Ok(Outcome::Paid(Capture { transaction, amount }))
        }
        Some("requires_action") if charge => Ok(Outcome::Failed {
            decline: Decline::ChallengeRequired,
            detail: "requires_action".to_owned(),
        }),
        Some("requires_payment_method") if charge => Ok(Outcome::Failed {
            decline: fault.decline(),
            detail: fault.words(),
        }),
        Some(
            "processing" | "requires_capture" | "requires_confirmation" | "requires_action" | "requires_payment_method",
        ) => Ok(Outcome::Pending),
        Some("canceled") => Ok(Outcome::Failed {
            decline: Decline::Cancelled,
            detail: "canceled".to_owned(),
        }),
        _ => Err(Failure::unknown("the payment's status can't be read")),
    }
}

fn refund_outcome(refund: &Value) -> Result<RefundOutcome, Failure> {
    match refund["status"].as_str() {
        Some("succeeded") => Ok(RefundOutcome::Succeeded),
        Some("pending" | "requires_action") => Ok(RefundOutcome::Pending),
        Some("failed" | "canceled") => Ok(RefundOutcome::Failed {
            detail: match word(&refund["failure_reason"]) {
                reason if reason.is_empty() => "failed".to_owned(),
                reason => reason,
            },
        }),
        _ => Err(Failure::unknown("the refund's status can't be read")),
    }
}

impl Stripe {
    /// # Errors
    /// [`Error::Configuration`] for an address or a key that can't be; [`Error::Internal`] when the machine has no TLS.
    pub fn new(config: StripeConfig) -> Result<Self, Error> {
        Self::with_patience(config, wire::PATIENCE)
    }

    /// The same, with another time for a request than [`wire::PATIENCE`].
    pub(super) fn with_patience(config: StripeConfig, patience: Duration) -> Result<Self, Error> {
        wire::check_base("Stripe's address", &config.api)?;
        wire::check_filled("Stripe's secret key", config.secret_key.expose_secret())?;
        Ok(Self {
            signing: Sha256Key::new("Stripe's signing secret", &config.webhook_secret)?,
            wire: Wire::new(patience)?,
            config,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Result<Value, Fault>, Failure> {
        let request = request
            .bearer_auth(self.config.secret_key.expose_secret())
            .header("stripe-version", VERSION);
        read(&self.wire.send(request).await?)
    }

    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        wire::below(&self.config.api, &[&["v1"], path].concat())
    }

    /// Makes something, once for each key.
    async fn post(&self, path: &[&str], key: &str, fields: &[(&str, &str)]) -> Result<Result<Value, Fault>, Failure> {
        let body = wire::form(fields.iter().copied());
        let request = self
            .wire
            .post(self.url(path)?, "application/x-www-form-urlencoded", body)
            .header("idempotency-key", key);
        self.send(request).await
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Result<Value, Fault>, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.set_query(Some(&wire::form(query.iter().copied())));
        }
        self.send(self.wire.get(url)).await
    }

    /// The intent of a payment, or nothing where there is none.
    async fn intent(&self, attempt: &Attempt) -> Result<Option<Value>, Failure> {
        let found = match &attempt.gateway_id {
            Some(id) => match self.get(&["payment_intents", id], &[]).await? {
                Ok(intent) => Some(intent),
                Err(fault) if fault.is_missing() => None,
                Err(fault) => return Err(fault.unanswered()),
            },
            None => self.searched(attempt).await?,
        };
        match found {
            Some(intent) if reference(&intent).as_deref() != Some(attempt.reference.as_str()) => {
                Err(Failure::unknown("the answer is not about this payment"))
            }
            found => Ok(found),
        }
    }

    /// The intent whose making was not answered.
    async fn searched(&self, attempt: &Attempt) -> Result<Option<Value>, Failure> {
        let query = format!("metadata['reference']:'{}'", attempt.reference);
        let list = self
            .get(&["payment_intents", "search"], &[("query", &query), ("limit", "1")])
            .await?
            .map_err(|fault| fault.unanswered())?;
        let found = list["data"].as_array().and_then(|found| found.first()).cloned();
        if found.is_none() && machine_now() - attempt.created_at < SEARCHABLE {
            return Err(Failure::unknown("the search does not find it yet"));
        }
        Ok(found)
    }

    /// Ends an intent that nobody has paid in time.
    async fn close(&self, attempt: &Attempt, id: &str) -> Result<Outcome, Failure> {
        let key = format!("{}-cancel", attempt.reference);
        match self.post(&["payment_intents", id, "cancel"], &key, &[]).await? {
            Ok(intent) if intent["status"] == "canceled" => Ok(Outcome::Failed {
                decline: Decline::Expired,
                detail: "canceled after its time".to_owned(),
            }),
            // It was paid in the last moment, as it seems. The next question tells.
            Ok(_) => Err(Failure::unknown("the payment moved while it was closed")),
            Err(fault) => Err(fault.unanswered()),
        }
    }

    /// The refund of a reference among those of its payment.
    async fn listed(&self, refund: &Refund) -> Result<Option<Value>, Failure> {
        let paid = refund.payment.transaction.as_deref().unwrap_or_default();
        let list = self
            .get(&["refunds"], &[("payment_intent", paid), ("limit", REFUNDS)])
            .await?
            .map_err(|fault| fault.unanswered())?;
        let found = list["data"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|told| reference(told).as_deref() == Some(refund.reference.as_str()));
        if found.is_none() && list["has_more"] != false {
            return Err(Failure::unknown("the payment has more refunds than are read"));
        }
        Ok(found.cloned())
    }
}

#[async_trait]
impl Gateway for Stripe {
    fn code(&self) -> &'static str {
        "STRIPE"
    }

    fn name(&self) -> &'static str {
        "Stripe"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            hosted_page: false,
            saved_methods: true,
            partial_refunds: true,
            refunds_by_reference: true,
            repeatable_checkout: true,
        }
    }

    /// The least is published but for the dong, where it is our choice: about half a dollar, as elsewhere.
    fn limits(&self, currency: Currency) -> Option<Limits> {
        let least = match currency {
            Currency::Vnd => 12_000,
            Currency::Usd | Currency::Eur | Currency::Sgd | Currency::Jpy => 50,
            Currency::Thb => 1_000,
        };
        Some(Limits {
            least: Money::of(least, currency),
            most: Money::of(MOST, currency),
        })
    }

    fn reference(&self, id: Uuid, _: DateTime<Utc>) -> String {
        id.simple().to_string()
    }

    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        let amount = attempt.amount.minor().to_string();
        let currency = attempt.amount.currency().code().to_ascii_lowercase();
        let fields = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method_types[]", "card"),
            ("metadata[reference]", &attempt.reference),
            ("metadata[kind]", "checkout"),
            ("metadata[description]", &attempt.description),
        ];
        let key = format!("{}-pay", attempt.reference);
        let intent = self
            .post(&["payment_intents"], &key, &fields)
            .await?
            .map_err(|fault| fault.refused())?;
        let (Some(id), Some(secret)) = (filled(&intent["id"]), filled(&intent["client_secret"])) else {
            return Err(Failure::unknown("the payment has no secret to pay with"));
        };
        Ok(Checkout {
            gateway_id: Some(id),
            client_secret: Some(secret),
            ..Checkout::default()
        })
    }

    async fn charge(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure> {
        let (customer, card) = cards::parts(method)?;
        let amount = attempt.amount.minor().to_string();
        let currency = attempt.amount.currency().code().to_ascii_lowercase();
        let fields = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method_types[]", "card"),
            ("customer", customer),
            ("payment_method", card),
            ("off_session", "true"),
            ("confirm", "true"),
            ("metadata[reference]", &attempt.reference),
            ("metadata[kind]", "charge"),
            ("metadata[description]", &attempt.description),
        ];
        let key = format!("{}-charge", attempt.reference);
        match self.post(&["payment_intents"], &key, &fields).await? {
            Ok(intent) => outcome(&intent),
            Err(fault) if fault.status == 402 => Ok(Outcome::Failed {
                decline: fault.decline(),
                detail: fault.words(),
            }),
            Err(fault) => Err(fault.refused()),
        }
    }

    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(intent) = self.intent(attempt).await? else {
            return Ok(Outcome::Unknown);
        };
        let stands = outcome(&intent)?;
        let payable = matches!(
            intent["status"].as_str(),
            Some("requires_payment_method" | "requires_confirmation" | "requires_action")
        );
        // Stripe lives by the machine's clock: one that development has moved ahead closes nothing there.
        match filled(&intent["id"]) {
            Some(id) if stands == Outcome::Pending && payable && machine_now() > attempt.expires_at + GRACE => {
                self.close(attempt, &id).await
            }
            _ => Ok(stands),
        }
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let Some(paid) = refund.payment.transaction.as_deref() else {
            return Err(Failure::unknown("the payment's number is not known"));
        };
        let amount = refund.amount.minor().to_string();
        let fields = [
            ("payment_intent", paid),
            ("amount", &amount),
            ("metadata[reference]", &refund.reference),
            ("metadata[reason]", &refund.reason),
        ];
        let key = format!("{}-refund", refund.reference);
        match self.post(&["refunds"], &key, &fields).await? {
            Ok(refund) => refund_outcome(&refund),
            Err(fault) => Err(fault.refused()),
        }
    }

    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let found = match &refund.gateway_id {
            Some(id) => match self.get(&["refunds", id], &[]).await? {
                Ok(found) => Some(found),
                Err(fault) if fault.is_missing() => None,
                Err(fault) => return Err(fault.unanswered()),
            },
            None => self.listed(refund).await?,
        };
        found.map_or(Ok(RefundOutcome::Unknown), |found| refund_outcome(&found))
    }

    async fn begin_link(&self, link: &Link) -> Result<Checkout, Failure> {
        self.begin_card(link).await
    }

    async fn query_link(&self, link: &Link) -> Result<LinkOutcome, Failure> {
        self.query_card(link, link.gateway_id.as_deref()).await
    }

    /// The proof is the name of what the payer has confirmed.
    async fn finish_link(&self, link: &Link, proof: &SecretString) -> Result<LinkOutcome, Failure> {
        self.query_card(link, Some(proof.expose_secret())).await
    }

    async fn unlink(&self, method: &SavedMethod) -> Result<(), Failure> {
        self.detach(method).await
    }

    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        self.read_event(notice)
    }

    /// Any success ends the delivery. An event about what is not ours is none of our business, but nothing is wrong
    /// with it either: others may use the account.
    fn answer(&self, verdict: Verdict) -> Answer {
        let status = match verdict {
            Verdict::Taken | Verdict::Repeated | Verdict::WrongAmount | Verdict::NoSuchReference => 200,
            Verdict::Rejected(_) => 400,
            Verdict::Later => 503,
        };
        Answer {
            status,
            body: String::new(),
        }
    }
}
