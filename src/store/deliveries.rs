//! Signed HTTP requests that are to be sent: made with what they tell, claimed, sent, and noted.

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{DeliveryStatus, ProductCall, WebhookStatus};
use entity::{account, product, resource, webhook_delivery, webhook_endpoint};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Func, LockBehavior, LockType, Order, Query, WindowStatement};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use super::webhooks::seen_through;
use crate::db::writes::Writes;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::{clock, ids};

/// What a product's service is told to do with a resource; nothing for a product that is told nothing. `task` is the
/// order item that it reports, if it has to.
#[must_use]
pub fn call(
    product: &product::Model,
    resource: &resource::Model,
    call: ProductCall,
    task: Option<Uuid>,
    now: DateTime<Utc>,
) -> Option<webhook_delivery::Model> {
    product.has_webhook.then(|| {
        let made = clock::machine_now();
        webhook_delivery::Model {
            id: ids::new_id(),
            account_id: resource.account_id,
            endpoint_id: None,
            product_id: Some(product.id),
            told: call.as_str().to_owned(),
            event_sequence: None,
            resource_id: Some(resource.id),
            order_item_id: task,
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: Some(made),
            last_error: None,
            happened_at: now,
            created_at: made,
            delivered_at: None,
        }
    })
}

/// Adds requests to what is written.
pub fn add(writes: &mut Writes, _scope: &Scope, rows: Vec<webhook_delivery::Model>) {
    insert::<webhook_delivery::ActiveModel, _>(writes, rows);
}

/// Customers' endpoints that have not been told all of their account's events, at most `most`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn behind(db: &impl ConnectionTrait, _scope: &Scope, most: u64) -> Result<Vec<Uuid>, Error> {
    use webhook_endpoint::{Column, Entity};
    let newest = account::Entity::find()
        .select_only()
        .expr(Expr::val(1))
        .filter(Expr::col((account::Entity, account::Column::Id)).equals((Entity, Column::AccountId)))
        .filter(
            Expr::col((account::Entity, account::Column::EventSequence)).gt(Expr::col((Entity, Column::ToldSequence))),
        )
        .into_query();
    Ok(Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Status.eq(WebhookStatus::Enabled))
        .filter(Column::AccountId.is_not_null())
        .filter(Expr::exists(newest))
        .order_by_asc(Column::Id)
        .limit(most)
        .into_tuple()
        .all(db)
        .await?)
}

/// An endpoint that is sent to, locked until the transaction ends; none when another process has it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_endpoint(tx: &Tx, _scope: &Scope, id: Uuid) -> Result<Option<webhook_endpoint::Model>, Error> {
    let mut query =
        webhook_endpoint::Entity::find_by_id(id).filter(webhook_endpoint::Column::Status.eq(WebhookStatus::Enabled));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    Ok(query.one(&**tx).await?)
}

/// Notes up to which event an endpoint is told. One that another process told meanwhile undoes the whole.
pub fn told_up_to(writes: &mut Writes, _scope: &Scope, endpoint: &webhook_endpoint::Model, sequence: i64) {
    use webhook_endpoint::{Column, Entity};
    writes.guarded(
        Entity::update_many()
            .col_expr(Column::ToldSequence, Expr::val(sequence))
            .filter(Column::Id.eq(endpoint.id))
            .filter(Column::ToldSequence.eq(endpoint.told_sequence))
            .into_query(),
    );
}

