//! `serve`: the API over a store, with the engine inside; and the start and end of a serving process, which the demo
//! and the tests use as well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Settings};
use crate::commands::recipients;
use crate::config::{Edge as EdgeOptions, Mail as MailOptions, Mode, Serve};
use crate::domain::mail::page;
use crate::domain::mail::server::Server;
use crate::error::Error;
use crate::http::{
    Authenticator, Console, Edge, EdgeConfig, GuardLimits, Introspection, Page, Principal, SchemaEngine, SocketLimits,
    Step, describe_metrics, router_with,
};
use crate::notify::mail::{self, Mailer};
use crate::store::{Scope, gateway_payments};
use crate::{clock, engine, graphql, ids, live, notify};

use super::{doors, gateways};

/// How long requests and sockets get to end after a signal.
const DRAIN: Duration = Duration::from_secs(10);

/// A process that serves. Dropping it ends it at once; [`Running::stop`] lets it drain.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Closes the sockets with 1001, lets requests end, stops the engine between two batches.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some requests had not ended and were cut off");
        }
    }

    /// Waits until the process is told to stop.
    pub async fn stopped(&self) {
        self.shutdown.cancelled().await;
    }
}

/// What a serving process needs besides its [`App`].
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What the edge allows.
    pub edge: EdgeOptions,
    /// The secret that signs tokens.
    pub secret: SecretString,
    /// The time between engine passes; nothing leaves the engine to other processes.
    pub engine_every: Option<Duration>,
    /// What is done about e-mail; nothing leaves it to other processes.
    pub mail: Option<Mail>,
    /// Under which address people and payment gateways reach this one; where it listens when absent.
    pub public_url: Option<String>,
    /// Renders the metrics.
    pub metrics: Option<PrometheusHandle>,
}

/// What a serving process does about e-mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The time between passes over the outbox.
    pub every: Duration,
    /// The mail server, and from whom messages come; without it they are kept.
    pub server: Option<(Server, String)>,
}

/// Begins to serve.
///
/// # Errors
/// [`Error::Unavailable`] when the address is taken, [`Error::Internal`] for a secret that is too short.
pub async fn start(app: Arc<App>, serving: Serving) -> Result<Running, Error> {
    let authenticator = Authenticator::hs256(&serving.secret).map_err(Error::internal)?;
    let schema = graphql::schema(Arc::clone(&app));
    let prepare = {
        let app = Arc::clone(&app);
        move |caller: &crate::http::Caller, request| {
            let mut request = graphql::prepare(request, &app, caller.principal.as_deref().map(caller_of));
            request.data.insert(graphql::InJson);
            request
        }
    };
    let shutdown = CancellationToken::new();
    let ready = Arc::clone(&app);
    let mut edge = Edge::new(
        edge_config(&app, &serving.edge),
        SchemaEngine::new(schema, &graphql::sdl(), prepare),
        authenticator,
        clock::machine_now,
        ids::request_id,
    )
    .ready_when(move || {
        let app = Arc::clone(&ready);
        Box::pin(async move { app.db.ping().await.map_err(|error| error.to_string()) })
    })
    .pages({
        let app = Arc::clone(&app);
        move |step, token| Box::pin(page_of_link(Arc::clone(&app), step, token))
    })
    .shutdown(shutdown.clone());
    if let Some(metrics) = serving.metrics {
        edge = edge.metrics(move || metrics.render());
    }
    let edge = Arc::new(edge);
    let listener = TcpListener::bind(serving.listen)
        .await
        .map_err(|error| Error::Unavailable(format!("listening on {}: {error}", serving.listen).into()))?;
    let address = listener.local_addr().map_err(Error::internal)?;

    let others = gateway_payments::of_others(app.db.read(), &Scope::engine(), &app.gateways.codes()).await?;
    if others > 0 {
        tracing::warn!(
            payments = others,
            "open payments wait for gateways that this process does not have"
        );
    }
    let public_url = serving.public_url.unwrap_or_else(|| format!("http://{address}"));
    app.is_reached_at(public_url.clone());
    let mailing = match serving.mail {
        None => None,
        Some(mail) => {
            match &mail.server {
                Some((server, _)) => tracing::info!(?server, public_url, "e-mail is sent"),
                None => tracing::info!("no mail server is configured: e-mail is kept and listed"),
            }
            let mailer = mail
                .server
                .map(|(server, from)| Mailer::new(server, &from, &public_url));
            Some((mailer.transpose()?, mail.every))
        }
    };

    let mut tasks = JoinSet::new();
    // An alert is a small frame: it must not wait until the one before it was acknowledged.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let routes = router_with(Arc::clone(&edge), doors::routes(Arc::clone(&app), Arc::clone(&edge)));
    let signal = shutdown.clone();
    tasks.spawn(async move {
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(signal.clone().cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the listener failed");
            signal.cancel();
        }
        edge.sockets_closed().await;
    });
    let (poll, signal) = (live::poll(Arc::clone(&app)), shutdown.clone());
    tasks.spawn(async move { signal.run_until_cancelled(poll).await.unwrap_or(()) });
    let (announce, signal) = (live::announce(Arc::clone(&app)), shutdown.clone());
    tasks.spawn(async move { signal.run_until_cancelled(announce).await.unwrap_or(()) });
    let (hear, signal) = (live::hear(Arc::clone(&app)), shutdown.clone());
    tasks.spawn(async move { signal.run_until_cancelled(hear).await.unwrap_or(()) });
    if let Some((mailer, every)) = mailing {
        // Told to stop, not dropped: what is being handed over is brought to its end, and its fate is known.
        tasks.spawn(mail::drive(Arc::clone(&app), mailer, every, shutdown.clone()));
    }
    if let Some(every) = serving.engine_every {
        let (webhooks, signal) = (notify::drive(Arc::clone(&app)), shutdown.clone());
        tasks.spawn(async move { signal.run_until_cancelled(webhooks).await.unwrap_or(()) });
        let (engine, signal) = (engine::drive(app, every), shutdown.clone());
        tasks.spawn(async move { signal.run_until_cancelled(engine).await.unwrap_or(()) });
    }
    Ok(Running {
        address,
        shutdown,
        tasks,
    })
}

