//! Linked accounts and cards, and topping up by itself.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, flag, index, instant, int, json, minor, one_of, optional, partial_index, references, text, unique, uuid,
    widen_by,
};

/// Linked accounts and cards, and topping up by itself.
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
                    .table("payment_method")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(text("gateway", 32))
                    .col(text("reference", 64))
                    .col(one_of("status", &["PENDING", "ACTIVE", "FAILED", "ENDED"]))
                    .col(flag("is_default"))
                    .col(optional(text("label", 100)))
                    .col(optional(text("token", 1000)))
                    .col(optional(text("detail", 500)))
                    .col(optional(json("checkout")))
                    .col(optional(text("gateway_id", 255)))
                    .col(optional(text("return_url", 2000)))
                    .col(text("principal", 200))
                    .col(instant("created_at"))
                    .col(instant("expires_at"))
                    .col(optional(instant("tried_at")))
                    .col(optional(instant("linked_at")))
                    .col(optional(instant("ended_at")))
                    .col(optional(instant("next_check_at")))
                    .col(int("checks"))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("payment_method", "account_id", "account"))
                    .check(Expr::cust("status <> 'ACTIVE' or token is not null"))
                    .check(Expr::cust("not is_default or status = 'ACTIVE'"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("payment_method", &["gateway", "reference"]))
            .await?;
        manager
            .create_index(index("payment_method", &["account_id", "created_at", "id"]))
            .await?;
        manager
            .create_index(partial_index(
                "payment_method",
                &["next_check_at"],
                "next_check_at is not null",
            ))
            .await?;
        let one_default = unique("payment_method", &["account_id"])
            .and_where(Expr::cust("is_default"))
            .to_owned();
        manager.create_index(one_default).await?;
        manager
            .create_table(
                Table::create()
                    .table("auto_top_up")
                    .col(uuid("account_id"))
                    .col(flag("is_on"))
                    .col(minor("below_minor"))
                    .col(minor("amount_minor"))
                    .col(minor("monthly_limit_minor"))
                    .col(optional(uuid("method_id")))
                    .col(optional(text("stopped_because", 32)))
                    .col(int("declined"))
                    .col(optional(uuid("payment_id")))
                    .col(instant("not_before"))
                    .col(text("principal", 200))
                    .col(instant("changed_at"))
                    .col(big("version"))
                    .primary_key(Index::create().col("account_id"))
                    .foreign_key(&mut references("auto_top_up", "account_id", "account"))
                    .foreign_key(&mut references("auto_top_up", "method_id", "payment_method"))
                    .foreign_key(&mut references("auto_top_up", "payment_id", "payment"))
                    .check(Expr::cust("amount_minor > 0"))
                    .check(Expr::cust("below_minor >= 0"))
                    .check(Expr::cust("monthly_limit_minor >= amount_minor"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(partial_index("auto_top_up", &["not_before"], "is_on"))
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table("gateway_payment")
                    .add_column(optional(uuid("method_id")))
                    .to_owned(),
            )
            .await?;
        widen_by(manager, "account_event", "kind", &["AUTO_TOP_UP_STOPPED"]).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "accounts that were linked since can't be charged by the older version".to_owned(),
        ))
    }
}
