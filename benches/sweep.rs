//! A sweep of the engine: 20,000 resources fall due in a world of a million (SWEEP_RESOURCES makes another size) and in
//! one of a tenth of it, against the same rows written by the database itself, 250 in a transaction, with nothing
//! decided. `cargo bench --bench sweep`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use billing_gateway::app::App;
use billing_gateway::db::{locks_rows, statements::counted};
use billing_gateway::run::world::{SIZES, make};
use billing_gateway::{clock, engine};
use chrono::{DateTime, TimeDelta, Utc};
use entity::resource;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Statement, Value,
};
use support::{empty_stores, report, scale};
use uuid::Uuid;

const RESOURCES: usize = 1_000_000;
/// One in fifty of the large world, one in five of the small one.
const DUE_IN_LARGE: usize = 50;
const BATCH: usize = 250;

/// When so many resources are due.
async fn due_at(app: &App, count: usize) -> DateTime<Utc> {
    let last = resource::Entity::find()
        .select_only()
        .column(resource::Column::NextDueAt)
        .filter(resource::Column::NextDueAt.is_not_null())
        .order_by_asc(resource::Column::NextDueAt)
        .offset(u64::try_from(count).unwrap() - 1)
        .limit(1)
        .into_tuple::<DateTime<Utc>>()
        .one(app.db.read());
    last.await.unwrap().expect("the world is large enough")
}

async fn due(app: &App, at: DateTime<Utc>) -> Vec<Uuid> {
    let due = resource::Entity::find()
        .select_only()
        .column(resource::Column::Id)
        .filter(resource::Column::NextDueAt.lte(at))
        .order_by_asc(resource::Column::AccountId)
        .into_tuple::<Uuid>()
        .all(app.db.read());
    due.await.unwrap()
}

/// In the large world only the copies that the small one has too fall due: the same work, among ten times as many rows.
async fn leave_due(app: &App, copies: usize) {
    let first_other = Uuid::from_u128(u128::try_from(copies).unwrap() << 80);
    let put_off = app.db.write("put_off", async |tx| {
        let later = Expr::val(clock::machine_now() + TimeDelta::days(3_650));
        resource::Entity::update_many()
            .col_expr(resource::Column::NextDueAt, later)
            .filter(resource::Column::NextDueAt.is_not_null())
            .filter(resource::Column::Id.gte(first_other))
            .exec(&**tx)
            .await?;
        Ok(())
    });
    put_off.await.unwrap();
    look(app).await;
}

/// Lets PostgreSQL look at its tables, and clean up, as it would by itself by then.
async fn look(app: &App) {
    if locks_rows(app.db.backend()) {
        app.db
            .read()
            .execute_unprepared("vacuum analyze resource")
            .await
            .unwrap();
    }
}

fn per_second(count: u64, took: Duration) -> u64 {
    count * 1_000_000 / u64::try_from(took.as_micros().max(1)).unwrap()
}

/// Sweeps, and answers resources and steps and how long it took, with the number of statements.
async fn sweep(app: &App) -> (u64, u64, Duration, u64) {
    let began = clock::monotonic();
    let ((resources, steps), statements) = counted(async {
        let (mut resources, mut steps) = (0, 0);
        loop {
            let passed = engine::tick(app).await.unwrap();
            assert_eq!(passed.failed, 0);
            resources += passed.resources;
            steps += passed.steps;
            if !passed.more {
                return (resources, steps);
            }
        }
    })
    .await;
    (resources, steps, began.elapsed(), statements)
}

