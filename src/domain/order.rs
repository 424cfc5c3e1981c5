//! Orders: how one is paid from a wallet, and what its items make of it.

use entity::enums::{OrderItemStatus, OrderStatus};

use super::funding::Funding;
use super::money::Money;
use super::refusal::{Refusal, RefusalCode};

/// How much of a total comes from which part of a wallet: promotional money first. Holds are kept back from both
/// together: what may be spent is `cash + promotional - held`.
///
/// Source: rule "Paying from credit" in ARCHITECTURE, section Money. Errors: INSUFFICIENT_CREDIT with required,
/// available and shortfall; CURRENCY_MISMATCH; INCONSISTENT for a total below zero.
pub fn split_funding(total: Money, cash: Money, promotional: Money, held: Money) -> Result<Funding, Refusal> {
    if total.is_negative() {
        return Err(Refusal::inconsistent("an amount below zero was to be paid"));
    }
    let available = cash.plus(promotional)?.minus(held)?;
    if available.minus(total)?.is_negative() && total.is_positive() {
        return Err(Refusal::insufficient_credit(total, available));
    }
    let granted = if promotional.is_negative() {
        Money::zero(total.currency())
    } else {
        promotional
    };
    Funding::of(total, total.at_most(granted)?)
}

/// Whether a way to pay was given exactly when something is to be paid.
/// Errors: PAYMENT_REQUIRED, PAYMENT_NOT_NEEDED.
pub fn check_payment_given(due: Money, payment_given: bool) -> Result<(), Refusal> {
    match (due.is_positive(), payment_given) {
        (true, false) => Err(Refusal::new(
            RefusalCode::PaymentRequired,
            format!("{due} is to be paid. Choose a way to pay."),
        )),
        (false, true) => Err(Refusal::new(
            RefusalCode::PaymentNotNeeded,
            "Nothing is to be paid. Confirm without a way to pay.",
        )),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Where an order stands, by its items: it waits as long as one of them does, is in progress as long as one is being
/// provisioned, and then is what they came to. An order without items waits.
///
/// Source: rule "Order status" in ARCHITECTURE, section Money.
#[must_use]
pub fn status(items: &[OrderItemStatus]) -> OrderStatus {
    let any = |status: OrderItemStatus| items.contains(&status);
    if items.is_empty() || any(OrderItemStatus::AwaitingPayment) {
        return OrderStatus::AwaitingPayment;
    }
    if any(OrderItemStatus::Provisioning) {
        return OrderStatus::InProgress;
    }
    match (
        any(OrderItemStatus::Fulfilled),
        any(OrderItemStatus::Refunded),
        any(OrderItemStatus::Cancelled),
    ) {
        (true, false, false) => OrderStatus::Fulfilled,
        (true, _, _) => OrderStatus::PartiallyFulfilled,
        (false, true, _) => OrderStatus::Refunded,
        (false, false, _) => OrderStatus::Cancelled,
    }
}

/// Whether all of it is over: nothing more will come of the order.
#[must_use]
pub const fn is_over(status: OrderStatus) -> bool {
    match status {
        OrderStatus::AwaitingPayment | OrderStatus::InProgress => false,
        OrderStatus::Fulfilled | OrderStatus::PartiallyFulfilled | OrderStatus::Refunded | OrderStatus::Cancelled => {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::money::Currency;
    use super::super::refusal::Facts;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    #[rstest]
    #[case(100, 100, 0, 0, Some((100, 0)))]
    #[case(100, 50, 60, 0, Some((40, 60)))]
    #[case(100, 50, 500, 0, Some((0, 100)))]
    #[case(100, 50, 60, 10, Some((40, 60)))]
    #[case(100, 50, 60, 11, None)]
    #[case(100, 0, 0, 0, None)]
    #[case(0, 0, 0, 50, Some((0, 0)))]
    fn promotional_money_is_spent_first(
        #[case] total: i64,
        #[case] cash: i64,
        #[case] promotional: i64,
        #[case] held: i64,
        #[case] expected: Option<(i64, i64)>,
    ) {
        let funding = split_funding(vnd(total), vnd(cash), vnd(promotional), vnd(held));
        assert_eq!(
            funding
                .ok()
                .map(|funding| (funding.cash.minor(), funding.promotional.minor())),
            expected
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let refusal = split_funding(vnd(181_000), vnd(100_000), vnd(20_000), vnd(10_000)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InsufficientCredit);
        assert_eq!(
            refusal.facts,
            Facts::InsufficientCredit {
                required: vnd(181_000),
                available: vnd(110_000),
                shortfall: vnd(71_000)
            }
        );
    }

    #[rstest]
    #[case(100, true, None)]
    #[case(100, false, Some(RefusalCode::PaymentRequired))]
    #[case(0, false, None)]
    #[case(-100, true, Some(RefusalCode::PaymentNotNeeded))]
    fn a_way_to_pay_is_given_when_something_is_due(
        #[case] due: i64,
        #[case] given: bool,
        #[case] code: Option<RefusalCode>,
    ) {
        assert_eq!(
            check_payment_given(vnd(due), given).err().map(|refusal| refusal.code),
            code
        );
    }

    #[rstest]
    #[case(&[], OrderStatus::AwaitingPayment)]
    #[case(&[OrderItemStatus::AwaitingPayment, OrderItemStatus::Fulfilled], OrderStatus::AwaitingPayment)]
    #[case(&[OrderItemStatus::Provisioning, OrderItemStatus::Refunded], OrderStatus::InProgress)]
    #[case(&[OrderItemStatus::Fulfilled, OrderItemStatus::Fulfilled], OrderStatus::Fulfilled)]
    #[case(&[OrderItemStatus::Fulfilled, OrderItemStatus::Refunded], OrderStatus::PartiallyFulfilled)]
    #[case(&[OrderItemStatus::Refunded], OrderStatus::Refunded)]
    #[case(&[OrderItemStatus::Cancelled, OrderItemStatus::Cancelled], OrderStatus::Cancelled)]
    fn an_order_is_what_its_items_came_to(#[case] items: &[OrderItemStatus], #[case] expected: OrderStatus) {
        assert_eq!(status(items), expected);
    }

    proptest! {
        #[test]
        fn a_payment_takes_its_total_and_leaves_the_holds_covered(
            total in 0i64..1_000_000, cash in 0i64..1_000_000, promotional in 0i64..1_000_000, held in 0i64..1_000_000,
        ) {
            match split_funding(vnd(total), vnd(cash), vnd(promotional), vnd(held)) {
                Ok(funding) => {
                    prop_assert_eq!(funding.total().unwrap(), vnd(total));
                    prop_assert!(funding.cash.minor() <= cash && funding.promotional.minor() <= promotional);
                    prop_assert!(total == 0 || cash + promotional - total >= held);
                }
                Err(_) => prop_assert!(total > cash + promotional - held),
            }
        }
    }
}
