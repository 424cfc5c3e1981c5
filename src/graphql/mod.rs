//! The schema: what clients see, and nothing else. Resolvers are thin: they read through loaders and call commands;
//! no rule and no statement is here.
//!
//! A room for each noun has its type, its queries, its mutations and its subscriptions. Entities do not leak: an object
//! wraps a row in a private field and names what it shows.

mod account;
mod alert;
mod apart;
mod auto_top_up;
mod billing_address;
mod caller;
mod connection;
mod coupon;
mod credit;
mod credit_transfer;
mod delivery;
mod engine;
mod errors;
mod event;
mod forecast;
mod gateway;
mod history;
mod ids;
mod in_place;
mod invoice;
mod loaders;
mod mail;
mod manage;
mod node;
mod order;
mod pay_by;
mod payment;
mod payment_method;
mod price;
mod product;
mod provisioning;
mod quarantine;
mod quote;
mod recipient;
mod refund;
mod releases;
mod renewal;
mod resource;
mod scalars;
mod seldom;
mod session;
mod shared;
mod showing;
mod sizes;
mod statement;
mod told;
mod user_error;
mod valid;
mod wallet;
mod webhook;
mod written;

#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::sync::Arc;

use async_graphql::{
    BatchRequest, BatchResponse, Data, Executor, MergedObject, MergedSubscription, Request, Response, SDLExportOptions,
    Schema, SchemaBuilder, ValidationMode, Value,
};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub use caller::{Caller, Permission, Permissions};
pub use sizes::list_sizes;
pub use written::{InJson, add_json};

use crate::app::App;
use seldom::Seldom;
use session::Session;
use shared::Groups;
use valid::{Known, Valid};
use written::Written;

// A field is looked for from the last room to the first: what is read most comes last.
/// What clients read.
#[derive(MergedObject, Default)]
pub struct Query(
    Seldom<SeldomRead>,
    invoice::InvoiceQueries,
    wallet::WalletQueries,
    resource::ResourceQueries,
    account::AccountQueries,
);

/// What clients read now and then.
#[derive(MergedObject, Default)]
pub struct SeldomRead(
    node::NodeQueries,
    product::ProductQueries,
    quote::QuoteQueries,
    order::OrderQueries,
    payment::PaymentQueries,
    gateway::GatewayQueries,
    payment_method::PaymentMethodQueries,
    auto_top_up::AutoTopUpQueries,
    quarantine::QuarantineQueries,
    alert::AlertQueries,
    provisioning::ProvisioningQueries,
    engine::EngineQueries,
    mail::MailQueries,
    forecast::ForecastQueries,
    webhook::WebhookQueries,
    billing_address::BillingAddressQueries,
);

/// What clients change. What moves money takes an idempotency key.
#[derive(MergedObject, Default)]
pub struct Mutation(
    quote::QuoteMutations,
    order::OrderMutations,
    gateway::TopUpMutations,
    payment_method::PaymentMethodMutations,
    auto_top_up::AutoTopUpMutations,
    refund::RefundMutations,
    quarantine::QuarantineMutations,
    statement::StatementMutations,
    provisioning::ProvisioningMutations,
    credit::CreditMutations,
    credit_transfer::CreditTransferMutations,
    coupon::CouponMutations,
    releases::ReleaseMutations,
    manage::ManageMutations,
    recipient::RecipientMutations,
    delivery::DeliveryMutations,
    alert::AlertMutations,
    engine::EngineMutations,
    webhook::WebhookMutations,
    billing_address::BillingAddressMutations,
);

/// What clients are told as it happens.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    alert::AlertSubscriptions,
    event::EventSubscriptions,
    order::OrderSubscriptions,
    wallet::WalletSubscriptions,
);

/// The schema as it is executed: with the mark of answers that are those of earlier calls, and with subscriptions that
/// are shared. The data of an answer that several subscribers are given is [`Value::Binary`]: JSON that is written. So may
/// parts of an answer be to what is asked [`InJson`].
#[derive(Clone)]
pub struct GatewaySchema(Arc<Schemas>);

struct Schemas {
    schema: Schema<Query, Mutation, Subscription>,
    /// The same, for requests that were found valid before.
    valid: Schema<Query, Mutation, Subscription>,
    known: Valid,
    groups: Groups,
}

