//! The doors beside the API: where gateways knock with notifications, where payers come back to, the page behind a link by
//! which somebody else pays, the sandbox's page, and the histories as files.

mod exports;
mod on_behalf;
mod sandbox;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::{any, get};
use entity::enums::{LinkStatus, PaymentMethod, PaymentStatus};
use lru::LruCache;
use uuid::Uuid;

use crate::app::App;
use crate::clock;
use crate::commands::{payment_methods, payments};
use crate::domain::mail::escaped;
use crate::gateways::{RawNotice, Verdict};
use crate::http::Edge;
use crate::store::{Scope, gateway_payments, payment_methods as methods, payments as kept};

/// The largest notification.
const MOST_BYTES: usize = 64 * 1024;
/// How long a notification may take to arrive and to be taken: less than the shortest patience of a gateway.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many notifications that are not believed are kept in a minute, in each process; the others are counted only.
const REJECTED_A_MINUTE: u32 = 60;
/// How long a gateway is not asked again about the same payment by its payer's browser.
const ASKED_EVERY: Duration = Duration::from_secs(3);
/// Of how many payments it is remembered when they were asked about.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
/// No script, no picture; a form goes back to where it came from.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the doors share.
#[derive(Clone, Debug)]
struct Doors {
    app: Arc<App>,
    /// The minute that is counted, and how many were kept in it.
    rejected: Arc<Mutex<(Option<Instant>, u32)>>,
    asked: Arc<Mutex<LruCache<Uuid, Instant>>>,
}

impl Doors {
    /// Whether the record of one more notification may be kept if it is not believed.
    fn keeps_rejected(&self) -> bool {
        let now = clock::monotonic();
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        if rejected
            .0
            .is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(60))
        {
            *rejected = (Some(now), 0);
        }
        rejected.1 = rejected.1.saturating_add(1);
        rejected.1 <= REJECTED_A_MINUTE
    }

    /// Whether a gateway may be asked about a payment now.
    fn may_ask(&self, payment: Uuid) -> bool {
        let now = clock::monotonic();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = asked
            .get(&payment)
            .is_some_and(|before| now.saturating_duration_since(*before) < ASKED_EVERY);
        if !lately {
            asked.put(payment, now);
        }
        !lately
    }
}

/// The routes: `/webhooks/{gateway}`, `/payments/return/{payment}`, `/pay/{token}`, `/exports`, and in development `/sandbox`.
pub(super) fn routes(app: Arc<App>, edge: Arc<Edge>) -> Router {
    let exports = exports::routes(Arc::clone(&app), edge);
    let is_sandbox = app.sandbox.is_some();
    let doors = Doors {
        app,
        rejected: Arc::default(),
        asked: Arc::new(Mutex::new(LruCache::new(REMEMBERED))),
    };
    let mut routes = Router::new()
        .route("/webhooks/{gateway}", any(notified))
        .route("/payments/return/{payment}", get(returned))
        .route("/pay/{token}", get(on_behalf::show).post(on_behalf::pay));
    if is_sandbox {
        routes = routes
            .route("/sandbox/next", axum::routing::post(sandbox::prepare))
            .route(
                "/sandbox/checkouts/{reference}",
                get(sandbox::show).post(sandbox::press),
            );
    }
    routes.with_state(doors).merge(exports)
}

