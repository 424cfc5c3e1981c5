//! Resources, their tags and the periods that were paid for them.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, flag, index, instant, int, json, minor, one_of, optional, partial_index, references, text, unique, uuid,
};

/// Resources, their tags and the periods that were paid for them.
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
                    .table("resource")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("product_id"))
                    .col(uuid("resource_type_id"))
                    .col(text("name", 200))
                    .col(one_of(
                        "life",
                        &[
                            "PROVISIONING",
                            "ACTIVE",
                            "GRACE",
                            "SUSPENDED",
                            "TRASHED",
                            "DELETED",
                            "FAILED",
                        ],
                    ))
                    .col(one_of("power", &["RUNNING", "STOPPED"]))
                    .col(json("configuration"))
                    .col(optional(text("external_id", 200)))
                    .col(text("search_text", 2_000))
                    .col(optional(uuid("period_id")))
                    .col(optional(instant("paid_until")))
                    .col(optional(int("anchor_day")))
                    .col(flag("auto_renew"))
                    .col(int("auto_renew_months"))
                    .col(optional(text("next_step", 32)))
                    .col(optional(instant("next_due_at")))
                    .col(int("attempts"))
                    .col(text("created_by", 200))
                    .col(instant("created_at"))
                    .col(optional(instant("provisioned_at")))
                    .col(optional(instant("ended_at")))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("resource", "account_id", "account"))
                    .foreign_key(&mut references("resource", "product_id", "product"))
                    .foreign_key(&mut references("resource", "resource_type_id", "resource_type"))
                    .check(Expr::cust("auto_renew_months between 1 and 120"))
                    .check(Expr::cust("anchor_day between 1 and 31"))
                    .check(Expr::cust("(next_step is null) = (next_due_at is null)"))
                    .check(Expr::cust("life not in ('DELETED', 'FAILED') or next_due_at is null"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("resource", &["account_id", "paid_until", "id"]))
            .await?;
        manager
            .create_index(index("resource", &["account_id", "created_at", "id"]))
            .await?;
        manager
            .create_index(partial_index(
                "resource",
                &["next_due_at", "account_id"],
                "next_due_at is not null",
            ))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("resource_tag")
                    .col(uuid("resource_id"))
                    .col(text("key", 64))
                    .col(uuid("account_id"))
                    .col(one_of("kind", &["CUSTOMER", "SYSTEM"]))
                    .col(text("value", 256))
                    .primary_key(Index::create().col("resource_id").col("key"))
                    .foreign_key(&mut references("resource_tag", "resource_id", "resource"))
                    .foreign_key(&mut references("resource_tag", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("resource_tag", &["account_id", "key", "value"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("paid_period")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("resource_id"))
                    .col(uuid("order_item_id"))
                    .col(int("sequence"))
                    .col(one_of("status", &["PAID", "CLOSED"]))
                    .col(instant("starts_at"))
                    .col(instant("ends_at"))
                    .col(big("length_minutes"))
                    .col(big("priced_minutes"))
                    .col(one_of("day_count", &["THIRTY_360", "ACTUAL_MINUTES"]))
                    .col(text("zone", 64))
                    .col(text("currency", 3))
                    .col(minor("gross_minor"))
                    .col(minor("coupon_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("charged_minor"))
                    .col(minor("charged_promotional_minor"))
                    .col(json("configuration"))
                    .col(instant("created_at"))
                    .col(optional(instant("closed_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("paid_period", "account_id", "account"))
                    .foreign_key(&mut references("paid_period", "resource_id", "resource"))
                    .foreign_key(&mut references("paid_period", "order_item_id", "order_item"))
                    .check(Expr::cust("ends_at > starts_at"))
                    .check(Expr::cust("length_minutes > 0 and priced_minutes >= 0"))
                    .check(Expr::cust("charged_minor = gross_minor - coupon_minor"))
                    .check(Expr::cust("charged_promotional_minor between 0 and charged_minor"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("paid_period", &["resource_id", "sequence"]))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["paid_period", "resource_tag", "resource"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
