//! Expiry alerts, read, and noted as seen.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use chrono::{DateTime, Utc};
use entity::{expiry_alert, resource};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryResult,
};
use uuid::Uuid;

use super::Scope;
use super::page::{self, Key, Keyset, Page, Place, Slice};
use crate::db::Tx;
use crate::error::Error;

const RESOURCE: &str = "resource_row_";

/// A list of alerts: what stands in it and whether the resource is read with it.
#[derive(Clone, Debug, Default, Eq)]
pub struct Listing {
    /// Acknowledged, or not; both when it is not given.
    pub acknowledged: Option<bool>,
    /// Whether each one's resource is joined.
    pub with_resource: bool,
}

/// The same list, whatever is read with its rows: a field that a request selects twice is one page of one list, and what
/// the page was read without is loaded.
impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        self.acknowledged == other.acknowledged
    }
}

impl Hash for Listing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.acknowledged.hash(state);
    }
}

/// An alert and the parent that was joined.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The alert.
    pub alert: expiry_alert::Model,
    /// Its resource, when the listing asked for it.
    pub resource: Option<resource::Model>,
}

async fn listed(
    db: &impl ConnectionTrait,
    scope: &Scope,
    parent: expiry_alert::Column,
    parents: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    use expiry_alert::{Column, Entity};
    let mut select = page::whole(Entity);
    select.cond_where(scope.accounts((Entity, Column::AccountId)));
    if let Some(acknowledged) = listing.acknowledged {
        let at = Expr::col((Entity, Column::AcknowledgedAt));
        select.and_where(if acknowledged { at.is_not_null() } else { at.is_null() });
    }
    if listing.with_resource {
        select.inner_join(
            resource::Entity,
            Expr::col((resource::Entity, resource::Column::Id)).equals((Entity, Column::ResourceId)),
        );
        page::joined(&mut select, resource::Entity, RESOURCE);
    }
    let keyset = Keyset::unique((Entity, Column::EventSequence)).descending();
    let row = |row: &QueryResult| -> Result<Listed, DbErr> {
        let resource = if listing.with_resource {
            Some(resource::Model::from_query_result(row, RESOURCE)?)
        } else {
            None
        };
        Ok(Listed {
            alert: page::model(row)?,
            resource,
        })
    };
    page::read(db, select, (Entity, parent), parents, &keyset, page, row).await
}

/// The alerts of each account, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_accounts(
    db: &impl ConnectionTrait,
    scope: &Scope,
    accounts: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    listed(db, scope, expiry_alert::Column::AccountId, accounts, listing, page).await
}

/// The alerts of each resource, newest first.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn of_resources(
    db: &impl ConnectionTrait,
    scope: &Scope,
    resources: &[Uuid],
    listing: &Listing,
    page: &Page,
) -> Result<HashMap<Uuid, Slice<Listed>>, Error> {
    listed(db, scope, expiry_alert::Column::ResourceId, resources, listing, page).await
}

/// Where an alert stands in a list.
#[must_use]
pub fn place(alert: &expiry_alert::Model) -> Place {
    Place::unique(Key::Number(alert.event_sequence))
}

/// These alerts.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<expiry_alert::Model>, Error> {
    use expiry_alert::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// Notes that these alerts were seen, where nobody had said so before.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn acknowledge(tx: &Tx, scope: &Scope, ids: &[Uuid], now: DateTime<Utc>) -> Result<(), Error> {
    use expiry_alert::{Column, Entity};
    let by: String = scope.principal().chars().take(200).collect();
    Entity::update_many()
        .col_expr(Column::AcknowledgedAt, Expr::val(now))
        .col_expr(Column::AcknowledgedBy, Expr::val(by))
        .filter(scope.accounts((Entity, Column::AccountId)))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::AcknowledgedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}
