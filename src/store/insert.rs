//! Rows of a table as values: written in as few statements as both databases take, or looked for as they were read.

use sea_orm::{
    ActiveModelTrait, ActiveValue, EntityName as _, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _, Value,
};

use crate::db::writes::{RowValues, Writes};

/// SQLite takes 32,766 values in a statement and PostgreSQL 65,535; the widest table has some 30 columns.
const ROWS: usize = 1_000;

type Column<A> = <<A as ActiveModelTrait>::Entity as EntityTrait>::Column;

/// Adds new rows to what is written, a thousand in a statement. Each has a value for every column.
pub(super) fn insert<A, M>(writes: &mut Writes, rows: Vec<M>)
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let columns: Vec<_> = Column::<A>::iter().collect();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut values = Vec::with_capacity(columns.len() * rows.len().min(ROWS));
        for row in rows.by_ref().take(ROWS) {
            add(&mut values, row, &columns);
        }
        writes.rows(of_table::<A>(&columns, values));
    }
}

/// Adds that a row must still stand as it was read, but for some of its columns; else nothing of the whole is kept.
pub(super) fn still<A, M>(writes: &mut Writes, row: M, but_for: fn(&Column<A>) -> bool)
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let columns: Vec<_> = Column::<A>::iter().filter(|column| !but_for(column)).collect();
    let mut values = Vec::with_capacity(columns.len());
    add(&mut values, row, &columns);
    writes.still(of_table::<A>(&columns, values));
}

fn add<A, M>(values: &mut Vec<Value>, row: M, columns: &[Column<A>])
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let mut row = row.into_active_model();
    values.extend(columns.iter().map(|column| match row.take(*column) {
        ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value,
        // None comes here. One that did would be written with nothing there, or refused for its type.
        ActiveValue::NotSet => Value::String(None),
    }));
}

fn of_table<A: ActiveModelTrait>(columns: &[Column<A>], values: Vec<Value>) -> RowValues {
    RowValues {
        table: A::Entity::default().table_name(),
        columns: columns.iter().map(|column| column.as_str()).collect(),
        values,
    }
}
