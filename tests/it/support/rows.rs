//! What stands in the store, counted: a call that was refused has changed none of it.

use std::collections::BTreeMap;

use billing_gateway::db::locks_rows;
use sea_orm::{FromQueryResult, Statement};

use super::World;

#[derive(FromQueryResult)]
struct Table {
    name: String,
}

#[derive(FromQueryResult)]
struct Count {
    name: String,
    rows: i64,
}

/// How many rows each table has. The database itself is asked for its tables, so that none is forgotten.
pub(crate) async fn rows(world: &World) -> BTreeMap<String, i64> {
    let db = world.app.db.read();
    let backend = world.app.db.backend();
    let tables = if locks_rows(backend) {
        "select cast(table_name as text) as name from information_schema.tables where table_schema = 'public'"
    } else {
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    };
    let tables = Table::find_by_statement(Statement::from_string(backend, tables));
    let tables = tables.all(db).await.unwrap();
    assert!(tables.len() > 20, "the store has more tables than {}", tables.len());
    let count: Vec<String> = tables
        .iter()
        .map(|Table { name }| format!("select cast('{name}' as text) as name, count(*) as rows from \"{name}\""))
        .collect();
    let counted = Count::find_by_statement(Statement::from_string(backend, count.join(" union all ")));
    let counted = counted.all(db).await.unwrap();
    counted.into_iter().map(|count| (count.name, count.rows)).collect()
}
