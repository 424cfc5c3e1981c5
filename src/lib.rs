//! billing-gateway: a GraphQL API gateway for a public cloud's billing and payment.
//!
//! The rooms and what each may touch are told in ARCHITECTURE.md; `tests/it/house.rs` holds the directions between them.

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod db;
pub mod domain;
pub mod engine;
pub mod error;
pub mod gateways;
pub mod graphql;
pub mod http;
pub mod ids;
pub mod live;
pub mod notify;
pub mod run;
pub mod store;
