//! What a wallet's history is searched by, to whom invoices are written, and credit that partners move.

use sea_orm_migration::prelude::*;

use crate::columns::{flag, index, instant, json, minor, optional, references, text, unique, uuid, widen_by};

/// What a wallet's history is searched by, to whom invoices are written, and credit that partners move.
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
        manager.create_index(one_default).await?;
        manager
            .create_table(
                Table::create()
                    .table("credit_transfer")
                    .col(uuid("id"))
                    .col(uuid("from_account_id"))
                    .col(uuid("to_account_id"))
                    .col(minor("amount_minor"))
                    .col(text("currency", 3))
                    .col(optional(text("note", 255)))
                    .col(uuid("from_transaction_id"))
                    .col(uuid("to_transaction_id"))
                    .col(text("principal", 200))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("credit_transfer", "from_account_id", "account"))
                    .foreign_key(&mut references("credit_transfer", "to_account_id", "account"))
                    .foreign_key(&mut references(
                        "credit_transfer",
                        "from_transaction_id",
                        "ledger_transaction",
                    ))
                    .foreign_key(&mut references(
                        "credit_transfer",
                        "to_transaction_id",
                        "ledger_transaction",
                    ))
                    .check(Expr::cust("amount_minor > 0"))
                    .check(Expr::cust("from_account_id <> to_account_id"))
                    .to_owned(),
            )
            .await?;
        for half in ["from_transaction_id", "to_transaction_id"] {
            manager.create_index(unique("credit_transfer", &[half])).await?;
        }
        widen_by(manager, "account_event", "kind", &["WALLET_DEBITED"]).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "to whom invoices were written, and what was transferred, can't be told by the older version".to_owned(),
        ))
    }
}
