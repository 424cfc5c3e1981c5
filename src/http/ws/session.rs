//! One socket from its upgrade to its close.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Map, Value as Json};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::close;
use super::messages::{Incoming, Outgoing};
use super::operations::Operations;
use super::outbox::Outbox;
use crate::clock;
use crate::http::auth::{AuthError, Principal, strip_bearer};
use crate::http::config::SocketLimits;
use crate::http::edge::{Caller, Edge, Transport};
use crate::http::params::Params;
use crate::http::reply::{code, coded};
use crate::http::run;

/// How long a closed socket may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// Longest close reason, in bytes; the WebSocket's own bound.
const LONGEST_REASON: usize = 123;
/// The longest that a token's end is waited for in one go. Then it is looked at again.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// A timer that may be off.
type Timer = Option<Pin<Box<Sleep>>>;

/// Waits for the end of a timer; for ever, when it is off.
async fn ends(timer: &mut Timer) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of a timer that begins when it is first waited for: for what has to wait, and mostly need not.
async fn stalls(timer: &mut Timer, longest: Duration) {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(longest)));
    timer.as_mut().await;
}

/// A code and a reason.
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self(code, reason.into())
    }
}

enum Phase {
    /// Before `connection_init`.
    New,
    /// After `connection_ack`.
    Open { principal: Option<Arc<Principal>> },
}

/// A socket's state. Timers live beside it in [`Session::serve`].
pub(super) struct Session {
    edge: Arc<Edge>,
    header: Result<Option<Arc<Principal>>, AuthError>,
    phase: Phase,
    operations: Operations,
    outbox: Outbox,
    /// Something was written and not flushed.
    unflushed: bool,
    /// Something came since the last ping.
    heard: bool,
    silent_intervals: u32,
}

impl Session {
    /// A socket whose upgrade carried this principal, none, or a token that was not accepted.
    pub(super) fn new(edge: Arc<Edge>, header: Result<Option<Arc<Principal>>, AuthError>) -> Self {
        Self {
            edge,
            header,
            phase: Phase::New,
            operations: Operations::new(),
            outbox: Outbox::default(),
            unflushed: false,
            heard: false,
            silent_intervals: 0,
        }
    }

