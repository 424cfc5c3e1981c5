//! An expiry alert: exactly one for each resource, period and step.

use sea_orm::entity::prelude::*;

use crate::enums::StepKind;

/// An expiry alert: exactly one for each resource, period and step.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "expiry_alert")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who is told.
    pub account_id: Uuid,
    /// The resource.
    pub resource_id: Uuid,
    /// The paid period that ends.
    pub period_id: Uuid,
    /// The step of the schedule.
    pub step: String,
    /// What the step does.
    pub kind: StepKind,
    /// Its place in the account's stream of events.
    pub event_sequence: i64,
    /// Whole days from the alert to the end of what is paid, rounded up; negative after it.
    pub days_left: i32,
    /// The end of what is paid.
    pub expires_at: DateTimeUtc,
    /// When the resource will be deleted for good, as far as it is known.
    pub releases_at: Option<DateTimeUtc>,
    /// Why a renewal failed: the code of the refusal.
    pub failure: Option<String>,
    /// How much a renewal was short of.
    pub shortfall_minor: Option<i64>,
    /// When, in business time.
    pub created_at: DateTimeUtc,
    /// When somebody said they had seen it.
    pub acknowledged_at: Option<DateTimeUtc>,
    /// Who.
    pub acknowledged_by: Option<String>,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
