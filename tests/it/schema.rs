//! The published schema.

use billing_gateway::graphql;

/// `schema.graphql` is what the code says. To publish a change: `cargo run -- schema > schema.graphql`.
#[test]
fn the_published_schema_is_current() {
    let published = include_str!("../../schema.graphql");
    assert!(
        published == graphql::sdl(),
        "schema.graphql is not current: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn the_schema_is_the_same_each_time() {
    assert_eq!(graphql::sdl(), graphql::sdl());
}
