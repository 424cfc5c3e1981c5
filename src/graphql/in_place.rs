//! Objects whose fields are resolved one after another, in place.
//!
//! The library boxes a future for each field and schedules them all at once. That pays for fields that wait for the
//! store; for amounts, lines and the rows of lists, whose fields are at hand, it is most of the work of an answer. The
//! answer is the same, with its fields in the order in which they were selected.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::{ContainerType, resolve_container};
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};
use futures_util::StreamExt as _;
use futures_util::future::OptionFuture;
use futures_util::stream::FuturesUnordered;

use super::written::{Object, Written};

/// An object whose fields wait for nothing, or for one list at most: two lists of one parent are read by the
/// library's own way, which asks for both at once.
#[derive(Clone, Debug)]
pub(crate) struct InPlace<T>(pub(crate) T);

/// A list of such objects. Those that wait do so together.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T>(Vec<T>);

impl<T> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

/// How many of a selection's fields select fields of their own: those may wait for the store.
const MOST_WAITING: usize = 1;

impl<T: ContainerType> OutputType for InPlace<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        Way::of(ctx).resolve(&self.0, ctx).await
    }
}

impl<T: ContainerType> OutputType for Rows<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<InPlace<T>>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<InPlace<T>>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<InPlace<T>>::create_type_info(registry)
    }

    /// As the library resolves a list: all rows at once, where they wait. A row that does not wait, as most don't, needs no
    /// room of its own: the next one is resolved where it was.
    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        let way = Way::of(ctx);
        let one = async |(index, row): (usize, &T)| {
            let ctx = ctx.with_index(index);
            let resolved = way.resolve(row, &ctx).await;
            resolved
                .map(|value| (index, value))
                .map_err(|error| ctx.set_error_path(error))
        };
        let mut values = vec![Value::Null; self.0.len()];
        let mut put = |(index, value): (usize, Value)| {
            if let Some(place) = values.get_mut(index) {
                *place = value;
            }
        };
        let mut waiting = None;
        let mut room: Pin<Box<OptionFuture<_>>> = Box::pin(None.into());
        for row in self.0.iter().enumerate() {
            room.set(Some(one(row)).into());
            match poll_fn(|context| Poll::Ready(room.as_mut().poll(context))).await {
                Poll::Ready(resolved) => put(resolved.transpose()?.unwrap_or_default()),
                Poll::Pending => {
                    let waiting = waiting.get_or_insert_with(FuturesUnordered::new);
                    waiting.push(std::mem::replace(&mut room, Box::pin(None.into())));
                }
            }
        }
        if let Some(mut waiting) = waiting {
            while let Some(resolved) = waiting.next().await {
                put(resolved.transpose()?.unwrap_or_default());
            }
        }
        Ok(Value::List(values))
    }
}

/// How the objects of a selection are resolved.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By the library.
    Boxed,
    /// One field after another.
    InPlace,
    /// The same, and written.
    Written,
}

impl Way {
    fn of(ctx: &ContextSelectionSet<'_>) -> Self {
        if !is_plain(ctx) {
            Self::Boxed
        } else if ctx.data_opt::<Written>().is_some() {
            Self::Written
        } else {
            Self::InPlace
        }
    }

    async fn resolve<T: ContainerType>(self, row: &T, ctx: &ContextSelectionSet<'_>) -> ServerResult<Value> {
        let items = &ctx.item.node.items;
        let mut object = match self {
            Self::Boxed => return resolve_container(ctx, row).await,
            Self::InPlace => Fields::Tree(IndexMap::with_capacity(items.len())),
            Self::Written => Fields::Written(Object::of(items.len())),
        };
        for item in items {
            let Selection::Field(field) = &item.node else { continue };
            let name = &field.node.response_key().node;
            if field.node.name.node == "__typename" {
                let kind = row.introspection_type_name().into_owned();
                object.add(name, Value::String(kind));
                continue;
            }
            match row.resolve_field(&ctx.with_field(field)).await {
                Ok(value) => object.add(name, value.unwrap_or_default()),
                Err(error) => ctx.add_error(error),
            }
        }
        Ok(object.end())
    }
}

/// The fields of an object, as they come.
enum Fields {
    Tree(IndexMap<Name, Value>),
    Written(Object),
}

impl Fields {
    fn add(&mut self, name: &Name, value: Value) {
        match self {
            Self::Tree(fields) => {
                fields.insert(name.clone(), value);
            }
            Self::Written(object) => object.field(name, &value),
        }
    }

    /// As the library answers an object all of whose fields have failed, it is null.
    fn end(self) -> Value {
        match self {
            Self::Tree(fields) if fields.is_empty() => Value::Null,
            Self::Tree(fields) => Value::Object(fields),
            Self::Written(object) => object.end(),
        }
    }
}

/// Whether a selection has nothing but fields, each once and without directives, of which few may wait.
fn is_plain(ctx: &ContextSelectionSet<'_>) -> bool {
    let items = &ctx.item.node.items;
    let mut waiting = 0_usize;
    for (place, item) in items.iter().enumerate() {
        let Selection::Field(field) = &item.node else {
            return false;
        };
        let field = &field.node;
        if !field.directives.is_empty() {
            return false;
        }
        let key = &field.response_key().node;
        let repeated = items.iter().take(place).any(|other| match &other.node {
            Selection::Field(other) => other.node.response_key().node == *key,
            _ => false,
        });
        if repeated {
            return false;
        }
        // Amounts are the one object that every noun has and that waits for nothing; where a page stands is known with it.
        waiting = waiting.saturating_add(usize::from(lists(field)));
    }
    waiting <= MOST_WAITING
}

/// Whether a field may be a list of the store's rows, or an object read from it: it selects more than an amount's fields.
fn lists(field: &Field) -> bool {
    field.name.node != "pageInfo"
        && field.selection_set.node.items.iter().any(|item| match &item.node {
            Selection::Field(below) => !matches!(below.node.name.node.as_str(), "amount" | "currency"),
            _ => true,
        })
}
