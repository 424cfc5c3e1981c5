//! Bank transfers, as a gateway whose word is the bank's statement: the payer is shown where to send the money, with a code that
//! says what for, and a QR code that fills the form in. Asking answers nothing: what came is read from the statement.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Answer, Attempt, Capabilities, Checkout, Failure, Gateway, Limits, Link, Notice, RawNotice, Refund, Rejected,
    SavedMethod, Verdict,
};
use crate::domain::gateway::{Decline, LinkOutcome, Outcome, RefundOutcome};
use crate::domain::money::{Currency, Money};
use crate::domain::refusal::Refusal;
use crate::domain::statement::memo_of;
use crate::domain::viet_qr::VietQr;

/// Its code at the API and in rows.
pub const CODE: &str = "BANK_TRANSFER";
/// How long a payer may take, in minutes: three days, because banks rest at weekends.
const PAYER_MINUTES: i64 = 3 * 24 * 60;

/// Our account at a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankAccount {
    /// The bank's number in the Napas network, six digits.
    pub bank_bin: String,
    /// The account's number.
    pub number: String,
    /// In whose name it is.
    pub holder: String,
}

/// The gateway.
#[derive(Debug)]
pub struct Bank {
    account: BankAccount,
}

impl Bank {
    /// Transfers to this account.
    #[must_use]
    pub const fn new(account: BankAccount) -> Self {
        Self { account }
    }
}

/// What no code can be drawn from can't be paid so.
fn refused(why: Refusal) -> Failure {
    Failure::Refused {
        decline: Decline::Rejected,
        detail: why.to_string(),
    }
}

#[async_trait]
impl Gateway for Bank {
    fn code(&self) -> &'static str {
        CODE
    }

    fn name(&self) -> &'static str {
        "Bank transfer"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checkout: true,
            repeatable_checkout: true,
            ..Capabilities::default()
        }
    }

    fn payer_minutes(&self) -> i64 {
        PAYER_MINUTES
    }

    /// Dong only, as the network of the QR code carries: 2,000 to 499,999,999 at once *(ours)*.
    fn limits(&self, currency: Currency) -> Option<Limits> {
        (currency == Currency::Vnd).then(|| Limits {
            least: Money::of(2_000, currency),
            most: Money::of(499_999_999, currency),
        })
    }

    fn reference(&self, id: Uuid, _created_at: DateTime<Utc>) -> String {
        id.simple().to_string()
    }

    /// What the payer writes as the memo: the payment's code, without the signs that banks drop.
    fn reference_of(&self, code: &str, _id: Uuid, _created_at: DateTime<Utc>) -> String {
        memo_of(code)
    }

    async fn begin(&self, attempt: &Attempt) -> Result<Checkout, Failure> {
        let qr = VietQr {
            bank_bin: &self.account.bank_bin,
            account_number: &self.account.number,
            amount: attempt.amount,
            memo: &attempt.reference,
        };
        Ok(Checkout {
            gateway_id: None,
            qr: Some(qr.payload().map_err(refused)?),
            bank: Some(super::Transfer {
                bank_bin: self.account.bank_bin.clone(),
                account_number: self.account.number.clone(),
                account_holder: self.account.holder.clone(),
                memo: attempt.reference.clone(),
            }),
            ..Checkout::default()
        })
    }

    async fn charge(&self, _attempt: &Attempt, _method: &SavedMethod) -> Result<Outcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn query(&self, _attempt: &Attempt) -> Result<Outcome, Failure> {
        Ok(Outcome::Pending)
    }

    async fn refund(&self, _refund: &Refund) -> Result<RefundOutcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn query_refund(&self, _refund: &Refund) -> Result<RefundOutcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn begin_link(&self, _link: &Link) -> Result<Checkout, Failure> {
        Err(Failure::Unsupported)
    }

    async fn query_link(&self, _link: &Link) -> Result<LinkOutcome, Failure> {
        Err(Failure::Unsupported)
    }

    async fn unlink(&self, _method: &SavedMethod) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }

    fn notified(&self, _notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        Err(Rejected::Signature)
    }

    fn answer(&self, _verdict: Verdict) -> Answer {
        Answer {
            status: 404,
            body: String::new(),
        }
    }
}
