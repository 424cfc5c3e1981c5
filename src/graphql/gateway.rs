//! Ways to pay: the gateways, what a top-up may be, and what a payer has to do next.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject, Union};
use chrono::{DateTime as Instant, Utc};
use serde_json::Value;

use super::caller::{Needs, Permission};
use super::errors::Result;
use super::pay_by::{ShareAction, linked};
use super::payment::Payment;
use super::scalars::{DateTime, Decimal, Money};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::payments;
use crate::commands::top_up::{self as commands, Through};
use crate::domain::money::Currency;
use crate::domain::payment::TopUpLimits;
use crate::domain::refusal::{Facts, Refusal, RefusalCode};
use crate::error::Error;
use crate::gateways::{Gateway, Limits, bank};

/// A payment gateway.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PaymentGateway {
    /// Its code, as `placeOrder` and `topUpWallet` take it.
    code: String,
    /// Its name, for people.
    name: String,
    /// The least that it takes at once.
    least: Money,
    /// The most that it takes at once.
    most: Money,
    /// Whether somebody else can pay through it: see `onBehalf`.
    takes_on_behalf: bool,
    /// Whether an account or card can be linked, to be charged later without the payer.
    saves_methods: bool,
    /// Whether a part of a payment can go back through it.
    refunds_partly: bool,
}

impl PaymentGateway {
    fn of(gateway: &dyn Gateway, limits: Limits) -> Self {
        let may = gateway.capabilities();
        Self {
            code: gateway.code().to_owned(),
            name: gateway.name().to_owned(),
            least: limits.least.into(),
            most: limits.most.into(),
            takes_on_behalf: may.hosted_page,
            saves_methods: may.saved_methods,
            refunds_partly: may.partial_refunds,
        }
    }
}

/// What a top-up may be.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct TopUpOptions {
    /// The least at once.
    least: Money,
    /// The most at once; a gateway may take less.
    most: Money,
    /// Amounts to choose from, the smallest first.
    suggested: Vec<Money>,
}

/// Send the payer's browser to a page.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct RedirectAction {
    /// The page. Open it with GET, in the same window or a new one.
    url: String,
    /// An app that may be opened in its place.
    app_url: Option<String>,
    /// Until when the payer may pay.
    expires_at: DateTime,
}

/// Show the payer a QR code.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct QrAction {
    /// What the code is drawn from.
    payload: String,
    /// An app that may be opened in its place.
    app_url: Option<String>,
    /// Until when the payer may pay.
    expires_at: DateTime,
}

/// Let the gateway's own script in the page go on with a secret.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ClientSecretAction {
    /// The gateway, by its code.
    gateway: String,
    /// The secret: for the payer's browser only.
    client_secret: String,
    /// Until when the payer may pay.
    expires_at: DateTime,
}

/// Show the payer where to transfer the money to, and a QR code that fills the form of their bank in.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct BankTransferAction {
    /// The bank's number in the Napas network.
    bank_bin: String,
    /// The account's number.
    account_number: String,
    /// In whose name the account is.
    account_holder: String,
    /// What the payer has to write as the memo: only by it the money is found.
    memo: String,
    /// What a VietQR code is drawn from.
    qr: String,
    /// Until when the money has to be there.
    expires_at: DateTime,
}

/// What the payer has to do next.
#[derive(Clone, Debug, Union)]
pub(crate) enum NextAction {
    Redirect(RedirectAction),
    Qr(QrAction),
    ClientSecret(ClientSecretAction),
    BankTransfer(BankTransferAction),
    Share(ShareAction),
}

