//! What is remembered is bounded, and is what an order may be decided by.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::enums::{BillingMode, Language, QuoteStatus, WalletKind};
use entity::{account, quote, wallet};
use uuid::Uuid;

use crate::domain::money::Currency;
use crate::domain::pricing::Totals;
use crate::domain::quote::PricedQuote;
use crate::store::Scope;
use crate::store::remembered::{Purse, Remembered};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn operator() -> Scope {
    Scope::engine()
}

fn purse(account: Uuid, version: i64) -> Purse {
    Purse {
        account: account::Model {
            id: account,
            code: "ACME".to_owned(),
            name: "Acme".to_owned(),
            zone: "Asia/Ho_Chi_Minh".to_owned(),
            language: Language::En,
            mode: BillingMode::Prepaid,
            currency: "VND".to_owned(),
            event_sequence: 0,
            created_at: now(),
            version: 1,
        },
        wallet: wallet::Model {
            id: Uuid::from_u128(7),
            account_id: account,
            kind: WalletKind::Credit,
            currency: "VND".to_owned(),
            cash_minor: version * 10,
            promotional_minor: 0,
            held_minor: 0,
            entry_sequence: version,
            ends_at: None,
            created_at: now(),
            version,
        },
        numbers: HashMap::new(),
    }
}

fn remember(remembered: &Remembered, account: Uuid, id: Uuid, coupon: Option<Uuid>) {
    let row = quote::Model {
        id,
        account_id: account,
        principal: "owner".to_owned(),
        status: QuoteStatus::Open,
        currency: "VND".to_owned(),
        gross_minor: 0,
        coupon_minor: 0,
        tax_minor: 0,
        charged_minor: 0,
        due_minor: 0,
        refund_minor: 0,
        coupon_id: coupon,
        document: serde_json::Value::Null,
        order_id: None,
        created_at: now(),
        expires_at: now(),
    };
    let priced = PricedQuote {
        items: Vec::new(),
        coupon_code: None,
        totals: Totals::zero(Currency::Vnd),
        currency: Currency::Vnd,
        priced_at: now(),
    };
    remembered.quote(&row, priced, Vec::new());
}

fn knows(remembered: &Remembered, account: Uuid, quote: Uuid) -> bool {
    remembered.purchase(&operator(), account, quote).is_some()
}

#[test]
fn the_quotes_that_are_remembered_are_bounded() {
    let (remembered, account) = (Remembered::default(), Uuid::from_u128(1));
    remembered.purse(purse(account, 1));
    for number in 0..=4_000 {
        remember(&remembered, account, Uuid::from_u128(number), None);
    }
    assert!(!knows(&remembered, account, Uuid::from_u128(0)));
    assert!(knows(&remembered, account, Uuid::from_u128(1)) && knows(&remembered, account, Uuid::from_u128(4_000)));
}

#[test]
fn what_takes_locks_is_not_remembered() {
    let (remembered, account, quote) = (Remembered::default(), Uuid::from_u128(1), Uuid::from_u128(2));
    remembered.purse(purse(account, 1));
    remember(&remembered, account, quote, Some(Uuid::from_u128(3)));
    assert!(!knows(&remembered, account, quote));
    remember(&remembered, account, quote, None);
    assert!(knows(&remembered, account, quote));
    remembered.ordered(account, quote, Some(purse(account, 2)));
    assert!(!knows(&remembered, account, quote));
}

#[test]
fn the_newest_that_is_known_of_an_account_is_what_counts() {
    let (remembered, account, quote) = (Remembered::default(), Uuid::from_u128(1), Uuid::from_u128(2));
    let version = || {
        let purchase = remembered.purchase(&operator(), account, quote);
        purchase.map(|(purchase, _)| purchase.wallet.version)
    };
    remember(&remembered, account, quote, None);
    assert_eq!(version(), None);
    for (read, known) in [(2, 2), (1, 2), (3, 3)] {
        remembered.purse(purse(account, read));
        assert_eq!(version(), Some(known));
    }
    remembered.ordered(account, Uuid::from_u128(4), None);
    assert_eq!(version(), None, "what was written elsewhere is read again");
}
