//! The engine's own memory.

use sea_orm_migration::prelude::*;

use crate::columns::{big, flag, index, instant, int, optional, references, text, uuid};

/// The engine's own memory.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("store_state")
                    .col(int("id"))
                    .col(uuid("epoch"))
                    .col(flag("production"))
                    .col(big("clock_offset_micros"))
                    .col(optional(instant("last_pass_at")))
                    .col(optional(instant("releases_halted_at")))
                    .col(optional(text("releases_halted_reason", 500)))
                    .col(optional(instant("releases_approved_at")))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .check(Expr::cust("id = 1"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("engine_lease")
                    .col(uuid("account_id"))
                    .col(uuid("owner"))
                    .col(big("until_ms"))
                    .primary_key(Index::create().col("account_id"))
                    .foreign_key(&mut references("engine_lease", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("engine_lease", &["until_ms"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("engine_downtime")
                    .col(uuid("id"))
                    .col(instant("from_at"))
                    .col(instant("until_at"))
                    .primary_key(Index::create().col("id"))
                    .check(Expr::cust("until_at > from_at"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("engine_downtime", &["until_at"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["engine_downtime", "engine_lease", "store_state"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
