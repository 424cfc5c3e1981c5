//! A year of an account of 10,000 resources (FORECAST_RESOURCES makes another size), foreseen, against reading the
//! resources, without which there is no forecast. `cargo bench --bench forecast`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use billing_gateway::run::world::make;
use billing_gateway::store::{Scope, due};
use billing_gateway::{clock, engine};
use chrono::TimeDelta;
use entity::{account, resource};
use sea_orm::EntityTrait as _;
use support::{empty_stores, scale};

const RESOURCES: usize = 10_000;

#[tokio::main]
async fn main() {
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    let asked = std::env::var("FORECAST_RESOURCES")
        .ok()
        .map(|text| text.parse().unwrap());
    let (_, size) = scale(1, asked.unwrap_or(RESOURCES));
    let size = u32::try_from(size).unwrap();
    for store in empty_stores().await {
        let (name, app) = (store.name, &*store.app);
        make(app, &[size], size, 1).await.unwrap();
        let renewed = app.db.write("renew_all", async |tx| {
            let tx = &*tx;
            sea_orm::ConnectionTrait::execute_unprepared(
                &**tx,
                "update resource set auto_renew = true where life = 'ACTIVE'",
            )
            .await?;
            Ok(())
        });
        renewed.await.unwrap();
        let scope = Scope::engine();
        let any = resource::Entity::find().one(app.db.read()).await.unwrap().unwrap();
        let account = account::Entity::find_by_id(any.account_id)
            .one(app.db.read())
            .await
            .unwrap()
            .unwrap();
        let until = app.clock.now() + TimeDelta::days(365);
        for _ in 0..3 {
            let began = clock::monotonic();
            let rows = due::scheduled(app.db.read(), &scope, account.id, 1_000_000)
                .await
                .unwrap();
            let floor = began.elapsed();
            let began = clock::monotonic();
            let forecast = engine::forecast(app, &scope, &account, until).await.unwrap();
            let took = began.elapsed();
            println!(
                "{name:<11} a year of {} resources: {} events in {} ms, {} times as long as reading the resources ({} ms)",
                rows.len(),
                forecast.events.len(),
                took.as_millis(),
                took.as_millis() / floor.as_millis().max(1),
                floor.as_millis(),
            );
        }
    }
}
