//! Lists in pages: by keyset only, in both directions, for one parent or for many in one statement.
//!
//! A page of many parents ('the newest 3 invoices of each of these resources') is one statement with a window
//! function; of one parent it is a plain ordered range of the index. Nothing here knows what it lists.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{
    Alias, Asterisk, ColumnRef, Condition, Expr, ExprTrait, Func, IntoColumnRef, NullOrdering, Order, OrderedStatement,
    Query, SelectStatement, WindowStatement,
};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, Iterable, QueryResult, Value};
use uuid::Uuid;

use super::Scope;
use crate::error::Error;

/// The name under which a page of many parents carries each row's parent.
const PARENT: &str = "page_parent";
/// The name under which a page of many parents carries each row's place within its parent.
const PLACE: &str = "page_place";

/// From which end of a list a page is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The first rows, after a place.
    First,
    /// The last rows, before a place; still in the list's order.
    Last,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// From which end.
    pub end: End,
    /// At most how many rows.
    pub size: u16,
    /// After (or, from the end, before) which place.
    pub from: Option<Place>,
}

impl Page {
    /// The first rows of a list.
    #[must_use]
    pub const fn first(size: u16) -> Self {
        Self {
            end: End::First,
            size,
            from: None,
        }
    }
}

/// A row's place in a list: its sort key, and its id where keys may be equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The sort key.
    pub key: Key,
    /// What tells equal keys apart; nil in lists whose key is unique.
    pub id: Uuid,
}

impl Place {
    /// The place of a row whose key alone is unique.
    #[must_use]
    pub const fn unique(key: Key) -> Self {
        Self { key, id: Uuid::nil() }
    }
}

/// A sort key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// None: such rows stand at the list's end.
    Nothing,
    /// An instant, to the microsecond.
    Instant(DateTime<Utc>),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Key {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Instant(instant) => Some((*instant).into()),
            Self::Number(number) => Some((*number).into()),
            Self::Text(text) => Some(text.clone().into()),
        }
    }
}

/// How a list is ordered.
#[derive(Clone, Debug)]
pub struct Keyset {
    key: ColumnRef,
    id: Option<ColumnRef>,
    descending: bool,
    nullable: bool,
}

impl Keyset {
    /// By a unique column, smallest first.
    pub fn unique(key: impl IntoColumnRef) -> Self {
        Self {
            key: key.into_column_ref(),
            id: None,
            descending: false,
            nullable: false,
        }
    }

    /// By a column and then by an id, smallest first.
    pub fn new(key: impl IntoColumnRef, id: impl IntoColumnRef) -> Self {
        Self {
            key: key.into_column_ref(),
            id: Some(id.into_column_ref()),
            descending: false,
            nullable: false,
        }
    }

    /// Largest first.
    #[must_use]
    pub fn descending(self) -> Self {
        self.descending_if(true)
    }

    /// Largest first, or smallest.
    #[must_use]
    pub fn descending_if(mut self, descending: bool) -> Self {
        self.descending = descending;
        self
    }

    /// The key may be missing: such rows come last, in either order.
    #[must_use]
    pub fn nulls_last(mut self) -> Self {
        self.nullable = true;
        self
    }

    fn upward(&self, page: &Page) -> bool {
        self.descending == (page.end == End::Last)
    }

    /// The rows beyond the page's place, in the direction of reading.
    fn beyond(&self, page: &Page) -> Option<Condition> {
        let place = page.from.as_ref()?;
        let upward = self.upward(page);
        let further = |left: Expr, right: Expr| if upward { left.gt(right) } else { left.lt(right) };
        let key = || Expr::col(self.key.clone());
        let id = self.id.as_ref().map(|id| (Expr::col(id.clone()), Expr::val(place.id)));
        let nulls_ahead = self.nullable && page.end == End::First;
        Some(match place.key.value() {
            Some(value) => {
                let further = match id {
                    Some((id, own)) => further(Expr::tuple([key(), id]), Expr::tuple([Expr::val(value), own])),
                    None => further(key(), Expr::val(value)),
                };
                let condition = Condition::any().add(further);
                if nulls_ahead {
                    condition.add(key().is_null())
                } else {
                    condition
                }
            }
            None => {
                let within = Condition::all().add(key().is_null());
                let within = match id {
                    Some((id, own)) => within.add(further(id, own)),
                    None => within,
                };
                let condition = Condition::any().add(within);
                if nulls_ahead {
                    condition
                } else {
                    condition.add(key().is_not_null())
                }
            }
        })
    }

