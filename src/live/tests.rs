//! Streams of events: a place in one account's is no place in another's, and what is new is read once for all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use entity::enums::{EventType, FundsKind, Language};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use super::reader::Reader;
use super::{Cursor, Listener, events, news, read_news};
use crate::app::{App, Settings};
use crate::commands::credit::{self, Grant};
use crate::commands::seed;
use crate::db::Options;
use crate::db::statements::counted;
use crate::error::Error;
use crate::store::{Scope, event_log};

/// A store with two accounts.
pub(super) async fn store() -> (Arc<App>, Uuid, Uuid, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("live.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options::new(url, 2), settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    (Arc::new(app), seeded.accounts[0].1, seeded.accounts[1].1, folder)
}

async fn grant(app: &App, account: Uuid, key: &str) {
    let operator = Scope::Operator {
        principal: "operator".to_owned(),
    };
    let grant = Grant {
        account,
        funds: FundsKind::Cash,
        amount: "1000".to_owned(),
        reason: "test".to_owned(),
        idempotency_key: key.to_owned(),
    };
    credit::grant(app, &operator, grant).await.unwrap();
}

#[tokio::test]
async fn an_event_is_read_once_for_all_who_listen() {
    let (app, own, _, _folder) = store().await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let stream = events(Arc::clone(&app), Scope::engine(), own, None).await.unwrap();
        streams.push(Box::pin(stream));
    }
    for round in 1..=3 {
        grant(&app, own, &round.to_string()).await;
        let (told, statements) = counted(join_all(streams.iter_mut().map(|stream| stream.next()))).await;
        let told: Vec<i64> = told
            .into_iter()
            .map(|told| told.unwrap().unwrap().event.sequence)
            .collect();
        assert_eq!(told, vec![round; 50]);
        assert_eq!(statements, 1);
    }
    // Whoever waits asks the store for nothing.
    let (waits, statements) = counted(async { streams[0].next().now_or_never().is_none() }).await;
    assert!(waits);
    assert_eq!(statements, 0);
    // Whoever comes later reads what it missed by itself, and then shares.
    let late = Cursor::new(app.epoch, own, 1);
    let late = events(Arc::clone(&app), Scope::engine(), own, Some(late))
        .await
        .unwrap();
    grant(&app, own, "4").await;
    let missed: Vec<_> = late.take(3).map(|told| told.unwrap()).collect().await;
    let missed: Vec<_> = missed.iter().map(|told| (told.event.sequence, told.replayed)).collect();
    assert_eq!(missed, [(2, true), (3, true), (4, false)]);
}

/// Many accounts, each with so many events, and what their events are read by.
async fn many_accounts(app: &Arc<App>, count: usize, told: i64) -> Vec<Uuid> {
    let opened = app.db.write("open", async |tx| {
        let mut accounts = Vec::new();
        for number in 0..count {
            let code = format!("MANY-{number}");
            let now = crate::clock::machine_now();
            accounts.push(seed::open(&tx, &code, &code, Language::Vi, now).await?.1);
        }
        Ok(accounts)
    });
    let accounts = opened.await.unwrap();
    write_to_each(app, &accounts, told).await;
    accounts
}

/// So many more events of each of the accounts, of which nobody is told.
async fn write_to_each(app: &App, accounts: &[Uuid], told: i64) {
    let counts: std::collections::BTreeMap<Uuid, i64> = accounts.iter().map(|account| (*account, told)).collect();
    let written = app.db.write("tell", async |tx| {
        let first = event_log::take_sequences(&tx, &Scope::engine(), &counts).await?;
        let mut writes = crate::db::writes::Writes::of(&tx);
        let (news, now) = (
            event_log::News::of(EventType::WalletCredited),
            crate::clock::machine_now(),
        );
        let of_account = |(account, first)| (first..first + told).map(move |place| news.event(account, place, now));
        let events: Vec<_> = first.into_iter().flat_map(of_account).collect();
        event_log::write_at(&mut writes, &Scope::engine(), &events);
        writes.send(&tx).await?;
        Ok(())
    });
    written.await.unwrap();
}

