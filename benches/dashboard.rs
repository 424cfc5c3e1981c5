//! Reads over HTTP, each against a hand-written axum handler with the best SQL we know, in the same run: the dashboard
//! (wallets, the 20 soonest expiring resources, the 3 newest invoices of each, their lines), a list of 50, and a query
//! that asks the store for nothing. Tokens, limits and metrics are ours alone. `cargo bench --bench dashboard`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use billing_gateway::app::App;
use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Action, Create, PriceRequest, create};
use billing_gateway::domain::term::Term;
use billing_gateway::ids;
use billing_gateway::store::Scope;
use entity::enums::FundsKind;
use entity::{invoice, invoice_line};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, QueryResult, Statement};
use serde_json::{Value, json};
use support::wire::Wires;
use support::{Bench, rate, report, stores};
use uuid::Uuid;

const ROUNDS: usize = 5;
const CALLS: usize = 300;
const RESOURCES: usize = 60;
const QUERY: &str = "{ wallets { kind cash { amount } promotional { amount } available { amount } }
    resources(first: 20, orderBy: { field: EXPIRES_AT, direction: ASC }) { nodes { id name status expiresAt
        invoices(first: 3) { nodes { id code status total { amount } tax { amount } issuedAt
            lines { component { code name } quantity minutes total { amount } } } } } } }";

const LIST: &str = "{ resources(first: 50, orderBy: { field: EXPIRES_AT, direction: ASC }) { nodes {
    id name status health expiresAt createdAt } pageInfo { hasNextPage } } }";
const TRIVIAL: &str = "{ viewer { principal role } }";

const RESOURCES_ALONE: &str = "select id, name, life, power, paid_until, created_at from resource where account_id = $1
    order by paid_until, id limit 51";
const WALLETS: &str =
    "select kind, cash_minor, promotional_minor, held_minor from wallet where account_id = $1 order by kind";
const RESOURCES_WITH_ALL: &str = "
    with r as (select id, name, life, power, paid_until from resource where account_id = $1 order by paid_until, id limit 20)
    select r.id, r.name, r.life, r.power, r.paid_until, i.id as invoice_id, i.code, i.status, i.total_minor, i.tax_minor, i.issued_at,
           l.component_code, l.component_name, l.quantity, l.minutes, l.total_minor as line_minor
    from r
    left join (select v.*, row_number() over (partition by v.resource_id order by v.issued_at desc, v.id desc) as place
               from invoice v where v.resource_id in (select id from r)) i on i.resource_id = r.id and i.place <= 3
    left join invoice_line l on l.invoice_id = i.id
    order by r.paid_until, r.id, i.place, l.position";

async fn by_hand(State((app, account)): State<(Arc<App>, Uuid)>, Json(_): Json<Value>) -> Json<Value> {
    let (db, backend) = (app.db.read(), app.db.backend());
    let rows = async |sql: &str| {
        db.query_all_raw(Statement::from_sql_and_values(backend, sql, [account.into()]))
            .await
            .unwrap()
    };
    let text = |row: &QueryResult, column: &str| row.try_get::<String>("", column).unwrap();
    let amount =
        |row: &QueryResult, column: &str| json!({ "amount": row.try_get::<i64>("", column).unwrap().to_string() });
    let wallets: Vec<Value> = rows(WALLETS)
        .await
        .iter()
        .map(|row| {
            json!({ "kind": text(row, "kind"), "cash": amount(row, "cash_minor"), "promotional": amount(row, "promotional_minor"),
                    "available": amount(row, "cash_minor") })
        })
        .collect();
    let mut resources: Vec<Value> = Vec::with_capacity(20);
    let (mut resource, mut invoice) = (Uuid::nil(), Uuid::nil());
    for row in &rows(RESOURCES_WITH_ALL).await {
        let id: Uuid = row.try_get("", "id").unwrap();
        if id != resource {
            resource = id;
            let expires: Option<chrono::DateTime<chrono::Utc>> = row.try_get("", "paid_until").unwrap();
            resources.push(
                json!({ "id": id.to_string(), "name": text(row, "name"), "status": text(row, "life"),
                                   "expiresAt": expires.map(|at| at.to_rfc3339()), "invoices": { "nodes": [] } }),
            );
        }
        let Some(shown) = resources.last_mut() else { continue };
        let Some(id) = row.try_get::<Option<Uuid>>("", "invoice_id").unwrap() else {
            continue;
        };
        let invoices = shown["invoices"]["nodes"].as_array_mut().unwrap();
        if id != invoice {
            invoice = id;
            let issued: chrono::DateTime<chrono::Utc> = row.try_get("", "issued_at").unwrap();
            invoices.push(
                json!({ "id": id.to_string(), "code": text(row, "code"), "status": text(row, "status"),
                                  "total": amount(row, "total_minor"), "tax": amount(row, "tax_minor"),
                                  "issuedAt": issued.to_rfc3339(), "lines": [] }),
            );
        }
        let lines = invoices.last_mut().unwrap()["lines"].as_array_mut().unwrap();
        lines.push(
            json!({ "component": { "code": text(row, "component_code"), "name": text(row, "component_name") },
                           "quantity": row.try_get::<i64>("", "quantity").unwrap(),
                           "minutes": row.try_get::<i64>("", "minutes").unwrap(), "total": amount(row, "line_minor") }),
        );
    }
    Json(json!({ "data": { "wallets": wallets, "resources": { "nodes": resources } } }))
}

