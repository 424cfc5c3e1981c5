//! A signed HTTP request to a customer or to a product's service: made with what it tells, and sent until it is taken.

use sea_orm::entity::prelude::*;

use crate::enums::DeliveryStatus;

/// A signed HTTP request to a customer or to a product's service: made with what it tells, and sent until it is taken.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub struct Model {
    /// Its key. Requests carry it, so that one that comes twice is known.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// About whose things.
    pub account_id: Uuid,
    /// Where it goes, for a customer.
    pub endpoint_id: Option<Uuid>,
    /// The product whose service is told.
    pub product_id: Option<Uuid>,
    /// What it tells: the type of an event, or what a product's service is to do.
    pub told: String,
    /// Which event, for a customer.
    pub event_sequence: Option<i64>,
    /// The resource.
    pub resource_id: Option<Uuid>,
    /// The task of a product's service that is to be reported.
    pub order_item_id: Option<Uuid>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was sent.
    pub attempts: i32,
    /// When it is sent next, in machine time.
    pub next_attempt_at: Option<DateTimeUtc>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When what it tells happened, in business time.
    pub happened_at: DateTimeUtc,
    /// When it was made, in machine time.
    pub created_at: DateTimeUtc,
    /// When it was taken, in machine time.
    pub delivered_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
