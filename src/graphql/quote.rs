//! Quotes: a price that is promised for a quarter of an hour, and the preview that promises nothing.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::enums::QuoteStatus;
use entity::quote;
use serde::Deserialize as _;
use uuid::Uuid;

use super::caller::{Needs, Permission, ReadsAccounts};
use super::errors::Result;
use super::ids::{self, Kind, global};
use super::order::Order;
use super::price::QuotedItem;
use super::scalars::{DateTime, Money};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::quote::{self as commands, Action, MOST_ACTIONS};
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

    /// What the new periods cost: gross less coupon. It is what the invoices will say.
    async fn charged(&self) -> Money {
        self.priced.totals.charged.into()
    }

    /// What is to be paid: what is charged, less what is unused of the periods it replaces, item by item.
    async fn due(&self) -> Result<Money> {
        Ok(self.priced.due().map_err(Error::from)?.into())
    }

    /// What goes back to the credit wallet.
    async fn refund(&self) -> Result<Money> {
        Ok(self.priced.refund().map_err(Error::from)?.into())
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

impl TermInput {
    pub(crate) fn term(self) -> std::result::Result<Term, Refusal> {
        match self {
            Self::Months(months) => Term::months(months).map_err(|refusal| refusal.under("months")),
            Self::Days(days) => Term::days(days).map_err(|refusal| refusal.under("days")),
            Self::Until(until) => Term::until(until.0).map_err(|refusal| refusal.under("until")),
        }
    }
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
    /// Whether the engine renews them from credit, a month at a time; `setAutoRenew` changes it later. Some products
    /// are always renewed.
    #[graphql(default = false)]
    auto_renew: bool,
}

/// A longer life of a resource, from its present end on, at today's price.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct RenewActionInput {
    /// The resource.
    resource_id: ID,
    /// By how much, or until when.
    term: TermInput,
}

/// Life again for a resource in the trash.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct RecoverActionInput {
    /// The resource.
    resource_id: ID,
    /// For how long from now on. Left out where what was paid is still ahead and nothing was given back: it is free then.
    term: Option<TermInput>,
}

/// Another configuration for the rest of the paid time.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ResizeActionInput {
    /// The resource.
    resource_id: ID,
    /// The whole new configuration.
    components: Vec<ComponentInput>,
}

/// The end of a resource. What is unused goes back where the product gives it back.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct DeleteActionInput {
    /// The resource.
    resource_id: ID,
}

/// One end for many resources: each is renewed up to it and priced by itself.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct MatchEndTimeActionInput {
    /// The resources. What ends there already is left as it is.
    resource_ids: Vec<ID>,
    /// The end they all get.
    until: DateTime,
}

/// One action of a quote: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum QuoteActionInput {
    /// Buys new resources.
    Create(CreateActionInput),
    /// Renews a resource.
    Renew(RenewActionInput),
    /// Recovers a resource from the trash.
    Recover(RecoverActionInput),
    /// Changes a resource's configuration.
    Resize(ResizeActionInput),
    /// Deletes a resource.
    Delete(DeleteActionInput),
    /// Lets many resources end at one instant.
    MatchEndTime(MatchEndTimeActionInput),
}

impl QuoteActionInput {
    /// What it is called where it is asked for.
    const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Renew(_) => "renew",
            Self::Recover(_) => "recover",
            Self::Resize(_) => "resize",
            Self::Delete(_) => "delete",
            Self::MatchEndTime(_) => "matchEndTime",
        }
    }

    fn action(self) -> std::result::Result<Action, Refusal> {
        let resource = |id: &ID| resource(id).map_err(|refusal| refusal.under("resourceId"));
        let term = |term: TermInput| term.term().map_err(|refusal| refusal.under("term"));
        Ok(match self {
            Self::Create(create) => Action::Create(commands::Create {
                product: create.product,
                resource_type: create.resource_type,
                components: components(create.components),
                quantity: create.quantity,
                term: term(create.term)?,
                name: create.name,
                auto_renew: create.auto_renew,
            }),
            Self::Renew(renew) => Action::Renew {
                resource: resource(&renew.resource_id)?,
                term: term(renew.term)?,
            },
            Self::Recover(recover) => Action::Recover {
                resource: resource(&recover.resource_id)?,
                term: recover.term.map(term).transpose()?,
            },
            Self::Resize(resize) => Action::Resize {
                resource: resource(&resize.resource_id)?,
                components: components(resize.components),
            },
            Self::Delete(delete) => Action::Delete {
                resource: resource(&delete.resource_id)?,
            },
            Self::MatchEndTime(matched) => Action::MatchEndTime {
                resources: resources(&matched.resource_ids)?,
                until: matched.until.0,
            },
        })
    }
}