    fn order<S: OrderedStatement>(&self, statement: &mut S, page: &Page) {
        let order = || if self.upward(page) { Order::Asc } else { Order::Desc };
        if self.nullable {
            let nulls = if page.end == End::First {
                NullOrdering::Last
            } else {
                NullOrdering::First
            };
            statement.order_by_with_nulls(self.key.clone(), order(), nulls);
        } else {
            statement.order_by(self.key.clone(), order());
        }
        if let Some(id) = &self.id {
            statement.order_by(id.clone(), order());
        }
    }
}

/// A page that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice<R> {
    /// Its rows, in the list's order.
    pub rows: Vec<R>,
    /// Whether there are rows behind it.
    pub has_next: bool,
    /// Whether there are rows before it.
    pub has_previous: bool,
}

impl<R: Clone> Slice<R> {
    /// A page of a list that is at hand. A place in it is the number of a row.
    #[must_use]
    pub fn of(rows: &[R], page: &Page) -> Slice<(i64, R)> {
        let numbered = (0_i64..).zip(rows);
        let from = page.from.as_ref().and_then(|place| match place.key {
            Key::Number(number) => Some(number),
            _ => None,
        });
        let most = usize::from(page.size) + 1;
        let row = |(number, row): (i64, &R)| (number, row.clone());
        let read = match page.end {
            End::First => numbered
                .filter(|(number, _)| from.is_none_or(|from| *number > from))
                .take(most)
                .map(row)
                .collect(),
            End::Last => {
                let mut before: Vec<_> = numbered
                    .filter(|(number, _)| from.is_none_or(|from| *number < from))
                    .collect();
                before.reverse();
                before.into_iter().take(most).map(row).collect()
            }
        };
        Slice::cut(read, page)
    }
}

impl<R> Slice<R> {
    /// A page of a list that has no rows.
    #[must_use]
    pub fn empty(page: &Page) -> Self {
        Self::cut(Vec::new(), page)
    }

    /// What was read in the direction of the page, with one row more than it shows when there are more.
    pub(crate) fn cut(mut rows: Vec<R>, page: &Page) -> Self {
        let more = rows.len() > usize::from(page.size);
        rows.truncate(usize::from(page.size));
        let behind = page.from.is_some();
        match page.end {
            End::First => Self {
                rows,
                has_next: more,
                has_previous: behind,
            },
            End::Last => {
                rows.reverse();
                Self {
                    rows,
                    has_next: behind,
                    has_previous: more,
                }
            }
        }
    }