/// Takes requests that are due, at most `most`, and of one account or one product at most `most_of_one`: nobody keeps the
/// others waiting. Nobody else sends them for a while. Each counts as sent once more.
///
/// What a product's service is told of a resource it is told in the order in which that was decided: the next when the one
/// before was taken or given up. See [`supersede`].
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn claim(
    tx: &Tx,
    _scope: &Scope,
    now: DateTime<Utc>,
    lease: TimeDelta,
    (most, most_of_one): (u64, u64),
) -> Result<Vec<webhook_delivery::Model>, Error> {
    use webhook_delivery::{Column, Entity};
    const TURN: &str = "turn";
    let older = Alias::new("older");
    let call_before = Query::select()
        .expr(Expr::val(1))
        .from_as(Entity, older.clone())
        .and_where(Expr::col((older.clone(), Column::ProductId)).is_not_null())
        .and_where(Expr::col((older.clone(), Column::NextAttemptAt)).is_not_null())
        .and_where(Expr::col((older.clone(), Column::ResourceId)).equals((Entity, Column::ResourceId)))
        .and_where(Expr::col((older, Column::Id)).lt(Expr::col((Entity, Column::Id))))
        .to_owned();
    let mut of_one = WindowStatement::partition_by_custom("coalesce(product_id, account_id)");
    of_one
        .order_by((Entity, Column::NextAttemptAt), Order::Asc)
        .order_by((Entity, Column::Id), Order::Asc);
    let due = Entity::find()
        .select_only()
        .columns([Column::Id, Column::NextAttemptAt])
        .filter(Column::NextAttemptAt.is_not_null())
        .filter(Column::NextAttemptAt.lte(now))
        .filter(
            Condition::any()
                .add(Column::ProductId.is_null())
                .add(Expr::exists(call_before).not()),
        )
        .into_query()
        .expr_window_as(Func::cust(Alias::new("row_number")), of_one, Alias::new(TURN))
        .to_owned();
    let by_turns = Query::select()
        .column(Column::Id)
        .from_subquery(due, Alias::new("due"))
        .and_where(Expr::col(Alias::new(TURN)).lte(most_of_one))
        .order_by(Alias::new(TURN), Order::Asc)
        .order_by(Column::NextAttemptAt, Order::Asc)
        .order_by(Column::Id, Order::Asc)
        .limit(most)
        .to_owned();
    let mut due: Vec<Uuid> = Vec::new();
    for row in tx.query_all(&by_turns).await? {
        due.push(row.try_get_by_index(0)?);
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    if db::locks_rows(tx.get_database_backend()) {
        // Another process may have taken some of them since they were read.
        due = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(due))
            .filter(Column::NextAttemptAt.lte(now))
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_tuple()
            .all(&**tx)
            .await?;
    }
    Ok(Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::NextAttemptAt, Expr::val(now + lease))
        .filter(Column::Id.is_in(due))
        .exec_with_returning(&**tx)
        .await?)
}

/// Gives up what a product's service did not take and what has been overtaken: it is to start what it was to suspend, and
/// would suspend it afterwards if that were sent again. Not what may be on its way this moment, and not what an order waits
/// for.
///
/// Source: rule "Webhooks" in ARCHITECTURE, section Telling.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn supersede(tx: &Tx, _scope: &Scope, now: DateTime<Utc>, lease: TimeDelta) -> Result<(), Error> {
    use webhook_delivery::{Column, Entity};
    let later = Alias::new("later");
    let overtaken = Query::select()
        .expr(Expr::val(1))
        .from_as(Entity, later.clone())
        .and_where(Expr::col((later.clone(), Column::ProductId)).is_not_null())
        .and_where(Expr::col((later.clone(), Column::NextAttemptAt)).is_not_null())
        .and_where(Expr::col((later.clone(), Column::OrderItemId)).is_null())
        .and_where(Expr::col((later.clone(), Column::Told)).ne(ProductCall::Reboot.as_str()))
        .and_where(Expr::col((later.clone(), Column::ResourceId)).equals((Entity, Column::ResourceId)))
        .and_where(Expr::col((later, Column::Id)).gt(Expr::col((Entity, Column::Id))))
        .to_owned();
    Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Dead.as_str()))
        .col_expr(Column::NextAttemptAt, Expr::val(None::<DateTime<Utc>>))
        .col_expr(Column::LastError, Expr::val("overtaken by a later call"))
        .filter(Column::ProductId.is_not_null())
        .filter(Column::OrderItemId.is_null())
        .filter(Column::Attempts.gt(0))
        .filter(
            Condition::any()
                .add(Column::NextAttemptAt.lte(now))
                // Another process may have taken it a while after this `now`: its lease ends that much later.
                .add(Column::NextAttemptAt.gt(now + lease * 2)),
        )
        .filter(Expr::exists(overtaken))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// What became of a request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken,
    /// It was not, and is sent again at an instant of machine time.
    Again(DateTime<Utc>, String),
    /// It was not, and is given up.
    Dead(String),
}

