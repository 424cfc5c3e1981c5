//! A span of a resource's life with its configuration, its prices and what was charged for it.

use sea_orm::entity::prelude::*;

use crate::enums::{DayCount, PeriodStatus};

/// A span of a resource's life with its configuration, its prices and what was charged for it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "paid_period")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// The order item that paid it.
    pub order_item_id: Uuid,
    /// Its place in the resource's life, from 1.
    pub sequence: i32,
    /// Where it stands.
    pub status: PeriodStatus,
    /// Its first instant.
    pub starts_at: DateTimeUtc,
    /// Its end, exclusive.
    pub ends_at: DateTimeUtc,
    /// Its length by its day count.
    pub length_minutes: i64,
    /// The minutes its price was made for.
    pub priced_minutes: i64,
    /// How its length is counted.
    pub day_count: DayCount,
    /// The zone its length is counted in, as it was.
    pub zone: String,
    /// ISO 4217.
    pub currency: String,
    /// Net and tax, before the coupon.
    pub gross_minor: i64,
    /// What the coupon took off.
    pub coupon_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// What was charged.
    pub charged_minor: i64,
    /// How much of that was promotional money.
    pub charged_promotional_minor: i64,
    /// Its priced lines.
    #[sea_orm(column_type = "JsonBinary")]
    pub configuration: Json,
    /// When it was written.
    pub created_at: DateTimeUtc,
    /// When it was ended early.
    pub closed_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
