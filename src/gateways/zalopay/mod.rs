//! ZaloPay, by its OpenAPI v2: orders paid by QR code, app or page; wallets that are linked by an agreement.
//!
//! Requests are signed with the first key, callbacks with the second; answers are not signed at all. A callback comes
//! only for money that was taken: that an order failed or expired is heard by asking. An order can't be begun twice, so a
//! checkout whose answer was lost stays lost, and so does a charge's order; where the money is, asking tells.

mod agreements;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::{self, Sha256Key, Wire};
use super::{
    About, Answer, Attempt, Capabilities, Checkout, Failure, Gateway, Limits, Link, Notice, RawNotice, Refund,
    Rejected, SavedMethod, Verdict,
};
use crate::domain::gateway::{Capture, Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money};
use crate::error::Error;

/// The sandbox's address.
pub const SANDBOX: &str = "https://sb-openapi.zalopay.vn";
/// The address of real money.
pub const LIVE: &str = "https://openapi.zalopay.vn";

/// The least and the most of an order, in dong. ZaloPay publishes neither: both are our choice, the most being that of
/// other wallets in Vietnam.
const LEAST: i64 = 1_000;
const MOST: i64 = 50_000_000;
/// How long an order lives, in seconds, at least and at most.
const LIFE: std::ops::RangeInclusive<i64> = 300..=2_592_000;
/// The largest application number: with it, a reference has 40 characters, which is the most.
const LARGEST_APP: u32 = 9_999_999;

/// What a merchant is given by ZaloPay.
#[derive(Clone, Debug)]
pub struct ZaloPayConfig {
    /// The address of the API, without `/v2`: [`SANDBOX`] or [`LIVE`].
    pub api: Url,
    /// The application's number.
    pub app_id: u32,
    /// The key of requests.
    pub key1: SecretString,
    /// The key of callbacks.
    pub key2: SecretString,
}

/// The gateway.
#[derive(Debug)]
pub struct ZaloPay {
    config: ZaloPayConfig,
    key1: Sha256Key,
    key2: Sha256Key,
    wire: Wire,
}

/// An answer. What is not there is not needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    return_code: Value,
    sub_return_code: Value,
    zp_trans_token: Option<String>,
    order_url: Option<String>,
    qr_code: Option<String>,
    amount: Value,
    zp_trans_id: Value,
    binding_token: Option<String>,
    binding_qr_link: Option<String>,
    short_link: Option<String>,
    deep_link: Option<String>,
    data: Value,
}

/// Where a request stands, by its answer's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Done,
    Failed(i64),
    Going,
}

impl Said {
    /// The code, when it says something of what was asked about: a fault of theirs, or a request of ours that they did not
    /// take, says nothing of it.
    fn code(&self) -> Result<Code, Failure> {
        let sub = wire::integer(&self.sub_return_code).unwrap_or_default();
        match wire::integer(&self.return_code) {
            Some(1) => Ok(Code::Done),
            Some(2) if !matches!(sub, -500 | -429 | -405..=-401 | -999) => Ok(Code::Failed(sub)),
            Some(3) => Ok(Code::Going),
            _ => Err(Failure::unknown(self.words())),
        }
    }

    /// The same, for a request that is to make something: one that was not taken has made nothing.
    fn code_of_making(&self) -> Result<Code, Failure> {
        match (
            wire::integer(&self.return_code),
            wire::integer(&self.sub_return_code).unwrap_or_default(),
        ) {
            (Some(2), -405..=-401) => Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: self.words(),
            }),
            // It exists already: it was made before, and its answer was lost.
            (Some(2), -68 | -23) => Err(Failure::unknown("it exists already")),
            _ => self.code(),
        }
    }

    fn words(&self) -> String {
        let code = |value| wire::integer(value).map_or_else(|| "?".to_owned(), |code| code.to_string());
        format!("{}/{}", code(&self.return_code), code(&self.sub_return_code))
    }

    fn transaction(&self) -> Option<String> {
        transaction(&self.zp_trans_id)
    }
}

/// ZaloPay's number of a transaction. It is a number on the wire, and a text in some answers.
fn transaction(value: &Value) -> Option<String> {
    let number = wire::integer(value)?;
    (number > 0).then(|| number.to_string())
}

/// Why an order failed. Only a few of the codes are published.
const fn decline(sub: i64) -> Decline {
    match sub {
        -54 | -322 => Decline::Expired,
        -329 => Decline::Cancelled,
        -135 | -88 | -43 | -35..=-32 => Decline::IssuerUnavailable,
        _ => Decline::Declined,
    }
}

impl ZaloPay {
    /// # Errors
    /// [`Error::Configuration`] for an address, an application's number or a key that can't be;
    /// [`Error::Internal`] when the machine has no TLS.
    pub fn new(config: ZaloPayConfig) -> Result<Self, Error> {
        Self::with_patience(config, wire::PATIENCE)
    }

