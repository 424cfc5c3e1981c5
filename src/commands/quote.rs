//! Prices: previewed for a slider, or promised in a quote.

use entity::enums::QuoteStatus;
use entity::{account, coupon, price, quote};
use uuid::Uuid;

use crate::app::App;
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::money::{Currency, Money};
use crate::domain::pricing::PriceRow;
use crate::domain::quote::{
    self as rules, CatalogueComponent, CatalogueProduct, CreateItem, PricedQuote, QuoteRequest, RequestedItem,
};
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
        expires_at: rules::expires_at(now),
    };
    app.db
        .write("create_quote", async |tx| {
            let tx = &*tx;
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
    let account = accounts::by_ids(db, scope, &[request.account])
        .await?
        .into_iter()
        .next();
    let account = account.ok_or(Error::NotFound("account"))?;
    let currency: Currency = account.currency.parse()?;
    let zone = time::zone(&account.zone)?;

    let wanted: Vec<(String, String)> = creates
        .iter()
        .map(|create| (create.product.clone(), create.resource_type.clone()))
        .collect();
    let sellable = pricing::sellable(db, scope, &wanted, &account.currency, now).await?;
    let mut items = Vec::with_capacity(creates.len());
    for (place, create) in creates.into_iter().enumerate() {
        items.push(RequestedItem::Create(
            resolve(&sellable, create, currency).map_err(|error| under_item(error, place))?,
        ));
    }
    let found = match &code {
        None => None,
        Some(code) => Some(
            pricing::coupon(db, scope, code, account.id)
                .await?
                .ok_or_else(|| unknown_coupon(code))?,
        ),
    };
    let terms = found.as_ref().map(|(row, used)| coupon_terms(row, *used)).transpose()?;
    let asked = QuoteRequest {
        items: &items,
        coupon: terms.as_ref(),
        zone,
        currency,
        now,
    };
    let quote = rules::price(&asked)?;
    Ok(Priced {
        account,
        quote,
        coupon: found.map(|(row, _)| row),
    })
}

fn unknown_coupon(code: &str) -> Refusal {
    let shown: String = code.chars().take(32).collect();
    Refusal::new(
        RefusalCode::CouponUnknown,
        format!("There is no coupon {shown:?}. Check the code, or order without it."),
    )
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
            let within =
                |refusal: Refusal, field: &str| refusal.under(field).under("create").under(place).under("items");
            create.name = create
                .name
                .map(|name| text::line(&name, text::MAX_NAME).map_err(|refusal| within(refusal, "name")))
                .transpose()?;
            if !text::may_be_short_name(&create.product) || !text::may_be_short_name(&create.resource_type) {
                let refusal = Refusal::new(
                    RefusalCode::UnknownProduct,
                    "There is no such product and resource type.",
                );
                return Err(within(refusal, "product"));
            }
            if create.components.len() > rules::MAX_COMPONENTS
                || create.components.iter().any(|(code, _)| code.len() > 64)
            {
                let refusal = Refusal::new(RefusalCode::UnknownComponent, "There are no such components.");
                return Err(within(refusal, "components"));
            }
            Ok(create)
        })
        .collect()
}

fn under_item(error: Error, place: usize) -> Error {
    match error {
        Error::Refused(refusal) => refusal.under("create").under(place).under("items").into(),
        error => error,
    }
}

/// Finds what was asked for in the catalogue.
fn resolve(sellable: &[Sellable], create: Create, currency: Currency) -> Result<CreateItem, Error> {
    let sold = sellable
        .iter()
        .find(|sold| sold.product.code == create.product && sold.resource_type.code == create.resource_type)
        .ok_or_else(|| {
            let message = "There is no such product and resource type. The query `products` lists them.";
            Refusal::new(RefusalCode::UnknownProduct, message).under("product")
        })?;
    let mut components = Vec::with_capacity(create.components.len());
    for (place, (code, quantity)) in create.components.into_iter().enumerate() {
        let at = |refusal: Refusal| refusal.under("code").under(place).under("components");
        let Some((row, price)) = sold.components.iter().find(|(row, _)| row.code == code) else {
            let known: Vec<&str> = sold.components.iter().map(|(row, _)| row.code.as_str()).collect();
            let message = format!(
                "{} has no such component. It has: {}.",
                create.resource_type,
                known.join(", ")
            );
            return Err(at(Refusal::new(RefusalCode::UnknownComponent, message)).into());
        };
        let Some(price) = price else {
            let message = format!("{code} is not sold in {currency} now. Choose another component.");
            return Err(at(Refusal::new(RefusalCode::PriceNotAvailable, message)).into());
        };
        let component = CatalogueComponent {
            component_id: row.id,
            code: row.code.clone(),
            name: row.name.clone(),
            unit_label: row.unit_label.clone(),
            min_quantity: i64::from(row.minimum),
            max_quantity: i64::from(row.maximum),
            price: price_row(price)?,
        };
        components.push((component, quantity));
    }
    Ok(CreateItem {
        product: CatalogueProduct {
            product_id: sold.product.id,
            product_code: sold.product.code.clone(),
            product_name: sold.product.name.clone(),
            resource_type_id: sold.resource_type.id,
            resource_type_code: sold.resource_type.code.clone(),
            resource_type_name: sold.resource_type.name.clone(),
            day_count: sold.product.day_count,
            auto_renew_locked: sold.product.auto_renew_locked,
        },
        components,
        quantity: create.quantity,
        term: create.term,
        name: create.name,
        auto_renew: false,
    })
}

fn price_row(row: &price::Model) -> Result<PriceRow, Error> {
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
