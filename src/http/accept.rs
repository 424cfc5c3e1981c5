//! Media types: what a request's body is, and which form of answer its sender reads.

use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

/// A form of GraphQL answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: 200 for every well-formed request.
    Json,
    /// `application/graphql-response+json`: 400 for what cannot run.
    GraphqlResponse,
    /// `text/event-stream`: an event for each answer. What never becomes an operation is answered as JSON.
    EventStream,
}

impl Media {
    pub(super) const fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::GraphqlResponse => HeaderValue::from_static("application/graphql-response+json; charset=utf-8"),
            Self::EventStream => HeaderValue::from_static("text/event-stream"),
        }
    }
}

/// The form the caller prefers: by quality, then by the order it names them. Without `Accept`, and for wildcards, it is
/// `application/json`: who names nothing is an old client. `None`: the caller reads none of them.
pub(super) fn preferred(headers: &HeaderMap) -> Option<Media> {
    let mut best: Option<(u16, Media)> = None;
    let mut named = false;
    for value in headers.get_all(ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        for range in value.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            named = true;
            let mut parts = range.split(';').map(str::trim);
            let media = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/graphql-response+json" => Media::GraphqlResponse,
                "application/json" | "application/*" | "*/*" => Media::Json,
                "text/event-stream" => Media::EventStream,
                _ => continue,
            };
            let quality = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1_000, thousandths);
            if quality > 0 && best.is_none_or(|(best, _)| quality > best) {
                best = Some((quality, media));
            }
        }
    }
    if named {
        best.map(|(_, media)| media)
    } else {
        Some(Media::Json)
    }
}

/// A quality value (`0.75`) in thousandths. Nonsense counts as 1, as if it were not there.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let mut digits = fraction.bytes().chain(std::iter::repeat(b'0'));
    let mut value: u16 = 0;
    for _ in 0..3 {
        match digits.next() {
            Some(digit @ b'0'..=b'9') => value = value * 10 + u16::from(digit - b'0'),
            _ => return 1_000,
        }
    }
    if whole == "0" { value } else { 1_000 }
}

/// Why a body is not looked at; each is answered 415.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// No `Content-Type`.
    Missing,
    /// Another type than `application/json`. Forms and plain text above all: a page of another site can send those
    /// without asking, and that is the door of cross-site request forgery.
    Type,
    /// Another charset than UTF-8.
    Charset,
    /// A compressed body: its size could not be bounded by what was read.
    Encoding,
}

impl Unsupported {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Missing => "The Content-Type header is missing: send application/json.",
            Self::Type => "Only bodies of Content-Type application/json are read.",
            Self::Charset => "The body must be in UTF-8.",
            Self::Encoding => "Encoded bodies are not read: send it without Content-Encoding.",
        }
    }
}

/// Whether the body is JSON in UTF-8, by its headers.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Unsupported> {
    let value = headers.get(CONTENT_TYPE).ok_or(Unsupported::Missing)?;
    let value = value.to_str().map_err(|_| Unsupported::Type)?;
    let mut parts = value.split(';').map(str::trim);
    if !parts
        .next()
        .unwrap_or_default()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(Unsupported::Type);
    }
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let charset = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !["utf-8", "utf8", "us-ascii"]
                .iter()
                .any(|known| charset.eq_ignore_ascii_case(known))
        {
            return Err(Unsupported::Charset);
        }
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Unsupported::Encoding),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn accepting(value: &str) -> Option<Media> {
        preferred(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn the_answer_takes_the_form_its_reader_prefers() {
        use Media::{EventStream, GraphqlResponse, Json};
        assert_eq!(preferred(&HeaderMap::new()), Some(Json));
        for (value, media) in [
            ("*/*", Some(Json)),
            ("application/*;q=0.1", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphqlResponse),
            ),
            (
                "application/json;q=0.9, Application/GraphQL-Response+JSON;q=0.95",
                Some(GraphqlResponse),
            ),
            ("application/json, application/graphql-response+json", Some(Json)),
            (
                "application/graphql-response+json;q=0, application/json;q=0.001",
                Some(Json),
            ),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Json)),
            ("application/json;q=nonsense", Some(Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("text/event-stream", Some(EventStream)),
            ("application/json, text/event-stream", Some(Json)),
            ("text/*", None),
        ] {
            assert_eq!(accepting(value), media, "{value}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        let check = |value: &str| {
            check_json(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_str(value).unwrap(),
            )]))
        };
        assert_eq!(check_json(&HeaderMap::new()), Err(Unsupported::Missing));
        assert_eq!(check("application/json"), Ok(()));
        assert_eq!(check("Application/JSON ; Charset=\"UTF-8\""), Ok(()));
        assert_eq!(check("application/json; charset=utf-16"), Err(Unsupported::Charset));
        for refused in [
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "",
            "json",
        ] {
            assert_eq!(check(refused), Err(Unsupported::Type), "{refused}");
        }
    }
}