/// A resource's key. An id that is none of ours is that of no resource.
pub(crate) fn resource(id: &ID) -> std::result::Result<Uuid, Refusal> {
    ids::parse(id, Kind::Resource)
        .ok_or_else(|| Refusal::new(RefusalCode::ResourceNotFound, "There is no such resource."))
}

/// The keys of many.
pub(crate) fn resources(ids: &[ID]) -> std::result::Result<Vec<Uuid>, Refusal> {
    let key = |(place, id): (usize, &ID)| resource(id).map_err(|refusal| refusal.under(place).under("resourceIds"));
    ids.iter().enumerate().map(key).collect()
}

fn components(given: Vec<ComponentInput>) -> Vec<(String, i64)> {
    given
        .into_iter()
        .map(|component| (component.code, component.quantity))
        .collect()
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
    let action = |(place, action): (usize, QuoteActionInput)| {
        let name = action.name();
        let within = |refusal: Refusal| refusal.under(name).under(place).under("items");
        action.action().map_err(within)
    };
    Ok(commands::PriceRequest {
        account,
        actions: actions
            .into_iter()
            .enumerate()
            .map(action)
            .collect::<std::result::Result<_, Refusal>>()?,
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

    fn sum(&self, of: fn(&PricedQuote) -> std::result::Result<crate::domain::Money, Refusal>) -> Result<Option<Money>> {
        let sum = self.priced.as_ref().ok().map(of).transpose();
        Ok(sum.map_err(Error::from)?.map(Money::from))
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

    /// What the new periods would cost: gross less coupon.
    async fn charged(&self) -> Option<Money> {
        self.total(|priced| priced.totals.charged)
    }

    /// What would be to be paid: what is charged, less what is unused of the periods it replaces, item by item.
    async fn due(&self) -> Result<Option<Money>> {
        self.sum(PricedQuote::due)
    }

    /// What would go back to the credit wallet.
    async fn refund(&self) -> Result<Option<Money>> {
        self.sum(PricedQuote::refund)
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
    /// Promises a price for 15 minutes. What concerns resources that exist needs the permission ManageResources too.
    ///
    /// Codes: NOTHING_TO_BUY, TOO_MANY_ITEMS, UNKNOWN_PRODUCT, UNKNOWN_COMPONENT, COMPONENT_NOT_ALLOWED,
    /// DUPLICATE_COMPONENT, INVALID_QUANTITY, INVALID_TERM, INVALID_INSTANT, END_NOT_AFTER_START, ZERO_LENGTH,
    /// PRICE_NOT_AVAILABLE, CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE, INVALID_TEXT, RESOURCE_NOT_FOUND, DUPLICATE_RESOURCE,
    /// STATE_CONFLICT, PERIOD_ENDED, COUPON_UNKNOWN, COUPON_NOT_YET_VALID, COUPON_EXPIRED, COUPON_EXHAUSTED,
    /// COUPON_NOT_APPLICABLE, COUPON_MINIMUM_NOT_MET.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn create_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be bought.")] input: CreateQuoteInput,
    ) -> Result<Option<CreateQuotePayload>> {
        let session = ctx.session()?;
        if !input
            .items
            .iter()
            .all(|item| matches!(item, QuoteActionInput::Create(_)))
        {
            session.caller.require(Permission::ManageResources)?;
        }
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
