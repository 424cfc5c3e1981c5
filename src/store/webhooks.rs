//! Where customers and products' services are told by signed HTTP requests.

use entity::enums::WebhookStatus;
use entity::{account, product, webhook_endpoint};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoColumnRef, LockType};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::error::Error;

/// Whose endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A customer's.
    Account(Uuid),
    /// Those of a product's service.
    Product(Uuid),
}

impl Owner {
    fn is(self) -> Condition {
        use webhook_endpoint::{Column, Entity};
        let column = |column| Expr::col((Entity, column));
        Condition::all().add(match self {
            Self::Account(account) => column(Column::AccountId).eq(account),
            Self::Product(product) => column(Column::ProductId).eq(product),
        })
    }
}

/// Which rows a caller may see: a customer its own, a product's service its product's, an operator all.
fn seen(scope: &Scope) -> Condition {
    use webhook_endpoint::{Column, Entity};
    seen_through(
        scope,
        (Entity, Column::AccountId),
        (Entity, Column::AccountId),
        (Entity, Column::ProductId),
    )
}

/// The same for rows that name an account, a product where it is told, and something else (`customers`) where a customer
/// is.
pub(super) fn seen_through(
    scope: &Scope,
    account: impl IntoColumnRef,
    customers: impl IntoColumnRef,
    product: impl IntoColumnRef,
) -> Condition {
    match scope {
        Scope::Operator { .. } => Condition::all(),
        Scope::Account { .. } | Scope::Partner { .. } => Condition::all()
            .add(Expr::col(customers).is_not_null())
            .add(scope.accounts(account)),
        Scope::Product { product: code, .. } => {
            let own = product::Entity::find()
                .select_only()
                .column(product::Column::Id)
                .filter(product::Column::Code.eq(code.as_str()))
                .into_query();
            Condition::all().add(Expr::col(product).in_subquery(own))
        }
    }
}

/// The endpoints of an owner that were not given up, in the order they were made.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_owner(
    db: &impl ConnectionTrait,
    scope: &Scope,
    owner: Owner,
) -> Result<Vec<webhook_endpoint::Model>, Error> {
    Ok(webhook_endpoint::Entity::find()
        .filter(seen(scope))
        .filter(owner.is())
        .filter(webhook_endpoint::Column::Status.ne(WebhookStatus::Deleted))
        .order_by_asc(webhook_endpoint::Column::Id)
        .all(db)
        .await?)
}

/// Locks an owner until the transaction ends: nobody else adds an endpoint to it meanwhile.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_owner(tx: &Tx, _scope: &Scope, owner: Owner) -> Result<(), Error> {
    if !db::locks_rows(tx.get_database_backend()) {
        return Ok(());
    }
    match owner {
        Owner::Account(id) => {
            let account = account::Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
            account.one(&**tx).await?.map(drop)
        }
        Owner::Product(id) => {
            let product = product::Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
            product.one(&**tx).await?.map(drop)
        }
    };
    Ok(())
}

/// These endpoints, but those that were given up.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<webhook_endpoint::Model>, Error> {
    Ok(webhook_endpoint::Entity::find()
        .filter(seen(scope))
        .filter(webhook_endpoint::Column::Id.is_in(ids.iter().copied()))
        .filter(webhook_endpoint::Column::Status.ne(WebhookStatus::Deleted))
        .all(db)
        .await?)
}

/// An endpoint that was not given up, locked until the transaction ends; none when the caller may not see it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Option<webhook_endpoint::Model>, Error> {
    let mut query = webhook_endpoint::Entity::find_by_id(id)
        .filter(seen(scope))
        .filter(webhook_endpoint::Column::Status.ne(WebhookStatus::Deleted));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**tx).await?)
}

/// Writes a new endpoint.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn insert(tx: &Tx, _scope: &Scope, row: webhook_endpoint::Model) -> Result<(), Error> {
    webhook_endpoint::Entity::insert(row.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// Writes an endpoint as it now is. One that somebody changed since it was read undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, mut row: webhook_endpoint::Model) {
    use webhook_endpoint::{Column, Entity};
    let (id, version) = (row.id, row.version);
    row.version += 1;
    writes.guarded(
        Entity::update_many()
            .set(row.into_active_model().reset_all())
            .filter(Column::Id.eq(id))
            .filter(Column::Version.eq(version))
            .into_query(),
    );
}

/// Whether a product's service is told by webhook: noted at the product, so that who writes what it is to do knows.
pub fn set_told(writes: &mut Writes, _scope: &Scope, product: Uuid, told: bool) {
    writes.guarded(
        product::Entity::update_many()
            .col_expr(product::Column::HasWebhook, Expr::val(told))
            .filter(product::Column::Id.eq(product))
            .into_query(),
    );
}
