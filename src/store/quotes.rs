//! Quotes, read.

use entity::quote;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{Scope, page};
use crate::error::Error;

/// These quotes.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<quote::Model>, Error> {
    use quote::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}
