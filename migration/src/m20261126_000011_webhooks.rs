//! Webhooks of customers and of products, and more to be told.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{
    big, flag, index, instant, int, json, one_of, optional, partial_index, references, text, unique, uuid,
};

/// Webhooks of customers and of products, and more to be told.
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
    "RESOURCE_STOPPED",
    "RESOURCE_STARTED",
    "RESOURCE_REBOOTED",
    "WEBHOOK_DISABLED",
    "ORDER_CANCELLED",
    "PAYMENT_METHOD_CHANGED",
    "CREDIT_TRANSFERRED",
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
        manager
            .create_table(
                Table::create()
                    .table("webhook_endpoint")
                    .col(uuid("id"))
                    .col(optional(uuid("account_id")))
                    .col(optional(uuid("product_id")))
                    .col(text("url", 2048))
                    .col(json("events"))
                    .col(one_of("status", &["ENABLED", "DISABLED", "DELETED"]))
                    .col(text("secret", 128))
                    .col(optional(text("old_secret", 128)))
                    .col(optional(instant("old_secret_until")))
                    .col(big("told_sequence"))
                    .col(optional(instant("failing_since")))
                    .col(optional(text("disabled_reason", 500)))
                    .col(text("created_by", 200))
                    .col(instant("created_at"))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("webhook_endpoint", "account_id", "account"))
                    .foreign_key(&mut references("webhook_endpoint", "product_id", "product"))
                    .check(Expr::cust("(account_id is null) <> (product_id is null)"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("webhook_endpoint", &["account_id"])).await?;
        manager.create_index(index("webhook_endpoint", &["product_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("webhook_delivery")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(optional(uuid("endpoint_id")))
                    .col(optional(uuid("product_id")))
                    .col(text("told", 32))
                    .col(optional(big("event_sequence")))
                    .col(optional(uuid("resource_id")))
                    .col(optional(uuid("order_item_id")))
                    .col(one_of("status", &["PENDING", "DELIVERED", "DEAD"]))
                    .col(int("attempts"))
                    .col(optional(instant("next_attempt_at")))
                    .col(optional(text("last_error", 500)))
                    .col(instant("happened_at"))
                    .col(instant("created_at"))
                    .col(optional(instant("delivered_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("webhook_delivery", "account_id", "account"))
                    .foreign_key(&mut references("webhook_delivery", "endpoint_id", "webhook_endpoint"))
                    .foreign_key(&mut references("webhook_delivery", "product_id", "product"))
                    .check(Expr::cust("(endpoint_id is null) <> (product_id is null)"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("webhook_delivery", &["endpoint_id", "event_sequence"]))
            .await?;
        manager
            .create_index(index("webhook_delivery", &["product_id", "id"]))
            .await?;
        manager
            .create_index(partial_index(
                "webhook_delivery",
                &["next_attempt_at"],
                "next_attempt_at is not null",
            ))
            .await?;
        let mut column = flag("has_webhook").default(false).to_owned();
        manager
            .alter_table(Table::alter().table("product").add_column(&mut column).to_owned())
            .await?;

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
