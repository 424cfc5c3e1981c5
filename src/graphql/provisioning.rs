//! What product services see and say: tasks to be done, and how they ended.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::enums::{OrderAction, OrderItemStatus};
use serde::Deserialize as _;

use super::caller::ProductOrOperator;
use super::connection::{Cut, List, connection, page};
use super::errors::{ApiError, Result};
use super::ids::{self, Kind, global};
use super::product::Product;
use super::resource::ConfiguredComponent;
use super::scalars::{DateTime, instant};
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::provisioning as commands;
use crate::domain::quote::PricedItem;
use crate::domain::text;
use crate::error::Error;
use crate::store::provisioning::{self, Filter, Task};

#[derive(Clone, Debug)]
pub(crate) struct ProvisioningTask(pub(crate) Arc<Task>);

/// A task of a product's service, with all that the service needs to know.
#[Object]
impl ProvisioningTask {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::ProvisioningTask, self.0.id)
    }

    /// What is to be done.
    async fn action(&self) -> OrderAction {
        self.0.action
    }

    /// Where it stands.
    async fn status(&self) -> OrderItemStatus {
        self.0.status
    }

    /// The product.
    async fn product(&self, ctx: &Context<'_>) -> Result<Product> {
        Ok(Product(ctx.loaders()?.products.must(self.0.product_id).await?))
    }

    /// The account it is done for: an id to keep things apart by.
    async fn account_id(&self) -> ID {
        global(Kind::Account, self.0.account_id)
    }

    /// The order's code.
    async fn order_code(&self) -> &str {
        &self.0.order_code
    }

    /// The resource: an id to keep things apart by.
    async fn resource_id(&self) -> ID {
        global(Kind::Resource, self.0.resource_id)
    }

    /// What the customer calls the resource.
    async fn resource_name(&self) -> &str {
        &self.0.resource_name
    }

    /// The short name of the resource's type.
    async fn resource_type_code(&self) -> &str {
        &self.0.resource_type
    }

    /// The product's own name for the resource, when it has given one.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// What the resource is to be made of.
    async fn configuration(&self) -> Result<Vec<ConfiguredComponent>> {
        let item = PricedItem::deserialize(&self.0.document).map_err(Error::from)?;
        Ok(item.configuration().into_iter().map(Into::into).collect())
    }

    /// Why it could not be done.
    async fn failure_reason(&self) -> Option<&str> {
        self.0.failure_reason.as_deref()
    }

    /// When it was ordered.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it came to its end.
    async fn completed_at(&self) -> Option<DateTime> {
        instant(self.0.completed_at)
    }
}

connection!(
    /// A part of a list of provisioning tasks.
    ProvisioningTaskConnection,
    /// A provisioning task and its place in the list.
    ProvisioningTaskEdge,
    ProvisioningTask
);

/// The queries of this room.
#[derive(Default)]
pub(crate) struct ProvisioningQueries;

#[Object]
impl ProvisioningQueries {
    /// The tasks of the caller's product, oldest first: those to be done, unless another status is asked for.
    /// Operators see every product's.
    #[graphql(guard = "ProductOrOperator")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn provisioning_tasks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of the product with this short name only.")] product: Option<String>,
        #[graphql(desc = "In this state; to be done when absent.")] status: Option<OrderItemStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<ProvisioningTaskConnection>> {
        let page = page(List::Tasks, first, after, last, before)?;
        if product.as_deref().is_some_and(|code| !text::may_be_short_name(code)) {
            return Err(ApiError::bad_input(
                "A product's short name has 1 to 64 visible ASCII characters.",
            ));
        }
        let session = ctx.session()?;
        let filter = Filter { product, status };
        let slice = provisioning::list(session.app.db.read(), &session.scope, &filter, &page)
            .await?
            .map(Arc::new);
        let cut = Cut::new(
            &slice,
            List::Tasks,
            |row| provisioning::place(row),
            |row| ProvisioningTask(Arc::clone(row)),
        );
        Ok(Some(ProvisioningTaskConnection(cut)))
    }
}

/// What was made.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SucceededInput {
    /// The product's own name for it.
    external_id: Option<String>,
}

/// What went wrong.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct FailedInput {
    /// Why, for the customer.
    reason: String,
}

/// How a task ended: exactly one.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum ProvisioningOutcomeInput {
    /// It was done.
    Succeeded(SucceededInput),
    /// It could not be done; what was charged for it goes back to the wallet.
    Failed(FailedInput),
}

/// A report on a task.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ReportProvisioningInput {
    /// The task.
    task_id: ID,
    /// How it ended.
    outcome: ProvisioningOutcomeInput,
}

/// What a report did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ReportProvisioningPayload {
    /// The task; null when the report was refused.
    item: Option<ProvisioningTask>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// A task is an order item seen from the product's side: the ids of both name it.
fn task_of(id: &ID) -> Option<uuid::Uuid> {
    let (kind, key) = ids::read(id)?;
    matches!(kind, Kind::ProvisioningTask | Kind::OrderItem).then_some(key)
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct ProvisioningMutations;

#[Object]
impl ProvisioningMutations {
    /// Reports how a task ended. Success brings the resource to life, with its paid period and its paid invoice;
    /// failure gives what was charged for it back to the wallet. The same report again changes nothing. For the
    /// services of products, about their own product.
    ///
    /// Codes: INVALID_ID, TASK_NOT_FOUND, TASK_ALREADY_REPORTED, STATE_CONFLICT, INVALID_TEXT, END_NOT_AFTER_START,
    /// ZERO_LENGTH.
    #[graphql(guard = "ProductOrOperator")]
    async fn report_provisioning(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The report.")] input: ReportProvisioningInput,
    ) -> Result<Option<ReportProvisioningPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(ReportProvisioningPayload {
                item: None,
                user_errors: errors,
            })
        };
        let Some(task) = task_of(&input.task_id) else {
            return Ok(refused_with(wrong_id("taskId")));
        };
        let outcome = match input.outcome {
            ProvisioningOutcomeInput::Succeeded(made) => commands::Outcome::Succeeded {
                external_id: made.external_id,
            },
            ProvisioningOutcomeInput::Failed(failed) => commands::Outcome::Failed { reason: failed.reason },
        };
        let reported = commands::report(&session.app, &session.scope, commands::Report { task, outcome }).await;
        session.forget();
        match reported {
            Ok(task) => {
                let task = session.loaders().tasks.must(task).await?;
                Ok(Some(ReportProvisioningPayload {
                    item: Some(ProvisioningTask(task)),
                    user_errors: Vec::new(),
                }))
            }
            Err(error) => Ok(refused_with(refused(error)?)),
        }
    }
}
