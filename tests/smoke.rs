#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
use billing_gateway::{
    app::{App, Settings},
    commands::{coupon, credit, order, provisioning, quote, seed},
    db,
    domain::term::Term,
    engine,
    store::Scope,
};
use chrono::*;
use entity::enums::*;
#[path = "it/support/postgres.rs"]
mod postgres;
async fn flow(url: String) {
    let app = App::open(
        &db::Options { url, connections: 10 },
        Settings {
            development: true,
            return_origins: vec![],
            most_releases: 100,
        },
    )
    .await
    .unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    app.set_clock(
        DateTime::parse_from_rfc3339("2023-03-06T00:00:00+07:00")
            .unwrap()
            .to_utc(),
    )
    .await
    .unwrap();
    let account = seeded.accounts[0].1;
    let op = Scope::Operator { principal: "op".into() };
    let me = Scope::Account {
        account,
        principal: "me".into(),
    };
    for (f, k) in [
        (FundsKind::Cash, "a"),
        (FundsKind::Promotional, "b"),
        (FundsKind::Promotional, "b"),
    ] {
        let g = credit::grant(
            &app,
            &op,
            credit::Grant {
                account,
                funds: f,
                amount: "500000".into(),
                reason: "hi".into(),
                idempotency_key: k.into(),
            },
        )
        .await
        .unwrap();
        println!("{g:?}");
    }
    coupon::create(
        &app,
        &op,
        coupon::CreateCoupon {
            code: "launch10".into(),
            value: coupon::Value::Percent("10".into()),
            currency: "VND".into(),
            valid_from: None,
            valid_until: None,
            products: vec!["vserver".into()],
            minimum_order: None,
            maximum_discount: None,
            total_limit: Some(2),
            per_account_limit: Some(2),
        },
    )
    .await
    .unwrap();
    let req = |p: &str, t: &str, c: &str, coupon: Option<&str>| quote::PriceRequest {
        account,
        creates: vec![quote::Create {
            product: p.into(),
            resource_type: t.into(),
            components: vec![(c.into(), 1)],
            quantity: 1,
            term: Term::Months(1),
            name: None,
        }],
        coupon_code: coupon.map(str::to_owned),
    };
    let q = quote::create(&app, &me, req("vserver", "server", "s-general-1x1", Some("LAUNCH10")))
        .await
        .unwrap();
    println!("{}", q.charged_minor);
    let (n, placed) = db::statements::counted(async {
        let mut v = None;
        let r = billing_gateway::db::statements::counted(order::place_order(
            &app,
            &me,
            order::PlaceOrder {
                account,
                quote: q.id,
                payment: Some(order::PayBy::Credit),
                return_url: None,
                idempotency_key: "k1".into(),
            },
        ))
        .await;
        v.replace(r.0.unwrap());
        (r.1, v.unwrap())
    })
    .await
    .0;
    println!("statements {n} {placed:?}");
    let item = {
        use sea_orm::EntityTrait;
        entity::order_item::Entity::find()
            .all(app.db.read())
            .await
            .unwrap()
            .remove(0)
    };
    provisioning::report(
        &app,
        &Scope::Product {
            product: "vserver".into(),
            principal: "p".into(),
        },
        provisioning::Report {
            task: item.id,
            outcome: provisioning::Outcome::Succeeded {
                external_id: Some("x".into()),
            },
        },
    )
    .await
    .unwrap();
    // instant
    let q = quote::create(&app, &me, req("vstorage", "project", "storage-100gb", None))
        .await
        .unwrap();
    order::place_order(
        &app,
        &me,
        order::PlaceOrder {
            account,
            quote: q.id,
            payment: Some(order::PayBy::Credit),
            return_url: None,
            idempotency_key: "k2".into(),
        },
    )
    .await
    .unwrap();
    // fail
    let q = quote::create(&app, &me, req("vserver", "volume", "disk-20gb", None))
        .await
        .unwrap();
    let o = order::place_order(
        &app,
        &me,
        order::PlaceOrder {
            account,
            quote: q.id,
            payment: Some(order::PayBy::Credit),
            return_url: None,
            idempotency_key: "k3".into(),
        },
    )
    .await
    .unwrap();
    let item = {
        use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
        entity::order_item::Entity::find()
            .filter(entity::order_item::Column::OrderId.eq(o.order))
            .all(app.db.read())
            .await
            .unwrap()
            .remove(0)
    };
    provisioning::report(
        &app,
        &Scope::Product {
            product: "vserver".into(),
            principal: "p".into(),
        },
        provisioning::Report {
            task: item.id,
            outcome: provisioning::Outcome::Failed {
                reason: "no room".into(),
            },
        },
    )
    .await
    .unwrap();
    println!("{:?}", db::proof::differences(&app.db).await.unwrap());
    for day in ["2023-03-31T00:00:00Z", "2023-04-07T00:00:00Z", "2023-06-30T00:00:00Z"] {
        let p = engine::advance(&app, DateTime::parse_from_rfc3339(day).unwrap().to_utc())
            .await
            .unwrap();
        println!("{p:?}");
        use sea_orm::EntityTrait;
        for r in entity::resource::Entity::find().all(app.db.read()).await.unwrap() {
            println!("{} {} {:?} {:?}", r.name, r.life, r.next_step, r.next_due_at);
        }
    }
    assert!(db::proof::differences(&app.db).await.unwrap().is_empty());
}
#[tokio::test]
async fn sqlite() {
    let d = tempfile::tempdir().unwrap();
    flow(format!("sqlite://{}/x.sqlite3", d.path().display())).await
}
#[tokio::test]
async fn postgres_() {
    flow(postgres::new_database().unwrap()).await
}
