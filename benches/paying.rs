//! Paying an order over HTTP against hand-written SQL that does the same writes in the same run: statement by statement,
//! and on PostgreSQL all of it in a single statement. Many accounts pay at once, quotes that the same process made or another one; then all
//! callers pay from one wallet, whose row they wait for. `cargo bench --bench paying`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use billing_gateway::app::App;
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Action, Create, PriceRequest, create};
use billing_gateway::domain::term::Term;
use billing_gateway::store::Scope;
use billing_gateway::{db, ids};
use entity::enums::FundsKind;
use entity::{account, wallet};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter as _,
    Statement, Value,
};
use serde_json::json;
use support::{Bench, rate, report, stores};
use uuid::Uuid;

// Many short rounds: a commit waits for the disk, whose mood lasts for a while.
const ROUNDS: usize = 9;
const ORDERS: usize = 128;
/// How many accounts pay where they are many: as many as there are callers at most.
const ACCOUNTS: usize = 64;
const PLACE: &str =
    "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id status } userErrors { code } } }";

/// Whoever pays.
#[derive(Clone, Debug)]
struct Payer {
    account: Uuid,
    token: String,
}

/// Customers with enough in their wallets, made like the one that is there.
async fn payers(bench: &Bench) -> Vec<Arc<Payer>> {
    let db = bench.app.db.read();
    let model = account::Entity::find_by_id(bench.account)
        .one(db)
        .await
        .unwrap()
        .unwrap();
    let wallets = wallet::Entity::find()
        .filter(wallet::Column::AccountId.eq(bench.account))
        .all(db)
        .await
        .unwrap();
    let mut payers = Vec::with_capacity(ACCOUNTS);
    for number in 0..ACCOUNTS {
        let account = account::Model {
            id: ids::new_id(),
            code: format!("BENCH{number}"),
            ..model.clone()
        };
        let wallets: Vec<_> = wallets
            .iter()
            .map(|wallet| wallet::Model {
                id: ids::new_id(),
                account_id: account.id,
                ..wallet.clone()
            })
            .collect();
        let payer = Payer {
            account: account.id,
            token: bench.token(account.id),
        };
        let written = bench.app.db.write("payer", async |tx| {
            let tx = &**tx;
            account.clone().into_active_model().insert(tx).await?;
            for wallet in &wallets {
                wallet.clone().into_active_model().insert(tx).await?;
            }
            Ok(())
        });
        written.await.unwrap();
        give(bench, payer.account).await;
        payers.push(Arc::new(payer));
    }
    payers
}

async fn give(bench: &Bench, account: Uuid) {
    let operator = Scope::Operator {
        principal: "bench".to_owned(),
    };
    let grant = Grant {
        account,
        funds: FundsKind::Cash,
        amount: "900000000000".to_owned(),
        reason: "benchmark".to_owned(),
        idempotency_key: "grant".to_owned(),
    };
    credit::grant(&bench.app, &operator, grant).await.unwrap();
}

/// So many quotes, of one payer after the other.
async fn quotes(app: &App, payers: &[Arc<Payer>], count: usize) -> Vec<(Arc<Payer>, Uuid)> {
    let mut made = Vec::with_capacity(count);
    for payer in payers.iter().cycle().take(count) {
        let scope = Scope::Account {
            account: payer.account,
            principal: "bench".to_owned(),
        };
        let wanted = Create {
            product: "vserver".to_owned(),
            resource_type: "server".to_owned(),
            components: vec![("s-general-1x1".to_owned(), 1)],
            quantity: 1,
            term: Term::Months(1),
            name: None,
            auto_renew: false,
        };
        let request = PriceRequest {
            account: payer.account,
            actions: vec![Action::Create(wanted)],
            coupon_code: None,
        };
        made.push((Arc::clone(payer), create(app, &scope, request).await.unwrap().id));
    }
    made
}

/// What the catalogue calls the server: the floor knows it by heart.
struct Known {
    product: Uuid,
    resource_type: Uuid,
}

