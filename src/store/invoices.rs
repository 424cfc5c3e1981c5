//! Invoices, their lines and the credit notes that reduce them, read.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use entity::enums::{InvoiceStatus, PriceUnit};
use entity::{credit_note, credit_note_line, invoice, invoice_line, resource};
use sea_orm::entity::prelude::{DateTimeUtc, Json};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
};
use uuid::Uuid;

use super::Scope;
use super::columns::{Columns, columns};
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

const RESOURCE: &str = "resource_row_";

columns!(
    /// What most lists show of an invoice.
    Head of invoice {
        /// Its key.
        id: Uuid = Id,
        /// The resource.
        resource_id: Uuid = ResourceId,
        /// Its human code.
        code: String = Code,
        /// Where it stands.
        status: InvoiceStatus = Status,
        /// ISO 4217.
        currency: String = Currency,
        /// Without tax.
        net_minor: i64 = NetMinor,
        /// The tax.
        tax_minor: i64 = TaxMinor,
        /// Net and tax less coupon.
        total_minor: i64 = TotalMinor,
        /// When it was issued.
        issued_at: DateTimeUtc = IssuedAt,
    }
);

columns!(
    /// What else an invoice has, but for its documents.
    Detail of invoice {
        /// The order.
        order_id: Option<Uuid> = OrderId,
        /// What the coupon took off.
        coupon_minor: i64 = CouponMinor,
        /// What of it is paid.
        paid_minor: i64 = PaidMinor,
        /// The sum of its credit notes.
        credited_minor: i64 = CreditedMinor,
        /// The resource and its configuration, in words.
        description: String = Description,
        /// The first instant it is for.
        period_start: DateTimeUtc = PeriodStart,
        /// The end of what it is for, exclusive.
        period_end: DateTimeUtc = PeriodEnd,
        /// By when it is to be paid.
        due_at: Option<DateTimeUtc> = DueAt,
    }
);

/// An invoice without its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What most lists show.
    pub head: Head,
    /// The rest, unless the listing did without.
    pub detail: Option<Detail>,
}

columns!(
    /// What most lists show of an invoice's line.
    LineHead of invoice_line {
        /// The invoice.
        invoice_id: Uuid = InvoiceId,
        /// Its place on the invoice, from 0.
        position: i32 = Position,
        /// The component's code, as it was.
        component_code: String = ComponentCode,
        /// What the component was called.
        component_name: String = ComponentName,
        /// What one of it was called.
        unit_label: String = UnitLabel,
        /// How many units.
        quantity: i64 = Quantity,
        /// The minutes it is priced for.
        minutes: i64 = Minutes,
        /// Net and tax less coupon share.
        total_minor: i64 = TotalMinor,
    }
);

columns!(
    /// How a line came to its total.
    Pricing of invoice_line {
        /// What the unit price is for.
        unit: PriceUnit = Unit,
        /// The price of one unit, in millionths.
        unit_price_micros: i64 = UnitPriceMicros,
        /// What was taken off for everybody, in millionths of one.
        discount_micros: i64 = DiscountMicros,
        /// The tax rate, in millionths of one.
        tax_rate_micros: i64 = TaxRateMicros,
        /// Without tax.
        net_minor: i64 = NetMinor,
        /// The tax.
        tax_minor: i64 = TaxMinor,
        /// The coupon's code.
        coupon_code: Option<String> = CouponCode,
        /// Its share of the coupon.
        coupon_minor: i64 = CouponMinor,
    }
);

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What most lists show.
    pub head: LineHead,
    /// How it came to its total, unless the listing did without.
    pub pricing: Option<Pricing>,
}

/// What an invoice keeps as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// The billing address.
    pub billing_address: Option<Json>,
    /// The resource's tags.
    pub tags: Json,
}

/// How much of its lines is read with an invoice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lines {
    /// Nothing.
    #[default]
    None,
    /// What most lists show.
    Heads,
    /// All, with how they came to their totals.
    Priced,
}

/// A list of invoices: what stands in it and whether the resource is read with it.
#[derive(Clone, Debug, Default, Eq)]
pub struct Listing {
    /// In one of these states; none is all.
    pub statuses: Vec<InvoiceStatus>,
    /// Whether each one's resource is joined.
    pub with_resource: bool,
    /// Whether each one's [`Detail`] is read.
    pub with_detail: bool,
    /// Whether the lines are joined, where the invoices are of many parents; and how much of each.
    pub lines: Lines,
}

