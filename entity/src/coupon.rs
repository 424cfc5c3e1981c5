//! A code that takes money off an order.

use sea_orm::entity::prelude::*;

use crate::enums::CouponKind;

/// A code that takes money off an order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What the customer types, unique, in capitals.
    pub code: String,
    /// A share or an amount.
    pub kind: CouponKind,
    /// The share, in millionths of one.
    pub percent_micros: Option<i64>,
    /// The amount, in minor units.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: String,
    /// From when it may be used.
    pub valid_from: DateTimeUtc,
    /// Until when, exclusive.
    pub valid_until: Option<DateTimeUtc>,
    /// The least gross of the eligible items.
    pub minimum_order_minor: Option<i64>,
    /// The most it takes off.
    pub maximum_discount_minor: Option<i64>,
    /// How often it may be used.
    pub total_limit: Option<i64>,
    /// How often one account may use it.
    pub per_account_limit: Option<i64>,
    /// How often it was used and not given back.
    pub redeemed: i64,
    /// The products it counts for; an empty list is all.
    #[sea_orm(column_type = "JsonBinary")]
    pub product_codes: Json,
    /// The operator.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
