//! Many resources in one call: how many, each once, and that one may not be there.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::refusal::{Refusal, RefusalCode};

/// The most resources of one call.
pub const MOST_RESOURCES: usize = 100;

/// Whether so many resources may be named at once, each once. Errors: NOTHING_TO_BUY for none, TOO_MANY_ITEMS,
/// DUPLICATE_RESOURCE.
pub fn check(resources: &[Uuid]) -> Result<(), Refusal> {
    if resources.is_empty() {
        let refusal = Refusal::new(RefusalCode::NothingToBuy, "Name at least one resource.");
        return Err(refusal.under("resourceIds"));
    }
    if resources.len() > MOST_RESOURCES {
        return Err(too_many());
    }
    let mut seen = BTreeSet::new();
    match resources.iter().position(|id| !seen.insert(*id)) {
        None => Ok(()),
        Some(place) => {
            let refusal = Refusal::new(RefusalCode::DuplicateResource, "This resource is named twice.");
            Err(refusal.under(place).under("resourceIds"))
        }
    }
}

/// More resources are named than one call takes.
#[must_use]
pub fn too_many() -> Refusal {
    let message = format!("Name at most {MOST_RESOURCES} resources at once, and the rest in another call.");
    Refusal::new(RefusalCode::TooManyItems, message).under("resourceIds")
}

/// There is no such resource, or it is another account's.
#[must_use]
pub fn missing() -> Refusal {
    Refusal::new(RefusalCode::ResourceNotFound, "There is no such resource.")
}
