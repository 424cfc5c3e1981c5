//! Money that goes back to its payer through the gateway that it came by.

use sea_orm::entity::prelude::*;

use crate::enums::RefundStatus;

/// Money that goes back to its payer through the gateway that it came by.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_refund")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose payment it was.
    pub account_id: Uuid,
    /// The payment.
    pub payment_id: Uuid,
    /// The capture that it gives back.
    pub capture_id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// What we call it there, unique at the gateway.
    pub reference: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub principal: String,
    /// Why it failed, in the gateway's words.
    pub detail: Option<String>,
    /// When the gateway is asked about it next.
    pub next_check_at: Option<DateTimeUtc>,
    /// How often it was asked.
    pub checks: i32,
    /// When it was decided.
    pub created_at: DateTimeUtc,
    /// When it came to its end.
    pub completed_at: Option<DateTimeUtc>,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
