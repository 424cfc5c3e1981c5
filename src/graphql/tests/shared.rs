//! Subscribers who select the same are told with the same bytes, and each is told everything once.

use std::sync::Arc;

use async_graphql::{Executor as _, Name, Request, Response, Value, Variables};
use entity::enums::{FundsKind, Role};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use uuid::Uuid;

use super::gateway;
use crate::app::App;
use crate::commands::credit::{self, Grant};
use crate::graphql::{Caller, GatewaySchema, Permission, prepare, schema};
use crate::live::Cursor;
use crate::store::Scope;

const SUBSCRIBE: &str =
    "subscription ($after: EventCursor) { accountEvents(after: $after) { cursor replayed wallet { kind } } }";

async fn grant(app: &App, account: Uuid, key: usize) {
    let operator = Scope::Operator {
        principal: "operator".to_owned(),
    };
    let grant = Grant {
        account,
        funds: FundsKind::Cash,
        amount: "1000".to_owned(),
        reason: "test".to_owned(),
        idempotency_key: key.to_string(),
    };
    credit::grant(app, &operator, grant).await.unwrap();
}

struct World {
    app: Arc<App>,
    schema: GatewaySchema,
    account: Uuid,
    /// The events before the first grant.
    began: i64,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (app, accounts, folder) = gateway().await;
        let engine = Scope::engine();
        let kept = crate::store::event_log::kept(app.db.read(), &engine, accounts[0]);
        let began = kept.await.unwrap().unwrap().newest;
        Self {
            schema: schema(Arc::clone(&app)),
            app,
            account: accounts[0],
            began,
            _folder: folder,
        }
    }

    fn subscribes(&self, query: &str, after: Option<i64>, may: impl Fn(Permission) -> bool) -> Subscriber {
        let mut variables = Variables::default();
        if let Some(after) = after {
            let cursor = Cursor::new(self.app.epoch, self.account, after).encode();
            variables = Variables::from_json(serde_json::json!({ "after": cursor }));
        }
        self.asks(query, variables, may)
    }

    fn asks(&self, query: &str, variables: Variables, may: impl Fn(Permission) -> bool) -> Subscriber {
        let permissions = Permission::ALL.iter().copied().filter(|permission| may(*permission));
        let caller = Caller::new(
            "an".to_owned(),
            Role::Owner,
            Some(self.account),
            None,
            permissions.collect(),
        );
        let request = Request::new(query).variables(variables);
        Subscriber(
            self.schema
                .execute_stream(prepare(request, &self.app, Some(caller)), None),
        )
    }

    fn everybody(&self, after: Option<i64>) -> Subscriber {
        self.subscribes(SUBSCRIBE, after, |_| true)
    }

    /// Until all of them are told by groups.
    async fn join(&self, subscribers: &mut [Subscriber]) {
        while self.schema.0.groups.members() < subscribers.len() {
            for subscriber in &mut *subscribers {
                assert!(futures_util::poll!(subscriber.0.next()).is_pending());
            }
            tokio::task::yield_now().await;
        }
    }

    fn groups(&self) -> usize {
        self.schema.0.groups.count()
    }

    /// The sequence number in an answer's cursor, and whether it says it is replayed.
    fn read(&self, response: &Response) -> (i64, bool) {
        assert!(response.errors.is_empty(), "{response:?}");
        let data = match &response.data {
            Value::Binary(json) => serde_json::from_slice(json).unwrap(),
            data => data.clone().into_json().unwrap(),
        };
        let event = &data["accountEvents"];
        let cursor = Cursor::decode(event["cursor"].as_str().unwrap()).unwrap();
        let sequence = cursor.sequence_in(self.app.epoch, self.account).unwrap();
        (sequence - self.began, event["replayed"].as_bool().unwrap())
    }
}

struct Subscriber(BoxStream<'static, Response>);

impl Subscriber {
    async fn hears(&mut self) -> Response {
        let heard = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.next()).await;
        heard.expect("an answer that must come").expect("the stream goes on")
    }
}

fn written(response: &Response) -> &[u8] {
    match &response.data {
        Value::Binary(json) => json,
        other => panic!("not shared: {other:?}"),
    }
}

fn bytes(response: &Response) -> *const u8 {
    written(response).as_ptr()
}

