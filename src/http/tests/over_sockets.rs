use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn with(world: &World, headers: &[(&'static str, &str)]) -> Result<Self, SocketError> {
        let mut request = format!("ws://{}/graphql", world.at).into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Ok(Self(connect_async(request).await?.0))
    }

    /// Connected, not initialised.
    async fn new(world: &World) -> Self {
        Self::with(world, &[("sec-websocket-protocol", "graphql-transport-ws")])
            .await
            .unwrap()
    }

    /// Connected and acknowledged.
    async fn open(world: &World) -> Self {
        let mut socket = Self::new(world).await;
        socket.init(&world.token()).await;
        assert_eq!(socket.hears().await, json!({ "type": "connection_ack" }));
        socket
    }

    async fn init(&mut self, token: &str) {
        self.says(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } }))
            .await;
    }

    async fn says(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribes(&mut self, id: &str, query: &str) {
        self.says(json!({ "id": id, "type": "subscribe", "payload": { "query": query } }))
            .await;
    }

    async fn hears(&mut self) -> Json {
        match self.0.next().await.expect("the socket ended").unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The close code, whatever came before it.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.0.next().await.expect("ended without a close frame") {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_runs_to_its_end() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "subscription { count(to: 2) }").await;
    let first = socket.hears().await;
    assert_eq!(
        (&first["id"], &first["type"], &first["payload"]["data"]),
        (&json!("a"), &json!("next"), &json!({ "count": 0 }))
    );
    assert_eq!(first["payload"]["extensions"]["cost"]["limit"], 5000);
    assert_eq!(
        socket.hears().await,
        json!({ "id": "a", "type": "next", "payload": { "data": { "count": 1 } } })
    );
    assert_eq!(socket.hears().await, json!({ "id": "a", "type": "complete" }));
    // The id is free again, and queries and mutations run too, for who opened the socket.
    socket.subscribes("a", "{ whoami }").await;
    assert_eq!(socket.hears().await["payload"]["data"], json!({ "whoami": "an" }));
    assert_eq!(socket.hears().await["type"], "complete");
    socket.subscribes("b", "mutation { bump }").await;
    assert_eq!(socket.hears().await["payload"]["data"], json!({ "bump": 1 }));
    assert_eq!(socket.hears().await["type"], "complete");
}

#[tokio::test]
async fn completing_stops_the_operation_and_frees_its_id() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "subscription { silence }").await;
    assert_eq!(socket.hears().await["payload"]["data"], json!({ "silence": 1 }));
    socket.says(json!({ "id": "a", "type": "complete" })).await;
    socket.says(json!({ "id": "never was", "type": "complete" })).await;
    world.dropped.notified().await;
    socket.subscribes("a", "{ hello }").await;
    assert_eq!(socket.hears().await["payload"]["data"], json!({ "hello": "world" }));
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_an_error_message() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    for (query, code) in [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { closed }", "CURSOR_EXPIRED"),
        ("query A { hello } query B { hello }", "OPERATION_RESOLUTION_FAILURE"),
        (
            "{ toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { name } } } } } } } } } } } } }",
            "LIMIT_EXCEEDED",
        ),
    ] {
        socket.subscribes("a", query).await;
        let message = socket.hears().await;
        assert_eq!(
            (&message["id"], &message["type"]),
            (&json!("a"), &json!("error")),
            "{message}"
        );
        assert_eq!(message["payload"][0]["extensions"]["code"], code);
    }
    // A failing field is not a failing operation.
    socket.subscribes("a", "{ refused }").await;
    assert_eq!(socket.hears().await["type"], "next");
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_the_stream_and_nothing_else() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "subscription { bursts }").await;
    assert_eq!(socket.hears().await["payload"]["data"], json!({ "bursts": 0 }));
    let masked = socket.hears().await;
    assert_eq!(
        masked["payload"]["errors"][0]["extensions"]["code"], "INTERNAL",
        "{masked}"
    );
    assert!(!masked.to_string().contains("secret"));
    assert_eq!(socket.hears().await["type"], "complete");
    socket.subscribes("b", "{ hello }").await;
    assert_eq!(socket.hears().await["type"], "next");
}

