//! Invoices, their lines and credit notes: the billing history.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::enums::{InvoiceStatus, PriceUnit};
use entity::{credit_note, credit_note_line};
use uuid::Uuid;

use super::billing_address::InvoiceAddress;
use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page, rows, selects, selects_any};
use super::errors::Result;
use super::ids::{Kind, global};
use super::in_place::{InPlace, Rows};
use super::loaders::{ListKey, ListedInvoice};
use super::order::Order;
use super::price::LineComponent;
use super::resource::{Resource, Tag};
use super::scalars::{DateTime, Decimal, Money, instant, money};
use super::session::Reach as _;
use crate::error::Error;
use crate::store::invoices::{self, Detail, Line, LineHead, Lines, Listing, Pricing, Row};
use crate::store::page::Page;

/// The fields of an invoice that its detail answers.
const DETAIL: &[&str] = &[
    "order",
    "description",
    "periodStart",
    "periodEnd",
    "coupon",
    "paid",
    "credited",
    "dueAt",
];
/// The fields of a line that its pricing answers.
const PRICING: &[&str] = &[
    "unit",
    "unitPrice",
    "discountPercent",
    "taxPercent",
    "net",
    "tax",
    "couponCode",
    "coupon",
];

#[derive(Clone, Debug)]
pub(crate) struct Invoice(pub(crate) Arc<Row>);

/// The record for one resource and one period. An issued invoice never changes: credit notes reduce it.
#[Object]
impl Invoice {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Invoice, self.0.head.id)
    }

    /// Its human code, without gaps within the account and the year.
    async fn code(&self) -> &str {
        &self.0.head.code
    }

    /// Where it stands.
    async fn status(&self) -> InvoiceStatus {
        self.0.head.status
    }

    /// The resource it is for.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Resource> {
        Ok(ctx.loaders()?.resources.must(self.0.head.resource_id).await?.into())
    }

    /// The order that it comes from.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(order) = self.detail(ctx).await?.order_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.orders.load(order).await?.map(Order))
    }

    /// The resource and its configuration, in words, as they were.
    async fn description(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(self.detail(ctx).await?.into_owned().description)
    }

    /// The first instant it is for.
    async fn period_start(&self, ctx: &Context<'_>) -> Result<DateTime> {
        Ok(self.detail(ctx).await?.period_start.into())
    }

    /// The end of what it is for, exclusive.
    async fn period_end(&self, ctx: &Context<'_>) -> Result<DateTime> {
        Ok(self.detail(ctx).await?.period_end.into())
    }

    /// Without tax.
    async fn net(&self) -> Result<Money> {
        money(self.0.head.net_minor, &self.0.head.currency)
    }

    /// The tax.
    async fn tax(&self) -> Result<Money> {
        money(self.0.head.tax_minor, &self.0.head.currency)
    }

    /// What the coupon took off.
    async fn coupon(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.detail(ctx).await?.coupon_minor, &self.0.head.currency)
    }

    /// Net and tax less coupon.
    async fn total(&self) -> Result<Money> {
        money(self.0.head.total_minor, &self.0.head.currency)
    }

    /// What of it is paid.
    async fn paid(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.detail(ctx).await?.paid_minor, &self.0.head.currency)
    }

    /// The sum of its credit notes.
    async fn credited(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.detail(ctx).await?.credited_minor, &self.0.head.currency)
    }

    /// Its lines: one for each component.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Rows<InvoiceLine>> {
        let lines = ctx.loaders()?.lines_of_invoice.must(self.0.head.id).await?;
        Ok(lines
            .into_iter()
            .map(|row| InvoiceLine {
                row,
                invoice: Arc::clone(&self.0),
            })
            .collect())
    }

    /// The credit notes that reduce it, oldest first.
    async fn credit_notes(&self, ctx: &Context<'_>) -> Result<Vec<CreditNote>> {
        Ok(ctx
            .loaders()?
            .credit_notes_of_invoice
            .must(self.0.head.id)
            .await?
            .into_iter()
            .map(CreditNote)
            .collect())
    }

    /// The billing address as it was; null when the account had none.
    async fn billing_address(&self, ctx: &Context<'_>) -> Result<Option<InvoiceAddress>> {
        let documents = ctx.loaders()?.invoice_documents.must(self.0.head.id).await?;
        documents.billing_address.as_ref().map(InvoiceAddress::read).transpose()
    }

    /// The resource's tags as they were, by key.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<Tag>> {
        let documents = ctx.loaders()?.invoice_documents.must(self.0.head.id).await?;
        let tags: BTreeMap<String, String> =
            serde::Deserialize::deserialize(&documents.tags).map_err(crate::error::Error::from)?;
        Ok(tags
            .into_iter()
            .map(|(key, value)| Tag { key, value, kind: None })
            .collect())
    }

    /// When it was issued.
    async fn issued_at(&self) -> DateTime {
        self.0.head.issued_at.into()
    }

    /// By when it is to be paid.
    async fn due_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        Ok(instant(self.detail(ctx).await?.due_at))
    }
}

