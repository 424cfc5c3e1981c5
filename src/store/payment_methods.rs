//! Linked accounts and cards, and who tops up by itself.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::enums::{LinkStatus, PaymentStatus, WalletKind};
use entity::{auto_top_up, payment, payment_method, wallet};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Select,
};
use uuid::Uuid;

use super::Scope;
use super::asked;
use super::insert::insert;
use super::page;
use crate::db::writes::Writes;
use crate::db::{self, Db, Tx};
use crate::error::Error;

/// By what its rows are found that are to be asked about.
const ASKED: asked::Columns<payment_method::Column> = asked::Columns {
    key: payment_method::Column::Id,
    gateway: payment_method::Column::Gateway,
    next: payment_method::Column::NextCheckAt,
};

/// These ones.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<payment_method::Model>, Error> {
    use payment_method::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// Those of each account that can be charged or wait for their payer, the oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<payment_method::Model>>, Error> {
    use payment_method::{Column, Entity};
    let rows = Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.is_in(accounts.iter().copied()))
        .filter(Column::Status.is_in([LinkStatus::Pending, LinkStatus::Active]))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.account_id))
}

/// How many of an account can be charged or wait for their payer.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn count(db: &impl ConnectionTrait, scope: &Scope, account: Uuid) -> Result<u64, Error> {
    use payment_method::{Column, Entity};
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.eq(account))
        .filter(Column::Status.is_in([LinkStatus::Pending, LinkStatus::Active]))
        .count(db)
        .await?)
}

/// The one that is charged where none is named.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn default_of(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
) -> Result<Option<payment_method::Model>, Error> {
    use payment_method::{Column, Entity};
    Ok(Entity::find()
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::AccountId.eq(account))
        .filter(Column::IsDefault.eq(true))
        .one(db)
        .await?)
}

/// The one that a gateway knows by a reference.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_reference(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    gateway: &str,
    reference: &str,
) -> Result<Option<payment_method::Model>, Error> {
    use payment_method::{Column, Entity};
    Ok(Entity::find()
        .filter(Column::Gateway.eq(gateway))
        .filter(Column::Reference.eq(reference))
        .one(db)
        .await?)
}

/// One, locked until the transaction ends.
///
/// # Errors
/// [`Error::NotFound`] when it is none, or not the caller's.
pub async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<payment_method::Model, Error> {
    use payment_method::{Column, Entity};
    let mut query = Entity::find_by_id(id).filter(scope.accounts((Entity, Column::AccountId)));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    query.one(&**tx).await?.ok_or(Error::NotFound("payment method"))
}

/// Adds a new one to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, row: payment_method::Model) {
    insert::<payment_method::ActiveModel, _>(writes, vec![row]);
}

/// Writes one as it now is. One that was changed since it was read undoes the whole.
pub fn update(writes: &mut Writes, _scope: &Scope, row: payment_method::Model) {
    use payment_method::{Column, Entity};
    let (id, version) = (row.id, row.version);
    let mut changed = row;
    changed.version = version + 1;
    writes.guarded(
        Entity::update_many()
            .set(changed.into_active_model().reset_all())
            .filter(Column::Id.eq(id))
            .filter(Column::Version.eq(version))
            .into_query(),
    );
}

/// Notes that a gateway is asked to begin a link, and answers whether it is the first time: of two that would begin it at once,
/// one does.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn try_to_begin(tx: &Tx, _scope: &Scope, id: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
    use payment_method::{Column, Entity};
    let done = Entity::update_many()
        .col_expr(Column::TriedAt, Expr::val(now))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(id))
        .filter(Column::TriedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Takes the default from whichever has it; before another one gets it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn clear_default(tx: &Tx, _scope: &Scope, account: Uuid) -> Result<(), Error> {
    use payment_method::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::IsDefault, Expr::val(false))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::AccountId.eq(account))
        .filter(Column::IsDefault.eq(true))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Takes those of which their gateways, which are among these, are to be asked or told, at most `most`, and puts the next time
/// off until then.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take_due(
    db: &Db,
    scope: &Scope,
    gateways: &[&str],
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    most: u64,
) -> Result<Vec<payment_method::Model>, Error> {
    use payment_method::{Column, Entity};
    let due = asked::due::<Entity>(db.read(), scope, ASKED, gateways, now, most).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    db.write("take_due_methods", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let rows = Entity::update_many()
            .col_expr(Column::NextCheckAt, Expr::val(until))
            .filter(Column::Id.is_in(due.iter().copied()))
            .filter(Column::NextCheckAt.lte(now))
            .exec_with_returning(&**tx)
            .await?;
        Ok(rows)
    })
    .await
}

