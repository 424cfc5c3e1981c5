//! What the rules need to price: the catalogue at an instant, and a coupon with how often it was used.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use entity::enums::RedemptionStatus;
use entity::{component, coupon, coupon_redemption, price, product, resource_type};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};
use uuid::Uuid;

use super::Scope;
use crate::error::Error;

/// A resource type that can be bought: its product, and each component with its price at an instant, if it has one.
#[derive(Clone, Debug)]
pub struct Sellable {
    /// The product.
    pub product: product::Model,
    /// The resource type.
    pub resource_type: resource_type::Model,
    /// Its components, in order.
    pub components: Vec<(component::Model, Option<price::Model>)>,
}

/// What can be bought of these (product, resource type) pairs, and of these resource types, priced in a currency at an
/// instant. Those that do not exist are left out. Four statements, however many there are.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn sellable(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    wanted: &[(String, String)],
    types: &[Uuid],
    currency: &str,
    at: DateTime<Utc>,
) -> Result<Vec<Sellable>, Error> {
    let codes: HashSet<&str> = wanted.iter().map(|(product, _)| product.as_str()).collect();
    let of_types = resource_type::Entity::find()
        .select_only()
        .column(resource_type::Column::ProductId)
        .filter(resource_type::Column::Id.is_in(types.iter().copied()))
        .into_query();
    let products = product::Entity::find()
        .filter(
            Condition::any()
                .add(product::Column::Code.is_in(codes))
                .add(product::Column::Id.in_subquery(of_types)),
        )
        .all(db)
        .await?;
    let kinds = resource_type::Entity::find()
        .filter(resource_type::Column::ProductId.is_in(products.iter().map(|product| product.id)))
        .all(db)
        .await?;
    let mut found = Vec::new();
    for product in products {
        for kind in kinds.iter().filter(|kind| kind.product_id == product.id) {
            let is_wanted = |(code, type_code): &(String, String)| *code == product.code && *type_code == kind.code;
            if wanted.iter().any(is_wanted) || types.contains(&kind.id) {
                found.push((product.clone(), kind.clone()));
            }
        }
    }
    let components = component::Entity::find()
        .filter(component::Column::ResourceTypeId.is_in(found.iter().map(|(_, kind)| kind.id)))
        .order_by_asc(component::Column::Position)
        .all(db)
        .await?;
    // The newest price that is valid at the instant: later rows stand over earlier ones.
    let prices = price::Entity::find()
        .filter(price::Column::ComponentId.is_in(components.iter().map(|component| component.id)))
        .filter(price::Column::Currency.eq(currency))
        .filter(price::Column::ValidFrom.lte(at))
        .filter(
            Condition::any()
                .add(price::Column::ValidUntil.is_null())
                .add(Expr::col((price::Entity, price::Column::ValidUntil)).gt(at)),
        )
        .order_by_asc(price::Column::ValidFrom)
        .all(db)
        .await?;
    Ok(found
        .into_iter()
        .map(|(product, resource_type)| {
            let components = components
                .iter()
                .filter(|component| component.resource_type_id == resource_type.id)
                .map(|component| {
                    let newest = prices.iter().rev().find(|price| price.component_id == component.id);
                    (component.clone(), newest.cloned())
                })
                .collect();
            Sellable {
                product,
                resource_type,
                components,
            }
        })
        .collect())
}

/// When prices of components of these resource types, in a currency, begin or end within a span, in order, the first
/// `most`. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn changes(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    types: &[Uuid],
    currency: &str,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    most: usize,
) -> Result<Vec<DateTime<Utc>>, Error> {
    let of_types = component::Entity::find()
        .select_only()
        .column(component::Column::Id)
        .filter(component::Column::ResourceTypeId.is_in(types.iter().copied()))
        .into_query();
    let within = |column: price::Column| Condition::all().add(column.gt(from)).add(column.lte(until));
    let rows = price::Entity::find()
        .filter(price::Column::ComponentId.in_subquery(of_types))
        .filter(price::Column::Currency.eq(currency))
        .filter(
            Condition::any()
                .add(within(price::Column::ValidFrom))
                .add(within(price::Column::ValidUntil)),
        )
        .all(db)
        .await?;
    let instants = rows.iter().flat_map(|row| [Some(row.valid_from), row.valid_until]);
    let mut instants: Vec<DateTime<Utc>> = instants.flatten().filter(|at| *at > from && *at <= until).collect();
    instants.sort_unstable();
    instants.dedup();
    instants.truncate(most);
    Ok(instants)
}

/// Which of these product codes exist.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn known_products(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    codes: &[String],
) -> Result<HashSet<String>, Error> {
    if codes.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = product::Entity::find()
        .filter(product::Column::Code.is_in(codes.iter().cloned()))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|product| product.code).collect())
}

/// A coupon by its code, with how often the account has used it.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn coupon(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    code: &str,
    account: Uuid,
) -> Result<Option<(coupon::Model, i64)>, Error> {
    let Some(found) = coupon::Entity::find()
        .filter(coupon::Column::Code.eq(code))
        .one(db)
        .await?
    else {
        return Ok(None);
    };
    let used = redemptions(db, found.id, account).await?;
    Ok(Some((found, used)))
}

/// How often an account has used a coupon, given back ones left out.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn redemptions(db: &impl ConnectionTrait, coupon: Uuid, account: Uuid) -> Result<i64, Error> {
    let used = coupon_redemption::Entity::find()
        .filter(coupon_redemption::Column::CouponId.eq(coupon))
        .filter(coupon_redemption::Column::AccountId.eq(account))
        .filter(coupon_redemption::Column::Status.eq(RedemptionStatus::Redeemed))
        .count(db)
        .await?;
    i64::try_from(used).map_err(Error::internal)
}

/// Products by their codes. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn products<'a>(
    db: &impl ConnectionTrait,
    _scope: &Scope,
    codes: impl Iterator<Item = &'a str> + Send,
) -> Result<std::collections::HashMap<String, product::Model>, Error> {
    let codes: HashSet<&str> = codes.collect();
    let rows = product::Entity::find()
        .filter(product::Column::Code.is_in(codes))
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|product| (product.code.clone(), product))
        .collect())
}

/// The code of a coupon.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn coupon_code(db: &impl ConnectionTrait, _scope: &Scope, id: Option<Uuid>) -> Result<Option<String>, Error> {
    let Some(id) = id else { return Ok(None) };
    Ok(coupon::Entity::find_by_id(id).one(db).await?.map(|coupon| coupon.code))
}
