//! Payment gateways, all behind one trait: what each can do is declared, what it says is put into the words of
//! [`domain::gateway`](crate::domain::gateway).
//!
//! An adapter knows its vendor's wire and nothing else: no row, no order, no wallet. It is called outside of any
//! transaction, with a reference that stays the same however often it is called, and its answer is either what the gateway
//! said or [`Failure::Unknown`]: a gateway that did not answer has not said no.

pub mod bank;
pub mod sandbox;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::enums::Language;
use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::gateway::{Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money};

#[cfg(test)]
mod contract;
mod wire;

pub mod momo;
pub mod stripe;
pub mod vnpay;
pub mod zalopay;

/// What a gateway can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Takes payments of a payer who is there.
    pub checkout: bool,
    /// Its checkout is a page of its own, to which anybody can be sent.
    pub hosted_page: bool,
    /// Charges what a payer has linked, without the payer.
    pub saved_methods: bool,
    /// Gives back less than all.
    pub partial_refunds: bool,
    /// Is asked about a refund by its reference. Where it is not, two of one payment and amount can't be told apart.
    pub refunds_by_reference: bool,
    /// Begins the same checkout again when it is asked to with the same reference, and answers the same. Where it does
    /// not, a checkout whose answer was lost can't be shown to the payer any more.
    pub repeatable_checkout: bool,
}

/// The least and the most that a gateway takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least.
    pub least: Money,
    /// The most.
    pub most: Money,
}

/// A payment as its gateway needs to know it, each time that it is asked about it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What we call it there.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// When it was begun: what of it a gateway dates, it dates by this, each time alike.
    pub created_at: DateTime<Utc>,
    /// Until when the payer may pay.
    pub expires_at: DateTime<Utc>,
    /// What it is for: ASCII letters, digits, spaces and hyphens, at most 100.
    pub description: String,
    /// Names the payer, the same for all payments of an account; says nothing about who it is.
    pub payer: String,
    /// The address from which the payer asked, where it is known.
    pub payer_address: Option<String>,
    /// The payer's language.
    pub language: Language,
    /// Where the payer's browser comes back to.
    pub return_url: String,
    /// Where the gateway tells us.
    pub notify_url: String,
    /// What the gateway called it when it was begun.
    pub gateway_id: Option<String>,
    /// The number of its capture, once it is paid.
    pub transaction: Option<String>,
}

/// What a payer needs to pay. At least one of them is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkout {
    /// What the gateway calls it.
    pub gateway_id: Option<String>,
    /// A page to go to.
    pub url: Option<String>,
    /// An app to open.
    pub app_url: Option<String>,
    /// What a QR code is drawn from.
    pub qr: Option<String>,
    /// What the gateway's own script in the page needs.
    pub client_secret: Option<String>,
    /// Where to transfer to.
    pub bank: Option<Transfer>,
}

/// Where a payer transfers money to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The bank's number in the Napas network.
    pub bank_bin: String,
    /// The account's number.
    pub account_number: String,
    /// In whose name it is.
    pub account_holder: String,
    /// What the payer has to write as the memo.
    pub memo: String,
}

/// A payer's account or card that is to be linked.
#[derive(Clone, Debug)]
pub struct Link {
    /// What we call it there.
    pub reference: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Until when the payer may confirm.
    pub expires_at: DateTime<Utc>,
    /// Names the payer, the same for all that an account links.
    pub payer: String,
    /// The payer's language.
    pub language: Language,
    /// Where the payer's browser comes back to.
    pub return_url: String,
    /// Where the gateway tells us.
    pub notify_url: String,
    /// What the gateway called it when it was begun.
    pub gateway_id: Option<String>,
}

/// A linked account or card, to be charged or unlinked.
#[derive(Clone, Debug)]
pub struct SavedMethod {
    /// Names the payer, as it did when it was linked.
    pub payer: String,
    /// What charges it.
    pub token: SecretString,
    /// What we called it when it was linked.
    pub reference: String,
}

/// Money that is to go back to a payer.
#[derive(Clone, Debug)]
pub struct Refund {
    /// What we call it there.
    pub reference: String,
    /// The payment; its `transaction` is there.
    pub payment: Attempt,
    /// How much of it.
    pub amount: Money,
    /// Why: ASCII letters, digits, spaces and hyphens, at most 100.
    pub reason: String,
    /// Who decided it.
    pub by: String,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// What the gateway called it when it was begun.
    pub gateway_id: Option<String>,
}

/// Why a gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It said no: nothing happened there.
    #[error("the gateway refused: {detail}")]
    Refused {
        /// Why.
        decline: Decline,
        /// Its own words or code, without secrets.
        detail: String,
    },
    /// Whether anything happened is not known: no answer, an answer that can't be read or trusted, a fault of theirs.
    #[error("the gateway's answer is not known: {0}")]
    Unknown(String),
    /// It can't do that at all.
    #[error("the gateway can't do that")]
    Unsupported,
}

impl Failure {
    /// Nothing is known.
    pub fn unknown(why: impl fmt::Display) -> Self {
        Self::Unknown(why.to_string())
    }
}

/// A notification as it came: nothing of it is believed yet.
#[derive(Clone, Debug)]
pub struct RawNotice<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The query string, as it was sent.
    pub query: &'a str,
    /// The headers, names in small letters.
    pub headers: &'a [(String, String)],
    /// The body's bytes.
    pub body: &'a [u8],
    /// When it came, in business time.
    pub received_at: DateTime<Utc>,
}

