//! Quotes: a price that is promised for a quarter of an hour, and the preview that promises nothing.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::enums::QuoteStatus;
use entity::quote;
use serde::Deserialize as _;
use uuid::Uuid;

use super::caller::{Needs, Permission, ReadsAccounts};
use super::errors::Result;
use super::ids::{Kind, global};
use super::order::Order;
use super::price::QuotedItem;
use super::scalars::{DateTime, Money};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::quote::{self as commands, MOST_ACTIONS};
use crate::domain::quote::PricedQuote;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::term::Term;
use crate::error::Error;

#[derive(Clone, Debug)]
pub(crate) struct Quote {
    row: Arc<quote::Model>,
    priced: Arc<PricedQuote>,
}

impl Quote {
    /// A quote with its document.
    pub(crate) fn read(row: Arc<quote::Model>) -> Result<Self> {
        let priced = Arc::new(PricedQuote::deserialize(&row.document).map_err(Error::from)?);
        Ok(Self { row, priced })
    }
}

fn items(priced: &PricedQuote, account: Uuid) -> Vec<QuotedItem> {
    let item = |item: &crate::domain::quote::PricedItem| QuotedItem {
        item: item.clone(),
        coupon_code: priced.coupon_code.clone(),
        account,
    };
    priced.items.iter().map(item).collect()
}

/// A price that is promised until the quote expires, explained line by line.
#[Object]
impl Quote {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Quote, self.row.id)
    }

    /// Where it stands.
    async fn status(&self) -> QuoteStatus {
        self.row.status
    }

    /// Its items: a quantity of n makes n of them.
    async fn items(&self) -> Vec<QuotedItem> {
        items(&self.priced, self.row.account_id)
    }

    /// Without tax.
    async fn net(&self) -> Money {
        self.priced.totals.net.into()
    }

    /// The tax.
    async fn tax(&self) -> Money {
        self.priced.totals.tax.into()
    }

    /// With tax, before the coupon.
    async fn gross(&self) -> Money {
        self.priced.totals.gross.into()
    }

    /// What the coupon takes off.
    async fn coupon(&self) -> Money {
        self.priced.totals.coupon.into()
    }

    /// The coupon's code.
    async fn coupon_code(&self) -> Option<&str> {
        self.priced.coupon_code.as_deref()
    }

    /// What is to be paid.
    async fn charged(&self) -> Money {
        self.priced.totals.charged.into()
    }

    /// The order it became.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(order) = self.row.order_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.orders.load(order).await?.map(Order))
    }

    /// When it was made: the instant of its prices.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// Until when it may be ordered.
    async fn expires_at(&self) -> DateTime {
        self.row.expires_at.into()
    }
}

/// For how long: exactly one.
#[derive(Clone, Copy, Debug, OneofObject)]
pub(crate) enum TermInput {
    /// So many calendar months, 1 to 120, each priced as 30 days.
    Months(i64),
    /// So many days of 24 hours, 1 to 3,660.
    Days(i64),
    /// Up to a chosen instant, at most ten years ahead.
    Until(DateTime),
}

/// A component and how many units of it.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ComponentInput {
    /// Its short name.
    code: String,
    /// How many units.
    quantity: i64,
}

/// New resources, all alike.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct CreateActionInput {
    /// The product's short name.
    product: String,
    /// The resource type's short name.
    resource_type: String,
    /// What each of them is made of.
    components: Vec<ComponentInput>,
    /// How many of them, 1 to 50.
    #[graphql(default = 1)]
    quantity: i64,
    /// For how long.
    term: TermInput,
    /// What to call them; several are numbered.
    name: Option<String>,
}

/// One action of a quote: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum QuoteActionInput {
    /// Buys new resources.
    Create(CreateActionInput),
}

/// What a price is asked for.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct PricePreviewInput {
    /// Whose prices; the caller's own account when absent.
    account_id: Option<ID>,
    /// The actions, 1 to 20.
    items: Vec<QuoteActionInput>,
    /// A coupon.
    coupon_code: Option<String>,
}

/// What a quote is asked for.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct CreateQuoteInput {
    /// For whom; the caller's own account when absent.
    account_id: Option<ID>,
    /// The actions, 1 to 20.
    items: Vec<QuoteActionInput>,
    /// A coupon.
    coupon_code: Option<String>,
}

