//! Accounts, their wallets and the books.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, instant, int, minor, one_of, optional, references, text, unique, uuid};

/// Accounts, their wallets and the books.
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
                    .table("account")
                    .col(uuid("id"))
                    .col(text("code", 16))
                    .col(text("name", 200))
                    .col(text("zone", 64))
                    .col(one_of("language", &["VI", "EN"]))
                    .col(one_of("mode", &["PREPAID", "POSTPAID"]))
                    .col(text("currency", 3))
                    .col(big("event_sequence"))
                    .col(instant("created_at"))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .check(Expr::cust("event_sequence >= 0"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("account", &["code"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("wallet")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(one_of("kind", &["CREDIT", "POC"]))
                    .col(text("currency", 3))
                    .col(minor("cash_minor"))
                    .col(minor("promotional_minor"))
                    .col(minor("held_minor"))
                    .col(big("entry_sequence"))
                    .col(optional(instant("ends_at")))
                    .col(instant("created_at"))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("wallet", "account_id", "account"))
                    .check(Expr::cust("cash_minor between 0 and 1000000000000000"))
                    .check(Expr::cust("promotional_minor between 0 and 1000000000000000"))
                    .check(Expr::cust(
                        "held_minor >= 0 and held_minor <= cash_minor + promotional_minor",
                    ))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("wallet", &["account_id", "kind"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("ledger_transaction")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(one_of(
                        "cause",
                        &[
                            "GRANT",
                            "ORDER_PAYMENT",
                            "PROVISIONED",
                            "PROVISIONING_REFUND",
                            "UNUSED_REFUND",
                            "RECOGNITION",
                            "TOP_UP",
                            "INVOICE_ISSUED",
                            "INVOICE_PAYMENT",
                            "ADJUSTMENT",
                            "TRANSFER",
                        ],
                    ))
                    .col(text("currency", 3))
                    .col(optional(uuid("order_id")))
                    .col(optional(uuid("order_item_id")))
                    .col(optional(uuid("payment_id")))
                    .col(optional(uuid("invoice_id")))
                    .col(optional(uuid("resource_id")))
                    .col(text("principal", 200))
                    .col(optional(text("reason", 500)))
                    .col(instant("occurred_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("ledger_transaction", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("ledger_transaction", &["account_id", "occurred_at", "id"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("ledger_posting")
                    .col(uuid("transaction_id"))
                    .col(int("position"))
                    .col(uuid("account_id"))
                    .col(one_of(
                        "ledger_account",
                        &[
                            "CUSTOMER_CASH",
                            "CUSTOMER_PROMOTIONAL",
                            "POC",
                            "ORDERS_IN_PROGRESS",
                            "DEFERRED_REVENUE",
                            "REVENUE",
                            "RECEIVABLE",
                            "TAX_PAYABLE",
                            "DISCOUNTS",
                            "GATEWAY_CLEARING",
                            "GATEWAY_FEES",
                            "REFUNDS_PAYABLE",
                            "SUSPENSE",
                            "ADJUSTMENTS",
                            "PARTNER",
                        ],
                    ))
                    .col(minor("amount_minor"))
                    .primary_key(Index::create().col("transaction_id").col("position"))
                    .foreign_key(&mut references(
                        "ledger_posting",
                        "transaction_id",
                        "ledger_transaction",
                    ))
                    .check(Expr::cust(
                        "amount_minor between -1000000000000000 and 1000000000000000 and amount_minor <> 0",
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("ledger_posting", &["account_id", "ledger_account"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("wallet_entry")
                    .col(uuid("id"))
                    .col(uuid("wallet_id"))
                    .col(uuid("account_id"))
                    .col(big("sequence"))
                    .col(uuid("transaction_id"))
                    .col(one_of(
                        "action",
                        &[
                            "GRANT",
                            "TOP_UP",
                            "ORDER_PAYMENT",
                            "INVOICE_PAYMENT",
                            "REFUND",
                            "ADJUSTMENT",
                            "TRANSFER",
                            "EXPIRY",
                        ],
                    ))
                    .col(text("details", 500))
                    .col(minor("cash_minor"))
                    .col(minor("promotional_minor"))
                    .col(minor("cash_after_minor"))
                    .col(minor("promotional_after_minor"))
                    .col(optional(uuid("order_id")))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("wallet_entry", "wallet_id", "wallet"))
                    .foreign_key(&mut references("wallet_entry", "account_id", "account"))
                    .foreign_key(&mut references("wallet_entry", "transaction_id", "ledger_transaction"))
                    .check(Expr::cust("cash_after_minor >= 0 and promotional_after_minor >= 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("wallet_entry", &["wallet_id", "sequence"]))
            .await?;
        manager.create_index(index("wallet_entry", &["transaction_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("hold")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("wallet_id"))
                    .col(one_of("purpose", &["USAGE", "PAYMENT"]))
                    .col(one_of("status", &["OPEN", "CAPTURED", "RELEASED"]))
                    .col(minor("amount_minor"))
                    .col(optional(uuid("resource_id")))
                    .col(optional(uuid("payment_id")))
                    .col(instant("created_at"))
                    .col(optional(instant("expires_at")))
                    .col(optional(instant("ended_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("hold", "account_id", "account"))
                    .foreign_key(&mut references("hold", "wallet_id", "wallet"))
                    .check(Expr::cust("amount_minor between 0 and 1000000000000000"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("hold", &["wallet_id", "status"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("code_counter")
                    .col(uuid("account_id"))
                    .col(one_of("kind", &["ORDER", "INVOICE", "CREDIT_NOTE", "PAYMENT"]))
                    .col(int("year"))
                    .col(big("last"))
                    .primary_key(Index::create().col("account_id").col("kind").col("year"))
                    .foreign_key(&mut references("code_counter", "account_id", "account"))
                    .check(Expr::cust("last > 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("idempotency_key")
                    .col(uuid("account_id"))
                    .col(text("principal", 200))
                    .col(text("operation", 64))
                    .col(text("key", 255))
                    .col(text("input_hash", 64))
                    .col(uuid("outcome_id"))
                    .col(instant("created_at"))
                    .primary_key(
                        Index::create()
                            .col("account_id")
                            .col("principal")
                            .col("operation")
                            .col("key"),
                    )
                    .foreign_key(&mut references("idempotency_key", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("idempotency_key", &["created_at"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "idempotency_key",
            "code_counter",
            "hold",
            "wallet_entry",
            "ledger_posting",
            "ledger_transaction",
            "wallet",
            "account",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
