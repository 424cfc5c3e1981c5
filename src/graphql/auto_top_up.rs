//! Topping a wallet up by itself.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::auto_top_up;

use super::caller::{Needs, Permission};
use super::errors::Result;
use super::ids::{self, Kind};
use super::payment_method::SavedPaymentMethod;
use super::scalars::{DateTime, Decimal, Money, money};
use super::session::{Reach as _, Session};
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::auto_top_up as commands;
use crate::store::payment_methods;

/// How a wallet is topped up by itself, and its currency.
#[derive(Clone, Debug)]
pub(crate) struct AutoTopUp {
    row: auto_top_up::Model,
    currency: String,
}

/// How a credit wallet is topped up by itself: whenever its available credit is below an amount, a linked account is charged.
#[Object]
impl AutoTopUp {
    /// Whether it is done.
    async fn is_on(&self) -> bool {
        self.row.is_on
    }

    /// Below which available credit.
    async fn below(&self) -> Result<Money> {
        money(self.row.below_minor, &self.currency)
    }

    /// How much is added at once.
    async fn amount(&self) -> Result<Money> {
        money(self.row.amount_minor, &self.currency)
    }

    /// The most that is added in one month of the account's zone.
    async fn monthly_limit(&self) -> Result<Money> {
        money(self.row.monthly_limit_minor, &self.currency)
    }

    /// What is charged; the default one when null.
    async fn payment_method(&self, ctx: &Context<'_>) -> Result<Option<SavedPaymentMethod>> {
        let Some(method) = self.row.method_id else {
            return Ok(None);
        };
        let found = ctx.loaders()?.payment_methods.load(method).await?;
        Ok(found.map(SavedPaymentMethod))
    }

    /// Why it stopped by itself: DECLINED after three charges in a row that were declined, or what refused it, such as
    /// PAYMENT_METHOD_NOT_FOUND. Null when it did not.
    async fn stopped_because(&self) -> Option<&str> {
        self.row.stopped_because.as_deref()
    }

    /// When it was set, or switched off.
    async fn changed_at(&self) -> DateTime {
        self.row.changed_at.into()
    }
}

impl AutoTopUp {
    async fn of(session: &Session, account: uuid::Uuid) -> Result<Option<Self>> {
        let row = payment_methods::auto_top_up(session.app.db.read(), &session.scope, account).await?;
        let Some(row) = row else { return Ok(None) };
        let currency = session.loaders().accounts.must(account).await?.currency.clone();
        Ok(Some(Self { row, currency }))
    }
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct AutoTopUpQueries;

#[Object]
impl AutoTopUpQueries {
    /// How an account's credit wallet is topped up by itself; null when that was never set.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn auto_top_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own account when absent.")] account_id: Option<ID>,
    ) -> Result<Option<AutoTopUp>> {
        let session = ctx.session()?;
        let account = session.account(account_id.as_ref()).await?;
        AutoTopUp::of(session, account).await
    }
}

/// How a wallet is to be topped up by itself.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SetAutoTopUpInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// Whether it is done.
    is_on: bool,
    /// Below which available credit, in the account's currency.
    below: Decimal,
    /// How much is added at once; see `topUpOptions`.
    amount: Decimal,
    /// The most that is added in one month of the account's zone: at least one top-up.
    monthly_limit: Decimal,
    /// What is charged; the default one when absent, whichever that is then.
    payment_method_id: Option<ID>,
}

/// What setting it did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetAutoTopUpPayload {
    /// How it now is; null when it was refused.
    auto_top_up: Option<AutoTopUp>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct AutoTopUpMutations;

#[Object]
impl AutoTopUpMutations {
    /// Sets how a credit wallet is topped up by itself, or switches it off. Set anew, it forgets that it was declined or has
    /// stopped.
    ///
    /// Codes: INVALID_ID, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, TOP_UP_LIMIT, AUTO_TOP_UP_INVALID,
    /// PAYMENT_METHOD_NOT_FOUND, UNKNOWN_GATEWAY.
    #[graphql(guard = "Needs(Permission::BuyCredit)")]
    async fn set_auto_top_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How.")] input: SetAutoTopUpInput,
    ) -> Result<Option<SetAutoTopUpPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let method = match &input.payment_method_id {
            None => None,
            Some(id) => match ids::parse(id, Kind::PaymentMethod) {
                Some(method) => Some(method),
                None => {
                    return Ok(Some(SetAutoTopUpPayload {
                        auto_top_up: None,
                        user_errors: wrong_id("paymentMethodId"),
                    }));
                }
            },
        };
        let wanted = commands::SetAutoTopUp {
            account,
            is_on: input.is_on,
            below: input.below.0,
            amount: input.amount.0,
            monthly_limit: input.monthly_limit.0,
            method,
        };
        Ok(Some(match commands::set(&session.app, &session.scope, wanted).await {
            Ok(()) => SetAutoTopUpPayload {
                auto_top_up: AutoTopUp::of(session, account).await?,
                user_errors: Vec::new(),
            },
            Err(error) => SetAutoTopUpPayload {
                auto_top_up: None,
                user_errors: refused(error)?,
            },
        }))
    }
}