    /// Serves until one side ends. `None`: the client is gone, there is nobody to close with.
    pub(super) async fn serve(mut self, mut socket: WebSocket) -> Option<Closing> {
        let edge = Arc::clone(&self.edge);
        let limits = &edge.config.sockets;
        let mut shutdown = pin!(edge.shutdown.cancelled());
        // One for all that comes some time, whichever is first: the end of the time to begin, the next ping, the token's
        // end. Those that seldom run are made when they are needed: an idle socket keeps none of them.
        let mut alarm: Pin<Box<Sleep>> = Box::pin(sleep(limits.init_timeout));
        // What is left to the next ping when it rings.
        let mut to_ping = Duration::ZERO;
        let mut stall: Timer = None;
        let mut pace = Pace::new();
        let mut rest: Timer = None;

        let closed = loop {
            let writing = self.unflushed || !self.outbox.is_empty();
            let room = self.outbox.has_room(limits);
            let new = matches!(self.phase, Phase::New);

            tokio::select! {
                biased;
                // First, because it mostly can, and then no timer need run. All below gets its turn: what is sent is taken
                // there, and who speaks too fast is not read.
                exchanged = exchange(&mut socket, &mut self.outbox, &mut self.unflushed, room && !pace.rests) => match exchanged {
                    // It moves: the next message gets its own time.
                    Exchanged::Sent(Ok(())) => stall = None,
                    Exchanged::Sent(Err(_)) => return None,
                    Exchanged::Received(Some(Ok(message))) => {
                        // A client whose messages take longer to read than to send leaves nothing below its turn.
                        if edge.shutdown.is_cancelled() {
                            break Close::new(close::GOING_AWAY, "Going away");
                        }
                        if self.expires_in().is_some_and(|left| left.is_zero()) {
                            break expired();
                        }
                        self.heard = true;
                        if let Some(left) = pace.take(limits) {
                            rest = Some(Box::pin(sleep(left)));
                        }
                        match self.receive(message) {
                            Ok(Received::Nothing) => {}
                            Ok(Received::Opened) => {
                                to_ping = limits.ping_interval;
                                alarm.set(sleep(self.until_alarm(&mut to_ping)));
                            }
                            Ok(Received::Goodbye) => return Some(Closing::answering(socket)),
                            Err(close) => break close,
                        }
                    }
                    Exchanged::Received(Some(Err(error))) => match breach(&error) {
                        Some(close) => break close,
                        None => return None,
                    },
                    Exchanged::Received(None) => return None,
                },
                () = shutdown.as_mut() => break Close::new(close::GOING_AWAY, "Going away"),
                () = stalls(&mut stall, limits.send_timeout), if writing => {
                    break Close::new(close::TRY_AGAIN_LATER, "Reading too slowly: resume later");
                }
                () = &mut alarm => {
                    if new {
                        break Close::new(close::TIMEOUT, "Connection initialisation timeout");
                    }
                    // Machine time may have jumped while the timer slept.
                    if self.expires_in().is_some_and(|left| left.is_zero()) {
                        break expired();
                    }
                    if to_ping.is_zero() {
                        if let Err(close) = self.beat() {
                            break close;
                        }
                        to_ping = limits.ping_interval;
                    }
                    alarm.set(sleep(self.until_alarm(&mut to_ping)));
                }
                () = ends(&mut rest), if pace.rests => {
                    pace = Pace::new();
                    rest = None;
                }
                message = poll_fn(|context| self.operations.poll_next(context)), if room => self.outbox.push(message),
            }
        };
        metrics::counter!("graphql_socket_closes_total", "code" => closed.0.to_string()).increment(1);
        // What was already promised is still delivered, unless the reader is what is slow.
        let outbox = if closed.0 == close::TRY_AGAIN_LATER {
            Outbox::default()
        } else {
            self.outbox
        };
        Some(Closing {
            socket,
            outbox,
            unflushed: self.unflushed,
            close: Some(closed),
        })
    }

