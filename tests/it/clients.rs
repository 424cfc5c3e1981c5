//! The clients that frontends have: each follows expiry alerts over a wire that is cut, and misses and repeats nothing.
//! Their programs are in `tests/clients`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use billing_gateway::engine;
use billing_gateway::store::{Scope, due};
use entity::enums::Role;
use entity::expiry_alert;
use sea_orm::{EntityTrait as _, QueryOrder as _};
use tokio::sync::mpsc;

use crate::support::nginx::Nginx;
use crate::support::wire::Wire;
use crate::support::{Store, World, run, server};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many alerts each client follows: a life from its first reminder into its grace.
const ALERTS: usize = 15;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A program of the folder, if what it needs is installed. CI must have it.
pub(crate) fn program(interpreter: &str, script: &str, needs: &str) -> Option<Command> {
    let needed = folder().join(needs);
    if !needed.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI needs {}", needed.display());
        let _ = writeln!(
            std::io::stderr(),
            "\n*** {} IS NOT TESTED: {} is missing, see tests/clients/README.md ***\n",
            script,
            needed.display()
        );
        return None;
    }
    let interpreter = if interpreter.contains('/') {
        folder().join(interpreter)
    } else {
        interpreter.into()
    };
    let mut command = Command::new(interpreter);
    command.arg(folder().join(script));
    Some(command)
}

async fn follows(world: World, client: Command) -> World {
    let wire = Wire::to(world.address()).await;
    follows_over(world, wire, client).await
}

/// A client follows alerts over a wire to the world.
async fn follows_over(world: World, wire: Wire, mut client: Command) -> World {
    world.grant("CASH", "181000").await;
    world.buy(server("s-general-1x1")).await;
    world.provision().await;
    client
        .arg(format!("http://{}/graphql", wire.address()))
        .arg(world.token(Role::Owner))
        .arg(ALERTS.to_string());
    let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
    let (said, mut lines) = mpsc::unbounded_channel();
    let printed = BufReader::new(client.stdout.take().unwrap());
    std::thread::spawn(move || {
        printed
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| said.send(line))
    });
    let mut line = async || {
        let line = tokio::time::timeout(PATIENCE, lines.recv()).await;
        line.expect("the client goes on").expect("the client lives")
    };
    assert_eq!(line().await, "listening");
    let mut heard = Vec::new();
    let told = async || {
        let alerts = expiry_alert::Entity::find().order_by_asc(expiry_alert::Column::EventSequence);
        let alerts = alerts.all(world.app.db.read()).await.unwrap();
        alerts.into_iter().map(|alert| alert.step).collect::<Vec<_>>()
    };
    while heard.len() < ALERTS {
        // Cut while nothing happens, cut as it happens, and not cut.
        if heard.len() % 3 == 1 {
            wire.cut();
        }
        if told().await.len() == heard.len() {
            let next = due::next_instant(world.app.db.read(), &Scope::engine())
                .await
                .unwrap()
                .unwrap();
            engine::advance(&world.app, next.max(world.app.clock.now()))
                .await
                .unwrap();
        }
        if heard.len() % 3 == 2 {
            wire.cut();
        }
        heard.push(line().await);
    }
    assert!(client.wait().unwrap().success(), "it ends well when it has seen all");
    assert_eq!(heard, told().await[..ALERTS]);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_ws_resumes() {
    if let Some(client) = program("node", "graphql-ws.mjs", "node_modules/graphql-ws") {
        run(Store::Sqlite, |world| follows(world, client)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apollo_client_resumes() {
    if let Some(client) = program("node", "apollo.mjs", "node_modules/@apollo/client") {
        run(Store::Sqlite, |world| follows(world, client)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_sse_resumes_behind_nginx() {
    let Some(client) = program("node", "graphql-sse.mjs", "node_modules/graphql-sse") else {
        return;
    };
    run(Store::Sqlite, async |world| {
        let Some(nginx) = Nginx::to(world.address(), 60).await else {
            return world;
        };
        let wire = Wire::to(nginx.address()).await;
        follows_over(world, wire, client).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_gql_resumes() {
    if let Some(client) = program(".venv/bin/python", "gql-client.py", ".venv/bin/python") {
        run(Store::Sqlite, |world| follows(world, client)).await;
    }
}
