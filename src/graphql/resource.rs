//! Resources: what the account has bought, and how long it still lives.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Lookahead, Object, SimpleObject};
use chrono::TimeDelta;
use entity::enums::{DayCount, Health, InvoiceStatus, Life, PeriodStatus, Power, ResourceStatus, TagKind};
use entity::{paid_period, resource, resource_tag};
use uuid::Uuid;

use super::alert::{self, ExpiryAlertConnection};
use super::caller::{Needs, Permission, ReadsAccounts};
use super::connection::{Cut, List, connection, page, rows, rows_of, selects, selects_any};
use super::errors::{ApiError, Result};
use super::ids::{Kind, global};
use super::in_place::InPlace;
use super::invoice::{self, InvoiceConnection};
use super::loaders::{ListKey, ListedResource};
use super::price::{PricedLine, lines};
use super::product::{Product, ResourceType};
use super::renewal::Renewal;
use super::scalars::{DateTime, Money, instant, money};
use super::session::Reach as _;
use crate::domain::{lifecycle, quote, schedule};
use crate::error::Error;
use crate::store::page::Page;
use crate::store::resources::{self, Head, Listing, Sort};

/// The fields that a resource's [`Head`] does not answer.
const WHOLE: &[&str] = &[
    "configuration",
    "externalId",
    "autoRenewMonths",
    "renewal",
    "currentPeriod",
    "createdBy",
    "provisionedAt",
    "endedAt",
];
/// The lists of it whose rows may show it again.
const SHOWN_IN: &[&str] = &["invoices", "expiryAlerts"];

/// The longest text that is searched for.
const MOST_CHARACTERS: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    head: Arc<Head>,
    whole: Option<Arc<resource::Model>>,
}

impl From<Arc<resource::Model>> for Resource {
    fn from(whole: Arc<resource::Model>) -> Self {
        Self {
            head: Arc::new(Head::from(&*whole)),
            whole: Some(whole),
        }
    }
}

impl Resource {
    /// Its key.
    pub(crate) fn key(&self) -> Uuid {
        self.head.id
    }

    /// All of it, where it was read so.
    pub(crate) fn whole(&self) -> Option<&Arc<resource::Model>> {
        self.whole.as_ref()
    }

    /// All of it: read with it when the selection was seen to ask for it, otherwise now.
    async fn row(&self, ctx: &Context<'_>) -> Result<Arc<resource::Model>> {
        match &self.whole {
            Some(whole) => Ok(Arc::clone(whole)),
            None => ctx.loaders()?.resources.must(self.head.id).await,
        }
    }
}

