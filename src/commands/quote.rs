//! Prices: previewed for a slider, or promised in a quote.

use chrono::TimeDelta;
use entity::enums::QuoteStatus;
use entity::{account, coupon, price, quote};
use uuid::Uuid;

use crate::app::App;
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::money::{Currency, Money};
use crate::domain::pricing::{ComponentRef, PriceRow};
use crate::domain::quote::{self as rules, CatalogueComponent, CatalogueType, PricedQuote, Wanted};
use crate::domain::rate::{Share, UnitPrice};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::term::Term;
use crate::domain::{text, time};
use crate::error::Error;
use crate::ids;
use crate::store::pricing::{self, Sellable};
use crate::store::{Scope, accounts, purchases};

/// The most actions that one quote takes.
pub const MOST_ACTIONS: usize = 20;

/// New resources that are asked for.
#[derive(Clone, Debug)]
pub struct Create {
    /// The product's code.
    pub product: String,
    /// The resource type's code.
    pub resource_type: String,
    /// Components, by code, and how many of each.
    pub components: Vec<(String, i64)>,
    /// How many resources.
    pub quantity: i64,
    /// For how long.
    pub term: Term,
    /// What they are called; the resource type's code when absent.
    pub name: Option<String>,
}

/// What is asked to be priced.
#[derive(Clone, Debug)]
pub struct PriceRequest {
    /// Whose prices: they are in its currency, and its days are counted in its zone.
    pub account: Uuid,
    /// What is bought.
    pub creates: Vec<Create>,
    /// The coupon.
    pub coupon_code: Option<String>,
}

struct Priced {
    account: account::Model,
    quote: PricedQuote,
    coupon: Option<coupon::Model>,
}

/// Prices a request and stores nothing.
///
/// # Errors
/// [`Error::NotFound`] for an account that the caller may not see; refused as [`create`] is.
pub async fn preview(app: &App, scope: &Scope, request: PriceRequest) -> Result<PricedQuote, Error> {
    Ok(price(app, scope, request).await?.quote)
}

/// Promises a price for a quarter of an hour.
///
/// # Errors
/// [`Error::NotFound`] for an account that the caller may not see. Refused with NOTHING_TO_BUY, TOO_MANY_ITEMS,
/// UNKNOWN_PRODUCT, UNKNOWN_COMPONENT, DUPLICATE_COMPONENT, INVALID_QUANTITY, INVALID_TERM, INVALID_INSTANT,
/// END_NOT_AFTER_START, ZERO_LENGTH, PRICE_NOT_AVAILABLE, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, and the coupon's:
/// COUPON_UNKNOWN, COUPON_NOT_YET_VALID, COUPON_EXPIRED, COUPON_EXHAUSTED, COUPON_NOT_APPLICABLE,
/// COUPON_MINIMUM_NOT_MET.
pub async fn create(app: &App, scope: &Scope, request: PriceRequest) -> Result<quote::Model, Error> {
    let now = app.clock.now();
    let priced = price(app, scope, request).await?;
    let totals = &priced.quote.totals;
    let row = quote::Model {
        id: ids::new_id(),
        account_id: priced.account.id,
        principal: scope.principal().to_owned(),
        status: QuoteStatus::Open,
        currency: priced.account.currency.clone(),
        gross_minor: totals.gross.minor(),
        coupon_minor: totals.coupon.minor(),
        tax_minor: totals.tax.minor(),
        charged_minor: totals.charged.minor(),
        coupon_id: priced.coupon.map(|coupon| coupon.id),
        document: serde_json::to_value(&priced.quote)?,
        order_id: None,
        created_at: now,
        expires_at: now + TimeDelta::minutes(rules::VALID_MINUTES),
    };
    app.db
        .write("create_quote", async |tx| {
            tx.is_replayable();
            purchases::insert_quote(tx, scope, row.clone()).await
        })
        .await?;
    Ok(row)
}

