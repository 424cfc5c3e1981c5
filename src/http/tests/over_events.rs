use std::time::Duration;

use serde_json::json;

use super::*;

const FIRST: &str = ":\n\n";
const LAST: &str = "event: complete\ndata: \n\n";

/// A stream of events as its reader gets it.
struct Events(reqwest::Response);

impl Events {
    async fn of(world: &World, query: &str) -> Self {
        let request = world
            .post()
            .bearer_auth(world.token())
            .header("accept", "text/event-stream");
        let response = request.json(&json!({ "query": query })).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self(response)
    }

    /// The next piece; `None` at the end.
    async fn hears(&mut self) -> Option<String> {
        let bytes = self.0.chunk().await.unwrap()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// All of it.
    async fn whole(self) -> String {
        self.0.text().await.unwrap()
    }

    /// What is left, heartbeats and all.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(piece) = self.hears().await {
            rest.push_str(&piece);
        }
        rest
    }
}

/// The data of a stream's `next` events.
fn data(stream: &str) -> Vec<Json> {
    let blocks = stream
        .split("\n\n")
        .filter_map(|block| block.strip_prefix("event: next\ndata: "));
    blocks.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_subscription_is_an_event_for_each_answer_and_one_for_its_end() {
    let world = World::new().await;
    let stream = Events::of(&world, "subscription { count(to: 2) }").await.whole().await;
    let cost = r#""extensions":{"cost":{"limit":5000,"requested":0}}"#;
    let events = [
        FIRST,
        &format!("event: next\ndata: {{\"data\":{{\"count\":0}},{cost}}}\n\n"),
        "event: next\ndata: {\"data\":{\"count\":1}}\n\n",
        LAST,
    ];
    assert_eq!(stream, events.concat());
}

#[tokio::test]
async fn queries_and_mutations_are_answered_in_one_event() {
    let world = World::new().await;
    let stream = Events::of(&world, "{ whoami }").await.whole().await;
    assert_eq!(data(&stream)[0]["data"], json!({ "whoami": "an" }));
    assert!(stream.ends_with(LAST));
    let stream = Events::of(&world, "mutation { bump }").await.whole().await;
    assert_eq!(data(&stream)[0]["data"], json!({ "bump": 1 }));
    let world = World::with(|config| config.request_timeout = Duration::from_millis(20)).await;
    let stream = Events::of(&world, "{ never }").await.whole().await;
    assert_eq!(codes(&data(&stream)[0]), ["TIMEOUT"]);
    assert!(stream.ends_with(LAST));
}

#[tokio::test]
async fn what_could_not_run_is_told_in_the_stream() {
    let world = World::new().await;
    for (query, code) in [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { closed }", "CURSOR_EXPIRED"),
        ("query A { hello } query B { hello }", "OPERATION_RESOLUTION_FAILURE"),
    ] {
        let stream = Events::of(&world, query).await.whole().await;
        let told = data(&stream);
        assert_eq!(told.len(), 1, "{stream}");
        assert_eq!(codes(&told[0]), [code], "{query}");
        assert!(told[0].get("data").is_none(), "nothing ran: {stream}");
        assert!(stream.ends_with(LAST));
    }
    let stream = Events::of(&world, "subscription { bursts }").await.whole().await;
    assert_eq!(codes(&data(&stream)[1]), ["INTERNAL"]);
    assert!(!stream.contains("secret") && stream.ends_with(LAST), "{stream}");
}

#[tokio::test]
async fn what_is_no_operation_is_refused_before_there_is_a_stream() {
    let world = World::with(|config| config.batch_limit = 2).await;
    let stream = |request: reqwest::RequestBuilder| request.header("accept", "text/event-stream");
    let get = |query: &str| stream(world.client.get(world.url(&format!("/graphql?query={query}"))));
    for (request, status, code) in [
        (get("mutation%7Bbump%7D"), 405, "METHOD_NOT_ALLOWED"),
        (
            stream(world.post().json(&json!([{ "query": "{ hello }" }]))),
            400,
            "BAD_REQUEST",
        ),
        (stream(world.post().json(&json!({}))), 400, "BAD_REQUEST"),
        (stream(world.post().body("{}")), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (get("%7Bhello%7D").bearer_auth("nonsense"), 401, "UNAUTHENTICATED"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(codes(&response.json().await.unwrap()), [code]);
    }
    assert_eq!(world.bumped.load(Ordering::SeqCst), 0);
    let subscribed = get("subscription%7Bcount(to:1)%7D").send().await.unwrap();
    assert_eq!(
        data(&subscribed.text().await.unwrap())[0]["data"],
        json!({ "count": 0 })
    );
    // All of them have ended, and none is counted any more.
    world.edge.sockets_closed().await;
}

#[tokio::test]
async fn silence_is_filled_with_signs_of_life() {
    let world = World::with(|config| config.sockets.ping_interval = Duration::from_millis(20)).await;
    let mut events = Events::of(&world, "subscription { silence }").await;
    let mut heard = String::new();
    while heard.matches(FIRST).count() < 5 {
        heard.push_str(&events.hears().await.unwrap());
    }
    assert_eq!(data(&heard.replace(FIRST, "")).len(), 1);
    // Who goes away is noticed although nothing is told.
    drop(events);
    world.dropped.notified().await;
    world.edge.sockets_closed().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_does_not_say_that_it_is_complete() {
    // Its token ends.
    let world = World::with(|config| config.sockets.ping_interval = Duration::from_millis(20)).await;
    let mut events = Events::of(&world, "subscription { silence }").await;
    world.clock.store(BEGINNING + 3_600_000_000, Ordering::SeqCst);
    let rest = events.rest().await;
    assert!(!rest.contains("complete"), "{rest}");
    world.dropped.notified().await;

    // The process stops.
    let world = World::new().await;
    let mut events = Events::of(&world, "subscription { silence }").await;
    assert_eq!(world.edge.open_sockets(), 1);
    world.shutdown.cancel();
    let rest = events.rest().await;
    assert!(!rest.contains("complete"), "{rest}");
    world.edge.sockets_closed().await;

    // It does not read.
    let world = World::with(|config| config.sockets.send_timeout = Duration::from_millis(50)).await;
    let mut events = Events::of(&world, "subscription { flood }").await;
    world.dropped.notified().await;
    world.edge.sockets_closed().await;
    let made = world.flooded.0.load(Ordering::SeqCst);
    let rest = events.rest().await;
    assert!(!rest.contains("complete"));
    let told = u64::try_from(data(&rest).len()).unwrap();
    assert!((made - 1..=made).contains(&told), "{told} of {made} were told");
}

#[tokio::test]
async fn streams_and_sockets_are_counted_together() {
    let world = World::with(|config| config.sockets.sockets = 1).await;
    let events = Events::of(&world, "subscription { silence }").await;
    let another = world.post().header("accept", "text/event-stream");
    let (status, answer) = read(another.json(&json!({ "query": "{ hello }" }))).await;
    assert_eq!((status, codes(&answer)), (503, vec!["TOO_MANY_SOCKETS"]));
    drop(events);
    world.edge.sockets_closed().await;
}
