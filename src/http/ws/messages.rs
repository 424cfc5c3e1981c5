//! The protocol's messages: what a client may send, read strictly; what the server sends, written.

use async_graphql::ServerError;
use axum::extract::ws::{Message, Utf8Bytes};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::http::params::{self, Params};
use crate::http::reply::Answer;

/// What a client sends.
#[derive(Debug)]
pub(super) enum Incoming {
    Init(Map<String, Json>),
    Ping(Option<Map<String, Json>>),
    Pong,
    Subscribe { id: String, params: Box<Params> },
    Complete { id: String },
}

/// Longest operation id, in bytes: it is repeated in every message.
const LONGEST_ID: usize = 256;

impl Incoming {
    /// Reads a text message. Errors: what is wrong with it, for the close reason.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("Invalid message: {why}");
        let Ok(Json::Object(mut message)) = serde_json::from_str::<Json>(text) else {
            return Err(invalid("not a JSON object"));
        };
        let Some(Json::String(kind)) = message.remove("type") else {
            return Err(invalid("\"type\" is missing"));
        };
        let payload = message.remove("payload");
        let id = message.remove("id");
        match kind.as_str() {
            "connection_init" => Ok(Self::Init(
                object(payload).map_err(|()| invalid("payload"))?.unwrap_or_default(),
            )),
            "ping" => Ok(Self::Ping(object(payload).map_err(|()| invalid("payload"))?)),
            "pong" => object(payload).map(|_| Self::Pong).map_err(|()| invalid("payload")),
            "subscribe" => {
                let id = operation_id(id).ok_or_else(|| invalid("\"id\""))?;
                let params = params::from_json(payload.unwrap_or_default()).map_err(|bad| invalid(&bad.0))?;
                Ok(Self::Subscribe {
                    id,
                    params: Box::new(params),
                })
            }
            "complete" => Ok(Self::Complete {
                id: operation_id(id).ok_or_else(|| invalid("\"id\""))?,
            }),
            _ => Err(invalid("unknown \"type\"")),
        }
    }
}

fn object(payload: Option<Json>) -> Result<Option<Map<String, Json>>, ()> {
    match payload {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(_) => Err(()),
    }
}

fn operation_id(id: Option<Json>) -> Option<String> {
    match id {
        Some(Json::String(id)) if !id.is_empty() && id.len() <= LONGEST_ID => Some(id),
        _ => None,
    }
}

/// What the server sends.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    ConnectionAck,
    Ping,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Json>>,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl Outgoing<'_> {
    /// As a frame. These types are always JSON; were they not, an empty object would be sent, which a client refuses.
    pub(super) fn frame(&self) -> Message {
        Message::Text(Utf8Bytes::from(
            serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned()),
        ))
    }
}

/// An answer of an operation, as a frame.
pub(super) fn next(id: &str, answer: &Answer) -> Message {
    let id = serde_json::to_string(id).unwrap_or_default();
    let begin = "{\"type\":\"next\",\"id\":";
    Message::text(match answer.written_data() {
        Some(data) => [begin, &id, ",\"payload\":{\"data\":", data, "}}"].concat(),
        None => [begin, &id, ",\"payload\":", &answer.json(), "}"].concat(),
    })
}
