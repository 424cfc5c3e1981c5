//! Quotes, orders, their items and the payments.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, instant, int, json, minor, one_of, optional, references, text, unique, uuid};

/// Quotes, orders, their items and the payments.
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
                    .table("quote")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(text("principal", 200))
                    .col(one_of("status", &["OPEN", "ORDERED"]))
                    .col(text("currency", 3))
                    .col(minor("gross_minor"))
                    .col(minor("coupon_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("charged_minor"))
                    .col(optional(uuid("coupon_id")))
                    .col(json("document"))
                    .col(optional(uuid("order_id")))
                    .col(instant("created_at"))
                    .col(instant("expires_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("quote", "account_id", "account"))
                    .check(Expr::cust("charged_minor = gross_minor - coupon_minor"))
                    .check(Expr::cust(
                        "gross_minor >= 0 and coupon_minor >= 0 and tax_minor >= 0 and charged_minor >= 0",
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("quote", &["account_id", "created_at"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("orders")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("quote_id"))
                    .col(text("code", 64))
                    .col(one_of(
                        "status",
                        &[
                            "AWAITING_PAYMENT",
                            "IN_PROGRESS",
                            "FULFILLED",
                            "PARTIALLY_FULFILLED",
                            "REFUNDED",
                            "CANCELLED",
                        ],
                    ))
                    .col(text("currency", 3))
                    .col(minor("gross_minor"))
                    .col(minor("coupon_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("charged_minor"))
                    .col(optional(uuid("coupon_id")))
                    .col(text("principal", 200))
                    .col(optional(text("return_url", 2000)))
                    .col(instant("created_at"))
                    .col(optional(instant("paid_at")))
                    .col(optional(instant("completed_at")))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("orders", "account_id", "account"))
                    .foreign_key(&mut references("orders", "quote_id", "quote"))
                    .check(Expr::cust("charged_minor = gross_minor - coupon_minor"))
                    .check(Expr::cust(
                        "gross_minor >= 0 and coupon_minor >= 0 and tax_minor >= 0 and charged_minor >= 0",
                    ))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("orders", &["quote_id"])).await?;
        manager.create_index(unique("orders", &["account_id", "code"])).await?;
        manager
            .create_index(index("orders", &["account_id", "created_at", "id"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("order_item")
                    .col(uuid("id"))
                    .col(uuid("order_id"))
                    .col(uuid("account_id"))
                    .col(int("position"))
                    .col(one_of(
                        "action",
                        &["CREATE", "RENEW", "RESIZE", "RECOVER", "DELETE", "STOP_POC"],
                    ))
                    .col(one_of(
                        "status",
                        &["AWAITING_PAYMENT", "PROVISIONING", "FULFILLED", "REFUNDED", "CANCELLED"],
                    ))
                    .col(uuid("product_id"))
                    .col(uuid("resource_id"))
                    .col(minor("gross_minor"))
                    .col(minor("coupon_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("charged_minor"))
                    .col(minor("charged_promotional_minor"))
                    .col(json("document"))
                    .col(optional(text("failure_reason", 500)))
                    .col(instant("created_at"))
                    .col(optional(instant("completed_at")))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("order_item", "order_id", "orders"))
                    .foreign_key(&mut references("order_item", "account_id", "account"))
                    .foreign_key(&mut references("order_item", "product_id", "product"))
                    .check(Expr::cust("charged_minor = gross_minor - coupon_minor"))
                    .check(Expr::cust("abs(charged_promotional_minor) <= abs(charged_minor)"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("order_item", &["order_id", "position"]))
            .await?;
        manager.create_index(index("order_item", &["resource_id"])).await?;
        manager
            .create_index(index("order_item", &["product_id", "status", "created_at", "id"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("payment")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(text("code", 64))
                    .col(optional(uuid("order_id")))
                    .col(optional(uuid("invoice_id")))
                    .col(one_of("purpose", &["ORDER", "INVOICE", "TOP_UP"]))
                    .col(one_of(
                        "method",
                        &[
                            "CREDIT",
                            "TOP_UP_AND_PAY",
                            "GATEWAY",
                            "LINKED_ACCOUNT",
                            "ON_BEHALF",
                            "BANK_TRANSFER",
                        ],
                    ))
                    .col(one_of("status", &["PENDING", "SUCCEEDED", "FAILED", "EXPIRED"]))
                    .col(text("currency", 3))
                    .col(minor("amount_minor"))
                    .col(minor("cash_minor"))
                    .col(minor("promotional_minor"))
                    .col(minor("gateway_minor"))
                    .col(optional(text("gateway", 32)))
                    .col(text("details", 500))
                    .col(text("principal", 200))
                    .col(instant("created_at"))
                    .col(optional(instant("completed_at")))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("payment", "account_id", "account"))
                    .check(Expr::cust(
                        "amount_minor = cash_minor + promotional_minor + gateway_minor",
                    ))
                    .check(Expr::cust(
                        "cash_minor >= 0 and promotional_minor >= 0 and gateway_minor >= 0",
                    ))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("payment", &["account_id", "code"])).await?;
        manager
            .create_index(index("payment", &["account_id", "created_at", "id"]))
            .await?;
        manager.create_index(index("payment", &["order_id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["payment", "order_item", "orders", "quote"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
