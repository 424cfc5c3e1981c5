//! MoMo, by its all-in-one gateway (the wire of `/v2/gateway/api`): payments from the wallet, and wallets that are linked.
//!
//! Requests, notifications and the answer to a new payment are signed; answers to questions are not. A request's own
//! number makes it safe to repeat: what has an end is answered again, the rest as a repeated request.
//!
//! Wallets are linked by contract only, and with the key that MoMo gives for it ([`MomoConfig::token_key`]); without it,
//! linked wallets are not offered. How a link is ended is not published: its token is forgotten instead.

#[cfg(test)]
mod tests;
mod tokens;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::enums::Language;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
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
use crate::ids::new_id;
use tokens::Tokens;

/// The test environment's address.
pub const TEST: &str = "https://test-payment.momo.vn";
/// The address of real money.
pub const LIVE: &str = "https://payment.momo.vn";

/// The least and the most of a payment from the wallet, in dong, as published.
const LEAST: i64 = 1_000;
const MOST: i64 = 50_000_000;

/// What a partner is given by MoMo.
#[derive(Clone, Debug)]
pub struct MomoConfig {
    /// The address, without `/v2/gateway/api`: [`TEST`] or [`LIVE`].
    pub api: Url,
    /// The partner's code.
    pub partner_code: String,
    /// The key that is part of what is signed.
    pub access_key: SecretString,
    /// The key that signs. With linked wallets, 32 bytes: it opens their tokens too.
    pub secret_key: SecretString,
    /// MoMo's public RSA key, as DER in base64, with which tokens are sealed. Without it, wallets can't be linked.
    pub token_key: Option<String>,
}

/// The gateway.
#[derive(Debug)]
pub struct Momo {
    config: MomoConfig,
    key: Sha256Key,
    tokens: Option<Tokens>,
    wire: Wire,
}

/// What a result code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Done,
    Going,
    Failed(Decline),
    /// Asked before, with the same number.
    Repeated,
    /// There is no such thing there.
    Unheard,
    /// A mistake of ours: nothing was done.
    NotTaken,
    /// Anything else: nothing is known.
    Open,
}

const fn meaning(code: i64) -> Meaning {
    match code {
        0 => Meaning::Done,
        // 9000 is authorised. With automatic capture it may be read as paid; we wait for the capture, and ask.
        1000 | 7000 | 7002 | 8000 | 9000 => Meaning::Going,
        1001 => Meaning::Failed(Decline::InsufficientFunds),
        1004 => Meaning::Failed(Decline::LimitReached),
        1005 => Meaning::Failed(Decline::Expired),
        1003 | 1006 | 1017 => Meaning::Failed(Decline::Cancelled),
        1007 => Meaning::Failed(Decline::MethodRevoked),
        98 | 99 | 1002 | 1026 | 1080 | 1081 | 1088 | 2019 | 4001 | 4002 | 4100 => Meaning::Failed(Decline::Declined),
        40 | 41 => Meaning::Repeated,
        42 => Meaning::Unheard,
        11 | 12 | 13 | 20 | 21 | 22 | 45 | 47 => Meaning::NotTaken,
        _ => Meaning::Open,
    }
}

/// An answer, read but for its fields.
struct Said {
    fields: Value,
    code: i64,
}

impl Said {
    fn read(fields: Value) -> Result<Self, Failure> {
        match wire::integer(&fields["resultCode"]) {
            Some(code) => Ok(Self { fields, code }),
            None => Err(Failure::unknown("the answer has no result code")),
        }
    }

    const fn meaning(&self) -> Meaning {
        meaning(self.code)
    }

    fn words(&self) -> String {
        format!("result code {}", self.code)
    }

    fn refused(&self, decline: Decline) -> Failure {
        Failure::Refused {
            decline,
            detail: self.words(),
        }
    }

    fn open(&self) -> Failure {
        Failure::Unknown(self.words())
    }

    /// A text that is there and not empty.
    fn filled(&self, name: &str) -> Option<String> {
        let text = self.fields[name].as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn capture(&self) -> Option<Capture> {
        capture(&self.fields)
    }
}

fn capture(fields: &Value) -> Option<Capture> {
    let transaction = wire::integer(&fields["transId"])?;
    let amount = wire::amount(&fields["amount"], Currency::Vnd)?;
    (transaction > 0).then(|| Capture {
        transaction: transaction.to_string(),
        amount,
    })
}

const fn spoken(language: Language) -> &'static str {
    match language {
        Language::Vi => "vi",
        Language::En => "en",
    }
}

