//! VNPAY, version 2.1.0: the payer is sent to a page whose address we sign ourselves, and questions and refunds go to
//! its merchant interface.
//!
//! A payment is known there by our reference and the day it was begun: the same instant is told each time. Answers are
//! signed, and one that is not, or not rightly, says nothing; so a refusal of our signature shows as no answer. Kept
//! cards still ask their owner for a bank's password, so that nothing can be charged without the payer: not offered.
//!
//! A signature is checked over the text as it came, sorted: the same values in another spelling (`%20` for `+`) are not
//! what was signed.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::enums::Language;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::{self, Sha512Key, Wire};
use super::{
    About, Answer, Attempt, Capabilities, Checkout, Failure, Gateway, Limits, Link, Notice, RawNotice, Refund,
    Rejected, SavedMethod, Verdict,
};
use crate::clock::machine_now;
use crate::domain::gateway::{Capture, Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money};
use crate::error::Error;
use crate::ids::new_id;

/// The sandbox's page.
pub const SANDBOX_PAGE: &str = "https://sandbox.vnpayment.vn/paymentv2/vpcpay.html";
/// The sandbox's merchant interface.
pub const SANDBOX_API: &str = "https://sandbox.vnpayment.vn/merchant_webapi/api/transaction";

const VERSION: &str = "2.1.0";
/// How instants are written, by Vietnam's clock.
const INSTANT: &str = "%Y%m%d%H%M%S";
/// The least of a payment, in dong. None is published: our choice.
const LEAST: i64 = 5_000;
/// The most, in dong: twelve digits of hundredths are what is published.
const MOST: i64 = 9_999_999_999;
/// Amounts are told in hundredths of a dong.
const HUNDREDTHS: i64 = 100;

/// What a merchant is given by VNPAY.
#[derive(Clone, Debug)]
pub struct VnpayConfig {
    /// The page that payers are sent to, such as [`SANDBOX_PAGE`].
    pub page: Url,
    /// The merchant interface, such as [`SANDBOX_API`].
    pub api: Url,
    /// The terminal's code.
    pub tmn_code: String,
    /// The key that signs.
    pub hash_secret: SecretString,
    /// The address from which we ask, as VNPAY wants to be told; also told for a payer whose address is not known.
    pub server_address: String,
}

/// The gateway.
#[derive(Debug)]
pub struct Vnpay {
    config: VnpayConfig,
    key: Sha512Key,
    wire: Wire,
}

/// What is signed of an answer to a question, in its order.
const SIGNED_OF_QUERY: &[&str] = &[
    "vnp_ResponseId",
    "vnp_Command",
    "vnp_ResponseCode",
    "vnp_Message",
    "vnp_TmnCode",
    "vnp_TxnRef",
    "vnp_Amount",
    "vnp_BankCode",
    "vnp_PayDate",
    "vnp_TransactionNo",
    "vnp_TransactionType",
    "vnp_TransactionStatus",
    "vnp_OrderInfo",
    "vnp_PromotionCode",
    "vnp_PromotionAmount",
];

/// An answer whose signature was right.
struct Said(Value);

impl Said {
    fn text(&self, name: &str) -> String {
        wire::text(self.0.get(name)).unwrap_or_default()
    }

    fn code(&self) -> String {
        self.text("vnp_ResponseCode")
    }

    /// The code and the status: digits, whatever came.
    fn words(&self) -> String {
        words(&self.code(), &self.text("vnp_TransactionStatus"))
    }

    fn amount(&self) -> Option<Money> {
        amount(&self.text("vnp_Amount"))
    }

    fn is_of_refund(&self) -> bool {
        matches!(self.text("vnp_TransactionType").as_str(), "02" | "03")
    }
}

fn words(code: &str, status: &str) -> String {
    let plain = |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).take(8).collect() };
    format!("response {}, status {}", plain(code), plain(status))
}

/// An amount that is told in hundredths: whole dong only.
fn amount(text: &str) -> Option<Money> {
    let hundredths = wire::integer(&Value::String(text.to_owned()))?;
    let whole = hundredths % HUNDREDTHS == 0;
    let money = Money::checked(hundredths / HUNDREDTHS, Currency::Vnd).ok()?;
    (whole && money.is_positive()).then_some(money)
}

