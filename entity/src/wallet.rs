//! Stored money of an account: what the ledger says (posted) and what is held of it.

use sea_orm::entity::prelude::*;

use crate::enums::WalletKind;

/// Stored money of an account: what the ledger says (posted) and what is held of it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wallet")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Credit, or proof of concept.
    pub kind: WalletKind,
    /// ISO 4217.
    pub currency: String,
    /// Paid in and not spent, in minor units.
    pub cash_minor: i64,
    /// Granted and not spent, in minor units.
    pub promotional_minor: i64,
    /// The sum of its open holds, in minor units; available is cash + promotional - held.
    pub held_minor: i64,
    /// The sequence number of its newest entry.
    pub entry_sequence: i64,
    /// When its promotional money ends (proof of concept only).
    pub ends_at: Option<DateTimeUtc>,
    /// When it was opened.
    pub created_at: DateTimeUtc,
    /// Grows with every change; guards conditional writes.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
