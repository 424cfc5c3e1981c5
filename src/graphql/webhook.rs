//! Webhooks: where customers and products' services are told by signed HTTP requests.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::enums::{DeliveryStatus, EventType, Role, WebhookStatus};
use entity::{webhook_delivery, webhook_endpoint};
use uuid::Uuid;

use super::caller::{Permission, SignedIn};
use super::connection::{Cut, List, connection, page};
use super::errors::{ApiError, Result};
use super::ids::{self, Kind, global};
use super::product::Product;
use super::scalars::{DateTime, instant};
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::webhooks::{self as commands, Change, Create};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::store::webhooks::{self, Owner};
use crate::store::{deliveries, pricing};

#[derive(Clone, Debug)]
pub(crate) struct Webhook(pub(crate) Arc<webhook_endpoint::Model>);

/// Where a customer or a product's service is told by HTTP requests, signed as the Standard Webhooks specification says.
#[Object]
impl Webhook {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::WebhookEndpoint, self.0.id)
    }

    /// Where requests go.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// What is told there; all when empty.
    async fn events(&self) -> Result<Vec<EventType>> {
        Ok(serde_json::from_value(self.0.events.clone()).map_err(Error::from)?)
    }

    /// Whether it is sent to.
    async fn status(&self) -> WebhookStatus {
        self.0.status
    }

    /// The product whose service it is; null for a customer's.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<Product>> {
        let Some(key) = self.0.product_id else {
            return Ok(None);
        };
        Ok(Some(Product(ctx.loaders()?.products.must(key).await?)))
    }

    /// Since when it takes nothing; null while it takes what is sent.
    async fn failing_since(&self) -> Option<DateTime> {
        instant(self.0.failing_since)
    }

    /// Why nothing is sent there any more; null while it is.
    async fn disabled_reason(&self) -> Option<&str> {
        self.0.disabled_reason.as_deref()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WebhookDelivery(pub(crate) Arc<webhook_delivery::Model>);

/// A request to a webhook: sent until it is taken, for three days at most.
#[Object]
impl WebhookDelivery {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::WebhookDelivery, self.0.id)
    }

    /// What it tells: the type of an event, or what a product's service is to do (PROVISION, RESIZE, START, STOP, REBOOT,
    /// LIMIT, SUSPEND, DELETE, RELEASE). It is the `type` of its body.
    async fn told(&self) -> &str {
        &self.0.told
    }

    /// Where it stands.
    pub(crate) async fn status(&self) -> DeliveryStatus {
        self.0.status
    }

    /// How often it was sent.
    pub(crate) async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// When it is sent next, by the machine's clock; null when it is not.
    pub(crate) async fn next_attempt_at(&self) -> Option<DateTime> {
        instant(self.0.next_attempt_at)
    }

    /// What went wrong last.
    pub(crate) async fn last_error(&self) -> Option<String> {
        self.0.last_error.clone()
    }

    /// When what it tells happened.
    async fn happened_at(&self) -> DateTime {
        self.0.happened_at.into()
    }

    /// When it was taken, by the machine's clock.
    pub(crate) async fn delivered_at(&self) -> Option<DateTime> {
        instant(self.0.delivered_at)
    }
}

connection!(
    /// A part of a list of requests to a webhook.
    WebhookDeliveryConnection,
    /// A request to a webhook and its place in the list.
    WebhookDeliveryEdge,
    WebhookDelivery
);

/// A webhook to be made.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct CreateWebhookInput {
    /// For whom; the caller's own account when absent.
    account_id: Option<ID>,
    /// The product whose service it is, by its short name; for operators. A product's service makes its own.
    product: Option<String>,
    /// Where requests go: https, a host of the public internet.
    url: String,
    /// What is told there; all when empty.
    #[graphql(default)]
    events: Vec<EventType>,
}

/// A change of a webhook. What is not given stays.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct UpdateWebhookInput {
    /// The webhook.
    webhook_id: ID,
    /// Where requests go.
    url: Option<String>,
    /// What is told there; all when empty.
    events: Option<Vec<EventType>>,
    /// Whether it is sent to.
    enabled: Option<bool>,
}

/// A webhook to be given up, or to be given another secret.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct WebhookInput {
    /// The webhook.
    webhook_id: ID,
}

