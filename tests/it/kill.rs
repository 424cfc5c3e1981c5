//! SIGKILL at any moment: what was committed stays, what was not is done again, once. The processes are real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use billing_gateway::gateways::sandbox::{Record, Standing};
use billing_gateway::ids::{Chance, random_bytes};
use billing_gateway::store::{Scope, copies, due};
use entity::enums::{EventType, Life, PaymentStatus, Role};
use entity::{account_event, engine_lease, expiry_alert, order, payment, resource, sandbox_record, wallet};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::binary::Process;
use crate::support::{SECRET, World, at, on_every_store, project, server, text};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

const PLACE: &str =
    "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } userErrors { code } } }";

const TOP_UP: &str =
    "mutation($input: TopUpWalletInput!) { topUpWallet(input: $input) { payment { id } userErrors { code } } }";

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

/// Sends one payment fifty times at once.
fn fifty_copies(world: &World, url: &str, input: &Value) -> mpsc::UnboundedReceiver<Option<Value>> {
    copies_of(world, url, PLACE, &[input; 50])
}

/// Sends these at once. Each answer that comes is handed on, nothing for one that does not.
fn copies_of(world: &World, url: &str, mutation: &str, inputs: &[&Value]) -> mpsc::UnboundedReceiver<Option<Value>> {
    let (answered, answers) = mpsc::unbounded_channel();
    for input in inputs {
        let body = json!({ "query": mutation, "variables": { "input": input } });
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

    async fn a_sweep_of_ten_thousand_resources_survives_fifty_kills(world: World) {
        world.grant("CASH", "100000000").await;
        // Five purchases of twenty, as a hundred accounts made them.
        for purchase in 0..5 {
            let mut create = project();
            create["quantity"] = json!(20);
            create["name"] = json!(format!("files-{purchase}"));
            world.buy(create).await;
        }
        let others: Vec<u32> = (1..100).collect();
        let copied = world.app.db.write("copy", async |tx| copies::copy(&tx, &Scope::engine(), &[world.account], &others).await);
        copied.await.unwrap();
        let looked = world.app.db.write("look", async |tx| copies::look_at_tables(&tx, &Scope::engine()).await);
        looked.await.unwrap();
        let money = cash(&world).await;
        let folder = tempfile::tempdir().unwrap();
        let begin = || {
            let tick = ["tick", "--most-releases", "1000000", "--database-url", world.database()];
            Process::begin(folder.path(), &tick)
        };
        let alerts = || async { expiry_alert::Entity::find().count(world.app.db.read()).await.unwrap() };
        let mut chance = Chance::of(u64::from_le_bytes(random_bytes()));
        println!("{chance:?}");
        let mut kills = 0;
        while kills < 50 {
            let Some(next) = due::next_instant(world.app.db.read(), &Scope::engine()).await.unwrap() else {
                break;
            };
            if next > world.app.clock.now() {
                // The sweep is over: time moves on to the next one, a little past all its instants.
                world.app.advance_clock(next + chrono::TimeDelta::minutes(5)).await.unwrap();
            }
            // Two at once: one is killed after some batches, somewhere in the next one, and the other one soon after it.
            let enough = alerts().await + u64::from(chance.below(400));
            for mut engine in [begin(), begin()] {
                let within = chance.below(400);
                let reached = async {
                    while alerts().await <= enough && engine.is_alive() {
                        tokio::task::yield_now().await;
                    }
                    for _ in 0..within {
                        tokio::task::yield_now().await;
                    }
                };
                let reached = tokio::time::timeout(PATIENCE, reached).await;
                reached.expect("an engine goes on where the last one was killed");
                kills += u32::from(engine.is_alive());
                engine.kill();
            }
            // A minute passes, and with it the leases that the dead ones cannot give back.
            let leases = world.app.db.write("a_minute_passes", async |tx| {
                Ok(engine_lease::Entity::delete_many().exec(&**tx).await?)
            });
            leases.await.unwrap();
            if kills % 10 == 0 {
                world.books_agree().await;
            }
        }
        assert!(kills >= 50, "only {kills} kills: there was not enough to be killed in");
        while let Some(next) = due::next_instant(world.app.db.read(), &Scope::engine()).await.unwrap() {
            world.app.advance_clock(next.max(world.app.clock.now())).await.unwrap();
            assert!(begin().succeeds(), "nothing that a dead engine left is in the way");
        }
        let mut told = BTreeMap::new();
        let mut numbers: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for alert in expiry_alert::Entity::find().all(world.app.db.read()).await.unwrap() {
            *told.entry((alert.resource_id, alert.step)).or_insert(0) += 1;
            numbers.entry(alert.account_id).or_default().push(alert.event_sequence);
        }
        assert_eq!(told.len(), 10_000 * 4, "each resource was told each step");
        assert!(told.values().all(|times| *times == 1), "and each once");
        assert_eq!(numbers.len(), 100);
        for numbers in numbers.values_mut() {
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "an account's alerts have no gap: {numbers:?}");
        }
        let ended = resource::Entity::find().filter(resource::Column::Life.eq(Life::Deleted)).count(world.app.db.read());
        assert_eq!(ended.await.unwrap(), 10_000);
        assert_eq!(cash(&world).await, money);
    }

    async fn renewals_survive_kills_and_are_paid_once(world: World) {
        // Twenty projects, and money for ten of them to be renewed; as ten accounts made it.
        world.grant("CASH", "4500149").await;
        let mut create = project();
        create["quantity"] = json!(20);
        create["autoRenew"] = json!(true);
        world.buy(create).await;
        let others: Vec<u32> = (1..10).collect();
        let copied = world.app.db.write("copy", async |tx| copies::copy(&tx, &Scope::engine(), &[world.account], &others).await);
        copied.await.unwrap();
        let money = cash(&world).await;
        assert_eq!(money, 10 * 1_500_149);
        let folder = tempfile::tempdir().unwrap();
        let begin = || Process::begin(folder.path(), &["tick", "--database-url", world.database()]);
        let told = |kind: EventType| {
            account_event::Entity::find().filter(account_event::Column::Kind.eq(kind)).count(world.app.db.read())
        };
        let done = || async { told(EventType::ResourceRenewed).await.unwrap() + told(EventType::RenewalFailed).await.unwrap() };
        world.app.advance_clock(at("2023-04-02T08:05:00+07:00")).await.unwrap();
        let mut chance = Chance::of(u64::from_le_bytes(random_bytes()));
        println!("{chance:?}");
        let mut kills = 0;
        while done().await < 200 {
            let enough = (done().await + u64::from(chance.below(12))).min(199);
            for mut engine in [begin(), begin()] {
                let within = chance.below(200);
                let reached = async {
                    while done().await <= enough && engine.is_alive() {
                        tokio::task::yield_now().await;
                    }
                    for _ in 0..within {
                        tokio::task::yield_now().await;
                    }
                };
                let reached = tokio::time::timeout(PATIENCE, reached).await;
                reached.expect("an engine goes on where the last one was killed");
                kills += u32::from(engine.is_alive());
                engine.kill();
            }
            let leases = world.app.db.write("a_minute_passes", async |tx| {
                Ok(engine_lease::Entity::delete_many().exec(&**tx).await?)
            });
            leases.await.unwrap();
        }
        assert!(kills >= 10, "only {kills} kills: there was not enough to be killed in");
        assert_eq!((told(EventType::ResourceRenewed).await.unwrap(), told(EventType::RenewalFailed).await.unwrap()), (100, 100));
        assert_eq!(cash(&world).await, money - 100 * 150_000);
        let orders = order::Entity::find().count(world.app.db.read()).await.unwrap();
        assert_eq!(orders, 10 + 100, "a renewal is an order, once");
        let alerts = expiry_alert::Entity::find().all(world.app.db.read()).await.unwrap();
        let failed: BTreeSet<_> = alerts.iter().filter(|alert| alert.shortfall_minor == Some(149_851)).map(|alert| alert.resource_id).collect();
        assert_eq!(failed.len(), 100, "each that failed was told once what was missing");
        world.books_agree().await;
    }

    async fn charges_whose_server_is_killed_are_booked_once_or_never_made(world: World) {
        let owner = world.token(Role::Owner);
        let link = json!({ "gateway": "SANDBOX", "returnUrl": "https://console.test/cards", "idempotencyKey": "link" });
        let begun = world.done(&owner, "linkPaymentMethod", link).await;
        let (_, reference) = begun["nextAction"]["url"].as_str().unwrap().rsplit_once('/').unwrap();
        world.press(&format!("checkouts/{reference}"), "APPROVE").await;
        let method = &begun["paymentMethod"]["id"];
        let folder = tempfile::tempdir().unwrap();
        let mut chance = Chance::of(u64::from_le_bytes(random_bytes()));
        println!("{chance:?}");
        let top_ups: Vec<Value> = (0..40)
            .map(|number| json!({ "amount": "20000", "payment": { "linkedAccount": method }, "idempotencyKey": format!("top-up-{number}") }))
            .collect();
        // Ten servers are killed while they charge; whoever asked asks the next one, with the same keys.
        for wave in 0..10 {
            let (process, url) = serving(&world, &folder);
            let asked: Vec<&Value> = top_ups.iter().take(4 * (wave + 1)).collect();
            let mut answers = copies_of(&world, &url, TOP_UP, &asked);
            for _ in 0..chance.below(4 * u32::try_from(wave + 1).unwrap()) {
                answers.recv().await.unwrap();
            }
            for _ in 0..chance.below(2_000) {
                tokio::task::yield_now().await;
            }
            process.kill();
        }
        let (process, url) = serving(&world, &folder);
        let mut answers = copies_of(&world, &url, TOP_UP, &top_ups.iter().collect::<Vec<_>>());
        let mut made = BTreeSet::new();
        while let Some(answer) = answers.recv().await {
            let answer = answer.expect("nobody kills this one");
            made.insert(text(&answer["data"]["topUpWallet"]["payment"]["id"]));
        }
        assert_eq!(process.terminate(), Some(0));
        assert_eq!(made.len(), 40, "one payment for each key");
        // What became of charges whose answer died with their server is asked for.
        world.advance("2023-03-06T03:00:00+07:00").await;
        let payments = payment::Entity::find().all(world.app.db.read()).await.unwrap();
        assert_eq!(payments.len(), 40, "and no other");
        let succeeded = payments.iter().filter(|payment| payment.status == PaymentStatus::Succeeded).count();
        let open = payments.iter().filter(|payment| payment.status == PaymentStatus::Pending).count();
        let records = sandbox_record::Entity::find().all(world.app.db.read()).await.unwrap();
        let records = records.into_iter().filter_map(|row| serde_json::from_value::<Record>(row.document).ok());
        let charged = records.filter(|record| !record.is_link && matches!(record.standing, Standing::Paid { .. })).count();
        assert_eq!((open, succeeded), (0, charged), "what the gateway took is what was paid");
        assert_eq!(cash(&world).await, 20_000 * i64::try_from(charged).unwrap());
        assert!(charged >= 4, "{charged}: only what was killed before it was charged may have failed");
        world.books_agree().await;
    }
}

/// The money in all wallets.
async fn cash(world: &World) -> i64 {
    let wallets = wallet::Entity::find().all(world.app.db.read()).await.unwrap();
    wallets.iter().map(|wallet| wallet.cash_minor).sum()
}