/// The same reads and writes, by hand, statement by statement: eighteen of them.
async fn pay_by_hand(bench: &Bench, known: &Known, (payer, quote): (Arc<Payer>, Uuid), number: u64) {
    let app = &bench.app;
    let backend = app.db.backend();
    let locks = if db::locks_rows(backend) { " for update" } else { "" };
    let now = app.clock.now();
    let (order, item, payment, resource, transaction) = (
        ids::new_id(),
        ids::new_id(),
        ids::new_id(),
        ids::new_id(),
        ids::new_id(),
    );
    app.db
        .write("floor", async |tx| {
            let tx = &*tx;
            let sql = |text: String, values: Vec<Value>| Statement::from_sql_and_values(backend, text, values);
            let run = async |text: &str, values: Vec<Value>| tx.execute_raw(sql(text.to_owned(), values)).await;
            let one = async |text: String, values: Vec<Value>| tx.query_one_raw(sql(text, values)).await;
            run(
                "insert into idempotency_key (account_id, principal, operation, key, input_hash, outcome_id, created_at) values ($1, 'bench', 'floor', $2, $3, $4, $5) on conflict do nothing",
                vec![payer.account.into(), number.to_string().into(), "0".repeat(64).into(), order.into(), now.into()],
            ).await?;
            let row = one(format!("select document, charged_minor, gross_minor, tax_minor, status from quote where id = $1 and account_id = $2{locks}"), vec![quote.into(), payer.account.into()]).await?.unwrap();
            let document: serde_json::Value = row.try_get("", "document")?;
            let charged: i64 = row.try_get("", "charged_minor")?;
            let tax: i64 = row.try_get("", "tax_minor")?;
            let account = one("select * from account where id = $1".to_owned(), vec![payer.account.into()]).await?.unwrap();
            let code: String = account.try_get("", "code")?;
            let wallet = one(format!("select * from wallet where account_id = $1 and kind = 'CREDIT'{locks}"), vec![payer.account.into()]).await?.unwrap();
            let wallet_id: Uuid = wallet.try_get("", "id")?;
            let cash: i64 = wallet.try_get("", "cash_minor")?;
            let sequence: i64 = wallet.try_get("", "entry_sequence")?;
            one("select * from product where code = $1".to_owned(), vec!["vserver".into()]).await?.unwrap();
            let taken = tx.query_all_raw(sql("insert into code_counter (account_id, kind, year, last) values ($1, 'ORDER', 2026, 1), ($1, 'PAYMENT', 2026, 1) on conflict (account_id, kind, year) do update set last = code_counter.last + excluded.last returning kind, last".to_owned(), vec![payer.account.into()])).await?;
            let last: i64 = taken[0].try_get("", "last")?;
            let principal = "bench";
            run("insert into orders (id, account_id, quote_id, code, status, currency, gross_minor, coupon_minor, tax_minor, charged_minor, principal, created_at, paid_at, version) values ($1, $2, $3, $4, 'IN_PROGRESS', 'VND', $5, 0, $6, $5, $7, $8, $8, 1)",
                vec![order.into(), payer.account.into(), quote.into(), format!("ORD-{code}-2026-{last:06}").into(), charged.into(), tax.into(), principal.into(), now.into()]).await?;
            run("insert into order_item (id, order_id, account_id, position, action, status, product_id, resource_id, gross_minor, coupon_minor, tax_minor, charged_minor, charged_promotional_minor, document, created_at, version) values ($1, $2, $3, 0, 'CREATE', 'PROVISIONING', $4, $5, $6, 0, $7, $6, 0, $8, $9, 1)",
                vec![item.into(), order.into(), payer.account.into(), known.product.into(), resource.into(), charged.into(), tax.into(), document["items"][0].clone().into(), now.into()]).await?;
            run("insert into payment (id, account_id, code, order_id, purpose, method, status, currency, amount_minor, cash_minor, promotional_minor, gateway_minor, details, principal, created_at, completed_at, version) values ($1, $2, $3, $4, 'ORDER', 'CREDIT', 'SUCCEEDED', 'VND', $5, $5, 0, 0, 'floor', $6, $7, $7, 1)",
                vec![payment.into(), payer.account.into(), format!("PAY-{code}-2026-{last:06}").into(), order.into(), charged.into(), principal.into(), now.into()]).await?;
            run("insert into resource (id, account_id, product_id, resource_type_id, name, search_text, life, power, configuration, auto_renew, auto_renew_months, attempts, created_by, created_at, version) values ($1, $2, $3, $4, 'server', 'server', 'PROVISIONING', 'RUNNING', $5, false, 1, 0, $6, $7, 1)",
                vec![resource.into(), payer.account.into(), known.product.into(), known.resource_type.into(), json!([]).into(), principal.into(), now.into()]).await?;
            run("insert into resource_tag (resource_id, key, account_id, kind, value) values ($1, 'created-by', $2, 'SYSTEM', $3)", vec![resource.into(), payer.account.into(), principal.into()]).await?;
            run("insert into ledger_transaction (id, account_id, cause, currency, order_id, payment_id, principal, occurred_at) values ($1, $2, 'ORDER_PAYMENT', 'VND', $3, $4, $5, $6)",
                vec![transaction.into(), payer.account.into(), order.into(), payment.into(), principal.into(), now.into()]).await?;
            run("insert into ledger_posting (transaction_id, position, account_id, ledger_account, amount_minor) values ($1, 0, $2, 'CUSTOMER_CASH', $3), ($1, 1, $2, 'ORDERS_IN_PROGRESS', $4)",
                vec![transaction.into(), payer.account.into(), charged.into(), (-charged).into()]).await?;
            run("update wallet set cash_minor = cash_minor - $2, entry_sequence = entry_sequence + 1, version = version + 1 where id = $1 and cash_minor + promotional_minor - held_minor >= $2",
                vec![wallet_id.into(), charged.into()]).await?;
            run("insert into wallet_entry (id, wallet_id, account_id, sequence, transaction_id, action, details, cash_minor, promotional_minor, cash_after_minor, promotional_after_minor, order_id, created_at) values ($1, $2, $3, $4, $5, 'ORDER_PAYMENT', 'floor', $6, 0, $7, 0, $8, $9)",
                vec![ids::new_id().into(), wallet_id.into(), payer.account.into(), (sequence + 1).into(), transaction.into(), (-charged).into(), (cash - charged).into(), order.into(), now.into()]).await?;
            run("update quote set status = 'ORDERED', order_id = $2 where id = $1 and status = 'OPEN'", vec![quote.into(), order.into()]).await?;
            let newest = one("update account set event_sequence = event_sequence + 2 where id = $1 returning event_sequence".to_owned(), vec![payer.account.into()]).await?.unwrap();
            let newest: i64 = newest.try_get("", "event_sequence")?;
            run("insert into account_event (account_id, sequence, kind, order_id, payment_id, created_at) values ($1, $2, 'ORDER_PAID', $4, null, $6), ($1, $3, 'PAYMENT_SUCCEEDED', $4, $5, $6)",
                vec![payer.account.into(), (newest - 1).into(), newest.into(), order.into(), payment.into(), now.into()]).await?;
            Ok(())
        })
        .await
        .unwrap();
}

