//! Objects whose fields are resolved one after another, in place.
//!
//! The library boxes a future for each field and schedules them all at once. That pays for fields that wait for the
//! store; for amounts, lines and the rows of lists, whose fields are at hand, it is most of the work of an answer. The
//! answer is the same, with its fields in the order in which they were selected.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::{ContainerType, resolve_container};
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};

/// An object whose fields wait for nothing, or for one list at most: two lists of one parent are read by the
/// library's own way, which asks for both at once.
#[derive(Clone, Debug)]
pub(crate) struct InPlace<T>(pub(crate) T);

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
        if !is_plain(ctx) {
            return resolve_container(ctx, &self.0).await;
        }
        let items = &ctx.item.node.items;
        let mut object: IndexMap<Name, Value> = IndexMap::with_capacity(items.len());
        for item in items {
            let Selection::Field(field) = &item.node else { continue };
            let name = field.node.response_key().node.clone();
            if field.node.name.node == "__typename" {
                let kind = self.0.introspection_type_name().into_owned();
                object.insert(name, Value::String(kind));
                continue;
            }
            match self.0.resolve_field(&ctx.with_field(field)).await {
                Ok(value) => {
                    object.insert(name, value.unwrap_or_default());
                }
                Err(error) => ctx.add_error(error),
            }
        }
        // As the library answers an object all of whose fields have failed.
        Ok(if object.is_empty() {
            Value::Null
        } else {
            Value::Object(object)
        })
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
        // Amounts are the one object that every noun has and that waits for nothing.
        waiting = waiting.saturating_add(usize::from(lists(field)));
    }
    waiting <= MOST_WAITING
}

/// Whether a field may be a list of the store's rows, or an object read from it: it selects more than an amount's fields.
fn lists(field: &Field) -> bool {
    field.selection_set.node.items.iter().any(|item| match &item.node {
        Selection::Field(below) => !matches!(below.node.name.node.as_str(), "amount" | "currency"),
        _ => true,
    })
}
