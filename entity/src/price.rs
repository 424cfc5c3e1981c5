//! What a component costs, for a span of time. A running period keeps the price it was bought at.

use sea_orm::entity::prelude::*;

use crate::enums::{PriceUnit, TaxMode};

/// What a component costs, for a span of time. A running period keeps the price it was bought at.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "price")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The component.
    pub component_id: Uuid,
    /// ISO 4217.
    pub currency: String,
    /// What the unit price is for.
    pub unit: PriceUnit,
    /// Millionths of the currency's unit (not of its minor unit).
    pub unit_price_micros: i64,
    /// The discount, in millionths of one.
    pub discount_micros: i64,
    /// The tax rate, in millionths of one.
    pub tax_micros: i64,
    /// Whether the price includes the tax.
    pub tax_mode: TaxMode,
    /// From when it counts.
    pub valid_from: DateTimeUtc,
    /// Until when, exclusive.
    pub valid_until: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
