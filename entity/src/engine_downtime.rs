//! A span in which no engine ran. It extends the time before a release.

use sea_orm::entity::prelude::*;

/// A span in which no engine ran. It extends the time before a release.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "engine_downtime")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// From when, in business time.
    pub from_at: DateTimeUtc,
    /// Until when.
    pub until_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
