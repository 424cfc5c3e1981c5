//! What product services are to make, read: the order items that they report on.

use entity::enums::{OrderAction, OrderItemStatus};
use entity::{order, order_item, product, resource, resource_type};
use sea_orm::entity::prelude::{DateTimeUtc, Json};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

/// A task of a product's service, with all that the service needs to know.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Task {
    /// The order item.
    pub id: Uuid,
    /// For whom.
    pub account_id: Uuid,
    /// What is to be done.
    pub action: OrderAction,
    /// Where it stands.
    pub status: OrderItemStatus,
    /// The product.
    pub product_id: Uuid,
    /// The order's code.
    pub order_code: String,
    /// The resource.
    pub resource_id: Uuid,
    /// What the customer calls it.
    pub resource_name: String,
    /// The product's own name for it.
    pub external_id: Option<String>,
    /// The code of its resource type.
    pub resource_type: String,
    /// The item, as it was priced: what the resource is to be made of is in it.
    pub document: Json,
    /// Why it could not be done.
    pub failure_reason: Option<String>,
    /// When it was ordered.
    pub created_at: DateTimeUtc,
    /// When it came to its end.
    pub completed_at: Option<DateTimeUtc>,
}

/// Which tasks are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Of the product with this code.
    pub product: Option<String>,
    /// In this state; the open ones when it is not given.
    pub status: Option<OrderItemStatus>,
}

/// Product services see their product's tasks on every account, operators see all, customers and partners none.
fn visible(scope: &Scope) -> Condition {
    match scope {
        Scope::Product { product, .. } => {
            Condition::all().add(Expr::col((product::Entity, product::Column::Code)).eq(product.as_str()))
        }
        Scope::Operator { .. } => Condition::all(),
        Scope::Account { .. } | Scope::Partner { .. } => Condition::all().add(Expr::cust("1 = 0")),
    }
}

fn tasks(scope: &Scope) -> SelectStatement {
    use order_item::{Column, Entity};
    let own = |column: Column| (Entity, column);
    let mut select = Query::select();
    select
        .columns(
            [
                Column::Id,
                Column::AccountId,
                Column::Action,
                Column::Status,
                Column::ProductId,
                Column::ResourceId,
                Column::Document,
                Column::FailureReason,
                Column::CreatedAt,
                Column::CompletedAt,
            ]
            .map(own),
        )
        .expr_as(
            Expr::col((order::Entity, order::Column::Code)),
            Alias::new("order_code"),
        )
        .expr_as(
            Expr::col((resource::Entity, resource::Column::Name)),
            Alias::new("resource_name"),
        )
        .column((resource::Entity, resource::Column::ExternalId))
        .expr_as(
            Expr::col((resource_type::Entity, resource_type::Column::Code)),
            Alias::new("resource_type"),
        )
        .from(Entity)
        .inner_join(
            order::Entity,
            Expr::col((order::Entity, order::Column::Id)).equals(own(Column::OrderId)),
        )
        .inner_join(
            product::Entity,
            Expr::col((product::Entity, product::Column::Id)).equals(own(Column::ProductId)),
        )
        .inner_join(
            resource::Entity,
            Expr::col((resource::Entity, resource::Column::Id)).equals(own(Column::ResourceId)),
        )
        .inner_join(
            resource_type::Entity,
            Expr::col((resource_type::Entity, resource_type::Column::Id))
                .equals((resource::Entity, resource::Column::ResourceTypeId)),
        )
        // The rest is done as soon as it is paid: a matter of the books.
        .and_where(Expr::col(own(Column::Action)).is_in([OrderAction::Create.as_str(), OrderAction::Resize.as_str()]))
        .cond_where(visible(scope));
    select
}

/// The tasks that the caller is to do, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn list(
    db: &impl ConnectionTrait,
    scope: &Scope,
    filter: &Filter,
    page: &Page,
) -> Result<Slice<Task>, Error> {
    Ok(Slice::cut(
        page::rows(db, &statement(scope, filter, page), page::model).await?,
        page,
    ))
}

/// The statement of [`list`]. An index holds each product's tasks by state, in the list's order.
pub(super) fn statement(scope: &Scope, filter: &Filter, page: &Page) -> SelectStatement {
    use order_item::{Column, Entity};
    let mut select = tasks(scope);
    let status = filter.status.unwrap_or(OrderItemStatus::Provisioning);
    select.and_where(Expr::col((Entity, Column::Status)).eq(status.as_str()));
    if let Some(code) = &filter.product {
        select.and_where(Expr::col((product::Entity, product::Column::Code)).eq(code.as_str()));
    }
    let keyset = Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id));
    page::paged(select, &keyset, page)
}

/// Where a task stands in the list.
#[must_use]
pub fn place(task: &Task) -> Place {
    Place {
        key: Key::Instant(task.created_at),
        id: task.id,
    }
}

/// These tasks, in whatever state.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Task>, Error> {
    let mut select = tasks(scope);
    select.and_where(Expr::col((order_item::Entity, order_item::Column::Id)).is_in(ids.iter().copied()));
    page::rows(db, &select, page::model).await
}