/// Something the account has bought: a server, a disk, a storage project.
#[Object]
impl Resource {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Resource, self.head.id)
    }

    /// What the customer calls it.
    async fn name(&self) -> &str {
        &self.head.name
    }

    /// The status to show: its life, and STOPPED for an active one that the customer has switched off.
    async fn status(&self) -> ResourceStatus {
        lifecycle::display_status(self.head.life, self.head.power)
    }

    /// Where it stands in its life.
    async fn life(&self) -> Life {
        self.head.life
    }

    /// Whether the customer has switched it off.
    async fn power(&self) -> Power {
        self.head.power
    }

    /// The product.
    async fn product(&self, ctx: &Context<'_>) -> Result<Product> {
        Ok(Product(ctx.loaders()?.products.must(self.head.product_id).await?))
    }

    /// What kind of resource it is.
    async fn resource_type(&self, ctx: &Context<'_>) -> Result<ResourceType> {
        Ok(ResourceType(
            ctx.loaders()?.resource_types.must(self.head.resource_type_id).await?,
        ))
    }

    /// What it is made of.
    async fn configuration(&self, ctx: &Context<'_>) -> Result<Vec<ConfiguredComponent>> {
        Ok(self.row(ctx).await?.configuration.read().map_err(Error::from)?)
    }

    /// The product's own name for it.
    async fn external_id(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(self.row(ctx).await?.external_id.clone())
    }

    /// The end of what is paid. It expires then unless it is renewed; null until it is provisioned.
    async fn expires_at(&self) -> Option<DateTime> {
        instant(self.head.paid_until)
    }

    /// How much paid time is left; null before it is provisioned and after its end.
    async fn health(&self, ctx: &Context<'_>) -> Result<Option<Health>> {
        let living = matches!(
            self.head.life,
            Life::Active | Life::Grace | Life::Suspended | Life::Trashed
        );
        let now = ctx.loaders()?.now;
        Ok(self
            .head
            .paid_until
            .filter(|_| living)
            .map(|until| schedule::health(until, now)))
    }

    /// Whether the engine renews it from credit.
    async fn auto_renew(&self) -> bool {
        self.head.auto_renew
    }

    /// By how many months the engine renews it.
    async fn auto_renew_months(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(self.row(ctx).await?.auto_renew_months)
    }

    /// What renewing it would cost as things stand, and whether the engine will try to; null when it has come to its end.
    async fn renewal(&self, ctx: &Context<'_>) -> Result<Option<Renewal>> {
        Renewal::of(ctx, self.row(ctx).await?).await
    }

    /// Its tags, by key.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<Tag>> {
        Ok(ctx
            .loaders()?
            .tags_of_resource
            .must(self.head.id)
            .await?
            .into_iter()
            .map(|row| Tag::of(&row))
            .collect())
    }

    /// The paid period that reaches furthest; null until it is provisioned.
    async fn current_period(&self, ctx: &Context<'_>) -> Result<Option<PaidPeriod>> {
        let Some(period) = self.row(ctx).await?.period_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.periods.load(period).await?.map(PaidPeriod))
    }

    /// Its invoices, newest first.
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
        invoice::of_resource(ctx, self, status, page).await.map(Some)
    }

    /// Its expiry alerts, newest first.
    async fn expiry_alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<InPlace<ExpiryAlertConnection>> {
        alert::of_resource(ctx, self, page(List::Alerts, first, after, last, before)?).await
    }

    /// Who bought it.
    async fn created_by(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(self.row(ctx).await?.created_by.clone())
    }

    /// When it was ordered.
    async fn created_at(&self) -> DateTime {
        self.head.created_at.into()
    }

    /// When it was provisioned.
    async fn provisioned_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        Ok(instant(self.row(ctx).await?.provisioned_at))
    }

    /// When it was deleted, released or failed.
    async fn ended_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        Ok(instant(self.row(ctx).await?.ended_at))
    }
}

/// A component of a configuration and how many units of it there are.
#[derive(Clone, Debug, SimpleObject, serde::Deserialize)]
pub(crate) struct ConfiguredComponent {
    /// Its short name.
    code: String,
    /// Its name.
    name: String,
    /// What one unit of it is.
    unit_label: String,
    /// How many units.
    quantity: i64,
}

impl From<quote::ConfiguredComponent> for ConfiguredComponent {
    fn from(component: quote::ConfiguredComponent) -> Self {
        let quote::ConfiguredComponent {
            component_id: _,
            code,
            name,
            unit_label,
            quantity,
        } = component;
        Self {
            code,
            name,
            unit_label,
            quantity,
        }
    }
}

/// A key and a value on a resource.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct Tag {
    /// The key.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: String,
    /// Who wrote it; null where that is not kept.
    pub(crate) kind: Option<TagKind>,
}

