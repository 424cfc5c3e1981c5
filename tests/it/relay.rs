//! Two processes on one store: what one writes wakes the subscribers of the other.

use std::sync::Arc;
use std::time::Duration;

use billing_gateway::app::App;
use billing_gateway::live;
use billing_gateway::store::Scope;
use futures_util::StreamExt as _;

use crate::support::{World, on_every_store};

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
}
