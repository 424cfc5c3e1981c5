//! A part of a wallet kept from being spent. A row, never a posting.

use sea_orm::entity::prelude::*;

use crate::enums::{HoldPurpose, HoldStatus};

/// A part of a wallet kept from being spent. A row, never a posting.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hold")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The wallet.
    pub wallet_id: Uuid,
    /// What it is held for.
    pub purpose: HoldPurpose,
    /// Where it stands.
    pub status: HoldStatus,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// The resource whose use is held for.
    pub resource_id: Option<Uuid>,
    /// The payment whose credit part is held.
    pub payment_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it lets go by itself.
    pub expires_at: Option<DateTimeUtc>,
    /// When it was captured or released.
    pub ended_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
