//! Many rows of a table, written in as few statements as both databases take.

use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};

use crate::db::Tx;
use crate::error::Error;

/// SQLite takes 32,766 values in a statement and PostgreSQL 65,535; the widest table has some 30 columns.
const ROWS: usize = 1_000;

/// Writes new rows, a thousand in a statement.
///
/// # Errors
/// [`Error::Internal`] when a row is there already.
pub(super) async fn insert<A, M>(tx: &Tx, rows: Vec<M>) -> Result<(), Error>
where
    A: ActiveModelTrait + Send,
    M: IntoActiveModel<A>,
{
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        let chunk: Vec<A> = rows.by_ref().take(ROWS).collect();
        A::Entity::insert_many(chunk).exec_without_returning(&**tx).await?;
    }
    Ok(())
}
