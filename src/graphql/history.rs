//! What is looked for in the payment history and in the credit history.

use async_graphql::InputObject;
use entity::enums::{FundsKind, PaymentMethod, PaymentPurpose, PaymentStatus, WalletAction};

use super::errors::{ApiError, Result};
use super::scalars::DateTime;
use crate::domain::history::{self, Period};
use crate::domain::refusal::Refusal;
use crate::store::histories;

/// Which payments are listed. What is not given does not matter.
#[derive(Clone, Debug, Default, InputObject)]
pub(crate) struct PaymentFilter {
    /// Of these statuses; of all when empty.
    status: Option<Vec<PaymentStatus>>,
    /// For these purposes; for all when empty.
    purpose: Option<Vec<PaymentPurpose>>,
    /// Made in these ways; in all when empty.
    method: Option<Vec<PaymentMethod>>,
    /// Through the gateway with this code.
    gateway: Option<String>,
    /// For an order of the product with this code.
    product: Option<String>,
    /// Begun at this instant or later.
    from: Option<DateTime>,
    /// Begun before this instant.
    to: Option<DateTime>,
    /// With this text in the code or the details, in any case.
    text: Option<String>,
}

/// Which entries of a wallet are listed. What is not given does not matter.
#[derive(Clone, Debug, Default, InputObject)]
pub(crate) struct WalletEntryFilter {
    /// Of these actions; of all when empty.
    action: Option<Vec<WalletAction>>,
    /// Which moved this part of the wallet.
    part: Option<FundsKind>,
    /// For an order of the product with this code.
    product: Option<String>,
    /// Written at this instant or later.
    from: Option<DateTime>,
    /// Written before this instant.
    to: Option<DateTime>,
    /// With this text in the details, in any case.
    text: Option<String>,
}

impl PaymentFilter {
    pub(crate) fn checked(self) -> Result<histories::PaymentFilter> {
        Ok(histories::PaymentFilter {
            statuses: once_each(self.status),
            purposes: once_each(self.purpose),
            methods: once_each(self.method),
            gateway: text(self.gateway, "gateway")?,
            product: text(self.product, "product")?,
            period: period(self.from, self.to)?,
            text: text(self.text, "text")?,
        })
    }
}

impl WalletEntryFilter {
    pub(crate) fn checked(self) -> Result<histories::EntryFilter> {
        Ok(histories::EntryFilter {
            actions: once_each(self.action),
            part: self.part,
            product: text(self.product, "product")?,
            period: period(self.from, self.to)?,
            text: text(self.text, "text")?,
        })
    }
}

/// Each word once: none is like no filter.
fn once_each<T: PartialEq>(words: Option<Vec<T>>) -> Vec<T> {
    let mut once = Vec::new();
    for word in words.unwrap_or_default() {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    once
}

fn period(from: Option<DateTime>, to: Option<DateTime>) -> Result<Period> {
    Period::checked(from.map(|at| at.0), to.map(|at| at.0)).map_err(bad)
}

fn text(wanted: Option<String>, field: &'static str) -> Result<Option<String>> {
    history::text(wanted).map_err(|refusal| bad(refusal.under(field)))
}

fn bad(refusal: Refusal) -> ApiError {
    ApiError::bad_input(format!("{}: {}", refusal.path.join("."), refusal.message))
}