    /// The same, with another time for a request than [`wire::PATIENCE`].
    pub(super) fn with_patience(config: ZaloPayConfig, patience: Duration) -> Result<Self, Error> {
        wire::check_base("ZaloPay's address", &config.api)?;
        if !(1..=LARGEST_APP).contains(&config.app_id) {
            return Err(Error::configuration(format_args!(
                "ZaloPay's application number has to be 1 to {LARGEST_APP}"
            )));
        }
        Ok(Self {
            key1: Sha256Key::new("ZaloPay's key1", &config.key1)?,
            key2: Sha256Key::new("ZaloPay's key2", &config.key2)?,
            wire: Wire::new(patience)?,
            config,
        })
    }

    /// Sends fields with their signature: the digest of the application's number and the signed parts, joined by bars.
    async fn call(&self, path: &[&str], signed: &[&str], mut fields: Value) -> Result<Said, Failure> {
        let app = self.config.app_id.to_string();
        let signed = [&[app.as_str()], signed].concat().join("|");
        fields["app_id"] = self.config.app_id.into();
        fields["mac"] = self.key1.hex(signed).into();
        let url = wire::below(&self.config.api, &[&["v2"], path].concat())?;
        self.wire.json(url, &fields).await
    }

    /// Makes an order. What is signed is sent letter by letter.
    async fn create(&self, attempt: &Attempt, product: Option<&str>) -> Result<Said, Failure> {
        if attempt.amount.currency() != Currency::Vnd {
            return Err(Failure::Unsupported);
        }
        let amount = attempt.amount.minor().to_string();
        let time = attempt.created_at.timestamp_millis().to_string();
        let embed = json!({ "redirecturl": attempt.return_url }).to_string();
        let items = "[]";
        let life = (attempt.expires_at - attempt.created_at).num_seconds();
        let mut fields = json!({
            "app_trans_id": attempt.reference,
            "app_user": attempt.payer,
            "app_time": attempt.created_at.timestamp_millis(),
            "amount": attempt.amount.minor(),
            "embed_data": embed,
            "item": items,
            "expire_duration_seconds": life.clamp(*LIFE.start(), *LIFE.end()),
            "description": attempt.description,
            "callback_url": attempt.notify_url,
            "bank_code": "",
        });
        if let Some(product) = product {
            fields["product_code"] = product.into();
        }
        let signed = [
            attempt.reference.as_str(),
            &attempt.payer,
            &amount,
            &time,
            &embed,
            items,
        ];
        self.call(&["create"], &signed, fields).await
    }

    /// The callback's data, once its digest is right. That it is of an order or of an agreement is seen in it: the
    /// field that says so beside it is not signed.
    fn told(&self, notice: &RawNotice<'_>) -> Result<Value, Rejected> {
        #[derive(Deserialize)]
        struct Callback {
            data: String,
            mac: String,
        }
        let callback: Callback = serde_json::from_slice(notice.body).map_err(|_| Rejected::Signature)?;
        if !self.key2.made(&callback.mac, &callback.data) {
            return Err(Rejected::Signature);
        }
        let data: Value = serde_json::from_str(&callback.data).map_err(|_| Rejected::Malformed)?;
        if wire::integer(&data["app_id"]) != Some(i64::from(self.config.app_id)) {
            return Err(Rejected::Merchant);
        }
        Ok(data)
    }
}

