//! Queries by noun, each scoped, bounded and named after what it answers; and the writes that commands share.
//!
//! Every function takes the caller's [`Scope`] first. Nothing here decides: rules live in `domain`, and what is done
//! with their answer in `commands`.

pub mod codes;
pub mod event_log;
pub mod idempotency;
pub mod ledger;
pub mod state;

mod scope;

pub use scope::Scope;