/// All of [`pay_by_hand`] as PostgreSQL can be asked for it at once: no transaction to begin and to end, one round trip.
const PAY_AT_ONCE: &str = "
    with key as (
        insert into idempotency_key (account_id, principal, operation, key, input_hash, outcome_id, created_at)
        values ($1, 'bench', 'at once', $3, $4, $5, $10) on conflict do nothing returning 1),
    q as (
        update quote set status = 'ORDERED', order_id = $5 where id = $2 and account_id = $1 and status = 'OPEN'
        returning document, charged_minor, tax_minor),
    a as (
        update account set event_sequence = event_sequence + 2 where id = $1 returning code, event_sequence),
    w as (
        update wallet set cash_minor = cash_minor - q.charged_minor, entry_sequence = entry_sequence + 1, version = version + 1
        from q where account_id = $1 and kind = 'CREDIT' and cash_minor + promotional_minor - held_minor >= q.charged_minor
        returning wallet.id, cash_minor, entry_sequence),
    c as (
        insert into code_counter (account_id, kind, year, last) values ($1, 'ORDER', 2026, 1), ($1, 'PAYMENT', 2026, 1)
        on conflict (account_id, kind, year) do update set last = code_counter.last + excluded.last returning kind, last),
    o as (
        insert into orders (id, account_id, quote_id, code, status, currency, gross_minor, coupon_minor, tax_minor,
            charged_minor, principal, created_at, paid_at, version)
        select $5, $1, $2, 'ORD-' || a.code || '-2026-' || lpad(c.last::text, 6, '0'), 'IN_PROGRESS', 'VND',
            q.charged_minor, 0, q.tax_minor, q.charged_minor, 'bench', $10, $10, 1
        from q, a, c where c.kind = 'ORDER'),
    p as (select id from product where code = 'vserver'),
    i as (
        insert into order_item (id, order_id, account_id, position, action, status, product_id, resource_id, gross_minor,
            coupon_minor, tax_minor, charged_minor, charged_promotional_minor, document, created_at, version)
        select $6, $5, $1, 0, 'CREATE', 'PROVISIONING', p.id, $8, q.charged_minor, 0, q.tax_minor, q.charged_minor, 0,
            q.document -> 'items' -> 0, $10, 1 from q, p),
    m as (
        insert into payment (id, account_id, code, order_id, purpose, method, status, currency, amount_minor, cash_minor,
            promotional_minor, gateway_minor, details, principal, created_at, completed_at, version)
        select $7, $1, 'PAY-' || a.code || '-2026-' || lpad(c.last::text, 6, '0'), $5, 'ORDER', 'CREDIT', 'SUCCEEDED', 'VND',
            q.charged_minor, q.charged_minor, 0, 0, 'floor', 'bench', $10, $10, 1 from q, a, c where c.kind = 'PAYMENT'),
    r as (
        insert into resource (id, account_id, product_id, resource_type_id, name, search_text, life, power, configuration,
            auto_renew, auto_renew_months, attempts, created_by, created_at, version)
        select $8, $1, p.id, $12, 'server', 'server', 'PROVISIONING', 'RUNNING', '[]', false, 1, 0, 'bench', $10, 1 from p),
    g as (
        insert into resource_tag (resource_id, key, account_id, kind, value) values ($8, 'created-by', $1, 'SYSTEM', 'bench')),
    t as (
        insert into ledger_transaction (id, account_id, cause, currency, order_id, payment_id, principal, occurred_at)
        values ($9, $1, 'ORDER_PAYMENT', 'VND', $5, $7, 'bench', $10)),
    l as (
        insert into ledger_posting (transaction_id, position, account_id, ledger_account, amount_minor)
        select $9, 0, $1, 'CUSTOMER_CASH', q.charged_minor from q
        union all select $9, 1, $1, 'ORDERS_IN_PROGRESS', -q.charged_minor from q),
    e as (
        insert into wallet_entry (id, wallet_id, account_id, sequence, transaction_id, action, details, cash_minor,
            promotional_minor, cash_after_minor, promotional_after_minor, order_id, created_at)
        select $11, w.id, $1, w.entry_sequence, $9, 'ORDER_PAYMENT', 'floor', -q.charged_minor, 0, w.cash_minor, 0, $5, $10
        from w, q),
    n as (
        insert into account_event (account_id, sequence, kind, order_id, payment_id, created_at)
        select $1, a.event_sequence - 1, 'ORDER_PAID', $5, null, $10 from a
        union all select $1, a.event_sequence, 'PAYMENT_SUCCEEDED', $5, $7, $10 from a)
    select (select count(*) from key) + (select count(*) from w) as done";

