//! Typed configuration. Every flag is also an environment variable; an unknown or bad value stops the start and names
//! the key.

mod gateways;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use entity::enums::Role;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

pub use gateways::Gateways;

/// A GraphQL API gateway for a public cloud's billing and payment.
#[derive(Debug, Parser)]
#[command(name = "billing-gateway", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, with the engine inside.
    Serve(Box<Serve>),
    /// Bring the store's tables up to date, and stop.
    Migrate(Store),
    /// Fill an empty store with a catalogue and two accounts; in development also with a synthetic world of any size.
    Seed(Seed),
    /// Print the GraphQL schema.
    Schema,
    /// Mint a token for development.
    Token(Token),
    /// Make one engine pass. In development, move the business clock up to an instant, passing through every due step.
    Tick(Tick),
    /// Prove the books. Ends with 1 and the difference when they do not agree.
    CheckLedger(Store),
    /// Play the main job against itself over HTTP and a socket, then stay up.
    Demo(Demo),
}

/// Where the store is.
#[derive(Args, Clone, Debug)]
pub struct Store {
    /// The store: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME.
    #[arg(long, env = "BILLING_DATABASE_URL", default_value = "sqlite://billing-gateway.sqlite3", hide_env_values = true, value_parser = database_url)]
    pub database_url: String,
    /// The most database connections (2 to 500).
    #[arg(long, env = "BILLING_DATABASE_CONNECTIONS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub database_connections: u32,
    /// How many seconds a caller waits for the store: for a connection or a lock (1 to 300). After as long, no
    /// transaction is begun again.
    #[arg(long, env = "BILLING_DATABASE_WAIT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub database_wait_seconds: u64,
}

/// `seed`.
#[derive(Args, Clone, Debug)]
pub struct Seed {
    /// The store.
    #[command(flatten)]
    pub store: Store,
    /// Also so many resources of made-up accounts (1 to 10,000,000).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub resources: Option<u32>,
    /// What the world is made up from: the same seed makes the same world.
    #[arg(long, default_value_t = 1, requires = "resources")]
    pub seed: u64,
}

/// Flags whose values are never printed.
const SECRETIVE: &[&str] = &["--jwt-secret", "--database-url", "--smtp-url"];

/// In which world the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Real customers: secrets must be given, the clock can't be moved, no GraphiQL.
    Production,
    /// A developer's machine.
    Development,
}

/// The options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// The store.
    #[command(flatten)]
    pub store: Store,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "BILLING_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The world: production refuses development's conveniences.
    #[arg(long, env = "BILLING_MODE", value_enum, default_value_t = Mode::Development)]
    pub mode: Mode,
    /// What is shared by all that serve.
    #[command(flatten)]
    pub edge: Edge,
    /// Seconds between engine passes (1 to 1800); 0 leaves the engine to other processes.
    #[arg(long, env = "BILLING_ENGINE_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=1800))]
    pub engine_seconds: u64,
    /// The most releases in one engine pass; more of them halt all releases until an operator approves.
    #[arg(long, env = "BILLING_MOST_RELEASES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub most_releases: u64,
    /// What is done about e-mail.
    #[command(flatten)]
    pub mail: Mail,
    /// Through which gateways customers pay.
    #[command(flatten)]
    pub gateways: Gateways,
    /// How log lines look.
    #[arg(long, env = "BILLING_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the HTTP and socket edge allows.
