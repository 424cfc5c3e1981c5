//! SIGKILL at any moment: what was committed stays, what was not is done again, once. The processes are real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entity::enums::Role;
use entity::{engine_lease, expiry_alert, order};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::binary::Process;
use crate::support::{SECRET, World, on_every_store, project, server, text};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

const PLACE: &str =
    "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { code } } }";

/// A serving process over the world's store, whose engine rests.
fn serving(world: &World, folder: &tempfile::TempDir) -> (Process, String) {
    let arguments = [
        "--database-url",
        world.database(),
        "--jwt-secret",
        SECRET,
        "--engine-seconds",
        "0",
    ];
    let (process, address) = Process::serve(folder.path(), &arguments);
    (process, format!("http://{address}/graphql"))
}

/// Sends one payment fifty times at once. Each answer that comes is handed on, nothing for one that does not.
fn fifty_copies(world: &World, url: &str, input: &Value) -> mpsc::UnboundedReceiver<Option<Value>> {
    let (answered, answers) = mpsc::unbounded_channel();
    for _ in 0..50 {
        let body = json!({ "query": PLACE, "variables": { "input": input } });
        let request = world.http().post(url).bearer_auth(world.token(Role::Owner)).json(&body);
        let answered = answered.clone();
        tokio::spawn(async move {
            let answer = match request.send().await {
                Ok(answer) => answer.json::<Value>().await.ok(),
                Err(_) => None,
            };
            let _ = answered.send(answer);
        });
    }
    answers
}

fn order_of(answer: &Value) -> String {
    let payload = &answer["data"]["placeOrder"];
    assert_eq!(payload["userErrors"], json!([]), "{answer}");
    text(&payload["order"]["id"])
}

on_every_store! {
    async fn a_payment_whose_server_is_killed_is_made_once(world: World) {
        world.grant("CASH", "1000000").await;
        let folder = tempfile::tempdir().unwrap();
        let (mut process, mut url) = serving(&world, &folder);
        for (round, before_the_end) in [0, 1, 4, 15, 40].into_iter().enumerate() {
            let (quote, _) = world.quote(server("s-general-1x1"), None).await;
            let input = json!({ "quoteId": quote, "payment": { "credit": true }, "idempotencyKey": format!("payment-{round}") });
            let mut bought = BTreeSet::new();
            let mut answers = fifty_copies(&world, &url, &input);
            for _ in 0..before_the_end {
                let answer = answers.recv().await.unwrap().expect("the server still lives");
                bought.insert(order_of(&answer));
            }
            process.kill();
            while let Some(answer) = answers.recv().await {
                bought.extend(answer.map(|answer| order_of(&answer)));
            }

            (process, url) = serving(&world, &folder);
            let mut answers = fifty_copies(&world, &url, &input);
            while let Some(answer) = answers.recv().await {
                bought.insert(order_of(&answer.expect("nobody kills this one")));
            }
            assert_eq!(bought.len(), 1, "all who were answered, before the end and after it, have the same order");
            let orders = order::Entity::find().count(world.app.db.read()).await.unwrap();
            assert_eq!(orders, u64::try_from(round).unwrap() + 1, "and there is no other");
            world.books_agree().await;
        }
        let data = world.data(&world.token(Role::Owner), "{ wallet { cash { amount } } }", json!({})).await;
        assert_eq!(data["wallet"]["cash"]["amount"], "95000", "five servers were paid, once each");
        assert_eq!(process.terminate(), Some(0));
    }

    async fn an_engine_that_is_killed_again_and_again_tells_each_thing_once(world: World) {
        world.grant("CASH", "100000000").await;
        // Eight purchases of five, each with an end of its own: the engine has many transactions to be killed in.
        for purchase in 0..8 {
            let mut create = project();
            create["quantity"] = json!(5);
            create["name"] = json!(format!("files-{purchase}"));
            world.buy(create).await;
        }
        let all = 8 * 5 * 4;
        let folder = tempfile::tempdir().unwrap();
        let advance = || {
            let until = ["tick", "--until", "2023-04-20T00:00:00+07:00", "--database-url", world.database()];
            Process::begin(folder.path(), &until)
        };
        let alerts = || async { expiry_alert::Entity::find().count(world.app.db.read()).await.unwrap() };
        for enough in [1, 30, 65, 100, 150] {
            let mut engine = advance();
            tokio::time::timeout(PATIENCE, async {
                while alerts().await < enough && engine.is_alive() {
                    tokio::task::yield_now().await;
                }
            }).await.expect("the engine goes on where the last one was killed");
            engine.kill();
            // A minute passes, and with it the lease that the dead one cannot give back.
            let leases = world.app.db.write("a_minute_passes", async |tx| {
                Ok(engine_lease::Entity::delete_many().exec(&**tx).await?)
            });
            leases.await.unwrap();
            world.books_agree().await;
        }
        assert!(advance().succeeds(), "nothing that a dead engine left is in the way");
        let mut told = BTreeMap::new();
        for alert in expiry_alert::Entity::find().all(world.app.db.read()).await.unwrap() {
            *told.entry((alert.resource_id, alert.step)).or_insert(0) += 1;
        }
        assert_eq!(told.len(), all, "each resource was told each step");
        assert!(told.values().all(|times| *times == 1), "once: {told:?}");
        world.app.follow_clock().await.unwrap();
        let shown = "{ resources(first: 100) { nodes { status } } }";
        let data = world.data(&world.token(Role::Owner), shown, json!({})).await;
        let ended = data["resources"]["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "DELETED");
        assert_eq!(ended.count(), 40);
    }
}
