//! What the actions on resources need: orders that give something back, resources in the trash, more to be told.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{big, index, instant, int, minor, one_of, optional, references, text, unique, uuid};

/// What the actions on resources need: orders that give something back, resources in the trash, more to be told.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What an account may be told. Some of it is told by later versions.
const EVENTS: &[&str] = &[
    "EXPIRY_REMINDER",
    "RESOURCE_EXPIRED",
    "RESOURCE_SUSPENDED",
    "FINAL_NOTICE",
    "RESOURCE_RELEASED",
    "ORDER_PAID",
    "ORDER_COMPLETED",
    "RESOURCE_PROVISIONED",
    "PROVISIONING_FAILED",
    "PAYMENT_SUCCEEDED",
    "PAYMENT_FAILED",
    "REFUNDED",
    "INVOICE_ISSUED",
    "WALLET_CREDITED",
    "RESOURCE_RENEWED",
    "RENEWAL_FAILED",
    "AUTO_RENEW_STOPPED",
    "RESOURCE_RECOVERED",
    "RESOURCE_RESIZED",
    "RESOURCE_DELETED",
    "RESOURCE_CHANGED",
    "CREDIT_NOTE_ISSUED",
    "HOLD_SHORTFALL",
    "INVOICE_PARTLY_PAID",
    "LOW_BALANCE",
    "BUDGET_REACHED",
];

fn account_event(name: &'static str) -> TableCreateStatement {
    Table::create()
        .table(name)
        .col(uuid("account_id"))
        .col(big("sequence"))
        .col(one_of("kind", EVENTS))
        .col(optional(uuid("resource_id")))
        .col(optional(uuid("order_id")))
        .col(optional(uuid("payment_id")))
        .col(optional(uuid("invoice_id")))
        .col(optional(uuid("alert_id")))
        .col(optional(uuid("wallet_id")))
        .col(instant("created_at"))
        .primary_key(Index::create().col("account_id").col("sequence"))
        .foreign_key(&mut references(name, "account_id", "account"))
        .to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // What is to be paid and what goes back: with a coupon or a resize no longer what is charged.
        for table in ["quote", "orders"] {
            for column in ["due_minor", "refund_minor"] {
                add(manager, table, minor(column).default(0).to_owned()).await?;
            }
            db.execute_unprepared(&format!("update {table} set due_minor = charged_minor"))
                .await?;
        }
        add(manager, "order_item", minor("credited_minor").default(0).to_owned()).await?;

        add(manager, "resource", optional(uuid("plan_id"))).await?;
        db.execute_unprepared("update resource set plan_id = period_id").await?;
        add(manager, "resource", optional(instant("trashed_at"))).await?;
        add(manager, "resource", optional(uuid("order_item_id"))).await?;

        // No credit note was ever written by an earlier version: the table is made anew. Tax is left as it is by a
        // coupon, so that the tax of a note can be more than its amount.
        for table in ["credit_note_line", "credit_note"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("credit_note")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("invoice_id"))
                    .col(uuid("order_item_id"))
                    .col(text("code", 64))
                    .col(text("currency", 3))
                    .col(minor("amount_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("coupon_minor"))
                    .col(text("reason", 500))
                    .col(instant("issued_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("credit_note", "account_id", "account"))
                    .foreign_key(&mut references("credit_note", "invoice_id", "invoice"))
                    .foreign_key(&mut references("credit_note", "order_item_id", "order_item"))
                    .check(Expr::cust("amount_minor >= 0 and tax_minor >= 0 and coupon_minor >= 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("credit_note", &["account_id", "code"]))
            .await?;
        manager.create_index(index("credit_note", &["invoice_id"])).await?;
        manager.create_index(index("credit_note", &["order_item_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("credit_note_line")
                    .col(uuid("credit_note_id"))
                    .col(int("position"))
                    .col(minor("amount_minor"))
                    .col(minor("tax_minor"))
                    .primary_key(Index::create().col("credit_note_id").col("position"))
                    .foreign_key(&mut references("credit_note_line", "credit_note_id", "credit_note"))
                    .to_owned(),
            )
            .await?;

        manager.create_index(index("invoice", &["period_id"])).await?;

        // More words in a CHECK. SQLite can't change one: the table is copied.
        if manager.get_database_backend() == DbBackend::Sqlite {
            manager.create_table(account_event("account_event_new")).await?;
            db.execute_unprepared(
                "insert into account_event_new select account_id, sequence, kind, resource_id, order_id, payment_id,
                 invoice_id, alert_id, wallet_id, created_at from account_event",
            )
            .await?;
            manager
                .drop_table(Table::drop().table("account_event").to_owned())
                .await?;
            db.execute_unprepared("alter table account_event_new rename to account_event")
                .await?;
            manager.create_index(index("account_event", &["created_at"])).await?;
        } else {
            let words: Vec<String> = EVENTS.iter().map(|word| format!("'{word}'")).collect();
            db.execute_unprepared(&format!(
                "alter table account_event drop constraint account_event_kind_check,
                 add constraint account_event_kind_check check (kind in ({}))",
                words.join(", ")
            ))
            .await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "what was written since can't be told by the older version".to_owned(),
        ))
    }
}

async fn add(manager: &SchemaManager<'_>, table: &'static str, mut column: ColumnDef) -> Result<(), DbErr> {
    manager
        .alter_table(Table::alter().table(table).add_column(&mut column).to_owned())
        .await
}