impl RawNotice<'_> {
    /// A header's value, if it came once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }
}

/// What a verified notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What tells this event from all others of the gateway: the same when it is delivered again.
    pub event: String,
    /// What it is about.
    pub about: About,
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A payment.
    Payment {
        /// What we call it.
        reference: String,
        /// Where it stands, as the notification says.
        outcome: Outcome,
    },
    /// A refund.
    Refund {
        /// What we call it.
        reference: String,
        /// Where it stands.
        outcome: RefundOutcome,
    },
    /// A link.
    Link {
        /// What we call it.
        reference: String,
        /// Where it stands.
        outcome: LinkOutcome,
    },
    /// A link whose payer has confirmed, but of which the gateway tells what charges it only when it is asked:
    /// [`Gateway::finish_link`], outside of any transaction.
    Confirmed {
        /// What we call it.
        reference: String,
        /// What the gateway wants to see again when it is asked. A secret that is soon worth nothing.
        proof: String,
    },
    /// A linked account or card that its owner unlinked at the gateway.
    Unlinked {
        /// What we called it when it was linked.
        reference: String,
    },
    /// Nothing that we act on.
    Nothing,
}

/// Why a notification is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Its signature is missing or not the gateway's.
    #[error("the signature does not match")]
    Signature,
    /// It is older than the gateway's signatures are good for.
    #[error("the signature is too old")]
    Stale,
    /// It is signed, but not well-formed.
    #[error("it can't be read")]
    Malformed,
    /// It is for another merchant than us.
    #[error("it is for another merchant")]
    Merchant,
}

/// What became of a notification, for the answer that the vendor demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken and what it says was written.
    Taken,
    /// It had been taken before.
    Repeated,
    /// It was not believed.
    Rejected(Rejected),
    /// Nothing of ours has this reference.
    NoSuchReference,
    /// The amount or the currency is not that of the payment; it was kept for an operator.
    WrongAmount,
    /// We can't just now: it is to be delivered again.
    Later,
}

/// An answer to a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON; empty for none.
    pub body: String,
}

/// A payment gateway.
///
/// Calls are made outside of transactions and may be repeated with the same reference. What is not supported answers
/// [`Failure::Unsupported`], and [`Gateway::capabilities`] says so before.
#[async_trait]
pub trait Gateway: fmt::Debug + Send + Sync {
    /// Its code at the API and in rows: capital letters. Its notifications come to `/webhooks/` and this in small letters.
    fn code(&self) -> &'static str;

    /// Its name for people.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What it takes at once in a currency; nothing when it does not take the currency.
    fn limits(&self, currency: Currency) -> Option<Limits>;

    /// What a payment, refund or link is called there: unique, and made so that two attempts never share one.
    fn reference(&self, id: Uuid, created_at: DateTime<Utc>) -> String;

    /// What a payment is called there, where it may tell people what it is for: `code` is its human code.
    fn reference_of(&self, _code: &str, id: Uuid, created_at: DateTime<Utc>) -> String {
        self.reference(id, created_at)
    }

    /// How long a payer may take, in minutes.
    fn payer_minutes(&self) -> i64 {
        crate::domain::payment::PAYER_MINUTES
    }

    /// Begins a checkout.
    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure>;

    /// Charges a linked account or card, without the payer.
    async fn charge(&self, attempt: &Attempt, method: &SavedMethod) -> Result<Outcome, Failure>;

    /// Asks where a payment stands.
    async fn query(&self, attempt: &Attempt) -> Result<Outcome, Failure>;

    /// Gives money back.
    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure>;

    /// Asks where a refund stands.
    async fn query_refund(&self, refund: &Refund) -> Result<RefundOutcome, Failure>;

    /// Begins to link a payer's account or card.
    async fn begin_link(&self, link: &Link) -> Result<Checkout, Failure>;

    /// Asks where a link stands.
    async fn query_link(&self, link: &Link) -> Result<LinkOutcome, Failure>;

    /// Asks for what charges a link that its payer has confirmed, with the proof of [`About::Confirmed`]. Where no proof
    /// is needed, this is [`Gateway::query_link`].
    async fn finish_link(&self, link: &Link, proof: &SecretString) -> Result<LinkOutcome, Failure> {
        let _ = proof;
        self.query_link(link).await
    }

    /// Ends a link. One that has ended already is no failure.
    async fn unlink(&self, method: &SavedMethod) -> Result<(), Failure>;

    /// Believes a notification, or not: its signature is checked over the bytes as they came, in constant time.
    fn notified(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected>;

    /// The answer that the vendor wants to hear.
    fn answer(&self, verdict: Verdict) -> Answer;
}

/// The gateways of this process.
#[derive(Clone, Debug, Default)]
pub struct Gateways(Vec<Arc<dyn Gateway>>);

impl Gateways {
    /// These, in the order in which they are shown.
    #[must_use]
    pub fn of(gateways: Vec<Arc<dyn Gateway>>) -> Self {
        Self(gateways)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Gateway>> {
        self.0.iter()
    }

    /// The codes of all.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        self.0.iter().map(|gateway| gateway.code()).collect()
    }

    /// The one of a code.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<&Arc<dyn Gateway>> {
        self.0.iter().find(|gateway| gateway.code() == code)
    }

    /// The one whose notifications come to `/webhooks/` and this.
    #[must_use]
    pub fn at_path(&self, path: &str) -> Option<&Arc<dyn Gateway>> {
        self.0
            .iter()
            .find(|gateway| gateway.code().to_ascii_lowercase() == path)
    }
}
