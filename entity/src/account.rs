//! A customer organisation: it owns wallets, resources, orders and invoices.

use sea_orm::entity::prelude::*;

use crate::enums::{BillingMode, Language};

/// A customer organisation: it owns wallets, resources, orders and invoices.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its short name in document codes, unique.
    pub code: String,
    /// What it calls itself.
    pub name: String,
    /// Its IANA time zone: its days begin and its engine steps happen by it.
    pub zone: String,
    /// The language it is written to.
    pub language: Language,
    /// Whether it pays before or after use.
    pub mode: BillingMode,
    /// ISO 4217; every amount of the account is in it.
    pub currency: String,
    /// The sequence number of its newest event; the next one is one more.
    pub event_sequence: i64,
    /// When it was opened.
    pub created_at: DateTimeUtc,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
