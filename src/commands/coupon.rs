//! Coupons that operators make.

use chrono::{DateTime, Utc};
use entity::coupon;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel};

use crate::app::App;
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::money::{Currency, Money, Sign};
use crate::domain::rate::Share;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{text, time};
use crate::error::Error;
use crate::ids;
use crate::store::Scope;

/// How a coupon takes money off, as it was written.
#[derive(Clone, Debug)]
pub enum Value {
    /// A percentage, as decimal text: "10", "12.5".
    Percent(String),
    /// An amount, as decimal text.
    Amount(String),
}

/// A coupon to be made. Amounts are exact decimal text in its currency.
#[derive(Clone, Debug)]
pub struct CreateCoupon {
    /// What the customer types.
    pub code: String,
    /// How it takes money off.
    pub value: Value,
    /// ISO 4217.
    pub currency: String,
    /// From when it may be used; from now on when absent.
    pub valid_from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub valid_until: Option<DateTime<Utc>>,
    /// The products it counts for; none is all.
    pub products: Vec<String>,
    /// The least gross of the eligible items.
    pub minimum_order: Option<String>,
    /// The most it takes off.
    pub maximum_discount: Option<String>,
    /// How often it may be used.
    pub total_limit: Option<i64>,
    /// How often one account may use it.
    pub per_account_limit: Option<i64>,
}

/// The most products that one coupon names.
const MOST_PRODUCTS: usize = 50;

/// Makes a coupon.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an operator. Refused with COUPON_INVALID, COUPON_CODE_TAKEN, INVALID_TEXT,
/// INVALID_RATE, INVALID_AMOUNT, TOO_MANY_DECIMALS, AMOUNT_OUT_OF_RANGE, INVALID_INSTANT, UNKNOWN_CURRENCY,
/// UNKNOWN_PRODUCT, LIMIT_EXCEEDED.
pub async fn create(app: &App, scope: &Scope, input: CreateCoupon) -> Result<coupon::Model, Error> {
    if !matches!(scope, Scope::Operator { .. }) {
        return Err(Error::Forbidden("the role OPERATOR"));
    }
    let now = app.clock.now();
    let terms = checked(input, now)?;
    let known = crate::store::pricing::known_products(app.db.read(), scope, &terms.product_codes).await?;
    if let Some(unknown) = terms.product_codes.iter().find(|code| !known.contains(code.as_str())) {
        return Err(unknown_product(unknown).into());
    }
    let (percent_micros, amount_minor) = match terms.value {
        CouponValue::Percent(share) => (Some(share.micros()), None),
        CouponValue::Fixed(amount) => (None, Some(amount.minor())),
    };
    let row = coupon::Model {
        id: ids::new_id(),
        code: terms.code.clone(),
        kind: terms.value.kind(),
        percent_micros,
        amount_minor,
        currency: terms.currency.code().to_owned(),
        valid_from: terms.valid_from,
        valid_until: terms.valid_until,
        minimum_order_minor: terms.minimum_order.map(Money::minor),
        maximum_discount_minor: terms.maximum_discount.map(Money::minor),
        total_limit: terms.total_limit,
        per_account_limit: terms.per_account_limit,
        redeemed: 0,
        product_codes: serde_json::to_value(&terms.product_codes)?,
        created_by: scope.principal().to_owned(),
        created_at: now,
    };
    app.db
        .write("create_coupon", async |tx| {
            let tx = &*tx;
            let written = coupon::Entity::insert(row.clone().into_active_model())
                .on_conflict(OnConflict::column(coupon::Column::Code).do_nothing().to_owned())
                .exec_without_returning(&**tx)
                .await?;
            if written == 1 {
                Ok(row.clone())
            } else {
                Err(Refusal::new(
                    RefusalCode::CouponCodeTaken,
                    format!("There is a coupon {} already.", row.code),
                )
                .under("code")
                .into())
            }
        })
        .await
}

fn unknown_product(code: &str) -> Refusal {
    Refusal::new(RefusalCode::UnknownProduct, format!("There is no product {code:?}.")).under("products")
}

fn checked(input: CreateCoupon, now: DateTime<Utc>) -> Result<CouponTerms, Error> {
    let currency: Currency = input.currency.parse()?;
    let amount = |field: &'static str, written: &str| {
        Money::from_decimal_text(written, currency, Sign::Positive).map_err(|refusal| refusal.under(field))
    };
    let instant =
        |field: &'static str, at: DateTime<Utc>| time::checked_instant(at).map_err(|refusal| refusal.under(field));
    if input.products.len() > MOST_PRODUCTS || input.products.iter().any(|code| code.len() > 64) {
        return Err(Refusal::new(
            RefusalCode::LimitExceeded,
            format!("Name at most {MOST_PRODUCTS} products."),
        )
        .under("products")
        .into());
    }
    if let Some(unknown) = input.products.iter().find(|code| !text::may_be_short_name(code)) {
        return Err(unknown_product(unknown).into());
    }
    let value = match &input.value {
        Value::Percent(percent) => CouponValue::Percent(
            Share::from_percent_text(percent).map_err(|refusal| refusal.under("percent").under("value"))?,
        ),
        Value::Amount(written) => {
            CouponValue::Fixed(amount("amount", written).map_err(|refusal| refusal.under("value"))?)
        }
    };
    let terms = CouponTerms {
        code: input.code,
        value,
        currency,
        valid_from: input.valid_from.map_or(Ok(now), |at| instant("validFrom", at))?,
        valid_until: input.valid_until.map(|at| instant("validUntil", at)).transpose()?,
        product_codes: input.products,
        minimum_order: input
            .minimum_order
            .map(|written| amount("minimumOrder", &written))
            .transpose()?,
        maximum_discount: input
            .maximum_discount
            .map(|written| amount("maximumDiscount", &written))
            .transpose()?,
        total_limit: input.total_limit,
        per_account_limit: input.per_account_limit,
        redeemed: 0,
        redeemed_by_account: 0,
    };
    Ok(terms.checked()?)
}
