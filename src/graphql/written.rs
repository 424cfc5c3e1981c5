//! Answers that are JSON from the start.
//!
//! The library keeps an answer as a tree: each object a table of its own, every name hashed, and all of it written and
//! torn down at the end, which is more work than resolving plain rows is. Whoever only sends the answer asks for it
//! [`InJson`]: then objects that are resolved in place are written at once, as [`Value::Binary`] inside the tree.
//!
//! The library merges what a selection names twice, and what is written can't be merged: a document that may need it, and
//! one that was not run before, is answered by a tree to its end. So is what has failed: whoever puts nulls where a field
//! failed needs the tree.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;

use async_graphql::parser::types::{ExecutableDocument, Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Value};
use bytes::Bytes;

/// In a request: its data, or parts of it, may be [`Value::Binary`], which then is JSON.
#[derive(Clone, Copy, Debug)]
pub struct InJson;

/// In a request that is run so: rows are written in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written;

/// How many fields and fragments of a document are looked at. A longer one counts as one that merges.
const MOST: u32 = 1_000;

/// Room for what many are told, in bytes: most of it is one row.
const BYTES: usize = 128;

/// A value as JSON.
pub(super) fn bytes(tree: &Value) -> Bytes {
    let mut json = Vec::with_capacity(BYTES);
    add_json(&mut json, tree);
    Bytes::from(json)
}

/// The tree of an answer of which parts are written.
pub(super) fn read(data: Value) -> Value {
    match data {
        Value::Binary(json) => serde_json::from_slice(&json).unwrap_or_default(),
        Value::List(values) => Value::List(values.into_iter().map(read).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, read(value))).collect()),
        other => other,
    }
}

/// Adds a value to JSON. What of it is written already is added as it is.
pub fn add_json(json: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => json.extend_from_slice(b"null"),
        Value::Boolean(true) => json.extend_from_slice(b"true"),
        Value::Boolean(false) => json.extend_from_slice(b"false"),
        // A vector takes whatever is written.
        Value::Number(number) => drop(write!(json, "{number}")),
        Value::String(text) => self::text(json, text),
        Value::Enum(name) => self::text(json, name),
        Value::Binary(written) => json.extend_from_slice(written),
        Value::List(values) => {
            json.push(b'[');
            for (place, one) in values.iter().enumerate() {
                if place > 0 {
                    json.push(b',');
                }
                add_json(json, one);
            }
            json.push(b']');
        }
        Value::Object(fields) => {
            json.push(b'{');
            for (place, (name, one)) in fields.iter().enumerate() {
                if place > 0 {
                    json.push(b',');
                }
                self::text(json, name);
                json.push(b':');
                add_json(json, one);
            }
            json.push(b'}');
        }
    }
}

/// Adds a text.
fn text(json: &mut Vec<u8>, text: &str) {
    // Told in one go over all bytes, which the machine does many at a time.
    let plain = text.bytes().fold(true, |plain, byte| {
        plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\')
    });
    if plain {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        // A vector takes whatever is written, and a text can be.
        drop(serde_json::to_writer(json, text));
    }
}

/// An object that is being written.
pub(super) struct Object(Vec<u8>);

impl Object {
    /// One that will have about so many fields.
    pub(super) fn of(fields: usize) -> Self {
        let mut json = Vec::with_capacity(fields.saturating_mul(48));
        json.push(b'{');
        Self(json)
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &Name, value: &Value) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        text(&mut self.0, name);
        self.0.push(b':');
        add_json(&mut self.0, value);
    }

    /// An object of one field, with room for just that where its value is written.
    pub(super) fn of_one(name: &Name, value: &Value) -> Bytes {
        let room = match value {
            Value::Binary(json) => json.len(),
            _ => BYTES,
        };
        // Braces, quotes and a colon.
        let mut object = Self(Vec::with_capacity(room.saturating_add(name.len()).saturating_add(5)));
        object.0.push(b'{');
        object.field(name, value);
        object.0.push(b'}');
        Bytes::from(object.0)
    }

    /// The object; nothing when it has no fields.
    pub(super) fn end(mut self) -> Value {
        if self.0.len() == 1 {
            return Value::Null;
        }
        self.0.push(b'}');
        Value::Binary(Bytes::from(self.0))
    }
}

/// Whether a document may name one field twice in one object, its fragments spread: the library merges what both select.
pub(super) fn merges(document: &ExecutableDocument) -> bool {
    let mut walk = Walk {
        fragments: &document.fragments,
        left: MOST,
    };
    let mut operations = document.operations.iter();
    operations.any(|(_, operation)| walk.repeats(&operation.node.selection_set.node))
}

