//! Streams of events, for readers that no socket reaches: told at once, kept alive and resumed, behind a proxy too.

use std::time::Duration;

use billing_gateway::engine;
use entity::enums::Role;
use serde_json::{Value, json};

use crate::support::nginx::Nginx;
use crate::support::{Store, World, run, server, text};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(30);
const SUBSCRIBE: &str = "subscription($after: EventCursor) { expiryAlerts(after: $after) {
    cursor replayed alert { step } } }";

/// A stream of events as its reader gets it.
struct Events {
    response: reqwest::Response,
    unread: String,
    heartbeats: usize,
}

impl Events {
    async fn open(world: &World, address: &str, after: &str) -> Self {
        let request = world
            .http()
            .post(format!("http://{address}/graphql"))
            .bearer_auth(world.token(Role::Owner))
            .header("accept", "text/event-stream")
            .json(&json!({ "query": SUBSCRIBE, "variables": { "after": after } }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Self {
            response,
            unread: String::new(),
            heartbeats: 0,
        }
    }

    /// The next block; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(block);
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let piece = piece.expect("a piece that must come").ok()??;
            self.unread.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The data of the next event.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let block = self.block().await?;
            match block.strip_prefix("event: next\ndata: ") {
                Some(data) => return Some(serde_json::from_str::<Value>(data).unwrap()["data"]["expiryAlerts"].take()),
                None => self.heartbeats += 1,
            }
        }
    }

    /// Waits for so many signs of life in a row.
    async fn lives(&mut self, heartbeats: usize) {
        for _ in 0..heartbeats {
            assert_eq!(self.block().await.unwrap(), ":");
        }
    }
}

/// Lets time pass to the next reminder.
async fn remind(world: &World, days: i64) {
    let until = world.app.clock.now() + chrono::TimeDelta::days(days);
    engine::advance(&world.app, until).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_they_are_told_at_once_outlive_silence_and_go_on_after_a_restart() {
    run(Store::Sqlite, async |mut world: World| {
        world.serve_anew(|edge| edge.ping_seconds = 1).await;
        // It gives up what is silent for three seconds.
        let Some(nginx) = Nginx::to(world.address(), 3).await else {
            return world;
        };
        world.grant("CASH", "181000").await;
        world.buy(server("s-general-1x1")).await;
        world.provision().await;
        let token = world.token(Role::Owner);
        let cursor = world.data(&token, "{ account { eventCursor } }", json!({})).await;
        let mut events = Events::open(&world, nginx.address(), &text(&cursor["account"]["eventCursor"])).await;
        events.lives(5).await;
        remind(&world, 25).await;
        let told = events.next().await.unwrap();
        assert_eq!(
            (text(&told["alert"]["step"]), &told["replayed"]),
            ("REMINDER:-7".to_owned(), &json!(false))
        );
        assert!(events.heartbeats <= 2, "told when the next heartbeat pushed it through");

        // The gateway stops: the stream ends without a word of being complete.
        let after = text(&told["cursor"]);
        world.restart().await;
        while let Some(block) = events.block().await {
            assert!(!block.contains("complete"), "{block}");
        }
        remind(&world, 3).await;
        let nginx = Nginx::to(world.address(), 3).await.unwrap();
        let mut events = Events::open(&world, nginx.address(), &after).await;
        let told = events.next().await.unwrap();
        assert_eq!(told["replayed"], json!(true));
        assert_ne!(text(&told["cursor"]), after);
        world
    })
    .await;
}
