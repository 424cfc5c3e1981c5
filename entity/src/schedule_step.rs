//! What became of one step of a resource's schedule: one row a step, however often the engine runs.

use sea_orm::entity::prelude::*;

use crate::enums::{StepKind, StepStatus};

/// What became of one step of a resource's schedule: one row a step, however often the engine runs.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule_step")]
pub struct Model {
    /// The resource.
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_id: Uuid,
    /// The paid period whose end the schedule is about.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period_id: Uuid,
    /// The step: its kind and its days from the end of what is paid.
    #[sea_orm(primary_key, auto_increment = false)]
    pub step: String,
    /// Whose it is.
    pub account_id: Uuid,
    /// What the step does.
    pub kind: StepKind,
    /// What became of it.
    pub status: StepStatus,
    /// When it was due.
    pub due_at: DateTimeUtc,
    /// When it was handled, in business time.
    pub handled_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
