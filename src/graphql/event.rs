//! What an account is told, as it happens.

use std::collections::HashSet;

use async_graphql::{Context, ID, Object, Subscription};
use entity::enums::EventType;
use futures_util::stream::BoxStream;

use super::alert::ExpiryAlert;
use super::caller::{Needs, Permission, ReadsAccounts};
use super::errors::Result;
use super::in_place::InPlace;
use super::invoice::Invoice;
use super::order::Order;
use super::payment::Payment;
use super::resource::Resource;
use super::scalars::{DateTime, EventCursor};
use super::session::{Reach as _, Session};
use super::showing::{Shows, shown};
use super::wallet::Wallet;
use crate::live::{Cursor, Told};

#[derive(Clone, Debug)]
pub(crate) struct AccountEvent(pub(crate) Told);

/// Something an account is told. What it is about is shown as it is now.
#[Object]
impl AccountEvent {
    /// Its place: what to resume after.
    async fn cursor(&self) -> EventCursor {
        self.0.cursor.into()
    }

    /// What happened.
    #[graphql(name = "type")]
    async fn kind(&self) -> EventType {
        self.0.event.kind
    }

    /// When.
    async fn created_at(&self) -> DateTime {
        self.0.event.created_at.into()
    }

    /// Whether it happened before this subscription began.
    async fn replayed(&self) -> bool {
        self.0.replayed
    }

    /// The resource it is about.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Option<Resource>> {
        let Some(key) = self.0.event.resource_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.resources.load(key).await?.map(Resource::from))
    }

    /// The order it is about.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(key) = self.0.event.order_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.orders.load(key).await?.map(Order))
    }

    /// The payment it is about.
    #[graphql(guard = "Needs(Permission::ListPayments)")]
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        let Some(key) = self.0.event.payment_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.payments.load(key).await?.map(Payment))
    }

    /// The invoice it is about.
    #[graphql(guard = "Needs(Permission::GetBilling)")]
    async fn invoice(&self, ctx: &Context<'_>) -> Result<Option<Invoice>> {
        let Some(key) = self.0.event.invoice_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.invoices.load(key).await?.map(Invoice))
    }

    /// The expiry alert it carries.
    async fn alert(&self, ctx: &Context<'_>) -> Result<Option<ExpiryAlert>> {
        let Some(key) = self.0.event.alert_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.alerts.load(key).await?.map(ExpiryAlert))
    }

    /// The wallet it is about.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn wallet(&self, ctx: &Context<'_>) -> Result<Option<Wallet>> {
        let Some(key) = self.0.event.wallet_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.wallets.load(key).await?.map(Wallet))
    }
}

/// Which types are told, each once; none named is all.
fn wanted(types: Option<Vec<EventType>>) -> Option<HashSet<EventType>> {
    types.filter(|types| !types.is_empty()).map(HashSet::from_iter)
}

/// The subscriptions of this room.
#[derive(Default)]
pub(crate) struct EventSubscriptions;

#[Subscription]
impl EventSubscriptions {
    /// What the account is told: the events after the cursor first, then each new one, in order and without gaps
    /// unless `types` leaves some out. An older or foreign cursor answers CURSOR_EXPIRED: read the lists again and go
    /// on from `account.eventCursor`.
    #[graphql(guard = "ReadsAccounts")]
    async fn account_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Behind which event; from now on when absent.")] after: Option<EventCursor>,
        #[graphql(desc = "Of these types only; of all when empty.")] types: Option<Vec<EventType>>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<Option<InPlace<AccountEvent>>>>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        let after = after.map(|cursor| Cursor::decode(&cursor.0)).transpose()?;
        shown(ctx, account, after, Events { types: wanted(types) }).await
    }
}

struct Events {
    types: Option<HashSet<EventType>>,
}

impl Shows for Events {
    type Shown = Option<InPlace<AccountEvent>>;

    async fn show(&self, _session: &Session, told: Told) -> Option<Result<Self::Shown>> {
        let types = self.types.as_ref();
        let told_of = types.is_none_or(|types| types.contains(&told.event.kind));
        told_of.then_some(Ok(Some(InPlace(AccountEvent(told)))))
    }
}

#[cfg(test)]
mod tests {
    use super::{EventType, wanted};

    #[test]
    fn no_type_named_is_like_no_filter() {
        assert_eq!(wanted(None), None);
        assert_eq!(wanted(Some(Vec::new())), None);
        let one = wanted(Some(vec![EventType::OrderPaid; 1_000]));
        assert_eq!(one.map(|types| types.len()), Some(1));
    }
}
