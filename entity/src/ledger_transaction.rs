//! One balanced movement of the books, with its cause.

use sea_orm::entity::prelude::*;

use crate::enums::LedgerCause;

/// One balanced movement of the books, with its cause.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_transaction")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose books.
    pub account_id: Uuid,
    /// Why it was posted.
    pub cause: LedgerCause,
    /// ISO 4217.
    pub currency: String,
    /// The order it belongs to.
    pub order_id: Option<Uuid>,
    /// The order item it belongs to.
    pub order_item_id: Option<Uuid>,
    /// The payment it belongs to.
    pub payment_id: Option<Uuid>,
    /// The invoice it belongs to.
    pub invoice_id: Option<Uuid>,
    /// The resource it belongs to.
    pub resource_id: Option<Uuid>,
    /// Who caused it: a token's subject, or `engine`.
    pub principal: String,
    /// What an operator gave as the reason.
    pub reason: Option<String>,
    /// When, in business time.
    pub occurred_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