/// The rows of a sweep, made by the database from those of the resources. Some of them are released by now, and have no
/// next step.
async fn by_hand(app: &App, resources: &[Uuid]) -> Duration {
    let backend = app.db.backend();
    let new_id = if locks_rows(backend) {
        "gen_random_uuid()"
    } else {
        "randomblob(16)"
    };
    let began = clock::monotonic();
    for chunk in resources.chunks(BATCH) {
        let marks: Vec<String> = (2..=chunk.len() + 1).map(|place| format!("${place}")).collect();
        let these = format!("id in ({})", marks.join(", "));
        let now = app.clock.now();
        let values: Vec<Value> = std::iter::once(now.into())
            .chain(chunk.iter().map(|id| (*id).into()))
            .collect();
        let sql = [
            format!("insert into schedule_step (resource_id, period_id, step, account_id, kind, status, due_at, handled_at)
                     select id, period_id, 'FLOOR:1', account_id, 'REMINDER', 'SENT', $1, $1 from resource where {these}"),
            format!("insert into expiry_alert (id, account_id, resource_id, period_id, step, kind, event_sequence, days_left, expires_at, created_at)
                     select {new_id}, account_id, id, period_id, 'FLOOR:1', 'REMINDER', 1000000 + row_number() over (order by id), 7, paid_until, $1 from resource where {these}"),
            format!("insert into account_event (account_id, sequence, kind, resource_id, created_at)
                     select account_id, 1000000 + row_number() over (order by id), 'EXPIRY_REMINDER', id, $1 from resource where {these}"),
            format!("update account set event_sequence = event_sequence + 1, version = version where $1 = $1 and id in (select account_id from resource where {these})"),
            format!("update resource set next_step = 'FLOOR:1', next_due_at = $1, attempts = 0, version = version + 1
                     where {these} and next_due_at is not null"),
        ];
        let written = app.db.write("floor", async |tx| {
            for sql in &sql {
                tx.execute_raw(Statement::from_sql_and_values(backend, sql, values.clone()))
                    .await?;
            }
            Ok(())
        });
        written.await.unwrap();
    }
    began.elapsed()
}

#[tokio::main]
async fn main() {
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    let asked = std::env::var("SWEEP_RESOURCES").ok().map(|text| text.parse().unwrap());
    let (_, large) = scale(1, asked.unwrap_or(RESOURCES));
    let (large, sizes) = if large < 1_000 {
        (600, &[1_u32, 2, 3][..])
    } else {
        (large, SIZES)
    };
    let (small, wanted) = (large / 10, large / DUE_IN_LARGE);
    let all: u32 = sizes.iter().sum();
    let mut at = None;
    let mut rates: Vec<(&str, u64)> = Vec::new();
    for size in [small, large] {
        for store in empty_stores().await {
            let (name, app) = (store.name, &*store.app);
            let began = clock::monotonic();
            make(app, sizes, u32::try_from(size).unwrap(), 1).await.unwrap();
            println!(
                "{name:<11} a world of {size} resources in {} s",
                began.elapsed().as_secs()
            );
            if size == large {
                leave_due(app, small / usize::try_from(all).unwrap()).await;
            }
            let at = match at {
                Some(at) => at,
                None => *at.insert(due_at(app, wanted).await),
            };
            app.advance_clock(at).await.unwrap();
            let resources = due(app, at).await;
            let (swept, steps, took, statements) = sweep(app).await;
            // The clock runs on: what falls due while it sweeps is swept as well.
            let (due, most) = (resources.len(), resources.len() + resources.len() / 20);
            let due = u64::try_from(due).unwrap();
            assert!(
                (due..=u64::try_from(most).unwrap()).contains(&swept),
                "{swept} of {due}"
            );
            let floor = by_hand(app, &resources).await;
            let (ours, floor) = (per_second(swept, took), per_second(due, floor));
            report(name, "a sweep, resources", 1, &mut [ours], &mut [floor], statements);
            let rate = per_second(steps, took);
            println!(
                "{name:<11} {swept} of {size} due: {steps} steps, {rate} steps/s, {}.{:03} statements a step",
                statements / steps,
                statements * 1_000 / steps % 1_000
            );
            if let Some((_, before)) = rates.iter().find(|(of, _)| *of == name) {
                println!(
                    "{name:<11} among ten times as many: {} % of the rate",
                    rate * 100 / before
                );
            }
            rates.push((name, rate));
        }
    }
}
