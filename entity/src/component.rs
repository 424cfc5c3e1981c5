//! One priced part of a configuration: an instance type, a disk.

use sea_orm::entity::prelude::*;

/// One priced part of a configuration: an instance type, a disk.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "component")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The resource type it may be part of.
    pub resource_type_id: Uuid,
    /// Its short name, unique in the resource type: `s-general-1x1`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What one unit of it is: `instance`, `GB`.
    pub unit_label: String,
    /// The least quantity that a configuration may hold of it.
    pub minimum: i32,
    /// The most.
    pub maximum: i32,
    /// Its place in lists.
    pub position: i32,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
