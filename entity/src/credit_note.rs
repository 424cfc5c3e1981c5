//! A reduction of an invoice.

use sea_orm::entity::prelude::*;

/// A reduction of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_note")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The invoice.
    pub invoice_id: Uuid,
    /// The order item that made it.
    pub order_item_id: Uuid,
    /// Its human code, unique in the account.
    pub code: String,
    /// ISO 4217.
    pub currency: String,
    /// By how much, tax within.
    pub amount_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// The coupon's share that is given no longer.
    pub coupon_minor: i64,
    /// Why.
    pub reason: String,
    /// When.
    pub issued_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
