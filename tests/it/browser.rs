//! A payer's browser at the sandbox's page, driven by `tests/clients/checkout.mjs`: whatever people do there, money moves once, and they
//! are shown what became of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use entity::enums::Role;
use serde_json::{Value, json};

use crate::clients::program;
use crate::support::{Store, World, run, server, text};

/// Where the payer comes from.
const SHOP: &str = "http://shop.test";
/// Where distributions have it.
const PLACES: [&str; 4] = [
    "/usr/bin/chromium-headless-shell",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

/// A payer at a browser; it ends with its standard input.
struct Payer {
    child: Child,
    does: ChildStdin,
    sees: BufReader<ChildStdout>,
}

/// Where the payer is, and what the page says.
struct Seen {
    url: String,
    text: String,
}

#[allow(
    clippy::zombie_processes,
    reason = "a browser that can't be started ends the test, and its own input with it"
)]
impl Payer {
    /// A payer, if there is a browser. CI must have one.
    fn sits_down() -> Option<Self> {
        let mut program = program("node", "checkout.mjs", "node_modules/playwright-core")?;
        let Some(browser) = PLACES.iter().find(|place| Path::new(place).exists()) else {
            assert!(std::env::var_os("CI").is_none(), "CI needs Chromium");
            let _ = writeln!(
                std::io::stderr(),
                "\n*** THE CHECKOUT IS NOT WALKED: there is no Chromium, see tests/clients/README.md ***\n"
            );
            return None;
        };
        program
            .args([browser, SHOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        Some(Self {
            does: child.stdin.take().unwrap(),
            sees: BufReader::new(child.stdout.take().unwrap()),
            child,
        })
    }

    /// Does something and looks.
    fn does(&mut self, act: &[&str]) -> Seen {
        writeln!(self.does, "{}", json!(act)).unwrap();
        let mut line = String::new();
        self.sees.read_line(&mut line).unwrap();
        let seen: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the payer can't: {act:?}"));
        Seen {
            url: seen["url"].as_str().unwrap_or_default().to_owned(),
            text: seen["text"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Gets up when the browser is closed.
    fn gets_up(mut self) {
        drop(self.does);
        assert!(self.child.wait().unwrap().success());
    }
}

/// Orders a server and is sent to the page.
async fn ordered(world: &World) -> Value {
    let (quote, _) = world.quote(server("s-general-1x1"), None).await;
    let input = json!({ "quoteId": quote, "payment": { "gateway": "SANDBOX" }, "returnUrl": format!("{SHOP}/basket?tab=1"),
        "idempotencyKey": "order" });
    world.done(&world.token(Role::Owner), "placeOrder", input).await
}

fn page(begun: &Value) -> String {
    text(&begun["nextAction"]["url"])
}

/// Where the shop hears of a payment.
fn told(begun: &Value, status: &str) -> String {
    format!(
        "{SHOP}/basket?tab=1&payment={}&status={status}",
        text(&begun["payment"]["code"])
    )
}

/// Where the order and its payments stand, the oldest first.
async fn stands(world: &World, begun: &Value) -> (String, Vec<String>) {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status payments { status } } } }";
    let data = world
        .data(&world.token(Role::Owner), query, json!({ "id": begun["order"]["id"] }))
        .await;
    let payments = data["node"]["payments"].as_array().unwrap().iter();
    (
        text(&data["node"]["status"]),
        payments.map(|payment| text(&payment["status"])).collect(),
    )
}

/// How often the sandbox took the money.
async fn captures(world: &World, begun: &Value) -> Value {
    let shown = world.http().get(page(begun)).header("accept", "application/json");
    let mut shown: Value = shown.send().await.unwrap().json().await.unwrap();
    shown["captures"].take()
}

async fn walk(walk: impl AsyncFnOnce(&World, &mut Payer)) {
    let Some(mut payer) = Payer::sits_down() else { return };
    run(Store::Sqlite, async |world| {
        walk(&world, &mut payer).await;
        world
    })
    .await;
    payer.gets_up();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_pays_and_is_back_in_the_shop() {
    walk(async |world, payer| {
        let begun = ordered(world).await;
        let open = payer.does(&["open", &page(&begun)]);
        assert!(
            open.text.contains("181000 VND") && open.text.contains("To be paid within 1"),
            "{}",
            open.text
        );
        let paid = payer.does(&["click", "Pay"]);
        assert!(paid.text.contains("Paid."), "{}", paid.text);
        assert_eq!(payer.does(&["shop"]).url, told(&begun, "SUCCEEDED"));
        assert_eq!(
            stands(world, &begun).await,
            ("IN_PROGRESS".into(), vec!["SUCCEEDED".into()])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_who_is_declined_tries_again() {
    walk(async |world, payer| {
        let begun = ordered(world).await;
        payer.does(&["open", &page(&begun)]);
        let declined = payer.does(&["click", "Decline: not enough money"]);
        assert!(declined.text.contains("Declined: INSUFFICIENT_FUNDS."), "{}", declined.text);
        assert_eq!(payer.does(&["shop"]).url, told(&begun, "FAILED"));
        assert_eq!(stands(world, &begun).await, ("AWAITING_PAYMENT".into(), vec!["FAILED".into()]));
        let again = json!({ "orderId": begun["order"]["id"], "payment": { "gateway": "SANDBOX" }, "returnUrl": format!("{SHOP}/basket?tab=1"),
            "idempotencyKey": "again" });
        let again = world.done(&world.token(Role::Owner), "payOrder", again).await;
        payer.does(&["open", &page(&again)]);
        payer.does(&["click", "Pay"]);
        assert_eq!(payer.does(&["shop"]).url, told(&again, "SUCCEEDED"));
        assert_eq!(stands(world, &begun).await.0, "IN_PROGRESS");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_who_goes_back_can_not_pay_twice() {
    walk(async |world, payer| {
        let begun = ordered(world).await;
        // The page stands open in another tab too.
        payer.does(&["open", &page(&begun)]);
        payer.does(&["open", &page(&begun)]);
        payer.does(&["click", "Pay"]);
        assert_eq!(payer.does(&["shop"]).url, told(&begun, "SUCCEEDED"));
        let back = payer.does(&["back"]);
        assert!(back.text.contains("Paid."), "{}", back.text);
        payer.does(&["close"]);
        let late = payer.does(&["click", "Pay"]);
        assert!(late.text.contains("Paid."), "{}", late.text);
        assert_eq!(captures(world, &begun).await, 1);
        assert_eq!(
            stands(world, &begun).await,
            ("IN_PROGRESS".into(), vec!["SUCCEEDED".into()])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_who_clicks_twice_pays_once() {
    walk(async |world, payer| {
        let begun = ordered(world).await;
        payer.does(&["open", &page(&begun)]);
        payer.does(&["double", "Pay"]);
        assert_eq!(payer.does(&["shop"]).url, told(&begun, "SUCCEEDED"));
        assert_eq!(captures(world, &begun).await, 1);
        assert_eq!(
            stands(world, &begun).await,
            ("IN_PROGRESS".into(), vec!["SUCCEEDED".into()])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_who_closes_the_tab_has_paid() {
    walk(async |world, payer| {
        let begun = ordered(world).await;
        payer.does(&["open", &page(&begun)]);
        // Not even the gateway tells.
        payer.does(&["click", "Pay, never tell it"]);
        payer.does(&["close"]);
        assert_eq!(
            stands(world, &begun).await,
            ("AWAITING_PAYMENT".into(), vec!["PENDING".into()])
        );
        world.advance("2023-03-06T00:02:00+07:00").await;
        assert_eq!(
            stands(world, &begun).await,
            ("IN_PROGRESS".into(), vec!["SUCCEEDED".into()])
        );
    })
    .await;
}
