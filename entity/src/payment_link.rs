//! A link by which somebody else pays an order.

use sea_orm::entity::prelude::*;

/// A link by which somebody else pays an order.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_link")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who asked for it.
    pub account_id: Uuid,
    /// What is paid by it.
    pub order_id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// What stands in the link. It can do no more than pay this order, and is shown to who asked for as long as it is good.
    pub token: String,
    /// Who was asked to pay.
    pub payer_email: String,
    /// Who in the account made it.
    pub principal: String,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Until when a payment can be begun by it.
    pub expires_at: DateTimeUtc,
    /// When another one took its place.
    pub ended_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
