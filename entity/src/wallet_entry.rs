//! One line of a wallet's history, with the balance after it.

use sea_orm::entity::prelude::*;

use crate::enums::WalletAction;

/// One line of a wallet's history, with the balance after it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wallet_entry")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The wallet.
    pub wallet_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Its place in the wallet's history, from 1, without gaps.
    pub sequence: i64,
    /// The ledger transaction that it shows.
    pub transaction_id: Uuid,
    /// What happened.
    pub action: WalletAction,
    /// What it was for, in words.
    pub details: String,
    /// Its words in small letters, by which it is found in any case.
    pub search_text: String,
    /// What it did to the cash part; negative is spent.
    pub cash_minor: i64,
    /// What it did to the promotional part.
    pub promotional_minor: i64,
    /// The cash part after it.
    pub cash_after_minor: i64,
    /// The promotional part after it.
    pub promotional_after_minor: i64,
    /// The order it belongs to.
    pub order_id: Option<Uuid>,
    /// When, in business time.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
