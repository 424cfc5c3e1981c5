//! One movement of money for an order, an invoice or a top-up, and where it came from.

use sea_orm::entity::prelude::*;

use crate::enums::{PaymentMethod, PaymentPurpose, PaymentStatus};

/// One movement of money for an order, an invoice or a top-up, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its human code, unique in the account.
    pub code: String,
    /// The order it pays.
    pub order_id: Option<Uuid>,
    /// The invoice it pays.
    pub invoice_id: Option<Uuid>,
    /// What it is for.
    pub purpose: PaymentPurpose,
    /// How it is made.
    pub method: PaymentMethod,
    /// Where it stands.
    pub status: PaymentStatus,
    /// ISO 4217.
    pub currency: String,
    /// All of it.
    pub amount_minor: i64,
    /// The part from the wallet's cash.
    pub cash_minor: i64,
    /// The part from the wallet's promotional money.
    pub promotional_minor: i64,
    /// The part through a gateway.
    pub gateway_minor: i64,
    /// The gateway.
    pub gateway: Option<String>,
    /// Whether its money went to the wallet because its order could not be paid with it any more.
    pub became_credit: bool,
    /// What it was for, in words.
    pub details: String,
    /// Who made it.
    pub principal: String,
    /// When it was begun.
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
