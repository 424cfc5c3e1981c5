//! A product of the cloud, and how its resources live. A row of the catalogue, never code.

use sea_orm::entity::prelude::*;

use crate::enums::{DayCount, GraceService, LifecyclePolicy, ProvisioningMode};

/// A product of the cloud, and how its resources live. A row of the catalogue, never code.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its short name, unique: `vserver`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What happens around the end of what is paid.
    pub lifecycle: LifecyclePolicy,
    /// How the length of a period with a chosen end is counted.
    pub day_count: DayCount,
    /// Whether provisioning succeeds at once or is reported.
    pub provisioning: ProvisioningMode,
    /// How its resources are served in grace.
    pub grace_service: GraceService,
    /// Days from the end of what is paid to the release.
    pub release_days: i32,
    /// Days a resource deleted by the customer stays recoverable; 0 deletes at once.
    pub trash_days: i32,
    /// Whether deleting gives the unused value back.
    pub refunds_on_delete: bool,
    /// Whether customers may not switch auto-renewal off.
    pub auto_renew_locked: bool,
    /// Whether its service is told by webhook what it is to do.
    pub has_webhook: bool,
    /// When it was added.
    pub created_at: DateTimeUtc,
}

/// Joins are named by the queries that need them.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
