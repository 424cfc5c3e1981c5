//! Events: believed by their signature, then read.

use serde_json::Value;

use super::{Stripe, filled, outcome, reference, refund_outcome};
use crate::domain::gateway::LinkOutcome;
use crate::gateways::{About, Notice, RawNotice, Rejected};

/// How far a signature's time may be from ours, in seconds.
const TOLERANCE: i64 = 300;

/// The time and the digests of a signature header: `t=…,v1=…,v1=…`. Other kinds of digests are left out.
fn parts(header: &str) -> Option<(&str, Vec<&str>)> {
    let mut time = None;
    let mut digests = Vec::new();
    for part in header.split(',') {
        match part.split_once('=')? {
            ("t", told) if time.is_none() && !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_digit()) => {
                time = Some(told);
            }
            ("t", _) => return None,
            ("v1", digest) => digests.push(digest),
            _ => {}
        }
    }
    Some((time?, digests))
}

impl Stripe {
    fn signed(&self, notice: &RawNotice<'_>) -> Result<(), Rejected> {
        let header = notice.header("stripe-signature").ok_or(Rejected::Signature)?;
        let (time, digests) = parts(header).ok_or(Rejected::Signature)?;
        let signed = [time.as_bytes(), b".", notice.body].concat();
        if !digests.iter().any(|digest| self.signing.made(digest, &signed)) {
            return Err(Rejected::Signature);
        }
        let time: i64 = time.parse().map_err(|_| Rejected::Stale)?;
        if notice.received_at.timestamp().abs_diff(time) > TOLERANCE.unsigned_abs() {
            return Err(Rejected::Stale);
        }
        Ok(())
    }

    pub(super) fn read_event(&self, notice: &RawNotice<'_>) -> Result<Notice, Rejected> {
        self.signed(notice)?;
        let event: Value = serde_json::from_slice(notice.body).map_err(|_| Rejected::Malformed)?;
        let account = event["account"].as_str();
        let foreign = account.is_some() && account != self.config.account.as_deref();
        if foreign || event["livemode"].as_bool().is_some_and(|live| live != self.config.live) {
            return Err(Rejected::Merchant);
        }
        let id = filled(&event["id"]).ok_or(Rejected::Malformed)?;
        let about = about(event["type"].as_str().unwrap_or_default(), &event["data"]["object"])?;
        Ok(Notice { event: id, about })
    }
}

fn about(kind: &str, thing: &Value) -> Result<About, Rejected> {
    // Others may use the account: what has no name of ours is not about us.
    let Some(reference) = reference(thing) else {
        return Ok(About::Nothing);
    };
    Ok(match kind {
        "charge.refund.updated" => About::Refund {
            reference,
            outcome: refund_outcome(thing).map_err(|_| Rejected::Malformed)?,
        },
        "setup_intent.succeeded" => About::Confirmed {
            reference,
            proof: filled(&thing["id"]).ok_or(Rejected::Malformed)?,
        },
        "setup_intent.canceled" => About::Link {
            reference,
            outcome: LinkOutcome::Failed {
                detail: "canceled".to_owned(),
            },
        },
        kind if kind.starts_with("payment_intent.") => About::Payment {
            reference,
            outcome: outcome(thing).map_err(|_| Rejected::Malformed)?,
        },
        kind if kind.starts_with("refund.") => About::Refund {
            reference,
            outcome: refund_outcome(thing).map_err(|_| Rejected::Malformed)?,
        },
        _ => About::Nothing,
    })
}