/// The page behind a link of an e-mail.
async fn page_of_link(app: Arc<App>, step: Step, token: String) -> Result<Page, String> {
    let found = match step {
        Step::Look => recipients::look(&app, &token).await,
        Step::Confirm => recipients::confirm(&app, &token).await,
    };
    let (link, reader) = found.map_err(|error| error.to_string())?;
    let status = match link {
        page::Link::Open { .. } | page::Link::Confirmed => 200,
        page::Link::Expired => 410,
        page::Link::Unknown => 404,
    };
    Ok(Page {
        status,
        html: page::html(&link, reader.as_ref()),
    })
}

/// Who calls, as the schema and the doors beside it know them.
pub(super) fn caller_of(principal: &Principal) -> graphql::Caller {
    graphql::Caller::new(
        principal.subject.clone(),
        principal.role,
        principal.account,
        principal.product.clone(),
        principal.permissions,
    )
    .serving(&principal.serves)
}

fn edge_config(app: &App, options: &EdgeOptions) -> EdgeConfig {
    let open = app.settings.development || options.introspection;
    EdgeConfig {
        body_limit_bytes: usize::try_from(options.body_bytes).unwrap_or(usize::MAX),
        request_timeout: options.request_timeout(),
        introspection: if open {
            Introspection::Everyone
        } else {
            Introspection::Nobody
        },
        cors_origins: options.allowed_origins.clone(),
        guard: GuardLimits {
            depth: u32::try_from(options.depth).unwrap_or(u32::MAX),
            cost: options.cost,
            list_sizes: graphql::list_sizes(),
            ..GuardLimits::default()
        },
        sockets: SocketLimits {
            subscriptions: usize::try_from(options.subscriptions).unwrap_or(usize::MAX),
            message_limit_bytes: usize::try_from(options.body_bytes).unwrap_or(usize::MAX),
            messages: options.socket_messages,
            ping_interval: Duration::from_secs(options.ping_seconds),
            origins: options.allowed_origins.clone(),
            ..SocketLimits::default()
        },
        console: Console { enabled: open },
        ..EdgeConfig::default()
    }
}

