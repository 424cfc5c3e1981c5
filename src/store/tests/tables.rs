//! What the tables themselves hold, whoever writes to them; and which index serves a list.

use entity::{component, price};
use sea_orm::{ConnectionTrait as _, FromQueryResult, Statement};

use super::*;
use crate::domain::history::Period;
use crate::store::histories::{self, EntryFilter, PaymentFilter};
use crate::store::{catalogue, outbox, page, payments, provisioning, wallets};

impl Shelf {
    async fn execute(&self, sql: &str) -> Result<(), crate::error::Error> {
        let run = async |tx: std::sync::Arc<crate::db::Tx>| Ok(tx.execute_unprepared(sql).await.map(|_| ())?);
        self.app.db.write("execute", run).await
    }

    async fn refuses(&self, sql: &str) {
        let refused = self.execute(sql).await.expect_err(sql).to_string();
        assert!(refused.contains("CHECK constraint failed"), "{sql}: {refused}");
    }
}

const AT: &str = "'2026-01-01 00:00:00+00:00'";

#[tokio::test]
async fn what_no_rule_writes_no_table_takes() {
    let shelf = shelf().await;
    let resource = shelf.resource(0, 1, Some(9)).await;
    shelf.invoice(0, 1, resource, 1).await;
    shelf
        .execute(&format!(
            "update resource set next_step = 'EXPIRE:0', next_due_at = {AT}"
        ))
        .await
        .unwrap();
    for half in [
        "next_step = null",
        "next_due_at = null",
        "life = 'DELETED'",
        "life = 'FAILED'",
    ] {
        shelf.refuses(&format!("update resource set {half}")).await;
    }
    shelf
        .execute("update resource set life = 'DELETED', next_step = null, next_due_at = null")
        .await
        .unwrap();
    for amounts in [
        "net_minor = 2, tax_minor = -1",
        "net_minor = -1, tax_minor = 2",
        "net_minor = 0, coupon_minor = -1",
    ] {
        shelf.refuses(&format!("update invoice set {amounts}")).await;
    }
    // gross, coupon, tax, charged
    for amounts in ["-5, 0, 0, -5", "1, -1, 0, 2", "1, 0, -1, 1", "1, 2, 0, -1"] {
        shelf.refuses(&format!(
            "insert into quote select x'00000000000000000000000000000001', id, 'an', 'OPEN', 'VND', {amounts}, null, '{{}}', null, {AT}, {AT}, 0, 0 from account limit 1"
        )).await;
        shelf.refuses(&format!(
            "insert into orders select x'00000000000000000000000000000001', id, id, 'ORD-1', 'IN_PROGRESS', 'VND', {amounts}, null, 'an', null, {AT}, null, null, 1, 0, 0, null, null from account limit 1"
        )).await;
    }
    for promotional in [-1, 3] {
        shelf.refuses(&format!(
            "insert into paid_period select x'00000000000000000000000000000001', account_id, id, id, 1, 'PAID', {AT}, '2026-01-02 00:00:00+00:00', 1, 1, 'THIRTY_360', 'UTC', 'VND', 2, 0, 0, 2, {promotional}, '[]', {AT}, null from resource limit 1"
        )).await;
    }
    // A later migration allowed more words; others are refused as ever.
    let booked = |cause: &str| {
        format!(
            "insert into ledger_transaction select x'00000000000000000000000000000001', id, '{cause}', 'VND', null, null, null, null, null, 'an', null, {AT} from account limit 1"
        )
    };
    shelf.refuses(&booked("WINDFALL")).await;
    shelf.execute(&booked("QUARANTINE")).await.unwrap();
    let coupon = |minimum: &str, maximum: &str, total: &str, each: &str| {
        format!(
            "insert into coupon values (x'00000000000000000000000000000001', 'C', 'PERCENT', 1000, null, 'VND', {AT}, null, {minimum}, {maximum}, {total}, {each}, 0, '[]', 'ops', {AT})"
        )
    };
    for (minimum, maximum, total, each) in [
        ("0", "null", "null", "null"),
        ("null", "0", "null", "null"),
        ("null", "null", "0", "null"),
        ("null", "null", "null", "0"),
    ] {
        shelf.refuses(&coupon(minimum, maximum, total, each)).await;
    }
    shelf.execute(&coupon("1", "1", "1", "1")).await.unwrap();
}

#[tokio::test]
async fn the_catalogue_shows_the_price_that_a_quote_would_use() {
    let shelf = shelf().await;
    let db = shelf.app.db.read();
    let part = component::Entity::find().one(db).await.unwrap().unwrap();
    let scope = Scope::engine();
    let parts = [part.id];
    let shown = async || {
        let prices = catalogue::prices_of_components(shelf.app.db.read(), &scope, &parts, at(0));
        prices.await.unwrap().remove(&part.id).unwrap()
    };
    let old = shown().await.remove(0);
    let newer = price::Model {
        id: Uuid::from_u128(1),
        unit_price_micros: old.unit_price_micros + 1,
        valid_from: at(-1),
        ..old.clone()
    };
    shelf.insert::<price::ActiveModel>(newer.clone()).await;
    assert_eq!(shown().await, std::slice::from_ref(&newer));
    let other = price::Model {
        id: Uuid::from_u128(2),
        currency: "USD".to_owned(),
        ..newer.clone()
    };
    shelf.insert::<price::ActiveModel>(other.clone()).await;
    assert_eq!(shown().await, [other, newer]);
    let twice = "insert into price select x'00000000000000000000000000000003', component_id, currency, unit, 7, 0, 0, tax_mode, valid_from, null from price limit 1";
    let refused = shelf.execute(twice).await.unwrap_err().to_string();
    assert!(refused.contains("UNIQUE constraint failed"), "{refused}");
}

