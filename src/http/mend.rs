//! Puts nulls where the GraphQL specification wants them after a field has failed.
//!
//! The engine leaves a failed field out of its object, makes an object whose fields all failed null, and never passes a
//! failure of a non-null field on to its parent. Typed clients and their caches count on the specified form: the failed
//! field is null, or the nearest nullable parent is. Only answers with field errors are looked at.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{Name, PathSegment, ServerError, Value};

/// Which fields of a schema may be null.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    types: HashMap<String, HashMap<String, Type>>,
    query: String,
    mutation: String,
    subscription: String,
}

impl Shape {
    /// The shape of a schema in its definition language. What cannot be read counts as nullable everywhere.
    #[must_use]
    pub fn of_sdl(sdl: &str) -> Self {
        let mut shape = Self {
            query: "Query".to_owned(),
            mutation: "Mutation".to_owned(),
            subscription: "Subscription".to_owned(),
            ..Self::default()
        };
        let document = match parse_schema(sdl) {
            Ok(document) => document,
            Err(error) => {
                tracing::warn!(%error, "the schema's definition cannot be read: failed fields are taken as nullable");
                return shape;
            }
        };
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    let schema = schema.node;
                    for (root, name) in [
                        (&mut shape.query, schema.query),
                        (&mut shape.mutation, schema.mutation),
                        (&mut shape.subscription, schema.subscription),
                    ] {
                        if let Some(name) = name {
                            *root = name.node.to_string();
                        }
                    }
                }
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    let fields = match definition.kind {
                        TypeKind::Object(object) => object.fields,
                        TypeKind::Interface(interface) => interface.fields,
                        _ => continue,
                    };
                    let fields = fields
                        .into_iter()
                        .map(|field| (field.node.name.node.to_string(), field.node.ty.node));
                    shape
                        .types
                        .entry(definition.name.node.to_string())
                        .or_default()
                        .extend(fields);
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        shape
    }

    fn root(&self, kind: OperationType) -> &str {
        match kind {
            OperationType::Query => &self.query,
            OperationType::Mutation => &self.mutation,
            OperationType::Subscription => &self.subscription,
        }
    }
}

/// Mends the data of an answer by its errors' paths. The document ran, so it parses; it is parsed again because only
/// answers with errors need it.
pub(super) fn mend(shape: &Shape, query: &str, operation: Option<&str>, data: &mut Value, errors: &[ServerError]) {
    let Ok(document) = parse_query(query) else { return };
    let chosen = document
        .operations
        .iter()
        .find(|(name, _)| operation.is_none_or(|wanted| name.is_some_and(|name| name == wanted)));
    let Some((_, chosen)) = chosen else { return };
    let root = Type {
        base: BaseType::Named(Name::new(shape.root(chosen.node.ty))),
        nullable: true,
    };
    let selected = Selected {
        parent: shape.root(chosen.node.ty),
        sets: vec![&chosen.node.selection_set.node],
    };
    let mut mending = Mending {
        shape,
        document: &document,
        nulled: HashSet::new(),
    };
    for error in errors.iter().filter(|error| !error.path.is_empty()) {
        mending.place(data, &root, &selected, &error.path, &mut String::new());
    }
}

/// The selection sets that apply at one place, and the type they stand on.
struct Selected<'a> {
    parent: &'a str,
    sets: Vec<&'a SelectionSet>,
}

struct Mending<'a> {
    shape: &'a Shape,
    document: &'a ExecutableDocument,
    /// Places that became null because of what is below them: later errors there change nothing.
    nulled: HashSet<String>,
}

impl<'a> Mending<'a> {
    /// Puts the null of one error below `value`, which has type `ty`. True when the null has to go further up.
    fn place(
        &mut self,
        value: &mut Value,
        ty: &Type,
        selected: &Selected<'a>,
        path: &[PathSegment],
        at: &mut String,
    ) -> bool {
        if self.nulled.contains(at.as_str()) {
            return false;
        }
        let Some((segment, rest)) = path.split_first() else {
            *value = Value::Null;
            return self.up(ty, at);
        };
        let whole = at.len();
        let moves_up = match segment {
            PathSegment::Field(key) => {
                if *value == Value::Null {
                    // An object whose fields all failed.
                    *value = Value::Object(Default::default());
                }
                let Value::Object(object) = value else { return false };
                let (field_type, below) = self.field(selected, key);
                at.push('.');
                at.push_str(key);
                let child = object.entry(Name::new(key)).or_insert(Value::Null);
                let moves_up = self.place(child, &field_type, &below, rest, at);
                at.truncate(whole);
                moves_up
            }
            PathSegment::Index(index) => {
                let BaseType::List(item) = &ty.base else { return false };
                match value {
                    Value::List(items) => {
                        let Some(child) = items.get_mut(*index) else {
                            return false;
                        };
                        at.push_str(&format!(".{index}"));
                        let moves_up = self.place(child, item, selected, rest, at);
                        at.truncate(whole);
                        moves_up
                    }
                    // The list went with its item.
                    _ => true,
                }
            }
        };
        if !moves_up {
            return false;
        }
        *value = Value::Null;
        self.nulled.insert(at.clone());
        self.up(ty, at)
    }

