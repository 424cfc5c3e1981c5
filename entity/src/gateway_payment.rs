//! What a payment is at its gateway.

use sea_orm::entity::prelude::*;

/// What a payment is at its gateway.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_payment")]
pub struct Model {
    /// The payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// What we call it there, unique at the gateway.
    pub reference: String,
    /// What the gateway is to take, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When it was begun; some gateways date by it.
    pub created_at: DateTimeUtc,
    /// Until when the payer may pay.
    pub expires_at: DateTimeUtc,
    /// When the gateway was last asked to begin it, or to charge it.
    pub tried_at: Option<DateTimeUtc>,
    /// When the gateway answered that it had begun it.
    pub begun_at: Option<DateTimeUtc>,
    /// What the gateway calls it.
    pub gateway_id: Option<String>,
    /// What the payer needs to pay.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub checkout: Option<Json>,
    /// The linked account or card that is charged, where the payer is not asked.
    pub method_id: Option<Uuid>,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// Whether the gateway looks into it.
    pub is_reviewed: bool,
    /// Why it failed, in our words.
    pub decline: Option<String>,
    /// Why it failed, in the gateway's.
    pub detail: Option<String>,
    /// When the gateway is asked about it next.
    pub next_check_at: Option<DateTimeUtc>,
    /// How often it was asked.
    pub checks: i32,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
