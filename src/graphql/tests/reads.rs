//! What reads cost, and what each caller gets.

use std::sync::Arc;

use async_graphql::{Executor as _, Request, Value, Variables};
use entity::enums::Role;
use futures_util::future::join_all;
use uuid::Uuid;

use super::gateway;
use crate::db::statements::counted;
use crate::graphql::ids::{self, Kind};
use crate::graphql::loaders::Loaders;
use crate::graphql::{Caller, InJson, Permission, prepare, schema};
use crate::store::Scope;

#[tokio::test]
async fn a_level_of_any_width_is_one_statement() {
    let (app, accounts, _folder) = gateway().await;
    for width in [1, 30, 31, 500] {
        let loaders = Loaders::new(Arc::clone(&app), Scope::engine());
        // All but two do not exist: each is answered nevertheless.
        let keys: Vec<Uuid> = accounts
            .iter()
            .copied()
            .chain((0..width).map(Uuid::from_u128))
            .collect();
        let (found, statements) = counted(join_all(keys.iter().map(|key| loaders.accounts.load(*key)))).await;
        let found = found
            .into_iter()
            .filter(|answer| answer.as_ref().is_ok_and(Option::is_some))
            .count();
        assert_eq!((found, statements), (accounts.len(), 1), "{width} wide");
    }
}

#[tokio::test]
async fn what_was_valid_once_is_checked_again_for_other_variables() {
    let (app, accounts, _folder) = gateway().await;
    let schema = schema(Arc::clone(&app));
    let all = Permission::of_role(Role::Owner);
    let query = "query ($first: Int!) { resources(first: $first) { nodes { id } } }";
    let ask = async |query: &str, variables: serde_json::Value| {
        let caller = Caller::new("an".to_owned(), Role::Owner, Some(accounts[0]), None, all);
        let request = Request::new(query).variables(Variables::from_json(variables));
        let response = schema.execute(prepare(request, &app, Some(caller))).await;
        (response.data.into_json().unwrap(), response.errors.len())
    };
    let nothing = serde_json::json!({ "resources": { "nodes": [] } });
    for _ in 0..3 {
        let good = ask(query, serde_json::json!({ "first": 1 })).await;
        assert_eq!(good, (nothing.clone(), 0));
        let bad = ask(query, serde_json::json!({ "first": "one" })).await;
        assert_eq!(bad, (serde_json::Value::Null, 1));
        let wrong = ask("{ resources(first: 1) { nodes { nothing } } }", serde_json::json!({})).await;
        assert_eq!(wrong, (serde_json::Value::Null, 1));
    }
}

#[tokio::test]
async fn rows_are_written_in_place_once_a_document_is_known_that_merges_nothing() {
    let (app, accounts, _folder) = gateway().await;
    let schema = schema(Arc::clone(&app));
    let all = Permission::of_role(Role::Owner);
    let caller = || Caller::new("an".to_owned(), Role::Owner, Some(accounts[0]), None, all);
    for (query, merges) in [
        (
            "{ resources(first: 1) { nodes { id } pageInfo { hasNextPage } } }",
            false,
        ),
        (
            "{ resources(first: 1) { nodes { id } } resources(first: 1) { pageInfo { hasNextPage } } }",
            true,
        ),
    ] {
        for known in [None, Some(merges), Some(merges)] {
            assert_eq!(
                schema.0.known.what_of(query).map(|known| known.merges),
                known,
                "{query}"
            );
            let asked = prepare(Request::new(query), &app, Some(caller())).data(InJson);
            let response = schema.execute(asked).await;
            assert!(response.errors.is_empty(), "{:?}", response.errors);
            let Value::Object(data) = &response.data else {
                panic!("{:?}", response.data)
            };
            let in_place = matches!(data["resources"], Value::Binary(_));
            assert_eq!(in_place, known == Some(false), "{query}: {data:?}");
        }
    }
}

#[tokio::test]
async fn strangers_get_nothing_and_roles_get_theirs() {
    let (app, accounts, _folder) = gateway().await;
    let schema = schema(Arc::clone(&app));
    let ask = async |caller: Option<Caller>, query: &str| {
        let response = schema.execute(prepare(Request::new(query), &app, caller)).await;
        let code = response
            .errors
            .first()
            .and_then(|error| error.extensions.as_ref()?.get("code").cloned());
        (response.data, code)
    };
    let owner = |permissions| Caller::new("an".to_owned(), Role::Owner, Some(accounts[0]), None, permissions);
    let all = Permission::of_role(Role::Owner);
    let code = |code: &str| Some(Value::from(code));

    assert_eq!(ask(None, "{ viewer { role } }").await.1, code("UNAUTHENTICATED"));
    assert_eq!(ask(Some(owner(all)), "{ wallet { kind } }").await.1, None);
    let few = all
        .iter()
        .filter(|permission| *permission != Permission::GetUserBalance)
        .collect();
    assert_eq!(
        ask(Some(owner(few)), "{ account { wallets { kind } } }").await.1,
        code("FORBIDDEN")
    );
    let service = Caller::new(
        "svc".to_owned(),
        Role::Product,
        None,
        Some("vserver".to_owned()),
        Permission::of_role(Role::Product),
    );
    assert_eq!(
        ask(
            Some(service.clone()),
            "{ provisioningTasks(first: 1) { nodes { id } } }"
        )
        .await
        .1,
        None
    );
    assert_eq!(
        ask(Some(service), "{ resources(first: 1) { nodes { id } } }").await.1,
        code("FORBIDDEN")
    );
    let operator = Caller::new(
        "op".to_owned(),
        Role::Operator,
        None,
        None,
        Permission::of_role(Role::Operator),
    );
    assert_eq!(
        ask(Some(operator.clone()), "{ orders(first: 1) { nodes { id } } }")
            .await
            .1,
        code("BAD_USER_INPUT")
    );
    let nobody = ids::global(Kind::Account, Uuid::from_u128(9)).0;
    let query = format!("{{ orders(first: 1, accountId: \"{nobody}\") {{ nodes {{ id }} }} }}");
    assert_eq!(ask(Some(operator), &query).await.1, code("NOT_FOUND"));
}

#[tokio::test]
async fn a_schema_that_is_read_again_is_the_published_one() {
    let (app, accounts, _folder) = gateway().await;
    let schema = schema(Arc::clone(&app));
    let all = Permission::of_role(Role::Owner);
    let ask = async |query: &str| {
        let caller = Caller::new("an".to_owned(), Role::Owner, Some(accounts[0]), None, all);
        let response = schema.execute(prepare(Request::new(query), &app, Some(caller))).await;
        (response.data.into_json().unwrap().to_string(), response.errors.len())
    };
    for query in [
        "{ __schema { types { name } directives { name } } }",
        "{ __typename viewer { __typename } __type(name: \"Query\") { fields { name } } }",
        "{ _service { sdl } }",
        "{ _entities(representations: []) { __typename } }",
    ] {
        let first = ask(query).await;
        for (what, found) in [("_Service", "_service"), ("_Any", "_entities")] {
            assert!(
                !first.0.contains(what) && !first.0.contains(found),
                "{query}: {}",
                first.0
            );
        }
        assert_eq!(
            first.1 > 0,
            query.starts_with("{ _s") || query.starts_with("{ _e"),
            "{query}"
        );
        for _ in 0..2 {
            assert_eq!(ask(query).await, first, "{query}");
        }
    }
}
