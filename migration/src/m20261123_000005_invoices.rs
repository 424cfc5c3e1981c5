//! Invoices, their lines, and the credit notes that reduce them.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, instant, int, json, micros, minor, one_of, optional, references, text, unique, uuid};

/// Invoices, their lines, and the credit notes that reduce them.
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
                    .table("invoice")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("resource_id"))
                    .col(optional(uuid("period_id")))
                    .col(optional(uuid("order_id")))
                    .col(text("code", 64))
                    .col(one_of("status", &["UNPAID", "PARTIALLY_PAID", "PAID", "VOID"]))
                    .col(text("currency", 3))
                    .col(minor("net_minor"))
                    .col(minor("tax_minor"))
                    .col(minor("coupon_minor"))
                    .col(minor("total_minor"))
                    .col(minor("paid_minor"))
                    .col(minor("credited_minor"))
                    .col(text("description", 500))
                    .col(instant("period_start"))
                    .col(instant("period_end"))
                    .col(optional(json("billing_address")))
                    .col(json("tags"))
                    .col(instant("issued_at"))
                    .col(optional(instant("due_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("invoice", "account_id", "account"))
                    .foreign_key(&mut references("invoice", "resource_id", "resource"))
                    .check(Expr::cust("total_minor = net_minor + tax_minor - coupon_minor"))
                    .check(Expr::cust("net_minor >= 0 and tax_minor >= 0 and coupon_minor >= 0"))
                    .check(Expr::cust("paid_minor >= 0 and paid_minor <= total_minor"))
                    .check(Expr::cust("credited_minor >= 0 and credited_minor <= total_minor"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("invoice", &["account_id", "code"])).await?;
        manager
            .create_index(index("invoice", &["resource_id", "issued_at", "id"]))
            .await?;
        manager
            .create_index(index("invoice", &["account_id", "issued_at", "id"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("invoice_line")
                    .col(uuid("invoice_id"))
                    .col(int("position"))
                    .col(text("component_code", 64))
                    .col(text("component_name", 200))
                    .col(text("unit_label", 32))
                    .col(one_of("unit", &["THIRTY_DAYS", "HOUR", "ONCE"]))
                    .col(micros("unit_price_micros"))
                    .col(big("quantity"))
                    .col(big("minutes"))
                    .col(micros("discount_micros"))
                    .col(micros("tax_rate_micros"))
                    .col(minor("net_minor"))
                    .col(minor("tax_minor"))
                    .col(optional(text("coupon_code", 64)))
                    .col(minor("coupon_minor"))
                    .col(minor("total_minor"))
                    .primary_key(Index::create().col("invoice_id").col("position"))
                    .foreign_key(&mut references("invoice_line", "invoice_id", "invoice"))
                    .check(Expr::cust("total_minor = net_minor + tax_minor - coupon_minor"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("credit_note")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("invoice_id"))
                    .col(text("code", 64))
                    .col(text("currency", 3))
                    .col(minor("amount_minor"))
                    .col(minor("tax_minor"))
                    .col(text("reason", 500))
                    .col(instant("issued_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("credit_note", "account_id", "account"))
                    .foreign_key(&mut references("credit_note", "invoice_id", "invoice"))
                    .check(Expr::cust(
                        "amount_minor > 0 and tax_minor >= 0 and tax_minor <= amount_minor",
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("credit_note", &["account_id", "code"]))
            .await?;
        manager.create_index(index("credit_note", &["invoice_id"])).await?;
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
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["credit_note_line", "credit_note", "invoice_line", "invoice"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
