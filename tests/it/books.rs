//! What the proof of the books finds: each figure, when it is changed behind everyone's back, breaks a law that names it.

use entity::enums::Role;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::{World, on_every_store, server, text};

async fn execute(world: &World, sql: &str) {
    let done = world
        .app
        .db
        .write("behind_its_back", async |tx| Ok(tx.execute_unprepared(sql).await?));
    done.await.unwrap();
}

/// Changes a figure, asks the proof, and puts the figure back.
async fn broken_by(world: &World, table: &str, change: &str, back: &str, which: &str) -> Vec<&'static str> {
    execute(world, &format!("update {table} set {change} where {which}")).await;
    let differences = billing_gateway::db::proof::differences(&world.app.db).await.unwrap();
    execute(world, &format!("update {table} set {back} where {which}")).await;
    let mut laws: Vec<_> = differences.into_iter().map(|difference| difference.law).collect();
    laws.dedup();
    laws
}

on_every_store! {
    async fn every_figure_that_is_changed_breaks_a_law(world: World) {
        world.grant("CASH", "300000").await;
        world.grant("PROMOTIONAL", "100000").await;
        let coupon = json!({ "code": "TENTH", "value": { "percent": "10" }, "currency": "VND" });
        world.done(&world.token(Role::Operator), "createCoupon", coupon).await;
        let owner = world.token(Role::Owner);
        let input = json!({ "items": [{ "create": server("s-general-1x1") }, { "create": server("dev.v1.small1x1") }], "couponCode": "TENTH" });
        let quote = text(&world.done(&owner, "createQuote", input).await["quote"]["id"]);
        let pay = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": "two" });
        world.done(&owner, "placeOrder", pay).await;
        let product = world.token(Role::Product);
        let tasks = world.data(&product, "{ provisioningTasks(first: 1) { nodes { id } } }", json!({})).await;
        let failed = json!({ "taskId": tasks["provisioningTasks"]["nodes"][0]["id"], "outcome": { "failed": { "reason": "no room" } } });
        world.done(&product, "reportProvisioning", failed).await;
        world.provision().await;
        world.books_agree().await;

        // The tables' CHECKs hold a row's own figures together: those are moved together.
        let moved = |columns: &str, by: &str| {
            columns.split(' ').map(|column| format!("{column} = {column} {by} 1")).collect::<Vec<_>>().join(", ")
        };
        for (table, columns, which, law) in [
            ("wallet", "cash_minor", "kind = 'CREDIT' and cash_minor > 0", "the cash of the credit wallet is what the books owe the customer"),
            ("wallet", "promotional_minor", "kind = 'CREDIT' and promotional_minor > 0", "the promotional part of the credit wallet is what the books owe the customer"),
            ("wallet_entry", "cash_after_minor", "sequence = 1", "each line of a wallet's history carries on from the one before"),
            ("ledger_posting", "amount_minor", "ledger_account = 'DEFERRED_REVENUE'", "what is deferred, recognised and given off is the net of the invoices less that of their credit notes"),
            ("ledger_posting", "amount_minor", "ledger_account = 'DISCOUNTS'", "discounts are the coupons of the invoices less those of their credit notes"),
            ("ledger_posting", "amount_minor", "ledger_account = 'TAX_PAYABLE'", "tax payable is the tax of the invoices less that of their credit notes"),
            ("order_item", "charged_promotional_minor", "status = 'REFUNDED'", "what a failed item gives back goes to the parts it came from"),
            ("orders", "gross_minor charged_minor", "1 = 1", "an order is the sum of its items"),
            ("orders", "due_minor", "1 = 1", "what is to be paid of an order, and what goes back, is the sum over its items"),
            ("orders", "refund_minor", "1 = 1", "what is to be paid of an order, and what goes back, is the sum over its items"),
            ("order_item", "credited_minor", "status = 'FULFILLED'", "what is unused of replaced periods is credited by notes"),
            ("invoice_line", "tax_minor total_minor", "1 = 1", "an invoice's net, tax and coupon are those of its lines"),
            ("invoice_line", "net_minor total_minor", "1 = 1", "an invoice is the sum of its lines"),
            ("paid_period", "gross_minor charged_minor", "1 = 1", "a fulfilled item has one paid period, charged as it was"),
            ("coupon", "redeemed", "1 = 1", "a coupon's redemptions are counted"),
            ("account", "event_sequence", "event_sequence > 0", "an account's events have no gap"),
            ("code_counter", "last", "kind = 'PAYMENT'", "payment codes have no gap"),
            ("code_counter", "last", "kind = 'INVOICE'", "invoice codes have no gap"),
        ] {
            let laws = broken_by(&world, table, &moved(columns, "+"), &moved(columns, "-"), which).await;
            assert!(laws.contains(&law), "{table}, {columns}: {laws:?}");
        }
        let (change, back) = ("promotional_minor = promotional_minor - 1, cash_minor = cash_minor + 1", "promotional_minor = promotional_minor + 1, cash_minor = cash_minor - 1");
        let laws = broken_by(&world, "payment", change, back, "purpose = 'ORDER'").await;
        assert!(laws.contains(&"a payment takes from each part of the wallet what it says"), "{laws:?}");
        let laws = broken_by(&world, "invoice", "status = 'VOID'", "status = 'PAID'", "1 = 1").await;
        assert!(laws.contains(&"a fulfilled item has one invoice, over what was charged"), "{laws:?}");
        let laws = broken_by(&world, "ledger_transaction", "currency = 'USD'", "currency = 'VND'", "1 = 1").await;
        assert!(laws.contains(&"a posting is of its transaction's account, and a transaction of its account's currency"), "{laws:?}");
    }
}
