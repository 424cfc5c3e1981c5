//! The catalogue, read: products, what they sell, and today's prices. It is the same for every caller.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{component, price, product, resource_type};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::error::Error;

/// The products, by code.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn products(db: &impl ConnectionTrait, _scope: &Scope, page: &Page) -> Result<Slice<product::Model>, Error> {
    let select = page::whole(product::Entity);
    let keyset = Keyset::unique((product::Entity, product::Column::Code));
    page::read_all(db, select, &keyset, page, page::model).await
}

/// Where a product stands in the catalogue.
#[must_use]
pub fn place_of_product(product: &product::Model) -> Place {
    Place::unique(Key::Text(product.code.clone()))
}

/// These products.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn products_by_ids(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<product::Model>, Error> {
    Ok(product::Entity::find()
        .filter(product::Column::Id.is_in(ids.iter().copied()))
        .all(db)
        .await?)
}

/// These resource types.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn types_by_ids(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<resource_type::Model>, Error> {
    Ok(resource_type::Entity::find()
        .filter(resource_type::Column::Id.is_in(ids.iter().copied()))
        .all(db)
        .await?)
}

/// The resource types of each product, by code.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn types_of_products(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    products: &[Uuid],
) -> Result<HashMap<Uuid, Vec<resource_type::Model>>, Error> {
    let rows = resource_type::Entity::find()
        .filter(resource_type::Column::ProductId.is_in(products.iter().copied()))
        .order_by_asc(resource_type::Column::Code)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.product_id))
}

/// The components of each resource type, in their order.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn components_of_types(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    types: &[Uuid],
) -> Result<HashMap<Uuid, Vec<component::Model>>, Error> {
    let rows = component::Entity::find()
        .filter(component::Column::ResourceTypeId.is_in(types.iter().copied()))
        .order_by_asc(component::Column::Position)
        .order_by_asc(component::Column::Code)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.resource_type_id))
}

/// The prices of each component that count at an instant, by currency: of several that are valid the newest, as in a
/// quote.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn prices_of_components(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    components: &[Uuid],
    at: DateTime<Utc>,
) -> Result<HashMap<Uuid, Vec<price::Model>>, Error> {
    let mut rows = price::Entity::find()
        .filter(price::Column::ComponentId.is_in(components.iter().copied()))
        .filter(price::Column::ValidFrom.lte(at))
        .filter(
            Condition::any()
                .add(price::Column::ValidUntil.is_null())
                .add(price::Column::ValidUntil.gt(at)),
        )
        .order_by_asc(price::Column::ComponentId)
        .order_by_asc(price::Column::Currency)
        .order_by_desc(price::Column::ValidFrom)
        .all(db)
        .await?;
    rows.dedup_by(|later, first| (later.component_id, &later.currency) == (first.component_id, &first.currency));
    Ok(page::grouped(rows, |row| row.component_id))
}
