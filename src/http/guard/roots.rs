//! What may stand at the root of a subscription and of a mutation. The engine takes only what is written there as plain
//! fields for a subscription, runs all of them at once, and runs a mutation's field each time it is selected.

use std::collections::HashSet;

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned};

use super::Refused;
use crate::http::params::short;

/// Checks the root of the operation that runs. The document was measured: what its fragments stand for is bounded.
///
/// Errors: a subscription without exactly one field, one whose field comes from a fragment or may be left out, and a
/// mutation that selects one response key twice.
pub(super) fn check(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), Refused> {
    match operation.ty {
        OperationType::Query => Ok(()),
        OperationType::Mutation => each_once(document, &operation.selection_set.node),
        OperationType::Subscription => one_field(document, &operation.selection_set),
    }
}

/// What a selection set stands for, fragments flattened.
fn fields<'d>(document: &'d ExecutableDocument, set: &'d SelectionSet, found: &mut Vec<&'d Positioned<Field>>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => found.push(field),
            Selection::InlineFragment(inline) => fields(document, &inline.node.selection_set.node, found),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    fields(document, &fragment.node.selection_set.node, found);
                }
            }
        }
    }
}

fn each_once(document: &ExecutableDocument, set: &SelectionSet) -> Result<(), Refused> {
    let mut selected = Vec::new();
    fields(document, set, &mut selected);
    let mut keys: HashSet<&Name> = HashSet::with_capacity(selected.len());
    for field in selected {
        let key = &field.node.response_key().node;
        if field.node.name.node != "__typename" && !keys.insert(key) {
            let key = short(key);
            return Err(refuse(
                format!(
                    "A mutation selects each of its root fields once, and \"{key}\" is selected twice: give one an alias, or leave it out."
                ),
                field.pos,
            ));
        }
    }
    Ok(())
}

fn one_field(document: &ExecutableDocument, set: &Positioned<SelectionSet>) -> Result<(), Refused> {
    let mut selected = Vec::new();
    fields(document, &set.node, &mut selected);
    let [field] = selected.as_slice() else {
        let found = selected.len();
        return Err(refuse(
            format!("A subscription has exactly one root field, and this one has {found}."),
            selected.get(1).map_or(set.pos, |field| field.pos),
        ));
    };
    if !set
        .node
        .items
        .iter()
        .all(|item| matches!(item.node, Selection::Field(_)))
    {
        let message = "The root field of a subscription is written out, not taken from a fragment.";
        return Err(refuse(message.to_owned(), field.pos));
    }
    if field.node.name.node.starts_with("__") {
        let message = "The root field of a subscription is a source of events, not one of the schema's own fields.";
        return Err(refuse(message.to_owned(), field.pos));
    }
    let left_out = |name: &str| name == "skip" || name == "include";
    if field
        .node
        .directives
        .iter()
        .any(|directive| left_out(&directive.node.name.node))
    {
        let message = "The root field of a subscription is there or not: @skip and @include do not stand at it.";
        return Err(refuse(message.to_owned(), field.pos));
    }
    Ok(())
}

const fn refuse(message: String, at: Pos) -> Refused {
    Refused::Root { message, at }
}
