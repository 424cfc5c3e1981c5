//! Somebody who is written to about an account, at an address that they have confirmed.

use sea_orm::entity::prelude::*;

use crate::enums::RecipientStatus;

/// Somebody who is written to about an account, at an address that they have confirmed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_recipient")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// The address, in small letters; once in an account.
    pub email: String,
    /// What they want to be told.
    #[sea_orm(column_type = "JsonBinary")]
    pub categories: Json,
    /// Where they stand.
    pub status: RecipientStatus,
    /// The digest of the secret in the link that confirms. It stays when it was used: whoever comes again is told so.
    pub token_hash: Option<String>,
    /// Until when the link is good, in business time.
    pub token_expires_at: Option<DateTimeUtc>,
    /// The account's newest event when they confirmed: they are told what comes after it.
    pub from_sequence: Option<i64>,
    /// When they were put on the list, last.
    pub created_at: DateTimeUtc,
    /// When they confirmed.
    pub confirmed_at: Option<DateTimeUtc>,
    /// When they were taken off the list.
    pub removed_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