#[tokio::test]
async fn what_is_new_for_many_accounts_is_read_together() {
    let (app, _, _, _folder) = store().await;
    let accounts = many_accounts(&app, 300, 3).await;
    let reader = Reader::default();
    let read = join_all(accounts.iter().map(|account| reader.read(&app.db, *account, 1)));
    let (read, statements) = counted(read).await;
    for (account, rows) in accounts.iter().zip(read) {
        let rows = rows.unwrap();
        assert!(rows.iter().all(|row| row.account_id == *account));
        assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2, 3]);
    }
    // 256, and the rest: two. Where the task begins before all have come, a few more.
    assert!(
        (2..=8).contains(&statements),
        "{statements} statements for 300 accounts"
    );
}

#[tokio::test]
async fn one_account_is_read_from_two_places_and_in_bounded_parts() {
    let (app, _, _, _folder) = store().await;
    let account = many_accounts(&app, 1, 150).await[0];
    let reader = Reader::default();
    let places = [0, 40, 150];
    let read = join_all(places.map(|after| reader.read(&app.db, account, after))).await;
    let numbers = |after: i64| -> Vec<i64> { (after + 1..=(after + event_log::NEXT).min(150)).collect() };
    for (after, rows) in places.into_iter().zip(read) {
        let read: Vec<i64> = rows.unwrap().iter().map(|row| row.sequence).collect();
        assert_eq!(read, numbers(after));
    }
}

#[tokio::test]
async fn who_has_listened_is_told_of_news_with_one_statement_and_not_of_what_is_kept_no_more() {
    let (app, own, _, _folder) = store().await;
    let listens = app.hub.listen(own);
    let next_after = async |listens: &Listener, seen: i64| {
        let news = news(&app, listens, seen, listens.newest()).await;
        news.map(|events| events.iter().map(|event| event.sequence).collect::<Vec<_>>())
    };
    for number in 1..=3 {
        grant(&app, own, &number.to_string()).await;
    }
    let (told, statements) = counted(next_after(&listens, 1)).await;
    assert_eq!((told.unwrap(), statements), (vec![2, 3], 1));
    drop(listens);
    let listens = app.hub.listen(own);
    let pruned = app.db.write("prune", async |tx| {
        tx.execute_unprepared("delete from account_event where sequence < 3")
            .await?;
        Ok(())
    });
    pruned.await.unwrap();
    app.hub.wake(own, 3);
    assert!(
        matches!(next_after(&listens, 1).await, Err(Error::CursorExpired)),
        "2 would be missing"
    );
    assert_eq!(next_after(&listens, 2).await.unwrap(), [3]);
    app.hub.wake(own, 200);
    assert!(
        matches!(next_after(&listens, 50).await, Err(Error::CursorExpired)),
        "as many as one reads are missing"
    );
}

#[tokio::test]
async fn what_others_wrote_is_read_at_once_for_all_who_listen_however_much_it_is() {
    let (app, own, other, _folder) = store().await;
    let accounts = many_accounts(&app, 300, 0).await;
    let mut streams = Vec::new();
    for account in &accounts {
        let stream = events(Arc::clone(&app), Scope::engine(), *account, None).await.unwrap();
        streams.push(Box::pin(stream));
    }
    // As if another process had written it: nobody here is woken.
    write_to_each(&app, &accounts, 3).await;
    let named = accounts.iter().copied().chain([own, accounts[7]]);
    let (read, statements) = counted(read_news(&app, named)).await;
    read.unwrap();
    assert_eq!(
        statements, 2,
        "300 accounts, 256 with one statement; nobody listens to the last one"
    );
    let (told, statements) = counted(join_all(
        streams.iter_mut().map(|stream| stream.take(3).collect::<Vec<_>>()),
    ))
    .await;
    for told in told {
        let told: Vec<i64> = told.into_iter().map(|told| told.unwrap().event.sequence).collect();
        assert_eq!(told, [1, 2, 3]);
    }
    assert_eq!(statements, 0, "what was read for all is at hand");
    // More than one statement reads of an account, where the newest that is told of is known and where it is not.
    let _listens = app.hub.listen(other);
    write_to_each(&app, &accounts[..1], 250).await;
    write_to_each(&app, &[other], 1).await;
    let (read, statements) = counted(read_news(&app, [accounts[0], other].into_iter())).await;
    read.unwrap();
    assert_eq!(
        statements, 2,
        "a part of the events, and how far those and the others go"
    );
    assert_eq!(app.hub.listen(accounts[0]).newest(), 253);
    assert_eq!(app.hub.listen(other).newest(), 1);
    let told: Vec<_> = streams[0]
        .by_ref()
        .take(250)
        .map(|told| told.unwrap().event.sequence)
        .collect()
        .await;
    assert_eq!(told, (4..=253).collect::<Vec<_>>());
    assert!(streams[0].next().now_or_never().is_none());
}

