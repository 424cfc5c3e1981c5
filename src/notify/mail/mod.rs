//! E-mail, by SMTP, from the outbox.
//!
//! A pass first derives deliveries from what accounts were told, exactly once, then hands over what is due. Nothing is
//! decided here about who is told what (that is `domain::mail`), and nothing that a customer does waits for it.

mod driver;
mod pass;
mod smtp;

pub use driver::drive;
pub use pass::{Passed, pass};
pub use smtp::Mailer;
