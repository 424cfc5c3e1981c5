//! The rulebook: what things cost, how long they last, what may happen to them and how it is booked.
//!
//! Values go in, a decision or a [`Refusal`] comes out. There is no async here, no clock, no randomness and no row of
//! a table: an instant that a rule needs is an argument. The only import from outside is `entity::enums`, the words.
//! Money is whole minor units, rates are whole millionths, and a fraction is kept exact until its one rounding.

pub mod address;
pub mod auto_top_up;
pub mod billing_address;
pub mod coupon;
pub mod csv;
pub mod day_count;
pub mod exact;
pub mod explain;
pub mod funding;
pub mod gateway;
pub mod history;
pub mod ledger;
pub mod lifecycle;
pub mod mail;
pub mod many;
pub mod money;
pub mod on_behalf;
pub mod order;
pub mod payment;
pub mod period;
pub mod policy;
pub mod pricing;
pub mod quote;
pub mod rate;
pub mod refusal;
pub mod resize;
pub mod return_url;
pub mod schedule;
pub mod statement;
pub mod term;
pub mod text;
pub mod time;
pub mod viet_qr;
pub mod webhook;

#[cfg(test)]
mod calendar_tests;
#[cfg(test)]
mod golden_tests;

pub use money::{Currency, Money};
pub use rate::{Share, UnitPrice};
pub use refusal::{Facts, Refusal, RefusalCode};
pub use time::{Instant, Minutes, PricedMinutes};