/// A gateway tells something. It is taken however long it takes: when the gateway does not wait so long it is told to come
/// again, in its own words, and finds it done.
async fn notified(State(doors): State<Doors>, Path(gateway): Path<String>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(knocked_at) = doors.app.gateways.at_path(&gateway).cloned() else {
        return plain(StatusCode::NOT_FOUND, "There is no such gateway.");
    };
    let until = tokio::time::Instant::from_std(clock::monotonic() + PATIENCE);
    let read = tokio::time::timeout_at(until, to_bytes(body, MOST_BYTES)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "The body took too long."),
    };
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let hearing = tokio::spawn(async move {
        let raw = RawNotice {
            method: parts.method.as_str(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body: &body,
            received_at: doors.app.clock.now(),
        };
        payments::hear(&doors.app, &gateway, raw, || doors.keeps_rejected()).await
    });
    let answer = match tokio::time::timeout_at(until, hearing).await {
        Ok(Ok(Some(answer))) => answer,
        // It is delivered again.
        Ok(Ok(None) | Err(_)) | Err(_) => knocked_at.answer(Verdict::Later),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// A payer comes back from a gateway. What the address says about the payment is not read: the gateway is asked, and the
/// payer is sent on to where the basket came from.
async fn returned(State(doors): State<Doors>, Path(payment): Path<String>) -> Response<Body> {
    let Ok(id) = Uuid::try_parse(&payment) else {
        return page(StatusCode::NOT_FOUND, "Payment", "There is no such payment.", None);
    };
    let scope = Scope::engine();
    let asks = doors.may_ask(id);
    if asks && let Ok(Err(error)) = tokio::time::timeout(PATIENCE, payments::look(&doors.app, &scope, id)).await {
        tracing::info!(%error, payment = %id, "a payer came back and the payment could not be asked about");
    }
    let found = async {
        let attempts = gateway_payments::by_ids(doors.app.db.read(), &scope, &[id]).await?;
        let payments = kept::by_ids(doors.app.db.read(), &scope, &[id]).await?;
        Ok::<_, crate::error::Error>(attempts.into_iter().next().zip(payments.into_iter().next()))
    };
    let (attempt, payment) = match found.await {
        Ok(Some(found)) => found,
        Ok(None) => return returned_from_link(&doors, id, asks).await,
        Err(error) => {
            tracing::warn!(%error, "a payer's payment could not be read");
            let words = "This can't be answered just now. Try again in a minute.";
            return page(StatusCode::SERVICE_UNAVAILABLE, "Payment", words, None);
        }
    };
    if let Some(url) = &attempt.return_url
        && let Some(response) = sent_on(url, &format!("payment={}&status={}", payment.code, payment.status))
    {
        return response;
    }
    let again = match payment.method {
        PaymentMethod::OnBehalf => "Open the link that you were sent, and try again.",
        _ => "Go back and try again.",
    };
    let words = match payment.status {
        PaymentStatus::Pending => "The payment is on its way. You can close this page.".to_owned(),
        PaymentStatus::Succeeded => "The payment has succeeded. You can close this page.".to_owned(),
        PaymentStatus::Failed => format!("The payment has failed. {again}"),
        PaymentStatus::Expired => format!("The time to pay has run out. {again}"),
    };
    page(StatusCode::OK, &payment.code, &words, None)
}

/// The owner of an account or card that is linked comes back from its gateway.
async fn returned_from_link(doors: &Doors, id: Uuid, asks: bool) -> Response<Body> {
    let scope = Scope::engine();
    if asks && let Ok(Err(error)) = tokio::time::timeout(PATIENCE, payment_methods::look(&doors.app, &scope, id)).await
    {
        tracing::info!(%error, method = %id, "somebody came back and the link could not be asked about");
    }
    let row = match methods::by_ids(doors.app.db.read(), &scope, &[id]).await {
        Ok(rows) => rows.into_iter().next(),
        Err(error) => {
            tracing::warn!(%error, "a link could not be read");
            let words = "This can't be answered just now. Try again in a minute.";
            return page(StatusCode::SERVICE_UNAVAILABLE, "Payment", words, None);
        }
    };
    let Some(row) = row else {
        return page(StatusCode::NOT_FOUND, "Payment", "There is no such payment.", None);
    };
    if let Some(url) = &row.return_url
        && let Some(response) = sent_on(url, &format!("link={}", row.status))
    {
        return response;
    }
    let words = match row.status {
        LinkStatus::Pending => "The link is on its way. You can close this page.",
        LinkStatus::Active => "It is linked. You can close this page.",
        LinkStatus::Failed => "It was not linked. Go back and try again.",
        LinkStatus::Ended => "It is not linked any more. You can close this page.",
    };
    page(StatusCode::OK, "Link", words, None)
}

/// Sends a browser on to where it came from, with what became of it.
fn sent_on(url: &str, what: &str) -> Option<Response<Body>> {
    // A fragment stays behind the query, and what it has of question marks is its own.
    let (address, fragment) = url
        .split_once('#')
        .map_or((url, String::new()), |(address, rest)| (address, format!("#{rest}")));
    let joined = if address.contains('?') { '&' } else { '?' };
    let target = HeaderValue::from_str(&format!("{address}{joined}{what}{fragment}")).ok()?;
    let mut response = plain(StatusCode::SEE_OTHER, "");
    response.headers_mut().insert(LOCATION, target);
    Some(response)
}

fn plain(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page for a person; `inner` is HTML that is ours.
fn page(status: StatusCode, title: &str, words: &str, inner: Option<&str>) -> Response<Body> {
    page_in("en", status, title, words, inner)
}

/// The same in a language, as HTML names it.
fn page_in(language: &str, status: StatusCode, title: &str, words: &str, inner: Option<&str>) -> Response<Body> {
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}}\
         h1{{font-size:1.3rem}}.amount{{font-size:2rem;font-weight:600}}button{{font:inherit;margin:.2rem;padding:.5rem .9rem;border:1px solid #888;\
         border-radius:.4rem;background:#fff;cursor:pointer}}button.pay{{background:#0a7d38;color:#fff;border-color:#0a7d38}}\
         small{{color:#57606a}}fieldset{{border:1px solid #ddd;border-radius:.4rem}}</style>\n<h1>{title}</h1>\n<p>{words}</p>\n{inner}\n</html>\n",
        title = escaped(title),
        words = escaped(words),
        inner = inner.unwrap_or_default(),
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
