//! Who of an account is written to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::enums::{MailCategory, RecipientStatus};
use entity::{account, alert_recipient};
use sea_orm::sea_query::{Expr, OnConflict, Query, SubQueryStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel as _, QueryFilter, QueryOrder,
    QuerySelect as _,
};
use uuid::Uuid;

use super::{Scope, page};
use crate::db::{self, Tx};
use crate::error::Error;

/// The recipients of each account, those who have not confirmed included, in the order of their addresses.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<alert_recipient::Model>>, Error> {
    use alert_recipient::{Column, Entity};
    let found = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.is_in(accounts.iter().copied()))
        .filter(Column::Status.ne(RecipientStatus::Removed))
        .order_by_asc(Column::Email)
        .all(db)
        .await?;
    Ok(page::grouped(found, |recipient| recipient.account_id))
}

/// The recipients of these accounts who get e-mail.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn confirmed(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<alert_recipient::Model>>, Error> {
    use alert_recipient::{Column, Entity};
    let found = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.is_in(accounts.iter().copied()))
        .filter(Column::Status.eq(RecipientStatus::Confirmed))
        .all(db)
        .await?;
    Ok(page::grouped(found, |recipient| recipient.account_id))
}

/// The recipients of an account, and those who once were and have one of these addresses; locked.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn present_or_named(
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    emails: &[String],
) -> Result<Vec<alert_recipient::Model>, Error> {
    use alert_recipient::{Column, Entity};
    let mut query = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.eq(account))
        .filter(
            Condition::any()
                .add(Column::Status.ne(RecipientStatus::Removed))
                .add(Column::Email.is_in(emails.iter().cloned())),
        );
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    Ok(query.all(&**tx).await?)
}

/// These recipients.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, alert_recipient::Model>, Error> {
    use alert_recipient::{Column, Entity};
    let found = page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await?;
    Ok(found.into_iter().map(|recipient| (recipient.id, recipient)).collect())
}

/// Writes recipients, new ones and those that are there.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn put(tx: &Tx, _scope: &Scope, recipients: Vec<alert_recipient::Model>) -> Result<(), Error> {
    use alert_recipient::{Column, Entity};
    if recipients.is_empty() {
        return Ok(());
    }
    Entity::insert_many(recipients.into_iter().map(|row| row.into_active_model()))
        .on_conflict(
            OnConflict::column(Column::Id)
                .update_columns([
                    Column::Categories,
                    Column::Status,
                    Column::TokenHash,
                    Column::TokenExpiresAt,
                    Column::FromSequence,
                    Column::CreatedAt,
                    Column::ConfirmedAt,
                    Column::RemovedAt,
                ])
                .to_owned(),
        )
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// Gives a recipient who has not confirmed another link, and answers whether there is such a one. The link before it is
/// good no more.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn set_link(
    tx: &Tx,
    _scope: &Scope,
    recipient: Uuid,
    token_hash: &str,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    use alert_recipient::{Column, Entity};
    let done = Entity::update_many()
        .col_expr(Column::TokenHash, Expr::val(token_hash))
        .col_expr(Column::TokenExpiresAt, Expr::val(until))
        .filter(Column::Id.eq(recipient))
        .filter(Column::Status.eq(RecipientStatus::Pending))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The recipient whose link it is, with the account.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_link(
    db: &impl ConnectionTrait,
    scope: &Scope,
    token_hash: &str,
) -> Result<Option<(alert_recipient::Model, account::Model)>, Error> {
    use alert_recipient::{Column, Entity};
    let found = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::TokenHash.eq(token_hash))
        .one(db)
        .await?;
    let Some(recipient) = found else { return Ok(None) };
    let account = account::Entity::find_by_id(recipient.account_id).one(db).await?;
    Ok(account.map(|account| (recipient, account)))
}

/// Confirms the recipient whose link it is, if it is good, and answers whether it was. They are told what comes from now on.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn confirm(tx: &Tx, scope: &Scope, token_hash: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    use alert_recipient::{Column, Entity};
    let newest = Query::select()
        .column((account::Entity, account::Column::EventSequence))
        .from(account::Entity)
        .and_where(Expr::col((account::Entity, account::Column::Id)).equals((Entity, Column::AccountId)))
        .to_owned();
    let done = Entity::update_many()
        .col_expr(Column::Status, Expr::val(RecipientStatus::Confirmed.as_str()))
        .col_expr(Column::ConfirmedAt, Expr::val(now))
        .col_expr(
            Column::FromSequence,
            Expr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(newest))),
        )
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::TokenHash.eq(token_hash))
        .filter(Column::Status.eq(RecipientStatus::Pending))
        .filter(Column::TokenExpiresAt.gt(now))
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The categories that a recipient has chosen. A word that this version does not know is none.
#[must_use]
pub fn chosen(recipient: &alert_recipient::Model) -> Vec<MailCategory> {
    let words = recipient.categories.as_array().into_iter().flatten();
    words
        .filter_map(|word| word.as_str().and_then(|word| word.parse().ok()))
        .collect()
}
