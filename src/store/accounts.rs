//! Accounts, read.

use entity::account;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect as _};
use uuid::Uuid;

use super::Scope;
use crate::db::{self, Tx};
use crate::error::Error;

/// The accounts among these that the caller may see.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<account::Model>, Error> {
    Ok(account::Entity::find()
        .filter(account::Column::Id.is_in(ids.iter().copied()))
        .filter(scope.accounts((account::Entity, account::Column::Id)))
        .all(db)
        .await?)
}

/// Lets nobody else pass here with this account until the transaction ends, nor write its events.
///
/// # Errors
/// [`Error::NotFound`] when the account is not there, or is not the caller's.
pub async fn lock(tx: &Tx, scope: &Scope, account: Uuid) -> Result<account::Model, Error> {
    let mut query = account::Entity::find_by_id(account).filter(scope.accounts((account::Entity, account::Column::Id)));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock(LockType::NoKeyUpdate);
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("account"))
}
