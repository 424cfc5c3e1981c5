//! Resources, their tags and their paid periods, read.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use chrono::{DateTime, Utc};
use entity::enums::{Life, Power};
use entity::{paid_period, product, resource, resource_tag, resource_type};
use sea_orm::entity::prelude::DateTimeUtc;
use sea_orm::sea_query::OnConflict;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter, QueryOrder,
    QueryResult, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use super::Scope;
use super::columns::{Columns, columns};
use super::page::{self, Key, Keyset, Page, Place, Slice};
use super::search::containing;
use crate::db::{self, Tx};
use crate::error::Error;

const PRODUCT: &str = "product_";
const TYPE: &str = "type_";

/// After the first instant and not after the second; either may be open.
pub type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Which resources are listed. What is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Of the product with this code.
    pub product: Option<String>,
    /// Of the resource type with this code.
    pub resource_type: Option<String>,
    /// In one of these states of life, and of power when it is given.
    pub states: Vec<(Life, Option<Power>)>,
    /// Whose paid time ends after the first instant and not after the second; either may be open.
    pub paid_until: Option<Span>,
    /// Renewed by the engine, or not.
    pub auto_renew: Option<bool>,
    /// With a tag: its key and, when given, its value.
    pub tag: Option<(String, Option<String>)>,
    /// With this text in the name or the external id, in any case.
    pub text: Option<String>,
}

/// By what resources are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// The end of what is paid; those without one last.
    PaidUntil,
    /// When they were ordered.
    CreatedAt,
}

columns!(
    /// What most lists show of a resource.
    Head of resource {
        /// Its key.
        id: Uuid = Id,
        /// Whose it is.
        account_id: Uuid = AccountId,
        /// The product.
        product_id: Uuid = ProductId,
        /// What it is.
        resource_type_id: Uuid = ResourceTypeId,
        /// What the customer calls it.
        name: String = Name,
        /// Where it stands in its life.
        life: Life = Life,
        /// Whether the customer has switched it off.
        power: Power = Power,
        /// The end of what is paid.
        paid_until: Option<DateTimeUtc> = PaidUntil,
        /// Whether the engine renews it from credit.
        auto_renew: bool = AutoRenew,
        /// When it was ordered.
        created_at: DateTimeUtc = CreatedAt,
    }
);

impl From<&resource::Model> for Head {
    fn from(whole: &resource::Model) -> Self {
        Self {
            id: whole.id,
            account_id: whole.account_id,
            product_id: whole.product_id,
            resource_type_id: whole.resource_type_id,
            name: whole.name.clone(),
            life: whole.life,
            power: whole.power,
            paid_until: whole.paid_until,
            auto_renew: whole.auto_renew,
            created_at: whole.created_at,
        }
    }
}

/// A list of resources: what stands in it, in which order, and which parents are read with it.
#[derive(Clone, Debug, Eq)]
pub struct Listing {
    /// Which resources.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Latest first.
    pub descending: bool,
    /// Whether each one is read whole.
    pub whole: bool,
    /// Whether each one's product is joined.
    pub with_product: bool,
    /// Whether each one's resource type is joined.
    pub with_type: bool,
}

/// The same list, whatever is read with its rows: a field that a request selects twice is one page of one list, and what
/// the page was read without is loaded.
impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        (&self.filter, &self.sort, &self.descending) == (&other.filter, &other.sort, &other.descending)
    }
}

impl Hash for Listing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.filter, &self.sort, &self.descending).hash(state);
    }
}

/// A resource and the parents that were joined.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What most lists show of the resource.
    pub head: Head,
    /// All of it, when the listing asked for it.
    pub whole: Option<resource::Model>,
    /// Its product, when the listing asked for it.
    pub product: Option<product::Model>,
    /// Its resource type, when the listing asked for it.
    pub resource_type: Option<resource_type::Model>,
}