#[tokio::test]
async fn tasks_of_a_product_are_read_in_their_order_from_an_index_whatever_their_state() {
    #[derive(FromQueryResult)]
    struct Plan {
        detail: String,
    }
    let shelf = shelf().await;
    let db = shelf.app.db.read();
    let product = Scope::Product {
        product: "vserver".to_owned(),
        principal: "service".to_owned(),
    };
    for status in [None, Some(entity::enums::OrderItemStatus::Fulfilled)] {
        let filter = provisioning::Filter { product: None, status };
        let statement = provisioning::statement(&product, &filter, &Page::first(10));
        let (sql, values) = statement.build(sea_orm::sea_query::SqliteQueryBuilder);
        let explained =
            Statement::from_sql_and_values(db.get_database_backend(), format!("explain query plan {sql}"), values);
        let plan: Vec<String> = Plan::find_by_statement(explained)
            .all(db)
            .await
            .unwrap()
            .into_iter()
            .map(|step| step.detail)
            .collect();
        assert!(
            plan.iter().all(|step| !step.contains("TEMP B-TREE")),
            "{status:?}: {plan:#?}"
        );
        assert!(
            plan.iter().any(|step| step.contains("order_item USING INDEX")),
            "{status:?}: {plan:#?}"
        );
    }
}

#[tokio::test]
async fn histories_are_read_in_their_order_from_an_index_whatever_is_looked_for() {
    #[derive(FromQueryResult)]
    struct Plan {
        detail: String,
    }
    let shelf = shelf().await;
    let db = shelf.app.db.read();
    let scope = Scope::engine();
    let period = Period {
        from: Some(at(0)),
        to: Some(at(9)),
    };
    let text = Some("x".to_owned());
    let product = Some("vserver".to_owned());
    let of_payments = [
        PaymentFilter::default(),
        PaymentFilter {
            statuses: vec![entity::enums::PaymentStatus::Failed],
            gateway: text.clone(),
            product: product.clone(),
            period,
            text: text.clone(),
            ..PaymentFilter::default()
        },
    ];
    let of_entries = [
        EntryFilter::default(),
        EntryFilter {
            actions: vec![entity::enums::WalletAction::Grant],
            part: Some(entity::enums::FundsKind::Cash),
            product,
            period,
            text,
        },
    ];
    let page = Page::first(10);
    let key = Uuid::from_u128(1);
    let mut statements = Vec::new();
    for filter in &of_payments {
        let select = histories::all_payments(&scope, key, filter);
        let index = "payment USING INDEX ix_payment_account_id_created_at_id";
        statements.push((page::paged(select, &payments::oldest_first(), &page), index));
    }
    for filter in &of_entries {
        let select = histories::all_entries(&scope, key, filter);
        let index = "wallet_entry USING INDEX uq_wallet_entry_wallet_id_sequence";
        statements.push((page::paged(select, &wallets::oldest_first(), &page), index));
    }
    for (statement, index) in statements {
        let (sql, values) = statement.build(sea_orm::sea_query::SqliteQueryBuilder);
        let explained =
            Statement::from_sql_and_values(db.get_database_backend(), format!("explain query plan {sql}"), values);
        let plan = Plan::find_by_statement(explained).all(db).await.unwrap();
        let plan: Vec<String> = plan.into_iter().map(|step| step.detail).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
        assert!(
            plan.iter()
                .all(|step| !step.starts_with("SCAN") && !step.contains("TEMP B-TREE")),
            "{plan:#?}"
        );
    }
}

#[tokio::test]
async fn who_is_to_be_told_by_mail_is_found_by_what_is_new() {
    #[derive(FromQueryResult)]
    struct Plan {
        detail: String,
    }
    let shelf = shelf().await;
    let db = shelf.app.db.read();
    let statement = outbox::behind_since(&Scope::engine(), Some(at(0)), 200);
    let (sql, values) = statement.build(sea_orm::sea_query::SqliteQueryBuilder);
    let explained =
        Statement::from_sql_and_values(db.get_database_backend(), format!("explain query plan {sql}"), values);
    let plan = Plan::find_by_statement(explained).all(db).await.unwrap();
    let plan: Vec<String> = plan.into_iter().map(|step| step.detail).collect();
    assert!(
        plan.iter()
            .any(|step| step.contains("account_event USING INDEX ix_account_event_created_at")),
        "{plan:#?}"
    );
    assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{plan:#?}");
}