fn request(
    account: Uuid,
    actions: Vec<QuoteActionInput>,
    coupon_code: Option<String>,
) -> std::result::Result<commands::PriceRequest, Error> {
    if actions.len() > MOST_ACTIONS {
        let message = format!("A quote takes at most {MOST_ACTIONS} actions. Split the purchase.");
        return Err(Refusal::new(RefusalCode::TooManyItems, message).under("items").into());
    }
    let create = |place: usize, QuoteActionInput::Create(create): QuoteActionInput| {
        let within = |refusal: Refusal| refusal.under("term").under("create").under(place).under("items");
        let term = match create.term {
            TermInput::Months(months) => Term::months(months).map_err(|refusal| within(refusal.under("months"))),
            TermInput::Days(days) => Term::days(days).map_err(|refusal| within(refusal.under("days"))),
            TermInput::Until(until) => Term::until(until.0).map_err(|refusal| within(refusal.under("until"))),
        }?;
        Ok(commands::Create {
            product: create.product,
            resource_type: create.resource_type,
            components: create
                .components
                .into_iter()
                .map(|component| (component.code, component.quantity))
                .collect(),
            quantity: create.quantity,
            term,
            name: create.name,
        })
    };
    let creates = actions
        .into_iter()
        .enumerate()
        .map(|(place, action)| create(place, action));
    let creates = creates.collect::<std::result::Result<_, Refusal>>()?;
    Ok(commands::PriceRequest {
        account,
        creates,
        coupon_code,
    })
}

/// A price, explained and not promised. When it was refused there is no price, and the user errors say why.
#[derive(Clone, Debug)]
pub(crate) struct PricePreview {
    account: Uuid,
    priced: std::result::Result<PricedQuote, Vec<UserError>>,
}

impl PricePreview {
    fn total(&self, of: fn(&PricedQuote) -> crate::domain::Money) -> Option<Money> {
        self.priced.as_ref().ok().map(|priced| of(priced).into())
    }
}

/// A price, explained and not promised. Nothing is stored. When it is refused there is no price, and the user errors
/// say why.
#[Object]
impl PricePreview {
    /// The items, priced.
    async fn items(&self) -> Option<Vec<QuotedItem>> {
        self.priced.as_ref().ok().map(|priced| items(priced, self.account))
    }

    /// Without tax.
    async fn net(&self) -> Option<Money> {
        self.total(|priced| priced.totals.net)
    }

    /// The tax.
    async fn tax(&self) -> Option<Money> {
        self.total(|priced| priced.totals.tax)
    }

    /// With tax, before the coupon.
    async fn gross(&self) -> Option<Money> {
        self.total(|priced| priced.totals.gross)
    }

    /// What the coupon takes off.
    async fn coupon(&self) -> Option<Money> {
        self.total(|priced| priced.totals.coupon)
    }

    /// What would be to be paid.
    async fn charged(&self) -> Option<Money> {
        self.total(|priced| priced.totals.charged)
    }

    /// Why there is no price; empty when there is one.
    async fn user_errors(&self) -> Vec<UserError> {
        self.priced.as_ref().err().cloned().unwrap_or_default()
    }
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct QuoteQueries;

#[Object]
impl QuoteQueries {
    /// What something would cost now, explained. Nothing is stored and nothing promised: for sliders. It is refused
    /// with the same codes as `createQuote`.
    #[graphql(guard = "ReadsAccounts")]
    async fn price_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be priced.")] input: PricePreviewInput,
    ) -> Result<Option<PricePreview>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let priced = match request(account, input.items, input.coupon_code) {
            Ok(request) => commands::preview(&session.app, &session.scope, request).await,
            Err(error) => Err(error),
        };
        let priced = match priced {
            Ok(priced) => Ok(priced),
            Err(error) => Err(refused(error)?),
        };
        Ok(Some(PricePreview { account, priced }))
    }
}

/// What making a quote did.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateQuotePayload {
    /// The quote; null when it was refused.
    quote: Option<Quote>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct QuoteMutations;

#[Object]
impl QuoteMutations {
    /// Promises a price for 15 minutes.
    ///
    /// Codes: NOTHING_TO_BUY, TOO_MANY_ITEMS, UNKNOWN_PRODUCT, UNKNOWN_COMPONENT, COMPONENT_NOT_ALLOWED,
    /// DUPLICATE_COMPONENT, INVALID_QUANTITY, INVALID_TERM, INVALID_INSTANT, END_NOT_AFTER_START, ZERO_LENGTH,
    /// PRICE_NOT_AVAILABLE, CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, COUPON_UNKNOWN, COUPON_NOT_YET_VALID,
    /// COUPON_EXPIRED, COUPON_EXHAUSTED, COUPON_NOT_APPLICABLE, COUPON_MINIMUM_NOT_MET.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn create_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be bought.")] input: CreateQuoteInput,
    ) -> Result<Option<CreateQuotePayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let made = match request(account, input.items, input.coupon_code) {
            Ok(request) => commands::create(&session.app, &session.scope, request).await,
            Err(error) => Err(error),
        };
        session.forget();
        Ok(Some(match made {
            Ok(row) => CreateQuotePayload {
                quote: Some(Quote::read(Arc::new(row))?),
                user_errors: Vec::new(),
            },
            Err(error) => CreateQuotePayload {
                quote: None,
                user_errors: refused(error)?,
            },
        }))
    }
}
