//! A price that was promised, for a short time, explained line by line.

use sea_orm::entity::prelude::*;

use crate::enums::QuoteStatus;

/// A price that was promised, for a short time, explained line by line.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quote")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Who asked for it.
    pub principal: String,
    /// Where it stands.
    pub status: QuoteStatus,
    /// ISO 4217.
    pub currency: String,
    /// Net and tax, before the coupon.
    pub gross_minor: i64,
    /// What the coupon takes off.
    pub coupon_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// What the new periods cost: gross less coupon.
    pub charged_minor: i64,
    /// What is to be paid: what is charged, less what is unused of the periods it replaces, item by item.
    pub due_minor: i64,
    /// What goes back to the wallet.
    pub refund_minor: i64,
    /// The coupon.
    pub coupon_id: Option<Uuid>,
    /// The priced items, as the rules made them.
    #[sea_orm(column_type = "JsonBinary")]
    pub document: Json,
    /// The order it became.
    pub order_id: Option<Uuid>,
    /// When it was made: the instant of its prices.
    pub created_at: DateTimeUtc,
    /// Until when it may be ordered.
    pub expires_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
