//! One function for each thing that changes the world. It reads as: check, decide, write, tell.
//!
//! A command checks its input before it reads anything, takes one `now`, and does all its writing in one transaction.
//! No command calls another: what two share is a rule (`domain`), a write (`store`), or what `fulfil` does within the
//! transaction of either.

pub mod alerts;
pub mod auto_renew;
pub mod coupon;
pub mod credit;
pub(crate) mod fulfil;
pub mod mail;
pub mod order;
pub mod power;
pub mod provisioning;
pub mod quote;
pub mod recipients;
pub mod releases;
pub mod seed;
pub mod tags;
pub mod webhooks;
