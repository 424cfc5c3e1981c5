//! The account and the viewer: where most pages begin.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::account;
use entity::enums::{BillingMode, InvoiceStatus, Language, OrderStatus, Role, WalletKind};

use super::alert::{self, ExpiryAlertConnection};
use super::billing_address::{self, BillingAddress};
use super::caller::{Needs, Permission, ReadsAccounts, SignedIn};
use super::connection::{List, page};
use super::errors::Result;
use super::history::PaymentFilter;
use super::ids::{Kind, global};
use super::in_place::InPlace;
use super::invoice::{self, InvoiceConnection};
use super::order::{self, OrderConnection};
use super::payment::{self, PaymentConnection};
use super::recipient::{self, AlertRecipient};
use super::resource::{self, ResourceConnection, ResourceFilter, ResourceOrder};
use super::scalars::{CurrencyCode, DateTime, EventCursor};
use super::session::Reach as _;
use super::wallet::{self, Wallet};
use crate::live::Cursor;

#[derive(Clone, Debug)]
pub(crate) struct Account(pub(crate) Arc<account::Model>);

/// A customer organisation: it owns wallets, resources, orders and invoices.
#[Object]
impl Account {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Account, self.0.id)
    }

    /// Its short name in document codes.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// What it calls itself.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Its IANA time zone: its days begin and its reminders come by it.
    async fn zone(&self) -> &str {
        &self.0.zone
    }

    /// The language it is written to.
    async fn language(&self) -> Language {
        self.0.language
    }

    /// Whether it pays before or after use.
    async fn mode(&self) -> BillingMode {
        self.0.mode
    }

    /// The currency of all its amounts.
    async fn currency(&self) -> CurrencyCode {
        CurrencyCode(self.0.currency.clone())
    }

    /// When it was opened.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// The place of this answer in the account's stream of events: subscribe after it, and nothing is missed that the
    /// answer's lists do not show. For a caller of another account, as operators are, that holds for the lists below
    /// the account.
    async fn event_cursor(&self, ctx: &Context<'_>) -> Result<EventCursor> {
        let epoch = ctx.session()?.app.epoch;
        Ok(Cursor::new(epoch, self.0.id, self.0.event_sequence).into())
    }

    /// Its wallets, the credit wallet first.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallets(&self, ctx: &Context<'_>) -> Result<Option<Vec<Wallet>>> {
        wallet::of_account(ctx, self.0.id).await.map(Some)
    }

    /// One of its wallets; null when it has none of this kind.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallet(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which wallet.", default_with = "Some(WalletKind::Credit)")] kind: Option<WalletKind>,
    ) -> Result<Option<Wallet>> {
        Ok(wallet::of_account(ctx, self.0.id)
            .await?
            .into_iter()
            .find(|wallet| wallet.0.kind == kind.unwrap_or(WalletKind::Credit)))
    }

    /// Its resources.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn resources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which resources; all when absent.")] filter: Option<ResourceFilter>,
        #[graphql(desc = "In which order; the soonest to expire first when absent.")] order_by: Option<ResourceOrder>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<InPlace<ResourceConnection>> {
        let order = order_by.unwrap_or_default();
        let page = page(order.list(), first, after, last, before)?;
        resource::of_account(ctx, self.0.id, filter, order, page).await
    }

    /// Its orders, newest first.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of one status only.")] status: Option<OrderStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<OrderConnection>> {
        let page = page(List::Orders, first, after, last, before)?;
        order::of_account(ctx, self.0.id, status, page).await.map(Some)
    }

    /// Its payments, newest first: the payment history.
    #[graphql(guard = "Needs(Permission::ListPayments)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payments; all when absent.")] filter: Option<PaymentFilter>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<PaymentConnection>> {
        let page = page(List::Payments, first, after, last, before)?;
        payment::of_account(ctx, self.0.id, filter, page).await.map(Some)
    }

    /// Its invoices, newest first: the billing history.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of these statuses only; of all when empty.")] status: Option<Vec<InvoiceStatus>>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<InPlace<InvoiceConnection>>> {
        let page = page(List::Invoices, first, after, last, before)?;
        invoice::of_account(ctx, self.0.id, status, page).await.map(Some)
    }

    /// Who is written to about it, those who have not confirmed their address included.
    async fn alert_recipients(&self, ctx: &Context<'_>) -> Result<Vec<AlertRecipient>> {
        recipient::of_account(ctx, self.0.id).await
    }

    /// To whom its invoices may be written, the default one first; at most 20.
    #[graphql(guard = "Needs(Permission::GetBilling)")]
    async fn billing_addresses(&self, ctx: &Context<'_>) -> Result<Option<Vec<BillingAddress>>> {
        billing_address::of_account(ctx, self.0.id).await.map(Some)
    }

    /// Its expiry alerts, newest first.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn expiry_alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Acknowledged ones only, or the others only.")] acknowledged: Option<bool>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<InPlace<ExpiryAlertConnection>> {
        alert::of_account(
            ctx,
            self.0.id,
            acknowledged,
            page(List::Alerts, first, after, last, before)?,
        )
        .await
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer;

/// Whoever calls, as the token says.
#[Object]
impl Viewer {
    /// Whom the token names.
    async fn principal(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.caller()?.principal.clone())
    }

    /// What it is.
    async fn role(&self, ctx: &Context<'_>) -> Result<Role> {
        Ok(ctx.caller()?.role)
    }

    /// What it may do.
    async fn permissions(&self, ctx: &Context<'_>) -> Result<Vec<Permission>> {
        Ok(ctx.caller()?.permissions.iter().collect())
    }

    /// The code of the product it serves, if it is a product's service.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(ctx.caller()?.product.clone())
    }

    /// The account it acts for, if it has one of its own.
    async fn account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        let Some(own) = ctx.caller()?.account else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.accounts.load(own).await?.map(Account))
    }

    /// The accounts that its token names. Operators may use every account, by its id.
    async fn accounts(&self, ctx: &Context<'_>) -> Result<Vec<Account>> {
        let loaders = ctx.loaders()?;
        let own = ctx
            .caller()?
            .accounts
            .iter()
            .map(|account| loaders.accounts.load(*account));
        let found = futures_util::future::try_join_all(own).await?;
        Ok(found.into_iter().flatten().map(Account).collect())
    }
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct AccountQueries;

#[Object]
impl AccountQueries {
    /// Whoever calls: principal, role, permissions, the accounts it may use.
    #[graphql(guard = "SignedIn")]
    async fn viewer(&self) -> Option<Viewer> {
        Some(Viewer)
    }

    /// An account, the caller's own when no id is given; null when there is no such account for this caller.
    #[graphql(guard = "ReadsAccounts")]
    async fn account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which account; the caller's own when absent.")] id: Option<ID>,
    ) -> Result<Option<Account>> {
        let session = ctx.session()?;
        let key = match &id {
            Some(id) => super::ids::parse(id, Kind::Account),
            None => session.caller.account,
        };
        let Some(key) = key else { return Ok(None) };
        Ok(session.loaders().accounts.load(key).await?.map(Account))
    }
}
