//! A client of graphql-transport-ws, as small as a test needs.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Socket {
    inner: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Socket {
    /// An open socket whose token was accepted.
    pub(crate) async fn open(url: &str, token: &str) -> Self {
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (inner, _) = connect_async(request).await.unwrap();
        let mut socket = Self { inner };
        socket
            .send(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } }))
            .await;
        socket.expect("connection_ack").await;
        socket
    }

    /// The code a socket is closed with that says `connection_init` without a token.
    pub(crate) async fn refused(url: &str) -> u16 {
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (inner, _) = connect_async(request).await.unwrap();
        let mut socket = Self { inner };
        socket.send(json!({ "type": "connection_init" })).await;
        let closed = async {
            loop {
                match socket.inner.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                    Some(Ok(_)) => {}
                    other => panic!("the socket ended: {other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, closed)
            .await
            .expect("a close that must come")
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.inner.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Subscribes, and waits until the subscription stands: a ping sent behind it is answered.
    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await;
    }

    /// The next message that is no ping.
    pub(crate) async fn next(&mut self) -> Value {
        let wait = async {
            loop {
                match self.inner.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] != "ping" {
                            return message;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => panic!("the socket was closed: {frame:?}"),
                    Some(Ok(_)) => {}
                    other => panic!("the socket ended: {other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("a message that must come")
    }

    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The data of the next result.
    pub(crate) async fn data(&mut self) -> Value {
        let mut message = self.expect("next").await;
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"].take()
    }
}