/// What was done to a webhook.
#[derive(Debug, SimpleObject)]
pub(crate) struct WebhookPayload {
    /// The webhook as it now is; null when it was refused.
    webhook: Option<Webhook>,
    /// The secret that its requests are signed with, where it is new. It is shown this once: keep it.
    secret: Option<String>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// Whose webhooks a field is about, if the caller may manage them.
async fn owner(ctx: &Context<'_>, account: Option<&ID>, product: Option<&str>) -> Result<Owner> {
    let session = ctx.session()?;
    let caller = ctx.caller()?;
    let code = match caller.role {
        Role::Product if account.is_none() => match (caller.product.as_deref(), product) {
            (Some(own), None) => own,
            (Some(own), Some(named)) if own == named => own,
            _ => return Err(Error::Forbidden("a token of that product").into()),
        },
        Role::Operator if account.is_none() => match product {
            Some(named) => named,
            None => {
                return Err(ApiError::bad_input(
                    "Name a product: an operator has no webhooks of its own.",
                ));
            }
        },
        Role::Product | Role::Operator => {
            return Err(Error::Forbidden("a token of that account").into());
        }
        Role::Owner | Role::BillingAdmin | Role::Viewer | Role::Partner => {
            caller.require(Permission::ManageResources)?;
            if product.is_some() {
                return Err(Error::Forbidden("a token of that product").into());
            }
            return Ok(Owner::Account(session.account(account).await?));
        }
    };
    let found = pricing::products(session.app.db.read(), &session.scope, std::iter::once(code)).await?;
    match found.get(code) {
        Some(product) => Ok(Owner::Product(product.id)),
        None => Err(Error::NotFound("product").into()),
    }
}

/// Whether the caller may manage webhooks: its scope says which.
pub(crate) fn may_manage(ctx: &Context<'_>) -> Result<()> {
    let caller = ctx.caller()?;
    if !matches!(caller.role, Role::Product | Role::Operator) {
        caller.require(Permission::ManageResources)?;
    }
    Ok(())
}

/// The key of a webhook that the caller may manage. What is another's does not exist.
fn key(ctx: &Context<'_>, id: &ID) -> Result<std::result::Result<Uuid, Error>> {
    may_manage(ctx)?;
    let missing = || Refusal::new(RefusalCode::WebhookNotFound, "There is no such webhook.").under("webhookId");
    Ok(ids::parse(id, Kind::WebhookEndpoint).ok_or_else(|| missing().into()))
}

async fn changed(ctx: &Context<'_>, id: &ID, change: Change) -> Result<Option<WebhookPayload>> {
    let shows_secret = change.new_secret;
    let session = ctx.session()?;
    let done = match key(ctx, id)? {
        Ok(key) => commands::change(&session.app, &session.scope, key, change).await,
        Err(error) => Err(error),
    };
    Ok(Some(match done {
        Ok(row) => WebhookPayload {
            secret: shows_secret.then(|| row.secret.clone()),
            webhook: Some(Webhook(Arc::new(row))),
            user_errors: Vec::new(),
        },
        Err(error) => WebhookPayload {
            webhook: None,
            secret: None,
            user_errors: refused(error)?,
        },
    }))
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct WebhookQueries;

#[Object]
impl WebhookQueries {
    /// The webhooks of an account; of a product for its service and for operators.
    #[graphql(guard = "SignedIn")]
    async fn webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "The product whose service's, by its short name; for operators.")] product: Option<String>,
    ) -> Result<Option<Vec<Webhook>>> {
        let owner = owner(ctx, account_id.as_ref(), product.as_deref()).await?;
        let session = ctx.session()?;
        let rows = webhooks::of_owner(session.app.db.read(), &session.scope, owner).await?;
        Ok(Some(rows.into_iter().map(|row| Webhook(Arc::new(row))).collect()))
    }

    /// The requests to a webhook, newest first.
    #[graphql(guard = "SignedIn")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The webhook.")] webhook_id: ID,
        #[graphql(desc = "Of one status only.")] status: Option<DeliveryStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<WebhookDeliveryConnection>> {
        let page = page(List::WebhookDeliveries, first, after, last, before)?;
        may_manage(ctx)?;
        let none = || Error::NotFound("webhook");
        let key = ids::parse(&webhook_id, Kind::WebhookEndpoint).ok_or_else(none)?;
        let endpoint = ctx.loaders()?.webhooks.load(key).await?.ok_or_else(none)?;
        let session = ctx.session()?;
        let slice = deliveries::of_endpoint(session.app.db.read(), &session.scope, &endpoint, status, &page).await?;
        Ok(Some(WebhookDeliveryConnection(Cut::new(
            &slice,
            List::WebhookDeliveries,
            deliveries::place,
            |row| WebhookDelivery(Arc::new(row.clone())),
        ))))
    }
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct WebhookMutations;

#[Object]
impl WebhookMutations {
    /// Lets an account, or a product's service, be told by signed HTTP requests. The payload shows the secret once.
    ///
    /// Codes: WEBHOOK_URL_NOT_ALLOWED, LIMIT_EXCEEDED.
    #[graphql(guard = "SignedIn")]
    async fn create_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The webhook.")] input: CreateWebhookInput,
    ) -> Result<Option<WebhookPayload>> {
        let owner = owner(ctx, input.account_id.as_ref(), input.product.as_deref()).await?;
        let session = ctx.session()?;
        let create = Create {
            owner,
            url: input.url,
            events: input.events,
        };
        Ok(Some(
            match commands::create(&session.app, &session.scope, create).await {
                Ok(row) => WebhookPayload {
                    secret: Some(row.secret.clone()),
                    webhook: Some(Webhook(Arc::new(row))),
                    user_errors: Vec::new(),
                },
                Err(error) => WebhookPayload {
                    webhook: None,
                    secret: None,
                    user_errors: refused(error)?,
                },
            },
        ))
    }

    /// Changes a webhook. One that is enabled begins anew: what failed before is forgotten.
    ///
    /// Codes: WEBHOOK_NOT_FOUND, WEBHOOK_URL_NOT_ALLOWED.
    #[graphql(guard = "SignedIn")]
    async fn update_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: UpdateWebhookInput,
    ) -> Result<Option<WebhookPayload>> {
        let change = Change {
            url: input.url,
            events: input.events,
            enabled: input.enabled,
            ..Change::default()
        };
        changed(ctx, &input.webhook_id, change).await
    }

    /// Gives a webhook up: nothing more is sent there.
    ///
    /// Codes: WEBHOOK_NOT_FOUND.
    #[graphql(guard = "SignedIn")]
    async fn delete_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The webhook.")] input: WebhookInput,
    ) -> Result<Option<WebhookPayload>> {
        let change = Change {
            delete: true,
            ..Change::default()
        };
        changed(ctx, &input.webhook_id, change).await
    }

    /// Gives a webhook another secret, which the payload shows once. For a day requests are signed with both.
    ///
    /// Codes: WEBHOOK_NOT_FOUND.
    #[graphql(guard = "SignedIn")]
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The webhook.")] input: WebhookInput,
    ) -> Result<Option<WebhookPayload>> {
        let change = Change {
            new_secret: true,
            ..Change::default()
        };
        changed(ctx, &input.webhook_id, change).await
    }
}