#[derive(Args, Clone, Debug)]
pub struct Edge {
    /// The secret that signs tokens (HS256), at least 32 bytes. Development makes one up and keeps it beside the store.
    #[arg(long, env = "BILLING_JWT_SECRET", hide_env_values = true, value_parser = secret)]
    pub jwt_secret: Option<SecretString>,
    /// Origins that browsers may call and open sockets from; repeat, or separate with commas.
    #[arg(long, env = "BILLING_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub allowed_origins: Vec<String>,
    /// Origins that customers may be sent back to after paying; repeat, or separate with commas.
    #[arg(long, env = "BILLING_RETURN_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub return_origins: Vec<String>,
    /// The largest request body, in bytes (1 KiB to 10 MiB).
    #[arg(long, env = "BILLING_BODY_BYTES", default_value_t = 102_400, value_parser = clap::value_parser!(u64).range(1_024..=10_485_760))]
    pub body_bytes: u64,
    /// How long a request may take, in seconds (1 to 300).
    #[arg(long, env = "BILLING_REQUEST_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub request_seconds: u64,
    /// The deepest selection (1 to 30: what runs a document recurses no deeper).
    #[arg(long, env = "BILLING_DEPTH", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub depth: u64,
    /// The dearest document, in cost points (1 to 1,000,000).
    #[arg(long, env = "BILLING_COST", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub cost: u64,
    /// The most subscriptions on one socket (1 to 10,000).
    #[arg(long, env = "BILLING_SUBSCRIPTIONS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub subscriptions: u64,
    /// The most messages that are read from one socket in a second (1 to 100,000); more of them wait unread.
    #[arg(long, env = "BILLING_SOCKET_MESSAGES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub socket_messages: u32,
    /// Seconds between the signs of life on sockets and event streams (1 to 300): less than the shortest idle timeout of
    /// what is between.
    #[arg(long, env = "BILLING_PING_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub ping_seconds: u64,
    /// Serve introspection and GraphiQL to everyone. Development does anyway.
    #[arg(long, env = "BILLING_INTROSPECTION", default_value_t = false)]
    pub introspection: bool,
}

/// What is done about e-mail.
#[derive(Args, Clone, Debug)]
pub struct Mail {
    /// The mail server: smtp://USER:PASSWORD@HOST:587 (STARTTLS), smtps://USER:PASSWORD@HOST, or smtp://HOST:25; with
    /// ?tls=required not without STARTTLS. Without a server, messages are kept and listed.
    #[arg(long, env = "BILLING_SMTP_URL", hide_env_values = true, value_parser = smtp_url)]
    pub smtp_url: Option<SecretString>,
    /// From whom messages come: Cloud Billing <billing@example.com>.
    #[arg(long, env = "BILLING_MAIL_FROM", value_parser = mail_from)]
    pub mail_from: Option<String>,
    /// Under which address people and payment gateways reach this one, for links in messages, notifications and payers who come back: `https://billing.example.com`. Development
    /// takes the one where it listens.
    #[arg(long, env = "BILLING_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// Seconds between passes over the outbox (1 to 300); 0 leaves e-mail to other processes.
    #[arg(long, env = "BILLING_MAIL_SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub mail_seconds: u64,
}

/// The options of `token`.
#[derive(Args, Clone, Debug)]
pub struct Token {
    /// The store, beside which development keeps its secret.
    #[command(flatten)]
    pub store: Store,
    /// The secret that signs tokens. Without it, the one that development keeps beside the store.
    #[arg(long, env = "BILLING_JWT_SECRET", hide_env_values = true, value_parser = secret)]
    pub jwt_secret: Option<SecretString>,
    /// The role: OWNER, BILLING_ADMIN, VIEWER, PRODUCT, OPERATOR or PARTNER.
    #[arg(long)]
    pub role: Role,
    /// The account, by its code or UUID; needed for OWNER, BILLING_ADMIN and VIEWER.
    #[arg(long)]
    pub account: Option<String>,
    /// A customer's account that a PARTNER serves, by its code or UUID; repeat.
    #[arg(long)]
    pub serves: Vec<String>,
    /// The product's code; needed for PRODUCT.
    #[arg(long)]
    pub product: Option<String>,
    /// Whom the token names.
    #[arg(long, default_value = "developer")]
    pub subject: String,
    /// How many hours it is good for (1 to 8760).
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,
}

/// The options of `tick`.
#[derive(Args, Clone, Debug)]
pub struct Tick {
    /// The store.
    #[command(flatten)]
    pub store: Store,
    /// Development only: move the business clock up to this instant (RFC 3339), handling each due step at its own time.
    #[arg(long)]
    pub until: Option<DateTime<Utc>>,
    /// The world; production refuses --until.
    #[arg(long, env = "BILLING_MODE", value_enum, default_value_t = Mode::Development)]
    pub mode: Mode,
    /// The most releases in one pass.
    #[arg(long, env = "BILLING_MOST_RELEASES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub most_releases: u64,
}

