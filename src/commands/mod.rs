//! One function for each thing that changes the world. It reads as: check, decide, write, tell.
//!
//! A command checks its input before it reads anything, takes one `now`, and does all its writing in one transaction.
//! No command calls another: what two share is a rule (`domain`), a write (`store`), or what `fulfil` and `collect` do:
//! the one within the transaction of either, the other for whoever brings news of a payment.

pub mod alerts;
pub mod auto_renew;
pub mod auto_top_up;
pub mod billing_addresses;
mod collect;
pub mod coupon;
pub mod credit;
pub mod credit_transfer;
pub(crate) mod fulfil;
pub mod mail;
pub mod order;
pub mod payment_methods;
pub mod payments;
pub mod power;
pub mod provisioning;
pub mod quarantine;
pub mod quote;
pub mod recipients;
pub mod refunds;
pub mod releases;
pub mod seed;
pub mod statement;
pub mod tags;
pub mod top_up;
pub mod webhooks;
