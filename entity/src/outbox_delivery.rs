//! A message to be sent outside, written with what it tells.

use sea_orm::entity::prelude::*;

use crate::enums::{DeliveryChannel, DeliveryStatus};

/// A message to be sent outside, written with what it tells.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_delivery")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose event.
    pub account_id: Uuid,
    /// Which event.
    pub event_sequence: i64,
    /// How it goes out.
    pub channel: DeliveryChannel,
    /// To whom.
    pub target: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// When it will be tried next.
    pub next_attempt_at: Option<DateTimeUtc>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTimeUtc,
    /// When it was taken.
    pub delivered_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
