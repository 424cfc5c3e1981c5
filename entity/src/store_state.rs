//! What the whole store shares. One row.

use sea_orm::entity::prelude::*;

/// What the whole store shares. One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "store_state")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Names this store in cursors: a cursor of another store is refused.
    pub epoch: Uuid,
    /// Whether it has real customers: it was run in production once. Its clock can't be moved.
    pub production: bool,
    /// How far a development clock was moved, in microseconds; 0 in production.
    pub clock_offset_micros: i64,
    /// When the last pass began that the engine made to its end, in business time.
    pub last_pass_at: Option<DateTimeUtc>,
    /// Since when releases wait for an operator.
    pub releases_halted_at: Option<DateTimeUtc>,
    /// Why they wait.
    pub releases_halted_reason: Option<String>,
    /// When an operator last approved the releases that waited.
    pub releases_approved_at: Option<DateTimeUtc>,
    /// When the store was made.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
