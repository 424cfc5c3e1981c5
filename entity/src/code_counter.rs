//! The newest number of an account's documents of one kind and year: codes have no gaps.

use sea_orm::entity::prelude::*;

use crate::enums::CodeKind;

/// The newest number of an account's documents of one kind and year: codes have no gaps.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "code_counter")]
pub struct Model {
    /// Whose documents.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// Which documents.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: CodeKind,
    /// The year, in the account's zone.
    #[sea_orm(primary_key, auto_increment = false)]
    pub year: i32,
    /// The newest number given out.
    pub last: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