impl NextAction {
    /// What a checkout asks of the payer; nothing when it was not begun.
    pub(crate) fn of(gateway: &str, checkout: Option<&Value>, expires_at: Instant<Utc>) -> Option<Self> {
        let checkout = checkout?;
        let said = |field: &str| checkout.get(field).and_then(Value::as_str).map(str::to_owned);
        let (app_url, expires_at) = (said("appUrl"), DateTime::from(expires_at));
        if let Some(bank) = checkout.get("bank").filter(|bank| !bank.is_null()) {
            let part = |field: &str| bank.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            return Some(Self::BankTransfer(BankTransferAction {
                bank_bin: part("bin"),
                account_number: part("number"),
                account_holder: part("holder"),
                memo: part("memo"),
                qr: said("qr").unwrap_or_default(),
                expires_at,
            }));
        }
        if let Some(url) = said("url") {
            return Some(Self::Redirect(RedirectAction {
                url,
                app_url,
                expires_at,
            }));
        }
        if let Some(payload) = said("qr") {
            return Some(Self::Qr(QrAction {
                payload,
                app_url,
                expires_at,
            }));
        }
        said("clientSecret").map(|client_secret| {
            Self::ClientSecret(ClientSecretAction {
                gateway: gateway.to_owned(),
                client_secret,
                expires_at,
            })
        })
    }
}

/// Why a payment failed.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PaymentFailure {
    /// In the gateway's words made ours: INSUFFICIENT_FUNDS, LIMIT_REACHED, CANCELLED, EXPIRED, CHALLENGE_REQUIRED,
    /// METHOD_REVOKED, SUSPICIOUS, ISSUER_UNAVAILABLE, REJECTED or DECLINED. More may come.
    pub(crate) code: String,
    /// The gateway's own code or words.
    pub(crate) detail: Option<String>,
}

/// What a gateway made of what it was asked, other than what was wished for.
pub(crate) fn told_of_gateway(message: &str, retryable: bool) -> Result<Vec<UserError>> {
    let code = if retryable {
        RefusalCode::GatewayUnavailable
    } else {
        RefusalCode::GatewayRefused
    };
    let refusal = Refusal {
        facts: Facts::Gateway { retryable },
        ..Refusal::new(code, message)
    };
    refused(Error::from(refusal))
}

/// A gateway that did not answer, where trying again could pay twice.
fn unanswered(message: &str) -> Result<Vec<UserError>> {
    let refusal = Refusal {
        facts: Facts::Gateway { retryable: false },
        ..Refusal::new(RefusalCode::GatewayUnavailable, message)
    };
    refused(Error::from(refusal))
}

/// What stands in the way of a payment that was written, after its gateway was asked to begin it.
pub(crate) fn trouble(begun: &payments::Begun) -> Result<Vec<UserError>> {
    match begun {
        payments::Begun::Ready | payments::Begun::Nothing => Ok(Vec::new()),
        payments::Begun::Refused(_) => told_of_gateway(
            "The gateway did not take this payment; nothing was paid. Pay another way.",
            false,
        ),
        payments::Begun::Unknown => told_of_gateway(
            "The gateway does not answer just now; nothing was paid. Begin another payment, here or another way.",
            true,
        ),
        payments::Begun::Charging => unanswered(
            "Whether the linked account was charged is not known yet. Do not pay again: look at this payment until it has succeeded or failed.",
        ),
    }
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct GatewayQueries;

#[Object]
impl GatewayQueries {
    /// The gateways that take an account's currency.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn payment_gateways(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For whom; the caller's own account when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Vec<PaymentGateway>>> {
        let currency = currency(ctx, account_id.as_ref()).await?;
        let gateways = ctx.session()?.app.gateways.all().filter_map(|gateway| {
            let limits = gateway.limits(currency)?;
            Some(PaymentGateway::of(gateway.as_ref(), limits))
        });
        Ok(Some(gateways.collect()))
    }

    /// What a top-up of an account's credit wallet may be.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn top_up_options(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For whom; the caller's own account when absent.")] account_id: Option<ID>,
    ) -> Result<Option<TopUpOptions>> {
        let limits = TopUpLimits::of(currency(ctx, account_id.as_ref()).await?);
        Ok(Some(TopUpOptions {
            least: limits.least.into(),
            most: limits.most.into(),
            suggested: limits.suggested().into_iter().map(Money::from).collect(),
        }))
    }
}

