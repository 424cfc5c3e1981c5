//! Which process works on an account's due steps, and until when.

use sea_orm::entity::prelude::*;

/// Which process works on an account's due steps, and until when.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "engine_lease")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// The process.
    pub owner: Uuid,
    /// Until when, in milliseconds of the database's own clock.
    pub until_ms: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
