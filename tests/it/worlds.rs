//! Synthetic worlds: of any size, the same from the same seed, and as consistent as if every account had lived.

use std::collections::BTreeSet;
use std::sync::Arc;

use billing_gateway::app::App;
use billing_gateway::db::proof;
use billing_gateway::engine;
use billing_gateway::run::world::{Made, make};
use entity::{account, expiry_alert, invoice, order, paid_period, resource};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    Statement,
};
use uuid::Uuid;

use crate::support::{open, postgres};

const SIZES: &[u32] = &[1, 2, 3];

async fn resources(app: &App) -> Vec<resource::Model> {
    let all = resource::Entity::find()
        .order_by_asc(resource::Column::Id)
        .all(app.db.read());
    all.await.unwrap()
}

/// Both stores, with nothing in them.
async fn empty() -> Vec<(Arc<App>, Option<tempfile::TempDir>)> {
    let mut stores = vec![sqlite().await];
    if let Some(database) = postgres::new_database() {
        stores.push((open(&database, 100).await, None));
    }
    stores
}

async fn sqlite() -> (Arc<App>, Option<tempfile::TempDir>) {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("world.sqlite3").display());
    (open(&database, 100).await, Some(folder))
}

async fn books_agree(app: &App) {
    let differences = proof::differences(&app.db).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn a_world_has_its_size_and_is_whole() {
    for (app, _folder) in empty().await {
        let app = &*app;
        let made = make(app, SIZES, 27, 7).await.unwrap();
        assert_eq!(
            made,
            Made {
                accounts: 13,
                resources: 27
            }
        );
        let all = resources(app).await;
        assert_eq!(all.len(), 27);
        let db = app.db.read();
        let accounts = account::Entity::find()
            .filter(account::Column::Code.starts_with("WORLD"))
            .all(db)
            .await
            .unwrap();
        assert_eq!(accounts.len(), 13);
        // Each row of a copy points into the copy: each resource's period, invoice and order are its own account's.
        for row in &all {
            let period = paid_period::Entity::find_by_id(row.period_id.unwrap())
                .one(db)
                .await
                .unwrap()
                .unwrap();
            assert_eq!((period.account_id, period.resource_id), (row.account_id, row.id));
            let invoices = invoice::Entity::find()
                .filter(invoice::Column::ResourceId.eq(row.id))
                .all(db)
                .await
                .unwrap();
            assert_eq!(invoices.len(), 1);
            let order = order::Entity::find_by_id(invoices[0].order_id.unwrap())
                .one(db)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (invoices[0].account_id, order.account_id),
                (row.account_id, row.account_id)
            );
        }
        books_agree(app).await;
        // The engine goes on with it as with any other.
        let before = expiry_alert::Entity::find().count(db).await.unwrap();
        engine::advance(app, app.clock.now() + chrono::TimeDelta::days(30))
            .await
            .unwrap();
        assert!(expiry_alert::Entity::find().count(db).await.unwrap() > before);
        books_agree(app).await;
        let refused = make(app, SIZES, 1, 7).await.unwrap_err().to_string();
        assert!(refused.contains("empty store"), "{refused}");
    }
}

#[tokio::test]
async fn the_same_seed_makes_the_same_world_and_another_seed_another_one() {
    let mut worlds = Vec::new();
    for seed in [3, 3, 4] {
        let (app, _folder) = sqlite().await;
        make(&app, SIZES, 8, seed).await.unwrap();
        worlds.push(resources(&app).await);
    }
    assert!(worlds[0] == worlds[1], "{:#?} {:#?}", worlds[0], worlds[1]);
    let keys = |world: &[resource::Model]| world.iter().map(|row| row.id).collect::<BTreeSet<Uuid>>();
    assert!(keys(&worlds[0]).is_disjoint(&keys(&worlds[2])));
}

#[tokio::test]
async fn no_table_is_forgotten_when_an_account_is_copied() {
    let (app, _folder) = sqlite().await;
    make(&app, SIZES, 12, 7).await.unwrap();
    let db = app.db.read();
    let mut tables = BTreeSet::new();
    let owned = "select m.name as name from sqlite_master m join pragma_table_info(m.name) c on c.name = 'account_id' where m.type = 'table'";
    for row in db
        .query_all_raw(Statement::from_string(db.get_database_backend(), owned))
        .await
        .unwrap()
    {
        tables.insert(row.try_get::<String>("", "name").unwrap());
    }
    assert!(tables.len() > 15, "{tables:?}");
    // Keys of calls that nobody made, and work that nobody does, are not part of a copy.
    for table in tables
        .iter()
        .filter(|table| !["idempotency_key", "engine_lease"].contains(&table.as_str()))
    {
        let count = |code: &str| {
            format!("(select count(*) from {table} t join account a on a.id = t.account_id where a.code = '{code}')")
        };
        let both = format!(
            "select {} as original, {} as copied",
            count("WORLD-02"),
            count("WORLD-02-1")
        );
        let both = db
            .query_one_raw(Statement::from_string(db.get_database_backend(), both))
            .await
            .unwrap()
            .unwrap();
        let of = |column: &str| both.try_get::<i64>("", column).unwrap();
        assert_eq!(of("original"), of("copied"), "{table}");
    }
}
