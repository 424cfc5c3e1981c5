//! One leg of a ledger transaction. The legs of a transaction sum to zero.

use sea_orm::entity::prelude::*;

use crate::enums::LedgerAccount;

/// One leg of a ledger transaction. The legs of a transaction sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_posting")]
pub struct Model {
    /// The transaction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub transaction_id: Uuid,
    /// Its place in the transaction, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// Whose books.
    pub account_id: Uuid,
    /// Which account of the books.
    pub ledger_account: LedgerAccount,
    /// Debit positive, credit negative, in minor units.
    pub amount_minor: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
