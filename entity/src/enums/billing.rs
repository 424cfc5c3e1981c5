//! The words of billing: to whom invoices are written.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

stored_enum! {
    /// What kind of customer a billing address names.
    BillingAddressKind {
        /// An enterprise, by its tax code.
        Enterprise = "ENTERPRISE",
        /// A person, by their personal number.
        Personal = "PERSONAL",
    }
}
