//! `node` and `nodes`: anything that has an id, refetched by it.

use async_graphql::{Context, ID, Interface, Object};

use super::account::Account;
use super::alert::ExpiryAlert;
use super::billing_address::BillingAddress;
use super::caller::{Permission, SignedIn};
use super::coupon::Coupon;
use super::credit_transfer::CreditTransfer;
use super::errors::{ApiError, Result};
use super::ids::{self, Kind};
use super::invoice::{CreditNote, Invoice};
use super::mail::MailDelivery;
use super::order::{Order, OrderItem};
use super::payment::Payment;
use super::payment_method::SavedPaymentMethod;
use super::product::{Product, ResourceType};
use super::provisioning::ProvisioningTask;
use super::quarantine::QuarantinedMoney;
use super::quote::Quote;
use super::resource::Resource;
use super::session::Reach as _;
use super::wallet::{Wallet, WalletEntry};
use super::webhook::{Webhook, WebhookDelivery};

/// The most ids of one `nodes`.
const MOST_IDS: usize = 100;

/// What can be refetched by its id.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "Its global id: opaque, and good for as long as the thing exists."
))]
#[allow(clippy::large_enum_variant, reason = "each variant is a shared pointer to its row")]
pub(crate) enum Node {
    Account(Account),
    Wallet(Wallet),
    WalletEntry(WalletEntry),
    Product(Product),
    ResourceType(ResourceType),
    Resource(Resource),
    Order(Order),
    OrderItem(OrderItem),
    Payment(Payment),
    Invoice(Invoice),
    CreditNote(CreditNote),
    Coupon(Coupon),
    Quote(Quote),
    ExpiryAlert(ExpiryAlert),
    ProvisioningTask(ProvisioningTask),
    Webhook(Webhook),
    WebhookDelivery(WebhookDelivery),
    MailDelivery(MailDelivery),
    QuarantinedMoney(QuarantinedMoney),
    SavedPaymentMethod(SavedPaymentMethod),
    BillingAddress(BillingAddress),
    CreditTransfer(CreditTransfer),
}

/// What a caller needs to see a thing by its id: as much as to see it in its list.
const fn permission(kind: Kind) -> Option<Permission> {
    match kind {
        Kind::Wallet | Kind::PaymentMethod => Some(Permission::GetUserBalance),
        Kind::WalletEntry | Kind::CreditTransfer => Some(Permission::ListCredit),
        Kind::Order | Kind::OrderItem | Kind::Quote | Kind::Coupon | Kind::MailDelivery => {
            Some(Permission::ListBillings)
        }
        Kind::Payment | Kind::Quarantine => Some(Permission::ListPayments),
        Kind::Invoice | Kind::CreditNote | Kind::BillingAddress => Some(Permission::GetBilling),
        Kind::WebhookEndpoint | Kind::WebhookDelivery => Some(Permission::ManageResources),
        Kind::Account
        | Kind::Product
        | Kind::ResourceType
        | Kind::Resource
        | Kind::ExpiryAlert
        | Kind::ProvisioningTask => None,
    }
}

async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let Some((kind, key)) = ids::read(id) else {
        return Ok(None);
    };
    // Whoever may not see a kind of things may not learn either which of them exist.
    if let Some(permission) = permission(kind) {
        ctx.caller()?.require(permission)?;
    }
    let loaders = ctx.loaders()?;
    Ok(match kind {
        Kind::Account => loaders.accounts.load(key).await?.map(|row| Node::Account(Account(row))),
        Kind::Wallet => loaders.wallets.load(key).await?.map(|row| Node::Wallet(Wallet(row))),
        Kind::WalletEntry => {
            let Some(row) = loaders.entries.load(key).await? else {
                return Ok(None);
            };
            WalletEntry::of_its_wallet(ctx, row).await?.map(Node::WalletEntry)
        }
        Kind::Product => loaders.products.load(key).await?.map(|row| Node::Product(Product(row))),
        Kind::ResourceType => loaders
            .resource_types
            .load(key)
            .await?
            .map(|row| Node::ResourceType(ResourceType(row))),
        Kind::Resource => loaders
            .resources
            .load(key)
            .await?
            .map(|row| Node::Resource(Resource::from(row))),
        Kind::Order => loaders.orders.load(key).await?.map(|row| Node::Order(Order(row))),
        Kind::OrderItem => loaders
            .items
            .load(key)
            .await?
            .map(|row| Node::OrderItem(OrderItem(row))),
        Kind::Payment => loaders.payments.load(key).await?.map(|row| Node::Payment(Payment(row))),
        Kind::Invoice => loaders.invoices.load(key).await?.map(|row| Node::Invoice(Invoice(row))),
        Kind::CreditNote => loaders
            .credit_notes
            .load(key)
            .await?
            .map(|row| Node::CreditNote(CreditNote(row))),
        Kind::Coupon => loaders.coupons.load(key).await?.map(|row| Node::Coupon(Coupon(row))),
        Kind::Quote => loaders
            .quotes
            .load(key)
            .await?
            .map(Quote::read)
            .transpose()?
            .map(Node::Quote),
        Kind::ExpiryAlert => loaders
            .alerts
            .load(key)
            .await?
            .map(|row| Node::ExpiryAlert(ExpiryAlert(row))),
        Kind::ProvisioningTask => loaders
            .tasks
            .load(key)
            .await?
            .map(|row| Node::ProvisioningTask(ProvisioningTask(row))),
        Kind::WebhookDelivery => loaders
            .webhook_deliveries
            .load(key)
            .await?
            .map(|row| Node::WebhookDelivery(WebhookDelivery(row))),
        Kind::Quarantine => {
            let row = loaders.quarantined.load(key).await?;
            row.map(|row| Node::QuarantinedMoney(QuarantinedMoney(row)))
        }
        Kind::PaymentMethod => {
            let row = loaders.payment_methods.load(key).await?;
            row.map(|row| Node::SavedPaymentMethod(SavedPaymentMethod(row)))
        }
        Kind::CreditTransfer => {
            let transfer = loaders.transfers.load(key).await?;
            transfer.map(|transfer| Node::CreditTransfer(CreditTransfer(transfer)))
        }
        Kind::BillingAddress => {
            let row = loaders.billing_addresses.load(key).await?;
            row.map(BillingAddress::of).transpose()?.map(Node::BillingAddress)
        }
        Kind::WebhookEndpoint => loaders.webhooks.load(key).await?.map(|row| Node::Webhook(Webhook(row))),
        Kind::MailDelivery => loaders
            .mail_deliveries
            .load(key)
            .await?
            .map(|row| Node::MailDelivery(MailDelivery(row))),
    })
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct NodeQueries;

#[Object]
impl NodeQueries {
    /// Anything by its id; null when there is no such thing for this caller.
    #[graphql(guard = "SignedIn")]
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: ID) -> Result<Option<Node>> {
        find(ctx, &id).await
    }

    /// Several things by their ids, in the same order, with null where there is no such thing for this caller.
    #[graphql(guard = "SignedIn")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ids, at most 100.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        if ids.len() > MOST_IDS {
            return Err(ApiError::bad_input(format!("Ask for at most {MOST_IDS} ids at once.")));
        }
        futures_util::future::try_join_all(ids.iter().map(|id| find(ctx, id))).await
    }
}
