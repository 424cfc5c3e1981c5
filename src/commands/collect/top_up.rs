//! The rows of a top-up, whoever asks for it: the customer, or the engine for one that wants to be topped up by itself.

use chrono::{DateTime, Utc};
use entity::account;
use entity::enums::{PaymentMethod, WalletKind};
use uuid::Uuid;

use super::through::Resolved;
use super::{Collecting, open, payment_code};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::domain::money::{MAX_MINOR, Money};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::store::ledger as books;
use crate::store::purchases::Rows;
use crate::store::{Scope, gateway_payments};

/// A wallet to be topped up.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct ToppingUp<'a> {
    pub(in crate::commands) payment: Uuid,
    pub(in crate::commands) account: &'a account::Model,
    pub(in crate::commands) amount: Money,
    pub(in crate::commands) resolved: Resolved<'a>,
    pub(in crate::commands) details: &'a str,
    pub(in crate::commands) return_url: Option<&'a str>,
    pub(in crate::commands) now: DateTime<Utc>,
}

/// Adds the rows of a top-up that is to be collected to what is written.
///
/// # Errors
/// Refused with WALLET_LIMIT, GATEWAY_LIMIT.
pub(in crate::commands) async fn top_up(
    tx: &Tx,
    scope: &Scope,
    writes: &mut Writes,
    topping: ToppingUp<'_>,
) -> Result<(), Error> {
    let ToppingUp {
        account, amount, now, ..
    } = topping;
    let wallet = books::lock_wallet(tx, scope, account.id, WalletKind::Credit).await?;
    if wallet.cash_minor + wallet.promotional_minor + amount.minor() > MAX_MINOR {
        let full = Refusal::new(RefusalCode::WalletLimit, "The wallet can't hold as much. Top up less.");
        return Err(full.under("amount").into());
    }
    let code = payment_code(tx, scope, account, now).await?;
    let collecting = Collecting {
        id: topping.payment,
        code: &code,
        account,
        order: None,
        method: match topping.resolved.saved {
            Some(_) => PaymentMethod::LinkedAccount,
            None => PaymentMethod::Gateway,
        },
        gateway: topping.resolved.gateway,
        saved: topping.resolved.saved,
        amount,
        credit: Money::zero(amount.currency()),
        details: topping.details,
        return_url: topping.return_url,
        now,
    };
    let (attempted, _) = open(scope, collecting, &wallet).map_err(|error| match error {
        Error::Refused(refusal) => refusal.under("amount").into(),
        error => error,
    })?;
    let rows = Rows {
        payments: vec![attempted.payment],
        ..Rows::default()
    };
    rows.write(writes, scope)?;
    gateway_payments::add(writes, scope, vec![attempted.attempt]);
    Ok(())
}
