//! The binary and its options: what is wrong stops the start and is named, what is right does what it says.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::binary::{Process, gateway, printed, run};
use crate::support::{World, execute, on_every_store};

/// A folder in which a start that was refused has left nothing.
struct Refused {
    folder: tempfile::TempDir,
}

impl Refused {
    fn here() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The output was a refusal that names `key`, and nothing came of it.
    fn naming(&self, key: &str, output: &Output) -> String {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{key} was accepted");
        assert!(output.status.code().is_some(), "{key}: {output:?}");
        assert!(told.contains(key), "{key} is not named: {told}");
        assert!(!told.contains("internal"), "an operator's mistake is not ours: {told}");
        let left: Vec<_> = self.folder.path().read_dir().unwrap().collect();
        assert!(left.is_empty(), "{key} left {left:?}");
        told
    }
}

const SHORT: &str = "thirty-one bytes are too few...";

#[test]
fn a_bad_flag_stops_the_start_and_is_named() {
    let refused = Refused::here();
    for (flag, values) in [
        ("--listen", &["nonsense", "127.0.0.1", "127.0.0.1:65536", ""][..]),
        (
            "--database-url",
            &[
                "mysql://root@localhost/x",
                "sqlite::memory:",
                "sqlite://file::memory:",
                "x.sqlite3",
                "",
            ],
        ),
        ("--database-connections", &["1", "501", "many"]),
        ("--jwt-secret", &[SHORT, ""]),
        ("--engine-seconds", &["3601", "-1", "1.5", "18446744073709551616"]),
        ("--most-releases", &["0", "1000001", "-1"]),
        ("--body-bytes", &["1023", "10485761", "100KB"]),
        ("--request-seconds", &["0", "301"]),
        ("--depth", &["0", "31"]),
        ("--cost", &["0", "1000001"]),
        ("--subscriptions", &["0", "10001"]),
        (
            "--allowed-origins",
            &[
                "console.test",
                "ftp://console.test",
                "https://",
                "https://console.test/path",
                "https://console.test:443",
                "https://user@console.test",
                "https://console.test?x",
                "https://*.test",
                "*",
            ],
        ),
        (
            "--return-origins",
            &["console.test", "https://a.test,b.test", "javascript:alert(1)"],
        ),
        (
            "--smtp-url",
            &[
                "mail.test",
                "http://mail.test",
                "smtp://an@mail.test",
                "smtp://mail.test:0",
                "smtp://mail.test?tls=never",
            ],
        ),
        (
            "--mail-from",
            &["", "billing", "Billing <billing>", "a@b.test, c@d.test"],
        ),
        (
            "--public-url",
            &[
                "billing.test",
                "ftp://billing.test",
                "https://billing.test?x",
                "https://a@billing.test",
            ],
        ),
        ("--mail-seconds", &["301", "-1"]),
        ("--zalopay-app-id", &["", "-1", "app"]),
        ("--momo-secret-key", &["", "with spaces"]),
        (
            "--stripe-url",
            &[
                "api.stripe.test",
                "ftp://stripe.test",
                "https://a:b@stripe.test",
                "https://stripe.test?x",
            ],
        ),
        ("--mode", &["staging", "PRODUCTION", ""]),
        ("--log-format", &["xml", ""]),
    ] {
        for value in values {
            let given = format!("{flag}={value}");
            refused.naming(flag, &run(refused.folder.path(), &["serve", &given]));
        }
    }
}

#[test]
fn a_gateway_with_only_some_of_its_keys_stops_the_start_and_names_what_is_missing() {
    let refused = Refused::here();
    let secret = "a-key-of-a-vendor-that-nobody-may-see";
    for (given, missing) in [
        (&["--zalopay-app-id=2553", "--zalopay-key1"][..], "BILLING_ZALOPAY_KEY2"),
        (
            &["--momo-partner-code=MOMO", "--momo-secret-key"],
            "BILLING_MOMO_ACCESS_KEY",
        ),
        (&["--stripe-secret-key"], "BILLING_STRIPE_WEBHOOK_SECRET"),
        (&["--vnpay-hash-secret"], "BILLING_VNPAY_TMN_CODE"),
    ] {
        let mut options = vec!["serve".to_owned()];
        options.extend(given.iter().map(|flag| match flag.split_once('=') {
            Some(_) => (*flag).to_owned(),
            None => format!("{flag}={secret}"),
        }));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let told = refused.naming(missing, &run(refused.folder.path(), &options));
        assert!(!told.contains(secret), "{told}");
    }
    // In production nothing goes over a wire that anybody reads, and vendors have to find the way back.
    let production = [
        "serve",
        "--mode=production",
        "--jwt-secret=of-production-and-longer-than-32-bytes",
    ];
    let stripe = ["--stripe-secret-key=sk_live_x", "--stripe-webhook-secret=whsec_x"];
    let plain = [&production[..], &stripe, &["--stripe-url=http://stripe.test"]].concat();
    refused.naming("BILLING_STRIPE_URL", &run(refused.folder.path(), &plain));
    refused.naming(
        "BILLING_PUBLIC_URL",
        &run(refused.folder.path(), &[&production[..], &stripe].concat()),
    );
    let vnpay = ["--vnpay-tmn-code=T", "--vnpay-hash-secret=x"];
    refused.naming(
        "BILLING_VNPAY_PAGE_URL",
        &run(refused.folder.path(), &[&production[..], &vnpay].concat()),
    );
}

