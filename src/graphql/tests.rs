//! The schema as a whole: everything is described, and what was promised stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod described;
mod reads;