/// The resources of each account.
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
    use resource::{Column, Entity};
    let Listing {
        filter,
        sort,
        descending,
        whole,
        with_product,
        with_type,
    } = listing;
    let mut select = if *whole {
        page::whole(Entity)
    } else {
        page::some(Entity, Head::COLUMNS.iter().copied())
    };
    select.cond_where(scope.accounts((Entity, Column::AccountId)));
    if *with_product || filter.product.is_some() {
        select.inner_join(
            product::Entity,
            Expr::col((product::Entity, product::Column::Id)).equals((Entity, Column::ProductId)),
        );
    }
    if *with_type || filter.resource_type.is_some() {
        select.inner_join(
            resource_type::Entity,
            Expr::col((resource_type::Entity, resource_type::Column::Id)).equals((Entity, Column::ResourceTypeId)),
        );
    }
    if *with_product {
        page::joined(&mut select, product::Entity, PRODUCT);
    }
    if *with_type {
        page::joined(&mut select, resource_type::Entity, TYPE);
    }
    select.cond_where(matching(filter));
    let keyset = match sort {
        Sort::PaidUntil => Keyset::new((Entity, Column::PaidUntil), (Entity, Column::Id)).nulls_last(),
        Sort::CreatedAt => Keyset::new((Entity, Column::CreatedAt), (Entity, Column::Id)),
    };
    let row = |row: &QueryResult| -> Result<Listed, DbErr> {
        let (head, whole) = if *whole {
            let whole = page::model(row)?;
            (Head::from(&whole), Some(whole))
        } else {
            (Head::read(&mut Columns::from(row, 0))?, None)
        };
        Ok(Listed {
            head,
            whole,
            product: if *with_product {
                Some(product::Model::from_query_result(row, PRODUCT)?)
            } else {
                None
            },
            resource_type: if *with_type {
                Some(resource_type::Model::from_query_result(row, TYPE)?)
            } else {
                None
            },
        })
    };
    page::read(
        db,
        select,
        (Entity, Column::AccountId),
        accounts,
        &keyset.descending_if(*descending),
        page,
        row,
    )
    .await
}

/// Where a resource stands in a list.
#[must_use]
pub fn place(resource: &Head, sort: Sort) -> Place {
    let key = match sort {
        Sort::PaidUntil => resource.paid_until.map_or(Key::Nothing, Key::Instant),
        Sort::CreatedAt => Key::Instant(resource.created_at),
    };
    Place { key, id: resource.id }
}

fn matching(filter: &Filter) -> Condition {
    use resource::{Column, Entity};
    let mut all = Condition::all();
    if let Some(code) = &filter.product {
        all = all.add(Expr::col((product::Entity, product::Column::Code)).eq(code.as_str()));
    }
    if let Some(code) = &filter.resource_type {
        all = all.add(Expr::col((resource_type::Entity, resource_type::Column::Code)).eq(code.as_str()));
    }
    if !filter.states.is_empty() {
        all = all.add(filter.states.iter().fold(Condition::any(), |any, (life, power)| {
            let mut state = Condition::all().add(Expr::col((Entity, Column::Life)).eq(life.as_str()));
            if let Some(power) = power {
                state = state.add(Expr::col((Entity, Column::Power)).eq(power.as_str()));
            }
            any.add(state)
        }));
    }
    if let Some((after, until)) = filter.paid_until {
        if let Some(after) = after {
            all = all.add(Expr::col((Entity, Column::PaidUntil)).gt(after));
        }
        if let Some(until) = until {
            all = all.add(Expr::col((Entity, Column::PaidUntil)).lte(until));
        }
    }
    if let Some(auto_renew) = filter.auto_renew {
        all = all.add(Expr::col((Entity, Column::AutoRenew)).eq(auto_renew));
    }
    if let Some((key, value)) = &filter.tag {
        let mut tagged = Query::select();
        tagged
            .expr(Expr::val(1))
            .from(resource_tag::Entity)
            .and_where(Expr::col((resource_tag::Entity, resource_tag::Column::ResourceId)).equals((Entity, Column::Id)))
            .and_where(Expr::col((resource_tag::Entity, resource_tag::Column::Key)).eq(key.as_str()));
        if let Some(value) = value {
            tagged.and_where(Expr::col((resource_tag::Entity, resource_tag::Column::Value)).eq(value.as_str()));
        }
        all = all.add(Expr::exists(tagged));
    }
    if let Some(text) = &filter.text {
        all = all.add(Expr::col((Entity, Column::SearchText)).like(containing(text)));
    }
    all
}