#[tokio::test]
async fn every_breach_of_the_protocol_has_its_code() {
    let world = World::new().await;
    let subscribe = json!({ "id": "a", "type": "subscribe", "payload": { "query": "subscription { silence }" } });

    let mut socket = Socket::new(&world).await;
    socket.says(subscribe.clone()).await;
    assert_eq!(socket.closed().await, (4401, "Unauthorized".to_owned()));

    let mut socket = Socket::open(&world).await;
    socket.init(&world.token()).await;
    assert_eq!(
        socket.closed().await,
        (4429, "Too many initialisation requests".to_owned())
    );

    let mut socket = Socket::open(&world).await;
    socket.says(subscribe.clone()).await;
    socket.says(subscribe).await;
    assert_eq!(
        socket.closed().await,
        (4409, "Subscriber for a already exists".to_owned())
    );
    world.dropped.notified().await;

    for bad in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"start","id":"a"}"#,
        r#"{"type":"next","id":"a","payload":{}}"#,
        r#"{"type":"error","id":"a","payload":[]}"#,
        r#"{"type":"connection_ack"}"#,
        r#"{"type":"subscribe","payload":{"query":"{ hello }"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{ hello }"}}"#,
        r#"{"type":"subscribe","id":"a"}"#,
        r#"{"type":"subscribe","id":"a","payload":{"query":1}}"#,
        r#"{"type":"subscribe","id":"a","payload":{"query":"{ hello }","variables":[]}}"#,
        r#"{"type":"complete"}"#,
        r#"{"type":"ping","payload":1}"#,
        r#"{"type":"connection_init","payload":"x"}"#,
    ] {
        let mut socket = Socket::open(&world).await;
        socket.0.send(Message::text(bad)).await.unwrap();
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 4400, "{bad}");
        assert!(reason.starts_with("Invalid message"), "{reason}");
    }
    let mut socket = Socket::open(&world).await;
    socket.0.send(Message::binary(&b"{}"[..])).await.unwrap();
    assert_eq!(socket.closed().await.0, 4400);

    let mut socket = Socket::open(&world).await;
    socket.0.send(Message::text("x".repeat(200_000))).await.unwrap();
    assert_eq!(socket.closed().await.0, 1009);
}

#[tokio::test]
async fn only_the_subprotocol_we_speak_is_spoken() {
    let world = World::new().await;
    for headers in [
        &[("sec-websocket-protocol", "graphql-ws")][..],
        &[],
        &[("sec-websocket-protocol", "a, b")],
    ] {
        let mut socket = Socket::with(&world, headers).await.unwrap();
        assert_eq!(socket.closed().await, (4406, "Subprotocol not acceptable".to_owned()));
    }
    let both = [("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")];
    let mut socket = Socket::with(&world, &both).await.unwrap();
    socket.init(&world.token()).await;
    assert_eq!(socket.hears().await["type"], "connection_ack");
}

#[tokio::test]
async fn a_socket_that_does_not_initialise_is_closed() {
    let world = World::with(|config| config.sockets.init_timeout = Duration::from_millis(20)).await;
    assert_eq!(
        Socket::new(&world).await.closed().await,
        (4408, "Connection initialisation timeout".to_owned())
    );
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "{ hello }").await;
    assert_eq!(socket.hears().await["type"], "next");
}

#[tokio::test]
async fn a_bad_token_or_none_is_forbidden_wherever_it_stands() {
    let world = World::new().await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let old = world.token_until(0);
    for payload in [
        json!({ "Authorization": "Bearer x" }),
        json!({ "authorization": "Basic x" }),
        json!({ "token": old }),
        json!({ "token": 1 }),
        json!({}),
    ] {
        let mut socket = Socket::new(&world).await;
        socket
            .says(json!({ "type": "connection_init", "payload": payload }))
            .await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 4403, "{payload}");
        assert!(reason.starts_with("Forbidden"), "{reason}");
    }
    let bearer = |token: &str| format!("Bearer {token}");
    let mut socket = Socket::with(&world, &[protocol, ("authorization", &bearer(&old))])
        .await
        .unwrap();
    socket.says(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.closed().await.0, 4403);

    let mut socket = Socket::with(&world, &[protocol, ("authorization", &bearer(&world.token()))])
        .await
        .unwrap();
    socket.says(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hears().await["type"], "connection_ack");
    for payload in [
        json!({ "token": world.token() }),
        json!({ "authorization": bearer(&world.token()) }),
    ] {
        let mut socket = Socket::new(&world).await;
        socket
            .says(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.hears().await["type"], "connection_ack");
    }
    let world = World::with(|config| config.sockets.anonymous = true).await;
    let mut socket = Socket::new(&world).await;
    socket.says(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hears().await["type"], "connection_ack");
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let world = World::new().await;
    // 50 ms before the token's end.
    world.clock.store(BEGINNING + 950_000, Ordering::SeqCst);
    let mut socket = Socket::new(&world).await;
    socket.init(&world.token_until(1)).await;
    assert_eq!(socket.hears().await["type"], "connection_ack");
    socket.subscribes("a", "subscription { silence }").await;
    assert_eq!(socket.hears().await["type"], "next");
    world.clock.store(BEGINNING + 1_000_000, Ordering::SeqCst);
    assert_eq!(
        socket.closed().await,
        (4403, "Forbidden: the token has expired".to_owned())
    );
    world.dropped.notified().await;
}