impl Invoice {
    /// The rest of it: read with it when the selection was seen to ask for it, otherwise now.
    async fn detail(&self, ctx: &Context<'_>) -> Result<Cow<'_, Detail>> {
        if let Some(detail) = &self.0.detail {
            return Ok(Cow::Borrowed(detail));
        }
        let whole = ctx.loaders()?.invoices.must(self.0.head.id).await?;
        let detail = whole.detail.clone();
        Ok(Cow::Owned(
            detail.ok_or_else(|| Error::internal("an invoice without its detail"))?,
        ))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct InvoiceLine {
    row: Arc<Line>,
    invoice: Arc<Row>,
}

/// One component on an invoice.
#[Object]
impl InvoiceLine {
    /// Its place on the invoice, from 0.
    async fn position(&self) -> i32 {
        self.row.head.position
    }

    /// The component, as it was called.
    async fn component(&self) -> InPlace<LineComponent> {
        InPlace(LineComponent {
            code: self.row.head.component_code.clone(),
            name: self.row.head.component_name.clone(),
            unit_label: self.row.head.unit_label.clone(),
        })
    }

    /// What the unit price is for.
    async fn unit(&self, ctx: &Context<'_>) -> Result<PriceUnit> {
        Ok(self.pricing(ctx).await?.unit)
    }

    /// The price of one unit: a rate, not an amount of money.
    async fn unit_price(&self, ctx: &Context<'_>) -> Result<Decimal> {
        Ok(Decimal::from_micros(self.pricing(ctx).await?.unit_price_micros))
    }

    /// How many units.
    async fn quantity(&self) -> i64 {
        self.row.head.quantity
    }

    /// The minutes it is priced for.
    async fn minutes(&self) -> i64 {
        self.row.head.minutes
    }

    /// What was taken off for everybody, in percent.
    async fn discount_percent(&self, ctx: &Context<'_>) -> Result<Decimal> {
        Ok(Decimal::percent_from_micros(self.pricing(ctx).await?.discount_micros))
    }

    /// The tax rate, in percent.
    async fn tax_percent(&self, ctx: &Context<'_>) -> Result<Decimal> {
        Ok(Decimal::percent_from_micros(self.pricing(ctx).await?.tax_rate_micros))
    }

    /// Without tax.
    async fn net(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.pricing(ctx).await?.net_minor, &self.invoice.head.currency)
    }

    /// The tax.
    async fn tax(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.pricing(ctx).await?.tax_minor, &self.invoice.head.currency)
    }

    /// The coupon's code.
    async fn coupon_code(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(self.pricing(ctx).await?.into_owned().coupon_code)
    }

    /// Its share of the coupon.
    async fn coupon(&self, ctx: &Context<'_>) -> Result<Money> {
        money(self.pricing(ctx).await?.coupon_minor, &self.invoice.head.currency)
    }

    /// Net and tax less coupon share.
    async fn total(&self) -> Result<Money> {
        money(self.row.head.total_minor, &self.invoice.head.currency)
    }
}

impl InvoiceLine {
    /// How it came to its total: read with it when the selection was seen to ask for it, otherwise now.
    async fn pricing(&self, ctx: &Context<'_>) -> Result<Cow<'_, Pricing>> {
        if let Some(pricing) = &self.row.pricing {
            return Ok(Cow::Borrowed(pricing));
        }
        let LineHead {
            invoice_id, position, ..
        } = self.row.head;
        let lines = ctx.loaders()?.priced_lines_of_invoice.must(invoice_id).await?;
        let own = lines.iter().find(|line| line.head.position == position);
        let pricing = own.and_then(|line| line.pricing.clone());
        Ok(Cow::Owned(pricing.ok_or_else(|| {
            Error::internal("an invoice's line without its pricing")
        })?))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct CreditNote(pub(crate) Arc<credit_note::Model>);

/// A reduction of an invoice.
#[Object]
impl CreditNote {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::CreditNote, self.0.id)
    }

    /// Its human code, without gaps within the account and the year.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// By how much, tax within.
    async fn amount(&self) -> Result<Money> {
        money(self.0.amount_minor, &self.0.currency)
    }

    /// The tax within.
    async fn tax(&self) -> Result<Money> {
        money(self.0.tax_minor, &self.0.currency)
    }

    /// Why.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// By how much it reduces each line of the invoice.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<CreditNoteLine>> {
        let lines = ctx.loaders()?.lines_of_credit_note.must(self.0.id).await?;
        lines
            .iter()
            .map(|line| CreditNoteLine::of(line, &self.0.currency))
            .collect()
    }

