//! The catalogue: what can be bought, what it costs today, and how it lives.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::enums::{DayCount, GraceService, LifecyclePolicy, PriceUnit, ProvisioningMode, TaxMode};
use entity::{component, price, product, resource_type};

use super::caller::SignedIn;
use super::connection::{Cut, List, connection, page};
use super::errors::Result;
use super::ids::{Kind, global};
use super::scalars::{CurrencyCode, DateTime, Decimal, instant};
use super::session::Reach as _;
use crate::store::catalogue;

#[derive(Clone, Debug)]
pub(crate) struct Product(pub(crate) Arc<product::Model>);

/// A product of the cloud.
#[Object]
impl Product {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Product, self.0.id)
    }

    /// Its short name: what a quote asks for.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// How its resources are priced, provisioned and ended.
    async fn policy(&self) -> ProductPolicy {
        ProductPolicy {
            lifecycle: self.0.lifecycle,
            day_count: self.0.day_count,
            provisioning: self.0.provisioning,
            grace_service: self.0.grace_service,
            release_days: self.0.release_days,
            trash_days: self.0.trash_days,
            refunds_on_delete: self.0.refunds_on_delete,
            auto_renew_locked: self.0.auto_renew_locked,
        }
    }

    /// The kinds of resources it has, by code.
    async fn resource_types(&self, ctx: &Context<'_>) -> Result<Vec<ResourceType>> {
        Ok(ctx
            .loaders()?
            .types_of_product
            .must(self.0.id)
            .await?
            .into_iter()
            .map(ResourceType)
            .collect())
    }

    /// When it was added.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }
}

/// How a product's resources are priced, provisioned and ended.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ProductPolicy {
    /// What happens around the end of what is paid.
    lifecycle: LifecyclePolicy,
    /// How the length of a period with a chosen end is counted.
    day_count: DayCount,
    /// Whether provisioning succeeds at once or is reported by the product's service.
    provisioning: ProvisioningMode,
    /// How its resources are served in grace.
    grace_service: GraceService,
    /// Days from the end of what is paid to the release.
    release_days: i32,
    /// Days a resource deleted by the customer stays recoverable; 0 deletes at once.
    trash_days: i32,
    /// Whether deleting gives the unused value back.
    refunds_on_delete: bool,
    /// Whether customers may not switch auto-renewal off.
    auto_renew_locked: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ResourceType(pub(crate) Arc<resource_type::Model>);

/// A kind of resource of a product: a server, a disk.
#[Object]
impl ResourceType {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::ResourceType, self.0.id)
    }

    /// Its short name within the product: what a quote asks for.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The product it belongs to.
    async fn product(&self, ctx: &Context<'_>) -> Result<Product> {
        Ok(Product(ctx.loaders()?.products.must(self.0.product_id).await?))
    }

    /// What its configurations are made of.
    async fn components(&self, ctx: &Context<'_>) -> Result<Vec<Component>> {
        Ok(ctx
            .loaders()?
            .components_of_type
            .must(self.0.id)
            .await?
            .into_iter()
            .map(Component)
            .collect())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Component(Arc<component::Model>);

/// One priced part of a configuration: an instance type, a disk.
#[Object]
impl Component {
    /// Its short name within the resource type: what a quote asks for.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What one unit of it is.
    async fn unit_label(&self) -> &str {
        &self.0.unit_label
    }

    /// The least quantity that a configuration may hold of it.
    async fn minimum(&self) -> i32 {
        self.0.minimum
    }

    /// The most.
    async fn maximum(&self) -> i32 {
        self.0.maximum
    }

    /// What it costs today, in each currency that it is sold in.
    async fn prices(&self, ctx: &Context<'_>) -> Result<Vec<Price>> {
        Ok(ctx
            .loaders()?
            .prices_of_component
            .must(self.0.id)
            .await?
            .into_iter()
            .map(Price)
            .collect())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Price(Arc<price::Model>);

/// What one unit of a component costs, for a span of time.
#[Object]
impl Price {
    /// The currency.
    async fn currency(&self) -> CurrencyCode {
        CurrencyCode(self.0.currency.clone())
    }

    /// The price of one unit: a rate, not an amount of money.
    async fn unit_price(&self) -> Decimal {
        Decimal::from_micros(self.0.unit_price_micros)
    }

    /// What the unit price is for.
    async fn unit(&self) -> PriceUnit {
        self.0.unit
    }

    /// What is taken off for everybody, in percent.
    async fn discount_percent(&self) -> Decimal {
        Decimal::percent_from_micros(self.0.discount_micros)
    }

    /// The tax rate, in percent.
    async fn tax_percent(&self) -> Decimal {
        Decimal::percent_from_micros(self.0.tax_micros)
    }

    /// Whether the price includes the tax.
    async fn tax_mode(&self) -> TaxMode {
        self.0.tax_mode
    }

    /// From when it counts.
    async fn valid_from(&self) -> DateTime {
        self.0.valid_from.into()
    }

    /// Until when, exclusive; open when null.
    async fn valid_until(&self) -> Option<DateTime> {
        instant(self.0.valid_until)
    }
}

connection!(
    /// A part of the catalogue.
    ProductConnection,
    /// A product and its place in the catalogue.
    ProductEdge,
    Product
);

/// The queries of this room.
#[derive(Default)]
pub(crate) struct ProductQueries;

#[Object]
impl ProductQueries {
    /// The catalogue with today's prices and the policies, by code.
    #[graphql(guard = "SignedIn")]
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<ProductConnection>> {
        let page = page(List::Products, first, after, last, before)?;
        let session = ctx.session()?;
        let slice = catalogue::products(session.app.db.read(), &session.scope, &page)
            .await?
            .map(Arc::new);
        let cut = Cut::new(
            &slice,
            List::Products,
            |row| catalogue::place_of_product(row),
            |row| Product(Arc::clone(row)),
        );
        Ok(Some(ProductConnection(cut)))
    }
}
