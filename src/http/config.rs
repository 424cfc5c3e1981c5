//! What the edge allows, with the published defaults. Reading flags and the environment is the configuration's work.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::enums::Role;

/// Everything about the edge that an operator may set.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Largest request body in bytes; more is answered 413. Default 100 KB (102,400).
    pub body_limit_bytes: usize,
    /// How long an HTTP request may take, from its headers to its answer, its body and all of a batch included; over a
    /// socket, one query or mutation. Default 10 s.
    pub request_timeout: Duration,
    /// Requests in one JSON array; 0 refuses batches. Default 0.
    pub batch_limit: usize,
    /// Errors reported in one answer; the rest are counted, not shown. Default 5.
    pub reported_errors: usize,
    /// Who may read the schema through introspection and gets 'Did you mean' suggestions. Default nobody.
    pub introspection: Introspection,
    /// Origins (`https://console.example.com`) whose pages may read answers. Empty: no cross-origin headers at all. Default empty.
    pub cors_origins: Vec<String>,
    /// What a document may ask for.
    pub guard: GuardLimits,
    /// What a socket may do.
    pub sockets: SocketLimits,
    /// The console at `/graphiql`.
    pub console: Console,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            body_limit_bytes: 100 * 1024,
            request_timeout: Duration::from_secs(10),
            batch_limit: 0,
            reported_errors: 5,
            introspection: Introspection::Nobody,
            cors_origins: Vec::new(),
            guard: GuardLimits::default(),
            sockets: SocketLimits::default(),
            console: Console::default(),
        }
    }
}

/// Who may read the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// No caller.
    Nobody,
    /// Callers whose role is named.
    Roles(Vec<Role>),
    /// Every caller with a valid token.
    Authenticated,
    /// Everybody: for development.
    Everyone,
}

/// The console.
#[derive(Clone, Debug, Default)]
pub struct Console {
    /// Whether `/graphiql` is served. Default no.
    pub enabled: bool,
}

/// What a document may ask for; checked before validation, in time linear in the document.
#[derive(Clone, Debug)]
pub struct GuardLimits {
    /// Lexical tokens. Default 2,000.
    pub tokens: usize,
    /// Brackets open at once, of all kinds; protects the recursive parser's stack. Default 60.
    pub nesting: usize,
    /// Levels of fields. Default 12.
    pub depth: u32,
    /// Levels of fields below `__schema` and `__type`. Default 20: the community's introspection query has 15.
    pub introspection_depth: u32,
    /// Aliases, counted after fragments are spread. Default 30.
    pub aliases: u64,
    /// Directives, counted after fragments are spread. Default 50.
    pub directives: u64,
    /// Fields directly below the operation, counted after fragments are spread. Default 20.
    pub root_fields: u64,
    /// Fields and spreads after fragments are spread: what the validator would walk. Default 10,000.
    pub selections: u64,
    /// Nodes of variables, each variable counted at every place that names it after fragments are spread, and text once
    /// more for each 64 bytes: what the validator would copy. Default 20,000.
    pub variables: u64,
    /// Fragments that spread one another, from the first to the last. Default 30.
    pub fragment_chain: u32,
    /// Cost of the operation: an object costs 1, a leaf nothing, and a list its children times its size. Default 5,000.
    pub cost: u64,
    /// The largest size a list is counted with; a bigger `first` is the resolver's to refuse. Default 100.
    pub page_size: u64,
    /// The base cost of a field directly below a mutation. Default 10.
    pub mutation_cost: u64,
    /// Sizes assumed for list fields that take no `first` or `last`, by field name. Default empty: they are the schema's
    /// to know.
    pub list_sizes: BTreeMap<String, u64>,
    /// Base costs of fields that are dearer than one object, by field name. Default: a forecast, which is worked out anew.
    pub field_costs: BTreeMap<String, u64>,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            tokens: 2_000,
            nesting: 60,
            depth: 12,
            introspection_depth: 20,
            aliases: 30,
            directives: 50,
            root_fields: 20,
            selections: 10_000,
            variables: 20_000,
            fragment_chain: 30,
            cost: 5_000,
            page_size: 100,
            mutation_cost: 10,
            list_sizes: BTreeMap::new(),
            field_costs: BTreeMap::from([("forecast".to_owned(), 1_000)]),
        }
    }
}

/// What a socket may do and how long it may be silent.
#[derive(Clone, Debug)]
pub struct SocketLimits {
    /// Sockets and event streams open at once in this process; one more is answered 503. Default 20,000.
    pub sockets: usize,
    /// How long `connection_init` may take; then 4408. Default 3 s.
    pub init_timeout: Duration,
    /// How often the server pings; silence over two of these closes the socket. A stream of events gets a comment as
    /// often. Default 20 s.
    pub ping_interval: Duration,
    /// Operations running at once on one socket; one more is answered with an `error` message. Default 100.
    pub subscriptions: usize,
    /// Largest message in bytes; a bigger one closes the socket with 1009. Default 100 KB (102,400).
    pub message_limit_bytes: usize,
    /// Messages taken from one socket in each window; the rest wait where they are, unread. Default 200.
    pub messages: u32,
    /// The window. Default 1 s.
    pub message_window: Duration,
    /// Messages that wait for a slow reader; when so many wait nothing more is read, and each operation keeps what it
    /// has to say next. Default 64.
    pub queue: usize,
    /// The same in bytes; the message that goes beyond it is the last that is taken. Default 1 MB (1,048,576).
    pub queue_bytes: usize,
    /// How long a waiting message may make no progress; then 1013, and the client resumes by its cursor. Default 10 s.
    pub send_timeout: Duration,
    /// Origins whose pages may open sockets, besides the gateway's own; `*` allows all. A missing Origin is always
    /// allowed: it is not a browser. Default empty.
    pub origins: Vec<String>,
    /// Whether a socket may be used without a token. Default no: `connection_init` without one closes with 4403.
    pub anonymous: bool,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            sockets: 20_000,
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(20),
            subscriptions: 100,
            message_limit_bytes: 100 * 1024,
            messages: 200,
            message_window: Duration::from_secs(1),
            queue: 64,
            queue_bytes: 1024 * 1024,
            send_timeout: Duration::from_secs(10),
            origins: Vec::new(),
            anonymous: false,
        }
    }
}
