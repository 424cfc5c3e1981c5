//! Handing a message to the mail server, step by step: up to the last line of a message it was surely not taken, after it
//! only the server's answer tells.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use entity::outbox_delivery;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use crate::domain::mail::Message;
use crate::domain::mail::server::{Protection, Server};
use crate::error::Error;

/// How long a connection may take to be ready, TLS and sign-in included.
const CONNECT: Duration = Duration::from_secs(20);
/// How long the server may take to agree to take a message.
const ANNOUNCE: Duration = Duration::from_secs(30);
/// How long it may take to say that it took one: servers look at messages before they answer.
const TAKE: Duration = Duration::from_secs(120);
/// How long a goodbye may take.
const LEAVE: Duration = Duration::from_secs(2);

/// The mail server, from whom messages come, and where their links lead.
#[derive(Clone)]
pub struct Mailer {
    server: Server,
    from: Mailbox,
    public_url: String,
    tls: TlsParameters,
    hello: ClientId,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer")
            .field("server", &self.server)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Mailer {
    /// A mailer over a server, with the address that messages come from (`Cloud Billing <billing@example.com>`) and the
    /// one under which the gateway is reached.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an address that is none, and when TLS can't be prepared.
    pub fn new(server: Server, from: &str, public_url: &str) -> Result<Self, Error> {
        let from: Mailbox = from
            .parse()
            .map_err(|error| Error::configuration(format_args!("--mail-from is no address: {error}")))?;
        let tls = TlsParameters::new(server.host.clone())
            .map_err(|error| Error::configuration(format_args!("--smtp-url: TLS can't be prepared: {error}")))?;
        Ok(Self {
            hello: ClientId::Domain(from.email.domain().to_owned()),
            public_url: public_url.trim_end_matches('/').to_owned(),
            server,
            from,
            tls,
        })
    }

    /// The link by which an address is confirmed.
    pub(super) fn link(&self, token: &str) -> String {
        format!("{}/recipients/confirm?token={token}", self.public_url)
    }

    /// The link by which somebody else pays.
    pub(super) fn payment_link(&self, token: &str) -> String {
        format!("{}/pay/{token}", self.public_url)
    }

    /// The message as it is handed over. Names are encoded: none of them begins a header.
    pub(super) fn compose(
        &self,
        delivery: &outbox_delivery::Model,
        message: Message,
        at: DateTime<Utc>,
    ) -> Result<Letter, String> {
        let to: Address = delivery
            .target
            .parse()
            .map_err(|error| format!("the address can't be written to: {error}"))?;
        // The same for each time it is handed over, so that mail boxes know a second copy. A link is another one each time.
        let copy = match delivery.event_sequence {
            Some(_) => String::new(),
            None => format!(".{}", delivery.attempts),
        };
        let id = format!("<{}{copy}@{}>", delivery.id, self.from.email.domain());
        let built = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(message.subject)
            .date(SystemTime::from(at))
            .message_id(Some(id))
            // No holiday notice answers it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(MultiPart::alternative_plain_html(message.text, message.html))
            .map_err(|error| format!("the message can't be written: {error}"))?;
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to]).map_err(|error| error.to_string())?;
        Ok(Letter {
            envelope,
            bytes: built.formatted(),
        })
    }
}

/// A message that is ready to be handed over.
pub(super) struct Letter {
    envelope: Envelope,
    bytes: Vec<u8>,
}

/// What came of handing a message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// The server has it.
    Taken,
    /// It was not taken, and may be another time.
    NotNow(String),
    /// It was not taken, and never will be.
    Never(String),
    /// The connection was lost when only the answer was missing.
    Unknown(String),
}

/// A connection that is ready.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
}

impl Session {
    /// Connects, protects the way as it is configured, and signs in.
    ///
    /// Errors: what went wrong; it is never the fault of a message.
    pub(super) async fn open(mailer: &Mailer) -> Result<Self, String> {
        match timeout(CONNECT, connect(mailer)).await {
            Ok(Ok(connection)) => Ok(Self { connection }),
            Ok(Err(error)) => Err(format!("the mail server can't be used: {error}")),
            Err(_) => Err(format!("the mail server was not ready within {} s", CONNECT.as_secs())),
        }
    }

    /// Hands a message over, and answers the session back when it can take another one.
    pub(super) async fn hand_over(mut self, letter: &Letter) -> (Handed, Option<Self>) {
        match timeout(ANNOUNCE, self.announce(&letter.envelope)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let handed = refused(&error, false);
                self.leave().await;
                return (handed, None);
            }
            Err(_) => {
                let why = format!("the mail server did not answer within {} s", ANNOUNCE.as_secs());
                return (Handed::NotNow(why), None);
            }
        }
        match timeout(TAKE, self.connection.message(&letter.bytes)).await {
            Ok(Ok(_)) => (Handed::Taken, Some(self)),
            Ok(Err(error)) => {
                let handed = refused(&error, true);
                self.leave().await;
                (handed, None)
            }
            Err(_) => {
                let why = format!(
                    "the mail server did not answer within {} s after the message",
                    TAKE.as_secs()
                );
                (Handed::Unknown(why), None)
            }
        }
    }

    /// Says from whom and to whom, and that a message comes.
    async fn announce(&mut self, envelope: &Envelope) -> Result<(), SmtpError> {
        let from = envelope.from().cloned();
        self.connection.command(Mail::new(from, Vec::new())).await?;
        for to in envelope.to() {
            self.connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
        }
        self.connection.command(Data).await?;
        Ok(())
    }

    /// Says goodbye. Whether it is heard does not matter.
    pub(super) async fn leave(mut self) {
        let _ = timeout(LEAVE, self.connection.abort()).await;
    }
}

/// What an error says about the message. `complete`: all of it was written, and only the answer was missing.
fn refused(error: &SmtpError, complete: bool) -> Handed {
    if error.is_permanent() {
        Handed::Never(error.to_string())
    } else if error.is_transient() || !complete {
        Handed::NotNow(error.to_string())
    } else {
        Handed::Unknown(error.to_string())
    }
}

async fn connect(mailer: &Mailer) -> Result<AsyncSmtpConnection, SmtpError> {
    let server = &mailer.server;
    let whole = (server.protection == Protection::Whole).then(|| mailer.tls.clone());
    let place = (server.host.as_str(), server.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT), &mailer.hello, whole, None).await?;
    let starts = match server.protection {
        Protection::Whole => false,
        Protection::Required => true,
        Protection::Offered => connection.can_starttls(),
    };
    if starts {
        connection.starttls(mailer.tls.clone(), &mailer.hello).await?;
    }
    if let Some((user, password)) = &server.credentials {
        let credentials = Credentials::new(user.clone(), password.clone());
        connection
            .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
            .await?;
    }
    Ok(connection)
}
