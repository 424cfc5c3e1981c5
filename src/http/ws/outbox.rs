//! What a socket has to send and its reader has not taken.

use std::collections::VecDeque;

use axum::extract::ws::Message;

use crate::http::config::SocketLimits;

/// Messages in their order, and how much they are.
#[derive(Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(size(&message));
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size(&message));
        Some(message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether one more may be taken.
    pub(super) fn has_room(&self, limits: &SocketLimits) -> bool {
        self.messages.len() < limits.queue && self.bytes < limits.queue_bytes
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(frame) => frame.as_ref().map_or(0, |frame| frame.reason.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn it_is_full_by_messages_or_by_bytes() {
        let limits = SocketLimits {
            queue: 3,
            queue_bytes: 10,
            ..SocketLimits::default()
        };
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            assert!(outbox.has_room(&limits));
            outbox.push(Message::text("x"));
        }
        assert!(!outbox.has_room(&limits));
        while outbox.pop().is_some() {}
        assert!(outbox.is_empty() && outbox.has_room(&limits));
        outbox.push(Message::text("x".repeat(10)));
        assert!(!outbox.has_room(&limits));
        assert_eq!(outbox.pop().unwrap(), Message::text("x".repeat(10)));
        assert!(outbox.has_room(&limits));
    }
}
