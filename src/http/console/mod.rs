//! GraphiQL, served from the binary: a browser without a way to the internet can use it, and no third party's script
//! runs beside a token.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::observe;

/// Scripts and styles come from here alone. GraphiQL's editor sets styles on elements, hence `unsafe-inline` for those;
/// nothing is evaluated.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// The hash of the bytes, quoted.
    etag: String,
}

macro_rules! assets {
    ($($name:literal: $content_type:literal),+ $(,)?) => {
        [$(Asset::new($name, $content_type, include_bytes!(concat!("assets/", $name)))),+]
    };
}

static ASSETS: LazyLock<[Asset; 9]> = LazyLock::new(|| {
    assets! {
        "index.html": "text/html; charset=utf-8",
        "console.css": "text/css; charset=utf-8",
        "console.js": "text/javascript; charset=utf-8",
        "graphiql.min.css": "text/css; charset=utf-8",
        "graphiql.min.js": "text/javascript; charset=utf-8",
        "graphql-ws.min.js": "text/javascript; charset=utf-8",
        "react.production.min.js": "text/javascript; charset=utf-8",
        "react-dom.production.min.js": "text/javascript; charset=utf-8",
        "LICENSES.txt": "text/plain; charset=utf-8",
    }
});

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let mut etag = String::from("\"");
        for byte in Sha256::digest(bytes).iter().take(16) {
            // Writing to a String cannot fail.
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Self {
            name,
            content_type,
            bytes,
            etag,
        }
    }

    fn serve(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == self.etag)
            });
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Body::from(self.bytes))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // Asked again each time, answered with 304: names carry no version.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(ETAG, etag);
        }
        response
    }
}

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response<Body> {
    serve("index.html", &headers).await
}

/// One of its scripts, styles or licence texts.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    serve(&name, &headers).await
}

async fn serve(name: &str, headers: &HeaderMap) -> Response<Body> {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.serve(headers),
        None => observe::not_found().await,
    }
}
