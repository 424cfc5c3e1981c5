//! What accounts are told: events, alerts, deliveries.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, instant, int, one_of, optional, partial_index, references, text, unique, uuid};

/// What accounts are told: events, alerts, deliveries.
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
                    .table("account_event")
                    .col(uuid("account_id"))
                    .col(big("sequence"))
                    .col(one_of(
                        "kind",
                        &[
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
                        ],
                    ))
                    .col(optional(uuid("resource_id")))
                    .col(optional(uuid("order_id")))
                    .col(optional(uuid("payment_id")))
                    .col(optional(uuid("invoice_id")))
                    .col(optional(uuid("alert_id")))
                    .col(optional(uuid("wallet_id")))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("account_id").col("sequence"))
                    .foreign_key(&mut references("account_event", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("account_event", &["created_at"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("schedule_step")
                    .col(uuid("resource_id"))
                    .col(uuid("period_id"))
                    .col(text("step", 32))
                    .col(uuid("account_id"))
                    .col(one_of(
                        "kind",
                        &["REMINDER", "AUTO_RENEW", "EXPIRE", "SUSPEND", "FINAL_NOTICE", "RELEASE"],
                    ))
                    .col(one_of("status", &["SENT", "SUPERSEDED", "MISSED"]))
                    .col(instant("due_at"))
                    .col(instant("handled_at"))
                    .primary_key(Index::create().col("resource_id").col("period_id").col("step"))
                    .foreign_key(&mut references("schedule_step", "resource_id", "resource"))
                    .foreign_key(&mut references("schedule_step", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("expiry_alert")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("resource_id"))
                    .col(uuid("period_id"))
                    .col(text("step", 32))
                    .col(one_of(
                        "kind",
                        &["REMINDER", "AUTO_RENEW", "EXPIRE", "SUSPEND", "FINAL_NOTICE", "RELEASE"],
                    ))
                    .col(big("event_sequence"))
                    .col(int("days_left"))
                    .col(instant("expires_at"))
                    .col(optional(instant("releases_at")))
                    .col(instant("created_at"))
                    .col(optional(instant("acknowledged_at")))
                    .col(optional(text("acknowledged_by", 200)))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("expiry_alert", "account_id", "account"))
                    .foreign_key(&mut references("expiry_alert", "resource_id", "resource"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("expiry_alert", &["resource_id", "period_id", "step"]))
            .await?;
        manager
            .create_index(unique("expiry_alert", &["account_id", "event_sequence"]))
            .await?;
        manager
            .create_index(index("expiry_alert", &["account_id", "created_at", "id"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("outbox_delivery")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(big("event_sequence"))
                    .col(one_of("channel", &["EMAIL", "WEBHOOK"]))
                    .col(text("target", 500))
                    .col(one_of("status", &["PENDING", "DELIVERED", "DEAD"]))
                    .col(int("attempts"))
                    .col(optional(instant("next_attempt_at")))
                    .col(optional(text("last_error", 500)))
                    .col(instant("created_at"))
                    .col(optional(instant("delivered_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("outbox_delivery", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique(
                "outbox_delivery",
                &["account_id", "event_sequence", "channel", "target"],
            ))
            .await?;
        manager
            .create_index(partial_index(
                "outbox_delivery",
                &["next_attempt_at"],
                "status = 'PENDING'",
            ))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["outbox_delivery", "expiry_alert", "schedule_step", "account_event"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
