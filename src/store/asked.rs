//! What of a table gateways are to be asked or told about, and when next: payments, refunds and linked accounts are kept alike.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select};
use uuid::Uuid;

use super::Scope;
use crate::error::Error;

/// The columns by which a table is looked through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<C> {
    /// The key of a row.
    pub(super) key: C,
    /// The gateway's code.
    pub(super) gateway: C,
    /// When it is asked next.
    pub(super) next: C,
}

/// The keys of those that are due at gateways that are among these, at most `most`, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(super) async fn due<E: EntityTrait>(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    columns: Columns<E::Column>,
    gateways: &[&str],
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<Uuid>, Error> {
    let due = waiting::<E>(columns, gateways)
        .select_only()
        .column(columns.key)
        .filter(columns.next.lte(now))
        .limit(most);
    Ok(due.into_tuple().all(db).await?)
}

/// When the next one is due at gateways that are among these.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(super) async fn next<E: EntityTrait>(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    columns: Columns<E::Column>,
    gateways: &[&str],
) -> Result<Option<DateTime<Utc>>, Error> {
    let next = waiting::<E>(columns, gateways)
        .select_only()
        .column(columns.next)
        .limit(1);
    Ok(next.into_tuple().one(db).await?)
}

fn waiting<E: EntityTrait>(columns: Columns<E::Column>, gateways: &[&str]) -> Select<E> {
    E::find()
        .filter(columns.gateway.is_in(gateways.iter().copied()))
        .filter(columns.next.is_not_null())
        .order_by_asc(columns.next)
}
