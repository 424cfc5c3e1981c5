//! Something an account is told. Its sequence number, without gaps, is the resume cursor.

use sea_orm::entity::prelude::*;

use crate::enums::EventType;

/// Something an account is told. Its sequence number, without gaps, is the resume cursor.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account_event")]
pub struct Model {
    /// Who is told.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// Its place in the account's stream, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// What happened.
    pub kind: EventType,
    /// The resource it is about.
    pub resource_id: Option<Uuid>,
    /// The order it is about.
    pub order_id: Option<Uuid>,
    /// The payment it is about.
    pub payment_id: Option<Uuid>,
    /// The invoice it is about.
    pub invoice_id: Option<Uuid>,
    /// The expiry alert it carries.
    pub alert_id: Option<Uuid>,
    /// The wallet it is about.
    pub wallet_id: Option<Uuid>,
    /// When, in business time.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
