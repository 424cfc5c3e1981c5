//! The sandbox's page, and what drives it from a test: `POST /sandbox/checkouts/{reference}` presses a button,
//! `POST /sandbox/next` says what the next checkout does, `GET` with `Accept: application/json` shows what it knows.

use axum::Form;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Deserialize;

use super::{Doors, page, plain};
use crate::commands::payments;
use crate::domain::mail::escaped;
use crate::error::Error;
use crate::gateways::sandbox::{Press, Record, Standing};

/// A button.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Pressed {
    press: Press,
}

/// The buttons that a checkout's page shows, and what stands on them.
const BUTTONS: &[(Press, &str)] = &[
    (Press::DeclineFunds, "Decline: not enough money"),
    (Press::DeclineLimit, "Decline: over a limit"),
    (Press::DeclineExpiredMethod, "Decline: card expired"),
    (Press::DeclineFraud, "Decline: suspicious"),
    (Press::Decline, "Decline"),
    (Press::Cancel, "Give up"),
    (Press::Challenge, "Challenge: stays open"),
    (Press::ApproveSlowly, "Pay, tell it 10 minutes later"),
    (Press::ApproveSilently, "Pay, never tell it"),
    (Press::ApproveRepeatedly, "Pay, tell it three times"),
    (Press::ApproveOutOfOrder, "Pay, then tell that it failed"),
    (Press::ApproveUnreachable, "Pay, do not answer questions"),
    (Press::WrongAmount, "Pay another amount"),
    (Press::WrongCurrency, "Pay in another currency"),
    (Press::WrongMerchant, "Pay, tell it to another merchant"),
    (Press::Forge, "Pay, sign with another key"),
    (Press::Stale, "Pay, sign as of an hour ago"),
    (Press::PayTwice, "Pay twice"),
    (Press::PayLate, "Pay, also when it is too late"),
    (Press::Review, "Debit, look into it"),
    (Press::Clear, "End the looking into it well"),
];

/// The buttons of an account that is linked.
const LINK_BUTTONS: &[(Press, &str)] = &[
    (Press::LinkWithoutFunds, "Link; charges have not enough money"),
    (Press::LinkChallenged, "Link; charges have to be confirmed in person"),
    (Press::LinkLost, "Link; charges are taken, and not answered"),
    (Press::LinkReviewed, "Link; charges are looked into"),
    (Press::Cancel, "Give up"),
    (Press::Decline, "Decline"),
    (Press::ApproveSilently, "Link, never tell it"),
    (Press::ApproveSlowly, "Link, tell it 10 minutes later"),
    (Press::ApproveRepeatedly, "Link, tell it three times"),
    (Press::Forge, "Link, sign with another key"),
];

/// Says what the next checkout does.
pub(super) async fn prepare(State(doors): State<Doors>, Form(pressed): Form<Pressed>) -> Response<Body> {
    let Some(sandbox) = &doors.app.sandbox else {
        return nothing();
    };
    match sandbox.prepare(pressed.press).await {
        Ok(()) => plain(StatusCode::OK, "The next checkout does so.\n"),
        Err(error) => away(&error),
    }
}

/// Shows a checkout.
pub(super) async fn show(
    State(doors): State<Doors>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(sandbox) = &doors.app.sandbox else {
        return nothing();
    };
    match sandbox.record(&reference).await {
        Ok(Some(record)) if wants_json(&headers) => json(&record),
        Ok(Some(record)) => checkout(&doors, &record),
        Ok(None) => nothing(),
        Err(error) => away(&error),
    }
}

/// Presses a button, and lets the gateway hear of it.
pub(super) async fn press(
    State(doors): State<Doors>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    Form(pressed): Form<Pressed>,
) -> Response<Body> {
    let Some(sandbox) = &doors.app.sandbox else {
        return nothing();
    };
    let record = match sandbox.press(&reference, pressed.press).await {
        Ok(Some(record)) => record,
        Ok(None) => return nothing(),
        Err(error) => return away(&error),
    };
    if let Err(error) = payments::hear_sandbox(&doors.app).await {
        tracing::warn!(%error, "what the sandbox has to tell could not be heard; it tells it again");
    }
    if wants_json(&headers) {
        return json(&record);
    }
    // Seen with GET, so that going back and reloading press nothing again.
    let mut response = plain(StatusCode::SEE_OTHER, "");
    if let Ok(target) = HeaderValue::from_str(&format!("/sandbox/checkouts/{}", record.reference)) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

fn checkout(doors: &Doors, record: &Record) -> Response<Body> {
    let now = doors.app.clock.now();
    let back = format!(
        "<p><a id=\"back\" href=\"{}\">Back to the shop</a></p>",
        escaped(&record.return_url)
    );
    let (words, refresh) = match record.standing_at(now) {
        Standing::Open if record.is_link => ("To be linked.".to_owned(), true),
        Standing::Paid { .. } if record.is_link => ("Linked.".to_owned(), false),
        Standing::Open => {
            let left = (record.expires_at - now).num_seconds().max(0);
            (format!("To be paid within {}:{:02}.", left / 60, left % 60), true)
        }
        Standing::Review => ("Debited; it is looked into.".to_owned(), true),
        Standing::Paid { .. } => ("Paid.".to_owned(), false),
        Standing::Declined { decline } => (format!("Declined: {}.", decline.as_str()), false),
        Standing::Expired => ("The time to pay has run out.".to_owned(), false),
    };
    let amount = if record.is_link {
        String::new()
    } else {
        record.amount.to_string()
    };
    let mut inner = format!(
        "<p class=\"amount\">{}</p>\n<p>{}<br><small>{}</small></p>\n",
        escaped(&amount),
        escaped(&record.description),
        escaped(&record.reference)
    );
    if refresh {
        inner.push_str("<meta http-equiv=\"refresh\" content=\"15\">\n");
        let mut buttons = String::new();
        let (buttons_of, first) = if record.is_link {
            (LINK_BUTTONS, "Link")
        } else {
            (BUTTONS, "Pay")
        };
        for (press, words) in buttons_of {
            buttons.push_str(&button(record, *press, words, ""));
        }
        inner.push_str(&button(record, Press::Approve, first, "pay"));
        inner.push_str("<details><summary>Or what else a gateway may do</summary>\n");
        inner.push_str(&buttons);
        inner.push_str("</details>\n");
    } else if record.is_link && matches!(record.standing, Standing::Paid { .. }) {
        inner.push_str(&button(
            record,
            Press::Unlink,
            "Unlink, as its owner at the gateway",
            "",
        ));
    } else {
        // On to the shop by itself; a click is faster.
        inner.push_str(&format!(
            "<meta http-equiv=\"refresh\" content=\"2;url={}\">\n",
            escaped(&record.return_url)
        ));
    }
    inner.push_str(&back);
    page(StatusCode::OK, "Sandbox: no real money", &words, Some(&inner))
}

fn button(record: &Record, press: Press, words: &str, class: &str) -> String {
    let name = serde_json::to_value(press).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    format!(
        "<form method=\"post\" action=\"/sandbox/checkouts/{}\"><button class=\"{class}\" name=\"press\" value=\"{name}\">{}</button></form>\n",
        escaped(&record.reference),
        escaped(words)
    )
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"))
}

fn json(record: &Record) -> Response<Body> {
    let body = serde_json::to_string(record).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn nothing() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "The sandbox has no such checkout.\n")
}

fn away(error: &Error) -> Response<Body> {
    tracing::warn!(%error, "the sandbox could not answer");
    plain(StatusCode::SERVICE_UNAVAILABLE, "The sandbox can't answer just now.\n")
}
