//! Many rows of a table, written in as few statements as both databases take.

use sea_orm::{
    ActiveModelTrait, ActiveValue, EntityName as _, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _, Value,
};

use crate::db::writes::{NewRows, Writes};

/// SQLite takes 32,766 values in a statement and PostgreSQL 65,535; the widest table has some 30 columns.
const ROWS: usize = 1_000;

/// Adds new rows to what is written, a thousand in a statement. Each has a value for every column.
pub(super) fn insert<A, M>(writes: &mut Writes, rows: Vec<M>)
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().collect();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut values = Vec::with_capacity(columns.len() * rows.len().min(ROWS));
        for row in rows.by_ref().take(ROWS) {
            let mut row = row.into_active_model();
            values.extend(columns.iter().map(|column| match row.take(*column) {
                ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value,
                // None comes here. One that did would be written with nothing there, or refused for its type.
                ActiveValue::NotSet => Value::String(None),
            }));
        }
        writes.rows(NewRows {
            table: A::Entity::default().table_name(),
            columns: columns.iter().map(|column| column.as_str()).collect(),
            values,
        });
    }
}
