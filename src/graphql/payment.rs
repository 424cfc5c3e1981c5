//! Payments: the payment history.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::enums::{PaymentMethod, PaymentPurpose, PaymentStatus};
use entity::{gateway_payment, payment};
use uuid::Uuid;

use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page};
use super::errors::Result;
use super::gateway::{NextAction, PaymentFailure};
use super::history::PaymentFilter;
use super::ids::{Kind, global};
use super::invoice::Invoice;
use super::loaders::ListKey;
use super::order::Order;
use super::refund::PaymentRefund;
use super::scalars::{DateTime, Money, instant, money};
use super::session::Reach as _;
use crate::store::page::Page;
use crate::store::payments;

#[derive(Clone, Debug)]
pub(crate) struct Payment(pub(crate) Arc<payment::Model>);

impl Payment {
    /// What it is at its gateway, if it is made through one.
    async fn attempt(&self, ctx: &Context<'_>) -> Result<Option<Arc<gateway_payment::Model>>> {
        if self.0.gateway.is_none() {
            return Ok(None);
        }
        ctx.loaders()?.gateway_payments.load(self.0.id).await
    }

    /// What the payer has to do next.
    pub(crate) async fn action(&self, ctx: &Context<'_>) -> Result<Option<NextAction>> {
        if self.0.status != PaymentStatus::Pending {
            return Ok(None);
        }
        let attempt = self.attempt(ctx).await?.filter(|attempt| !attempt.is_reviewed);
        Ok(attempt.and_then(|attempt| NextAction::of(&attempt.gateway, attempt.checkout.as_ref(), attempt.expires_at)))
    }
}

/// One movement of money for an order, an invoice or a top-up.
#[Object]
impl Payment {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Payment, self.0.id)
    }

    /// Its human code, without gaps within the account and the year.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// What it is for.
    async fn purpose(&self) -> PaymentPurpose {
        self.0.purpose
    }

    /// How it is made.
    async fn method(&self) -> PaymentMethod {
        self.0.method
    }

    /// Where it stands.
    async fn status(&self) -> PaymentStatus {
        self.0.status
    }

    /// All of it.
    async fn amount(&self) -> Result<Money> {
        money(self.0.amount_minor, &self.0.currency)
    }

    /// The part from the wallet's cash.
    async fn cash(&self) -> Result<Money> {
        money(self.0.cash_minor, &self.0.currency)
    }

    /// The part from the wallet's promotional money.
    async fn promotional(&self) -> Result<Money> {
        money(self.0.promotional_minor, &self.0.currency)
    }

    /// The part through a gateway.
    async fn through_gateway(&self) -> Result<Money> {
        money(self.0.gateway_minor, &self.0.currency)
    }

    /// The gateway.
    async fn gateway(&self) -> Option<&str> {
        self.0.gateway.as_deref()
    }

    /// What the payer has to do next, while it is not known yet.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn next_action(&self, ctx: &Context<'_>) -> Result<Option<NextAction>> {
        self.action(ctx).await
    }

    /// Until when the payer may pay; through a gateway only.
    async fn expires_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        Ok(self.attempt(ctx).await?.map(|attempt| attempt.expires_at.into()))
    }

    /// Whether its gateway looks into it: debited, and neither paid nor failed yet.
    async fn is_reviewed(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.attempt(ctx).await?.is_some_and(|attempt| attempt.is_reviewed))
    }

    /// Why it failed.
    async fn failure(&self, ctx: &Context<'_>) -> Result<Option<PaymentFailure>> {
        let attempt = self.attempt(ctx).await?;
        Ok(attempt.and_then(|attempt| {
            Some(PaymentFailure {
                code: attempt.decline.clone()?,
                detail: attempt.detail.clone(),
            })
        }))
    }

    /// What of it went back to its payer, or is on its way, the oldest first.
    async fn refunds(&self, ctx: &Context<'_>) -> Result<Vec<PaymentRefund>> {
        if self.0.gateway.is_none() {
            return Ok(Vec::new());
        }
        let refunds = ctx.loaders()?.refunds_of_payment.must(self.0.id).await?;
        Ok(refunds.into_iter().map(PaymentRefund).collect())
    }

    /// Whether its money went to the wallet because its order could not be paid with it any more.
    async fn became_credit(&self) -> bool {
        self.0.became_credit
    }

    /// What it was for, in words.
    async fn details(&self) -> &str {
        &self.0.details
    }

    /// Who made it.
    async fn made_by(&self) -> &str {
        &self.0.principal
    }

    /// The order it pays.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(order) = self.0.order_id else { return Ok(None) };
        Ok(ctx.loaders()?.orders.load(order).await?.map(Order))
    }

    /// The invoice it pays.
    #[graphql(guard = "Needs(Permission::GetBilling)")]
    async fn invoice(&self, ctx: &Context<'_>) -> Result<Option<Invoice>> {
        let Some(invoice) = self.0.invoice_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.invoices.load(invoice).await?.map(Invoice))
    }

    /// When it was begun.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it came to its end.
    async fn completed_at(&self) -> Option<DateTime> {
        instant(self.0.completed_at)
    }
}

connection!(
    /// A part of a list of payments.
    PaymentConnection,
    /// A payment and its place in the list.
    PaymentEdge,
    Payment
);

/// A page of an account's payments.
pub(crate) async fn of_account(
    ctx: &Context<'_>,
    account: Uuid,
    filter: Option<PaymentFilter>,
    page: Page,
) -> Result<PaymentConnection> {
    let slice = ctx
        .loaders()?
        .payments_of_account
        .must(ListKey::new(account, filter.unwrap_or_default().checked()?, page))
        .await?;
    Ok(PaymentConnection(Cut::new(
        &slice,
        List::Payments,
        |row| payments::place(row),
        |row| Payment(Arc::clone(row)),
    )))
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct PaymentQueries;

#[Object]
impl PaymentQueries {
    /// The payments of an account, newest first: the payment history.
    #[graphql(guard = "Needs(Permission::ListPayments)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "Which payments; all when absent.")] filter: Option<PaymentFilter>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<PaymentConnection>> {
        let page = page(List::Payments, first, after, last, before)?;
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account, filter, page).await.map(Some)
    }
}
