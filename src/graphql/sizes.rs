//! How long the lists are that take no page arguments: what the edge counts them with, before anything runs.

use std::collections::BTreeMap;

/// What is usual, not what is possible: a list that is longer costs no more than it says. By field name.
const SIZES: &[(&str, u64)] = &[
    ("accounts", 5),
    ("alertRecipients", 3),
    ("alerts", 10),
    ("billingAddresses", 3),
    ("components", 10),
    ("configuration", 5),
    ("creditNotes", 2),
    ("items", 5),
    ("lines", 10),
    ("paymentGateways", 5),
    ("paymentMethods", 3),
    ("payments", 2),
    ("prices", 2),
    ("refunds", 2),
    ("resourceTypes", 3),
    ("results", 10),
    ("roundings", 2),
    ("suggested", 6),
    ("tags", 5),
    ("userErrors", 2),
    ("wallets", 2),
    ("webhooks", 2),
];

/// The sizes of lists without page arguments, by field name.
#[must_use]
pub fn list_sizes() -> BTreeMap<String, u64> {
    SIZES.iter().map(|(field, size)| ((*field).to_owned(), *size)).collect()
}
