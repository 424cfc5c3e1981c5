//! What an alert of a renewal that failed says: why, and how much was missing.

use sea_orm_migration::prelude::*;

use crate::columns::{minor, optional, text};

/// What an alert of a renewal that failed says: why, and how much was missing.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut column in [optional(text("failure", 64)), optional(minor("shortfall_minor"))] {
            manager
                .alter_table(Table::alter().table("expiry_alert").add_column(&mut column).to_owned())
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["failure", "shortfall_minor"] {
            manager
                .alter_table(Table::alter().table("expiry_alert").drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}