#[tokio::test]
async fn an_event_is_written_once_for_all_who_select_the_same_with_the_same_rights() {
    let world = World::new().await;
    grant(&world.app, world.account, 1).await;
    let mut subscribers: Vec<Subscriber> = (0..3).map(|_| world.everybody(Some(world.began))).collect();
    let without = world.subscribes(SUBSCRIBE, Some(world.began), |may| may != Permission::GetUserBalance);
    for subscriber in &mut subscribers {
        assert_eq!(world.read(&subscriber.hears().await), (1, true));
    }
    subscribers.push(without);
    assert_eq!(subscribers[3].hears().await.errors.len(), 1, "the wallet is not for it");
    world.join(&mut subscribers).await;
    let mut without = subscribers.pop().unwrap();
    grant(&world.app, world.account, 2).await;
    let mut told = Vec::new();
    for subscriber in &mut subscribers {
        let answer = subscriber.hears().await;
        assert_eq!(world.read(&answer), (2, false));
        told.push(answer);
    }
    assert!(
        told.windows(2).all(|two| bytes(&two[0]) == bytes(&two[1])),
        "written more than once"
    );
    let refused = without.hears().await;
    let code = refused.errors[0]
        .extensions
        .as_ref()
        .and_then(|extensions| extensions.get("code"));
    assert_eq!(code, Some(&Value::from("FORBIDDEN")));
    assert_eq!(world.groups(), 2);

    // What never runs is no group.
    let mut wrong = world.subscribes("subscription { accountEvents { nothing } }", None, |_| true);
    assert_eq!(wrong.hears().await.errors.len(), 1);
    assert!(wrong.0.next().await.is_none());
    let mut foreign = world.everybody(Some(1_000_000));
    assert_eq!(foreign.hears().await.errors.len(), 1);
    assert!(foreign.0.next().await.is_none());
    assert_eq!(world.groups(), 2);
    drop((subscribers, without));
    assert_eq!(world.groups(), 0, "a group outlives its subscribers");
}

#[tokio::test]
async fn a_group_without_news_resolves_nothing_and_begins_again_with_the_next_event() {
    let world = World::new().await;
    let mut subscribers = [world.everybody(Some(world.began)), world.everybody(Some(world.began))];
    world.join(&mut subscribers).await;
    for number in 1..=3 {
        assert_eq!(world.schema.0.groups.resolving(), 0);
        grant(&world.app, world.account, number).await;
        for subscriber in &mut subscribers {
            // Replayed, for one that was not in the group yet.
            assert_eq!(world.read(&subscriber.hears().await).0, i64::try_from(number).unwrap());
        }
        while world.schema.0.groups.resolving() > 0 {
            tokio::task::yield_now().await;
        }
    }
    drop(subscribers);
    assert_eq!(world.groups(), 0);
    assert!(world.app.hub.accounts().is_empty(), "somebody listens on");
}

#[tokio::test]
async fn what_comes_while_a_group_is_about_to_rest_is_heard_too() {
    let world = World::new().await;
    let mut subscriber = world.everybody(Some(world.began));
    world.join(std::slice::from_mut(&mut subscriber)).await;
    let granted = async {
        for number in 1..=60 {
            grant(&world.app, world.account, number).await;
        }
    };
    let heard = async {
        for number in 1..=60 {
            assert_eq!(world.read(&subscriber.hears().await), (number, false));
        }
    };
    futures_util::join!(granted, heard);
}

