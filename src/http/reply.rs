//! Answers: one shape for all of them, every error with a code, nothing of ours in what a stranger reads.

use std::collections::BTreeMap;

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode};
use serde::Serialize;

use super::accept::{Media, Unsupported};
use super::auth::AuthError;
use super::edge::{Caller, Engine};
use crate::graphql::add_json;

/// The codes the edge itself gives in `extensions.code`.
pub(super) mod code {
    pub(in crate::http) const BAD_REQUEST: &str = "BAD_REQUEST";
    pub(in crate::http) const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    pub(in crate::http) const BODY_TOO_LARGE: &str = "BODY_TOO_LARGE";
    pub(in crate::http) const FORBIDDEN: &str = "FORBIDDEN";
    pub(in crate::http) const FORBIDDEN_ORIGIN: &str = "FORBIDDEN_ORIGIN";
    pub(in crate::http) const INTERNAL: &str = "INTERNAL";
    pub(in crate::http) const INTROSPECTION_DISABLED: &str = "INTROSPECTION_DISABLED";
    pub(in crate::http) const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";
    pub(in crate::http) const METHOD_NOT_ALLOWED: &str = "METHOD_NOT_ALLOWED";
    pub(in crate::http) const NOT_ACCEPTABLE: &str = "NOT_ACCEPTABLE";
    pub(in crate::http) const NOT_FOUND: &str = "NOT_FOUND";
    pub(in crate::http) const OPERATION_RESOLUTION_FAILURE: &str = "OPERATION_RESOLUTION_FAILURE";
    pub(in crate::http) const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
    pub(in crate::http) const TIMEOUT: &str = "TIMEOUT";
    pub(in crate::http) const TOO_MANY_SOCKETS: &str = "TOO_MANY_SOCKETS";
    pub(in crate::http) const TOO_MANY_SUBSCRIPTIONS: &str = "TOO_MANY_SUBSCRIPTIONS";
    pub(in crate::http) const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    pub(in crate::http) const UNAVAILABLE: &str = "UNAVAILABLE";
    pub(in crate::http) const UNSUPPORTED_MEDIA_TYPE: &str = "UNSUPPORTED_MEDIA_TYPE";
    pub(in crate::http) const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
}

/// An error with its code.
pub(super) fn coded(code: &str, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    error
}

/// How far an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran; its errors, if any, are those of fields.
    Executed,
    /// It could not run: parse, guard, validation, operation, variables.
    Refused,
    /// It took too long.
    TimedOut,
}

/// The answer to one operation, ready to be written.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) data: Value,
    pub(super) errors: Vec<ServerError>,
    pub(super) extensions: BTreeMap<String, Value>,
    /// In its extensions; none where that was said before.
    pub(super) cost: Option<Cost>,
    pub(super) headers: HeaderMap,
}

/// What an operation may cost, in objects.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cost {
    /// What is allowed.
    pub(super) limit: u64,
    /// What it asks for.
    pub(super) requested: u64,
}

impl Answer {
    /// The answer to what could not run.
    pub(super) fn refused(errors: Vec<ServerError>) -> Self {
        Self {
            outcome: Outcome::Refused,
            data: Value::Null,
            errors,
            extensions: BTreeMap::new(),
            cost: None,
            headers: HeaderMap::new(),
        }
    }

    pub(super) fn wire(&self) -> Wire<'_> {
        Wire {
            errors: &self.errors,
            data: (self.outcome == Outcome::Executed).then_some(&self.data),
            extensions: Extensions {
                cost: self.cost,
                others: &self.extensions,
            },
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        String::from_utf8(self.wire().json()).unwrap_or_else(|_| EMPTY.to_owned())
    }

    /// The JSON of its data when it is written and nothing else is said: what many are told is copied for each of them, and
    /// not read.
    pub(super) fn written_data(&self) -> Option<&str> {
        match &self.data {
            Value::Binary(json)
                if self.outcome == Outcome::Executed
                    && self.errors.is_empty()
                    && self.extensions.is_empty()
                    && self.cost.is_none() =>
            {
                std::str::from_utf8(json).ok()
            }
            _ => None,
        }
    }

    /// The HTTP status, by the form of the answer.
    pub(super) const fn status(&self, media: Media) -> StatusCode {
        match (self.outcome, media) {
            (Outcome::TimedOut, _) => StatusCode::GATEWAY_TIMEOUT,
            (Outcome::Refused, Media::GraphqlResponse) => StatusCode::BAD_REQUEST,
            (Outcome::Refused, Media::Json | Media::EventStream) | (Outcome::Executed, _) => StatusCode::OK,
        }
    }
}

/// An answer as it is written: errors first, where a reader sees them; `data` only when something ran.
pub(super) struct Wire<'a> {
    errors: &'a [ServerError],
    data: Option<&'a Value>,
    extensions: Extensions<'a>,
}

impl Wire<'_> {
    /// As JSON. These types are always JSON; were they not, an empty object would be sent, which a client refuses.
    pub(super) fn json(&self) -> Vec<u8> {
        let data = match self.data {
            Some(Value::Binary(json)) => json.len(),
            _ => 0,
        };
        let mut json = Vec::with_capacity(data.saturating_add(BYTES));
        match self.write(&mut json) {
            Ok(()) => json,
            Err(_) => EMPTY.as_bytes().to_vec(),
        }
    }

    /// Adds its JSON to what is written.
    fn write(&self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        let mut before = b'{';
        let mut name = |json: &mut Vec<u8>, name: &str| {
            json.push(std::mem::replace(&mut before, b','));
            json.extend_from_slice(name.as_bytes());
        };
        if !self.errors.is_empty() {
            name(json, "\"errors\":");
            serde_json::to_writer(&mut *json, self.errors)?;
        }
        if let Some(data) = self.data {
            name(json, "\"data\":");
            add_json(json, data);
        }
        if !self.extensions.is_empty() {
            name(json, "\"extensions\":");
            serde_json::to_writer(&mut *json, &self.extensions)?;
        }
        // What says nothing at all is an object still.
        if before == b'{' {
            json.push(before);
        }
        json.push(b'}');
        Ok(())
    }
}