async fn price(app: &App, scope: &Scope, request: PriceRequest) -> Result<Priced, Error> {
    let creates = checked(request.creates)?;
    let code = request
        .coupon_code
        .map(|code| text::coupon_code(&code).map_err(|_| unknown_coupon(&code)))
        .transpose()?;
    let now = app.clock.now();
    let db = app.db.read();
    let account = accounts::by_ids(db, scope, &[request.account]).await?.into_iter().next();
    let account = account.ok_or(Error::NotFound("account"))?;
    let currency: Currency = account.currency.parse()?;
    let zone = time::zone(&account.zone)?;

    let wanted: Vec<(String, String)> =
        creates.iter().map(|create| (create.product.clone(), create.resource_type.clone())).collect();
    let sellable = pricing::sellable(db, scope, &wanted, &account.currency, now).await?;
    let sold = sellable.into_iter().map(catalogue_type).collect::<Result<Vec<_>, Error>>()?;
    let mut asked = Vec::with_capacity(creates.len());
    for (place, create) in creates.into_iter().enumerate() {
        let found = sold
            .iter()
            .find(|sold| sold.product_code == create.product && sold.resource_type_code == create.resource_type)
            .ok_or_else(|| {
                Refusal::new(
                    RefusalCode::UnknownProduct,
                    "There is no such product and resource type. The query `products` lists them.",
                )
                .under("product")
                .under("create")
                .under(place)
                .under("items")
            })?;
        asked.push(Wanted {
            sold: found,
            components: create.components,
            quantity: create.quantity,
            term: create.term,
            name: create.name.unwrap_or(create.resource_type),
        });
    }
    let found = match &code {
        None => None,
        Some(code) => {
            Some(pricing::coupon(db, scope, code, account.id).await?.ok_or_else(|| unknown_coupon(code))?)
        }
    };
    let terms = found.as_ref().map(|(row, used)| coupon_terms(row, *used)).transpose()?;
    let quote = rules::price(&asked, terms.as_ref(), currency, zone, now)?;
    Ok(Priced { account, quote, coupon: found.map(|(row, _)| row) })
}

fn unknown_coupon(code: &str) -> Refusal {
    let shown: String = code.chars().take(32).collect();
    Refusal::new(RefusalCode::CouponUnknown, format!("There is no coupon {shown:?}. Check the code, or order without it."))
        .under("couponCode")
}

fn checked(creates: Vec<Create>) -> Result<Vec<Create>, Refusal> {
    if creates.len() > MOST_ACTIONS {
        let message = format!("A quote takes at most {MOST_ACTIONS} actions. Split the purchase.");
        return Err(Refusal::new(RefusalCode::TooManyItems, message).under("items"));
    }
    creates
        .into_iter()
        .enumerate()
        .map(|(place, mut create)| {
            let within = |refusal: Refusal, field: &str| refusal.under(field).under("create").under(place).under("items");
            create.name = create
                .name
                .map(|name| text::line(&name, text::MAX_NAME).map_err(|refusal| within(refusal, "name")))
                .transpose()?;
            if create.product.len() > 64 || create.resource_type.len() > 64 {
                let refusal = Refusal::new(RefusalCode::UnknownProduct, "There is no such product and resource type.");
                return Err(within(refusal, "product"));
            }
            if create.components.len() > rules::MOST_COMPONENTS || create.components.iter().any(|(code, _)| code.len() > 64) {
                let refusal = Refusal::new(RefusalCode::UnknownComponent, "There are no such components.");
                return Err(within(refusal, "components"));
            }
            Ok(create)
        })
        .collect()
}

fn catalogue_type(sold: Sellable) -> Result<CatalogueType, Error> {
    let components = sold
        .components
        .into_iter()
        .map(|(component, price)| {
            Ok(CatalogueComponent {
                component: ComponentRef {
                    id: component.id,
                    code: component.code,
                    name: component.name,
                    unit_label: component.unit_label,
                },
                minimum: i64::from(component.minimum),
                maximum: i64::from(component.maximum),
                price: price.map(price_row).transpose()?,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(CatalogueType {
        product_code: sold.product.code,
        product_name: sold.product.name,
        day_count: sold.product.day_count,
        resource_type_id: sold.resource_type.id,
        resource_type_code: sold.resource_type.code,
        components,
    })
}

fn price_row(row: price::Model) -> Result<PriceRow, Error> {
    Ok(PriceRow {
        unit: row.unit,
        unit_price: UnitPrice::from_micros(row.unit_price_micros)?,
        discount: Share::from_micros(row.discount_micros)?,
        tax: Share::from_micros(row.tax_micros)?,
        tax_mode: row.tax_mode,
        currency: row.currency.parse()?,
    })
}

fn coupon_terms(row: &coupon::Model, redeemed_by_account: i64) -> Result<CouponTerms, Error> {
    let currency: Currency = row.currency.parse()?;
    let money = |minor: i64| Money::of(minor, currency);
    let value = match (row.percent_micros, row.amount_minor) {
        (Some(micros), _) => CouponValue::Percent(Share::from_micros(micros)?),
        (None, Some(minor)) => CouponValue::Fixed(money(minor)),
        (None, None) => return Err(Error::internal("a coupon takes nothing off")),
    };
    Ok(CouponTerms {
        code: row.code.clone(),
        value,
        currency,
        valid_from: row.valid_from,
        valid_until: row.valid_until,
        product_codes: serde_json::from_value(row.product_codes.clone())?,
        minimum_order: row.minimum_order_minor.map(money),
        maximum_discount: row.maximum_discount_minor.map(money),
        total_limit: row.total_limit,
        per_account_limit: row.per_account_limit,
        redeemed: row.redeemed,
        redeemed_by_account,
    })
}
