//! What tools read of the schema.

use std::collections::BTreeSet;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, InputValueDefinition, TypeKind, TypeSystemDefinition};
use async_graphql::{Name, Positioned};

use crate::graphql::{list_sizes, sdl};

fn described(description: Option<&Positioned<String>>) -> bool {
    description.is_some_and(|text| text.node.trim().len() > 2)
}

fn arguments<'a>(of: &'a str, inputs: &'a [Positioned<InputValueDefinition>]) -> impl Iterator<Item = String> + 'a {
    let bare = inputs
        .iter()
        .filter(|input| !described(input.node.description.as_ref()));
    bare.map(move |input| format!("{of}.{}", input.node.name.node))
}

#[test]
fn every_element_of_the_schema_is_described() {
    let sdl = sdl();
    let document = parse_schema(&sdl).unwrap();
    let mut bare = Vec::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(found) = definition else {
            continue;
        };
        let name: Name = found.node.name.node.clone();
        if !described(found.node.description.as_ref()) {
            bare.push(name.to_string());
        }
        match &found.node.kind {
            TypeKind::Object(object) => {
                for field in &object.fields {
                    let path = format!("{name}.{}", field.node.name.node);
                    bare.extend(arguments(&path, &field.node.arguments));
                    if !described(field.node.description.as_ref()) {
                        bare.push(path);
                    }
                }
            }
            TypeKind::Interface(interface) => {
                for field in &interface.fields {
                    if !described(field.node.description.as_ref()) {
                        bare.push(format!("{name}.{}", field.node.name.node));
                    }
                }
            }
            TypeKind::Enum(values) => {
                for value in &values.values {
                    if !described(value.node.description.as_ref()) {
                        bare.push(format!("{name}.{}", value.node.value.node));
                    }
                }
            }
            TypeKind::InputObject(input) => bare.extend(arguments(&name, &input.fields)),
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}

#[test]
fn the_published_schema_is_the_same_on_every_run_and_names_what_was_promised() {
    let text = sdl();
    assert_eq!(text, sdl());
    for promised in [
        "interface Node",
        "interface UserError",
        "node(",
        "nodes(",
        "pricePreview(",
        "provisioningTasks(",
        "createQuote(",
        "placeOrder(",
        "reportProvisioning(",
        "grantCredit(",
        "createCoupon(",
        "walletUpdates(",
        "@oneOf",
        "scalar Decimal @specifiedBy(url:",
    ] {
        assert!(text.contains(promised), "{promised}");
    }
    assert!(!text.contains("scalar UUID"), "keys stay inside");
}

#[test]
fn every_list_is_counted_by_its_page_or_by_its_size() {
    let document = parse_schema(sdl()).unwrap();
    let types: Vec<_> = document
        .definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(found) => Some(found.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        })
        .collect();
    // Lists of plain values cost what their object costs.
    let plain: BTreeSet<&str> = types
        .iter()
        .filter(|found| matches!(found.kind, TypeKind::Scalar | TypeKind::Enum(_)))
        .map(|found| found.name.node.as_str())
        .chain(["String", "Int", "Float", "Boolean", "ID"])
        .collect();
    let mut lists = BTreeSet::new();
    for found in &types {
        let fields = match &found.kind {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            _ => continue,
        };
        for field in fields {
            let BaseType::List(item) = &field.node.ty.node.base else {
                continue;
            };
            let of_objects = matches!(&item.base, BaseType::Named(name) if !plain.contains(name.as_str()));
            let paged = field.node.arguments.iter().any(|argument| {
                let name = argument.node.name.node.as_str();
                matches!(name, "first" | "last" | "ids")
            });
            // A connection was counted by the field that answers it.
            let of_connection = found.name.node.ends_with("Connection");
            if of_objects && !paged && !of_connection {
                lists.insert(field.node.name.node.to_string());
            }
        }
    }
    let sizes: BTreeSet<String> = list_sizes().into_keys().collect();
    assert_eq!(
        lists, sizes,
        "a list has no size in src/graphql/sizes.rs, or a size has no list"
    );
}
