//! An answer that is written in place says what a tree would have said.

use async_graphql::{Executor as _, Request, Response};
use billing_gateway::graphql::{self, GatewaySchema, InJson};
use entity::enums::Role;
use serde_json::Value;

use crate::support::{World, on_every_store, project};

/// What the tests ask.
const ASKED: &[&str] = &[
    "{ wallets { kind available { amount } } resources(first: 20) { nodes { id name status expiresAt autoRenew
            invoices(first: 3) { nodes { code total { amount currency } lines { position quantity component { code name } } } } } } }",
    "{ __typename resources(last: 2) { __typename pageInfo { hasNextPage startCursor }
            edges { __typename cursor node { __typename named: name health expiresAt tags { key } } } } }",
    // Nothing in it, and nothing at all.
    "{ resources(first: 5, filter: { text: \"nobody's\" }) { nodes { id } pageInfo { endCursor } } }",
    "{ nodes(ids: []) { id } }",
    // Fragments that say different things.
    "{ resources(first: 5) { nodes { ...Named product { code } } } } fragment Named on Resource { id name }",
    "{ resources(first: 5) { nodes { name @include(if: true) id @skip(if: true) } } }",
    // The library merges what two select of one list, and of one row in it.
    "{ resources(first: 5) { nodes { id } } resources(first: 5) { nodes { name invoices(first: 1) { nodes { id } } } } }",
    "{ resources(first: 5) { nodes { invoices(first: 1) { nodes { total { amount } } } ...Priced } } }
            fragment Priced on Resource { invoices(first: 1) { nodes { total { currency } lines { total { amount } } } } }",
    "{ wallets { available { amount } ... on Wallet { available { currency } } } }",
];

/// Documents with a field that fails in some place.
const FAILED: &[&str] = &[
    "{ resources(first: 5) { nodes { id invoices(first: 0) { nodes { id } } } } wallets { kind } }",
    "{ resources(first: 5) { nodes { id name invoices(first: 1) { nodes { id lines { position }
        ofThePast: resource { invoices(first: 1, after: \"nonsense\") { nodes { id } } } } } } } }",
    "{ nothing: node(id: \"nonsense\") { id } wallets { id } resources(first: 101) { nodes { id } } }",
];

async fn ask(world: &World, schema: &GatewaySchema, query: &str, in_json: bool) -> Response {
    let permissions = graphql::Permission::of_role(Role::Owner);
    let caller = graphql::Caller::new("tester".to_owned(), Role::Owner, Some(world.account), None, permissions);
    let request = graphql::prepare(Request::new(query), &world.app, Some(caller));
    schema
        .execute(if in_json { request.data(InJson) } else { request })
        .await
}

on_every_store! {
    async fn what_is_written_in_place_is_what_the_tree_says(world: World) {
        world.grant("CASH", "100000000").await;
        for _ in 0..3 {
            world.buy(project()).await;
        }
        for query in ASKED {
            let schema = graphql::schema(world.app.clone());
            let tree = ask(&world, &schema, query, false).await;
            assert!(tree.errors.is_empty(), "{query}: {:?}", tree.errors);
            let tree = tree.data.into_json().unwrap();
            // At first the document is not known; then it is.
            for _ in 0..3 {
                let response = ask(&world, &schema, query, true).await;
                assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
                let mut json = Vec::new();
                graphql::add_json(&mut json, &response.data);
                assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), tree, "{query}");
            }
        }
    }

    async fn what_failed_somewhere_is_a_tree(world: World) {
        world.grant("CASH", "100000000").await;
        for _ in 0..3 {
            world.buy(project()).await;
        }
        for query in FAILED {
            let schema = graphql::schema(world.app.clone());
            let tree = ask(&world, &schema, query, false).await;
            assert!(!tree.errors.is_empty(), "{query}");
            let whole = tree.data.clone().into_json().unwrap();
            assert!(whole.is_object() && whole.to_string().contains("\"id\""), "{query}: {whole} {:?}", tree.errors);
            for _ in 0..3 {
                let response = ask(&world, &schema, query, true).await;
                assert_eq!(response.data.clone().into_json().unwrap(), tree.data.clone().into_json().unwrap(), "{query}");
                let said = |response: &Response| {
                    let mut said: Vec<_> = response.errors.iter().map(|error| format!("{:?} {}", error.path, error.message)).collect();
                    said.sort();
                    said
                };
                assert_eq!(said(&response), said(&tree), "{query}");
            }
        }
    }
}
