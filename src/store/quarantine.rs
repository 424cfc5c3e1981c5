//! Money that came in and does not fit what it was for.

use entity::enums::QuarantineStatus;
use entity::quarantine::{self, Column, Entity};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::error::Error;

/// What stands so, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn list(
    db: &impl ConnectionTrait,
    scope: &Scope,
    status: QuarantineStatus,
    page: &Page,
) -> Result<Slice<quarantine::Model>, Error> {
    let mut select = page::whole(Entity);
    select
        .and_where(Expr::col((Entity, Column::Status)).eq(status.as_str()))
        .cond_where(scope.accounts((Entity, Column::AccountId)));
    let keyset = Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id));
    let select = page::paged(select, &keyset, page);
    Ok(Slice::cut(page::rows(db, &select, page::model).await?, page))
}

/// Where one stands in the list.
#[must_use]
pub fn place(row: &quarantine::Model) -> Place {
    Place {
        key: Key::Instant(row.created_at),
        id: row.id,
    }
}

/// These.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<quarantine::Model>, Error> {
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// Whether money of this number of a bank's statement is or was here.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_statement(db: &impl ConnectionTrait, _scope: &Scope, reference: &str) -> Result<bool, Error> {
    let found = Entity::find()
        .filter(Column::StatementRef.eq(reference))
        .one(db)
        .await?;
    Ok(found.is_some())
}

/// Keeps money of a bank's statement, and answers whether it was not here yet: of two that take the same statement at once, one
/// keeps it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn keep(tx: &Tx, _scope: &Scope, row: quarantine::Model) -> Result<bool, Error> {
    let written = Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(written == 1)
}

/// One, locked until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn lock(tx: &Tx, _scope: &Scope, id: Uuid) -> Result<quarantine::Model, Error> {
    let mut query = Entity::find_by_id(id);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("quarantine"))
}

/// Writes one as it now is. One that was decided meanwhile undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, row: quarantine::Model) {
    let (id, version) = (row.id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(Column::Id.eq(id))
            .filter(Column::Status.eq(QuarantineStatus::Open))
            .filter(Column::Version.eq(version))
            .into_query(),
    );
}
