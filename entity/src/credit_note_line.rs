//! By how much a credit note reduces one line of its invoice.

use sea_orm::entity::prelude::*;

/// By how much a credit note reduces one line of its invoice.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_note_line")]
pub struct Model {
    /// The credit note.
    #[sea_orm(primary_key, auto_increment = false)]
    pub credit_note_id: Uuid,
    /// The line's place on the invoice.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// By how much, tax within.
    pub amount_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