    fn receive(&mut self, message: Message) -> Result<Received, Close> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Close::new(close::BAD_MESSAGE, "Invalid message: not text")),
            // The WebSocket's own pings are answered below us.
            Message::Ping(_) | Message::Pong(_) => return Ok(Received::Nothing),
            Message::Close(_) => return Ok(Received::Goodbye),
        };
        let incoming = Incoming::read(&text).map_err(|why| Close::new(close::BAD_MESSAGE, why))?;
        match incoming {
            Incoming::Init(payload) => {
                self.open(&payload)?;
                return Ok(Received::Opened);
            }
            Incoming::Ping(payload) => self.outbox.push(Outgoing::Pong { payload }.frame()),
            Incoming::Pong => {}
            Incoming::Subscribe { id, params } => self.subscribe(&id, *params)?,
            Incoming::Complete { id } => self.operations.stop(&id),
        }
        Ok(Received::Nothing)
    }

    fn open(&mut self, payload: &Map<String, Json>) -> Result<(), Close> {
        if matches!(self.phase, Phase::Open { .. }) {
            return Err(Close::new(close::SECOND_INIT, "Too many initialisation requests"));
        }
        let forbidden = |why: &str| Close::new(close::FORBIDDEN, format!("Forbidden: {why}"));
        let principal = match token(payload) {
            Ok(Some(token)) => self.edge.authenticator.verify(token, self.edge.now()).map(Some),
            Ok(None) => self.header.clone(),
            Err(refused) => Err(refused),
        }
        .map_err(|refused| forbidden(&refused.to_string()))?;
        if principal.is_none() && !self.edge.config.sockets.anonymous {
            return Err(forbidden("send a bearer token in connection_init"));
        }
        self.phase = Phase::Open { principal };
        // The upgrade's token may have ended while the socket waited for this message.
        if self.expires_in().is_some_and(|left| left.is_zero()) {
            return Err(expired());
        }
        self.outbox.push(Outgoing::ConnectionAck.frame());
        Ok(())
    }

    fn subscribe(&mut self, id: &str, params: Params) -> Result<(), Close> {
        let Phase::Open { principal } = &self.phase else {
            return Err(Close::new(close::UNAUTHORIZED, "Unauthorized"));
        };
        if self.operations.contains(id) {
            return Err(Close::new(
                close::DUPLICATE,
                format!("Subscriber for {id} already exists"),
            ));
        }
        let most = self.edge.config.sockets.subscriptions;
        let errors = if self.operations.len() >= most {
            let message = format!("A socket runs {most} operations at once: complete one first.");
            vec![coded(code::TOO_MANY_SUBSCRIPTIONS, message)]
        } else {
            let caller = Caller {
                principal: principal.clone(),
                request_id: self.edge.new_id(),
                transport: Transport::Socket,
            };
            match run::admit(&self.edge, &caller, params) {
                Ok(operation) => {
                    self.operations.start(&self.edge, caller, id, operation);
                    return Ok(());
                }
                Err(errors) => errors,
            }
        };
        self.outbox.push(Outgoing::Error { id, payload: &errors }.frame());
        Ok(())
    }

    /// Asks whether the client is there; it has been silent for two intervals when this fails.
    fn beat(&mut self) -> Result<(), Close> {
        if std::mem::take(&mut self.heard) {
            self.silent_intervals = 0;
        } else {
            self.silent_intervals = self.silent_intervals.saturating_add(1);
        }
        if self.silent_intervals > 1 {
            return Err(Close::new(close::SILENT, "No pong in time"));
        }
        // What already waits to be sent says more than a ping.
        if self.outbox.is_empty() {
            self.outbox.push(Outgoing::Ping.frame());
        }
        Ok(())
    }

    /// How long to wait for what comes first, the next ping or the token's end; what is left to the ping then.
    fn until_alarm(&self, to_ping: &mut Duration) -> Duration {
        let wait = self.expires_in().map_or(*to_ping, |left| left.min(*to_ping));
        *to_ping = to_ping.saturating_sub(wait);
        wait
    }

    /// What is left of the token's time; `None` without a token.
    fn expires_in(&self) -> Option<Duration> {
        let Phase::Open {
            principal: Some(principal),
        } = &self.phase
        else {
            return None;
        };
        Some(
            principal
                .expires_at
                .signed_duration_since(self.edge.now())
                .to_std()
                .unwrap_or_default()
                .min(FAR),
        )
    }
}

/// How fast a client speaks. Whoever speaks too fast is not read for the rest of the window, and nobody else waits for it.
struct Pace {
    began: Instant,
    taken: u32,
    /// Nothing is read until the window ends.
    rests: bool,
}

impl Pace {
    fn new() -> Self {
        Self {
            began: clock::monotonic(),
            taken: 0,
            rests: false,
        }
    }

    /// Takes a message; answers what is left of the window when it was the last that the window has room for.
    fn take(&mut self, limits: &SocketLimits) -> Option<Duration> {
        if self.began.elapsed() >= limits.message_window {
            *self = Self::new();
        }
        let left = limits.message_window.saturating_sub(self.began.elapsed());
        self.taken = self.taken.saturating_add(1);
        self.rests = self.taken >= limits.messages;
        self.rests.then_some(left)
    }
}

/// What a message led to.
enum Received {
    Nothing,
    Opened,
    Goodbye,
}

fn expired() -> Close {
    Close::new(close::FORBIDDEN, "Forbidden: the token has expired")
}