fn capture(transaction: &str, told: &str) -> Option<Capture> {
    let number: u64 = transaction.parse().ok()?;
    Some(Capture {
        transaction: (number > 0).then(|| transaction.to_owned())?,
        amount: amount(told)?,
    })
}

fn hundredths(money: Money) -> Result<String, Failure> {
    if money.currency() != Currency::Vnd {
        return Err(Failure::Unsupported);
    }
    let told = money.minor().checked_mul(HUNDREDTHS);
    told.map(|told| told.to_string()).ok_or(Failure::Unsupported)
}

/// Why a payment failed, by its response code.
fn decline(code: &str) -> Decline {
    match code {
        "11" => Decline::Expired,
        "24" => Decline::Cancelled,
        "51" => Decline::InsufficientFunds,
        "65" => Decline::LimitReached,
        "75" => Decline::IssuerUnavailable,
        _ => Decline::Declined,
    }
}

fn instant(at: DateTime<Utc>) -> String {
    wire::in_vietnam(at, INSTANT)
}

const fn spoken(language: Language) -> &'static str {
    match language {
        Language::Vi => "vn",
        Language::En => "en",
    }
}

impl Vnpay {
    /// # Errors
    /// [`Error::Configuration`] for an address, a code or a key that can't be; [`Error::Internal`] when the machine has no
    /// TLS.
    pub fn new(config: VnpayConfig) -> Result<Self, Error> {
        Self::with_patience(config, wire::PATIENCE)
    }

    /// The same, with another time for a request than [`wire::PATIENCE`].
    pub(super) fn with_patience(config: VnpayConfig, patience: Duration) -> Result<Self, Error> {
        wire::check_base("VNPAY's page", &config.page)?;
        wire::check_base("VNPAY's address", &config.api)?;
        wire::check_filled("VNPAY's terminal code", &config.tmn_code)?;
        wire::check_filled("the server's address for VNPAY", &config.server_address)?;
        Ok(Self {
            key: Sha512Key::new("VNPAY's hash secret", &config.hash_secret)?,
            wire: Wire::new(patience)?,
            config,
        })
    }

    /// A query of the fields that are filled, sorted, with its signature.
    fn signed_query(&self, fields: &[(&str, &str)]) -> String {
        let fields: BTreeMap<&str, &str> = fields.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
        let query = wire::form(fields);
        let hash = self.key.hex(&query);
        format!("{query}&vnp_SecureHash={hash}")
    }

    /// Asks, with the parts signed in their order, and believes only what is signed in the order of `answered`.
    async fn call(
        &self,
        fields: &[(&str, &str)],
        signed: &[&str],
        answered: &[&str],
        reference: &str,
    ) -> Result<Said, Failure> {
        let mut body: Value = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        body["vnp_SecureHash"] = self.key.hex(signed.join("|")).into();
        let said: Value = self.wire.json(self.config.api.clone(), &body).await?;
        let parts: Option<Vec<String>> = answered.iter().map(|name| wire::text(said.get(*name))).collect();
        let hash = said["vnp_SecureHash"].as_str();
        let (Some(parts), Some(hash)) = (parts, hash) else {
            return Err(Failure::unknown("the answer is not signed"));
        };
        if !self.key.made(hash, parts.join("|")) {
            return Err(Failure::unknown("the answer is not signed by the gateway"));
        }
        let said = Said(said);
        let ours = |name, value: &str| said.text(name) == value || (said.code() != "00" && said.text(name).is_empty());
        if ours("vnp_TmnCode", &self.config.tmn_code) && ours("vnp_TxnRef", reference) {
            Ok(said)
        } else {
            Err(Failure::unknown("the answer is not about this payment"))
        }
    }

    async fn ask(&self, attempt: &Attempt) -> Result<Said, Failure> {
        let (request, now) = (wire::compact(new_id()), instant(machine_now()));
        let begun = instant(attempt.created_at);
        let (terminal, address) = (self.config.tmn_code.as_str(), self.config.server_address.as_str());
        let fields = [
            ("vnp_RequestId", request.as_str()),
            ("vnp_Version", VERSION),
            ("vnp_Command", "querydr"),
            ("vnp_TmnCode", terminal),
            ("vnp_TxnRef", &attempt.reference),
            ("vnp_TransactionDate", &begun),
            ("vnp_CreateDate", &now),
            ("vnp_IpAddr", address),
            ("vnp_OrderInfo", &attempt.description),
        ];
        let signed = fields.map(|(_, value)| value);
        self.call(&fields, &signed, SIGNED_OF_QUERY, &attempt.reference).await
    }

