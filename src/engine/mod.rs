//! Moves time forward: finds what is due, decides it again under the lock, writes it once, tells it.
//!
//! Every process runs an engine; accounts are shared out by lease, so they never work on the same one, and one that is
//! killed loses nothing: what it had not committed is still due.

mod brake;
mod decide;
mod driver;
mod forecast;
mod pass;
mod renewing;

pub use driver::drive;
pub use forecast::{Forecast, Foreseen, forecast};
pub use pass::{Passed, advance, advance_while, tick};

#[cfg(test)]
mod tests;