/// Installs the metrics recorder of this process.
///
/// # Errors
/// [`Error::Internal`] when there is one already.
pub fn metrics() -> Result<PrometheusHandle, Error> {
    let handle = PrometheusBuilder::new().install_recorder().map_err(Error::internal)?;
    describe_metrics();
    Ok(handle)
}

/// The secret that signs tokens: the configured one, else, in development, one that is made once and kept in a file
/// that only its owner can read.
///
/// # Errors
/// [`Error::Configuration`] naming the key when production has none; [`Error::Internal`] when the file can't be kept.
pub fn signing_secret(given: Option<&SecretString>, mode: Mode, file: &PathBuf) -> Result<SecretString, Error> {
    if let Some(secret) = given {
        return Ok(SecretString::from(secret.expose_secret().to_owned()));
    }
    if mode == Mode::Production {
        return Err(Error::configuration(
            "BILLING_JWT_SECRET is not set: production needs --jwt-secret, at least 32 bytes",
        ));
    }
    if let Ok(kept) = std::fs::read_to_string(file) {
        return Ok(SecretString::from(kept.trim().to_owned()));
    }
    let made: String = ids::random_bytes::<32>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    write_private(file, &made).map_err(|error| {
        Error::internal(format_args!(
            "keeping the development secret in {}: {error}",
            file.display()
        ))
    })?;
    Ok(SecretString::from(made))
}

fn write_private(file: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// What stops the start, with the key or address named.
pub async fn serve(options: Serve) -> Result<(), Error> {
    let settings = Settings {
        development: options.mode == Mode::Development,
        return_origins: options.edge.return_origins.clone(),
        most_releases: options.most_releases,
    };
    let mail = mailing(&options.mail, options.mode)?;
    let configured = gateways::of(&options.gateways, options.mode)?;
    if !configured.is_empty() && options.mail.public_url.is_none() && options.mode == Mode::Production {
        return Err(Error::configuration(
            "BILLING_PUBLIC_URL is not set: payment gateways need --public-url, under which they and payers reach it",
        ));
    }
    let secret = signing_secret(
        options.edge.jwt_secret.as_ref(),
        options.mode,
        &crate::config::secret_file(&options.store.database_url),
    )?;
    let app = App::open(&super::tools::options(&options.store), settings).await?;
    let app = Arc::new(app.with_gateways(configured));
    let serving = Serving {
        listen: options.listen,
        edge: options.edge,
        secret,
        engine_every: (options.engine_seconds > 0).then(|| Duration::from_secs(options.engine_seconds)),
        mail,
        public_url: options.mail.public_url.clone(),
        metrics: Some(metrics()?),
    };
    let running = start(Arc::clone(&app), serving).await?;
    // Listened for before anyone is told that there is something to end.
    let told = told_to_stop();
    tracing::info!(address = %running.address, mode = ?options.mode, "serving");
    tokio::select! {
        () = told => tracing::info!("told to stop: draining"),
        () = running.stopped() => {}
    }
    running.stop().await;
    Ok(())
}

/// What the options say about e-mail.
///
/// Errors: [`Error::Configuration`] naming the key that is missing.
fn mailing(options: &MailOptions, mode: Mode) -> Result<Option<Mail>, Error> {
    let server = match (&options.smtp_url, &options.mail_from) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(Error::configuration(
                "BILLING_MAIL_FROM is not set: --smtp-url needs --mail-from, the address that messages come from",
            ));
        }
        (Some(url), Some(from)) => {
            let server = Server::read(url.expose_secret())
                .map_err(|why| Error::configuration(format_args!("--smtp-url {why}")))?;
            Some((server, from.clone()))
        }
    };
    if server.is_some() && options.public_url.is_none() && mode == Mode::Production {
        return Err(Error::configuration(
            "BILLING_PUBLIC_URL is not set: production needs --public-url, under which links in messages reach it",
        ));
    }
    Ok((options.mail_seconds > 0).then(|| Mail {
        every: Duration::from_secs(options.mail_seconds),
        server,
    }))
}

/// Ends when SIGTERM or Ctrl-C comes. From the call on neither ends the process by itself.
pub fn told_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok())
    };
    async move {
        #[cfg(unix)]
        {
            let [terminate, interrupt] = signals.map(|signal| async move {
                match signal {
                    Some(mut signal) => drop(signal.recv().await),
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                () = terminate => {}
                () = interrupt => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
