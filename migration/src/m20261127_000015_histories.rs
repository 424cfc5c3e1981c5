//! What a wallet's history is searched by.

use sea_orm_migration::prelude::*;

use crate::columns::text;

/// What a wallet's history is searched by.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut search_text = text("search_text", 1000).default("").to_owned();
        manager
            .alter_table(
                Table::alter()
                    .table("wallet_entry")
                    .add_column(&mut search_text)
                    .to_owned(),
            )
            .await?;
        // What is there already is found in the cases that the database knows.
        manager
            .get_connection()
            .execute_unprepared("update wallet_entry set search_text = lower(details)")
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let back = Table::alter()
            .table("wallet_entry")
            .drop_column("search_text")
            .to_owned();
        manager.alter_table(back).await
    }
}
