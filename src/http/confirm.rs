//! The page behind a link in an e-mail, for people without a token: it is looked at with GET, which programs that scan
//! mail do as well, and used with POST, by its button.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};

use super::edge::{Edge, Step};

/// The largest form: one secret.
const MOST_BYTES: usize = 1_024;
/// No script, no style, no picture; the form goes back to where it came from.
const POLICY: &str = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Shows what stands behind the link.
pub(super) async fn look(State(edge): State<Arc<Edge>>, request: Request) -> Response<Body> {
    let token = field(request.uri().query().unwrap_or_default());
    answer(&edge, Step::Look, token).await
}

/// Uses it.
pub(super) async fn confirm(State(edge): State<Arc<Edge>>, request: Request) -> Response<Body> {
    let read = to_bytes(request.into_body(), MOST_BYTES);
    let token = match tokio::time::timeout(edge.config.request_timeout, read).await {
        Ok(Ok(form)) => field(&String::from_utf8_lossy(&form)),
        _ => String::new(),
    };
    answer(&edge, Step::Confirm, token).await
}

/// The field `token` of a form or query. Secrets are letters and digits: one that needs decoding is none.
fn field(form: &str) -> String {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == "token");
    tokens.next().map_or_else(String::new, |(_, token)| token.to_owned())
}

async fn answer(edge: &Edge, step: Step, token: String) -> Response<Body> {
    let answered = match &edge.pages {
        Some(pages) => tokio::time::timeout(edge.config.request_timeout, pages(step, token)).await,
        None => Ok(Err("there are no pages".to_owned())),
    };
    let (status, html) = match answered {
        Ok(Ok(page)) => (
            StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            page.html,
        ),
        Ok(Err(error)) => {
            tracing::error!(error, "a page could not be shown");
            (StatusCode::SERVICE_UNAVAILABLE, AWAY.to_owned())
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, AWAY.to_owned()),
    };
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const AWAY: &str = "<!DOCTYPE html>\n<title>Try again / Thử lại</title>\n<p>This can't be answered just now. Try again in a minute. / \
                    Hiện chưa thể trả lời. Hãy thử lại sau một phút.</p>\n";

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn the_token_is_found_among_others_and_missing_is_empty() {
        assert_eq!(field("a=b&token=abc&c=d"), "abc");
        for without in ["", "token", "tokens=abc", "a=token"] {
            assert_eq!(field(without), "");
        }
    }
}