    /// The fields of a query that is signed by VNPAY. Read is only what was signed, as it was signed.
    fn told(&self, query: &str) -> Result<BTreeMap<String, String>, Rejected> {
        let mut signed = BTreeMap::new();
        let mut hash = None;
        for part in query.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !name.starts_with("vnp_") || name == "vnp_SecureHashType" {
                continue;
            }
            if name == "vnp_SecureHash" {
                if hash.replace(value).is_some() {
                    return Err(Rejected::Signature);
                }
            } else if !value.is_empty() && signed.insert(name, (value, part)).is_some() {
                // Which of the two is meant would be anybody's guess.
                return Err(Rejected::Signature);
            }
        }
        let text: Vec<&str> = signed.values().map(|(_, part)| *part).collect();
        if !hash.is_some_and(|hash| self.key.made(hash, text.join("&"))) {
            return Err(Rejected::Signature);
        }
        let read = |value: &str| {
            let value = value.as_bytes();
            url::form_urlencoded::parse(&[b"v=", value].concat())
                .next()
                .map(|(_, read)| read.into_owned())
                .unwrap_or_default()
        };
        Ok(signed
            .into_iter()
            .map(|(name, (value, _))| (name.to_owned(), read(value)))
            .collect())
    }
}

/// Where a refund stands, by its status.
fn refunded(said: &Said) -> RefundOutcome {
    match said.text("vnp_TransactionStatus").as_str() {
        // 06: it is with the bank, and needs nothing more.
        "00" | "06" => RefundOutcome::Succeeded,
        "02" | "09" => RefundOutcome::Failed { detail: said.words() },
        _ => RefundOutcome::Pending,
    }
}

