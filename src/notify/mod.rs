//! Tells the world outside: signed HTTP requests to customers and to products' services, and e-mail. What is to be sent
//! stands in the store, written with what it tells or derived from an account's stream of events, so that nothing is lost
//! when a process dies; it is sent outside of any transaction.

pub mod mail;
mod message;
mod sign;
mod target;
mod webhooks;

pub use webhooks::{Passed, Sender, drive};

/// What signs requests, for tests that check them by themselves.
pub use sign::signature;
