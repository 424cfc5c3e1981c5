//! The engine over a real store: its brakes before a release, what it does when it was away, when a pass fails, and
//! when one account or one resource can't be handled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{Life, Power, StepKind};
use entity::raw_json::RawJson;
use entity::{account, engine_downtime, expiry_alert, product, resource, resource_type, schedule_step};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder as _};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::{advance, tick};
use crate::app::{App, Settings};
use crate::commands::{releases, seed};
use crate::db::Options;
use crate::db::statements::counted;
use crate::store::{Scope, due, state};

/// A store with a catalogue, two accounts and a clock.
struct Shop {
    app: App,
    accounts: Vec<Uuid>,
    _folder: TempDir,
}

/// The end of what is paid, unless a test says otherwise: T.
fn end() -> DateTime<Utc> {
    "2023-04-06T00:00:00Z".parse().unwrap()
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

fn settings(development: bool, most_releases: u64) -> Settings {
    Settings {
        development,
        return_origins: Vec::new(),
        most_releases,
    }
}

/// The clock stands ten days before T.
async fn shop(most_releases: u64) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("engine.sqlite3").display());
    let options = Options::new(url, 2);
    let app = App::open(&options, settings(true, most_releases)).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    app.set_clock(end() - days(10)).await.unwrap();
    Shop {
        app,
        accounts: seeded.accounts.into_iter().map(|(_, key)| key).collect(),
        _folder: folder,
    }
}

impl Shop {
    /// Resources of the standard policy, paid until T, with the whole schedule before them.
    async fn resources(&self, account: usize, count: usize) -> Vec<Uuid> {
        let db = self.app.db.read();
        let product = product::Entity::find()
            .filter(product::Column::Code.eq("vserver"))
            .one(db)
            .await
            .unwrap()
            .unwrap();
        let kind = resource_type::Entity::find()
            .filter(resource_type::Column::ProductId.eq(product.id))
            .one(db)
            .await
            .unwrap()
            .unwrap();
        let rows: Vec<resource::Model> = (0..count)
            .map(|number| resource::Model {
                id: crate::ids::new_id(),
                account_id: self.accounts[account],
                product_id: product.id,
                resource_type_id: kind.id,
                name: format!("web-{number}"),
                life: Life::Active,
                power: Power::Running,
                configuration: RawJson::of(&json!([])).unwrap(),
                external_id: None,
                search_text: format!("web-{number}\n"),
                period_id: Some(crate::ids::new_id()),
                plan_id: Some(crate::ids::new_id()),
                paid_until: Some(end()),
                anchor_day: Some(6),
                auto_renew: false,
                auto_renew_months: 1,
                next_step: Some("REMINDER:-7".to_owned()),
                next_due_at: Some(end() - days(7)),
                attempts: 0,
                created_by: "an".to_owned(),
                created_at: end() - days(30),
                provisioned_at: Some(end() - days(30)),
                trashed_at: None,
                order_item_id: None,
                ended_at: None,
                version: 1,
            })
            .collect();
        let keys = rows.iter().map(|row| row.id).collect();
        self.app
            .db
            .write("insert", async |tx| {
                let tx = &*tx;
                resource::Entity::insert_many(rows.clone().into_iter().map(IntoActiveModel::into_active_model))
                    .exec_without_returning(&**tx)
                    .await?;
                Ok(())
            })
            .await
            .unwrap();
        keys
    }

    /// More accounts.
    async fn open(&mut self, count: usize) {
        let opened = self.app.db.write("open", async |tx| {
            let mut opened = Vec::new();
            for number in 0..count {
                let code = format!("CUSTOMER-{number}");
                opened.push(
                    seed::open(&tx, &code, &code, entity::enums::Language::Vi, end() - days(60))
                        .await?
                        .1,
                );
            }
            Ok(opened)
        });
        self.accounts.extend(opened.await.unwrap());
    }

