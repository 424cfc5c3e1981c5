//! One action on one resource, priced and paid.

use sea_orm::entity::prelude::*;

use crate::enums::{OrderAction, OrderItemStatus};

/// One action on one resource, priced and paid.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_item")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its place in the order, from 0.
    pub position: i32,
    /// What it does.
    pub action: OrderAction,
    /// Where it stands.
    pub status: OrderItemStatus,
    /// The product.
    pub product_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// Net and tax, before the coupon.
    pub gross_minor: i64,
    /// Its share of the coupon.
    pub coupon_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// What its new period costs: gross less coupon.
    pub charged_minor: i64,
    /// What is unused of the periods it replaces. What is charged above it is paid, what is below it goes back.
    pub credited_minor: i64,
    /// How much of what was paid for it was promotional money.
    pub charged_promotional_minor: i64,
    /// The priced item, as the rules made it.
    #[sea_orm(column_type = "JsonBinary")]
    pub document: Json,
    /// Why the product could not provision it.
    pub failure_reason: Option<String>,
    /// When it was ordered.
    pub created_at: DateTimeUtc,
    /// When it came to its end.
    pub completed_at: Option<DateTimeUtc>,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
