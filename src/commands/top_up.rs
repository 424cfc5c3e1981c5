//! Topping a wallet up: money that a gateway takes becomes credit.

use entity::enums::{PaymentMethod, WalletKind};
use serde::Serialize;
use uuid::Uuid;

use super::collect::{self, Collecting};
use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::money::{Currency, MAX_MINOR, Money, Sign};
use crate::domain::payment::TopUpLimits;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::return_url;
use crate::error::Error;
use crate::ids;
use crate::store::gateway_payments;
use crate::store::idempotency::{self, Claim, Key};
use crate::store::ledger as books;
use crate::store::purchases::Rows;
use crate::store::{Scope, accounts};

/// A wallet to be topped up.
#[derive(Clone, Debug, Serialize)]
pub struct TopUp {
    /// Whose.
    pub account: Uuid,
    /// How much, as exact decimal text in the account's currency.
    pub amount: String,
    /// The gateway, by its code.
    pub gateway: String,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What a top-up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The payment.
    pub payment: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// Writes a payment that tops a credit wallet up: its gateway is to begin it next. The wallet has the money when the gateway
/// says so.
///
/// # Errors
/// Refused with ACCOUNT_NOT_FOUND, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, TOP_UP_LIMIT, WALLET_LIMIT,
/// UNKNOWN_GATEWAY, GATEWAY_LIMIT, RETURN_URL_NOT_ALLOWED, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn top_up(app: &App, scope: &Scope, input: TopUp) -> Result<Begun, Error> {
    if let Some(url) = &input.return_url {
        return_url::check(url, &app.settings.return_origins).map_err(|refusal| refusal.under("returnUrl"))?;
    }
    let account = accounts::by_ids(app.db.read(), scope, &[input.account])
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::new(RefusalCode::AccountNotFound, "There is no such account.").under("accountId"))?;
    let currency: Currency = account.currency.parse()?;
    let amount =
        Money::from_decimal_text(&input.amount, currency, Sign::Positive).map_err(|refusal| refusal.under("amount"))?;
    TopUpLimits::of(currency)
        .check(amount)
        .map_err(|refusal| refusal.under("amount"))?;
    let gateway = collect::gateway_of(app, &input.gateway, currency)
        .map_err(|refusal| refusal.under("gateway").under("payment"))?;
    let now = app.clock.now();
    let payment_id = ids::new_id();
    app.db
        .write("top_up", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: account.id,
                operation: "top_up",
                key: &input.idempotency_key,
            };
            if let Claim::Done(payment) = idempotency::claim(tx, scope, key, &input, payment_id, now).await? {
                return Ok(Begun {
                    payment,
                    replayed: true,
                });
            }
            let wallet = books::lock_wallet(tx, scope, account.id, WalletKind::Credit).await?;
            if wallet.cash_minor + wallet.promotional_minor + amount.minor() > MAX_MINOR {
                let full = Refusal::new(RefusalCode::WalletLimit, "The wallet can't hold as much. Top up less.");
                return Err(full.under("amount").into());
            }
            let code = collect::payment_code(tx, scope, &account, now).await?;
            let collecting = Collecting {
                id: payment_id,
                code: &code,
                account: &account,
                order: None,
                method: PaymentMethod::Gateway,
                gateway,
                amount,
                credit: Money::zero(currency),
                details: "Top-up",
                return_url: input.return_url.as_deref(),
                now,
            };
            let (attempted, _) = collect::open(scope, collecting, &wallet).map_err(|error| match error {
                Error::Refused(refusal) => refusal.under("amount").into(),
                error => error,
            })?;
            let mut writes = Writes::of(tx);
            let rows = Rows {
                payments: vec![attempted.payment],
                ..Rows::default()
            };
            rows.write(&mut writes, scope)?;
            gateway_payments::add(&mut writes, scope, vec![attempted.attempt]);
            writes.send(tx).await?;
            Ok(Begun {
                payment: payment_id,
                replayed: false,
            })
        })
        .await
}
