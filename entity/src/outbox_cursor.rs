//! Up to which event of an account deliveries were written. Accounts that have nobody to deliver to have none.

use sea_orm::entity::prelude::*;

use crate::enums::DeliveryChannel;

/// Up to which event of an account deliveries were written. Accounts that have nobody to deliver to have none.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_cursor")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// How they go out.
    #[sea_orm(primary_key, auto_increment = false)]
    pub channel: DeliveryChannel,
    /// The last event that was handed on.
    pub sequence: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
