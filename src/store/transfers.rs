//! Credit that was moved between accounts. Each of the two sees it, with the other's code and nothing else of the other.

use std::collections::HashMap;

use entity::{account, credit_transfer};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait as _, JoinType, SelectStatement};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use uuid::Uuid;

use super::insert::insert;
use super::{Scope, page};
use crate::db::writes::Writes;
use crate::error::Error;

const FROM: &str = "from_account";
const TO: &str = "to_account";

/// A transfer with the codes of its accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The transfer.
    pub row: credit_transfer::Model,
    /// The code of the account whose money it was.
    pub from: String,
    /// The code of the account whose it is.
    pub to: String,
}

/// Adds a transfer to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, row: credit_transfer::Model) {
    insert::<credit_transfer::ActiveModel, _>(writes, vec![row]);
}

/// These transfers.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, Transfer>, Error> {
    use credit_transfer::{Column, Entity};
    let mut select = seen(scope);
    select.and_where(Expr::col((Entity, Column::Id)).is_in(ids.iter().copied()));
    let rows = page::rows(db, &select, read).await?;
    Ok(rows.into_iter().map(|transfer| (transfer.row.id, transfer)).collect())
}

/// The transfers whose halves these ledger transactions are, by the half.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_transactions(
    db: &impl ConnectionTrait,
    scope: &Scope,
    transactions: &[Uuid],
) -> Result<HashMap<Uuid, Transfer>, Error> {
    use credit_transfer::{Column, Entity};
    let half = |column: Column| Expr::col((Entity, column)).is_in(transactions.iter().copied());
    let mut select = seen(scope);
    select.cond_where(
        Condition::any()
            .add(half(Column::FromTransactionId))
            .add(half(Column::ToTransactionId)),
    );
    let mut found = HashMap::new();
    for transfer in page::rows(db, &select, read).await? {
        found.insert(transfer.row.from_transaction_id, transfer.clone());
        found.insert(transfer.row.to_transaction_id, transfer);
    }
    Ok(found)
}

/// The transfers of which the caller may see one side.
fn seen(scope: &Scope) -> SelectStatement {
    use credit_transfer::{Column, Entity};
    let mut select = page::whole(Entity);
    for (side, column) in [(FROM, Column::FromAccountId), (TO, Column::ToAccountId)] {
        select
            .join_as(
                JoinType::InnerJoin,
                account::Entity,
                Alias::new(side),
                Expr::col((Alias::new(side), account::Column::Id)).equals((Entity, column)),
            )
            .expr_as(
                Expr::col((Alias::new(side), account::Column::Code)),
                Alias::new(format!("{side}_code")),
            );
    }
    select.cond_where(
        Condition::any()
            .add(scope.accounts((Entity, Column::FromAccountId)))
            .add(scope.accounts((Entity, Column::ToAccountId))),
    );
    select
}

fn read(row: &QueryResult) -> Result<Transfer, DbErr> {
    Ok(Transfer {
        row: page::model(row)?,
        from: row.try_get("", &format!("{FROM}_code"))?,
        to: row.try_get("", &format!("{TO}_code"))?,
    })
}
