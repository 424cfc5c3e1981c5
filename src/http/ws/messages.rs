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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use async_graphql::Value;
    use bytes::Bytes;
    use serde_json::json;

    use super::super::super::reply::{Cost, Outcome, coded};
    use super::*;

    /// An answer whose data is that of several subscribers, written.
    fn written(json: &'static str) -> Answer {
        let mut answer = Answer::refused(Vec::new());
        answer.outcome = Outcome::Executed;
        answer.data = Value::Binary(Bytes::from_static(json.as_bytes()));
        answer
    }

    fn said(answer: &Answer) -> Json {
        serde_json::from_str(next("a \"quoted\" id", answer).to_text().unwrap()).unwrap()
    }

    #[test]
    fn written_data_is_the_payload_and_what_else_is_said_stands_beside_it() {
        let data = r#"{"walletChanged":{"note":"\u00e9 \" }"}}"#;
        let read: Json = serde_json::from_str(data).unwrap();
        let mut answer = written(data);
        let frame = next("1", &answer);
        let text = frame.to_text().unwrap();
        assert_eq!(
            text,
            format!(r#"{{"type":"next","id":"1","payload":{{"data":{data}}}}}"#)
        );
        let whole = json!({ "type": "next", "id": "a \"quoted\" id", "payload": { "data": read } });
        assert_eq!(said(&answer), whole);

        answer.cost = Some(Cost { limit: 9, requested: 2 });
        assert_eq!(said(&answer)["payload"]["data"], read);
        let cost = json!({ "limit": 9, "requested": 2 });
        assert_eq!(said(&answer)["payload"]["extensions"], json!({ "cost": cost }));
        answer.extensions.insert("errorsOmitted".to_owned(), Value::from(3));
        assert_eq!(
            said(&answer)["payload"]["extensions"],
            json!({ "cost": cost, "errorsOmitted": 3 })
        );
        answer.cost = None;
        assert_eq!(said(&answer)["payload"]["extensions"], json!({ "errorsOmitted": 3 }));
        answer.errors.push(coded("INTERNAL", "It broke."));
        let payload = &said(&answer)["payload"];
        assert_eq!(
            (&payload["data"], &payload["errors"][0]["message"]),
            (&read, &json!("It broke."))
        );
    }

    #[test]
    fn what_could_not_run_has_no_data() {
        let refused = Answer::refused(vec![coded("BAD_REQUEST", "No.")]);
        let payload = &said(&refused)["payload"];
        assert!(
            payload.get("data").is_none() && payload.get("extensions").is_none(),
            "{payload}"
        );
        assert_eq!(payload["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    }
}
