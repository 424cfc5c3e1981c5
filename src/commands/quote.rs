//! Prices: previewed for a slider, or promised in a quote.

use chrono::{DateTime, Utc};
use entity::{account, coupon, product, quote};
use uuid::Uuid;

use super::fulfil::{Catalogue, catalogue_product, promise};
use crate::app::App;
use crate::db;
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::money::{Currency, Money};
use crate::domain::quote::{
    self as rules, CreateItem, DeleteItem, PricedQuote, QuoteRequest, RecoverItem, RenewItem, RequestedItem, ResizeItem,
};
use crate::domain::rate::Share;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::term::Term;
use crate::domain::{text, time};
use crate::error::Error;
use crate::store::{Scope, accounts, pricing, purchases};

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
    /// Whether the engine renews them.
    pub auto_renew: bool,
}

/// One action that is asked for.
#[derive(Clone, Debug)]
pub enum Action {
    /// New resources.
    Create(Create),
    /// A longer life.
    Renew {
        /// The resource.
        resource: Uuid,
        /// By how much, or until when.
        term: Term,
    },
    /// Life again.
    Recover {
        /// The resource.
        resource: Uuid,
        /// For how long; none where what is paid is still ahead.
        term: Option<Term>,
    },
    /// Another configuration.
    Resize {
        /// The resource.
        resource: Uuid,
        /// The whole new configuration: components, by code, and how many of each.
        components: Vec<(String, i64)>,
    },
    /// The end.
    Delete {
        /// The resource.
        resource: Uuid,
    },
    /// One end for many: each is renewed up to it.
    MatchEndTime {
        /// The resources.
        resources: Vec<Uuid>,
        /// The end.
        until: DateTime<Utc>,
    },
}

impl Action {
    /// What it is called where it is asked for.
    const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Renew { .. } => "renew",
            Self::Recover { .. } => "recover",
            Self::Resize { .. } => "resize",
            Self::Delete { .. } => "delete",
            Self::MatchEndTime { .. } => "matchEndTime",
        }
    }

    /// The resources it is about.
    fn resources(&self) -> &[Uuid] {
        match self {
            Self::Create(_) => &[],
            Self::Renew { resource, .. }
            | Self::Recover { resource, .. }
            | Self::Resize { resource, .. }
            | Self::Delete { resource } => std::slice::from_ref(resource),
            Self::MatchEndTime { resources, .. } => resources,
        }
    }
}

/// What is asked to be priced.
#[derive(Clone, Debug)]
pub struct PriceRequest {
    /// Whose prices: they are in its currency, and its days are counted in its zone.
    pub account: Uuid,
    /// What is asked for.
    pub actions: Vec<Action>,
    /// The coupon.
    pub coupon_code: Option<String>,
}

struct Priced {
    quote: PricedQuote,
    coupon: Option<coupon::Model>,
    /// The products of what can be bought.
    products: Vec<product::Model>,
}

/// Prices a request and stores nothing.
///
/// # Errors
/// [`Error::NotFound`] for an account that the caller may not see; refused as [`create`] is.
pub async fn preview(app: &App, scope: &Scope, request: PriceRequest) -> Result<PricedQuote, Error> {
    let account = account(app, scope, request.account).await?;
    Ok(price(app, scope, &account, request).await?.quote)
}

/// Promises a price for a quarter of an hour.
///
/// # Errors
/// [`Error::NotFound`] for an account that the caller may not see. Refused with NOTHING_TO_BUY, TOO_MANY_ITEMS,
/// UNKNOWN_PRODUCT, UNKNOWN_COMPONENT, DUPLICATE_COMPONENT, INVALID_QUANTITY, INVALID_TERM, INVALID_INSTANT,
/// END_NOT_AFTER_START, ZERO_LENGTH, PRICE_NOT_AVAILABLE, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, RESOURCE_NOT_FOUND,
/// DUPLICATE_RESOURCE, STATE_CONFLICT, PERIOD_ENDED, and the coupon's:
/// COUPON_UNKNOWN, COUPON_NOT_YET_VALID, COUPON_EXPIRED, COUPON_EXHAUSTED, COUPON_NOT_APPLICABLE,
/// COUPON_MINIMUM_NOT_MET.
pub async fn create(app: &App, scope: &Scope, request: PriceRequest) -> Result<quote::Model, Error> {
    let now = app.clock.now();
    // What an order of this quote is going to need is read with the account, where it can then be a single statement.
    let purse = if db::locks_rows(app.db.backend()) {
        purchases::purse(app.db.read(), scope, request.account, now).await?
    } else {
        None
    };
    let account = match &purse {
        Some(purse) => purse.account.clone(),
        None => account(app, scope, request.account).await?,
    };
    let priced = price(app, scope, &account, request).await?;
    let coupon = priced.coupon.as_ref().map(|coupon| coupon.id);
    let row = promise(&account, scope, &priced.quote, coupon, now)?;
    app.db
        .write("create_quote", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            purchases::insert_quote(tx, scope, row.clone()).await
        })
        .await?;
    if let Some(purse) = purse {
        app.remembered.purse(purse);
        app.remembered.quote(&row, priced.quote, priced.products);
    }
    Ok(row)
}