/// Notes what became of a request. One that was noted meanwhile stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn note(tx: &Tx, _scope: &Scope, id: Uuid, sent: &Sent, now: DateTime<Utc>) -> Result<(), Error> {
    use webhook_delivery::{Column, Entity};
    let cut = |text: &str| -> String { text.chars().take(500).collect() };
    let update = Entity::update_many();
    let none = None::<DateTime<Utc>>;
    let update = match sent {
        Sent::Taken => update
            .col_expr(Column::Status, Expr::val(DeliveryStatus::Delivered.as_str()))
            .col_expr(Column::NextAttemptAt, Expr::val(none))
            .col_expr(Column::DeliveredAt, Expr::val(now)),
        Sent::Again(at, why) => update
            .col_expr(Column::NextAttemptAt, Expr::val(*at))
            .col_expr(Column::LastError, Expr::val(cut(why))),
        Sent::Dead(why) => update
            .col_expr(Column::Status, Expr::val(DeliveryStatus::Dead.as_str()))
            .col_expr(Column::NextAttemptAt, Expr::val(none))
            .col_expr(Column::LastError, Expr::val(cut(why))),
    };
    update
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(DeliveryStatus::Pending))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// A request that the caller may see, locked until the transaction ends.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Option<webhook_delivery::Model>, Error> {
    let mut query = webhook_delivery::Entity::find_by_id(id).filter(visible(scope));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**tx).await?)
}

/// Lets a request be sent anew, from now on, as if it had just been made.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn send_anew(tx: &Tx, _scope: &Scope, id: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
    use webhook_delivery::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Status, Expr::val(DeliveryStatus::Pending.as_str()))
        .col_expr(Column::Attempts, Expr::val(0))
        .col_expr(Column::NextAttemptAt, Expr::val(now))
        .col_expr(Column::CreatedAt, Expr::val(now))
        .col_expr(Column::DeliveredAt, Expr::val(None::<DateTime<Utc>>))
        .filter(Column::Id.eq(id))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// The requests to each of these endpoints, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_endpoint(
    db: &impl ConnectionTrait,
    scope: &Scope,
    endpoint: &webhook_endpoint::Model,
    status: Option<DeliveryStatus>,
    page: &Page,
) -> Result<Slice<webhook_delivery::Model>, Error> {
    use webhook_delivery::{Column, Entity};
    let mut select = page::whole(Entity);
    select.cond_where(visible(scope));
    if let Some(status) = status {
        select.and_where(Expr::col((Entity, Column::Status)).eq(status.as_str()));
    }
    let (parent, key) = match endpoint.product_id {
        Some(product) => (Column::ProductId, product),
        None => (Column::EndpointId, endpoint.id),
    };
    let keyset = Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id)).descending();
    let mut pages = page::read(db, select, (Entity, parent), &[key], &keyset, page, page::model).await?;
    Ok(pages.remove(&key).unwrap_or_else(|| Slice::empty(page)))
}

/// Where a request stands in a list.
#[must_use]
pub fn place(row: &webhook_delivery::Model) -> Place {
    Place {
        key: Key::Instant(row.created_at),
        id: row.id,
    }
}

/// These requests.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<webhook_delivery::Model>, Error> {
    Ok(webhook_delivery::Entity::find()
        .filter(visible(scope))
        .filter(webhook_delivery::Column::Id.is_in(ids.iter().copied()))
        .all(db)
        .await?)
}

/// Customers see the requests to their endpoints, a product's service those to its product, operators all.
fn visible(scope: &Scope) -> Condition {
    use webhook_delivery::{Column, Entity};
    seen_through(
        scope,
        (Entity, Column::AccountId),
        (Entity, Column::EndpointId),
        (Entity, Column::ProductId),
    )
}
