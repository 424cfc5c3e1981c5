//! The gateway as its users see it: over real HTTP and real sockets, on SQLite and on PostgreSQL. Each test is a
//! sentence about what somebody does and what everybody sees then; the books are proved after each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod access;
mod actions;
mod addresses;
mod alerts;
mod at_once;
mod auto_renewal;
mod bad_input;
mod bad_requests;
mod books;
mod browser;
mod buying;
mod clients;
mod configuration;
mod ends;
mod engine;
mod events;
mod faults;
mod forecast;
mod hazards;
mod histories;
mod house;
mod in_json;
mod kill;
mod linked;
mod mail;
mod manage;
mod on_behalf;
mod partners;
mod paying;
mod peers;
mod reading;
mod reads;
mod refunds;
mod relay;
mod resume;
mod schema;
mod support;
mod transfers;
mod walk;
mod webhooks;
mod worlds;
mod writes;
