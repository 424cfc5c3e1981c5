//! E-mail: who of an account is written to, how far its events were handed on, and what goes out.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, instant, int, json, one_of, optional, partial_index, references, text, unique, uuid};

/// E-mail: who of an account is written to, how far its events were handed on, and what goes out.
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
                    .table("alert_recipient")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(text("email", 254))
                    .col(json("categories"))
                    .col(one_of("status", &["PENDING", "CONFIRMED", "REMOVED"]))
                    .col(optional(text("token_hash", 64)))
                    .col(optional(instant("token_expires_at")))
                    .col(optional(big("from_sequence")))
                    .col(instant("created_at"))
                    .col(optional(instant("confirmed_at")))
                    .col(optional(instant("removed_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("alert_recipient", "account_id", "account"))
                    .check(Expr::cust("status <> 'CONFIRMED' or from_sequence is not null"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("alert_recipient", &["account_id", "email"]))
            .await?;
        manager.create_index(unique("alert_recipient", &["token_hash"])).await?;

        // An account gets its row with its first recipient, at its newest event then: what was told before is not mailed.
        manager
            .create_table(
                Table::create()
                    .table("outbox_cursor")
                    .col(uuid("account_id"))
                    .col(one_of("channel", &["EMAIL", "WEBHOOK"]))
                    .col(big("sequence"))
                    .primary_key(Index::create().col("account_id").col("channel"))
                    .foreign_key(&mut references("outbox_cursor", "account_id", "account"))
                    .to_owned(),
            )
            .await?;

        // No earlier version wrote a delivery: the table is made anew.
        manager
            .drop_table(Table::drop().table("outbox_delivery").to_owned())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("outbox_delivery")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(optional(big("event_sequence")))
                    .col(one_of("channel", &["EMAIL", "WEBHOOK"]))
                    .col(optional(uuid("recipient_id")))
                    .col(text("target", 500))
                    .col(one_of("status", &["PENDING", "SENDING", "DELIVERED", "DEAD"]))
                    .col(int("attempts"))
                    .col(optional(instant("next_attempt_at")))
                    .col(optional(uuid("lease_owner")))
                    .col(optional(big("lease_until_ms")))
                    .col(optional(text("last_error", 500)))
                    .col(instant("queued_at"))
                    .col(instant("created_at"))
                    .col(optional(instant("delivered_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("outbox_delivery", "account_id", "account"))
                    .foreign_key(&mut references("outbox_delivery", "recipient_id", "alert_recipient"))
                    .check(Expr::cust("(status = 'PENDING') = (next_attempt_at is not null)"))
                    .check(Expr::cust(
                        "(status = 'SENDING') = (lease_owner is not null and lease_until_ms is not null)",
                    ))
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
                "next_attempt_at is not null",
            ))
            .await?;
        manager
            .create_index(partial_index(
                "outbox_delivery",
                &["lease_until_ms"],
                "lease_until_ms is not null",
            ))
            .await?;
        manager
            .create_index(index("outbox_delivery", &["account_id", "created_at", "id"]))
            .await?;
        manager
            .create_index(index("outbox_delivery", &["status", "created_at", "id"]))
            .await?;
        manager
            .create_index(index("outbox_delivery", &["created_at", "id"]))
            .await?;
        manager
            .create_index(index("outbox_delivery", &["recipient_id"]))
            .await?;
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "who is written to, and what was sent, can't be told by the older version".to_owned(),
        ))
    }
}
