//! The words of paying: what became of money that a gateway took, of notifications, of orders that were not paid.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

stored_enum! {
    /// What money that a gateway took was used for.
    CaptureUse {
        /// What its payment was for.
        Paid = "PAID",
        /// The customer's wallet: its order was paid, cancelled or expired by then.
        Credit = "CREDIT",
        /// Nothing yet: it is not what was to be paid, and an operator decides.
        Quarantine = "QUARANTINE",
    }
}

stored_enum! {
    /// Where money stands whose owner or purpose was not clear.
    QuarantineStatus {
        /// An operator has to decide.
        Open = "OPEN",
        /// The customer has it as credit.
        Credited = "CREDITED",
        /// Its payer has it back.
        Returned = "RETURNED",
    }
}

stored_enum! {
    /// Where money stands that goes back to its payer.
    RefundStatus {
        /// The gateway has it, or does not answer.
        Pending = "PENDING",
        /// The payer has it.
        Succeeded = "SUCCEEDED",
        /// The gateway did not send it: the customer has it as credit again.
        Failed = "FAILED",
    }
}

stored_enum! {
    /// Why an order was given up before it was paid.
    CancelReason {
        /// The customer said so.
        Customer = "CUSTOMER",
        /// Its time ran out.
        Expired = "EXPIRED",
        /// What it was made from had changed when its money came: the money is credit.
        Stale = "STALE",
    }
}

stored_enum! {
    /// What became of a gateway's notification.
    NoticeVerdict {
        /// What it says was written.
        Taken = "TAKEN",
        /// It had been taken before.
        Repeated = "REPEATED",
        /// Its signature is missing or not the gateway's.
        Signature = "SIGNATURE",
        /// Its signature is too old.
        Stale = "STALE",
        /// It can't be read.
        Malformed = "MALFORMED",
        /// It is for another merchant.
        Merchant = "MERCHANT",
        /// Nothing here has its reference.
        NoSuchReference = "NO_SUCH_REFERENCE",
        /// The amount or currency is not that of the payment: the money is in quarantine.
        WrongAmount = "WRONG_AMOUNT",
        /// It could not be written just then, and was to come again.
        Later = "LATER",
    }
}

stored_enum! {
    /// Where a linked account or card stands.
    LinkStatus {
        /// Its payer has not confirmed it yet.
        Pending = "PENDING",
        /// It can be charged.
        Active = "ACTIVE",
        /// It was not linked.
        Failed = "FAILED",
        /// It was unlinked, here or at its gateway: it is charged no more.
        Ended = "ENDED",
    }
}
