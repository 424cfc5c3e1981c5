//! What a wallet's history is searched by, and to whom invoices are written.

use sea_orm_migration::prelude::*;

use crate::columns::{flag, index, instant, json, optional, references, text, unique, uuid};

/// What a wallet's history is searched by, and to whom invoices are written.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut search_text = text("search_text", 1000).default("").to_owned();
        let searched = Table::alter()
            .table("wallet_entry")
            .add_column(&mut search_text)
            .to_owned();
        manager.alter_table(searched).await?;
        // What is there already is found in the cases that the database knows.
        manager
            .get_connection()
            .execute_unprepared("update wallet_entry set search_text = lower(details)")
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("billing_address")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(json("document"))
                    .col(flag("is_default"))
                    .col(instant("created_at"))
                    .col(instant("changed_at"))
                    .col(optional(instant("deleted_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("billing_address", "account_id", "account"))
                    .check(Expr::cust("not (is_default and deleted_at is not null)"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("billing_address", &["account_id", "created_at", "id"]))
            .await?;
        let one_default = unique("billing_address", &["account_id"])
            .and_where(Expr::cust("is_default"))
            .to_owned();
        manager.create_index(one_default).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "to whom invoices were written can't be told by the older version".to_owned(),
        ))
    }
}