/// When one of these gateways is to be asked about one, or told of its end, next.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_instant(
    db: &impl ConnectionTrait,
    scope: &Scope,
    gateways: &[&str],
) -> Result<Option<DateTime<Utc>>, Error> {
    asked::next::<payment_method::Entity>(db, scope, ASKED, gateways).await
}

/// How an account is topped up by itself, if it ever said so.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn auto_top_up(
    db: &impl ConnectionTrait,
    scope: &Scope,
    account: Uuid,
) -> Result<Option<auto_top_up::Model>, Error> {
    use auto_top_up::{Column, Entity};
    Ok(Entity::find_by_id(account)
        .filter(scope.accounts((Entity, Column::AccountId)))
        .one(db)
        .await?)
}

/// Writes how an account is topped up by itself.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn set_auto_top_up(tx: &Tx, _scope: &Scope, row: auto_top_up::Model) -> Result<(), Error> {
    use auto_top_up::{Column, Entity};
    let all = [
        Column::IsOn,
        Column::BelowMinor,
        Column::AmountMinor,
        Column::MonthlyLimitMinor,
        Column::MethodId,
        Column::StoppedBecause,
        Column::Declined,
        Column::PaymentId,
        Column::NotBefore,
        Column::Principal,
        Column::ChangedAt,
        Column::Version,
    ];
    Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(Column::AccountId).update_columns(all).to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(())
}

/// Lets an automatic top-up wait until then, whatever else it says.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn put_auto_top_up_off(db: &Db, _scope: &Scope, account: Uuid, until: DateTime<Utc>) -> Result<(), Error> {
    use auto_top_up::{Column, Entity};
    db.write("put_auto_top_up_off", async |tx| {
        let tx = &*tx;
        tx.is_replayable();
        let put_off = Entity::update_many()
            .col_expr(Column::NotBefore, Expr::val(until))
            .filter(Column::AccountId.eq(account));
        put_off.exec(&**tx).await?;
        Ok(())
    })
    .await
}

/// The accounts whose available credit is below what they want at least, and that may be charged now, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn too_low(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<Uuid>, Error> {
    use auto_top_up::Column;
    Ok(low()
        .select_only()
        .column(Column::AccountId)
        .filter(Column::NotBefore.lte(now))
        .order_by_asc(Column::NotBefore)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?)
}

/// When the next wallet that is below what its owner wants may be topped up.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn next_too_low(db: &impl ConnectionTrait, _scope: &Scope) -> Result<Option<DateTime<Utc>>, Error> {
    use auto_top_up::Column;
    Ok(low()
        .select_only()
        .column(Column::NotBefore)
        .order_by_asc(Column::NotBefore)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?)
}

/// Those whose wallets are below what their owners want.
fn low() -> Select<auto_top_up::Entity> {
    use auto_top_up::{Column, Entity};
    let available = Expr::col((wallet::Entity, wallet::Column::CashMinor))
        .add(Expr::col((wallet::Entity, wallet::Column::PromotionalMinor)))
        .sub(Expr::col((wallet::Entity, wallet::Column::HeldMinor)));
    let low = Query::select()
        .expr(Expr::val(1))
        .from(wallet::Entity)
        .and_where(Expr::col((wallet::Entity, wallet::Column::AccountId)).equals((Entity, Column::AccountId)))
        .and_where(wallet::Column::Kind.eq(WalletKind::Credit))
        .and_where(available.lt(Expr::col((Entity, Column::BelowMinor))))
        .to_owned();
    Entity::find().filter(Expr::cust("is_on")).filter(Expr::exists(low))
}

/// What somebody topped an account up with since then: what was paid and what still may be.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn topped_up_by(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    account: Uuid,
    principal: &str,
    since: DateTime<Utc>,
) -> Result<i64, Error> {
    use payment::{Column, Entity};
    let amounts: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::GatewayMinor)
        .filter(Column::AccountId.eq(account))
        .filter(Column::Principal.eq(principal))
        .filter(Column::CreatedAt.gte(since))
        .filter(Column::Status.is_in([PaymentStatus::Pending, PaymentStatus::Succeeded]))
        .into_tuple()
        .all(db)
        .await?;
    Ok(amounts.into_iter().sum())
}