impl Tag {
    fn of(row: &resource_tag::Model) -> Self {
        Self {
            key: row.key.clone(),
            value: row.value.clone(),
            kind: Some(row.kind),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PaidPeriod(Arc<paid_period::Model>);

/// A span of a resource's life that was paid for.
#[Object]
impl PaidPeriod {
    /// Its place in the resource's life, from 1.
    async fn sequence(&self) -> i32 {
        self.0.sequence
    }

    /// Where it stands.
    async fn status(&self) -> PeriodStatus {
        self.0.status
    }

    /// Its first instant.
    async fn starts_at(&self) -> DateTime {
        self.0.starts_at.into()
    }

    /// Its end, exclusive.
    async fn ends_at(&self) -> DateTime {
        self.0.ends_at.into()
    }

    /// Its length by its day count, in minutes.
    async fn length_minutes(&self) -> i64 {
        self.0.length_minutes
    }

    /// The minutes its price was made for.
    async fn priced_minutes(&self) -> i64 {
        self.0.priced_minutes
    }

    /// How its length is counted.
    async fn day_count(&self) -> DayCount {
        self.0.day_count
    }

    /// Net and tax, before the coupon.
    async fn gross(&self) -> Result<Money> {
        money(self.0.gross_minor, &self.0.currency)
    }

    /// What the coupon took off.
    async fn coupon(&self) -> Result<Money> {
        money(self.0.coupon_minor, &self.0.currency)
    }

    /// The tax within.
    async fn tax(&self) -> Result<Money> {
        money(self.0.tax_minor, &self.0.currency)
    }

    /// What was charged for it.
    async fn charged(&self) -> Result<Money> {
        money(self.0.charged_minor, &self.0.currency)
    }

    /// How much of that was promotional money.
    async fn promotional(&self) -> Result<Money> {
        money(self.0.charged_promotional_minor, &self.0.currency)
    }

    /// Its components, as they were priced.
    async fn lines(&self) -> Result<Vec<PricedLine>> {
        lines(&self.0.configuration, self.0.account_id)
    }
}

connection!(
    /// A part of a list of resources.
    ResourceConnection,
    /// A resource and its place in the list.
    ResourceEdge,
    Resource
);

/// Which resources are listed. What is not given does not matter.
#[derive(Clone, Debug, Default, InputObject)]
pub(crate) struct ResourceFilter {
    /// Of the product with this code.
    product: Option<String>,
    /// Of the resource type with this code.
    resource_type: Option<String>,
    /// Of these statuses; of all when empty.
    status: Option<Vec<ResourceStatus>>,
    /// With so much paid time left.
    health: Option<Health>,
    /// Renewed by the engine, or not.
    auto_renew: Option<bool>,
    /// With this tag.
    tag: Option<TagFilter>,
    /// With this text in the name or the external id, in any case.
    text: Option<String>,
}

/// A tag to look for.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct TagFilter {
    /// Its key.
    key: String,
    /// Its value; any when absent.
    value: Option<String>,
}

/// By what resources are ordered.
#[derive(Clone, Copy, Debug, Default, Enum, PartialEq, Eq)]
pub(crate) enum ResourceOrderField {
    /// The end of what is paid; resources without one come last.
    #[default]
    ExpiresAt,
    /// When they were ordered.
    CreatedAt,
}

/// Which way a list goes.
#[derive(Clone, Copy, Debug, Default, Enum, PartialEq, Eq)]
pub(crate) enum OrderDirection {
    /// Smallest, or soonest, first.
    #[default]
    Asc,
    /// Largest, or latest, first.
    Desc,
}

/// An order of resources.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub(crate) struct ResourceOrder {
    /// By what.
    field: ResourceOrderField,
    /// Which way.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

impl ResourceOrder {
    /// The list whose cursors belong to this order.
    pub(crate) const fn list(self) -> List {
        match self.field {
            ResourceOrderField::ExpiresAt => List::ResourcesByExpiry,
            ResourceOrderField::CreatedAt => List::ResourcesByCreation,
        }
    }

    const fn sort(self) -> Sort {
        match self.field {
            ResourceOrderField::ExpiresAt => Sort::PaidUntil,
            ResourceOrderField::CreatedAt => Sort::CreatedAt,
        }
    }
}

impl ResourceFilter {
    fn checked(self, now: chrono::DateTime<chrono::Utc>) -> Result<resources::Filter> {
        let texts = [self.product.as_ref(), self.resource_type.as_ref(), self.text.as_ref()];
        let tag = self.tag.iter().flat_map(|tag| [Some(&tag.key), tag.value.as_ref()]);
        if texts
            .into_iter()
            .chain(tag)
            .flatten()
            .any(|text| text.chars().count() > MOST_CHARACTERS || text.contains('\0'))
        {
            return Err(ApiError::bad_input(format!(
                "A text of the filter has at most {MOST_CHARACTERS} characters."
            )));
        }
        // The status that is shown derives from life and power: so does the filter, by the same rule.
        let mut states = Vec::new();
        for life in Life::ALL {
            for power in Power::ALL {
                let shown = lifecycle::display_status(*life, *power);
                if self.status.iter().flatten().any(|wanted| *wanted == shown) {
                    states.push((*life, Some(*power)));
                }
            }
        }
        if self.health.is_some() {
            let living = |life: &Life| matches!(life, Life::Active | Life::Grace | Life::Suspended | Life::Trashed);
            if states.is_empty() {
                states = Life::ALL
                    .iter()
                    .filter(|life| living(life))
                    .map(|life| (*life, None))
                    .collect();
            } else {
                states.retain(|(life, _)| living(life));
                if states.is_empty() {
                    // No resource has both: a state that no row is in keeps the condition from vanishing.
                    states.push((Life::Failed, None));
                }
            }
        }
        let days = |days: i64| now.checked_add_signed(TimeDelta::days(days));
        let just_before = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at - TimeDelta::microseconds(1));
        let paid_until = self.health.map(|health| match health {
            Health::Expired => (None, Some(now)),
            Health::Alerted => (Some(now), just_before(days(5))),
            Health::Warning => (just_before(days(5)), days(15)),
            Health::Good => (days(15), None),
        });
        Ok(resources::Filter {
            product: self.product,
            resource_type: self.resource_type,
            states,
            paid_until,
            auto_renew: self.auto_renew,
            tag: self.tag.map(|tag| (tag.key, tag.value)),
            text: self.text.filter(|text| !text.is_empty()),
        })
    }
}

/// Whether the rows of a list are shown with more than their [`Head`] has: by fields of their own, or by a row of a list
/// below that shows its resource.
fn shows_whole(ctx: &Context<'_>) -> bool {
    let shows_again = |list: &&str, row: &Lookahead<'_>| {
        rows_of(&row.field(list))
            .iter()
            .any(|below| selects_any(below, &["resource", "renewal"]))
    };
    rows(ctx)
        .iter()
        .any(|row| selects_any(row, WHOLE) || SHOWN_IN.iter().any(|list| shows_again(list, row)))
}