impl std::fmt::Debug for GatewaySchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewaySchema")
    }
}

fn builder(validation: ValidationMode) -> SchemaBuilder<Query, Mutation, Subscription> {
    // The interfaces that no field answers by themselves would be left out otherwise.
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<node::Node>()
        .register_output_type::<user_error::UserError>()
        .validation_mode(validation)
}

/// The schema over a gateway. It has no limits of its own: whoever serves it measures documents before.
#[must_use]
pub fn schema(_app: Arc<App>) -> GatewaySchema {
    GatewaySchema(Arc::new(Schemas {
        schema: builder(ValidationMode::Strict).finish(),
        // A schema without federation looks through all its types for one that needs it, with each root field. This one has
        // it, and nobody sees: what is found valid is found so by the other, which has not, and what reads the schema is
        // never taken for known.
        valid: builder(ValidationMode::Fast).enable_federation().finish(),
        known: Valid::default(),
        groups: Groups::default(),
    }))
}

/// The published schema, the same on every run.
#[must_use]
pub fn sdl() -> String {
    builder(ValidationMode::Strict)
        .finish()
        .sdl_with_options(SDLExportOptions::new().include_specified_by().use_space_ident())
}

/// Puts into a request what its fields may use. A stranger gets nothing, and every field says so.
#[must_use]
pub fn prepare(request: Request, app: &Arc<App>, caller: Option<Caller>) -> Request {
    match caller.map(|caller| Session::open(Arc::clone(app), caller)) {
        Some(Ok(session)) => request.data(Arc::new(session)),
        Some(Err(error)) => {
            tracing::warn!(%error, "a token without the claims of its role was let through");
            request
        }
        None => request,
    }
}

impl GatewaySchema {
    /// Runs an operation. Boxed here, so that the futures of all fields are compiled once, with this crate, and not
    /// again into each program that runs one.
    fn run(&self, mut request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let schemas = &*self.0;
            let in_json = request.data.contains_key(&TypeId::of::<InJson>());
            let (known, key) = match valid::key(&request) {
                Some(key) => match schemas.known.what_of(&key) {
                    None => (None, Some(key.into_owned())),
                    known => (known, None),
                },
                None => (None, None),
            };
            let schema = match known {
                Some(known) => {
                    if in_json && !known.merges {
                        request.data.insert(Written);
                    }
                    &schemas.valid
                }
                None => &schemas.schema,
            };
            // To be kept where it is found valid, which what can't be parsed is not.
            let found = Known {
                merges: key.is_some() && request.parsed_query().is_ok_and(written::merges),
            };
            let session = session_of(&request.data);
            if let Some(session) = &session
                && may_select_cursor(&request)
            {
                session.begin_at_cursor().await;
            }
            let mut response = schema.execute(request).await;
            if let Some(key) = key {
                schemas.known.keep(key, found, &response);
            }
            if in_json && !response.errors.is_empty() {
                response.data = written::read(response.data);
            }
            match session {
                Some(session) if session.is_replay() => response.extension("idempotentReplay", Value::Boolean(true)),
                _ => response,
            }
        })
    }
}

impl Executor for GatewaySchema {
    fn execute(&self, request: Request) -> impl Future<Output = Response> + Send {
        self.run(request)
    }

    async fn execute_batch(&self, batch: BatchRequest) -> BatchResponse {
        match batch {
            BatchRequest::Single(request) => BatchResponse::Single(self.execute(request).await),
            BatchRequest::Batch(requests) => {
                // One after the other: what a batch writes happens in its order.
                let mut responses = Vec::with_capacity(requests.len());
                for request in requests {
                    responses.push(self.execute(request).await);
                }
                BatchResponse::Batch(responses)
            }
        }
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let schema = self.0.schema.clone();
        let run = move |request| Executor::execute_stream(&schema, request, session_data.clone());
        self.0.groups.subscribe(request, Arc::new(run))
    }
}

/// Whether an operation may ask for the place in a stream of events. A document that is known by its hash alone may.
fn may_select_cursor(request: &Request) -> bool {
    request.query.is_empty() || request.query.contains("eventCursor")
}

fn session_of(data: &Data) -> Option<Arc<Session>> {
    data.get(&TypeId::of::<Arc<Session>>())?
        .downcast_ref::<Arc<Session>>()
        .map(Arc::clone)
}
