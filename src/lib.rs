//! billing-gateway: a GraphQL API gateway for a public cloud's billing and payment.

pub mod domain;
