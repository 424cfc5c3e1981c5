//! A machine's clock that jumps, before a real store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rstest::rstest;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use super::*;
use crate::app::Settings;
use crate::db::Options;

async fn store() -> (App, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("driver.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    (App::open(&Options::new(url, 2), settings).await.unwrap(), folder)
}

/// A reading so many seconds later, by each clock.
fn later(reading: Reading, by_wall: i64, by_monotonic: u64) -> Reading {
    Reading {
        wall: reading.wall + TimeDelta::seconds(by_wall),
        monotonic: reading.monotonic + Duration::from_secs(by_monotonic),
    }
}

async fn halted(app: &App) -> Option<String> {
    let state = state::read(app.db.read(), &Scope::engine()).await.unwrap().unwrap();
    assert_eq!(
        state.releases_halted_at.is_some(),
        state.releases_halted_reason.is_some()
    );
    state.releases_halted_reason
}

async fn execute(app: &App, sql: &str) {
    let done = app
        .db
        .write("behind_its_back", async |tx| Ok(tx.execute_unprepared(sql).await?));
    done.await.unwrap();
}

#[rstest]
#[case(5, 5, None)]
#[case(3_605, 5, None)]
#[case(3_606, 5, Some(3_601))]
#[case(-3_595, 5, None)]
#[case(-3_596, 5, Some(-3_601))]
#[case(0, 3_601, Some(-3_601))]
// An engine that was slow for a day is no clock that jumped.
#[case(86_400, 86_400, None)]
fn a_jump_is_more_than_an_hour_of_one_clock_against_the_other(
    #[case] by_wall: i64,
    #[case] by_monotonic: u64,
    #[case] jump: Option<i64>,
) {
    let before = Reading::now();
    let present = later(before, by_wall, by_monotonic);
    assert_eq!(present.jumped_since(before).map(|jump| jump.num_seconds()), jump);
}

#[tokio::test]
async fn a_clock_that_jumps_halts_releases_and_one_that_runs_does_not() {
    for jump in [7_200, -7_200] {
        let (app, _folder) = store().await;
        let mut reading = Reading::now();
        for _ in 0..3 {
            reading = round(&app, reading, later(reading, 60, 60)).await;
        }
        assert_eq!(halted(&app).await, None);
        reading = round(&app, reading, later(reading, jump + 5, 5)).await;
        assert_eq!(
            halted(&app).await,
            Some(format!("the machine's clock jumped by {jump} s"))
        );
        // The clock that was set right is the one to go on from.
        execute(
            &app,
            "update store_state set releases_halted_at = null, releases_halted_reason = null",
        )
        .await;
        round(&app, reading, later(reading, 5, 5)).await;
        assert_eq!(halted(&app).await, None);
    }
}

#[tokio::test]
async fn a_halt_that_could_not_be_written_is_written_in_the_next_round() {
    let (app, _folder) = store().await;
    let before = Reading::now();
    execute(&app, "alter table store_state rename to mislaid").await;
    let jumped = later(before, 7_205, 5);
    let reading = round(&app, before, jumped).await;
    execute(&app, "alter table mislaid rename to store_state").await;
    assert_eq!(halted(&app).await, None);
    round(&app, reading, later(jumped, 5, 5)).await;
    assert_eq!(
        halted(&app).await,
        Some("the machine's clock jumped by 7200 s".to_owned())
    );
}
