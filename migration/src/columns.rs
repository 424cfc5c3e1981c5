//! Column and index helpers that mean the same on SQLite and PostgreSQL.

use sea_orm_migration::prelude::*;

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