#[tokio::test]
async fn who_is_told_alone_leaves_nothing_behind_and_others_read_what_is_gone() {
    let (app, own, _, _folder) = store().await;
    let begins = async || Box::pin(events(Arc::clone(&app), Scope::engine(), own, None).await.unwrap());
    let kept = async || {
        app.hub
            .listen(own)
            .recent()
            .await
            .after(0)
            .map_or(0, |events| events.len())
    };
    let mut first = begins().await;
    for number in 1..=3 {
        grant(&app, own, &number.to_string()).await;
        assert_eq!(first.next().await.unwrap().unwrap().event.sequence, number);
        assert_eq!(kept().await, 0);
    }
    let (second, watches) = (begins().await, app.hub.watch(own));
    grant(&app, own, "4").await;
    assert_eq!(first.next().await.unwrap().unwrap().event.sequence, 4);
    assert!(
        app.hub.listen(own).recent().await.after(3).is_some(),
        "another reads it"
    );
    drop(first);
    let mut second = second;
    assert_eq!(second.next().await.unwrap().unwrap().event.sequence, 4);
    drop((second, watches));
    let watches = app.hub.watch(own);
    app.hub.tell(
        &event_log::after(app.db.read(), &Scope::engine(), own, 0, 9)
            .await
            .unwrap(),
    );
    assert_eq!(
        (kept().await, watches.newest()),
        (0, 4),
        "who only watches reads nothing"
    );
    write_to_each(&app, &[own], 1).await;
    read_news(&app, [own].into_iter()).await.unwrap();
    assert_eq!((kept().await, watches.newest()), (0, 5));
}

#[tokio::test]
async fn what_fails_fails_for_all_who_waited() {
    let (app, _, _, _folder) = store().await;
    let accounts = many_accounts(&app, 2, 1).await;
    let reader = Reader::default();
    let (mut gone, stays) = (
        Box::pin(reader.read(&app.db, accounts[0], 0)),
        reader.read(&app.db, accounts[1], 0),
    );
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    assert_eq!(
        stays.await.unwrap().len(),
        1,
        "who waits is read for when another has gone"
    );
    app.db.read().get_sqlite_connection_pool().close().await;
    let failed = join_all(accounts.iter().map(|account| reader.read(&app.db, *account, 0))).await;
    assert!(failed.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_cursor_of_another_account_or_store_is_expired() {
    let (app, own, other, _folder) = store().await;
    let resume = async |cursor: Cursor| {
        let cursor = Cursor::decode(&cursor.encode()).unwrap();
        let opened = events(Arc::clone(&app), Scope::engine(), own, Some(cursor)).await;
        opened.map(|_| ())
    };
    resume(Cursor::new(app.epoch, own, 0)).await.unwrap();
    for foreign in [
        Cursor::new(app.epoch, other, 0),
        Cursor::new(uuid::Uuid::from_u128(1), own, 0),
        Cursor::new(app.epoch, own, 1),
    ] {
        assert!(matches!(resume(foreign).await.unwrap_err(), Error::CursorExpired));
    }
}