async fn account(app: &App, scope: &Scope, account: Uuid) -> Result<account::Model, Error> {
    let found = accounts::by_ids(app.db.read(), scope, &[account]).await?;
    found.into_iter().next().ok_or(Error::NotFound("account"))
}

async fn price(app: &App, scope: &Scope, account: &account::Model, request: PriceRequest) -> Result<Priced, Error> {
    let actions = checked(request.actions)?;
    let code = request
        .coupon_code
        .map(|code| text::coupon_code(&code).map_err(|_| unknown_coupon(&code)))
        .transpose()?;
    let now = app.clock.now();
    let db = app.db.read();
    let currency: Currency = account.currency.parse()?;
    let zone = time::zone(&account.zone)?;

    let ids: Vec<Uuid> = actions.iter().flat_map(Action::resources).copied().collect();
    let standing = purchases::standing(db, scope, account.id, &ids, now, false).await?;
    let wanted: Vec<(String, String)> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Create(create) => Some((create.product.clone(), create.resource_type.clone())),
            _ => None,
        })
        .collect();
    let catalogue = Catalogue::read(db, scope, account, standing, &wanted, now).await?;
    let (items, origins) = items(&catalogue, actions)?;
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
    let quote = rules::price(&asked).map_err(|refusal| at_origin(refusal, &origins))?;
    Ok(Priced {
        quote,
        coupon: found.map(|(row, _)| row),
        products: catalogue.sold.into_iter().map(|sold| sold.product).collect(),
    })
}

/// Where an item was asked for: the action's place, and for one of many its own within it.
#[derive(Clone, Copy, Debug)]
struct Origin {
    action: usize,
    of_many: Option<usize>,
}

/// Names the field as it was asked for: the rules know each item by itself.
fn at_origin(mut refusal: Refusal, origins: &[Origin]) -> Refusal {
    let place = refusal.path.get(1).and_then(|place| place.parse::<usize>().ok());
    let Some(origin) = place.and_then(|place| origins.get(place)) else {
        return refusal;
    };
    if let Some(place) = refusal.path.get_mut(1) {
        *place = origin.action.to_string();
    }
    if let Some(of_many) = origin.of_many {
        let within = refusal.path.split_off(2);
        let field = if within.get(1).is_some_and(|field| field == "term") {
            vec!["until".to_owned()]
        } else {
            vec!["resourceIds".to_owned(), of_many.to_string()]
        };
        refusal.path.push("matchEndTime".to_owned());
        refusal.path.extend(field);
    }
    refusal
}

fn unknown_coupon(code: &str) -> Refusal {
    let shown: String = code.chars().take(32).collect();
    Refusal::new(
        RefusalCode::CouponUnknown,
        format!("There is no coupon {shown:?}. Check the code, or order without it."),
    )
    .under("couponCode")
}

fn checked(actions: Vec<Action>) -> Result<Vec<Action>, Refusal> {
    let too_many = |message: String| Err(Refusal::new(RefusalCode::TooManyItems, message).under("items"));
    if actions.len() > MOST_ACTIONS {
        return too_many(format!(
            "A quote takes at most {MOST_ACTIONS} actions. Split the purchase."
        ));
    }
    // Before anything is read for them.
    let named: usize = actions.iter().map(|action| action.resources().len()).sum();
    let most = usize::try_from(rules::MAX_ITEMS).unwrap_or_default();
    if named > most {
        return too_many(format!(
            "One order holds at most {most} resources. Order the rest separately."
        ));
    }
    actions
        .into_iter()
        .enumerate()
        .map(|(place, action)| match action {
            Action::Create(create) => checked_create(place, create).map(Action::Create),
            Action::Resize { components, .. } if !are_components(&components) => {
                let refusal = Refusal::new(RefusalCode::UnknownComponent, "There are no such components.");
                Err(refusal.under("components").under("resize").under(place).under("items"))
            }
            other => Ok(other),
        })
        .collect()
}

