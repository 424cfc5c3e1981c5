//! Two processes on one store: what one writes wakes the subscribers of the other.

use std::sync::Arc;
use std::time::Duration;

use billing_gateway::app::App;
use billing_gateway::db::statements::counted;
use billing_gateway::live;
use billing_gateway::store::{Scope, event_log};
use futures_util::{FutureExt as _, StreamExt as _};

use crate::support::binary::Process;
use crate::support::{World, on_every_store, project};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Grants credit twice over the world's server; each time another process' subscriber must be told of it.
async fn told_elsewhere(world: &World, elsewhere: &Arc<App>, waking: impl Future<Output = ()>) {
    let events = live::events(Arc::clone(elsewhere), Scope::engine(), world.account, None).await;
    let mut events = Box::pin(events.unwrap());
    let told = async {
        // The first one may be found by the look that follows the opening of a connection, the second only by a wake.
        for _ in 0..2 {
            world.grant("CASH", "1000").await;
            let told = tokio::time::timeout(PATIENCE, events.next()).await;
            told.expect("the subscriber is told").unwrap().unwrap();
        }
    };
    tokio::select! {
        () = told => {}
        () = waking => panic!("nobody wakes any more"),
    }
}

on_every_store! {
    async fn what_the_engine_tells_in_its_own_process_is_not_read_again(world: World) {
        world.grant("CASH", "1000000").await;
        world.buy(project()).await;
        world.advance("2023-03-29T00:01:00+07:00").await;
        let events = live::events(Arc::clone(&world.app), Scope::engine(), world.account, None).await;
        let mut events = Box::pin(events.unwrap());
        world.advance("2023-04-04T00:00:00+07:00").await;
        let at_hand = async {
            let mut told = Vec::new();
            while let Some(next) = events.next().now_or_never() {
                told.push(next.unwrap().unwrap().event);
            }
            told
        };
        let (told, statements) = counted(at_hand).await;
        assert!(statements == 0 && !told.is_empty(), "{statements}: {told:?}");
        assert!(told.iter().all(|event| event.alert_id.is_some()), "{told:?}");
        let before = told[0].sequence - 1;
        let stored = event_log::after(world.app.db.read(), &Scope::engine(), world.account, before, 100).await;
        assert_eq!(stored.unwrap(), told);
    }

    async fn an_event_of_another_process_arrives_when_every_notice_is_lost(world: World) {
        let elsewhere = world.another(100).await;
        let poll = live::poll(Arc::clone(&elsewhere));
        told_elsewhere(&world, &elsewhere, poll).await;
    }

    async fn a_notice_wakes_the_subscriber_of_another_process_without_any_poll(world: World) {
        if world.database().starts_with("sqlite") {
            // A SQLite store carries no notices: its processes poll.
            return world;
        }
        let elsewhere = world.another(100).await;
        let hear = live::hear(Arc::clone(&elsewhere));
        told_elsewhere(&world, &elsewhere, hear).await;
    }

    async fn a_tick_that_is_a_process_of_its_own_tells_the_servers_before_it_ends(world: World) {
        if world.database().starts_with("sqlite") {
            return world;
        }
        world.grant("CASH", "1000000").await;
        world.buy(project()).await;
        let elsewhere = world.another(100).await;
        let hear = live::hear(Arc::clone(&elsewhere));
        let events = live::events(Arc::clone(&elsewhere), Scope::engine(), world.account, None).await;
        let mut events = Box::pin(events.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let told = async {
            // Once the second of these is told, the connection listens: what comes after it comes by a notice.
            for _ in 0..2 {
                world.grant("CASH", "1000").await;
                events.next().await.unwrap().unwrap();
            }
            let tick = ["tick", "--until", "2023-04-04T00:00:00+07:00", "--database-url", world.database()];
            let ended = tokio::task::block_in_place(|| Process::begin(folder.path(), &tick).succeeds());
            assert!(ended, "the tick ends well");
            while events.next().await.unwrap().unwrap().event.alert_id.is_none() {}
        };
        tokio::select! {
            told = tokio::time::timeout(PATIENCE, told) => told.expect("the subscriber is told"),
            () = hear => panic!("nobody hears any more"),
        }
    }
}