async fn list_by_hand(State((app, account)): State<(Arc<App>, Uuid)>, Json(_): Json<Value>) -> Json<Value> {
    let statement = Statement::from_sql_and_values(app.db.backend(), RESOURCES_ALONE, [account.into()]);
    let rows = app.db.read().query_all_raw(statement).await.unwrap();
    let text = |row: &QueryResult, column: &str| row.try_get::<String>("", column).unwrap();
    let instant = |row: &QueryResult, column: &str| {
        let at: Option<chrono::DateTime<chrono::Utc>> = row.try_get("", column).unwrap();
        at.map(|at| at.to_rfc3339())
    };
    let nodes: Vec<Value> = rows
        .iter()
        .take(50)
        .map(|row| {
            json!({ "id": row.try_get::<Uuid>("", "id").unwrap().to_string(), "name": text(row, "name"),
                    "status": text(row, "life"), "health": text(row, "power"), "expiresAt": instant(row, "paid_until"),
                    "createdAt": instant(row, "created_at") })
        })
        .collect();
    Json(json!({ "data": { "resources": { "nodes": nodes, "pageInfo": { "hasNextPage": rows.len() > 50 } } } }))
}

async fn trivial_by_hand(Json(_): Json<Value>) -> Json<Value> {
    Json(json!({ "data": { "viewer": { "principal": "bench", "role": "OWNER" } } }))
}

/// Two more invoices of each resource, as renewals would have left them, each with two lines.
async fn age(bench: &Bench) {
    let bought = invoice::Entity::find().all(bench.app.db.read()).await.unwrap();
    let lines = invoice_line::Entity::find().all(bench.app.db.read()).await.unwrap();
    let (mut invoices, mut more_lines) = (Vec::new(), Vec::new());
    for line in &lines {
        more_lines.push(invoice_line::Model {
            position: 1,
            ..line.clone()
        });
    }
    for (of, line) in bought.iter().flat_map(|of| {
        lines
            .iter()
            .find(|line| line.invoice_id == of.id)
            .map(|line| (of, line))
    }) {
        for number in 1..=2 {
            let id = ids::new_id();
            let issued_at = of.issued_at + chrono::TimeDelta::days(30 * number);
            invoices.push(invoice::Model {
                id,
                code: format!("{}-{number}", of.code),
                period_id: None,
                issued_at,
                ..of.clone()
            });
            more_lines.extend([0, 1].map(|position| invoice_line::Model {
                invoice_id: id,
                position,
                ..line.clone()
            }));
        }
    }
    let insert = bench.app.db.write("age", async |tx| {
        let rows = invoices.iter().cloned().map(IntoActiveModel::into_active_model);
        invoice::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
        let rows = more_lines.iter().cloned().map(IntoActiveModel::into_active_model);
        invoice_line::Entity::insert_many(rows)
            .exec_without_returning(&**tx)
            .await?;
        Ok(())
    });
    insert.await.unwrap();
}

