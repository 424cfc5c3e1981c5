//! Global ids: opaque to clients, a type and a key to us.

use async_graphql::ID;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// What an id names. The numbers are part of ids that clients keep: they are never changed or used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Account = 1,
    Wallet = 2,
    WalletEntry = 3,
    Product = 4,
    ResourceType = 5,
    Resource = 6,
    Order = 7,
    OrderItem = 8,
    Payment = 9,
    Invoice = 10,
    CreditNote = 11,
    Coupon = 12,
    Quote = 13,
    ExpiryAlert = 14,
    ProvisioningTask = 15,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Account,
        Self::Wallet,
        Self::WalletEntry,
        Self::Product,
        Self::ResourceType,
        Self::Resource,
        Self::Order,
        Self::OrderItem,
        Self::Payment,
        Self::Invoice,
        Self::CreditNote,
        Self::Coupon,
        Self::Quote,
        Self::ExpiryAlert,
        Self::ProvisioningTask,
    ];
}

/// The id of a thing.
pub(crate) fn global(kind: Kind, key: Uuid) -> ID {
    let mut bytes = [0_u8; 17];
    bytes[0] = kind as u8;
    bytes[1..].copy_from_slice(key.as_bytes());
    ID(URL_SAFE_NO_PAD.encode(bytes))
}

/// What an id names, if it was ever one of ours.
pub(crate) fn read(id: &ID) -> Option<(Kind, Uuid)> {
    if id.len() != 23 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok()?;
    let (tag, key) = bytes.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *tag)?;
    Some((kind, Uuid::from_slice(key).ok()?))
}

/// The key of an id that must name a thing of one kind.
pub(crate) fn parse(id: &ID, kind: Kind) -> Option<Uuid> {
    read(id).and_then(|(found, key)| (found == kind).then_some(key))
}

#[cfg(test)]
mod tests {
    use async_graphql::ID;
    use uuid::Uuid;

    use super::{Kind, global, parse, read};

    #[test]
    fn an_id_names_its_kind_and_junk_names_nothing() {
        let key = Uuid::from_u128(77);
        for kind in Kind::ALL {
            let id = global(kind, key);
            assert_eq!(read(&id), Some((kind, key)));
            assert_eq!(parse(&id, Kind::Order), (kind == Kind::Order).then_some(key));
        }
        let long = "A".repeat(1_000_000);
        for junk in [
            "",
            "1",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "~~~~~~~~~~~~~~~~~~~~~~~",
            "ééééééééééé0",
            &long,
        ] {
            assert_eq!(read(&ID::from(junk)), None);
        }
    }
}