#[async_trait]
impl Gateway for ZaloPay {
    fn code(&self) -> &'static str {
        "ZALOPAY"
    }

    fn name(&self) -> &'static str {
        "ZaloPay"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            hosted_page: true,
            saved_methods: true,
            partial_refunds: true,
            refunds_by_reference: true,
            repeatable_checkout: false,
        }
    }

    fn limits(&self, currency: Currency) -> Option<Limits> {
        (currency == Currency::Vnd).then(|| Limits {
            least: Money::of(LEAST, currency),
            most: Money::of(MOST, currency),
        })
    }

    /// The local day, the application's number and the key: what ZaloPay asks of orders, agreements and refunds alike.
    fn reference(&self, id: Uuid, created_at: DateTime<Utc>) -> String {
        let day = wire::in_vietnam(created_at, "%y%m%d");
        format!("{day}_{}_{}", self.config.app_id, wire::compact(id))
    }

    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        let said = self.create(attempt, None).await?;
        match said.code_of_making()? {
            Code::Done if said.order_url.is_some() || said.qr_code.is_some() => Ok(Checkout {
                gateway_id: said.zp_trans_token,
                url: said.order_url,
                qr: said.qr_code,
                ..Checkout::default()
            }),
            Code::Failed(sub) => Err(Failure::Refused {
                decline: decline(sub),
                detail: said.words(),
            }),
            Code::Done | Code::Going => Err(Failure::unknown("the order has no address to pay at")),
        }
    }

    /// An order, and the wallet's token for it. The token for an order is given once, so that it can't be paid twice:
    /// whoever comes again asks where it stands.
    async fn charge(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure> {
        let made = self.create(attempt, Some("AGREEMENT")).await?;
        if wire::integer(&made.return_code) == Some(2) && wire::integer(&made.sub_return_code) == Some(-68) {
            return self.query(attempt).await;
        }
        match (made.code_of_making()?, made.zp_trans_token.as_deref()) {
            (Code::Done, Some(order)) => self.pay(attempt, method, order).await,
            (Code::Failed(sub), _) => Err(Failure::Refused {
                decline: decline(sub),
                detail: made.words(),
            }),
            (Code::Done | Code::Going, _) => Err(Failure::unknown("the order has no token to pay with")),
        }
    }

    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure> {
        use secrecy::ExposeSecret as _;
        let fields = json!({ "app_trans_id": attempt.reference });
        // The key is part of what is signed, besides being what signs.
        let signed = [attempt.reference.as_str(), self.config.key1.expose_secret()];
        let said = self.call(&["query"], &signed, fields).await?;
        Ok(match said.code()? {
            Code::Done => {
                let amount = wire::amount(&said.amount, Currency::Vnd);
                let (Some(transaction), Some(amount)) = (said.transaction(), amount) else {
                    return Err(Failure::unknown("paid, but not what and how much"));
                };
                Outcome::Paid(Capture { transaction, amount })
            }
            Code::Going => Outcome::Pending,
            // It knows of no such order: it may not have come there yet.
            Code::Failed(-101) => Outcome::Unknown,
            Code::Failed(sub) => Outcome::Failed {
                decline: decline(sub),
                detail: said.words(),
            },
        })
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let Some(paid) = refund.payment.transaction.as_deref() else {
            return Err(Failure::unknown("the payment's number is not known"));
        };
        let amount = refund.amount.minor().to_string();
        let time = refund.created_at.timestamp_millis().to_string();
        let fields = json!({
            "m_refund_id": refund.reference,
            "zp_trans_id": paid,
            "amount": refund.amount.minor(),
            "timestamp": refund.created_at.timestamp_millis(),
            "description": refund.reason,
        });
        let signed = [paid, &amount, &refund.reason, &time];
        let said = self.call(&["refund"], &signed, fields).await?;
        Ok(refunded(said.code_of_making()?, &said))
    }

    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let now = crate::clock::machine_now().timestamp_millis();
        let fields = json!({ "m_refund_id": refund.reference, "timestamp": now });
        let signed = [refund.reference.as_str(), &now.to_string()];
        let said = self.call(&["query_refund"], &signed, fields).await?;
        Ok(refunded(said.code()?, &said))
    }

    async fn begin_link(&self, link: &Link) -> Result<Checkout, Failure> {
        self.bind(link).await
    }

    async fn query_link(&self, link: &Link) -> Result<LinkOutcome, Failure> {
        self.agreement(&link.reference)
            .await
            .map(agreements::Agreement::outcome)
    }

    async fn unlink(&self, method: &SavedMethod) -> Result<(), Failure> {
        self.unbind(method).await
    }

    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        let data = self.told(notice)?;
        let reference = match &data["app_trans_id"] {
            Value::String(reference) if !reference.is_empty() => reference.clone(),
            _ => return Err(Rejected::Malformed),
        };
        if data.get("binding_id").is_some() {
            return agreements::notice(&data, reference);
        }
        let transaction = transaction(&data["zp_trans_id"]).ok_or(Rejected::Malformed)?;
        let amount = wire::amount(&data["amount"], Currency::Vnd).ok_or(Rejected::Malformed)?;
        Ok(Notice {
            event: format!("order:{transaction}"),
            about: About::Payment {
                reference,
                outcome: Outcome::Paid(Capture { transaction, amount }),
            },
        })
    }

    /// 1 ends the delivery, 0 asks for another, anything below refuses. A repeated one is answered with 1 too: the 2 that
    /// others send for it is in no document.
    fn answer(&self, verdict: Verdict) -> Answer {
        let (code, words) = match verdict {
            Verdict::Taken | Verdict::Repeated | Verdict::WrongAmount => (1, "success"),
            Verdict::Later => (0, "try again"),
            Verdict::Rejected(Rejected::Signature) => (-1, "mac not equal"),
            Verdict::Rejected(_) => (-1, "rejected"),
            Verdict::NoSuchReference => (-1, "no such order"),
        };
        Answer {
            status: 200,
            body: json!({ "return_code": code, "return_message": words }).to_string(),
        }
    }
}

fn refunded(code: Code, said: &Said) -> RefundOutcome {
    match code {
        Code::Done => RefundOutcome::Succeeded,
        Code::Going => RefundOutcome::Pending,
        Code::Failed(_) => RefundOutcome::Failed { detail: said.words() },
    }
}