/// Sixty storage projects, provisioned at once; each with the invoice of its purchase.
async fn fill(bench: &Bench) {
    let operator = Scope::Operator {
        principal: "bench".to_owned(),
    };
    let scope = Scope::Account {
        account: bench.account,
        principal: "bench".to_owned(),
    };
    let grant = Grant {
        account: bench.account,
        funds: FundsKind::Cash,
        amount: "900000000000".to_owned(),
        reason: "benchmark".to_owned(),
        idempotency_key: "grant".to_owned(),
    };
    credit::grant(&bench.app, &operator, grant).await.unwrap();
    for number in 0..RESOURCES / 20 {
        let wanted = Create {
            product: "vstorage".to_owned(),
            resource_type: "project".to_owned(),
            components: vec![("storage-100gb".to_owned(), 1)],
            quantity: 20,
            term: Term::Months(1),
            name: None,
            auto_renew: false,
        };
        let request = PriceRequest {
            account: bench.account,
            actions: vec![Action::Create(wanted)],
            coupon_code: None,
        };
        let quote = create(&bench.app, &scope, request).await.unwrap().id;
        let order = PlaceOrder {
            account: bench.account,
            quote,
            payment: Some(PayBy::Credit),
            return_url: None,
            idempotency_key: number.to_string(),
        };
        place_order(&bench.app, &scope, order).await.unwrap();
    }
    age(bench).await;
}

/// Floor and client run where a server's tasks run: a future that the main thread itself polls is woken more cheaply
/// than any task of the runtime is.
#[tokio::main]
async fn main() {
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    // Counted as in a served process.
    let _counting = billing_gateway::run::serve::metrics().unwrap();
    for bench in stores().await {
        fill(&bench).await;
        bench.look_at_tables().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let floor = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/dashboard", post(by_hand))
            .route("/list", post(list_by_hand))
            .route("/trivial", post(trivial_by_hand))
            .with_state((Arc::clone(&bench.app), bench.account));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let dashboard = |data: &Value| {
            let resources = data["resources"]["nodes"].as_array().unwrap();
            let invoices = resources
                .iter()
                .flat_map(|resource| resource["invoices"]["nodes"].as_array().unwrap());
            let lines: usize = invoices.map(|invoice| invoice["lines"].as_array().unwrap().len()).sum();
            (resources.len(), lines) == (20, 120)
        };
        let list = |data: &Value| {
            let nodes = data["resources"]["nodes"].as_array().unwrap();
            nodes.len() == 50 && data["resources"]["pageInfo"]["hasNextPage"] == true
        };
        let trivial = |data: &Value| data["viewer"] == json!({ "principal": "bench", "role": "OWNER" });
        compare(&bench, "dashboard", QUERY, &format!("{floor}/dashboard"), 1, dashboard).await;
        compare(&bench, "list of 50", LIST, &format!("{floor}/list"), 3, list).await;
        compare(
            &bench,
            "no statement",
            TRIVIAL,
            &format!("{floor}/trivial"),
            20,
            trivial,
        )
        .await;
        server.abort();
        bench.end().await;
    }
}

/// One query, ours against the floor; both must show what is expected. The cheaper it is, the more `times` it is called.
async fn compare(
    bench: &Bench,
    name: &str,
    query: &str,
    floor_url: &str,
    times: usize,
    shown: impl Fn(&Value) -> bool,
) {
    let (rounds, calls) = support::scale(ROUNDS, CALLS * times);
    let wires = Wires::default();
    let (wires, shown) = (&wires, &shown);
    let floor_call = async |_: usize| {
        let body = json!({ "query": query });
        let data = support::data_of(&wires.post(floor_url, "", &body).await);
        assert!(shown(&data), "{data}");
    };
    let our_call = async |_: usize| {
        let data = bench.data(query).await;
        assert!(shown(&data), "{data}");
    };
    let statements = bench.statements(query).await;
    for callers in [2, 16, 64] {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(rate((0..calls).collect(), callers, our_call).await);
            floor.push(rate((0..calls).collect(), callers, floor_call).await);
        }
        report(bench.name, name, callers, &mut ours, &mut floor, statements);
    }
}