/// What a search looks at of a resource: written whenever its name or its external id is.
#[must_use]
pub fn search_text(name: &str, external_id: Option<&str>) -> String {
    format!("{name}\n{}", external_id.unwrap_or_default()).to_lowercase()
}

/// These resources.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<resource::Model>, Error> {
    use resource::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}

/// These resources of an account, locked until the transaction ends. Those that the caller may not see, or that are not
/// there, are left out. One statement.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock(
    tx: &Tx,
    scope: &Scope,
    account: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, resource::Model>, Error> {
    // In one order for all: two that lock the same resources wait for each other, never in a circle.
    let mut query = resource::Entity::find()
        .filter(scope.accounts((resource::Entity, resource::Column::AccountId)))
        .filter(resource::Column::AccountId.eq(account))
        .filter(resource::Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(resource::Column::Id);
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    let rows = query.all(&**tx).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// A resource of the product whose service asks, locked until the transaction ends; none when it is another's.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn lock_of_product(
    tx: &Tx,
    _scope: &Scope,
    product: &str,
    id: Uuid,
) -> Result<Option<resource::Model>, Error> {
    let own = product::Entity::find()
        .select_only()
        .column(product::Column::Id)
        .filter(product::Column::Code.eq(product))
        .into_query();
    let mut query = resource::Entity::find_by_id(id).filter(resource::Column::ProductId.in_subquery(own));
    if db::locks_rows(tx.get_database_backend()) {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**tx).await?)
}

/// Writes tags, over those that are there, and removes others. Two statements at most, whose resources are locked.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn write_tags(
    tx: &Tx,
    _scope: &Scope,
    written: Vec<resource_tag::Model>,
    removed: &[(Uuid, String)],
) -> Result<(), Error> {
    use resource_tag::{Column, Entity};
    if !written.is_empty() {
        Entity::insert_many(written.into_iter().map(IntoActiveModel::into_active_model))
            .on_conflict(
                OnConflict::columns([Column::ResourceId, Column::Key])
                    .update_column(Column::Value)
                    .to_owned(),
            )
            .exec_without_returning(&**tx)
            .await?;
    }
    let gone = removed.iter().fold(Condition::any(), |any, (resource, key)| {
        any.add(
            Condition::all()
                .add(Column::ResourceId.eq(*resource))
                .add(Column::Key.eq(key.as_str())),
        )
    });
    if !removed.is_empty() {
        Entity::delete_many().filter(gone).exec(&**tx).await?;
    }
    Ok(())
}

/// The tags of each resource, by key.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn tags(
    db: &impl ConnectionTrait,
    scope: &Scope,
    resources: &[Uuid],
) -> Result<HashMap<Uuid, Vec<resource_tag::Model>>, Error> {
    let rows = resource_tag::Entity::find()
        .filter(resource_tag::Column::ResourceId.is_in(resources.iter().copied()))
        .filter(scope.accounts((resource_tag::Entity, resource_tag::Column::AccountId)))
        .order_by_asc(resource_tag::Column::Key)
        .all(db)
        .await?;
    Ok(page::grouped(rows, |row| row.resource_id))
}

/// The tags of a resource, as an invoice keeps them.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn tags_as_kept(
    db: &impl ConnectionTrait,
    scope: &Scope,
    resource: Uuid,
) -> Result<serde_json::Value, Error> {
    let mut tags = tags_of_each_as_kept(db, scope, &[resource]).await?;
    Ok(tags.remove(&resource).unwrap_or_else(|| serde_json::json!({})))
}

/// The tags of each of these resources, as an invoice keeps them. One statement, none for no resources.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn tags_of_each_as_kept(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, serde_json::Value>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let of = |tags: Vec<resource_tag::Model>| tags.into_iter().map(|tag| (tag.key, tag.value.into())).collect();
    let tags = tags(db, scope, ids).await?.into_iter();
    Ok(tags
        .map(|(resource, tags)| (resource, serde_json::Value::Object(of(tags))))
        .collect())
}

/// These paid periods.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn periods_by_ids(
    db: &impl ConnectionTrait,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<Vec<paid_period::Model>, Error> {
    use paid_period::{Column, Entity};
    page::by_ids(db, scope, Entity, Column::Id, Column::AccountId, ids).await
}