#[tokio::test]
async fn pings_go_both_ways_and_silence_ends_the_socket() {
    let world = World::with(|config| config.sockets.ping_interval = Duration::from_millis(30)).await;
    let mut socket = Socket::open(&world).await;
    // Who answers stays, far beyond two intervals.
    for _ in 0..5 {
        assert_eq!(socket.hears().await, json!({ "type": "ping" }));
        socket.says(json!({ "type": "pong" })).await;
    }
    assert_eq!(socket.closed().await, (3008, "No pong in time".to_owned()));

    let world = World::new().await;
    let mut socket = Socket::new(&world).await;
    socket.says(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.hears().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    socket.says(json!({ "type": "ping" })).await;
    socket.says(json!({ "type": "pong" })).await;
    assert_eq!(socket.hears().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn who_speaks_too_fast_is_read_no_further_until_the_window_ends() {
    let world = World::with(|config| {
        config.sockets.messages = 4;
        config.sockets.message_window = Duration::from_secs(3_600);
        config.sockets.ping_interval = Duration::from_millis(30);
    })
    .await;
    let mut socket = Socket::open(&world).await;
    for number in 1..=9 {
        socket.says(json!({ "type": "ping", "payload": { "n": number } })).await;
    }
    let mut answered = Vec::new();
    // The server's own pings go on.
    loop {
        let message = socket.hears().await;
        match message["type"].as_str().unwrap() {
            "pong" => answered.push(message["payload"]["n"].as_u64().unwrap()),
            _ if answered.len() < 3 => {}
            other => break assert_eq!(other, "ping"),
        }
    }
    assert_eq!(answered, [1, 2, 3]);

    // What waited is read in the next window, in its order: nothing is lost.
    let world = World::with(|config| {
        config.sockets.messages = 2;
        config.sockets.message_window = Duration::from_millis(20);
    })
    .await;
    let mut socket = Socket::open(&world).await;
    for number in 1..=9 {
        socket.says(json!({ "type": "ping", "payload": { "n": number } })).await;
    }
    for number in 1..=9 {
        assert_eq!(socket.hears().await["payload"]["n"], number);
    }
}

#[tokio::test]
async fn a_subscription_that_says_much_leaves_the_others_their_turn() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("much", "subscription { flood }").await;
    socket.subscribes("few", "subscription { count(to: 5) }").await;
    socket.subscribes("once", "{ hello }").await;
    let mut heard = Vec::new();
    // What was on its way when they came, and then theirs among it.
    for _ in 0..1_000 {
        let message = socket.hears().await;
        if message["id"] != "much" {
            heard.push((message["id"].to_string(), message["payload"]["data"]["count"].as_i64()));
        }
        if heard.len() == 8 {
            break;
        }
    }
    let few = heard.iter().filter(|(id, _)| id == "\"few\"").map(|(_, count)| *count);
    let counted = (0..5).map(Some).chain([None]);
    assert_eq!(few.collect::<Vec<_>>(), counted.collect::<Vec<_>>());
    assert_eq!(heard.len(), 8);
    drop(socket);
    world.dropped.notified().await;
}

#[tokio::test]
async fn a_socket_runs_only_so_many_operations() {
    let world = World::with(|config| config.sockets.subscriptions = 2).await;
    let mut socket = Socket::open(&world).await;
    for id in ["a", "b"] {
        socket.subscribes(id, "subscription { silence }").await;
        assert_eq!(socket.hears().await["type"], "next");
    }
    socket.subscribes("c", "{ hello }").await;
    let refused = socket.hears().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("c"), &json!("error")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    socket.says(json!({ "id": "a", "type": "complete" })).await;
    socket.subscribes("c", "{ hello }").await;
    assert_eq!(socket.hears().await["type"], "next");
}

#[tokio::test]
async fn strange_origins_and_too_many_sockets_are_turned_away() {
    let refused = |result: Result<Socket, SocketError>| match result {
        Err(SocketError::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("let in"),
    };
    let world = World::with(|config| {
        config.sockets.sockets = 1;
        config.sockets.origins = vec!["https://console.example".to_owned()];
    })
    .await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    assert_eq!(
        refused(Socket::with(&world, &[protocol, ("origin", "https://evil.example")]).await),
        403
    );
    assert_eq!(
        refused(Socket::with(&world, &[protocol, ("origin", "null")]).await),
        403
    );
    let own = format!("http://{}", world.at);
    for origin in [&*own, "https://console.example"] {
        let socket = Socket::with(&world, &[protocol, ("origin", origin)]).await.unwrap();
        assert_eq!(refused(Socket::with(&world, &[protocol]).await), 503);
        drop(socket);
        world.edge.sockets_closed().await;
    }
}

#[tokio::test]
async fn shutting_down_tells_every_socket_to_come_back() {
    let world = World::new().await;
    let mut open = Socket::open(&world).await;
    let mut new = Socket::new(&world).await;
    open.subscribes("a", "subscription { silence }").await;
    assert_eq!(open.hears().await["type"], "next");
    assert_eq!(world.edge.open_sockets(), 2);
    world.shutdown.cancel();
    assert_eq!(open.closed().await, (1001, "Going away".to_owned()));
    assert_eq!(new.closed().await.0, 1001);
    drop((open, new));
    world.edge.sockets_closed().await;
    assert_eq!(read(world.client.get(world.url("/readyz"))).await.0, 503);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_sent_away_and_costs_a_bounded_queue() {
    let world = World::with(|config| {
        config.sockets.queue = 4;
        config.sockets.send_timeout = Duration::from_millis(50);
    })
    .await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "subscription { flood }").await;
    // Nothing is read until the server has given the operation up.
    world.dropped.notified().await;
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test]
async fn who_asks_without_end_and_reads_no_answer_is_sent_away() {
    let world = World::with(|config| {
        config.sockets.queue = 4;
        config.sockets.messages = u32::MAX;
        config.sockets.send_timeout = Duration::from_millis(50);
    })
    .await;
    let mut socket = Socket::open(&world).await;
    let ping = json!({ "type": "ping", "payload": { "n": "x".repeat(8_000) } }).to_string();
    // Each is answered until there is no room for answers; then no more is read, and in the end the server leaves.
    let floods = async { while socket.0.send(Message::text(ping.clone())).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), floods)
        .await
        .expect("it is read on, or kept without being read");
    world.edge.sockets_closed().await;
}

#[tokio::test]
async fn a_slow_reader_holds_up_messages_and_not_what_runs() {
    let world = World::with(|config| config.sockets.send_timeout = Duration::from_secs(600)).await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("work", "mutation { gated }").await;
    socket.subscribes("flood", "subscription { flood }").await;
    // Nothing is read any more: the flood comes to a stand.
    let (mut seen, mut tick) = (0, tokio::time::interval(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        let made = world.flooded.0.load(Ordering::SeqCst);
        if made > 0 && made == seen {
            break;
        }
        seen = made;
    }
    world.gate.0.notify_one();
    let done = async {
        while world.bumped.load(Ordering::SeqCst) == 0 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done)
        .await
        .expect("the mutation stands still in the middle of its work");
    // Nothing was lost: who reads on gets it.
    while socket.hears().await["id"] != "work" {}
    drop(socket);
    world.edge.sockets_closed().await;
}

#[tokio::test]
async fn a_clients_goodbye_is_answered() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    socket.subscribes("a", "subscription { silence }").await;
    assert_eq!(socket.hears().await["type"], "next");
    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "enough".into(),
    };
    socket.0.send(Message::Close(Some(goodbye))).await.unwrap();
    assert_eq!(socket.closed().await, (1000, "enough".to_owned()));
    assert!(socket.0.next().await.is_none(), "cut off instead of closed");
    world.dropped.notified().await;
}

#[tokio::test]
async fn what_is_no_frame_or_no_text_is_told_so() {
    let world = World::new().await;
    for (bytes, kind, code) in [
        (&b"{\xFF}"[..], Data::Text, 1007),
        (&b"{}"[..], Data::Reserved(5), 1002),
    ] {
        let mut socket = Socket::open(&world).await;
        let frame = Frame::message(bytes, OpCode::Data(kind), true);
        socket.0.send(Message::Frame(frame)).await.unwrap();
        assert_eq!(socket.closed().await.0, code);
    }
}

#[tokio::test]
async fn a_subscription_has_one_root_field() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    for query in [
        "subscription { a: count(to: 1) b: count(to: 1) }",
        "subscription { ...f } fragment f on Subscriptions { count(to: 1) }",
        "subscription { ... on Subscriptions { count(to: 1) } }",
        "subscription { count(to: 1) ...f } fragment f on Subscriptions { silence }",
        "subscription { __typename }",
        "subscription { count(to: 1) @skip(if: true) }",
    ] {
        socket.subscribes("a", query).await;
        let message = socket.hears().await;
        assert_eq!(message["type"], "error", "{query}: {message}");
        assert_eq!(
            message["payload"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED",
            "{query}"
        );
    }
}