/// The options of `demo`.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// A store to fill; it must be empty. Without it, a SQLite file in a new temporary folder.
    #[arg(long, env = "BILLING_DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    pub database_url: Option<String>,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "BILLING_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// End after the script.
    #[arg(long)]
    pub exit: bool,
    /// Print one line of JSON (url, ws_url, accounts, tokens by role) once it serves, and nothing else.
    #[arg(long)]
    pub json: bool,
}

impl Cli {
    /// The options of this process. What is refused is named, and its value repeated only when it can hold no secret.
    ///
    /// # Errors
    /// What clap says, ready to be printed; also the answers to `--help` and `--version`.
    pub fn read() -> Result<Self, clap::Error> {
        Self::try_parse().map_err(|mut error| {
            let holds_secret = matches!(
                error.get(ContextKind::InvalidArg),
                Some(ContextValue::String(flag)) if SECRETIVE.iter().chain(gateways::SECRETIVE).any(|secretive| flag.starts_with(secretive))
            );
            if holds_secret {
                error.insert(
                    ContextKind::InvalidValue,
                    ContextValue::String("(not shown)".to_owned()),
                );
            }
            error
        })
    }
}

impl Edge {
    /// The limits that nothing configured changes.
    #[must_use]
    pub fn development() -> Self {
        Self {
            jwt_secret: None,
            allowed_origins: Vec::new(),
            return_origins: Vec::new(),
            body_bytes: 102_400,
            request_seconds: 10,
            depth: 12,
            cost: 5_000,
            subscriptions: 100,
            socket_messages: 200,
            ping_seconds: 20,
            introspection: true,
        }
    }

    /// How long a request may take.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
}

/// The token's account option: a UUID, or else a code.
#[must_use]
pub fn as_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

/// The folder in which development keeps its token secret: beside a SQLite store, else the working directory.
#[must_use]
pub fn secret_file(database_url: &str) -> PathBuf {
    let folder = crate::db::sqlite_file(database_url)
        .and_then(|file| file.parent().map(PathBuf::from))
        .unwrap_or_default();
    folder.join(".billing-gateway-development-secret")
}

fn database_url(text: &str) -> Result<String, String> {
    let known = ["sqlite:", "postgres:", "postgresql:"];
    if !known.iter().any(|scheme| text.starts_with(scheme)) {
        return Err("must begin with sqlite:// or postgres://".to_owned());
    }
    if text.contains(":memory:") {
        return Err("must name a file: sqlite::memory: would give each connection a store of its own".to_owned());
    }
    Ok(text.to_owned())
}

fn secret(text: &str) -> Result<SecretString, String> {
    let secret = SecretString::from(text.to_owned());
    if secret.expose_secret().len() < 32 {
        return Err("must be at least 32 bytes long".to_owned());
    }
    Ok(secret)
}

fn origin(text: &str) -> Result<String, String> {
    crate::domain::return_url::origin_as_sent(text).ok_or_else(|| {
        "must be an origin as browsers send it, as in https://console.example.com: a scheme, a host, and a port only \
         when it is not the usual one"
            .to_owned()
    })
}

fn smtp_url(text: &str) -> Result<SecretString, String> {
    crate::domain::mail::server::Server::read(text)?;
    Ok(SecretString::from(text.to_owned()))
}

fn mail_from(text: &str) -> Result<String, String> {
    let mailbox: lettre::message::Mailbox = text
        .parse()
        .map_err(|_| "must be an address, as in Cloud Billing <billing@example.com>".to_owned())?;
    crate::domain::mail::address(mailbox.email.as_ref()).map_err(|refusal| refusal.message)?;
    Ok(text.to_owned())
}

fn public_url(text: &str) -> Result<String, String> {
    let wrong = || "must look like https://billing.example.com, with a path at most behind it".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let (origin, path) = rest.split_once('/').map_or((rest, ""), |(origin, path)| (origin, path));
    let is_path = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    crate::domain::return_url::origin_as_sent(&format!("{scheme}://{origin}"))
        .filter(|_| is_path)
        .ok_or_else(wrong)?;
    Ok(text.to_owned())
}