/// A page of an account's resources.
pub(crate) async fn of_account(
    ctx: &Context<'_>,
    account: Uuid,
    filter: Option<ResourceFilter>,
    order: ResourceOrder,
    page: Page,
) -> Result<InPlace<ResourceConnection>> {
    let loaders = ctx.loaders()?;
    let listing = Listing {
        filter: filter.unwrap_or_default().checked(loaders.now)?,
        sort: order.sort(),
        descending: order.direction == OrderDirection::Desc,
        whole: shows_whole(ctx),
        with_product: selects(ctx, "product"),
        with_type: selects(ctx, "resourceType"),
    };
    let slice = loaders
        .resources_of_account
        .must(ListKey::new(account, listing, page))
        .await?;
    let products = slice
        .rows
        .iter()
        .filter_map(|row| row.product.clone().map(|product| (product.id, product)))
        .collect();
    loaders.products.prime(products).await;
    let types = slice
        .rows
        .iter()
        .filter_map(|row| row.resource_type.clone().map(|kind| (kind.id, kind)))
        .collect();
    loaders.resource_types.prime(types).await;
    let place = |row: &ListedResource| resources::place(&row.head, order.sort());
    Ok(InPlace(ResourceConnection(Cut::new(
        &slice,
        order.list(),
        place,
        |row| Resource {
            head: Arc::clone(&row.head),
            whole: row.whole.clone(),
        },
    ))))
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct ResourceQueries;

#[Object]
impl ResourceQueries {
    /// The resources of an account.
    #[graphql(guard = "ReadsAccounts")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn resources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "Which resources; all when absent.")] filter: Option<ResourceFilter>,
        #[graphql(desc = "In which order; the soonest to expire first when absent.")] order_by: Option<ResourceOrder>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<InPlace<ResourceConnection>>> {
        let order = order_by.unwrap_or_default();
        let page = page(order.list(), first, after, last, before)?;
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        Box::pin(of_account(ctx, account, filter, order, page)).await.map(Some)
    }
}