/// As [`merges`], of what a field selects.
pub(super) fn merges_below(field: &Field, fragments: &HashMap<Name, Positioned<FragmentDefinition>>) -> bool {
    let mut walk = Walk { fragments, left: MOST };
    walk.repeats(&field.selection_set.node)
}

struct Walk<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    left: u32,
}

impl<'a> Walk<'a> {
    /// Whether an object of this selection, or one below it, has a name twice.
    fn repeats(&mut self, set: &'a SelectionSet) -> bool {
        self.adds_again(set, &mut HashSet::new())
    }

    fn adds_again(&mut self, set: &'a SelectionSet, names: &mut HashSet<&'a str>) -> bool {
        set.items.iter().any(|item| {
            let Some(left) = self.left.checked_sub(1) else {
                return true;
            };
            self.left = left;
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    !names.insert(field.response_key().node.as_str()) || self.repeats(&field.selection_set.node)
                }
                Selection::InlineFragment(fragment) => self.adds_again(&fragment.node.selection_set.node, names),
                Selection::FragmentSpread(spread) => match self.fragments.get(&spread.node.fragment_name.node) {
                    Some(fragment) => self.adds_again(&fragment.node.selection_set.node, names),
                    None => true,
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use async_graphql::parser::parse_query;
    use proptest::prelude::*;

    use super::*;

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::String),
            "[ -~]{0,12}".prop_map(Value::String),
            "[\\x00-\\x1f\"\\\\é]{0,12}".prop_map(Value::String),
            "[_A-Z]{1,8}".prop_map(|name| Value::Enum(Name::new(name))),
        ]
    }

    fn tree() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 64, 8, |below| {
            let name = prop_oneof!["[_a-zA-Z][_a-zA-Z0-9]{0,8}", any::<String>()];
            let fields = proptest::collection::vec((name, below.clone()), 0..8);
            prop_oneof![
                proptest::collection::vec(below, 0..8).prop_map(Value::List),
                fields.prop_map(|fields| Value::Object(
                    fields
                        .into_iter()
                        .map(|(name, value)| (Name::new(name), value))
                        .collect()
                )),
            ]
        })
    }

    /// The same tree with some of its objects written.
    fn partly(value: Value, every: usize, seen: &mut usize) -> Value {
        match value {
            Value::List(values) => Value::List(values.into_iter().map(|value| partly(value, every, seen)).collect()),
            Value::Object(fields) => {
                *seen += 1;
                let in_place = seen.is_multiple_of(every);
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name, partly(value, every, seen)));
                if in_place {
                    let mut object = Object::of(fields.len());
                    for (name, value) in fields {
                        object.field(&name, &value);
                    }
                    object.end()
                } else {
                    Value::Object(fields.collect())
                }
            }
            other => other,
        }
    }

    /// An object without fields is null when it is written, as it is when the library answers it.
    fn without_empty(value: Value) -> Value {
        match value {
            Value::List(values) => Value::List(values.into_iter().map(without_empty).collect()),
            Value::Object(fields) if fields.is_empty() => Value::Null,
            Value::Object(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name, without_empty(value)))
                    .collect(),
            ),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_a_json_writer_writes(tree in tree(), every in 1_usize..4) {
            let tree = without_empty(tree);
            let json = serde_json::to_string(&tree).unwrap();
            prop_assert_eq!(bytes(&tree), json.as_bytes());
            let partly = partly(tree, every, &mut 0);
            prop_assert_eq!(bytes(&partly), json.as_bytes());
            let read: Value = read(partly);
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn what_selects_one_name_twice_merges() {
        let merges = |text: &str| merges(&parse_query(text).unwrap());
        for apart in [
            "{ a { b c: b } d: a { b } }",
            "{ a { ...F c } } fragment F on T { b { c } }",
            "{ a { ... on T { b } ... on U { c } ... @include(if: true) { d } } }",
            "query A { a } mutation B { a }",
            "{ a { ...F } b { ...F } } fragment F on T { c }",
        ] {
            assert!(!merges(apart), "{apart}");
        }
        let long = format!(
            "{{ {} }}",
            (0..2_000).map(|number| format!("f{number}: a ")).collect::<String>()
        );
        for together in [
            "{ a { b } a { c } }",
            "{ a: b { c } a: b { d } }",
            "{ x { a { b b } } }",
            "{ a { ...F b { d } } } fragment F on T { b { c } }",
            "{ a { ... on T { b } ... on U { b } } }",
            "{ a { b ... { b } } }",
            "{ ...F ...F } fragment F on T { a }",
            "query A { a } mutation B { a a }",
            "{ ...F } fragment F on T { a { ...F } }",
            "{ ...Unknown }",
            &long,
        ] {
            assert!(merges(together), "{together}");
        }
    }
}