    async fn run(&self, sql: &'static str) {
        self.app
            .db
            .write("change", async |tx| {
                let tx = &*tx;
                tx.execute_unprepared(sql).await?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Time passes to an instant after T, an engine running all along.
    async fn lives_until(&self, after_end: TimeDelta) {
        advance(&self.app, end() + after_end).await.unwrap();
    }

    /// The clock stands at an instant after T, and one pass is made.
    async fn ticks_at(&self, after_end: TimeDelta) -> super::Passed {
        self.app.set_clock(end() + after_end).await.unwrap();
        tick(&self.app).await.unwrap()
    }

    /// The final notice goes out a little late, as it does with an engine that looks every few seconds.
    async fn lives_until_released(&self) {
        self.lives_until(days(27) - seconds(1)).await;
        self.ticks_at(days(27) + seconds(5)).await;
        self.lives_until(days(30) - seconds(1)).await;
    }

    async fn lives(&self, life: Life) -> usize {
        let rows = resource::Entity::find()
            .filter(resource::Column::Life.eq(life))
            .all(self.app.db.read())
            .await
            .unwrap();
        rows.len()
    }

    async fn halted(&self) -> bool {
        let state = state::read(self.app.db.read(), &Scope::engine()).await.unwrap();
        state.unwrap().releases_halted_at.is_some()
    }

    async fn approve(&self) -> bool {
        let operator = Scope::Operator {
            principal: "ops".to_owned(),
        };
        releases::approve(&self.app, &operator).await.unwrap()
    }

    async fn downtimes(&self) -> Vec<TimeDelta> {
        let spans = engine_downtime::Entity::find()
            .order_by_asc(engine_downtime::Column::UntilAt)
            .all(self.app.db.read())
            .await
            .unwrap();
        spans.iter().map(|span| span.until_at - span.from_at).collect()
    }

    async fn steps(&self, resource: Uuid) -> Vec<schedule_step::Model> {
        schedule_step::Entity::find()
            .filter(schedule_step::Column::ResourceId.eq(resource))
            .order_by_asc(schedule_step::Column::HandledAt)
            .all(self.app.db.read())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn more_releases_than_a_pass_may_make_are_halted_before_any_is_made() {
    let shop = shop(2).await;
    let first = shop.resources(0, 2).await[0];
    shop.resources(1, 3).await;
    shop.lives_until_released().await;
    shop.ticks_at(days(30) + seconds(10)).await;
    assert_eq!(shop.lives(Life::Suspended).await, 5);
    assert!(shop.halted().await);
    let steps = shop.steps(first).await;
    assert!(
        steps.iter().all(|step| step.step != "REMINDER:30"),
        "a release that comes seconds late is not postponed: nothing is reminded of at its instant"
    );
    shop.ticks_at(days(31)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 0, "what is halted stays halted");
}

#[tokio::test]
async fn a_batch_makes_no_more_releases_than_are_left_and_none_after_a_halt() {
    let shop = shop(2).await;
    let all = shop.resources(0, 4).await;
    shop.lives_until_released().await;
    let now = end() + days(30) + seconds(10);
    let moment = super::pass::Moment { now, downtimes: &[] };
    let mut left = 3;
    let halted = async |reason: &'static str| {
        let halt =
            async |tx: std::sync::Arc<crate::db::Tx>| state::halt_releases(&tx, &Scope::engine(), reason, now).await;
        shop.app.db.write("halt", halt).await.unwrap();
    };
    // Another process halts while the pass is under way.
    halted("by another process").await;
    super::pass::batch(&shop.app, &all[..1], moment, &mut left, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!((shop.lives(Life::Deleted).await, left), (0, 3));
    shop.run("update store_state set releases_halted_at = null, releases_halted_reason = null")
        .await;
    shop.run("update resource set next_due_at = '2023-05-06 00:00:00+00:00'")
        .await;
    super::pass::batch(&shop.app, &all, moment, &mut left, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!((shop.lives(Life::Deleted).await, left), (3, 0));
    assert!(shop.halted().await, "the fourth is one too many");
}

#[tokio::test]
async fn a_release_postponed_by_days_is_reminded_of_until_it_comes() {
    let shop = shop(10).await;
    let resource = shop.resources(0, 1).await[0];
    shop.lives_until(days(20)).await;
    // Two days without an engine.
    shop.ticks_at(days(22)).await;
    shop.lives_until(days(33)).await;
    let steps: Vec<String> = shop.steps(resource).await.into_iter().map(|step| step.step).collect();
    assert!(steps.contains(&"REMINDER:31".to_owned()), "{steps:?}");
    assert_eq!(steps.last().unwrap(), "RELEASE:30");
}

#[tokio::test]
async fn an_approval_lets_all_that_were_due_go_through_and_no_later_ones() {
    let shop = shop(2).await;
    shop.resources(0, 7).await;
    shop.lives_until_released().await;
    shop.ticks_at(days(30) + seconds(10)).await;
    assert!(shop.halted().await);
    assert!(shop.approve().await);
    assert!(!shop.approve().await, "there is nothing more to approve");
    shop.ticks_at(days(30) + seconds(15 * 60)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 7);
    assert!(!shop.halted().await);
}

#[tokio::test]
async fn an_approval_is_not_spent_on_what_becomes_due_after_it() {
    let shop = shop(2).await;
    shop.resources(0, 3).await;
    shop.lives_until_released().await;
    shop.ticks_at(days(30) + seconds(10)).await;
    assert!(shop.approve().await);
    // Three more, due a minute after the approval.
    let later = shop.resources(1, 3).await;
    let paid_until = end() + seconds(60);
    shop.app
        .db
        .write("change", async |tx| {
            let tx = &*tx;
            resource::Entity::update_many()
                .col_expr(resource::Column::PaidUntil, Expr::val(paid_until))
                .filter(resource::Column::Id.is_in(later.clone()))
                .exec(&**tx)
                .await?;
            for id in &later {
                let row = resource::Entity::find_by_id(*id).one(&**tx).await?.unwrap();
                let mut row = row;
                row.life = Life::Suspended;
                row.next_step = Some("RELEASE:30".to_owned());
                row.next_due_at = Some(paid_until + days(30));
                let notice = schedule_step::Model {
                    resource_id: *id,
                    period_id: row.plan_id.unwrap(),
                    step: "FINAL_NOTICE:27".to_owned(),
                    account_id: row.account_id,
                    kind: StepKind::FinalNotice,
                    status: entity::enums::StepStatus::Sent,
                    due_at: paid_until + days(27),
                    handled_at: paid_until + days(27),
                };
                schedule_step::Entity::insert(notice.into_active_model())
                    .exec_without_returning(&**tx)
                    .await?;
                resource::Entity::update(sea_orm::ActiveModelTrait::reset_all(row.into_active_model()))
                    .exec(&**tx)
                    .await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    shop.ticks_at(days(30) + seconds(15 * 60)).await;
    assert!(shop.halted().await, "three more than were approved are too many");
    assert_eq!(shop.lives(Life::Deleted).await, 0, "and a halt is one of all releases");
    assert!(shop.approve().await);
    shop.ticks_at(days(30) + seconds(30 * 60)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 6);
}

#[tokio::test]
async fn releases_that_are_kept_back_do_not_halt_the_others() {
    let shop = shop(2).await;
    shop.resources(0, 5).await;
    shop.lives_until_released().await;
    // Five days without an engine: all five releases look due, and none is.
    shop.ticks_at(days(35)).await;
    assert!(!shop.halted().await);
    assert_eq!(shop.lives(Life::Deleted).await, 0);
}

#[tokio::test]
async fn a_pass_that_failed_is_a_pass_that_was_not_made() {
    let shop = shop(10).await;
    shop.resources(0, 1).await;
    shop.lives_until(days(20)).await;
    shop.run("alter table engine_lease rename to engine_lease_away").await;
    for day in 21..=30 {
        shop.app.set_clock(end() + days(day)).await.unwrap();
        tick(&shop.app).await.unwrap_err();
    }
    shop.run("alter table engine_lease_away rename to engine_lease").await;
    shop.ticks_at(days(31)).await;
    let spans = shop.downtimes().await;
    assert_eq!(spans.len(), 1, "one span, grown with each failure: {spans:?}");
    assert!(spans[0] >= days(11), "{spans:?}");
    shop.lives_until(days(40)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 0);
    shop.lives_until(days(42)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 1);
}

#[tokio::test]
async fn an_engine_that_never_ran_was_away_since_the_store_was_made() {
    let shop = shop(10).await;
    let made = state::read(shop.app.db.read(), &Scope::engine())
        .await
        .unwrap()
        .unwrap();
    shop.app.set_clock(made.created_at + days(40)).await.unwrap();
    tick(&shop.app).await.unwrap();
    let spans = shop.downtimes().await;
    assert_eq!(spans.len(), 1);
    assert!(spans[0] >= days(40), "{spans:?}");
}

#[tokio::test]
async fn a_resource_that_was_put_off_for_weeks_is_released_as_much_later() {
    let shop = shop(10).await;
    let resource = shop.resources(0, 1).await[0];
    shop.lives_until(-seconds(1)).await;
    shop.app
        .db
        .write("put_off", async |tx| {
            let tx = &*tx;
            crate::store::due::put_off(tx, &Scope::engine(), resource, end() + days(20)).await
        })
        .await
        .unwrap();
    shop.lives_until(days(49)).await;
    assert_eq!(
        shop.lives(Life::Suspended).await,
        1,
        "its customer was told of the end twenty days late"
    );
    shop.lives_until(days(51)).await;
    assert_eq!(shop.lives(Life::Deleted).await, 1);
}

#[tokio::test]
async fn an_account_that_cannot_be_handled_does_not_stop_the_others() {
    let shop = shop(10).await;
    let theirs = shop.resources(0, 2).await;
    let ours = shop.resources(1, 1).await[0];
    shop.app
        .db
        .write("change", async |tx| {
            let tx = &*tx;
            account::Entity::update_many()
                .col_expr(account::Column::Zone, Expr::val("Nowhere/Land"))
                .filter(account::Column::Id.eq(shop.accounts[0]))
                .exec(&**tx)
                .await?;
            // It waits longest, so it comes first.
            resource::Entity::update_many()
                .col_expr(resource::Column::NextDueAt, Expr::val(end() - days(8)))
                .filter(resource::Column::AccountId.eq(shop.accounts[0]))
                .exec(&**tx)
                .await?;
            Ok(())
        })
        .await
        .unwrap();
    let passed = shop.ticks_at(-days(7) + seconds(1)).await;
    assert_eq!((passed.resources, passed.failed), (1, 2));
    assert_eq!(shop.steps(ours).await.len(), 1);
    let put_off = resource::Entity::find_by_id(theirs[0])
        .one(shop.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(put_off.attempts, 1);
    assert!(put_off.next_due_at > Some(end() - days(7)));
    let leases = entity::engine_lease::Entity::find()
        .all(shop.app.db.read())
        .await
        .unwrap();
    assert!(leases.is_empty(), "its lease is given back");
}

#[tokio::test]
async fn every_step_is_handled_at_its_own_instant_when_time_is_moved() {
    let shop = shop(10).await;
    let resource = shop.resources(0, 1).await[0];
    shop.lives_until(days(31)).await;
    for step in shop.steps(resource).await {
        assert_eq!(step.handled_at, step.due_at, "{}", step.step);
    }
    assert_eq!(shop.lives(Life::Deleted).await, 1);
}

#[tokio::test]
async fn a_long_catch_up_of_a_full_batch_is_written_in_one_transaction() {
    let shop = shop(1_000).await;
    shop.resources(0, 200).await;
    let (passed, statements) = counted(shop.ticks_at(days(26))).await;
    assert_eq!((passed.resources, passed.failed), (200, 0));
    assert!(passed.steps >= 200 * 34, "{passed:?}");
    assert!(statements < 60, "{statements} statements: the batch fell apart");
}

#[tokio::test]
async fn what_is_due_of_many_accounts_is_written_together_and_numbered_by_account() {
    let mut shop = shop(10).await;
    shop.open(98).await;
    for account in 0..100 {
        shop.resources(account, 2).await;
    }
    let (passed, statements) = counted(shop.ticks_at(-days(7) + seconds(1))).await;
    assert_eq!((passed.resources, passed.alerts, passed.failed), (200, 200, 0));
    assert!(statements < 30, "{statements} statements: the batch fell apart");
    let alerts = expiry_alert::Entity::find().all(shop.app.db.read()).await.unwrap();
    for account in &shop.accounts {
        let own = alerts.iter().filter(|alert| alert.account_id == *account);
        let mut numbers: Vec<i64> = own.map(|alert| alert.event_sequence).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        let row = account::Entity::find_by_id(*account)
            .one(shop.app.db.read())
            .await
            .unwrap();
        assert_eq!(row.unwrap().event_sequence, 2);
    }
}

#[tokio::test]
async fn accounts_take_turns_whoever_has_much_due() {
    let shop = shop(10).await;
    let (many, few) = (shop.resources(0, 5).await, shop.resources(1, 2).await);
    shop.run("update resource set next_due_at = '2023-03-01 00:00:00+00:00' where name in ('web-3', 'web-4')")
        .await;
    let waiting = async |most| {
        let db = shop.app.db.read();
        let waiting = due::waiting(db, &Scope::engine(), end(), most).await.unwrap();
        waiting.into_iter().map(|waiting| waiting.resource).collect::<Vec<_>>()
    };
    let mut turns = waiting(4).await;
    turns.sort_unstable();
    let mut expected = vec![many[0], many[1], few[0], few[1]];
    expected.sort_unstable();
    assert_eq!(
        turns, expected,
        "the soonest expiries of each, however long the others of one wait"
    );
    assert_eq!(waiting(100).await.len(), 7);
}

#[tokio::test]
async fn one_resource_that_cannot_be_handled_is_put_off_alone_and_found_by_halves() {
    let shop = shop(10).await;
    let all = shop.resources(0, 128).await;
    shop.run("update resource set next_step = 'SOMETHING:1' where name = 'web-77'")
        .await;
    let (passed, statements) = counted(shop.ticks_at(-days(7) + seconds(1))).await;
    assert_eq!((passed.resources, passed.failed), (127, 1));
    assert!(shop.steps(all[77]).await.is_empty());
    assert_eq!(shop.steps(all[76]).await.len(), 1);
    assert!(
        statements < 250,
        "{statements} statements: found one by one, not by halves"
    );
}

#[test]
fn an_engine_that_looks_as_rarely_as_it_may_is_not_away() {
    use clap::Parser as _;
    let serve = |seconds| crate::config::Cli::try_parse_from(["billing-gateway", "serve", "--engine-seconds", seconds]);
    assert!(serve("1800").is_ok());
    assert!(
        serve("1801").is_err(),
        "two passes an hour apart are an hour without an engine"
    );
}

#[tokio::test]
async fn the_clock_of_a_production_store_cannot_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(
        format!("sqlite://{}", folder.path().join("engine.sqlite3").display()),
        2,
    );
    let production = App::open(&options, settings(false, 10)).await.unwrap();
    let development = App::open(&options, settings(true, 10)).await.unwrap();
    let refused = advance(&development, development.clock.now() + days(1))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("production"), "{refused}");
    assert_eq!(development.clock.offset_micros(), 0);
    // Even when the offset was changed behind its back, production does not take it over.
    let moved = "update store_state set clock_offset_micros = 86400000000";
    production
        .db
        .write("change", async |tx| {
            let tx = &*tx;
            tx.execute_unprepared(moved).await?;
            Ok(())
        })
        .await
        .unwrap();
    production.follow_clock().await.unwrap_err();
    assert_eq!(production.clock.offset_micros(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_the_clock_never_takes_over_an_older_offset() {
    let shop = shop(10).await;
    let app = std::sync::Arc::new(shop.app);
    let follower = {
        let app = std::sync::Arc::clone(&app);
        tokio::spawn(async move {
            loop {
                app.follow_clock().await.unwrap();
            }
        })
    };
    for day in 0..300 {
        app.set_clock(end() + days(day)).await.unwrap();
        let moved = app.clock.offset_micros();
        for _ in 0..20 {
            tokio::task::yield_now().await;
            assert_eq!(app.clock.offset_micros(), moved, "after {day} days");
        }
    }
    follower.abort();
}
