//! What reads cost, and what a cancelled batch does to those who wait for it.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_graphql::{Executor as _, Request, Value};
use entity::enums::Role;
use futures_util::future::join_all;
use tempfile::TempDir;
use uuid::Uuid;

use crate::app::{App, Settings};
use crate::commands::seed;
use crate::db::Options;
use crate::db::statements::counted;
use crate::graphql::loaders::Loaders;
use crate::graphql::{Caller, Permission, prepare, schema};
use crate::store::Scope;

async fn gateway() -> (Arc<App>, Vec<Uuid>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("graphql.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options { url, connections: 2 }, settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    (
        Arc::new(app),
        seeded.accounts.into_iter().map(|(_, key)| key).collect(),
        folder,
    )
}

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
async fn whoever_waits_for_a_batch_whose_driver_is_cancelled_loads_again() {
    let (app, accounts, _folder) = gateway().await;
    let loaders = Loaders::new(app, Scope::engine());
    let mut driver = Box::pin(loaders.accounts.load(accounts[0]));
    let mut waiter = Box::pin(loaders.accounts.load(accounts[1]));
    let mut context = Context::from_waker(Waker::noop());
    // Both ask; then the driver alone goes on until it is in the middle of its statement, with both keys.
    for _ in 0..20 {
        assert!(driver.as_mut().poll(&mut context).is_pending());
        if loaders.accounts.is_reading() {
            break;
        }
        if let Poll::Ready(answer) = waiter.as_mut().poll(&mut context) {
            panic!("the waiter drove the batch: {answer:?}");
        }
    }
    assert!(loaders.accounts.is_reading());
    drop(driver);
    let found = waiter.await.unwrap().unwrap();
    assert_eq!(found.id, accounts[1]);
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
    assert_eq!(ask(Some(owner(all.clone())), "{ wallet { kind } }").await.1, None);
    let few = all
        .into_iter()
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
    let nobody = super::super::ids::global(super::super::ids::Kind::Account, Uuid::from_u128(9)).0;
    let query = format!("{{ orders(first: 1, accountId: \"{nobody}\") {{ nodes {{ id }} }} }}");
    assert_eq!(ask(Some(operator), &query).await.1, code("NOT_FOUND"));
}
