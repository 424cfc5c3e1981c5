//! What renewing a resource would cost as things stand, and whether the engine will try to.

use std::sync::Arc;

use async_graphql::{Context, Object};
use entity::enums::{Life, WalletKind};
use entity::resource;

use super::caller::{Needs, Permission};
use super::errors::Result;
use super::scalars::{DateTime, Money, instant};
use super::session::Reach as _;
use super::user_error::UserErrorCode;
use crate::commands::order::Renewal as Priced;
use crate::domain::money;
use crate::domain::schedule::{Plan, StepKey};
use crate::domain::time;
use crate::error::Error;
use crate::store::fulfilment;

#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    resource: Arc<resource::Model>,
    priced: Arc<Priced>,
}

impl Renewal {
    /// The renewal of a resource; none when it has come to its end.
    pub(crate) async fn of(ctx: &Context<'_>, resource: Arc<resource::Model>) -> Result<Option<Self>> {
        let key = (resource.account_id, resource.id);
        let priced = ctx.loaders()?.renewals.load(key).await?;
        Ok(priced.map(|priced| Self { resource, priced }))
    }

    async fn missing(&self, ctx: &Context<'_>) -> Result<Option<money::Money>> {
        let Ok(price) = self.priced.price else {
            return Ok(None);
        };
        let wallets = ctx.loaders()?.wallets_of_account.must(self.resource.account_id).await?;
        let wallet = wallets.iter().find(|wallet| wallet.kind == WalletKind::Credit);
        let wallet = wallet.ok_or(Error::NotFound("wallet"))?;
        let available = wallet.cash_minor + wallet.promotional_minor - wallet.held_minor;
        let available = money::Money::of(available, price.currency());
        let missing = price.minus(available).map_err(Error::from)?;
        Ok(Some(missing.max_zero()))
    }
}

/// What renewing a resource would cost as things stand now, and whether the engine will try to.
#[Object]
impl Renewal {
    /// By how many months: the term of its automatic renewal.
    async fn months(&self) -> i32 {
        self.priced.months
    }

    /// Its price, by hand as by itself; null when it can't be renewed.
    async fn price(&self) -> Option<Money> {
        self.priced.price.as_ref().ok().map(|price| (*price).into())
    }

    /// Why it can't be renewed; null when it can.
    async fn refusal(&self) -> Option<UserErrorCode> {
        let refusal = self.priced.price.as_ref().err()?;
        UserErrorCode::read(refusal.code.as_str())
    }

    /// When the engine will try next to renew it from credit; null when it won't.
    async fn next_attempt_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let row = &self.resource;
        let (true, Life::Active, Some(next)) = (row.auto_renew, row.life, &row.next_step) else {
            return Ok(None);
        };
        let loaders = ctx.loaders()?;
        let product = loaders.products.must(row.product_id).await?;
        let account = loaders.accounts.must(row.account_id).await?;
        let (terms, paid_until) = fulfilment::plan_of(row, &fulfilment::policy_terms(&product)?)?;
        let schedule = Plan {
            terms: &terms,
            paid_until,
            zone: time::zone(&account.zone).map_err(Error::from)?,
            auto_renew: true,
            release_at: None,
        }
        .schedule();
        let waited: StepKey = next.parse().map_err(Error::from)?;
        let attempt = schedule.next_attempt(waited, loaders.now);
        Ok(instant(attempt.map(|step| step.due_at)))
    }

    /// Whether the credit wallet, as it stands, suffices for it; null when it can't be renewed.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn sufficient_credit(&self, ctx: &Context<'_>) -> Result<Option<bool>> {
        Ok(self.missing(ctx).await?.map(|shortfall| shortfall.is_zero()))
    }

    /// How much the credit wallet, as it stands, is short of it: the least to top up. Null when it can't be renewed.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn shortfall(&self, ctx: &Context<'_>) -> Result<Option<Money>> {
        Ok(self.missing(ctx).await?.map(Into::into))
    }
}
