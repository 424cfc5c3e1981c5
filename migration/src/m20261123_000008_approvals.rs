//! When the releases that waited were approved.

use sea_orm_migration::prelude::*;

use crate::columns::{instant, optional};

/// When the releases that waited were approved.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let approved = Table::alter()
            .table("store_state")
            .add_column(optional(instant("releases_approved_at")))
            .to_owned();
        manager.alter_table(approved).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let approved = Table::alter()
            .table("store_state")
            .drop_column("releases_approved_at")
            .to_owned();
        manager.alter_table(approved).await
    }
}
