//! Global ids as the schema has them.

use async_graphql::ID;
use uuid::Uuid;

pub(crate) use crate::ids::global::Kind;

/// The id of a thing.
pub(crate) fn global(kind: Kind, key: Uuid) -> ID {
    ID(crate::ids::global::text(kind, key))
}

/// What an id names, if it was ever one of ours.
pub(crate) fn read(id: &ID) -> Option<(Kind, Uuid)> {
    crate::ids::global::read(id)
}

/// The key of an id that must name a thing of one kind.
pub(crate) fn parse(id: &ID, kind: Kind) -> Option<Uuid> {
    read(id).and_then(|(found, key)| (found == kind).then_some(key))
}