fn are_components(components: &[(String, i64)]) -> bool {
    components.len() <= rules::MAX_COMPONENTS && components.iter().all(|(code, _)| code.len() <= 64)
}

fn checked_create(place: usize, mut create: Create) -> Result<Create, Refusal> {
    let within = |refusal: Refusal, field: &str| refusal.under(field).under("create").under(place).under("items");
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
    if !are_components(&create.components) {
        let refusal = Refusal::new(RefusalCode::UnknownComponent, "There are no such components.");
        return Err(within(refusal, "components"));
    }
    Ok(create)
}

/// The wishes of actions, each with where it was asked for.
fn items(catalogue: &Catalogue, actions: Vec<Action>) -> Result<(Vec<RequestedItem>, Vec<Origin>), Error> {
    let (mut items, mut origins) = (Vec::new(), Vec::new());
    for (place, action) in actions.into_iter().enumerate() {
        let name = action.name();
        let at = |error: Error| under(error, &["items", &place.to_string(), name]);
        let mut add = |item: RequestedItem, of_many: Option<usize>| {
            items.push(item);
            origins.push(Origin { action: place, of_many });
        };
        match action {
            Action::Create(create) => add(RequestedItem::Create(created(catalogue, create).map_err(at)?), None),
            Action::Renew { resource, term } => {
                let existing = catalogue.existing(resource).map_err(at)?;
                add(RequestedItem::Renew(RenewItem { existing, term }), None);
            }
            Action::Recover { resource, term } => {
                let existing = catalogue.existing(resource).map_err(at)?;
                add(RequestedItem::Recover(RecoverItem { existing, term }), None);
            }
            Action::Resize { resource, components } => {
                let existing = catalogue.existing(resource).map_err(at)?;
                let sold = catalogue.type_of(existing.product.resource_type_id)?;
                let components = catalogue.components(sold, components).map_err(at)?;
                add(RequestedItem::Resize(ResizeItem { existing, components }), None);
            }
            Action::Delete { resource } => {
                let existing = catalogue.existing(resource).map_err(at)?;
                add(RequestedItem::Delete(DeleteItem { existing }), None);
            }
            Action::MatchEndTime { resources, until } => {
                for (of_many, resource) in resources.into_iter().enumerate() {
                    let existing = catalogue
                        .existing(resource)
                        .map_err(|error| at(in_place(error, "resourceIds", of_many)))?;
                    // What ends there already is where it should be.
                    if existing.paid_until != Some(until) {
                        let term = Term::until(until).map_err(|refusal| at(refusal.under("until").into()))?;
                        add(RequestedItem::Renew(RenewItem { existing, term }), Some(of_many));
                    }
                }
            }
        }
    }
    Ok((items, origins))
}

/// Finds new resources in the catalogue.
fn created(catalogue: &Catalogue, create: Create) -> Result<CreateItem, Error> {
    let sold = catalogue
        .sold
        .iter()
        .find(|sold| sold.product.code == create.product && sold.resource_type.code == create.resource_type)
        .ok_or_else(|| {
            let message = "There is no such product and resource type. The query `products` lists them.";
            Refusal::new(RefusalCode::UnknownProduct, message).under("product")
        })?;
    Ok(CreateItem {
        product: catalogue_product(sold),
        components: catalogue.components(sold, create.components)?,
        quantity: create.quantity,
        term: create.term,
        name: create.name,
        auto_renew: create.auto_renew,
    })
}

fn under(error: Error, path: &[&str]) -> Error {
    match error {
        Error::Refused(refusal) => path
            .iter()
            .rev()
            .fold(*refusal, |refusal, field| refusal.under(field))
            .into(),
        error => error,
    }
}

/// Names one of many in place of the single one that the rule knows.
fn in_place(error: Error, field: &str, place: usize) -> Error {
    match error {
        Error::Refused(refusal) => Refusal {
            path: vec![field.to_owned(), place.to_string()],
            ..*refusal
        }
        .into(),
        error => error,
    }
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
