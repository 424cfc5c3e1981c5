//! A notification of a gateway, as it came and as it was judged; without its secrets.

use sea_orm::entity::prelude::*;

use crate::enums::NoticeVerdict;

/// A notification of a gateway, as it came and as it was judged; without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gateway_notice")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The gateway's code.
    pub gateway: String,
    /// The event, as the gateway tells it from others; nothing when it was not believed.
    pub event: Option<String>,
    /// The same, where it was taken: unique at the gateway.
    pub taken_event: Option<String>,
    /// What it is about, as we call it there.
    pub reference: Option<String>,
    /// What became of it.
    pub verdict: NoticeVerdict,
    /// The length of its body, in bytes.
    pub body_bytes: i32,
    /// The SHA-256 of its body, in hexadecimal.
    pub body_digest: String,
    /// When it came, in machine time.
    pub received_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
