//! Coupons: whether one counts, how much it takes off, and from what.

use entity::enums::{CouponKind, OrderAction};
use serde::{Deserialize, Serialize};

use super::money::{Currency, Money, allocate};
use super::rate::{MICROS, Share};
use super::refusal::{Refusal, RefusalCode};
use super::text;
use super::time::Instant;

/// How a coupon takes money off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouponValue {
    /// A share of what the eligible items cost.
    Percent(Share),
    /// An amount.
    Fixed(Money),
}

impl CouponValue {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> CouponKind {
        match self {
            Self::Percent(_) => CouponKind::Percent,
            Self::Fixed(_) => CouponKind::Fixed,
        }
    }
}

/// What a coupon promises, and how often it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponTerms {
    /// What the customer types, in capitals.
    pub code: String,
    /// How it takes money off.
    pub value: CouponValue,
    /// The currency of the orders it counts for.
    pub currency: Currency,
    /// From when it may be used.
    pub valid_from: Instant,
    /// Until when, exclusive; for ever when absent.
    pub valid_until: Option<Instant>,
    /// The products it counts for; an empty list is all.
    pub product_codes: Vec<String>,
    /// The least gross of the eligible items together.
    pub minimum_order: Option<Money>,
    /// The most it takes off.
    pub maximum_discount: Option<Money>,
    /// How often it may be used.
    pub total_limit: Option<i64>,
    /// How often one account may use it.
    pub per_account_limit: Option<i64>,
    /// How often it was used and not given back.
    pub redeemed: i64,
    /// How often by this account.
    pub redeemed_by_account: i64,
}

/// The largest limit of uses: what GraphQL's Int can say.
const MOST_USES: i64 = i32::MAX as i64;

/// What a coupon needs to know of an order item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouponItem<'a> {
    /// The item's product.
    pub product_code: &'a str,
    /// What the item does.
    pub action: OrderAction,
    /// What it costs with tax.
    pub gross: Money,
}

impl CouponTerms {
    /// The terms of a new coupon, when they make sense: the code in capitals, a share above zero and at most 100 %
    /// or an amount above zero, a validity that begins before it ends, limits of 1 to 2,147,483,647, minimum and maximum
    /// above zero and of the coupon's currency. Errors: INVALID_TEXT, COUPON_INVALID; both with the field.
    pub fn checked(mut self) -> Result<Self, Refusal> {
        self.code = text::coupon_code(&self.code).map_err(|refusal| refusal.under("code"))?;
        let refused = |field: &str, message: &str| Refusal::new(RefusalCode::CouponInvalid, message).under(field);
        let wrong = |field: &str, message: &str| Err(refused(field, message));
        match self.value {
            CouponValue::Percent(share) if share.is_zero() => {
                return Err(refused("percent", "Write a percentage above 0, up to 100.").under("value"));
            }
            CouponValue::Fixed(amount) if !amount.is_positive() || amount.currency() != self.currency => {
                return Err(refused("amount", "Write an amount above zero, in the coupon's currency.").under("value"));
            }
            CouponValue::Percent(_) | CouponValue::Fixed(_) => {}
        }
        if self.valid_until.is_some_and(|until| until <= self.valid_from) {
            return wrong("validUntil", "Let the validity end after it begins.");
        }
        let amounts = [
            ("minimumOrder", self.minimum_order),
            ("maximumDiscount", self.maximum_discount),
        ];
        for (field, amount) in amounts {
            if amount.is_some_and(|amount| !amount.is_positive() || amount.currency() != self.currency) {
                return wrong(
                    field,
                    "Write an amount above zero, in the coupon's currency, or leave it out.",
                );
            }
        }
        for (field, limit) in [
            ("totalLimit", self.total_limit),
            ("perAccountLimit", self.per_account_limit),
        ] {
            if limit.is_some_and(|limit| !(1..=MOST_USES).contains(&limit)) {
                let message = format!("Write a limit of 1 to {MOST_USES}, or leave it out.");
                return wrong(field, &message);
            }
        }
        Ok(self)
    }