    /// The same page with other rows.
    pub fn map<T>(self, with: impl FnMut(R) -> T) -> Slice<T> {
        Slice {
            rows: self.rows.into_iter().map(with).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }
}

/// The columns of a whole row.
pub(crate) fn whole<E>(entity: E) -> SelectStatement
where
    E: EntityTrait,
{
    some(entity, E::Column::iter())
}

/// These columns of a row.
pub(crate) fn some<E>(entity: E, columns: impl IntoIterator<Item = E::Column>) -> SelectStatement
where
    E: EntityTrait,
{
    let mut select = Query::select();
    select
        .columns(columns.into_iter().map(|column| (entity, column)))
        .from(entity);
    select
}

/// Adds the columns of a joined row, each with a prefix to its name.
pub(crate) fn joined<E>(select: &mut SelectStatement, entity: E, prefix: &str)
where
    E: EntityTrait,
{
    for column in E::Column::iter() {
        select.expr_as(
            Expr::col((entity, column)),
            Alias::new(format!("{prefix}{}", column.as_str())),
        );
    }
}

/// Reads whole rows.
pub(crate) fn model<M: FromQueryResult>(row: &QueryResult) -> Result<M, DbErr> {
    M::from_query_result(row, "")
}

/// Reads the same page of each parent's list, in one statement. Every parent is answered.
pub(crate) async fn read<R>(
    db: &impl ConnectionTrait,
    select: SelectStatement,
    parent: impl IntoColumnRef,
    parents: &[Uuid],
    keyset: &Keyset,
    page: &Page,
    row: impl Fn(&QueryResult) -> Result<R, DbErr>,
) -> Result<HashMap<Uuid, Slice<R>>, Error> {
    read_with(
        db,
        select,
        parent,
        parents,
        keyset,
        page,
        |_, _| (),
        |read, _| row(read).map(Some),
    )
    .await
}

/// As [`read`], with the rows' own children: `join` adds them to a statement of many parents, where the rows stand under
/// the name it is given, in any order of their own, and their columns before the row's; `row` makes a row of what is read, or adds a child to the row before it and answers nothing.
/// One parent's rows come without children.
#[allow(clippy::too_many_arguments, reason = "each is a part of the statement")]
pub(crate) async fn read_with<R>(
    db: &impl ConnectionTrait,
    mut select: SelectStatement,
    parent: impl IntoColumnRef,
    parents: &[Uuid],
    keyset: &Keyset,
    page: &Page,
    join: impl FnOnce(&mut SelectStatement, Alias),
    row: impl Fn(&QueryResult, Option<&mut R>) -> Result<Option<R>, DbErr>,
) -> Result<HashMap<Uuid, Slice<R>>, Error> {
    let parent = parent.into_column_ref();
    let most = u64::from(page.size).saturating_add(1);
    if let Some(beyond) = keyset.beyond(page) {
        select.cond_where(beyond);
    }
    let mut lists: HashMap<Uuid, Vec<R>> = HashMap::with_capacity(parents.len());
    match parents {
        [] => {}
        [only] => {
            select.and_where(Expr::col(parent).eq(*only)).limit(most);
            keyset.order(&mut select, page);
            let rows = db.query_all(&select).await?;
            let rows = rows.iter().filter_map(|read| row(read, None).transpose());
            lists.insert(*only, rows.collect::<Result<_, _>>()?);
        }
        many => {
            let mut window = WindowStatement::partition_by(parent.clone());
            keyset.order(&mut window, page);
            select
                .and_where(Expr::col(parent.clone()).is_in(many.iter().copied()))
                .expr_as(Expr::col(parent), Alias::new(PARENT))
                .expr_window_as(Func::cust(Alias::new("row_number")), window, Alias::new(PLACE));
            let ranked = Alias::new("ranked");
            let mut outer = Query::select();
            outer
                .from_subquery(select, ranked.clone())
                .and_where(Expr::col((ranked.clone(), Alias::new(PLACE))).lte(i64::from(page.size).saturating_add(1)));
            join(&mut outer, ranked.clone());
            outer.column((ranked, Asterisk));
            // Sorted here, by two small keys: a database that sorts carries the whole wide rows about.
            let read = db.query_all(&outer).await?;
            let mut rows = Vec::with_capacity(read.len());
            // They stand last.
            let last = read.first().map_or(0, |row| row.column_names().len()).saturating_sub(1);
            for row in read {
                let own: Uuid = row.try_get_by_index(last.saturating_sub(1))?;
                let place: i64 = row.try_get_by_index(last)?;
                rows.push((own, place, row));
            }
            rows.sort_by_key(|(own, place, _)| (*own, *place));
            for (own, _, read) in rows {
                let list = lists.entry(own).or_default();
                if let Some(made) = row(&read, list.last_mut())? {
                    list.push(made);
                }
            }
        }
    }
    Ok(parents
        .iter()
        .map(|parent| (*parent, Slice::cut(lists.remove(parent).unwrap_or_default(), page)))
        .collect())
}

/// Reads a page of a list that has no parent.
pub(crate) async fn read_all<R>(
    db: &impl ConnectionTrait,
    select: SelectStatement,
    keyset: &Keyset,
    page: &Page,
    row: impl Fn(&QueryResult) -> Result<R, DbErr>,
) -> Result<Slice<R>, Error> {
    Ok(Slice::cut(rows(db, &paged(select, keyset, page), row).await?, page))
}

/// The statement that reads a page of a list, and one row more.
pub(crate) fn paged(mut select: SelectStatement, keyset: &Keyset, page: &Page) -> SelectStatement {
    if let Some(beyond) = keyset.beyond(page) {
        select.cond_where(beyond);
    }
    select.limit(u64::from(page.size).saturating_add(1));
    keyset.order(&mut select, page);
    select
}

/// Reads the rows of these ids that the caller may see, in any order.
pub(crate) async fn by_ids<E>(
    db: &impl ConnectionTrait,
    scope: &Scope,
    entity: E,
    id: E::Column,
    account: E::Column,
    ids: &[Uuid],
) -> Result<Vec<E::Model>, Error>
where
    E: EntityTrait,
{
    let mut select = whole(entity);
    select
        .and_where(Expr::col((entity, id)).is_in(ids.iter().copied()))
        .cond_where(scope.accounts((entity, account)));
    rows(db, &select, model).await
}

/// Reads rows without paging.
pub(crate) async fn rows<R>(
    db: &impl ConnectionTrait,
    select: &SelectStatement,
    row: impl Fn(&QueryResult) -> Result<R, DbErr>,
) -> Result<Vec<R>, Error> {
    Ok(db.query_all(select).await?.iter().map(row).collect::<Result<_, _>>()?)
}

/// Rows under the key of each; what has no rows has no entry.
pub(crate) fn grouped<K: Eq + Hash, R>(rows: Vec<R>, key: impl Fn(&R) -> K) -> HashMap<K, Vec<R>> {
    let mut groups: HashMap<K, Vec<R>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}
