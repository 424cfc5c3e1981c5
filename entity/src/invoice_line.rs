//! One component on an invoice.

use sea_orm::entity::prelude::*;

use crate::enums::PriceUnit;

/// One component on an invoice.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice_line")]
pub struct Model {
    /// The invoice.
    #[sea_orm(primary_key, auto_increment = false)]
    pub invoice_id: Uuid,
    /// Its place, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// The component.
    pub component_code: String,
    /// Its name.
    pub component_name: String,
    /// What one unit of it is.
    pub unit_label: String,
    /// What the unit price is for.
    pub unit: PriceUnit,
    /// Millionths of the currency's unit.
    pub unit_price_micros: i64,
    /// How many units.
    pub quantity: i64,
    /// The priced minutes.
    pub minutes: i64,
    /// The discount, in millionths of one.
    pub discount_micros: i64,
    /// The tax rate, in millionths of one.
    pub tax_rate_micros: i64,
    /// Without tax.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// The coupon.
    pub coupon_code: Option<String>,
    /// Its share of the coupon.
    pub coupon_minor: i64,
    /// Net and tax less coupon share.
    pub total_minor: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