/// The same list, whatever is read with its rows: a field that a request selects twice is one page of one list, and what
/// the page was read without is loaded.
impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        self.statuses == other.statuses
    }
}

impl Hash for Listing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.statuses.hash(state);
    }
}

/// An invoice and what was joined.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The invoice.
    pub invoice: Row,
    /// Its resource, when the listing asked for it.
    pub resource: Option<resource::Model>,
    /// Its lines in their order, when they were joined.
    pub lines: Option<Vec<Line>>,
}

impl Row {
    fn read(columns: &mut Columns<'_>, with_detail: bool) -> Result<Self, DbErr> {
        let head = Head::read(columns)?;
        let detail = if with_detail {
            Some(Detail::read(columns)?)
        } else {
            None
        };
        Ok(Self { head, detail })
    }
}

impl Line {
    fn columns(priced: bool) -> impl Iterator<Item = (invoice_line::Entity, invoice_line::Column)> {
        let pricing: &[_] = if priced { Pricing::COLUMNS } else { &[] };
        let columns = LineHead::COLUMNS.iter().chain(pricing);
        columns.map(|column| (invoice_line::Entity, *column))
    }

    fn read(columns: &mut Columns<'_>, priced: bool) -> Result<Self, DbErr> {
        let head = LineHead::read(columns)?;
        let pricing = if priced { Some(Pricing::read(columns)?) } else { None };
        Ok(Self { head, pricing })
    }
}

fn invoices(scope: &Scope, with_detail: bool) -> SelectStatement {
    use invoice::{Column, Entity};
    let detail: &[_] = if with_detail { Detail::COLUMNS } else { &[] };
    let mut select = page::some(Entity, Head::COLUMNS.iter().chain(detail).copied());
    select.cond_where(scope.accounts((Entity, Column::AccountId)));
    select
}

async fn listed(
    db: &impl ConnectionTrait,
    scope: &Scope,
    parent: invoice::Column,
    parents: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    use invoice::{Column, Entity};
    let mut select = invoices(scope, listing.with_detail);
    if !listing.statuses.is_empty() {
        let statuses = listing.statuses.iter().map(|status| status.as_str());
        select.and_where(Expr::col((Entity, Column::Status)).is_in(statuses));
    }
    if listing.with_resource {
        select.inner_join(
            resource::Entity,
            Expr::col((resource::Entity, resource::Column::Id)).equals((Entity, Column::ResourceId)),
        );
        page::joined(&mut select, resource::Entity, RESOURCE);
    }
    let keyset = Keyset::new((Entity, Column::IssuedAt), (Entity, Column::Id)).descending();
    let with_lines = listing.lines != Lines::None && parents.len() > 1;
    let priced = listing.lines == Lines::Priced;
    // The lines' columns stand before the invoice's.
    let before = if with_lines { Line::columns(priced).count() } else { 0 };
    let join = |outer: &mut SelectStatement, ranked: Alias| {
        if with_lines {
            use invoice_line::{Column as Line, Entity as Lines};
            outer.left_join(Lines, Expr::col((Lines, Line::InvoiceId)).equals((ranked, Column::Id)));
            outer.columns(self::Line::columns(priced));
        }
    };
    let row = |row: &QueryResult, previous: Option<&mut Listed>| -> Result<Option<Listed>, DbErr> {
        // Without lines the joined columns are null.
        let line = if with_lines && row.try_get_by_index::<Option<Uuid>>(0)?.is_some() {
            Some(Line::read(&mut Columns::from(row, 0), priced)?)
        } else {
            None
        };
        // A row that has no line is an invoice of its own.
        let again = |line: &Line, previous: &Listed| line.head.invoice_id == previous.invoice.head.id;
        if let Some(previous) = previous
            && line.as_ref().is_some_and(|line| again(line, previous))
        {
            previous.lines.get_or_insert_default().extend(line);
            return Ok(None);
        }
        let resource = if listing.with_resource {
            Some(resource::Model::from_query_result(row, RESOURCE)?)
        } else {
            None
        };
        let lines = with_lines.then(|| line.into_iter().collect());
        Ok(Some(Listed {
            invoice: Row::read(&mut Columns::from(row, before), listing.with_detail)?,
            resource,
            lines,
        }))
    };
    let mut lists = page::read_with(db, select, (Entity, parent), parents, &keyset, page, join, row).await?;
    for lines in lists
        .values_mut()
        .flat_map(|slice| &mut slice.rows)
        .filter_map(|listed| listed.lines.as_mut())
    {
        lines.sort_unstable_by_key(|line| line.head.position);
    }
    Ok(lists)
}