/// The token in `connection_init`: `Authorization` or `authorization` with its scheme, or `token`, bare or with it.
fn token(payload: &Map<String, Json>) -> Result<Option<&str>, AuthError> {
    let found = ["Authorization", "authorization", "token"]
        .into_iter()
        .find_map(|name| {
            payload
                .get(name)
                .filter(|value| !value.is_null())
                .map(|value| (name, value))
        });
    match found {
        None => Ok(None),
        Some((name, Json::String(text))) => match strip_bearer(text) {
            Some(token) => Ok(Some(token)),
            None if name == "token" || !text.contains(' ') => Ok(Some(text.trim())),
            None => Err(AuthError::Malformed),
        },
        Some(_) => Err(AuthError::Malformed),
    }
}

/// How to close after what could not be read as a WebSocket's frames; `None` when there is nobody to close with.
fn breach(error: &axum::Error) -> Option<Close> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        match error.downcast_ref() {
            Some(SocketError::Capacity(_)) => return Some(Close::new(close::TOO_BIG, "Message too big")),
            Some(SocketError::Utf8(_)) => return Some(Close::new(close::INVALID_PAYLOAD, "Text is not UTF-8")),
            Some(SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return None,
            Some(SocketError::Protocol(_)) => {
                return Some(Close::new(
                    close::PROTOCOL_ERROR,
                    "Not a frame of the WebSocket protocol",
                ));
            }
            _ => source = error.source(),
        }
    }
    None
}

enum Exchanged {
    Sent(Result<(), axum::Error>),
    Received(Option<Result<Message, axum::Error>>),
}

/// Writes what waits and, with `room`, reads; ready after each message either way, so that its caller sees progress. May
/// be dropped at any await: what is left to do stays in the arguments.
async fn exchange(socket: &mut WebSocket, outbox: &mut Outbox, unflushed: &mut bool, room: bool) -> Exchanged {
    poll_fn(|cx| {
        if (*unflushed || !outbox.is_empty())
            && let Poll::Ready(sent) = poll_send(socket, outbox, unflushed, cx)
        {
            return Poll::Ready(Exchanged::Sent(sent));
        }
        if room {
            socket.poll_next_unpin(cx).map(Exchanged::Received)
        } else {
            Poll::Pending
        }
    })
    .await
}

fn poll_send(
    socket: &mut WebSocket,
    outbox: &mut Outbox,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), axum::Error>> {
    if !*unflushed {
        ready!(socket.poll_ready_unpin(cx))?;
        if let Some(message) = outbox.pop() {
            socket.start_send_unpin(message)?;
        }
        *unflushed = true;
    }
    ready!(socket.poll_flush_unpin(cx))?;
    *unflushed = false;
    Poll::Ready(Ok(()))
}

/// A socket that ends.
pub(super) struct Closing {
    socket: WebSocket,
    outbox: Outbox,
    unflushed: bool,
    /// `None` when the client has said goodbye: the answer to that is written below us, as we read on.
    close: Option<Close>,
}

impl Closing {
    /// A socket that is closed before anything was said.
    pub(super) fn early(socket: WebSocket, code: u16, reason: &str) -> Self {
        Self {
            close: Some(Close::new(code, reason)),
            ..Self::answering(socket)
        }
    }

    /// A socket that the client closes.
    fn answering(socket: WebSocket) -> Self {
        Self {
            socket,
            outbox: Outbox::default(),
            unflushed: false,
            close: None,
        }
    }

    /// Sends what waits and the close frame, and reads on until the client has answered: a socket dropped with unread
    /// bytes resets the connection, and the client never sees why. Or, when it was the client who closed, until it has
    /// its answer.
    pub(super) async fn finish(mut self) {
        if let Some(Close(code, mut reason)) = self.close {
            while reason.len() > LONGEST_REASON {
                reason.pop();
            }
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::from(reason),
            };
            self.outbox.push(Message::Close(Some(frame)));
        }
        let goodbye = async {
            while self.unflushed || !self.outbox.is_empty() {
                let sent = exchange(&mut self.socket, &mut self.outbox, &mut self.unflushed, false).await;
                if matches!(sent, Exchanged::Sent(Err(_))) {
                    return;
                }
            }
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = tokio::time::timeout(FAREWELL, goodbye).await;
    }
}
