//! A message to be sent outside: once for each event and target.

use sea_orm::entity::prelude::*;

use crate::enums::{DeliveryChannel, DeliveryStatus};

/// A message to be sent outside: once for each event and target.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_delivery")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose event.
    pub account_id: Uuid,
    /// Which event; none for the link that confirms a recipient's address, or by which somebody else pays.
    pub event_sequence: Option<i64>,
    /// How it goes out.
    pub channel: DeliveryChannel,
    /// Who is written to, by e-mail.
    pub recipient_id: Option<Uuid>,
    /// The link by which somebody else is asked to pay.
    pub payment_link_id: Option<Uuid>,
    /// To which address.
    pub target: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// When it will be tried next, in machine time.
    pub next_attempt_at: Option<DateTimeUtc>,
    /// The process that hands it over.
    pub lease_owner: Option<Uuid>,
    /// Until when that is believed, in milliseconds of the database's own clock.
    pub lease_until_ms: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was put in the queue, in machine time; anew when an operator sends it again.
    pub queued_at: DateTimeUtc,
    /// When it was written, in business time.
    pub created_at: DateTimeUtc,
    /// When it was taken, in business time.
    pub delivered_at: Option<DateTimeUtc>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