async fn currency(ctx: &Context<'_>, account: Option<&ID>) -> Result<Currency> {
    let account = ctx.session()?.account(account).await?;
    let account = ctx.loaders()?.accounts.must(account).await?;
    Ok(account.currency.parse().map_err(Error::from)?)
}

/// How a wallet is topped up: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum TopUpBy {
    /// Through a gateway, by its code.
    Gateway(String),
    /// From a linked account or card, by its id: it is charged at once.
    LinkedAccount(ID),
    /// By a bank transfer, within three days; true is the only value.
    BankTransfer(bool),
}

/// A top-up.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct TopUpWalletInput {
    /// For whom; the caller's own account when absent.
    account_id: Option<ID>,
    /// How much, in the account's currency; see `topUpOptions`.
    amount: Decimal,
    /// How it is paid.
    payment: TopUpBy,
    /// Where the customer is sent back to; on the allow-list.
    return_url: Option<String>,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and pays nothing twice.
    idempotency_key: String,
}

/// What a top-up began.
#[derive(Debug, SimpleObject)]
pub(crate) struct TopUpWalletPayload {
    /// The payment; null when nothing was begun. One that its gateway refused is FAILED. The wallet has the money when it has
    /// succeeded.
    payment: Option<Payment>,
    /// What the payer has to do next.
    next_action: Option<NextAction>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct TopUpMutations;

#[Object]
impl TopUpMutations {
    /// Begins to top a credit wallet up, once, however often it is sent.
    ///
    /// Codes: INVALID_ID, PAYMENT_REQUIRED, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, TOP_UP_LIMIT, WALLET_LIMIT,
    /// UNKNOWN_GATEWAY, PAYMENT_METHOD_NOT_FOUND, GATEWAY_LIMIT, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE,
    /// RETURN_URL_NOT_ALLOWED, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "Needs(Permission::BuyCredit)")]
    async fn top_up_wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The top-up.")] input: TopUpWalletInput,
    ) -> Result<Option<TopUpWalletPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let through = match input.payment {
            TopUpBy::Gateway(code) => Ok(Through::Gateway(code)),
            TopUpBy::LinkedAccount(id) => linked(&id).map_err(|refusal| refusal.under("linkedAccount")),
            TopUpBy::BankTransfer(true) => Ok(Through::Gateway(bank::CODE.to_owned())),
            TopUpBy::BankTransfer(false) => {
                let message = "Choose a way to pay: `bankTransfer` takes only true.";
                Err(Refusal::new(RefusalCode::PaymentRequired, message).under("bankTransfer"))
            }
        };
        let through = match through {
            Ok(through) => through,
            Err(refusal) => {
                return Ok(Some(TopUpWalletPayload {
                    payment: None,
                    next_action: None,
                    user_errors: refused(refusal.under("payment").into())?,
                }));
            }
        };
        let top_up = commands::TopUp {
            account,
            amount: input.amount.0,
            through,
            return_url: input.return_url,
            idempotency_key: input.idempotency_key,
        };
        let begun = match commands::top_up(&session.app, &session.scope, top_up).await {
            Ok(begun) => begun,
            Err(error) => {
                return Ok(Some(TopUpWalletPayload {
                    payment: None,
                    next_action: None,
                    user_errors: refused(error)?,
                }));
            }
        };
        if begun.replayed {
            session.was_replayed();
        }
        let asked = payments::begin(Arc::clone(&session.app), session.scope.clone(), begun.payment).await?;
        session.forget();
        let payment = Payment(session.loaders().payments.must(begun.payment).await?);
        Ok(Some(TopUpWalletPayload {
            next_action: payment.action(ctx).await?,
            payment: Some(payment),
            user_errors: trouble(&asked)?,
        }))
    }
}
