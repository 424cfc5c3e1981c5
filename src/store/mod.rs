//! Queries by noun, each scoped, bounded and named after what it answers; and the writes that commands share.
//!
//! Every function takes the caller's [`Scope`] first. Nothing here decides: rules live in `domain`, and what is done
//! with their answer in `commands`.

pub mod accounts;
pub mod codes;
pub mod due;
pub mod event_log;
pub mod fulfilment;
pub mod idempotency;
pub mod ledger;
pub mod pricing;
pub mod purchases;
pub mod state;

mod scope;

pub use scope::Scope;
