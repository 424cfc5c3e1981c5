//! What payment gateways say, in one set of words: whichever gateway it was, this is what the rules are given.

use serde::{Deserialize, Serialize};

use super::money::Money;

/// Why the payer's money did not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decline {
    /// Not enough money.
    InsufficientFunds,
    /// Over a limit of the payer's.
    LimitReached,
    /// The payer gave up.
    Cancelled,
    /// The payer's time ran out.
    Expired,
    /// The payer has to confirm in person: the method can't be charged alone now.
    ChallengeRequired,
    /// The saved method is not good any more.
    MethodRevoked,
    /// Suspected to be fraud.
    Suspicious,
    /// The bank or the wallet behind the gateway is away.
    IssuerUnavailable,
    /// The gateway did not take our request: a mistake of ours, or of our configuration.
    Rejected,
    /// Declined without a reason that we know.
    Declined,
}

impl Decline {
    /// The text that is stored and spoken.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::LimitReached => "LIMIT_REACHED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
            Self::ChallengeRequired => "CHALLENGE_REQUIRED",
            Self::MethodRevoked => "METHOD_REVOKED",
            Self::Suspicious => "SUSPICIOUS",
            Self::IssuerUnavailable => "ISSUER_UNAVAILABLE",
            Self::Rejected => "REJECTED",
            Self::Declined => "DECLINED",
        }
    }
}

/// Money that a gateway took from a payer for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The gateway's own number of it: one capture has one, however often it is told.
    pub transaction: String,
    /// How much.
    pub amount: Money,
}

/// Where a payment stands at its gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Not paid, and may still be.
    Pending,
    /// Debited, but the gateway looks into it: neither paid nor failed.
    Review,
    /// Paid.
    Paid(Capture),
    /// Not paid, and will not be.
    Failed {
        /// Why.
        decline: Decline,
        /// The gateway's own words or code.
        detail: String,
    },
    /// The gateway knows no such payment.
    Unknown,
}

/// Where a refund stands at its gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundOutcome {
    /// Taken on, not done yet.
    Pending,
    /// The payer has it, or will without anything more to do.
    Succeeded,
    /// It will not happen.
    Failed {
        /// The gateway's own words or code.
        detail: String,
    },
    /// The gateway knows no such refund.
    Unknown,
}

/// Where the linking of a payer's account or card stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutcome {
    /// Not confirmed, and may still be.
    Pending,
    /// Linked: it can be charged without the payer.
    Linked {
        /// What charges it, as the gateway calls it. A secret.
        token: String,
        /// What the customer knows it by: `Visa •••• 4242`.
        label: String,
    },
    /// Not linked, and will not be.
    Failed {
        /// The gateway's own words or code.
        detail: String,
    },
    /// The gateway knows no such link.
    Unknown,
}