    fn up(&mut self, ty: &Type, at: &str) -> bool {
        if ty.nullable {
            self.nulled.insert(at.to_owned());
        }
        !ty.nullable
    }

    /// The type of the field that answers under `key`, and what is selected below it.
    fn field(&self, selected: &Selected<'a>, key: &str) -> (Type, Selected<'a>) {
        let mut found = Found {
            ty: None,
            sets: Vec::new(),
        };
        for set in &selected.sets {
            self.find(selected.parent, set, key, &mut found);
        }
        let unknown = Type {
            base: BaseType::Named(Name::new("")),
            nullable: true,
        };
        let (ty, parent) = match found.ty {
            Some(ty) => (ty.clone(), innermost(ty)),
            None => (unknown, ""),
        };
        (
            ty,
            Selected {
                parent,
                sets: found.sets,
            },
        )
    }

    fn find(&self, parent: &'a str, set: &'a SelectionSet, key: &str, found: &mut Found<'a>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) if field.node.response_key().node == key => {
                    let name = field.node.name.node.as_str();
                    if found.ty.is_none() {
                        found.ty = self.shape.types.get(parent).and_then(|fields| fields.get(name));
                    }
                    found.sets.push(&field.node.selection_set.node);
                }
                Selection::Field(_) => {}
                Selection::InlineFragment(inline) => {
                    let on = inline
                        .node
                        .type_condition
                        .as_ref()
                        .map_or(parent, |on| on.node.on.node.as_str());
                    self.find(on, &inline.node.selection_set.node, key, found);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        let on = fragment.node.type_condition.node.on.node.as_str();
                        self.find(on, &fragment.node.selection_set.node, key, found);
                    }
                }
            }
        }
    }
}

struct Found<'a> {
    ty: Option<&'a Type>,
    sets: Vec<&'a SelectionSet>,
}

fn innermost(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(item) => innermost(item),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    const SDL: &str = "
        type Query { may: Int must: Int! toy: Toy toys: [Toy!]! some: [Toy] thing: Thing }
        interface Thing { must: Int! }
        type Toy implements Thing { may: Int must: Int! toy: Toy owner: Toy! }
        schema { query: Query }";

    fn mended(query: &str, data: serde_json::Value, paths: &[serde_json::Value]) -> serde_json::Value {
        let errors: Vec<ServerError> = paths
            .iter()
            .map(|path| {
                let segments = path.as_array().unwrap().iter().map(|segment| match segment.as_u64() {
                    Some(index) => PathSegment::Index(usize::try_from(index).unwrap()),
                    None => PathSegment::Field(segment.as_str().unwrap().to_owned()),
                });
                ServerError::new("x", None).with_path(segments.collect())
            })
            .collect();
        let mut data = Value::from_json(data).unwrap();
        mend(&Shape::of_sdl(SDL), query, None, &mut data, &errors);
        data.into_json().unwrap()
    }

    #[test]
    fn a_failed_field_is_null_or_its_nearest_nullable_parent_is() {
        for (query, data, paths, expected) in [
            (
                "{ may x: may }",
                json!({ "x": 1 }),
                vec![json!(["may"])],
                json!({ "may": null, "x": 1 }),
            ),
            ("{ may }", json!(null), vec![json!(["may"])], json!({ "may": null })),
            ("{ may must }", json!({ "may": 1 }), vec![json!(["must"])], json!(null)),
            (
                "{ toy { may } }",
                json!({ "toy": null }),
                vec![json!(["toy", "may"])],
                json!({ "toy": { "may": null } }),
            ),
            (
                "{ toy { m: must may } }",
                json!({ "toy": { "may": 1 } }),
                vec![json!(["toy", "m"])],
                json!({ "toy": null }),
            ),
            (
                "{ toy { owner { must } } }",
                json!({ "toy": { "owner": null } }),
                vec![json!(["toy", "owner", "must"])],
                json!({ "toy": null }),
            ),
            (
                "{ some { ...f } } fragment f on Toy { must may }",
                json!({ "some": [{ "may": 1, "must": 1 }, { "may": 2 }] }),
                vec![json!(["some", 1, "must"])],
                json!({ "some": [{ "may": 1, "must": 1 }, null] }),
            ),
            (
                "{ may toys { must may } }",
                json!({ "may": 1, "toys": [{ "may": 1 }] }),
                vec![json!(["toys", 0, "must"])],
                json!(null),
            ),
            (
                "{ thing { ... on Toy { must may } } }",
                json!({ "thing": { "may": 1 } }),
                vec![json!(["thing", "must"])],
                json!({ "thing": null }),
            ),
            (
                "{ unknown { a } }",
                json!({ "unknown": null }),
                vec![json!(["unknown", "a"])],
                json!({ "unknown": { "a": null } }),
            ),
        ] {
            assert_eq!(mended(query, data, &paths), expected, "{query}");
        }
    }

    #[test]
    fn the_order_of_errors_does_not_matter() {
        let (may, must) = (json!(["toy", "may"]), json!(["toy", "must"]));
        for paths in [[may.clone(), must.clone()], [must, may]] {
            assert_eq!(
                mended("{ toy { may must } }", json!({ "toy": null }), &paths),
                json!({ "toy": null })
            );
        }
    }
}
