//! Money that came in and does not fit what it was for, until an operator has decided.

use sea_orm::entity::prelude::*;

use crate::enums::QuarantineStatus;

/// Money that came in and does not fit what it was for, until an operator has decided.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose payment it was; nobody's while nobody knows.
    pub account_id: Option<Uuid>,
    /// The payment.
    pub payment_id: Option<Uuid>,
    /// The capture.
    pub capture_id: Option<Uuid>,
    /// The bank's number of it, where its memo named no payment.
    pub statement_ref: Option<String>,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Why it is here, in words.
    pub reason: String,
    /// Where it stands.
    pub status: QuarantineStatus,
    /// When it came.
    pub created_at: DateTimeUtc,
    /// When it was decided.
    pub resolved_at: Option<DateTimeUtc>,
    /// Who decided.
    pub resolved_by: Option<String>,
    /// What was said about it.
    pub resolution: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
