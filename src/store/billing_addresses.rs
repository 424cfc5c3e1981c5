//! To whom invoices are written; and invoices, written with the default address as it then is.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{billing_address, invoice};
use sea_orm::sea_query::{Expr, Query, SubQueryStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait as _, IntoActiveModel as _,
    Iterable as _, ModelTrait as _, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::{Scope, page};
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;

/// How many invoices are written in a statement.
const INVOICES_IN_A_STATEMENT: usize = 500;

/// The billing addresses of each account, the default one first, then in the order in which they were made.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<billing_address::Model>>, Error> {
    use billing_address::{Column, Entity};
    let rows = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.is_in(accounts.iter().copied()))
        .filter(Column::DeletedAt.is_null())
        .order_by_desc(Column::IsDefault)
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.account_id))
}

/// These addresses, but those that were given up.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<billing_address::Model>, Error> {
    use billing_address::{Column, Entity};
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::DeletedAt.is_null())
        .all(db)
        .await?)
}

/// Writes a new address.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn insert(tx: &Tx, _scope: &Scope, row: billing_address::Model) -> Result<(), Error> {
    billing_address::Entity::insert(row.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// Writes an address as it now is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn update(tx: &Tx, _scope: &Scope, row: billing_address::Model) -> Result<(), Error> {
    billing_address::Entity::update(row.into_active_model().reset_all())
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Lets no address of an account be the default one. The caller holds the account locked, and writes another one.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn no_default(tx: &Tx, _scope: &Scope, account: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
    use billing_address::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::IsDefault, Expr::val(false))
        .col_expr(Column::ChangedAt, Expr::val(now))
        .filter(Column::AccountId.eq(account))
        .filter(Column::IsDefault.eq(true))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Adds invoices to what is written. One without an address gets its account's default one, read by the statement that
/// writes it: it is the one of that moment, and costs no statement of its own.
///
/// # Errors
/// [`Error::Internal`] when a row does not fit the table.
pub(super) fn insert_invoices(writes: &mut Writes, _scope: &Scope, rows: &[invoice::Model]) -> Result<(), Error> {
    use billing_address::Column as Address;
    use invoice::{Column, Entity};
    let columns: Vec<Column> = Column::iter().collect();
    let default_of = |account: Uuid| {
        let address = Query::select()
            .column(Address::Document)
            .from(billing_address::Entity)
            .and_where(Expr::col(Address::AccountId).eq(account))
            .and_where(Expr::col(Address::IsDefault).eq(true))
            .to_owned();
        Expr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(address)))
    };
    for chunk in rows.chunks(INVOICES_IN_A_STATEMENT) {
        let mut insert = Query::insert();
        insert.into_table(Entity).columns(columns.iter().copied());
        for row in chunk {
            let values = columns.iter().map(|column| match column {
                Column::BillingAddress if row.billing_address.is_none() => default_of(row.account_id),
                column => Expr::val(row.get(*column)),
            });
            insert.values(values).map_err(Error::internal)?;
        }
        writes.insert(insert, chunk.len() * (columns.len() + 1));
    }
    Ok(())
}
