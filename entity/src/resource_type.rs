//! A kind of resource of a product: a server, a disk.

use sea_orm::entity::prelude::*;

/// A kind of resource of a product: a server, a disk.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource_type")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The product.
    pub product_id: Uuid,
    /// Its short name, unique in the product: `server`.
    pub code: String,
    /// Its name.
    pub name: String,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
