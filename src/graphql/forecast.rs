//! What would come if nobody did anything.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::enums::{EventType, ResourceStatus};

use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page};
use super::errors::Result;
use super::resource::Resource;
use super::scalars::{DateTime, Money, instant};
use super::session::Reach as _;
use super::user_error::UserErrorCode;
use crate::domain::lifecycle;
use crate::engine;
use crate::store::page::{Key, Place, Slice};

#[derive(Clone, Debug)]
pub(crate) struct Forecast(Arc<engine::Forecast>);

/// What would come if nobody did anything, and the engine were never late: its own decisions, at today's resources, the
/// prices that are known and the money that is there.
#[Object]
impl Forecast {
    /// How far it looks.
    async fn until(&self) -> DateTime {
        self.0.until.into()
    }

    /// What could be spent at its end.
    async fn available(&self) -> Money {
        self.0.available.into()
    }

    /// What would be paid for renewals in all.
    async fn charged(&self) -> Money {
        self.0.charged.into()
    }

    /// When the credit would first not suffice for a renewal; null when it suffices throughout.
    async fn runs_out_at(&self) -> Option<DateTime> {
        instant(self.0.runs_out_at)
    }

    /// The least to top up now so that the credit suffices throughout.
    async fn top_up(&self) -> Money {
        self.0.top_up.into()
    }

    /// Every renewal, failure and change of state, in order. Reminders are left out.
    async fn events(
        &self,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<ForecastEventConnection> {
        let page = page(List::Forecast, first, after, last, before)?;
        let slice = Slice::of(&self.0.events, &page);
        Ok(ForecastEventConnection(Cut::new(
            &slice,
            List::Forecast,
            |(number, _)| Place::unique(Key::Number(*number)),
            |(_, event)| ForecastEvent(event.clone()),
        )))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ForecastEvent(engine::Foreseen);

/// Something that would happen to a resource.
#[Object]
impl ForecastEvent {
    /// When.
    async fn at(&self) -> DateTime {
        self.0.at.into()
    }

    /// What would be told.
    #[graphql(name = "type")]
    async fn kind(&self) -> EventType {
        self.0.kind
    }

    /// The resource, as it is today.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Resource> {
        Ok(ctx.loaders()?.resources.must(self.0.resource.id).await?.into())
    }

    /// The status that it would have after it.
    async fn status(&self) -> ResourceStatus {
        lifecycle::display_status(self.0.resource.life, self.0.resource.power)
    }

    /// The end of what would be paid after it.
    async fn expires_at(&self) -> Option<DateTime> {
        instant(self.0.resource.paid_until)
    }

    /// What would be paid; null when it is no renewal.
    async fn amount(&self) -> Option<Money> {
        self.0.amount.map(Into::into)
    }

    /// Why a renewal would fail; null when it is no failure.
    async fn failure(&self) -> Option<UserErrorCode> {
        UserErrorCode::read(self.0.refusal.as_ref()?.code.as_str())
    }

    /// How much a renewal would be short of.
    async fn shortfall(&self) -> Option<Money> {
        self.0.shortfall().map(Into::into)
    }

    /// What could be spent after it.
    async fn available(&self) -> Money {
        self.0.available.into()
    }
}

connection!(
    /// A part of what would come.
    ForecastEventConnection,
    /// Something that would happen, and its place.
    ForecastEventEdge,
    ForecastEvent
);

/// The queries of this room.
#[derive(Default)]
pub(crate) struct ForecastQueries;

#[Object]
impl ForecastQueries {
    /// What would come up to an instant if nobody did anything: every renewal, failure and change of state, the credit
    /// after each, the day it runs out, and the least to top up so that it does not. For at most 400 days and 10,000
    /// resources; made anew for each request.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn forecast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far to look.")] until: DateTime,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Forecast>> {
        let session = ctx.session()?;
        let account = session.account(account_id.as_ref()).await?;
        let account = session.loaders().accounts.must(account).await?;
        let forecast = engine::forecast(&session.app, &session.scope, &account, until.0).await?;
        Ok(Some(Forecast(Arc::new(forecast))))
    }
}
