//! Where a customer or a product's service is told by signed HTTP requests.

use sea_orm::entity::prelude::*;

use crate::enums::WebhookStatus;

/// Where a customer or a product's service is told by signed HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_endpoint")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The customer whose it is; none for a product's.
    pub account_id: Option<Uuid>,
    /// The product whose service it is; none for a customer's.
    pub product_id: Option<Uuid>,
    /// Where requests go.
    pub url: String,
    /// What is told there: types of events; all when empty.
    #[sea_orm(column_type = "JsonBinary")]
    pub events: Json,
    /// Whether it is sent to.
    pub status: WebhookStatus,
    /// What requests are signed with.
    pub secret: String,
    /// What they are signed with besides, while its owner changes over.
    pub old_secret: Option<String>,
    /// Until when, in machine time.
    pub old_secret_until: Option<DateTimeUtc>,
    /// Up to which event of its account it is told.
    pub told_sequence: i64,
    /// Since when it takes nothing, in machine time.
    pub failing_since: Option<DateTimeUtc>,
    /// Why nothing is sent there any more.
    pub disabled_reason: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When, in business time.
    pub created_at: DateTimeUtc,
    /// Grows with every change.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