/// The invoices of each account, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    listed(db, scope, invoice::Column::AccountId, accounts, listing, page).await
}

/// The invoices of each resource, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_resources(
    db: &impl ConnectionTrait,
    scope: &Scope,
    resources: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    listed(db, scope, invoice::Column::ResourceId, resources, listing, page).await
}

/// Where an invoice stands in a list.
#[must_use]
pub fn place(invoice: &Row) -> Place {
    Place {
        key: Key::Instant(invoice.head.issued_at),
        id: invoice.head.id,
    }
}

/// These invoices, with their details.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, Row>, Error> {
    let mut select = invoices(scope, true);
    select.and_where(Expr::col((invoice::Entity, invoice::Column::Id)).is_in(ids.iter().copied()));
    let rows = page::rows(db, &select, |row| Row::read(&mut Columns::from(row, 0), true)).await?;
    Ok(rows.into_iter().map(|row| (row.head.id, row)).collect())
}

/// What each invoice keeps as it was.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn documents(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Documents>, Error> {
    use invoice::{Column, Entity};
    let mut select = Query::select();
    select
        .columns([
            (Entity, Column::Id),
            (Entity, Column::BillingAddress),
            (Entity, Column::Tags),
        ])
        .from(Entity)
        .and_where(Expr::col((Entity, Column::Id)).is_in(ids.iter().copied()))
        .cond_where(scope.accounts((Entity, Column::AccountId)));
    let rows = page::rows(db, &select, |row| {
        let documents = Documents {
            billing_address: row.try_get("", "billing_address")?,
            tags: row.try_get("", "tags")?,
        };
        Ok((row.try_get("", "id")?, documents))
    })
    .await?;
    Ok(rows.into_iter().collect())
}

/// The lines of each invoice, in their order, with how they came to their totals.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lines(
    db: &impl ConnectionTrait,
    scope: &Scope,
    invoices: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Line>>, Error> {
    use invoice_line::{Column, Entity};
    let mut select = Query::select();
    select
        .columns(Line::columns(true))
        .from(Entity)
        .inner_join(
            invoice::Entity,
            Condition::all()
                .add(Expr::col((invoice::Entity, invoice::Column::Id)).equals((Entity, Column::InvoiceId)))
                .add(scope.accounts((invoice::Entity, invoice::Column::AccountId))),
        )
        .and_where(Expr::col((Entity, Column::InvoiceId)).is_in(invoices.iter().copied()))
        .order_by((Entity, Column::InvoiceId), Order::Asc)
        .order_by((Entity, Column::Position), Order::Asc);
    let rows = page::rows(db, &select, |row| Line::read(&mut Columns::from(row, 0), true)).await?;
    Ok(page::grouped(rows, |line| line.head.invoice_id))
}

/// The credit notes of each invoice, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn credit_notes(
    db: &impl ConnectionTrait,
    scope: &Scope,
    invoices: &[Uuid],
) -> Result<HashMap<Uuid, Vec<credit_note::Model>>, Error> {
    let rows = credit_note::Entity::find()
        .filter(credit_note::Column::InvoiceId.is_in(invoices.iter().copied()))
        .filter(scope.accounts((credit_note::Entity, credit_note::Column::AccountId)))
        .order_by_asc(credit_note::Column::IssuedAt)
        .order_by_asc(credit_note::Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |note| note.invoice_id))
}

/// The lines of each credit note, in their order.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn credit_note_lines(
    db: &impl ConnectionTrait,
    scope: &Scope,
    notes: &[Uuid],
) -> Result<HashMap<Uuid, Vec<credit_note_line::Model>>, Error> {
    use credit_note_line::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .inner_join(
            credit_note::Entity,
            Condition::all()
                .add(Expr::col((credit_note::Entity, credit_note::Column::Id)).equals((Entity, Column::CreditNoteId)))
                .add(scope.accounts((credit_note::Entity, credit_note::Column::AccountId))),
        )
        .and_where(Expr::col((Entity, Column::CreditNoteId)).is_in(notes.iter().copied()))
        .order_by((Entity, Column::CreditNoteId), Order::Asc)
        .order_by((Entity, Column::Position), Order::Asc);
    let rows = page::rows(db, &select, page::model::<credit_note_line::Model>).await?;
    Ok(page::grouped(rows, |line| line.credit_note_id))
}

/// These credit notes.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn credit_notes_by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<credit_note::Model>, Error> {
    use credit_note::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}
