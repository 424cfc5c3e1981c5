//! The page behind a link by which somebody else pays: what is to be paid and for whom, and a button that leads to the
//! gateway's own page.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderValue, Response, StatusCode};

use super::{Doors, page_in, plain};
use crate::app::App;
use crate::commands::order as commands;
use crate::commands::payments::{self, Begun};
use crate::domain::mail::escaped;
use crate::domain::on_behalf::Standing;
use crate::domain::on_behalf::page::{self as text, Trouble};
use crate::error::Error;
use crate::store::Scope;

/// As on the other pages, but for the button: browsers hold where a form is redirected to against the policy as well, and
/// that is the gateway's page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'";

/// Shows what is to be paid, and begins nothing: programs that scan mail open links too.
pub(super) async fn show(State(doors): State<Doors>, Path(token): Path<String>) -> Response<Body> {
    shown(&doors, &token, None).await
}

/// Leads to the gateway's page.
pub(super) async fn pay(State(doors): State<Doors>, Path(token): Path<String>) -> Response<Body> {
    match follow(&doors.app, &token).await {
        Ok(Followed::To(url)) => {
            let mut response = plain(StatusCode::SEE_OTHER, "");
            let Ok(target) = HeaderValue::from_str(&url) else {
                return away(&Error::internal("a gateway's page has no address that a browser takes"));
            };
            let headers = response.headers_mut();
            headers.insert(LOCATION, target);
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        Ok(Followed::Nowhere(trouble)) => shown(&doors, &token, trouble).await,
        Err(error) => missing(&error),
    }
}

/// What using a link did.
enum Followed {
    /// The payer's browser is to go to this page of the gateway.
    To(String),
    /// There is nothing to go to.
    Nowhere(Option<Trouble>),
}

async fn follow(app: &Arc<App>, token: &str) -> Result<Followed, Error> {
    let payment = match commands::open_by_link(app, token).await {
        Ok(Some(payment)) => payment,
        Ok(None) => return Ok(Followed::Nowhere(None)),
        // What was ordered has changed since, and can't be bought as it was promised.
        Err(Error::Refused(refusal)) if !refusal.code.is_ours() => {
            tracing::info!(%refusal, "an order can't be paid on behalf any more");
            return Ok(Followed::Nowhere(Some(Trouble::Stale)));
        }
        Err(error) => return Err(error),
    };
    Ok(
        match payments::begin(Arc::clone(app), Scope::engine(), payment).await? {
            Begun::Ready | Begun::Nothing => commands::page_of(app, payment)
                .await?
                .map_or(Followed::Nowhere(None), Followed::To),
            Begun::Refused(_) => Followed::Nowhere(Some(Trouble::Refused)),
            Begun::Unknown | Begun::Charging => Followed::Nowhere(Some(Trouble::Away)),
        },
    )
}

async fn shown(doors: &Doors, token: &str, trouble: Option<Trouble>) -> Response<Body> {
    let seen = match commands::look(&doors.app, token).await {
        Ok(seen) => seen,
        Err(error) => return missing(&error),
    };
    let words = text::words(&seen.asked, seen.standing, &seen.gateway, trouble);
    let mut inner = String::new();
    if seen.standing == Standing::Open {
        inner.push_str("<ul>\n");
        for thing in &seen.asked.what {
            inner.push_str(&format!("<li>{}</li>\n", escaped(thing)));
        }
        inner.push_str(&format!(
            "</ul>\n<p class=\"amount\">{}</p>\n",
            escaped(&seen.asked.amount())
        ));
    }
    if let Some(button) = &words.button {
        inner.push_str(&format!(
            "<form method=\"post\"><button class=\"pay\">{}</button></form>\n",
            escaped(button)
        ));
    }
    let status = match seen.standing {
        Standing::Open | Standing::Underway | Standing::Paid => StatusCode::OK,
        Standing::Over | Standing::Expired => StatusCode::GONE,
    };
    let response = page_in(words.language, status, &words.title, &words.words, Some(&inner));
    hidden(response)
}

fn missing(error: &Error) -> Response<Body> {
    match error {
        Error::NotFound(_) => {
            let response = page_in(
                "en",
                StatusCode::NOT_FOUND,
                "No such link / Không có liên kết này",
                text::NO_LINK,
                None,
            );
            hidden(response)
        }
        error => away(error),
    }
}

fn away(error: &Error) -> Response<Body> {
    tracing::warn!(%error, "a link by which somebody else pays could not be used");
    let words =
        "This can't be answered just now. Try again in a minute. / Hiện chưa thể trả lời. Hãy thử lại sau một phút.";
    hidden(page_in(
        "en",
        StatusCode::SERVICE_UNAVAILABLE,
        "Try again / Thử lại",
        words,
        None,
    ))
}

/// The address is the secret: it is told to nobody who is linked to.
fn hidden(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
