//! One use of a coupon by an order.

use sea_orm::entity::prelude::*;

use crate::enums::RedemptionStatus;

/// One use of a coupon by an order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "coupon_redemption")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The coupon.
    pub coupon_id: Uuid,
    /// Who used it.
    pub account_id: Uuid,
    /// The order, unique: an order uses a coupon once.
    pub order_id: Uuid,
    /// What it took off.
    pub amount_minor: i64,
    /// Whether it counts.
    pub status: RedemptionStatus,
    /// When it was used.
    pub created_at: DateTimeUtc,
    /// When it was given back.
    pub returned_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
