//! What is known of what is asked for: the catalogue at an instant, and the resources as they stand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::enums::QuoteStatus;
use entity::{account, component, price, quote};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::domain::lifecycle::State;
use crate::domain::money::Currency;
use crate::domain::pricing::PriceRow;
use crate::domain::quote::{
    self as rules, CatalogueComponent, CatalogueProduct, ConfiguredComponent, Existing, OpenPeriod, PricedQuote,
};
use crate::domain::rate::{Share, UnitPrice};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::ids;
use crate::store::pricing::{self, Sellable};
use crate::store::purchases::Standing;
use crate::store::{Scope, fulfilment};

/// What is known of what is asked for: the catalogue, and the resources as they stand.
#[derive(Debug)]
pub(in crate::commands) struct Catalogue {
    /// What can be bought.
    pub(in crate::commands) sold: Vec<Sellable>,
    /// The resources as they stand.
    pub(in crate::commands) standing: HashMap<Uuid, Standing>,
    /// The account's currency.
    pub(in crate::commands) currency: Currency,
}

impl Catalogue {
    /// Reads what can be bought of these (product, resource type) pairs, and of the types of these resources.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub(in crate::commands) async fn read(
        db: &impl ConnectionTrait,
        scope: &Scope,
        account: &account::Model,
        standing: HashMap<Uuid, Standing>,
        wanted: &[(String, String)],
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut types: Vec<Uuid> = standing.values().map(|found| found.resource.resource_type_id).collect();
        types.sort_unstable();
        types.dedup();
        Ok(Self {
            sold: pricing::sellable(db, scope, wanted, &types, &account.currency, now).await?,
            standing,
            currency: account.currency.parse()?,
        })
    }

    /// A resource type that can be bought.
    pub(in crate::commands) fn type_of(&self, resource_type: Uuid) -> Result<&Sellable, Error> {
        self.sold
            .iter()
            .find(|sold| sold.resource_type.id == resource_type)
            .ok_or_else(|| Error::internal("a resource's type is missing from the catalogue"))
    }

    /// A resource as the rules know it, with its components at today's price.
    pub(in crate::commands) fn existing(&self, resource: Uuid) -> Result<Existing, Error> {
        let Some(found) = self.standing.get(&resource) else {
            let message = "There is no such resource.";
            return Err(Refusal::new(RefusalCode::ResourceNotFound, message)
                .under("resourceId")
                .into());
        };
        self.existing_as(found)
    }

    /// A resource as the rules know it if it stood so, with its components at today's price.
    pub(in crate::commands) fn existing_as(&self, found: &Standing) -> Result<Existing, Error> {
        let row = &found.resource;
        if row.order_item_id.is_some() {
            return Err(super::busy(row.life, row.power).under("resourceId").into());
        }
        let sold = self.type_of(row.resource_type_id)?;
        let configured: Vec<ConfiguredComponent> = row.configuration.read()?;
        let mut components = Vec::with_capacity(configured.len());
        let mut unsold = None;
        for component in configured {
            match sold.components.iter().find(|(row, _)| row.id == component.component_id) {
                Some((row, Some(price))) => components.push((priced_component(row, price)?, component.quantity)),
                _ => unsold = Some(component.code),
            }
        }
        Ok(Existing {
            resource_id: row.id,
            name: row.name.clone(),
            product: catalogue_product(sold),
            terms: fulfilment::policy_terms(&sold.product)?,
            refunds_on_delete: sold.product.refunds_on_delete,
            state: State {
                life: row.life,
                power: row.power,
            },
            auto_renew: row.auto_renew,
            paid_until: row.paid_until,
            anchor_day: row.anchor_day.map(u32::try_from).transpose().map_err(Error::internal)?,
            period_id: row.period_id,
            periods: found
                .periods
                .iter()
                .map(|period| {
                    Ok(OpenPeriod {
                        period_id: period.id,
                        paid: fulfilment::paid(period)?,
                    })
                })
                .collect::<Result<_, Error>>()?,
            components,
            unsold,
        })
    }

    /// Components of a resource type, by code, with their prices.
    pub(in crate::commands) fn components(
        &self,
        sold: &Sellable,
        asked: Vec<(String, i64)>,
    ) -> Result<Vec<(CatalogueComponent, i64)>, Error> {
        let mut components = Vec::with_capacity(asked.len());
        for (place, (code, quantity)) in asked.into_iter().enumerate() {
            let at = |refusal: Refusal| refusal.under("code").under(place).under("components");
            let Some((row, price)) = sold.components.iter().find(|(row, _)| row.code == code) else {
                let known: Vec<&str> = sold.components.iter().map(|(row, _)| row.code.as_str()).collect();
                let message = format!(
                    "{} has no such component. It has: {}.",
                    sold.resource_type.code,
                    known.join(", ")
                );
                return Err(at(Refusal::new(RefusalCode::UnknownComponent, message)).into());
            };
            let Some(price) = price else {
                let message = format!("{code} is not sold in {} now. Choose another component.", self.currency);
                return Err(at(Refusal::new(RefusalCode::PriceNotAvailable, message)).into());
            };
            components.push((priced_component(row, price)?, quantity));
        }
        Ok(components)
    }
}

/// What the rules know of a product.
pub(in crate::commands) fn catalogue_product(sold: &Sellable) -> CatalogueProduct {
    CatalogueProduct {
        product_id: sold.product.id,
        product_code: sold.product.code.clone(),
        product_name: sold.product.name.clone(),
        resource_type_id: sold.resource_type.id,
        resource_type_code: sold.resource_type.code.clone(),
        resource_type_name: sold.resource_type.name.clone(),
        day_count: sold.product.day_count,
        auto_renew_locked: sold.product.auto_renew_locked,
    }
}

fn priced_component(row: &component::Model, price: &price::Model) -> Result<CatalogueComponent, Error> {
    Ok(CatalogueComponent {
        component_id: row.id,
        code: row.code.clone(),
        name: row.name.clone(),
        unit_label: row.unit_label.clone(),
        min_quantity: i64::from(row.minimum),
        max_quantity: i64::from(row.maximum),
        price: price_row(price)?,
    })
}

fn price_row(row: &price::Model) -> Result<PriceRow, Error> {
    Ok(PriceRow {
        unit: row.unit,
        unit_price: UnitPrice::from_micros(row.unit_price_micros)?,
        discount: Share::from_micros(row.discount_micros)?,
        tax: Share::from_micros(row.tax_micros)?,
        tax_mode: row.tax_mode,
        currency: row.currency.parse()?,
    })
}

/// The row of a quote that promises these prices.
///
/// # Errors
/// Refused with AMOUNT_OUT_OF_RANGE.
pub(in crate::commands) fn promise(
    account: &account::Model,
    scope: &Scope,
    priced: &PricedQuote,
    coupon: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<quote::Model, Error> {
    let totals = &priced.totals;
    Ok(quote::Model {
        id: ids::new_id(),
        account_id: account.id,
        principal: scope.principal().to_owned(),
        status: QuoteStatus::Open,
        currency: account.currency.clone(),
        gross_minor: totals.gross.minor(),
        coupon_minor: totals.coupon.minor(),
        tax_minor: totals.tax.minor(),
        charged_minor: totals.charged.minor(),
        due_minor: priced.due()?.minor(),
        refund_minor: priced.refund()?.minor(),
        coupon_id: coupon,
        document: serde_json::to_value(priced)?,
        order_id: None,
        created_at: now,
        expires_at: rules::expires_at(now),
    })
}
