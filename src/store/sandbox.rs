//! What the sandbox gateway remembers. Nobody's rows: a world of its own, which only development has.

use chrono::{DateTime, Utc};
use entity::sandbox_record::{Column, Entity, Model};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::Scope;
use crate::db::Tx;
use crate::error::Error;

/// What is kept under an id.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn read(db: &impl ConnectionTrait, _scope: &Scope, id: &str) -> Result<Option<Model>, Error> {
    Ok(Entity::find_by_id(id.to_owned()).one(db).await?)
}

/// Keeps a record that is new (`version` 1) or replaces the version before it, and answers whether it did.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn keep(tx: &Tx, _scope: &Scope, row: Model) -> Result<bool, Error> {
    if row.version == 1 {
        let written = Entity::insert(row.into_active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(&**tx)
            .await?;
        return Ok(written == 1);
    }
    let done = Entity::update_many()
        .col_expr(Column::Document, Expr::val(row.document))
        .col_expr(Column::DeliverAt, Expr::val(row.deliver_at))
        .col_expr(Column::Version, Expr::val(row.version))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Version.eq(row.version - 1))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The records of which something is to be told, the oldest first, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn due(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<String>, Error> {
    Ok(Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::DeliverAt.is_not_null())
        .filter(Column::DeliverAt.lte(now))
        .order_by_asc(Column::DeliverAt)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?)
}

/// When something is to be told next.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_due(db: &impl ConnectionTrait, _scope: &Scope) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(Entity::find()
        .select_only()
        .column(Column::DeliverAt)
        .filter(Column::DeliverAt.is_not_null())
        .order_by_asc(Column::DeliverAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?)
}