#[test]
fn a_bad_environment_variable_stops_the_start_and_its_flag_is_named() {
    let refused = Refused::here();
    for (name, flag, value) in [
        ("BILLING_LISTEN", "--listen", "nonsense"),
        ("BILLING_DATABASE_URL", "--database-url", "oracle://x"),
        ("BILLING_JWT_SECRET", "--jwt-secret", SHORT),
        ("BILLING_ENGINE_SECONDS", "--engine-seconds", "3601"),
        ("BILLING_MOST_RELEASES", "--most-releases", "0"),
        ("BILLING_BODY_BYTES", "--body-bytes", "1"),
        (
            "BILLING_ALLOWED_ORIGINS",
            "--allowed-origins",
            "https://a.test,nonsense",
        ),
        ("BILLING_RETURN_ORIGINS", "--return-origins", "nonsense"),
        ("BILLING_MODE", "--mode", "staging"),
        ("BILLING_LOG_FORMAT", "--log-format", "xml"),
        ("BILLING_INTROSPECTION", "--introspection", "perhaps"),
        ("BILLING_SMTP_URL", "--smtp-url", "mail.test"),
        ("BILLING_MAIL_FROM", "--mail-from", "nobody"),
        ("BILLING_PUBLIC_URL", "--public-url", "nowhere"),
        ("BILLING_MAIL_SECONDS", "--mail-seconds", "301"),
    ] {
        let output = gateway(refused.folder.path())
            .arg("serve")
            .env(name, value)
            .output()
            .unwrap();
        refused.naming(flag, &output);
    }
}

#[test]
fn a_log_filter_that_can_not_be_read_stops_the_start() {
    let refused = Refused::here();
    let output = gateway(refused.folder.path())
        .arg("serve")
        .env("BILLING_LOG", "billing_gateway=everything")
        .output()
        .unwrap();
    refused.naming("BILLING_LOG", &output);
}

#[test]
fn production_without_a_secret_does_not_begin() {
    let refused = Refused::here();
    let output = run(refused.folder.path(), &["serve", "--mode", "production"]);
    let told = refused.naming("BILLING_JWT_SECRET", &output);
    assert!(told.contains("--jwt-secret"), "{told}");
    let output = gateway(refused.folder.path())
        .arg("serve")
        .env("BILLING_MODE", "production")
        .output()
        .unwrap();
    refused.naming("BILLING_JWT_SECRET", &output);
}

