//! Payments through gateways: what each is there, what was captured, what they told, what does not fit.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, flag, index, instant, int, json, minor, one_of, optional, partial_index, references, text, unique, uuid, widen,
};

/// Payments through gateways: what each is there, what was captured, what they told, what does not fit.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Why a ledger transaction was posted.
const CAUSES: &[&str] = &[
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
    "QUARANTINE",
    "QUARANTINE_CREDITED",
    "QUARANTINE_RETURNED",
    "GATEWAY_REFUND",
    "GATEWAY_REFUND_FAILED",
];

/// What a wallet entry records.
const ACTIONS: &[&str] = &[
    "GRANT",
    "TOP_UP",
    "ORDER_PAYMENT",
    "INVOICE_PAYMENT",
    "REFUND",
    "REFUND_TO_SOURCE",
    "ADJUSTMENT",
    "TRANSFER",
    "EXPIRY",
];

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
    "PAYMENT_HELD",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("gateway_payment")
                    .col(uuid("payment_id"))
                    .col(uuid("account_id"))
                    .col(text("gateway", 32))
                    .col(text("reference", 64))
                    .col(minor("amount_minor"))
                    .col(text("currency", 3))
                    .col(instant("created_at"))
                    .col(instant("expires_at"))
                    .col(optional(instant("tried_at")))
                    .col(optional(instant("begun_at")))
                    .col(optional(text("gateway_id", 255)))
                    .col(optional(json("checkout")))
                    .col(optional(text("return_url", 2000)))
                    .col(flag("is_reviewed"))
                    .col(optional(text("decline", 32)))
                    .col(optional(text("detail", 500)))
                    .col(optional(instant("next_check_at")))
                    .col(int("checks"))
                    .col(big("version"))
                    .primary_key(Index::create().col("payment_id"))
                    .foreign_key(&mut references("gateway_payment", "payment_id", "payment"))
                    .foreign_key(&mut references("gateway_payment", "account_id", "account"))
                    .check(Expr::cust("amount_minor > 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("gateway_payment", &["gateway", "reference"]))
            .await?;
        manager
            .create_index(partial_index(
                "gateway_payment",
                &["next_check_at"],
                "next_check_at is not null",
            ))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("gateway_capture")
                    .col(uuid("id"))
                    .col(text("gateway", 32))
                    .col(text("transaction_ref", 128))
                    .col(uuid("account_id"))
                    .col(uuid("payment_id"))
                    .col(minor("amount_minor"))
                    .col(minor("refunded_minor"))
                    .col(text("currency", 3))
                    .col(one_of("used_for", &["PAID", "CREDIT", "QUARANTINE"]))
                    .col(uuid("transaction_id"))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("gateway_capture", "account_id", "account"))
                    .foreign_key(&mut references("gateway_capture", "payment_id", "payment"))
                    .foreign_key(&mut references(
                        "gateway_capture",
                        "transaction_id",
                        "ledger_transaction",
                    ))
                    .check(Expr::cust("amount_minor > 0"))
                    .check(Expr::cust("refunded_minor between 0 and amount_minor"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("gateway_capture", &["gateway", "transaction_ref"]))
            .await?;
        manager.create_index(index("gateway_capture", &["payment_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("gateway_refund")
                    .col(uuid("id"))
                    .col(uuid("account_id"))
                    .col(uuid("payment_id"))
                    .col(uuid("capture_id"))
                    .col(text("gateway", 32))
                    .col(text("reference", 64))
                    .col(minor("amount_minor"))
                    .col(text("currency", 3))
                    .col(one_of("status", &["PENDING", "SUCCEEDED", "FAILED"]))
                    .col(text("reason", 500))
                    .col(text("principal", 200))
                    .col(optional(text("detail", 500)))
                    .col(optional(instant("next_check_at")))
                    .col(int("checks"))
                    .col(instant("created_at"))
                    .col(optional(instant("completed_at")))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("gateway_refund", "account_id", "account"))
                    .foreign_key(&mut references("gateway_refund", "payment_id", "payment"))
                    .foreign_key(&mut references("gateway_refund", "capture_id", "gateway_capture"))
                    .check(Expr::cust("amount_minor > 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("gateway_refund", &["gateway", "reference"]))
            .await?;
        manager.create_index(index("gateway_refund", &["payment_id"])).await?;
        manager
            .create_index(partial_index(
                "gateway_refund",
                &["next_check_at"],
                "next_check_at is not null",
            ))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("gateway_notice")
                    .col(uuid("id"))
                    .col(text("gateway", 32))
                    .col(optional(text("event", 200)))
                    .col(optional(text("taken_event", 200)))
                    .col(optional(text("reference", 64)))
                    .col(one_of(
                        "verdict",
                        &[
                            "TAKEN",
                            "REPEATED",
                            "SIGNATURE",
                            "STALE",
                            "MALFORMED",
                            "MERCHANT",
                            "NO_SUCH_REFERENCE",
                            "WRONG_AMOUNT",
                            "LATER",
                        ],
                    ))
                    .col(int("body_bytes"))
                    .col(text("body_digest", 64))
                    .col(instant("received_at"))
                    .primary_key(Index::create().col("id"))
                    .to_owned(),
            )
            .await?;
        // Nothing is unequal to nothing: only what was taken is unique.
        manager
            .create_index(unique("gateway_notice", &["gateway", "taken_event"]))
            .await?;
        manager
            .create_index(index("gateway_notice", &["gateway", "reference"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("quarantine")
                    .col(uuid("id"))
                    .col(optional(uuid("account_id")))
                    .col(optional(uuid("payment_id")))
                    .col(optional(uuid("capture_id")))
                    .col(optional(text("statement_ref", 128)))
                    .col(minor("amount_minor"))
                    .col(text("currency", 3))
                    .col(text("reason", 500))
                    .col(one_of("status", &["OPEN", "CREDITED", "RETURNED"]))
                    .col(instant("created_at"))
                    .col(optional(instant("resolved_at")))
                    .col(optional(text("resolved_by", 200)))
                    .col(optional(text("resolution", 500)))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("quarantine", "account_id", "account"))
                    .foreign_key(&mut references("quarantine", "payment_id", "payment"))
                    .foreign_key(&mut references("quarantine", "capture_id", "gateway_capture"))
                    .check(Expr::cust("amount_minor > 0"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("quarantine", &["status", "created_at", "id"]))
            .await?;
        manager.create_index(unique("quarantine", &["statement_ref"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("sandbox_record")
                    .col(text("id", 64))
                    .col(json("document"))
                    .col(optional(instant("deliver_at")))
                    .col(instant("created_at"))
                    .col(big("version"))
                    .primary_key(Index::create().col("id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(partial_index(
                "sandbox_record",
                &["deliver_at"],
                "deliver_at is not null",
            ))
            .await?;

        let mut became_credit = flag("became_credit").default(false).to_owned();
        add(manager, "payment", &mut became_credit).await?;
        add(manager, "orders", &mut optional(instant("expires_at"))).await?;
        let mut cancelled = one_of("cancelled_because", &["CUSTOMER", "EXPIRED", "STALE"]);
        add(manager, "orders", cancelled.null()).await?;
        manager
            .create_index(partial_index("orders", &["expires_at"], "status = 'AWAITING_PAYMENT'"))
            .await?;
        // A cancelled order gives its quote back.
        manager
            .drop_index(Index::drop().name("uq_orders_quote_id").table("orders").to_owned())
            .await?;
        let one_order = unique("orders", &["quote_id"])
            .and_where(Expr::cust("status <> 'CANCELLED'"))
            .to_owned();
        manager.create_index(one_order).await?;
        manager
            .create_index(partial_index("hold", &["payment_id"], "payment_id is not null"))
            .await?;
        widen(manager, "wallet_entry", "action", ACTIONS).await?;
        widen(manager, "account_event", "kind", EVENTS).await?;
        widen(manager, "ledger_transaction", "cause", CAUSES).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "money that was taken since can't be told by the older version".to_owned(),
        ))
    }
}

async fn add(manager: &SchemaManager<'_>, table: &'static str, column: &mut ColumnDef) -> Result<(), DbErr> {
    manager
        .alter_table(Table::alter().table(table).add_column(column).to_owned())
        .await
}
