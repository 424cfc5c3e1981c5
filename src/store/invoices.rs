//! Invoices, their lines and the credit notes that reduce them, read.

use std::collections::HashMap;

use entity::enums::InvoiceStatus;
use entity::{credit_note, credit_note_line, invoice, invoice_line, resource};
use sea_orm::entity::prelude::{DateTimeUtc, Json};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

const RESOURCE: &str = "resource_row_";
const LINE: &str = "line_";

/// An invoice without its documents.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Row {
    /// Its key.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// The paid period.
    pub period_id: Option<Uuid>,
    /// The order.
    pub order_id: Option<Uuid>,
    /// Its human code.
    pub code: String,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// ISO 4217.
    pub currency: String,
    /// Without tax.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// What the coupon took off.
    pub coupon_minor: i64,
    /// Net and tax less coupon.
    pub total_minor: i64,
    /// What of it is paid.
    pub paid_minor: i64,
    /// The sum of its credit notes.
    pub credited_minor: i64,
    /// The resource and its configuration, in words.
    pub description: String,
    /// The first instant it is for.
    pub period_start: DateTimeUtc,
    /// The end of what it is for, exclusive.
    pub period_end: DateTimeUtc,
    /// When it was issued.
    pub issued_at: DateTimeUtc,
    /// By when it is to be paid.
    pub due_at: Option<DateTimeUtc>,
}

/// What an invoice keeps as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// The billing address.
    pub billing_address: Option<Json>,
    /// The resource's tags.
    pub tags: Json,
}

/// A list of invoices: what stands in it and whether the resource is read with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Listing {
    /// In one of these states; none is all.
    pub statuses: Vec<InvoiceStatus>,
    /// Whether each one's resource is joined.
    pub with_resource: bool,
    /// Whether the lines are joined, where the invoices are of many parents.
    pub with_lines: bool,
}

/// An invoice and what was joined.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The invoice.
    pub invoice: Row,
    /// Its resource, when the listing asked for it.
    pub resource: Option<resource::Model>,
    /// Its lines in their order, when they were joined.
    pub lines: Option<Vec<invoice_line::Model>>,
}

fn invoices(scope: &Scope) -> SelectStatement {
    use invoice::{Column, Entity};
    let mut select = Query::select();
    select
        .columns(
            [
                Column::Id,
                Column::AccountId,
                Column::ResourceId,
                Column::PeriodId,
                Column::OrderId,
                Column::Code,
                Column::Status,
                Column::Currency,
                Column::NetMinor,
                Column::TaxMinor,
                Column::CouponMinor,
                Column::TotalMinor,
                Column::PaidMinor,
                Column::CreditedMinor,
                Column::Description,
                Column::PeriodStart,
                Column::PeriodEnd,
                Column::IssuedAt,
                Column::DueAt,
            ]
            .map(|column| (Entity, column)),
        )
        .from(Entity)
        .cond_where(scope.accounts((Entity, Column::AccountId)));
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
    let mut select = invoices(scope);
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
    let with_lines = listing.with_lines && parents.len() > 1;
    let join = |outer: &mut SelectStatement, ranked: Alias| {
        if with_lines {
            use invoice_line::{Column as Line, Entity as Lines};
            outer.left_join(Lines, Expr::col((Lines, Line::InvoiceId)).equals((ranked, Column::Id)));
            page::joined(outer, Lines, LINE);
        }
    };
    let row = |row: &QueryResult, before: Option<&mut Listed>| -> Result<Option<Listed>, DbErr> {
        let line = || -> Result<Option<invoice_line::Model>, DbErr> {
            let Some(_) = row.try_get::<Option<Uuid>>(LINE, "invoice_id")? else {
                return Ok(None);
            };
            invoice_line::Model::from_query_result(row, LINE).map(Some)
        };
        if with_lines
            && let Some(before) = before
            && before.invoice.id == row.try_get::<Uuid>("", "id")?
        {
            if let (Some(lines), Some(line)) = (&mut before.lines, line()?) {
                lines.push(line);
            }
            return Ok(None);
        }
        let resource = if listing.with_resource {
            Some(resource::Model::from_query_result(row, RESOURCE)?)
        } else {
            None
        };
        let lines = if with_lines {
            Some(line()?.into_iter().collect())
        } else {
            None
        };
        Ok(Some(Listed {
            invoice: page::model(row)?,
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
        lines.sort_unstable_by_key(|line| line.position);
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
        key: Key::Instant(invoice.issued_at),
        id: invoice.id,
    }
}

/// These invoices.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Row>, Error> {
    let mut select = invoices(scope);
    select.and_where(Expr::col((invoice::Entity, invoice::Column::Id)).is_in(ids.iter().copied()));
    page::rows(db, &select, page::model).await
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

/// The lines of each invoice, in their order.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lines(
    db: &impl ConnectionTrait,
    scope: &Scope,
    invoices: &[Uuid],
) -> Result<HashMap<Uuid, Vec<invoice_line::Model>>, Error> {
    use invoice_line::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .inner_join(
            invoice::Entity,
            Condition::all()
                .add(Expr::col((invoice::Entity, invoice::Column::Id)).equals((Entity, Column::InvoiceId)))
                .add(scope.accounts((invoice::Entity, invoice::Column::AccountId))),
        )
        .and_where(Expr::col((Entity, Column::InvoiceId)).is_in(invoices.iter().copied()))
        .order_by((Entity, Column::InvoiceId), Order::Asc)
        .order_by((Entity, Column::Position), Order::Asc);
    let rows = page::rows(db, &select, page::model::<invoice_line::Model>).await?;
    Ok(page::grouped(rows, |line| line.invoice_id))
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