    /// Whether it may still be used: by its validity and its limits, whatever is bought. What an order checks again
    /// under the lock. Errors: COUPON_NOT_YET_VALID, COUPON_EXPIRED, COUPON_EXHAUSTED.
    pub fn check_available(&self, now: Instant) -> Result<(), Refusal> {
        let code = &self.code;
        if now < self.valid_from {
            return Err(Refusal::new(
                RefusalCode::CouponNotYetValid,
                format!(
                    "{code} counts from {} on. Use it then, or order without it.",
                    self.valid_from.to_rfc3339()
                ),
            ));
        }
        if self.valid_until.is_some_and(|until| now >= until) {
            return Err(Refusal::new(
                RefusalCode::CouponExpired,
                format!("{code} is no longer valid. Order without it, or use another."),
            ));
        }
        if self.total_limit.is_some_and(|limit| self.redeemed >= limit) {
            return Err(Refusal::new(
                RefusalCode::CouponExhausted,
                format!("{code} was used as often as it could be. Order without it, or use another."),
            ));
        }
        if self
            .per_account_limit
            .is_some_and(|limit| self.redeemed_by_account >= limit)
        {
            return Err(Refusal::new(
                RefusalCode::CouponExhausted,
                format!("Your account used {code} as often as it may. Order without it, or use another."),
            ));
        }
        Ok(())
    }

    fn is_eligible(&self, item: &CouponItem<'_>) -> bool {
        let bought = match item.action {
            OrderAction::Create | OrderAction::Renew | OrderAction::Recover => true,
            OrderAction::Resize | OrderAction::Delete | OrderAction::StopPoc => false,
        };
        let product_counts =
            self.product_codes.is_empty() || self.product_codes.iter().any(|code| code == item.product_code);
        bought && product_counts && item.gross.is_positive()
    }
}

