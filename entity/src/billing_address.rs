//! To whom an account's invoices are written. Each invoice keeps a copy of the default one as it was.

use sea_orm::entity::prelude::*;

/// To whom an account's invoices are written. Each invoice keeps a copy of the default one as it was.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_address")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// The address, as invoices keep it.
    #[sea_orm(column_type = "JsonBinary")]
    pub document: Json,
    /// Whether invoices are written to it; one of an account is.
    pub is_default: bool,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it was changed last.
    pub changed_at: DateTimeUtc,
    /// When it was given up.
    pub deleted_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
