//! Coupons.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::coupon;
use entity::enums::CouponKind;
use serde::Deserialize as _;

use super::caller::OperatorOnly;
use super::errors::Result;
use super::ids::{Kind, global};
use super::scalars::{CurrencyCode, DateTime, Decimal, Money, instant, money};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::coupon as commands;
use crate::error::Error;

#[derive(Clone, Debug)]
pub(crate) struct Coupon(pub(crate) Arc<coupon::Model>);

/// A code that takes money off an order.
#[Object]
impl Coupon {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Coupon, self.0.id)
    }

    /// What the customer types.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// A share or an amount.
    async fn kind(&self) -> CouponKind {
        self.0.kind
    }

    /// The share, in percent; null for an amount.
    async fn percent(&self) -> Option<Decimal> {
        self.0.percent_micros.map(Decimal::percent_from_micros)
    }

    /// The amount; null for a share.
    async fn amount(&self) -> Result<Option<Money>> {
        self.0
            .amount_minor
            .map(|minor| money(minor, &self.0.currency))
            .transpose()
    }

    /// The currency of its amounts.
    async fn currency(&self) -> CurrencyCode {
        CurrencyCode(self.0.currency.clone())
    }

    /// From when it may be used.
    async fn valid_from(&self) -> DateTime {
        self.0.valid_from.into()
    }

    /// Until when, exclusive; open when null.
    async fn valid_until(&self) -> Option<DateTime> {
        instant(self.0.valid_until)
    }

    /// The short names of the products it counts for; empty for all.
    async fn products(&self) -> Result<Vec<String>> {
        Ok(Vec::deserialize(&self.0.product_codes).map_err(Error::from)?)
    }

    /// The least gross of the eligible items.
    async fn minimum_order(&self) -> Result<Option<Money>> {
        self.0
            .minimum_order_minor
            .map(|minor| money(minor, &self.0.currency))
            .transpose()
    }

    /// The most it takes off.
    async fn maximum_discount(&self) -> Result<Option<Money>> {
        self.0
            .maximum_discount_minor
            .map(|minor| money(minor, &self.0.currency))
            .transpose()
    }

    /// How often it may be used; without limit when null.
    #[graphql(guard = "OperatorOnly")]
    async fn total_limit(&self) -> Option<i64> {
        self.0.total_limit
    }

    /// How often one account may use it; without limit when null.
    async fn per_account_limit(&self) -> Option<i64> {
        self.0.per_account_limit
    }

    /// How often it was used and not given back.
    #[graphql(guard = "OperatorOnly")]
    async fn redeemed(&self) -> Option<i64> {
        Some(self.0.redeemed)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }
}

/// How a coupon takes money off: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum CouponValueInput {
    /// A share of what the eligible items cost, in percent.
    Percent(Decimal),
    /// An amount, in the coupon's currency.
    Amount(Decimal),
}

/// A coupon to be made.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct CreateCouponInput {
    /// What the customer types: 3 to 32 letters A to Z, digits, - or _.
    code: String,
    /// How it takes money off.
    value: CouponValueInput,
    /// The currency of its amounts.
    currency: CurrencyCode,
    /// From when it may be used; from now on when absent.
    valid_from: Option<DateTime>,
    /// Until when, exclusive; open when absent.
    valid_until: Option<DateTime>,
    /// The short names of the products it counts for; all when empty.
    #[graphql(default)]
    products: Vec<String>,
    /// The least gross of the eligible items.
    minimum_order: Option<Decimal>,
    /// The most it takes off.
    maximum_discount: Option<Decimal>,
    /// How often it may be used.
    total_limit: Option<i64>,
    /// How often one account may use it.
    per_account_limit: Option<i64>,
}

/// What making a coupon did.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateCouponPayload {
    /// The coupon; null when it was refused.
    coupon: Option<Coupon>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct CouponMutations;

#[Object]
impl CouponMutations {
    /// Makes a coupon. For operators.
    ///
    /// Codes: COUPON_INVALID, COUPON_CODE_TAKEN, INVALID_TEXT, INVALID_RATE, INVALID_AMOUNT, TOO_MANY_DECIMALS,
    /// AMOUNT_OUT_OF_RANGE, INVALID_INSTANT, UNKNOWN_CURRENCY, UNKNOWN_PRODUCT, LIMIT_EXCEEDED.
    #[graphql(guard = "OperatorOnly")]
    async fn create_coupon(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The coupon.")] input: CreateCouponInput,
    ) -> Result<Option<CreateCouponPayload>> {
        let session = ctx.session()?;
        let coupon = commands::CreateCoupon {
            code: input.code,
            value: match input.value {
                CouponValueInput::Percent(percent) => commands::Value::Percent(percent.0),
                CouponValueInput::Amount(amount) => commands::Value::Amount(amount.0),
            },
            currency: input.currency.0,
            valid_from: input.valid_from.map(|at| at.0),
            valid_until: input.valid_until.map(|at| at.0),
            products: input.products,
            minimum_order: input.minimum_order.map(|amount| amount.0),
            maximum_discount: input.maximum_discount.map(|amount| amount.0),
            total_limit: input.total_limit,
            per_account_limit: input.per_account_limit,
        };
        let made = commands::create(&session.app, &session.scope, coupon).await;
        session.forget();
        Ok(Some(match made {
            Ok(row) => CreateCouponPayload {
                coupon: Some(Coupon(Arc::new(row))),
                user_errors: Vec::new(),
            },
            Err(error) => CreateCouponPayload {
                coupon: None,
                user_errors: refused(error)?,
            },
        }))
    }
}
