//! Column and index helpers that mean the same on SQLite and PostgreSQL.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

/// A key or a reference.
pub(crate) fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().to_owned()
}

/// Bounded text. SQLite does not hold the bound of a type, so a CHECK does on both.
pub(crate) fn text(name: &'static str, most: u32) -> ColumnDef {
    ColumnDef::new(name)
        .string_len(most)
        .not_null()
        .check(Expr::cust(format!("length({name}) <= {most}")))
        .to_owned()
}

/// One of the given words.
pub(crate) fn one_of(name: &'static str, words: &[&str]) -> ColumnDef {
    let words = words
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(", ");
    ColumnDef::new(name)
        .string_len(32)
        .not_null()
        .check(Expr::cust(format!("{name} in ({words})")))
        .to_owned()
}

/// An amount in minor units. Never a DECIMAL: on SQLite that is a binary float in disguise. The range also keeps
/// SQLite from turning an overflowing integer into a float in silence.
pub(crate) fn minor(name: &'static str) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .check(Expr::cust(format!(
            "{name} between -1000000000000000 and 1000000000000000"
        )))
        .to_owned()
}

/// A rate or a share in millionths.
pub(crate) fn micros(name: &'static str) -> ColumnDef {
    big(name)
}

/// A 64-bit number.
pub(crate) fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

/// A 32-bit number.
pub(crate) fn int(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().to_owned()
}

/// An instant in UTC, with microseconds.
pub(crate) fn instant(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().not_null().to_owned()
}

/// A document whose shape the rules define.
pub(crate) fn json(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).json_binary().not_null().to_owned()
}

/// True or false.
pub(crate) fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().to_owned()
}

/// The same column, but it may be empty.
pub(crate) fn optional(mut column: ColumnDef) -> ColumnDef {
    column.null().to_owned()
}

/// A foreign key to the `id` of another table.
pub(crate) fn references(from: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(from, column).to(to, "id").to_owned()
}

fn named(prefix: &str, table: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index
        .name(format!("{prefix}_{table}_{}", columns.join("_")))
        .table(table.to_owned());
    for column in columns {
        index.col(*column);
    }
    index
}

/// An index that serves one query of the store.
pub(crate) fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    named("ix", table, columns)
}

/// An index over the rows that a condition names.
pub(crate) fn partial_index(
    table: &'static str,
    columns: &[&'static str],
    condition: &'static str,
) -> IndexCreateStatement {
    named("ix", table, columns).and_where(Expr::cust(condition)).to_owned()
}

/// A uniqueness that the business promises.
pub(crate) fn unique(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    named("uq", table, columns).unique().to_owned()
}

/// Allows a column these words beside those that it takes, whichever these are by then.
pub(crate) async fn widen_by(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: &'static str,
    more: &[&str],
) -> Result<(), DbErr> {
    let backend = manager.get_database_backend();
    let sql = if backend == DbBackend::Sqlite {
        format!("select sql from sqlite_schema where type = 'table' and name = '{table}'")
    } else {
        format!("select pg_get_constraintdef(oid) from pg_constraint where conname = '{table}_{column}_check'")
    };
    let found = manager
        .get_connection()
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let wrong = || DbErr::Migration(format!("{table}.{column}: there is no CHECK of words"));
    let made: String = found.ok_or_else(wrong)?.try_get_by_index(0)?;
    let within = if backend == DbBackend::Sqlite {
        let from = format!("{column} in (");
        let start = made.find(&from).ok_or_else(wrong)? + from.len();
        let end = made[start..].find(')').ok_or_else(wrong)? + start;
        &made[start..end]
    } else {
        made.as_str()
    };
    // Between apostrophes: no word of ours has one.
    let mut words: Vec<&str> = within.split('\'').skip(1).step_by(2).collect();
    words.extend(
        more.iter()
            .copied()
            .filter(|word| !within.contains(&format!("'{word}'"))),
    );
    widen(manager, table, column, &words).await
}

/// Allows a column more words. Rows are not touched: SQLite, which can't change a CHECK, has it changed in its catalogue,
/// in the way that its documentation gives for changes that don't touch what is stored.
pub(crate) async fn widen(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: &'static str,
    words: &[&str],
) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let words = words
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(", ");
    if manager.get_database_backend() != DbBackend::Sqlite {
        let constraint = format!("{table}_{column}_check");
        db.execute_unprepared(&format!(
            "alter table {table} drop constraint {constraint}, add constraint {constraint} check ({column} in ({words}))"
        ))
        .await?;
        return Ok(());
    }
    let wrong = |what: &str| DbErr::Migration(format!("{table}.{column}: {what}"));
    let one = |sql: String| async move {
        db.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
            .await?
            .ok_or_else(|| DbErr::Migration("the catalogue answered nothing".to_owned()))
    };
    let made: String = one(format!(
        "select sql from sqlite_schema where type = 'table' and name = '{table}'"
    ))
    .await?
    .try_get_by_index(0)?;
    let from = format!("{column} in (");
    let start = made.find(&from).ok_or_else(|| wrong("there is no CHECK of words"))? + from.len();
    let end = made[start..].find(')').ok_or_else(|| wrong("the CHECK has no end"))? + start;
    let widened = format!("{}{words}{}", &made[..start], &made[end..]).replace('\'', "''");
    let version: i64 = one("pragma schema_version".to_owned()).await?.try_get_by_index(0)?;
    db.execute_unprepared(&format!(
        "pragma writable_schema = on;
         update sqlite_schema set sql = '{widened}' where type = 'table' and name = '{table}';
         pragma schema_version = {};
         pragma writable_schema = reset",
        version + 1
    ))
    .await?;
    Ok(())
}
