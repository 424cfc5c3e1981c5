//! Many rows of a table, written in as few statements as both databases take.

use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Iterable as _, QueryTrait as _};

use crate::db::writes::Writes;

/// SQLite takes 32,766 values in a statement and PostgreSQL 65,535; the widest table has some 30 columns.
const ROWS: usize = 1_000;

/// Adds new rows to what is written, a thousand in a statement.
pub(super) fn insert<A, M>(writes: &mut Writes, rows: Vec<M>)
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let columns = <A::Entity as EntityTrait>::Column::iter().count();
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        let chunk: Vec<A> = rows.by_ref().take(ROWS).collect();
        let values = chunk.len() * columns;
        writes.insert(A::Entity::insert_many(chunk).into_query(), values);
    }
}
