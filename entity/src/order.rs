//! Items bought at once.

use sea_orm::entity::prelude::*;

use crate::enums::{CancelReason, OrderStatus};

/// Items bought at once.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The quote it was made from.
    pub quote_id: Uuid,
    /// Its human code, unique in the account.
    pub code: String,
    /// Where it stands.
    pub status: OrderStatus,
    /// ISO 4217.
    pub currency: String,
    /// Net and tax, before the coupon.
    pub gross_minor: i64,
    /// What the coupon took off.
    pub coupon_minor: i64,
    /// The tax within.
    pub tax_minor: i64,
    /// What the new periods cost: gross less coupon.
    pub charged_minor: i64,
    /// What is to be paid: what is charged, less what is unused of the periods it replaces, item by item.
    pub due_minor: i64,
    /// What goes back to the wallet.
    pub refund_minor: i64,
    /// The coupon.
    pub coupon_id: Option<Uuid>,
    /// Who placed it.
    pub principal: String,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// When it was placed.
    pub created_at: DateTimeUtc,
    /// Until when it waits for its payment.
    pub expires_at: Option<DateTimeUtc>,
    /// Why it was given up before it was paid.
    pub cancelled_because: Option<CancelReason>,
    /// When its money was taken.
    pub paid_at: Option<DateTimeUtc>,
    /// When its last item came to its end.
    pub completed_at: Option<DateTimeUtc>,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