    /// The invoice.
    async fn invoice(&self, ctx: &Context<'_>) -> Result<Invoice> {
        Ok(Invoice(ctx.loaders()?.invoices.must(self.0.invoice_id).await?))
    }

    /// When it was issued.
    async fn issued_at(&self) -> DateTime {
        self.0.issued_at.into()
    }
}

/// By how much a credit note reduces one line of its invoice.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct CreditNoteLine {
    /// The line's place on the invoice, from 0.
    position: i32,
    /// By how much, tax within.
    amount: Money,
    /// The tax within.
    tax: Money,
}

impl CreditNoteLine {
    fn of(row: &credit_note_line::Model, currency: &str) -> Result<Self> {
        Ok(Self {
            position: row.position,
            amount: money(row.amount_minor, currency)?,
            tax: money(row.tax_minor, currency)?,
        })
    }
}

connection!(
    /// A part of a list of invoices.
    InvoiceConnection,
    /// An invoice and its place in the list.
    InvoiceEdge,
    Invoice
);

async fn connected(
    ctx: &Context<'_>,
    slice: &crate::store::page::Slice<ListedInvoice>,
) -> Result<InPlace<InvoiceConnection>> {
    let joined = slice
        .rows
        .iter()
        .filter_map(|row| row.resource.clone().map(|resource| (resource.id, resource)))
        .collect();
    let lines = slice
        .rows
        .iter()
        .filter_map(|row| row.lines.clone().map(|lines| (row.invoice.head.id, lines)))
        .collect();
    let loaders = ctx.loaders()?;
    loaders.resources.prime(joined).await;
    loaders.lines_of_invoice.prime(lines).await;
    let place = |row: &ListedInvoice| invoices::place(&row.invoice);
    Ok(InPlace(InvoiceConnection(Cut::new(
        slice,
        List::Invoices,
        place,
        |row| Invoice(Arc::clone(&row.invoice)),
    ))))
}

/// Each status once: none is like no filter.
fn once_each(statuses: Option<Vec<InvoiceStatus>>) -> Vec<InvoiceStatus> {
    let mut once = Vec::new();
    for status in statuses.unwrap_or_default() {
        if !once.contains(&status) {
            once.push(status);
        }
    }
    once
}

/// What is read of a list: what its fields select, and what it is filtered by.
fn listing(ctx: &Context<'_>, status: Option<Vec<InvoiceStatus>>, with_resource: bool) -> Listing {
    let mut listing = Listing {
        statuses: once_each(status),
        with_resource,
        with_detail: false,
        lines: Lines::None,
    };
    for row in rows(ctx) {
        listing.with_detail |= selects_any(&row, DETAIL);
        let lines = row.field("lines");
        if selects_any(&lines, PRICING) {
            listing.lines = Lines::Priced;
        } else if lines.exists() && listing.lines == Lines::None {
            listing.lines = Lines::Heads;
        }
    }
    listing
}

/// A page of an account's invoices.
pub(crate) async fn of_account(
    ctx: &Context<'_>,
    account: Uuid,
    status: Option<Vec<InvoiceStatus>>,
    page: Page,
) -> Result<InPlace<InvoiceConnection>> {
    let listing = listing(ctx, status, selects(ctx, "resource"));
    let slice = ctx
        .loaders()?
        .invoices_of_account
        .must(ListKey::new(account, listing, page))
        .await?;
    connected(ctx, &slice).await
}

/// A page of a resource's invoices.
pub(crate) async fn of_resource(
    ctx: &Context<'_>,
    resource: &Resource,
    status: Option<Vec<InvoiceStatus>>,
    page: Page,
) -> Result<InPlace<InvoiceConnection>> {
    let loaders = ctx.loaders()?;
    let listing = listing(ctx, status, false);
    let slice = loaders
        .invoices_of_resource
        .must(ListKey::new(resource.key(), listing, page))
        .await?;
    if let (true, Some(whole)) = (selects(ctx, "resource"), resource.whole()) {
        loaders.resources.prime(vec![(whole.id, Arc::clone(whole))]).await;
    }
    connected(ctx, &slice).await
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct InvoiceQueries;

#[Object]
impl InvoiceQueries {
    /// The invoices of an account, newest first: the billing history.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "Of these statuses only; of all when empty.")] status: Option<Vec<InvoiceStatus>>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<InPlace<InvoiceConnection>>> {
        let page = page(List::Invoices, first, after, last, before)?;
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account, status, page).await.map(Some)
    }
}
