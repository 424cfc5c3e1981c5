use std::time::Duration;

use serde_json::json;

use super::*;

const JSON: &str = "application/json; charset=utf-8";
const NEWER: &str = "application/graphql-response+json; charset=utf-8";

#[tokio::test]
async fn what_cannot_run_is_400_in_the_newer_form_and_200_in_the_older() {
    let world = World::new().await;
    for (request, code) in [
        (json!({ "query": "{" }), "GRAPHQL_PARSE_FAILED"),
        (json!({ "query": "{ nothing }" }), "GRAPHQL_VALIDATION_FAILED"),
        (
            json!({ "query": "query A { hello } query B { hello }" }),
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            json!({ "query": "query A { hello }", "operationName": "B" }),
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            json!({ "query": "query($t: String!) { echo(text: $t) }" }),
            "BAD_USER_INPUT",
        ),
        (
            json!({ "query": "query($t: String!) { echo(text: $t) }", "variables": { "t": 1 } }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "{ toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { toy { name } } } } } } } } } } } } }" }),
            "LIMIT_EXCEEDED",
        ),
    ] {
        for (accept, status, content_type) in [
            ("application/graphql-response+json", 400, NEWER),
            ("application/json", 200, JSON),
            ("*/*", 200, JSON),
        ] {
            let response = world
                .post()
                .header("accept", accept)
                .json(&request)
                .send()
                .await
                .unwrap();
            assert_eq!(response.status().as_u16(), status, "{request} {accept}");
            assert_eq!(response.headers()["content-type"], content_type);
            assert!(response.headers().contains_key("x-request-id"));
            let answer: Json = response.json().await.unwrap();
            assert_eq!(codes(&answer), [code], "{answer}");
            assert!(answer.get("data").is_none(), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_runs_is_200_with_its_cost() {
    let world = World::new().await;
    let (status, answer) = world.owner_asks("{ whoami toy { toys(first: 3) { name } } }").await;
    let toys = json!([{ "name": "toy" }, { "name": "toy" }, { "name": "toy" }]);
    assert_eq!(status, 200);
    assert_eq!(answer["data"], json!({ "whoami": "an", "toy": { "toys": toys } }));
    assert_eq!(answer["extensions"]["cost"], json!({ "requested": 4, "limit": 5000 }));
    let request = json!({
        "query": "query A { hello } query B($t: String) { echo(text: $t) }", "operationName": "B", "variables": { "t": "é" },
        "extensions": { "any": [1] }
    });
    assert_eq!(world.asks(&request).await.1["data"], json!({ "echo": "é" }));
}

#[tokio::test]
async fn get_reads_and_never_writes() {
    let world = World::new().await;
    let get = |pairs: &str| read(world.client.get(world.url(&format!("/graphql?{pairs}"))));
    let named = "query=query%20A(%24t%3AString!)%7Becho(text%3A%24t)%7D%20query%20B%7Bhello%7D";
    let (status, answer) = get(&format!(
        "{named}&operationName=A&variables=%7B%22t%22%3A%22x%20y%22%7D&extensions=%7B%7D"
    ))
    .await;
    assert_eq!((status, &answer["data"]), (200, &json!({ "echo": "x y" })));

    for (pairs, status, code) in [
        ("query=mutation%7Bbump%7D", 405, "METHOD_NOT_ALLOWED"),
        (
            "query=mutation%20M%7Bbump%7D%20query%20Q%7Bhello%7D&operationName=M",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        ("query=subscription%7Bcount(to%3A1)%7D", 405, "METHOD_NOT_ALLOWED"),
        ("query=%7Bhello%7D&query=mutation%7Bbump%7D", 400, "BAD_REQUEST"),
        ("query=%7Bhello%7D&variables=%7B", 400, "BAD_REQUEST"),
        ("query=%7Bhello%7D&variables=1", 400, "BAD_REQUEST"),
        ("", 400, "BAD_REQUEST"),
    ] {
        let (got, answer) = get(pairs).await;
        assert_eq!((got, codes(&answer)), (status, vec![code]), "{pairs}");
    }
    for method in [reqwest::Method::DELETE, reqwest::Method::PUT, reqwest::Method::PATCH] {
        let response = world
            .client
            .request(method, world.url("/graphql"))
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"GET, POST".parse().unwrap())
        );
    }
    assert_eq!(world.bumped.load(Ordering::SeqCst), 0);
    let (_, answer) = world.asks(&json!({ "query": "mutation { bump }" })).await;
    assert_eq!(answer["data"], json!({ "bump": 1 }));
}

#[tokio::test]
async fn only_json_bodies_are_read() {
    let world = World::new().await;
    let body = r#"{"query":"mutation { bump }"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=latin1",
    ] {
        let (status, answer) = read(world.post().header("content-type", content_type).body(body)).await;
        assert_eq!(
            (status, codes(&answer)),
            (415, vec!["UNSUPPORTED_MEDIA_TYPE"]),
            "{content_type}"
        );
    }
    let (status, _) = read(world.post().body(body)).await;
    assert_eq!(status, 415);
    let zipped = world
        .post()
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(body);
    assert_eq!(read(zipped).await.0, 415);
    assert_eq!(world.bumped.load(Ordering::SeqCst), 0);
    let (status, answer) = read(
        world
            .post()
            .header("accept", "text/html")
            .json(&json!({ "query": "{ hello }" })),
    )
    .await;
    assert_eq!((status, codes(&answer)), (406, vec!["NOT_ACCEPTABLE"]));
}

#[tokio::test]
async fn a_bad_body_is_400_and_says_what_is_wrong() {
    let world = World::new().await;
    for (body, says) in [
        (r#"{ "not a JSON"#, "line 1"),
        ("", "empty"),
        ("null", "null"),
        ("[]", "Batches"),
        (r#"[{"query":"{ hello }"}]"#, "Batches"),
        (r#" ["{ hello }", null, null, null]"#, "Batches"),
        (r#"{"qeury":"{ hello }"}"#, "\"query\" is missing"),
        (r#"{"query":0}"#, "\"query\" must be a string, not a number"),
        (r#"{"query":["x"]}"#, "an array"),
        (
            r#"{"query":"{ hello }","operationName":false}"#,
            "\"operationName\" must be a string, not a boolean",
        ),
        (
            r#"{"query":"{ hello }","variables":"{}"}"#,
            "\"variables\" must be an object, not a string",
        ),
        (
            r#"{"query":"{ hello }","extensions":[]}"#,
            "\"extensions\" must be an object, not an array",
        ),
        ("{\"query\":\"\u{fffd}", "line 1"),
    ] {
        let (status, answer) = read(world.post().header("content-type", "application/json").body(body)).await;
        assert_eq!((status, codes(&answer)), (400, vec!["BAD_REQUEST"]), "{body}");
        assert!(
            answer["errors"][0]["message"].as_str().unwrap().contains(says),
            "{answer}"
        );
    }
    let bytes = world
        .post()
        .header("content-type", "application/json")
        .body(&b"{\"query\":\"\xff\"}"[..]);
    assert_eq!(read(bytes).await.0, 400);
    let nested = format!(
        "{{\"query\":\"{{ hello }}\",\"variables\":{}1{}}}",
        "[".repeat(40_000),
        "]".repeat(40_000)
    );
    assert_eq!(
        read(world.post().header("content-type", "application/json").body(nested))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn bodies_are_bounded_whether_they_announce_their_size_or_not() {
    let world = World::new().await;
    let body = format!(r#"{{"query":"{{ hello }}","x":"{}"}}"#, "y".repeat(1_000_000));
    let (status, answer) = read(
        world
            .post()
            .header("content-type", "application/json")
            .body(body.clone()),
    )
    .await;
    assert_eq!((status, codes(&answer)), (413, vec!["BODY_TOO_LARGE"]));

    // Without a length: chunks, by hand, because the client's own streams are not compiled in.
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut raw = tokio::net::TcpStream::connect(world.at).await.unwrap();
    raw.write_all(
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await
    .unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, "y".repeat(64 * 1024));
    raw.write_all(chunk.as_bytes()).await.unwrap();
    raw.write_all(chunk.as_bytes()).await.unwrap();
    let mut head = [0_u8; 12];
    raw.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");

    // In pieces, it is one all the same.
    let mut raw = tokio::net::TcpStream::connect(world.at).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    raw.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await
        .unwrap();
    for piece in ["{\"query\":\"", "{ he", "llo }\"}", ""] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        raw.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"hello\":"),
        "{answer}"
    );
}

#[tokio::test]
async fn batches_run_in_order_where_they_are_configured() {
    let world = World::with(|config| config.batch_limit = 2).await;
    let one = json!({ "query": "mutation { bump }" });
    let (status, answer) = world.asks(&json!([one, one])).await;
    assert_eq!(
        (status, &answer[0]["data"]["bump"], &answer[1]["data"]["bump"]),
        (200, &json!(1), &json!(2))
    );
    for batch in [json!([one, one, one]), json!([])] {
        let (status, answer) = world.asks(&batch).await;
        assert_eq!((status, codes(&answer)), (400, vec!["BAD_REQUEST"]));
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_401_with_its_kind() {
    let world = World::new().await;
    let other = Authenticator::hs256(&SecretString::from("another secret of the tests, long enough")).unwrap();
    let principal = authenticator().verify(&world.token(), DateTime::UNIX_EPOCH).unwrap();
    let forged = other.mint(&principal).unwrap();
    for (token, reason) in [
        ("nonsense", "MALFORMED"),
        (&*forged, "BAD_SIGNATURE"),
        (&*world.token_until(0), "EXPIRED"),
    ] {
        let response = world
            .post()
            .bearer_auth(token)
            .json(&json!({ "query": "{ hello }" }))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        let answer: Json = response.json().await.unwrap();
        assert_eq!(codes(&answer), ["UNAUTHENTICATED"]);
        assert_eq!(answer["errors"][0]["extensions"]["reason"], reason);
    }
    let twice = world
        .post()
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b");
    assert_eq!(read(twice.json(&json!({ "query": "{ hello }" }))).await.0, 401);
    let (status, answer) = world.asks(&json!({ "query": "{ whoami }" })).await;
    assert_eq!((status, &answer["data"]), (200, &json!({ "whoami": null })));
}

#[tokio::test]
async fn our_failures_are_masked_and_refusals_are_not() {
    let world = World::new().await;
    for query in ["{ toy { broken } }", "{ internal }", "{ panics }"] {
        let request = world.post().bearer_auth(world.token()).json(&json!({ "query": query }));
        let response = request.send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.status().as_u16(), 200);
        let text = response.text().await.unwrap();
        for secret in ["postgres", "secret", "wallet"] {
            assert!(!text.contains(secret), "{text}");
        }
        let answer: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(codes(&answer), ["INTERNAL"]);
        assert_eq!(answer["errors"][0]["extensions"]["requestId"], id);
        assert!(answer.get("data").is_some());
    }
    let (status, answer) = world.owner_asks("{ refused hello }").await;
    assert_eq!((status, codes(&answer)), (200, vec!["FORBIDDEN"]));
    assert_eq!(answer["data"], json!({ "refused": null, "hello": "world" }));
    assert_eq!(
        (&answer["errors"][0]["message"], &answer["errors"][0]["path"]),
        (&json!("not for you"), &json!(["refused"]))
    );
    let (_, answer) = world.owner_asks("{ day(day: \"tomorrow\") }").await;
    assert_eq!(codes(&answer), ["BAD_USER_INPUT"]);
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("YYYY-MM-DD"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let world = World::with(|config| config.request_timeout = Duration::from_millis(20)).await;
    for query in ["{ never }", "{ hello never }"] {
        let (status, answer) = world.owner_asks(query).await;
        assert_eq!((status, codes(&answer)), (504, vec!["TIMEOUT"]));
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_the_schema() {
    let world = World::new().await;
    let introspection = "{ __schema { queryType { name } } }";
    let (_, answer) = world.asks(&json!({ "query": introspection })).await;
    assert_eq!(codes(&answer), ["INTROSPECTION_DISABLED"]);
    let (_, answer) = world
        .asks(&json!({ "query": "{ ...x } fragment x on Query { t: __type(name: \"Toy\") { name } }" }))
        .await;
    assert_eq!(codes(&answer), ["INTROSPECTION_DISABLED"]);
    let (_, answer) = world.asks(&json!({ "query": "{ __typename }" })).await;
    assert_eq!(answer["data"], json!({ "__typename": "Query" }));
    let (_, answer) = world.asks(&json!({ "query": "{ helo }" })).await;
    assert!(!answer.to_string().contains("hello"), "{answer}");

    let (_, answer) = world.owner_asks(introspection).await;
    assert_eq!(answer["data"]["__schema"]["queryType"]["name"], "Query");
    let (_, answer) = world.owner_asks("{ helo }").await;
    assert!(answer.to_string().contains("Did you mean"), "{answer}");
    // An operator may be named alone.
    let world = World::with(|config| config.introspection = Introspection::Roles(vec![Role::Operator])).await;
    assert_eq!(
        codes(&world.owner_asks(introspection).await.1),
        ["INTROSPECTION_DISABLED"]
    );
}

#[tokio::test]
async fn at_most_five_errors_are_reported() {
    let world = World::new().await;
    let (_, answer) = world.owner_asks("{ a1 a2 a3 a4 a5 a6 a7 }").await;
    assert_eq!(codes(&answer).len(), 5);
    assert_eq!(answer["extensions"]["errorsOmitted"], 2);
}

#[tokio::test]
async fn a_bomb_of_fragments_is_refused_before_anything_walks_it() {
    let world = World::with(|config| config.guard.fragment_chain = 100).await;
    let mut bomb = "{ ...f0 }".to_owned();
    for level in 0..30 {
        bomb.push_str(&format!(" fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1));
    }
    bomb.push_str(" fragment f30 on Query { hello }");
    let asked = world.owner_asks(&bomb);
    let (status, answer) = tokio::time::timeout(Duration::from_secs(2), asked)
        .await
        .expect("walked");
    assert_eq!((status, codes(&answer)), (400, vec!["LIMIT_EXCEEDED"]));
    assert_eq!(answer["errors"][0]["extensions"]["limit"], "SELECTIONS");
    // A stack of brackets would overflow the parser's.
    let (status, answer) = world.owner_asks(&"{a".repeat(900)).await;
    assert_eq!(
        (status, &answer["errors"][0]["extensions"]["limit"]),
        (400, &json!("NESTING"))
    );
    assert_eq!(world.owner_asks("{ hello }").await.0, 200);
}

#[tokio::test]
async fn the_communitys_introspection_query_passes_the_guard() {
    let world = World::new().await;
    let types = "kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";
    let query = format!(
        "query IntrospectionQuery {{ __schema {{ description queryType {{ name kind }} mutationType {{ name kind }}
           subscriptionType {{ name kind }} types {{ ...FullType }} directives {{ name description locations args {{ ...InputValue }} }} }} }}
         fragment FullType on __Type {{ kind name description specifiedByURL
           fields(includeDeprecated: true) {{ name description args {{ ...InputValue }} type {{ ...TypeRef }} isDeprecated deprecationReason }}
           inputFields {{ ...InputValue }} interfaces {{ ...TypeRef }}
           enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }} possibleTypes {{ ...TypeRef }} }}
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue }}
         fragment TypeRef on __Type {{ {types} }}"
    );
    let (status, answer) = world.owner_asks(&query).await;
    assert_eq!((status, answer.get("errors")), (200, None));
}

#[tokio::test]
async fn a_request_has_one_deadline_and_after_it_nothing_is_begun() {
    let world = World::with(|config| {
        config.batch_limit = 2;
        config.request_timeout = Duration::from_millis(50);
    })
    .await;
    let batch = json!([{ "query": "{ never }" }, { "query": "mutation { bump }" }]);
    let (_, answers) = world.asks(&batch).await;
    for answer in answers.as_array().unwrap() {
        assert_eq!(codes(answer), ["TIMEOUT"], "{answers}");
    }
    assert_eq!(world.bumped.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_variables_default_decides_what_is_included() {
    let world = World::new().await;
    let query = "query($a: Boolean! = false, $b: Boolean = true) { hello toy @include(if: $a) { name } x: hello @skip(if: $b) }";
    let (_, answer) = world.asks(&json!({ "query": query })).await;
    assert_eq!(answer["data"], json!({ "hello": "world" }), "{answer}");
    let (_, answer) = world
        .asks(&json!({ "query": query, "variables": { "a": true, "b": false } }))
        .await;
    assert_eq!(
        answer["data"],
        json!({ "hello": "world", "toy": { "name": "toy" }, "x": "world" })
    );
}

#[tokio::test]
async fn a_mutations_field_runs_once() {
    let world = World::new().await;
    for query in [
        "mutation { ...f ...f } fragment f on Mutation { bump }",
        "mutation { bump ... on Mutation { bump } }",
        "mutation { x: bump ...f } fragment f on Mutation { x: bump }",
    ] {
        let (_, answer) = world.asks(&json!({ "query": query })).await;
        assert_eq!(codes(&answer), ["GRAPHQL_VALIDATION_FAILED"], "{query}: {answer}");
    }
    assert_eq!(world.bumped.load(Ordering::SeqCst), 0);
    let (_, answer) = world
        .asks(&json!({ "query": "mutation { ...f b: bump } fragment f on Mutation { bump }" }))
        .await;
    assert_eq!(answer["data"], json!({ "bump": 1, "b": 2 }), "{answer}");
}
