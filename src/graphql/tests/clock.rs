//! The clock of a production store is nobody's to move.

use std::sync::Arc;

use async_graphql::Request;
use entity::enums::Role;

use super::super::{Caller, Permission, prepare, schema};
use crate::app::{App, Settings};
use crate::db::Options;

#[tokio::test]
async fn in_production_the_clock_stays() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("production.sqlite3").display());
    let settings = Settings {
        development: false,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = Arc::new(App::open(&Options::new(url, 2), settings).await.unwrap());
    let operator = Caller::new(
        "ops".to_owned(),
        Role::Operator,
        None,
        None,
        Permission::of_role(Role::Operator),
    );
    let document = r#"mutation { advanceClock(input: { until: "2099-01-01T00:00:00Z" }) { now userErrors { code } } }"#;
    let request = prepare(Request::new(document), &app, Some(operator));
    let response = async_graphql::Executor::execute(&schema(Arc::clone(&app)), request).await;
    let error = response.errors.first().unwrap();
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    assert_eq!(code, Some(&async_graphql::Value::from("FORBIDDEN")), "{error:?}");
    assert_eq!(app.clock.offset_micros(), 0);
}
