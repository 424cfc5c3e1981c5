use futures_util::future::BoxFuture;
use serde_json::json;

use super::*;

#[tokio::test]
async fn health_says_what_machines_ask() {
    let world = World::new().await;
    assert_eq!(
        read(world.client.get(world.url("/healthz"))).await,
        (200, json!({ "status": "ok" }))
    );
    assert_eq!(
        read(world.client.get(world.url("/readyz"))).await,
        (200, json!({ "status": "ready" }))
    );
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap();
    assert_eq!(
        metrics.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(metrics.text().await.unwrap(), "toy_metric 1\n");
    let (status, answer) = read(world.client.get(world.url("/nowhere"))).await;
    assert_eq!((status, codes(&answer)), (404, vec!["NOT_FOUND"]));
    world.shutdown.cancel();
    assert_eq!(
        read(world.client.get(world.url("/readyz"))).await.1["reason"],
        "stopping"
    );
    assert_eq!(read(world.client.get(world.url("/healthz"))).await.0, 200);
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_the_security_headers() {
    let world = World::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/graphql", "/healthz", "/nowhere", "/graphql?query=%7Bhello%7D"] {
        let response = world.client.get(world.url(path)).send().await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("default-src 'none'")
        );
        assert!(headers.get("access-control-allow-origin").is_none());
        assert!(ids.insert(headers["x-request-id"].clone()));
    }
}

#[tokio::test]
async fn other_origins_read_answers_only_where_they_are_configured() {
    let world = World::with(|config| config.cors_origins = vec!["https://console.example".to_owned()]).await;
    let preflight = |origin: &str| {
        world
            .client
            .request(reqwest::Method::OPTIONS, world.url("/graphql"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
    };
    let ours = preflight("https://console.example").await.unwrap();
    assert_eq!(ours.headers()["access-control-allow-origin"], "https://console.example");
    assert!(
        ours.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    let strange = preflight("https://evil.example").await.unwrap();
    assert!(strange.headers().get("access-control-allow-origin").is_none());
    let world = World::new().await;
    let none = world
        .client
        .request(reqwest::Method::OPTIONS, world.url("/graphql"))
        .send()
        .await
        .unwrap();
    assert_eq!(none.status().as_u16(), 405);
}

#[tokio::test]
async fn the_console_is_served_whole_from_the_binary_where_it_is_enabled() {
    let world = World::new().await;
    assert_eq!(read(world.client.get(world.url("/graphiql"))).await.0, 404);

    let world = World::with(|config| config.console.enabled = true).await;
    let page = world.client.get(world.url("/graphiql")).send().await.unwrap();
    let etag = page.headers()["etag"].clone();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("script-src 'self';")
    );
    let html = page.text().await.unwrap();
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "the console depends on another host"
    );
    let named: Vec<&str> = html.split('"').filter(|part| part.starts_with("graphiql/")).collect();
    assert_eq!(named.len(), 7);
    for path in named {
        let asset = world.client.get(world.url(&format!("/{path}"))).send().await.unwrap();
        assert_eq!(asset.status().as_u16(), 200, "{path}");
        assert_eq!(asset.headers()["x-content-type-options"], "nosniff");
        let kind = if path.ends_with(".css") {
            "text/css; charset=utf-8"
        } else {
            "text/javascript; charset=utf-8"
        };
        assert_eq!(asset.headers()["content-type"], kind, "{path}");
        assert!(!asset.text().await.unwrap().is_empty());
    }
    let again = world
        .client
        .get(world.url("/graphiql"))
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status().as_u16(), 304);
    assert_eq!(read(world.client.get(world.url("/graphiql/..%2fmod.rs"))).await.0, 404);
}

#[tokio::test]
async fn what_the_store_says_about_itself_is_not_for_everybody() {
    let away = || -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Err("postgres://billing:secret@10.0.0.7 refused the connection".to_owned()) })
    };
    let world = World::dressed(|_| {}, |edge| edge.ready_when(away)).await;
    let (status, answer) = read(world.client.get(world.url("/readyz"))).await;
    assert_eq!(status, 503);
    assert_eq!(
        answer,
        json!({ "status": "unavailable", "reason": "the store is away" })
    );
    // One that never answers is away too.
    let silent = || -> BoxFuture<'static, Result<(), String>> { Box::pin(std::future::pending()) };
    let world = World::dressed(|_| {}, |edge| edge.ready_when(silent)).await;
    assert_eq!(read(world.client.get(world.url("/readyz"))).await, (status, answer));
}
