//! Wallets and their histories, read.

use std::collections::HashMap;

use entity::{wallet, wallet_entry};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::Scope;
use super::histories::{EntryFilter, matching_entries};
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

/// These wallets.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<wallet::Model>, Error> {
    page::by_ids(
        db,
        scope,
        wallet::Entity,
        wallet::Column::Id,
        wallet::Column::AccountId,
        ids,
    )
    .await
}

/// The wallets of each account, credit first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<wallet::Model>>, Error> {
    let rows = wallet::Entity::find()
        .filter(wallet::Column::AccountId.is_in(accounts.iter().copied()))
        .filter(scope.accounts((wallet::Entity, wallet::Column::AccountId)))
        .order_by_asc(wallet::Column::Kind)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.account_id))
}

/// What a filter lets through of the history of each wallet, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn entries(
    db: &impl ConnectionTrait,
    scope: &Scope,
    wallets: &[Uuid],
    filter: &EntryFilter,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<wallet_entry::Model>>, Error> {
    use wallet_entry::{Column, Entity};
    let mut select = page::whole(Entity);
    select
        .cond_where(scope.accounts((Entity, Column::AccountId)))
        .cond_where(matching_entries(filter));
    let keyset = oldest_first().descending();
    page::read(
        db,
        select,
        (Entity, Column::WalletId),
        wallets,
        &keyset,
        page,
        page::model,
    )
    .await
}

/// The order of a wallet's history.
pub(super) fn oldest_first() -> Keyset {
    Keyset::unique((wallet_entry::Entity, wallet_entry::Column::Sequence))
}

/// Where an entry stands in its wallet's history.
#[must_use]
pub fn place_of_entry(entry: &wallet_entry::Model) -> Place {
    Place::unique(Key::Number(entry.sequence))
}

/// These entries.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn entries_by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<wallet_entry::Model>, Error> {
    use wallet_entry::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}