#[tokio::test]
async fn what_waits_for_the_store_goes_on_while_nobody_asks() {
    let world = World::new().await;
    let mut subscriber = world.everybody(Some(world.began));
    world.join(std::slice::from_mut(&mut subscriber)).await;
    grant(&world.app, world.account, 1).await;
    assert!(
        futures_util::poll!(subscriber.0.next()).is_pending(),
        "the wallet is to be read"
    );
    assert_eq!(world.schema.0.groups.resolving(), 1);
    let finished = async {
        while world.schema.0.groups.resolving() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let finished = tokio::time::timeout(std::time::Duration::from_secs(20), finished).await;
    assert!(finished.is_ok(), "it stands still amid an answer");
    assert!(futures_util::poll!(subscriber.0.next()).is_ready());
}

#[tokio::test]
async fn who_joins_one_that_does_not_look_is_told_nevertheless() {
    let world = World::new().await;
    let mut first = world.everybody(Some(world.began));
    world.join(std::slice::from_mut(&mut first)).await;
    grant(&world.app, world.account, 1).await;
    let mut second = world.everybody(Some(world.began));
    assert_eq!(world.read(&second.hears().await), (1, true));
    let (two, ()) = futures_util::join!(second.hears(), grant(&world.app, world.account, 2));
    assert_eq!(world.read(&two), (2, false));
    grant(&world.app, world.account, 3).await;
    assert_eq!(world.read(&second.hears().await), (3, false));
    for number in 1..=3 {
        assert_eq!(world.read(&first.hears().await), (number, false));
    }
    assert_eq!(world.groups(), 1);
}

#[tokio::test]
async fn accounts_that_select_the_same_share_what_is_made_of_it_and_nothing_else() {
    let (app, accounts, _folder) = gateway().await;
    let schema = schema(Arc::clone(&app));
    let selects = "subscription { accountEvents { type wallet { id kind } } }";
    let of = |account: Uuid, may: fn(Permission) -> bool| {
        let permissions = Permission::ALL.iter().copied().filter(|permission| may(*permission));
        let caller = Caller::new("an".to_owned(), Role::Owner, Some(account), None, permissions.collect());
        Subscriber(schema.execute_stream(prepare(Request::new(selects), &app, Some(caller)), None))
    };
    let may: fn(Permission) -> bool = |permission| permission != Permission::GetUserBalance;
    let mut subscribers = [
        of(accounts[0], |_| true),
        of(accounts[1], |_| true),
        of(accounts[1], may),
    ];
    while schema.0.groups.count() < 3 {
        for subscriber in &mut subscribers {
            assert!(futures_util::poll!(subscriber.0.next()).is_pending());
        }
        tokio::task::yield_now().await;
    }
    let mut showings = std::collections::HashSet::new();
    for number in 1..=5 {
        futures_util::join!(grant(&app, accounts[0], number), grant(&app, accounts[1], 100 + number));
        let [one, other, without] = &mut subscribers;
        let (one, other, without) = futures_util::join!(one.hears(), other.hears(), without.hears());
        let said = [one, other].map(|answer| String::from_utf8(written(&answer).to_vec()).unwrap());
        assert_ne!(said[0], said[1], "a wallet of another account");
        for said in said {
            assert!(said.contains("WALLET_CREDITED") && said.contains("CREDIT\""), "{said}");
        }
        // What one may not see is an error of its own alone.
        assert_eq!(without.errors.len(), 1, "{without:?}");
        showings.extend(schema.0.groups.showings());
    }
    assert_eq!(showings.len(), 1, "made more than once");
    drop(subscribers);
    assert_eq!(schema.0.groups.showings(), []);
}

#[tokio::test]
async fn what_is_selected_in_other_words_is_said_in_them() {
    let world = World::new().await;
    let ways = [
        (
            "subscription { e: accountEvents { __typename k: type ...F } } fragment F on AccountEvent { replayed }",
            r#"{"e":{"__typename":"AccountEvent","k":"WALLET_CREDITED","replayed":false}}"#,
        ),
        (
            "subscription { accountEvents { wallet { kind } wallet { id2: kind kind } type } }",
            r#"{"accountEvents":{"wallet":{"kind":"CREDIT","id2":"CREDIT"},"type":"WALLET_CREDITED"}}"#,
        ),
        (
            "subscription { accountEvents { type @skip(if: true) replayed order { id } } }",
            r#"{"accountEvents":{"replayed":false,"order":null}}"#,
        ),
    ];
    let mut subscribers = ways.map(|(query, _)| world.subscribes(query, None, |_| true));
    world.join(&mut subscribers).await;
    grant(&world.app, world.account, 1).await;
    for (subscriber, (_, expected)) in subscribers.iter_mut().zip(ways) {
        let answer = subscriber.hears().await;
        let [said, expected] = [written(&answer), expected.as_bytes()].map(serde_json::from_slice::<serde_json::Value>);
        assert_eq!(said.unwrap(), expected.unwrap());
    }
}

#[tokio::test]
async fn whoever_is_slow_or_late_misses_nothing_and_hears_nothing_twice() {
    let world = World::new().await;
    let (mut fast, mut slow) = (world.everybody(Some(world.began)), world.everybody(Some(world.began)));
    for number in 1..=2 {
        grant(&world.app, world.account, number).await;
        for subscriber in [&mut fast, &mut slow] {
            assert_eq!(world.read(&subscriber.hears().await).0, i64::try_from(number).unwrap());
        }
    }
    // More than a group keeps.
    for number in 3..=150 {
        grant(&world.app, world.account, number).await;
        let told = world.read(&fast.hears().await);
        assert_eq!(told, (i64::try_from(number).unwrap(), false));
    }
    for number in 3..=150 {
        assert_eq!(world.read(&slow.hears().await), (number, false));
    }
    let mut late = world.everybody(Some(world.began));
    for number in 1..=150 {
        assert_eq!(world.read(&late.hears().await), (number, true));
    }
    grant(&world.app, world.account, 151).await;
    let mut told = Vec::new();
    for subscriber in [&mut fast, &mut slow, &mut late] {
        let answer = subscriber.hears().await;
        assert_eq!(world.read(&answer), (151, false));
        told.push(answer);
    }
    assert_eq!(bytes(&told[0]), bytes(&told[1]), "who was slow has caught up");
    assert_eq!(bytes(&told[0]), bytes(&told[2]), "who was late has caught up");
}

#[tokio::test]
async fn who_comes_to_a_group_that_keeps_no_more_what_it_missed_catches_up_and_joins_it() {
    let world = World::new().await;
    let mut first = world.everybody(Some(world.began));
    grant(&world.app, world.account, 1).await;
    assert_eq!(world.read(&first.hears().await).0, 1);
    // Its own execution has ended, and it has not joined.
    let mut late = world.everybody(Some(world.began));
    assert_eq!(world.read(&late.hears().await), (1, true));
    for number in 2..=20 {
        grant(&world.app, world.account, number).await;
        assert_eq!(
            world.read(&first.hears().await),
            (i64::try_from(number).unwrap(), false)
        );
    }
    for number in 2..=10 {
        assert_eq!(world.read(&late.hears().await), (number, false));
    }
    // While it catches up, the group keeps for it what it will want then.
    for number in 21..=30 {
        grant(&world.app, world.account, number).await;
        assert_eq!(
            world.read(&first.hears().await),
            (i64::try_from(number).unwrap(), false)
        );
    }
    for number in 11..=30 {
        assert_eq!(world.read(&late.hears().await), (number, false));
    }
    assert_eq!(world.groups(), 1);
    grant(&world.app, world.account, 31).await;
    let told = [first.hears().await, late.hears().await];
    for answer in &told {
        assert_eq!(world.read(answer), (31, false));
    }
    assert_eq!(bytes(&told[0]), bytes(&told[1]));
    // The first one leaves; what is kept for the other is enough.
    drop(first);
    grant(&world.app, world.account, 32).await;
    assert_eq!(world.read(&late.hears().await), (32, false));
    assert_eq!(world.groups(), 1);
    drop(late);
    assert_eq!(world.groups(), 0);
}

#[tokio::test]
async fn what_a_group_tells_is_what_its_subscribers_asked_for_in_their_variables() {
    let world = World::new().await;
    grant(&world.app, world.account, 1).await;
    let query = "subscription ($after: EventCursor, $types: [EventType!]) {
        accountEvents(after: $after, types: $types) { cursor replayed } }";
    let of = |kind: &str, as_value: fn(&str) -> Value| {
        let after = Cursor::new(world.app.epoch, world.account, world.began).encode();
        let mut variables = Variables::default();
        variables.insert(Name::new("after"), Value::from(after));
        variables.insert(Name::new("types"), Value::List(vec![as_value(kind)]));
        world.asks(query, variables, |_| true)
    };
    // As the wire brings it, and as a default of the document is.
    let as_text: fn(&str) -> Value = |kind| Value::from(kind);
    let as_enum: fn(&str) -> Value = |kind| Value::Enum(Name::new(kind));
    let (mut text, mut default) = (of("WALLET_CREDITED", as_text), of("WALLET_CREDITED", as_enum));
    for subscriber in [&mut text, &mut default] {
        assert_eq!(world.read(&subscriber.hears().await), (1, true));
    }
    let mut other = of("ORDER_PAID", as_text);
    // Those who asked the same are one group, and this one is another.
    while world.groups() < 2 {
        for subscriber in [&mut text, &mut default, &mut other] {
            assert!(futures_util::poll!(subscriber.0.next()).is_pending());
        }
        tokio::task::yield_now().await;
    }
    grant(&world.app, world.account, 2).await;
    let told = [text.hears().await, default.hears().await];
    for answer in &told {
        assert_eq!(world.read(answer), (2, false));
    }
    assert_eq!(bytes(&told[0]), bytes(&told[1]));
    assert_eq!(world.groups(), 2);
    assert!(
        futures_util::poll!(other.0.next()).is_pending(),
        "it asked for other events"
    );
}