#[async_trait]
impl Gateway for Vnpay {
    fn code(&self) -> &'static str {
        "VNPAY"
    }

    fn name(&self) -> &'static str {
        "VNPAY"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            hosted_page: true,
            saved_methods: false,
            partial_refunds: true,
            refunds_by_reference: false,
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

    /// Nobody is asked: the address is made here, and VNPAY hears of the payment when the payer comes.
    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        let amount = hundredths(attempt.amount)?;
        let (from, until) = (instant(attempt.created_at), instant(attempt.expires_at));
        let address = attempt.payer_address.as_deref().unwrap_or(&self.config.server_address);
        let query = self.signed_query(&[
            ("vnp_Version", VERSION),
            ("vnp_Command", "pay"),
            ("vnp_TmnCode", &self.config.tmn_code),
            ("vnp_Amount", &amount),
            ("vnp_CreateDate", &from),
            ("vnp_ExpireDate", &until),
            ("vnp_CurrCode", "VND"),
            ("vnp_IpAddr", address),
            ("vnp_Locale", spoken(attempt.language)),
            ("vnp_OrderInfo", &attempt.description),
            ("vnp_OrderType", "other"),
            ("vnp_ReturnUrl", &attempt.return_url),
            ("vnp_TxnRef", &attempt.reference),
        ]);
        let mut url = self.config.page.clone();
        url.set_query(Some(&query));
        Ok(Checkout {
            url: Some(url.into()),
            ..Checkout::default()
        })
    }

    async fn charge(&self, _: &Attempt, _: &SavedMethod) -> Result<Outcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure> {
        let said = self.ask(attempt).await?;
        match (said.code().as_str(), said.text("vnp_TransactionStatus").as_str()) {
            ("91", _) => Ok(Outcome::Unknown),
            // Something of it went back, by whose hand ever: no rule of ours knows what that means.
            ("00", _) if said.is_of_refund() => Ok(Outcome::Review),
            ("00", "00") => capture(&said.text("vnp_TransactionNo"), &said.text("vnp_Amount"))
                .map(Outcome::Paid)
                .ok_or_else(|| Failure::unknown("paid, but not what and how much")),
            ("00", "01") => Ok(Outcome::Pending),
            ("00", "02") => Ok(Outcome::Failed {
                decline: Decline::Declined,
                detail: said.words(),
            }),
            // Suspicious, debited at the bank only, or on its way back.
            ("00", "04" | "05" | "06" | "07" | "09") => Ok(Outcome::Review),
            _ => Err(Failure::Unknown(said.words())),
        }
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let amount = hundredths(refund.amount)?;
        let kind = if refund.amount == refund.payment.amount {
            "02"
        } else {
            "03"
        };
        let (begun, now) = (instant(refund.payment.created_at), instant(refund.created_at));
        let fields = [
            // The same each time, so that a repeated refund is known as one.
            ("vnp_RequestId", refund.reference.as_str()),
            ("vnp_Version", VERSION),
            ("vnp_Command", "refund"),
            ("vnp_TmnCode", &self.config.tmn_code),
            ("vnp_TransactionType", kind),
            ("vnp_TxnRef", &refund.payment.reference),
            ("vnp_Amount", &amount),
            (
                "vnp_TransactionNo",
                refund.payment.transaction.as_deref().unwrap_or_default(),
            ),
            ("vnp_TransactionDate", &begun),
            ("vnp_CreateBy", &refund.by),
            ("vnp_CreateDate", &now),
            ("vnp_IpAddr", &self.config.server_address),
            ("vnp_OrderInfo", &refund.reason),
        ];
        let signed = fields.map(|(_, value)| value);
        // The answer has no promotion.
        let answered = SIGNED_OF_QUERY.get(..13).unwrap_or_default();
        let said = self.call(&fields, &signed, answered, &refund.payment.reference).await?;
        match said.code().as_str() {
            "00" => Ok(refunded(&said)),
            "02" | "03" | "91" | "95" | "97" => Err(Failure::Refused {
                decline: Decline::Rejected,
                detail: said.words(),
            }),
            // 94: it was asked for before. Where that led is to be asked.
            _ => Err(Failure::Unknown(said.words())),
        }
    }

    /// A question about a payment tells of its last refund. Where that is not this one, nothing is known.
    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure> {
        let said = self.ask(&refund.payment).await?;
        if said.code() == "00" && said.is_of_refund() && said.amount() == Some(refund.amount) {
            return Ok(refunded(&said));
        }
        Err(Failure::Unknown(said.words()))
    }

    async fn begin_link(&self, _: &Link) -> Result<Checkout, Failure> {
        Err(Failure::Unsupported)
    }

    async fn query_link(&self, _: &Link) -> Result<LinkOutcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn unlink(&self, _: &SavedMethod) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }

    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        let fields = self.told(notice.query)?;
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if field("vnp_TmnCode") != self.config.tmn_code {
            return Err(Rejected::Merchant);
        }
        let reference = field("vnp_TxnRef").to_owned();
        let transaction = field("vnp_TransactionNo");
        let (code, status) = (field("vnp_ResponseCode"), field("vnp_TransactionStatus"));
        if reference.is_empty() || code.is_empty() || status.is_empty() {
            return Err(Rejected::Malformed);
        }
        let outcome = match (code, status) {
            ("00", "00") => Outcome::Paid(capture(transaction, field("vnp_Amount")).ok_or(Rejected::Malformed)?),
            // The two contradict each other, or it is looked into.
            (_, "00" | "04" | "05" | "06" | "07" | "09") | ("07", _) => Outcome::Review,
            ("00", "01") => Outcome::Pending,
            _ => Outcome::Failed {
                decline: decline(code),
                detail: words(code, status),
            },
        };
        Ok(Notice {
            // A payment that failed may have no number of its own, so that the order has to be named too.
            event: format!("{reference}:{transaction}:{code}:{status}"),
            about: About::Payment { reference, outcome },
        })
    }

    /// 00 and 02 end the delivery; after all others it comes again, ten times at most.
    fn answer(&self, verdict: Verdict) -> Answer {
        let (code, words) = match verdict {
            Verdict::Taken => ("00", "Confirm Success"),
            Verdict::Repeated => ("02", "Order already confirmed"),
            Verdict::NoSuchReference => ("01", "Order not found"),
            Verdict::WrongAmount => ("04", "Invalid amount"),
            Verdict::Rejected(Rejected::Signature) => ("97", "Invalid signature"),
            Verdict::Rejected(_) | Verdict::Later => ("99", "Unknown error"),
        };
        Answer {
            status: 200,
            body: json!({ "RspCode": code, "Message": words }).to_string(),
        }
    }
}
