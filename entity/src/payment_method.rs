//! An account or card of a payer at a gateway, linked to be charged without the payer.

use sea_orm::entity::prelude::*;

use crate::enums::LinkStatus;

/// An account or card of a payer at a gateway, linked to be charged without the payer.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_method")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// What we call it there, unique at the gateway.
    pub reference: String,
    /// Where it stands.
    pub status: LinkStatus,
    /// Whether it is the one that is charged where none is named.
    pub is_default: bool,
    /// What the customer knows it by.
    pub label: Option<String>,
    /// What charges it. A secret; gone when it has ended.
    pub token: Option<String>,
    /// Why it was not linked or has ended, in the gateway's words.
    pub detail: Option<String>,
    /// What the payer needs to confirm it.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub checkout: Option<Json>,
    /// What the gateway called it when it was begun.
    pub gateway_id: Option<String>,
    /// Where the customer is sent back to.
    pub return_url: Option<String>,
    /// Who linked it.
    pub principal: String,
    /// When it was begun.
    pub created_at: DateTimeUtc,
    /// Until when the payer may confirm it.
    pub expires_at: DateTimeUtc,
    /// When its gateway was first asked to begin it.
    pub tried_at: Option<DateTimeUtc>,
    /// When it was linked.
    pub linked_at: Option<DateTimeUtc>,
    /// When it ended.
    pub ended_at: Option<DateTimeUtc>,
    /// When the gateway is asked about it, or told of its end, next.
    pub next_check_at: Option<DateTimeUtc>,
    /// How often it was.
    pub checks: i32,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
