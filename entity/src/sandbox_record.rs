//! What the sandbox gateway remembers: a world of its own, for development.

use sea_orm::entity::prelude::*;

/// What the sandbox gateway remembers: a world of its own, for development.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_record")]
pub struct Model {
    /// Its key: a reference.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The checkout, link or refund.
    #[sea_orm(column_type = "JsonBinary")]
    pub document: Json,
    /// When a notification of it is due.
    pub deliver_at: Option<DateTimeUtc>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