/// What a coupon takes off each item of an order; the shares are in the order of the items and add up to the discount.
///
/// Percentage, minimum and split all use the summed gross of the eligible items: those whose product it counts for
/// and whose action is create, a renewal by hand, or recover (an auto-renewal brings no coupon). The discount is
/// rounded once, and is at most the coupon's maximum and that sum. It is split in proportion to gross by largest
/// remainder, ties by position.
///
/// Source: rule "Coupons" in ARCHITECTURE, section Money. Errors: those of [`CouponTerms::check_available`],
/// COUPON_NOT_APPLICABLE, COUPON_MINIMUM_NOT_MET.
pub fn apply(terms: &CouponTerms, items: &[CouponItem<'_>], now: Instant) -> Result<Vec<Money>, Refusal> {
    terms.check_available(now)?;
    let code = &terms.code;
    let not_applicable = |why: &str| {
        Refusal::new(
            RefusalCode::CouponNotApplicable,
            format!("{code} {why} Order without it, or use another."),
        )
    };
    if items.iter().any(|item| item.gross.currency() != terms.currency) {
        return Err(not_applicable("is for another currency."));
    }
    let weights: Vec<Money> = items
        .iter()
        .map(|item| {
            if terms.is_eligible(item) {
                item.gross
            } else {
                Money::zero(terms.currency)
            }
        })
        .collect();
    let eligible = Money::sum(terms.currency, weights.iter().copied())?;
    if !eligible.is_positive() {
        return Err(not_applicable("counts for none of these items."));
    }
    if let Some(minimum) = terms.minimum_order
        && eligible.minus(minimum)?.is_negative()
    {
        return Err(Refusal::new(
            RefusalCode::CouponMinimumNotMet,
            format!(
                "{code} counts from {minimum} on, and the items it counts for cost {eligible}. Add more, or order without it."
            ),
        ));
    }
    let mut discount = match terms.value {
        CouponValue::Percent(share) => eligible.share(share.micros(), MICROS)?,
        CouponValue::Fixed(amount) => amount,
    };
    if let Some(maximum) = terms.maximum_discount {
        discount = discount.at_most(maximum)?;
    }
    allocate(discount.at_most(eligible)?, &weights)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::time::tests::at;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    pub(crate) fn terms(value: CouponValue) -> CouponTerms {
        CouponTerms {
            code: "LAUNCH10".into(),
            value,
            currency: Currency::Vnd,
            valid_from: at("2023-01-01T00:00:00Z"),
            valid_until: Some(at("2024-01-01T00:00:00Z")),
            product_codes: Vec::new(),
            minimum_order: None,
            maximum_discount: None,
            total_limit: None,
            per_account_limit: None,
            redeemed: 0,
            redeemed_by_account: 0,
        }
    }

    pub(crate) fn ten_percent() -> CouponTerms {
        terms(CouponValue::Percent(Share::from_percent(10).unwrap()))
    }

    fn item(product_code: &str, action: OrderAction, gross: i64) -> CouponItem<'_> {
        CouponItem {
            product_code,
            action,
            gross: vnd(gross),
        }
    }

    fn shares(terms: &CouponTerms, items: &[CouponItem<'_>]) -> Result<Vec<i64>, Refusal> {
        Ok(apply(terms, items, at("2023-06-01T00:00:00Z"))?
            .into_iter()
            .map(Money::minor)
            .collect())
    }

    #[test]
    fn a_percentage_is_of_what_counts_and_rounded_once() {
        let items = [
            item("vserver", OrderAction::Create, 181_005),
            item("vserver", OrderAction::Resize, 500_000),
            item("vstorage", OrderAction::Renew, 0),
            item("vserver", OrderAction::Recover, 1_000),
        ];
        // 10 % of 182,005 is 18,200.5.
        assert_eq!(shares(&ten_percent(), &items).unwrap(), [18_101, 0, 0, 100]);
    }

    #[test]
    fn only_its_products_count() {
        let only = CouponTerms {
            product_codes: vec!["vstorage".into()],
            ..terms(CouponValue::Fixed(vnd(150_000)))
        };
        let items = [
            item("vserver", OrderAction::Create, 1_000_000),
            item("vstorage", OrderAction::Create, 100_000),
        ];
        assert_eq!(shares(&only, &items).unwrap(), [0, 100_000]);
        assert_eq!(
            shares(&only, &items[..1]).unwrap_err().code,
            RefusalCode::CouponNotApplicable
        );
    }

    #[test]
    fn the_maximum_caps() {
        let capped = CouponTerms {
            maximum_discount: Some(vnd(5_000)),
            ..ten_percent()
        };
        assert_eq!(
            shares(&capped, &[item("vserver", OrderAction::Create, 181_000)]).unwrap(),
            [5_000]
        );
    }

    #[rstest]
    #[case(181_000, true)]
    #[case(180_999, false)]
    fn the_minimum_is_of_what_counts(#[case] gross: i64, #[case] met: bool) {
        let demanding = CouponTerms {
            minimum_order: Some(vnd(181_000)),
            ..ten_percent()
        };
        let items = [
            item("vserver", OrderAction::Create, gross),
            item("vserver", OrderAction::Resize, 900_000),
        ];
        match shares(&demanding, &items) {
            Ok(_) => assert!(met),
            Err(refusal) => assert!(!met && refusal.code == RefusalCode::CouponMinimumNotMet),
        }
    }

    #[rstest]
    #[case("2022-12-31T23:59:59Z", Some(RefusalCode::CouponNotYetValid))]
    #[case("2023-01-01T00:00:00Z", None)]
    #[case("2023-12-31T23:59:59Z", None)]
    #[case("2024-01-01T00:00:00Z", Some(RefusalCode::CouponExpired))]
    fn validity_has_a_first_and_no_last_instant(#[case] now: &str, #[case] code: Option<RefusalCode>) {
        let applied = apply(&ten_percent(), &[item("vserver", OrderAction::Create, 100)], at(now));
        assert_eq!(applied.err().map(|refusal| refusal.code), code);
    }

    #[rstest]
    #[case(Some(3), None, 3, 0, true)]
    #[case(Some(3), None, 2, 2, false)]
    #[case(None, Some(1), 5, 1, true)]
    #[case(None, Some(1), 5, 0, false)]
    fn limits_exhaust(
        #[case] total: Option<i64>,
        #[case] per_account: Option<i64>,
        #[case] redeemed: i64,
        #[case] by_account: i64,
        #[case] exhausted: bool,
    ) {
        let limited = CouponTerms {
            total_limit: total,
            per_account_limit: per_account,
            redeemed,
            redeemed_by_account: by_account,
            ..ten_percent()
        };
        let applied = shares(&limited, &[item("vserver", OrderAction::Create, 100)]);
        assert_eq!(
            applied.err().map(|refusal| refusal.code),
            exhausted.then_some(RefusalCode::CouponExhausted)
        );
    }

    #[test]
    fn another_currency_does_not_count() {
        let items = [CouponItem {
            gross: Money::of(100, Currency::Usd),
            ..item("vserver", OrderAction::Create, 0)
        }];
        assert_eq!(
            shares(&ten_percent(), &items).unwrap_err().code,
            RefusalCode::CouponNotApplicable
        );
    }

    #[test]
    fn new_coupons_must_make_sense() {
        let field = |terms: CouponTerms| terms.checked().unwrap_err().path.join(".");
        assert_eq!(
            CouponTerms {
                code: "launch10".into(),
                ..ten_percent()
            }
            .checked()
            .unwrap()
            .code,
            "LAUNCH10"
        );
        assert_eq!(
            field(CouponTerms {
                code: "?".into(),
                ..ten_percent()
            }),
            "code"
        );
        assert_eq!(field(terms(CouponValue::Percent(Share::ZERO))), "value.percent");
        assert_eq!(field(terms(CouponValue::Fixed(vnd(0)))), "value.amount");
        assert_eq!(
            field(terms(CouponValue::Fixed(Money::of(5, Currency::Usd)))),
            "value.amount"
        );
        assert_eq!(
            field(CouponTerms {
                valid_until: Some(ten_percent().valid_from),
                ..ten_percent()
            }),
            "validUntil"
        );
        assert_eq!(
            field(CouponTerms {
                minimum_order: Some(vnd(-1)),
                ..ten_percent()
            }),
            "minimumOrder"
        );
        assert_eq!(
            field(CouponTerms {
                maximum_discount: Some(vnd(0)),
                ..ten_percent()
            }),
            "maximumDiscount"
        );
        assert_eq!(
            field(CouponTerms {
                total_limit: Some(0),
                ..ten_percent()
            }),
            "totalLimit"
        );
        assert_eq!(
            field(CouponTerms {
                per_account_limit: Some(-1),
                ..ten_percent()
            }),
            "perAccountLimit"
        );
    }

    proptest! {
        #[test]
        fn no_share_exceeds_its_item_and_all_add_up_to_the_discount(
            gross in proptest::collection::vec(0i64..10_000_000, 1..12),
            percent in 1u32..=100,
            fixed in 1i64..20_000_000,
            maximum in proptest::option::of(1i64..5_000_000),
        ) {
            let items: Vec<CouponItem<'_>> = gross.iter().map(|gross| item("vserver", OrderAction::Create, *gross)).collect();
            let sum: i64 = gross.iter().sum();
            for value in [CouponValue::Percent(Share::from_percent(percent).unwrap()), CouponValue::Fixed(vnd(fixed))] {
                let terms = CouponTerms { maximum_discount: maximum.map(vnd), ..terms(value) };
                let Ok(shares) = shares(&terms, &items) else {
                    prop_assert_eq!(sum, 0);
                    continue;
                };
                for (share, gross) in shares.iter().zip(&gross) {
                    prop_assert!((0..=*gross).contains(share));
                }
                let discount: i64 = shares.iter().sum();
                prop_assert!(discount <= sum && maximum.is_none_or(|maximum| discount <= maximum));
            }
        }
    }
}
