//! Topping a wallet up by itself: when it falls below an amount, a linked account is charged.

use sea_orm::entity::prelude::*;

/// Topping a wallet up by itself: when it falls below an amount, a linked account is charged.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "auto_top_up")]
pub struct Model {
    /// Whose wallet.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// Whether it is done.
    pub is_on: bool,
    /// Below which available credit, in minor units.
    pub below_minor: i64,
    /// How much is added, in minor units.
    pub amount_minor: i64,
    /// The most that is added in one month of the account's zone, in minor units.
    pub monthly_limit_minor: i64,
    /// What is charged; the default linked account when absent.
    pub method_id: Option<Uuid>,
    /// Why it stopped by itself.
    pub stopped_because: Option<String>,
    /// How often in a row it was declined.
    pub declined: i32,
    /// The payment that it made last.
    pub payment_id: Option<Uuid>,
    /// Before when nothing is charged again.
    pub not_before: DateTimeUtc,
    /// Who set it.
    pub principal: String,
    /// When it was changed.
    pub changed_at: DateTimeUtc,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
