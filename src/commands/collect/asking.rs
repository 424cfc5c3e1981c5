//! Asking gateways about many things at once: one that does not answer holds up none of the others, nor the engine.

use chrono::TimeDelta;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::error::Error;

/// How many are asked about at once.
pub(in crate::commands) const PASS: u64 = 20;
/// How long what is asked about is nobody else's: longer than asking may take.
pub(in crate::commands) const LEASE: TimeDelta = TimeDelta::seconds(120);

/// Asks about all of these, each with the key of what it is about, and answers how many. One that can't be settled is logged and in
/// nobody's way.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub(in crate::commands) async fn all_at_once<F>(asked: Vec<(Uuid, F)>) -> Result<u64, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let (about, asked): (Vec<Uuid>, Vec<F>) = asked.into_iter().unzip();
    let mut count = 0;
    for (about, done) in about.into_iter().zip(join_all(asked).await) {
        match done {
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => tracing::error!(%about, %error, "what a gateway was asked about could not be settled"),
            Ok(()) => {}
        }
        count += 1;
    }
    Ok(count)
}
