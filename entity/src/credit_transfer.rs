//! Credit that a partner moved from its own account to one of its customers: one row for the two halves in the books.

use sea_orm::entity::prelude::*;

/// Credit that a partner moved from its own account to one of its customers: one row for the two halves in the books.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_transfer")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose money it was.
    pub from_account_id: Uuid,
    /// Whose it is.
    pub to_account_id: Uuid,
    /// How much.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// What the partner wrote about it.
    pub note: Option<String>,
    /// Its half in the books of whose money it was.
    pub from_transaction_id: Uuid,
    /// Its half in the books of whose it is.
    pub to_transaction_id: Uuid,
    /// Who moved it.
    pub principal: String,
    /// When, in business time.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
