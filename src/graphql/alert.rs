//! Expiry alerts: stored, listed, and pushed to whoever listens.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription};
use entity::enums::StepKind;
use entity::expiry_alert;
use futures_util::stream::BoxStream;
use uuid::Uuid;

use super::caller::{Needs, Permission, ReadsAccounts};
use super::connection::{Cut, List, connection, page, selects};
use super::errors::Result;
use super::ids::{self, Kind, global};
use super::in_place::InPlace;
use super::loaders::{ListKey, ListedAlert};
use super::renewal::Renewal;
use super::resource::Resource;
use super::scalars::{DateTime, EventCursor, Money, instant, money};
use super::session::{Reach as _, Session};
use super::showing::{Shows, shown};
use super::user_error::{UserError, UserErrorCode, refused};
use crate::commands::alerts as commands;
use crate::live::{Cursor, Told};
use crate::store::alerts::{self, Listing};
use crate::store::page::{Page, Slice};

#[derive(Clone, Debug)]
pub(crate) struct ExpiryAlert(pub(crate) Arc<expiry_alert::Model>);

/// An expiry alert: exactly one for each resource, paid period and step, however often the engine runs.
#[Object]
impl ExpiryAlert {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::ExpiryAlert, self.0.id)
    }

    /// The resource whose paid time ends.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Resource> {
        Ok(ctx.loaders()?.resources.must(self.0.resource_id).await?.into())
    }

    /// What the step of the schedule does.
    async fn kind(&self) -> StepKind {
        self.0.kind
    }

    /// The step of the schedule: its kind and its days from the end of what is paid.
    async fn step(&self) -> &str {
        &self.0.step
    }

    /// Whole days to the end of what is paid, begun ones counted; negative after it.
    async fn days_left(&self) -> i32 {
        self.0.days_left
    }

    /// The end of what is paid.
    async fn expires_at(&self) -> DateTime {
        self.0.expires_at.into()
    }

    /// When the resource will be deleted for good, as far as it is known.
    async fn releases_at(&self) -> Option<DateTime> {
        instant(self.0.releases_at)
    }

    /// Why a renewal failed, for an attempt to renew.
    async fn failure(&self) -> Option<UserErrorCode> {
        self.0.failure.as_deref().and_then(UserErrorCode::read)
    }

    /// How much credit a renewal was short of: the least to top up.
    #[graphql(guard = "Needs(Permission::GetUserBalance)")]
    async fn shortfall(&self, ctx: &Context<'_>) -> Result<Option<Money>> {
        let Some(shortfall) = self.0.shortfall_minor else {
            return Ok(None);
        };
        let account = ctx.loaders()?.accounts.must(self.0.account_id).await?;
        money(shortfall, &account.currency).map(Some)
    }

    /// What renewing the resource would cost as things stand now, not as they stood when the alert was sent; null when the
    /// resource has come to its end.
    async fn renewal(&self, ctx: &Context<'_>) -> Result<Option<Renewal>> {
        let resource = ctx.loaders()?.resources.must(self.0.resource_id).await?;
        Renewal::of(ctx, resource).await
    }

    /// When it was sent.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When somebody said they had seen it.
    async fn acknowledged_at(&self) -> Option<DateTime> {
        instant(self.0.acknowledged_at)
    }

    /// Who said so.
    async fn acknowledged_by(&self) -> Option<&str> {
        self.0.acknowledged_by.as_deref()
    }

    /// Its place in the account's stream of events: a subscription resumes after it.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<EventCursor> {
        let epoch = ctx.session()?.app.epoch;
        Ok(Cursor::new(epoch, self.0.account_id, self.0.event_sequence).into())
    }
}

connection!(
    /// A part of a list of expiry alerts.
    ExpiryAlertConnection,
    /// An expiry alert and its place in the list.
    ExpiryAlertEdge,
    ExpiryAlert
);

/// An expiry alert as it arrives.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ExpiryAlertEvent {
    /// Its place: what to resume after.
    cursor: EventCursor,
    /// The alert.
    alert: ExpiryAlert,
    /// Whether it was sent before this subscription began.
    replayed: bool,
}

async fn connected(ctx: &Context<'_>, slice: &Slice<ListedAlert>) -> Result<InPlace<ExpiryAlertConnection>> {
    let joined = slice
        .rows
        .iter()
        .filter_map(|row| row.resource.clone().map(|resource| (resource.id, resource)))
        .collect();
    ctx.loaders()?.resources.prime(joined).await;
    let place = |row: &ListedAlert| alerts::place(&row.alert);
    Ok(InPlace(ExpiryAlertConnection(Cut::new(
        slice,
        List::Alerts,
        place,
        |row| ExpiryAlert(Arc::clone(&row.alert)),
    ))))
}

