//! Links by which somebody else pays an order.

use sea_orm_migration::prelude::*;

use crate::columns::{index, instant, optional, references, text, unique, uuid};

/// Links by which somebody else pays an order.
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
                    .table("payment_link")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("order_id"))
                    .col(text("gateway", 32))
                    .col(text("token", 64))
                    .col(text("payer_email", 254))
                    .col(text("principal", 200))
                    .col(instant("created_at"))
                    .col(instant("expires_at"))
                    .col(optional(instant("ended_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("payment_link", "account_id", "account"))
                    .foreign_key(&mut references("payment_link", "order_id", "orders"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("payment_link", &["token"])).await?;
        manager.create_index(index("payment_link", &["order_id", "id"])).await?;
        // An order has one link that can be used.
        let one_good = unique("payment_link", &["order_id"])
            .and_where(Expr::cust("ended_at is null"))
            .to_owned();
        manager.create_index(one_good).await?;

        // A message with such a link is about no event, and to nobody on the account's list.
        let mut link = optional(uuid("payment_link_id"));
        let told = Table::alter().table("outbox_delivery").add_column(&mut link).to_owned();
        manager.alter_table(told).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "what somebody else was asked to pay can't be told by the older version".to_owned(),
        ))
    }
}
