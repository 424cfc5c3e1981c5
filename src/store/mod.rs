//! Queries by noun, each scoped, bounded and named after what it answers; and the writes that commands share.
//!
//! Every function takes the caller's [`Scope`]. Nothing here decides: rules live in `domain`, and what is done
//! with their answer in `commands`. Nothing is kept here between calls but what [`remembered`] says it is.

pub mod accounts;
pub mod alerts;
mod asked;
pub mod billing_addresses;
pub mod catalogue;
pub mod codes;
mod columns;
pub mod copies;
pub mod coupons;
pub mod deliveries;
pub mod due;
pub mod event_log;
pub mod fulfilment;
pub mod gateway_payments;
pub mod histories;
pub mod idempotency;
mod insert;
pub mod invoices;
pub mod ledger;
pub mod letters;
pub mod orders;
pub mod outbox;
pub mod page;
pub mod payment_links;
pub mod payment_methods;
pub mod payments;
pub mod pricing;
pub mod provisioning;
pub mod purchases;
pub mod quarantine;
pub mod quotes;
pub mod recipients;
pub mod refunds;
pub mod remembered;
pub mod resources;
pub mod sandbox;
mod scope;
mod search;
pub mod state;
pub mod transfers;
pub mod wallets;
pub mod webhooks;

#[cfg(test)]
mod tests;

pub use scope::Scope;