/// A page of an account's alerts.
pub(crate) async fn of_account(
    ctx: &Context<'_>,
    account: Uuid,
    acknowledged: Option<bool>,
    page: Page,
) -> Result<InPlace<ExpiryAlertConnection>> {
    let listing = Listing {
        acknowledged,
        with_resource: selects(ctx, "resource"),
    };
    let slice = ctx
        .loaders()?
        .alerts_of_account
        .must(ListKey::new(account, listing, page))
        .await?;
    connected(ctx, &slice).await
}

/// A page of a resource's alerts.
pub(crate) async fn of_resource(
    ctx: &Context<'_>,
    resource: &Resource,
    page: Page,
) -> Result<InPlace<ExpiryAlertConnection>> {
    let loaders = ctx.loaders()?;
    let slice = loaders
        .alerts_of_resource
        .must(ListKey::new(resource.key(), Listing::default(), page))
        .await?;
    let shown = selects(ctx, "resource") || selects(ctx, "renewal");
    if let (true, Some(whole)) = (shown, resource.whole()) {
        loaders.resources.prime(vec![(whole.id, Arc::clone(whole))]).await;
    }
    connected(ctx, &slice).await
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct AlertQueries;

#[Object]
impl AlertQueries {
    /// The expiry alerts of an account, newest first.
    #[graphql(guard = "ReadsAccounts")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn expiry_alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "Acknowledged ones only, or the others only.")] acknowledged: Option<bool>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<InPlace<ExpiryAlertConnection>>> {
        let page = page(List::Alerts, first, after, last, before)?;
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account, acknowledged, page).await.map(Some)
    }
}

/// Alerts that were seen.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct AcknowledgeAlertsInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The alerts, 1 to 100.
    alert_ids: Vec<ID>,
}

/// What acknowledging did.
#[derive(Debug, SimpleObject)]
pub(crate) struct AcknowledgeAlertsPayload {
    /// The alerts as they now are, in the order they were named; null when it was refused.
    alerts: Option<Vec<ExpiryAlert>>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct AlertMutations;

#[Object]
impl AlertMutations {
    /// Notes that alerts were seen, all of them or none. One that was acknowledged before keeps by whom and when.
    ///
    /// Codes: NOTHING_TO_BUY, TOO_MANY_ITEMS, ALERT_NOT_FOUND.
    #[graphql(guard = "Needs(Permission::ManageResources)")]
    async fn acknowledge_alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The alerts.")] input: AcknowledgeAlertsInput,
    ) -> Result<Option<AcknowledgeAlertsPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let keys: std::result::Result<Vec<Uuid>, _> = if input.alert_ids.len() > commands::MOST_ALERTS {
            Err(commands::too_many())
        } else {
            let key = |(place, id)| ids::parse(id, Kind::ExpiryAlert).ok_or_else(|| commands::missing(place));
            input.alert_ids.iter().enumerate().map(key).collect()
        };
        let done = match keys {
            Ok(keys) => commands::acknowledge(&session.app, &session.scope, account, &keys)
                .await
                .map(|()| keys),
            Err(refusal) => Err(refusal.into()),
        };
        let keys = match done {
            Ok(keys) => keys,
            Err(error) => {
                return Ok(Some(AcknowledgeAlertsPayload {
                    alerts: None,
                    user_errors: refused(error)?,
                }));
            }
        };
        session.forget();
        let loaders = session.loaders();
        let mut seen = Vec::with_capacity(keys.len());
        for key in keys {
            seen.push(ExpiryAlert(loaders.alerts.must(key).await?));
        }
        Ok(Some(AcknowledgeAlertsPayload {
            alerts: Some(seen),
            user_errors: Vec::new(),
        }))
    }
}

/// The subscriptions of this room.
#[derive(Default)]
pub(crate) struct AlertSubscriptions;

#[Subscription]
impl AlertSubscriptions {
    /// Expiry alerts as they are sent: those after the cursor first, then each new one. Nothing is missed and nothing
    /// comes twice. An older or foreign cursor answers CURSOR_EXPIRED: read the list again and go on from
    /// `account.eventCursor`.
    #[graphql(guard = "ReadsAccounts")]
    async fn expiry_alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Behind which event; from now on when absent.")] after: Option<EventCursor>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<Option<ExpiryAlertEvent>>>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        let after = after.map(|cursor| Cursor::decode(&cursor.0)).transpose()?;
        shown(ctx, account, after, Alerts).await
    }
}

struct Alerts;

impl Shows for Alerts {
    type Shown = Option<ExpiryAlertEvent>;

    async fn show(&self, session: &Session, told: Told) -> Option<Result<Self::Shown>> {
        let found = session.loaders().alerts.must(told.event.alert_id?).await;
        Some(found.map(|alert| {
            Some(ExpiryAlertEvent {
                cursor: told.cursor.into(),
                alert: ExpiryAlert(alert),
                replayed: told.replayed,
            })
        }))
    }
}
