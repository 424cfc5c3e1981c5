//! Money that a gateway took for us, and what it was used for.

use sea_orm::entity::prelude::*;

use crate::enums::CaptureUse;

/// Money that a gateway took for us, and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_capture")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// The gateway's number of it, unique at the gateway.
    pub transaction_ref: String,
    /// Whose payment it was.
    pub account_id: Uuid,
    /// The payment.
    pub payment_id: Uuid,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// What of it went back or is on its way back, in minor units.
    pub refunded_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// What it was used for.
    pub used_for: CaptureUse,
    /// The ledger transaction that booked it.
    pub transaction_id: Uuid,
    /// When it was booked.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