#[test]
fn a_mail_server_needs_a_sender_and_in_production_an_address_for_links() {
    let refused = Refused::here();
    let folder = refused.folder.path();
    let told = refused.naming(
        "BILLING_MAIL_FROM",
        &run(folder, &["serve", "--smtp-url", "smtp://mail.test"]),
    );
    assert!(told.contains("--mail-from"), "{told}");
    let mut production = vec![
        "serve",
        "--mode",
        "production",
        "--jwt-secret",
        "a secret of this test, longer than 32 bytes",
    ];
    production.extend([
        "--smtp-url",
        "smtps://an:hunter2@mail.test",
        "--mail-from",
        "billing@example.com",
    ]);
    let told = refused.naming("BILLING_PUBLIC_URL", &run(folder, &production));
    assert!(told.contains("--public-url") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_refused_is_not_repeated_when_it_may_hold_a_secret() {
    let refused = Refused::here();
    let folder = refused.folder.path();
    let told = refused.naming("--jwt-secret", &run(folder, &["serve", "--jwt-secret", SHORT]));
    assert!(!told.contains(SHORT), "{told}");
    let told = refused.naming(
        "--jwt-secret",
        &run(folder, &["token", "--role", "OPERATOR", "--jwt-secret", SHORT]),
    );
    assert!(!told.contains(SHORT), "{told}");
    let told = refused.naming(
        "--smtp-url",
        &run(folder, &["serve", "--smtp-url", "smtp://an:hunter2@mail.test:nonsense"]),
    );
    assert!(!told.contains("hunter2"), "{told}");
    for command in ["serve", "migrate", "seed", "check-ledger", "demo"] {
        let output = run(folder, &[command, "--database-url", "mysql://root:hunter2@db.test/x"]);
        let told = refused.naming("--database-url", &output);
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_token_names_what_it_lacks() {
    let refused = Refused::here();
    let secret = "a secret of this test, longer than thirty-two bytes";
    let token = |role: &str| {
        run(
            refused.folder.path(),
            &["token", "--jwt-secret", secret, "--role", role],
        )
    };
    refused.naming("--role", &token("KING"));
    refused.naming("--account", &token("OWNER"));
    refused.naming("--product", &token("PRODUCT"));
}

#[test]
fn the_schema_that_is_printed_is_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(printed(folder.path(), &["schema"]) == include_str!("../../schema.graphql"));
}

/// Asks the server at an address who the token's bearer is.
async fn viewer(url: &str, token: &str) -> Value {
    let body = json!({ "query": "{ viewer { role account { code } } }" });
    let request = reqwest::Client::new().post(url).bearer_auth(token.trim()).json(&body);
    let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["viewer"].take()
}

async fn status(address: &str, path: &str) -> u16 {
    reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap()
        .status()
        .as_u16()
}

fn names(folder: &Path) -> Vec<String> {
    let files = folder.read_dir().unwrap().flatten();
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_is_enough_to_serve_and_a_signal_ends_it_well() {
    let folder = tempfile::tempdir().unwrap();
    let (process, address) = Process::serve(folder.path(), &[]);
    assert_eq!(status(&address, "/healthz").await, 200);
    assert_eq!(status(&address, "/readyz").await, 200);
    assert!(names(folder.path()).contains(&"billing-gateway.sqlite3".to_owned()));
    assert!(printed(folder.path(), &["seed"]).contains("ACME"));
    for (role, of, code) in [("OWNER", "ACME", json!("ACME")), ("VIEWER", "GLOBEX", json!("GLOBEX"))] {
        let token = printed(folder.path(), &["token", "--role", role, "--account", of]);
        assert_eq!(token.lines().count(), 1, "{token}");
        let seen = viewer(&format!("http://{address}/graphql"), &token).await;
        assert_eq!((&seen["role"], &seen["account"]["code"]), (&json!(role), &code));
    }
    let token = printed(folder.path(), &["token", "--role", "OPERATOR"]);
    assert_eq!(
        viewer(&format!("http://{address}/graphql"), &token).await["role"],
        "OPERATOR"
    );
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn a_signal_in_the_first_moment_ends_it_well_too() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _) = Process::serve(folder.path(), &[]);
    assert_eq!(process.terminate(), Some(0));
    let (process, _) = Process::saying(folder.path(), &["demo", "--json", "--listen", "127.0.0.1:0"]);
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_says_in_one_line_how_to_use_it_and_a_signal_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let (process, line) = Process::saying(folder.path(), &["demo", "--json", "--listen", "127.0.0.1:0"]);
    let told: Value = serde_json::from_str(&line).unwrap();
    let url = told["url"].as_str().unwrap();
    assert_eq!(told["ws_url"], url.replace("http://", "ws://"));
    let codes: Vec<&Value> = told["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| &account["code"])
        .collect();
    assert_eq!(codes, ["ACME", "GLOBEX"]);
    assert!(told["accounts"][0]["id"].is_string());
    for role in ["OWNER", "BILLING_ADMIN", "VIEWER", "PRODUCT", "OPERATOR"] {
        assert_eq!(viewer(url, told["tokens"][role].as_str().unwrap()).await["role"], role);
    }
    assert_eq!(process.terminate(), Some(0));
    assert!(names(folder.path()).is_empty(), "its store is elsewhere");
}

on_every_store! {
    async fn the_check_of_the_books_tells_a_difference_and_where_it_is(world: World) {
        world.grant("CASH", "100000").await;
        let folder = tempfile::tempdir().unwrap();
        let check = || run(folder.path(), &["check-ledger", "--database-url", world.database()]);
        assert_eq!(check().status.code(), Some(0));
        execute(&world.app, "update wallet set cash_minor = cash_minor + 7 where cash_minor = 100000").await;
        let output = check();
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("the cash of the credit wallet is what the books owe the customer: 100007 against 100000 at ACME"), "{told}");
        execute(&world.app, "update wallet set cash_minor = cash_minor - 7 where cash_minor = 100007").await;
        assert_eq!(check().status.code(), Some(0));
    }
}