async fn pay_at_once(bench: &Bench, known: &Known, (payer, quote): (Arc<Payer>, Uuid), number: u64) {
    let ids: [Uuid; 6] = std::array::from_fn(|_| ids::new_id());
    let [order, item, payment, resource, transaction, entry] = ids;
    let values: [Value; 12] = [
        payer.account.into(),
        quote.into(),
        number.to_string().into(),
        "0".repeat(64).into(),
        order.into(),
        item.into(),
        payment.into(),
        resource.into(),
        transaction.into(),
        bench.app.clock.now().into(),
        entry.into(),
        known.resource_type.into(),
    ];
    let statement = Statement::from_sql_and_values(bench.app.db.backend(), PAY_AT_ONCE, values);
    let row = bench.app.db.read().query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "done").unwrap(), 2);
}

async fn place(bench: &Bench, (payer, quote): (Arc<Payer>, Uuid), number: u64) {
    let mut id = vec![13_u8];
    id.extend_from_slice(quote.as_bytes());
    let quote = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, id);
    let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": format!("bench-{number}") });
    let body = bench.ask_as(&payer.token, PLACE, json!({ "input": input })).await;
    assert_eq!(body["data"]["placeOrder"]["userErrors"], json!([]), "{body}");
}

/// Floor and client run where a server's tasks run: a future that the main thread itself polls is woken more cheaply
/// than any task of the runtime is.
#[tokio::main]
async fn main() {
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    let (rounds, orders) = support::scale(ROUNDS, ORDERS);
    let numbers = AtomicU64::new(0);
    let next = || numbers.fetch_add(1, Ordering::Relaxed);
    for bench in stores().await {
        give(&bench, bench.account).await;
        let one = [Arc::new(Payer {
            account: bench.account,
            token: bench.owner.clone(),
        })];
        let many = payers(&bench).await;
        let kind = entity::resource_type::Entity::find()
            .all(bench.app.db.read())
            .await
            .unwrap();
        let kind = kind.into_iter().find(|kind| kind.code == "server").unwrap();
        let known = Known {
            product: kind.product_id,
            resource_type: kind.id,
        };

        let scope = Scope::Account {
            account: bench.account,
            principal: "bench".to_owned(),
        };
        let mut statements = 0;
        // The first documents of a year cost more than those that are counted from there.
        for number in 0..2 {
            let (_, quote) = quotes(&bench.app, &one, 1).await.remove(0);
            let order = PlaceOrder {
                account: bench.account,
                quote,
                payment: Some(PayBy::Credit),
                return_url: None,
                idempotency_key: format!("statements-{number}"),
            };
            let (placed, counted) = db::statements::counted(place_order(&bench.app, &scope, order)).await;
            placed.unwrap();
            statements = counted;
        }

        for payers in [&one[..], &many] {
            for quote in quotes(&bench.app, payers, 256).await {
                place(&bench, quote, next()).await;
            }
        }
        bench.look_at_tables().await;
        let other = bench.another().await;
        let at_once = db::locks_rows(bench.app.db.backend());
        for (payers, spread, together) in [
            (&many[..], "spread, by statements", "spread, by one"),
            (&one[..], "one wallet, by statements", "one wallet, by one"),
        ] {
            for callers in [1, 16, 64] {
                let (mut ours, mut read, mut floor, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                let made = async || quotes(&bench.app, payers, orders).await;
                for _ in 0..rounds {
                    ours.push(rate(made().await, callers, |quote| place(&bench, quote, next())).await);
                    floor.push(
                        rate(made().await, callers, |quote| {
                            pay_by_hand(&bench, &known, quote, next())
                        })
                        .await,
                    );
                    if at_once {
                        let of_other = quotes(&other, payers, orders).await;
                        read.push(rate(of_other, callers, |quote| place(&bench, quote, next())).await);
                        single.push(
                            rate(made().await, callers, |quote| {
                                pay_at_once(&bench, &known, quote, next())
                            })
                            .await,
                        );
                    }
                }
                report(bench.name, spread, callers, &mut ours, &mut floor, statements);
                if at_once {
                    report(bench.name, together, callers, &mut ours, &mut single, statements);
                    report(
                        bench.name,
                        "  quotes of another",
                        callers,
                        &mut read,
                        &mut single,
                        statements + 1,
                    );
                }
            }
        }
        bench.end().await;
    }
}
