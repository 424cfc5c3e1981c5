//! Something an account has bought: a server, a disk, a storage project.

use sea_orm::entity::prelude::*;

use crate::enums::{Life, Power};
use crate::raw_json::RawJson;

/// Something an account has bought: a server, a disk, a storage project.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The product.
    pub product_id: Uuid,
    /// What it is.
    pub resource_type_id: Uuid,
    /// What the customer calls it.
    pub name: String,
    /// Where it stands in its life.
    pub life: Life,
    /// Whether the customer has switched it off.
    pub power: Power,
    /// Its components and quantities.
    #[sea_orm(column_type = "JsonBinary")]
    pub configuration: RawJson,
    /// The product's own name for it.
    pub external_id: Option<String>,
    /// Its name and external id in small letters: what a search looks at. Databases fold case by their own rules, or
    /// only that of English.
    pub search_text: String,
    /// The paid period that reaches furthest.
    pub period_id: Option<Uuid>,
    /// What its schedule is about: the paid period that brought its end, or the order item that did without one (a
    /// deletion, a recovery that was free). Each step exists once for it.
    pub plan_id: Option<Uuid>,
    /// The end of what is paid.
    pub paid_until: Option<DateTimeUtc>,
    /// The day of the month on which its months end.
    pub anchor_day: Option<i32>,
    /// Whether the engine renews it from credit.
    pub auto_renew: bool,
    /// By how many months.
    pub auto_renew_months: i32,
    /// The next step of its schedule that the engine will handle.
    pub next_step: Option<String>,
    /// When that step is due; the engine finds its work by this.
    pub next_due_at: Option<DateTimeUtc>,
    /// How often that step failed in a row.
    pub attempts: i32,
    /// Who bought it.
    pub created_by: String,
    /// When it was ordered.
    pub created_at: DateTimeUtc,
    /// When it was provisioned.
    pub provisioned_at: Option<DateTimeUtc>,
    /// When the customer deleted it, while it lies in the trash.
    pub trashed_at: Option<DateTimeUtc>,
    /// The order item that its product is carrying out. Nothing else is done with it until that is reported.
    pub order_item_id: Option<Uuid>,
    /// When it was deleted, released or failed.
    pub ended_at: Option<DateTimeUtc>,
    /// Grows with every change; guards conditional writes.
    pub version: i64,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