#[derive(Serialize)]
struct Extensions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    #[serde(flatten)]
    others: &'a BTreeMap<String, Value>,
}

impl Extensions<'_> {
    fn is_empty(&self) -> bool {
        self.cost.is_none() && self.others.is_empty()
    }
}

/// Turns an engine's response into an answer: codes for every error, ours masked, suggestions only for who may know the
/// schema, at most `reported` errors.
pub(super) fn answer(
    engine: &dyn Engine,
    caller: &Caller,
    response: Response,
    knows_schema: bool,
    reported: usize,
) -> Answer {
    let Response {
        data,
        mut extensions,
        mut errors,
        http_headers: headers,
        ..
    } = response;
    // What fails while fields are resolved says where; what fails before says only why.
    let refused = data == Value::Null && !errors.is_empty() && errors.iter().all(|error| error.path.is_empty());
    for error in &mut errors {
        classify(engine, caller, error);
        if !knows_schema {
            strip_suggestion(&mut error.message);
        }
    }
    if errors.len() > reported {
        let hidden = errors.len().saturating_sub(reported);
        errors.truncate(reported);
        extensions.insert("errorsOmitted".to_owned(), Value::from(hidden));
    }
    let outcome = if refused { Outcome::Refused } else { Outcome::Executed };
    Answer {
        outcome,
        data,
        errors,
        extensions,
        cost: None,
        headers,
    }
}

fn classify(engine: &dyn Engine, caller: &Caller, error: &mut ServerError) {
    let given = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    match given {
        Some(Value::String(given)) if given == code::INTERNAL => mask(engine, caller, error),
        Some(_) => {}
        None if error.path.is_empty() => set_code(error, code::VALIDATION_FAILED),
        // The engine's own words for an argument that does not fit its type: the caller's mistake, without a code.
        None if ["Failed to parse \"", "Expected input type \""]
            .iter()
            .any(|start| error.message.starts_with(start)) =>
        {
            set_code(error, code::BAD_USER_INPUT);
        }
        None => mask(engine, caller, error),
    }
}

fn set_code(error: &mut ServerError, code: &str) {
    error.extensions.get_or_insert_default().set("code", code);
}

fn mask(engine: &dyn Engine, caller: &Caller, error: &mut ServerError) {
    let path = error.path.iter().map(segment).collect::<Vec<_>>().join(".");
    let whole = engine.describe(error);
    tracing::error!(request_id = %caller.request_id, path, error = whole, "internal error");
    metrics::counter!("graphql_internal_errors_total").increment(1);
    let masked = internal(caller);
    error.message = masked.message;
    error.extensions = masked.extensions;
    error.source = None;
}

fn segment(segment: &PathSegment) -> String {
    match segment {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(index) => index.to_string(),
    }
}

/// What a caller is told when we failed.
pub(super) fn internal(caller: &Caller) -> ServerError {
    let mut error = coded(
        code::INTERNAL,
        "Something went wrong on our side. Name the request id when you report it.",
    );
    let extensions: &mut ErrorExtensionValues = error.extensions.get_or_insert_default();
    extensions.set("requestId", caller.request_id.to_string());
    error
}

fn strip_suggestion(message: &mut String) {
    if let Some(start) = message.find(" Did you mean") {
        message.truncate(start);
    }
}

/// A request that never became an operation: its status, its code, what the caller should know.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) error: Box<ServerError>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: Box::new(coded(code, message)),
            header: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
    }

    pub(super) fn not_allowed(message: &str, allow: &'static str) -> Self {
        let mut rejection = Self::new(StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED, message);
        rejection.header = Some((ALLOW, HeaderValue::from_static(allow)));
        rejection
    }

    pub(super) fn unauthenticated(reason: AuthError) -> Self {
        let mut error = Box::new(coded(code::UNAUTHENTICATED, reason.to_string()));
        error.extensions.get_or_insert_default().set("reason", reason.reason());
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        Self {
            status: StatusCode::UNAUTHORIZED,
            error,
            header: Some((WWW_AUTHENTICATE, challenge)),
        }
    }

    /// The answer to who has no token where one is needed.
    pub(super) fn anonymous() -> Self {
        let mut rejection = Self::new(
            StatusCode::UNAUTHORIZED,
            code::UNAUTHENTICATED,
            "A valid token is required.",
        );
        rejection.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        rejection
    }

    pub(super) fn unsupported(why: Unsupported) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::UNSUPPORTED_MEDIA_TYPE,
            why.message(),
        )
    }

    pub(super) fn write(self, media: Media) -> HttpResponse<Body> {
        let errors = [*self.error];
        let wire = Wire {
            errors: &errors,
            data: None,
            extensions: Extensions {
                cost: None,
                others: &BTreeMap::new(),
            },
        };
        let mut response = write(self.status, media, wire.json());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An answer has about so many headers: they find room at once.
const HEADERS: usize = 12;

/// Most answers are not much shorter than this, in bytes, or have their data written.
const BYTES: usize = 512;

/// What is sent for what can't be written.
const EMPTY: &str = "{}";

/// An answer with this body.
pub(super) fn write(status: StatusCode, media: Media, json: Vec<u8>) -> HttpResponse<Body> {
    let mut response = HttpResponse::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().reserve(HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, media.content_type());
    response
}