impl Momo {
    /// # Errors
    /// [`Error::Configuration`] for an address, a code or a key that can't be; [`Error::Internal`] when the machine has no
    /// TLS.
    pub fn new(config: MomoConfig) -> Result<Self, Error> {
        Self::with_patience(config, wire::PATIENCE)
    }

    /// The same, with another time for a request than [`wire::PATIENCE`].
    pub(super) fn with_patience(config: MomoConfig, patience: Duration) -> Result<Self, Error> {
        wire::check_base("MoMo's address", &config.api)?;
        wire::check_filled("MoMo's partner code", &config.partner_code)?;
        wire::check_filled("MoMo's access key", config.access_key.expose_secret())?;
        let tokens = match &config.token_key {
            Some(public) => Some(Tokens::new(public, &config.secret_key)?),
            None => None,
        };
        Ok(Self {
            key: Sha256Key::new("MoMo's secret key", &config.secret_key)?,
            tokens,
            wire: Wire::new(patience)?,
            config,
        })
    }

    /// What is signed: names and bare values in the names' order, the access key among them.
    fn written(&self, pairs: &[(&str, &str)]) -> String {
        let mut pairs = pairs.to_vec();
        pairs.push(("accessKey", self.config.access_key.expose_secret()));
        pairs.sort_unstable();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    /// What is signed of some fields of the vendor's; `None` when one is of a kind whose text is not certain.
    fn written_of(&self, fields: &Value, names: &[&'static str]) -> Option<String> {
        let values: Option<Vec<String>> = names.iter().map(|name| wire::text(fields.get(*name))).collect();
        let values = values?;
        let pairs: Vec<(&str, &str)> = names.iter().copied().zip(values.iter().map(String::as_str)).collect();
        Some(self.written(&pairs))
    }

    /// Sends fields, with the signature of the pairs.
    async fn call(&self, path: &[&str], signed: &[(&str, &str)], mut fields: Value) -> Result<Said, Failure> {
        let signed = [signed, &[("partnerCode", self.config.partner_code.as_str())]].concat();
        fields["partnerCode"] = self.config.partner_code.as_str().into();
        fields["signature"] = self.key.hex(self.written(&signed)).into();
        let url = wire::below(&self.config.api, &[&["v2", "gateway", "api"], path].concat())?;
        Said::read(self.wire.json(url, &fields).await?)
    }

    /// Begins a payment or a link, and believes the answer only with its signature. One that refuses may come without.
    async fn create(&self, signed: &[(&str, &str)], fields: Value, reference: &str) -> Result<Checkout, Failure> {
        const SIGNED: &[&str] = &[
            "amount",
            "orderId",
            "partnerCode",
            "payUrl",
            "requestId",
            "responseTime",
            "resultCode",
        ];
        let said = self.call(&["create"], signed, fields).await?;
        let signature = said.filled("signature");
        let made = signature.as_deref().is_some_and(|signature| {
            self.written_of(&said.fields, SIGNED)
                .is_some_and(|written| self.key.made(signature, written))
        });
        if !made && (signature.is_some() || said.meaning() == Meaning::Done) {
            return Err(Failure::unknown("the answer is not signed by the gateway"));
        }
        match said.meaning() {
            Meaning::Done => {
                let checkout = Checkout {
                    gateway_id: None,
                    url: said.filled("payUrl"),
                    app_url: said.filled("deeplink"),
                    qr: said.filled("qrCodeUrl"),
                    client_secret: None,
                    bank: None,
                };
                let shown = checkout.url.is_some() || checkout.app_url.is_some() || checkout.qr.is_some();
                if shown && self.is_about(&said.fields, reference) {
                    Ok(checkout)
                } else {
                    Err(Failure::unknown("the answer is not about this payment"))
                }
            }
            Meaning::Failed(decline) => Err(said.refused(decline)),
            Meaning::NotTaken | Meaning::Unheard => Err(said.refused(Decline::Rejected)),
            Meaning::Going | Meaning::Repeated | Meaning::Open => Err(said.open()),
        }
    }

    fn is_about(&self, fields: &Value, reference: &str) -> bool {
        fields["orderId"] == reference && fields["partnerCode"] == self.config.partner_code.as_str()
    }

    /// Asks about an order. Each question has a number of its own: with a used one, the old answer would come.
    async fn ask(&self, reference: &str, language: Language) -> Result<Said, Failure> {
        let request = wire::compact(new_id());
        let signed = [("orderId", reference), ("requestId", &request)];
        let fields = json!({ "orderId": reference, "requestId": request, "lang": spoken(language) });
        let said = self.call(&["query"], &signed, fields).await?;
        // What is not there is not told of under any other name either.
        if said.meaning() != Meaning::Unheard && !self.is_about(&said.fields, reference) {
            return Err(Failure::unknown("the answer is not about this payment"));
        }
        Ok(said)
    }

    /// What an answer says of a payment.
    fn outcome(said: &Said) -> Result<Outcome, Failure> {
        match said.meaning() {
            Meaning::Done => said
                .capture()
                .map(Outcome::Paid)
                .ok_or_else(|| Failure::unknown("paid, but not what and how much")),
            Meaning::Going => Ok(Outcome::Pending),
            Meaning::Failed(decline) => Ok(Outcome::Failed {
                decline,
                detail: said.words(),
            }),
            Meaning::Unheard => Ok(Outcome::Unknown),
            Meaning::Repeated | Meaning::NotTaken | Meaning::Open => Err(said.open()),
        }
    }
}

#[async_trait]
impl Gateway for Momo {
    fn code(&self) -> &'static str {
        "MOMO"
    }

    fn name(&self) -> &'static str {
        "MoMo"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            hosted_page: true,
            saved_methods: self.tokens.is_some(),
            partial_refunds: true,
            refunds_by_reference: true,
            repeatable_checkout: true,
        }
    }

    fn limits(&self, currency: Currency) -> Option<Limits> {
        (currency == Currency::Vnd).then(|| Limits {
            least: Money::of(LEAST, currency),
            most: Money::of(MOST, currency),
        })
    }

    fn reference(&self, id: Uuid, _: DateTime<Utc>) -> String {
        id.simple().to_string()
    }

    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        if attempt.amount.currency() != Currency::Vnd {
            return Err(Failure::Unsupported);
        }
        let amount = attempt.amount.minor().to_string();
        let signed = [
            ("amount", amount.as_str()),
            ("extraData", ""),
            ("ipnUrl", &attempt.notify_url),
            ("orderId", &attempt.reference),
            ("orderInfo", &attempt.description),
            ("redirectUrl", &attempt.return_url),
            ("requestId", &attempt.reference),
            ("requestType", "captureWallet"),
        ];
        let fields = json!({
            "requestId": attempt.reference,
            "amount": attempt.amount.minor(),
            "orderId": attempt.reference,
            "orderInfo": attempt.description,
            "redirectUrl": attempt.return_url,
            "ipnUrl": attempt.notify_url,
            "requestType": "captureWallet",
            "extraData": "",
            "autoCapture": true,
            "lang": spoken(attempt.language),
        });
        self.create(&signed, fields, &attempt.reference).await
    }

    async fn charge(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure> {
        self.pay(attempt, method).await
    }

    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure> {
        Self::outcome(&self.ask(&attempt.reference, attempt.language).await?)
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let paid = refund.payment.transaction.as_deref().unwrap_or_default();
        let Ok(number) = paid.parse::<i64>() else {
            return Err(Failure::unknown("the payment's number is not known"));
        };
        let amount = refund.amount.minor().to_string();
        let signed = [
            ("amount", amount.as_str()),
            ("description", &refund.reason),
            ("orderId", &refund.reference),
            ("requestId", &refund.reference),
            ("transId", paid),
        ];
        let fields = json!({
            "orderId": refund.reference,
            "requestId": refund.reference,
            "amount": refund.amount.minor(),
            "transId": number,
            "description": refund.reason,
            "lang": spoken(refund.payment.language),
        });
        let said = self.call(&["refund"], &signed, fields).await?;
        match said.meaning() {
            Meaning::Done => Ok(RefundOutcome::Succeeded),
            Meaning::Going => Ok(RefundOutcome::Pending),
            // Final also where MoMo says to try later: under this name the answer would stay the same.
            Meaning::Failed(_) => Ok(RefundOutcome::Failed { detail: said.words() }),
            Meaning::NotTaken | Meaning::Unheard => Err(said.refused(Decline::Rejected)),
            Meaning::Repeated | Meaning::Open => Err(said.open()),
        }
    }

    /// A payment's refunds are told with it.
    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let said = self.ask(&refund.payment.reference, refund.payment.language).await?;
        if !matches!(said.meaning(), Meaning::Done | Meaning::Going | Meaning::Failed(_)) {
            return Err(said.open());
        }
        let ours = said.fields["refundTrans"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|told| told["orderId"] == refund.reference.as_str());
        let Some(ours) = ours else {
            return Ok(RefundOutcome::Unknown);
        };
        let ours = Said::read(ours.clone())?;
        match ours.meaning() {
            Meaning::Done => Ok(RefundOutcome::Succeeded),
            Meaning::Going => Ok(RefundOutcome::Pending),
            Meaning::Failed(_) => Ok(RefundOutcome::Failed { detail: ours.words() }),
            _ => Err(ours.open()),
        }
    }

    async fn begin_link(&self, link: &Link) -> Result<Checkout, Failure> {
        self.begin_wallet(link).await
    }

    async fn query_link(&self, link: &Link) -> Result<LinkOutcome, Failure> {
        self.query_wallet(link).await
    }

    async fn finish_link(&self, link: &Link, proof: &SecretString) -> Result<LinkOutcome, Failure> {
        self.fetch_token(link, proof).await
    }

    async fn unlink(&self, _: &SavedMethod) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }

    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        const SIGNED: &[&str] = &[
            "amount",
            "extraData",
            "message",
            "orderId",
            "orderInfo",
            "orderType",
            "partnerCode",
            "payType",
            "requestId",
            "responseTime",
            "resultCode",
            "transId",
        ];
        let fields: Value = serde_json::from_slice(notice.body).map_err(|_| Rejected::Signature)?;
        let mut names = SIGNED.to_vec();
        // The notification of a link has two more.
        let more = ["callbackToken", "partnerClientId"];
        names.extend(more.into_iter().filter(|name| fields.get(name).is_some()));
        let written = self.written_of(&fields, &names).ok_or(Rejected::Signature)?;
        let signature = fields["signature"].as_str().ok_or(Rejected::Signature)?;
        if !self.key.made(signature, written) {
            return Err(Rejected::Signature);
        }
        if fields["partnerCode"] != self.config.partner_code.as_str() {
            return Err(Rejected::Merchant);
        }
        let reference = match &fields["orderId"] {
            Value::String(reference) if !reference.is_empty() => reference.clone(),
            _ => return Err(Rejected::Malformed),
        };
        let code = wire::integer(&fields["resultCode"]).ok_or(Rejected::Malformed)?;
        let transaction = wire::text(fields.get("transId")).ok_or(Rejected::Malformed)?;
        // A payment that failed may have no number of its own, so that the order has to be named too.
        let event = format!("{reference}:{transaction}:{code}");
        if fields["extraData"] == tokens::mark().as_str() {
            let about = tokens::about(&fields, reference, code);
            return Ok(Notice { event, about });
        }
        let detail = format!("result code {code}");
        let outcome = match meaning(code) {
            Meaning::Done => Outcome::Paid(capture(&fields).ok_or(Rejected::Malformed)?),
            Meaning::Going => Outcome::Pending,
            Meaning::Failed(decline) => Outcome::Failed { decline, detail },
            _ => {
                let about = About::Nothing;
                return Ok(Notice { event, about });
            }
        };
        let about = About::Payment { reference, outcome };
        Ok(Notice { event, about })
    }

    /// MoMo wants no content, in 15 seconds.
    fn answer(&self, verdict: Verdict) -> Answer {
        let status = match verdict {
            Verdict::Taken | Verdict::Repeated | Verdict::WrongAmount => 204,
            Verdict::Rejected(_) => 400,
            Verdict::NoSuchReference => 404,
            Verdict::Later => 503,
        };
        Answer {
            status,
            body: String::new(),
        }
    }
}
