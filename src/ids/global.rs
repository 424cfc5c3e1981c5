//! Global ids: opaque to clients, a type and a key to us.

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
    MailDelivery = 16,
    WebhookEndpoint = 20,
    WebhookDelivery = 21,
    Quarantine = 22,
    PaymentMethod = 23,
    BillingAddress = 25,
    CreditTransfer = 26,
}

impl Kind {
    const ALL: &'static [Self] = &[
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
        Self::MailDelivery,
        Self::WebhookEndpoint,
        Self::WebhookDelivery,
        Self::Quarantine,
        Self::PaymentMethod,
        Self::BillingAddress,
        Self::CreditTransfer,
    ];
}

/// The id of a thing.
pub(crate) fn text(kind: Kind, key: Uuid) -> String {
    let mut bytes = [0_u8; 17];
    bytes[0] = kind as u8;
    bytes[1..].copy_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What an id names, if it was ever one of ours.
pub(crate) fn read(id: &str) -> Option<(Kind, Uuid)> {
    if id.len() != 23 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok()?;
    let (tag, key) = bytes.split_first()?;
    let kind = *Kind::ALL.iter().find(|kind| **kind as u8 == *tag)?;
    Some((kind, Uuid::from_slice(key).ok()?))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Kind, read, text};

    #[test]
    fn an_id_names_its_kind_and_junk_names_nothing() {
        let key = Uuid::from_u128(77);
        for kind in Kind::ALL.iter().copied() {
            let id = text(kind, key);
            assert_eq!(read(&id), Some((kind, key)));
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
            assert_eq!(read(junk), None);
        }
    }
}
