//! The tables, one file each, without behaviour.
//!
//! Amounts are whole minor units (`*_minor`), rates and percents are millionths (`*_micros`), instants are UTC with
//! microseconds. What the tables promise beyond types (ranges, states, uniqueness) stands in `migration`.

pub mod enums;
