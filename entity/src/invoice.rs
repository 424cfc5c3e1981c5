//! The record for one resource and one period. An issued invoice never changes: credit notes reduce it.

use sea_orm::entity::prelude::*;

use crate::enums::InvoiceStatus;

/// The record for one resource and one period. An issued invoice never changes: credit notes reduce it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// The paid period.
    pub period_id: Option<Uuid>,
    /// The order.
    pub order_id: Option<Uuid>,
    /// Its human code, unique in the account.
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
    /// The billing address as it was.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub billing_address: Option<Json>,
    /// The tags as they were.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Json,
    /// When it was issued.
    pub issued_at: DateTimeUtc,
    /// By when it is to be paid.
    pub due_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
