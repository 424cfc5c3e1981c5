//! Payments through gateways: how long one may be paid, when its gateway is asked about it, and what is done with what
//! the gateway says.

use chrono::TimeDelta;
use entity::enums::{OrderStatus, PaymentPurpose, PaymentStatus};

use super::funding::Funding;
use super::gateway::{Decline, Outcome};
use super::money::{Currency, Money};
use super::refusal::{Refusal, RefusalCode};
use super::time::Instant;

/// How long a payer may pay at a gateway, in minutes: shorter than an order waits, so that an order never ends before its
/// payment does.
pub const PAYER_MINUTES: i64 = 15;
/// How much longer an order waits than its payer, in minutes.
pub const ORDER_MORE_MINUTES: i64 = 5;
/// How long an order may wait at most, however often its payment is begun anew, in hours.
pub const ORDER_MOST_HOURS: i64 = 96;
/// How long after a payer's time has run out money that was paid in its last moment is still on its way, in minutes.
pub const SLACK_MINUTES: i64 = 2;
/// How long a gateway may not know of a payment that it was asked to begin, in minutes.
const UNKNOWN_MINUTES: i64 = 3;
/// How long a gateway is asked about a payment of which it does not answer, in days. After that operators look.
pub const ASKED_DAYS: i64 = 30;

/// What is known of a payment when its gateway says something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is for.
    pub purpose: PaymentPurpose,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the gateway is to take.
    pub expected: Money,
    /// When its gateway was last asked to begin it; when it was made, until it is.
    pub tried_at: Instant,
    /// Whether its payer was told where to pay: they can, from then on, though some gateways know of nothing before they come.
    pub is_handed_out: bool,
    /// Until when the payer may pay.
    pub expires_at: Instant,
    /// Where its order stands, if it is for one.
    pub order: Option<OrderStatus>,
    /// Whether its credit part is still held; true when it has none.
    pub is_covered: bool,
}

/// What is done with what a gateway says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing: it is known, or not final.
    Nothing,
    /// The gateway looks into it: nobody is told anything yet.
    Reviewed,
    /// What it was for is paid.
    Paid,
    /// The money is taken, and what it was for can't be paid with it any more: it is credit.
    Credited,
    /// The money is taken, and is not what was to be paid: an operator decides.
    Quarantined,
    /// No money moved.
    Failed {
        /// Why.
        decline: Decline,
        /// The gateway's words.
        detail: String,
    },
    /// No money moved, and the payer's time has run out.
    Expired,
}

/// What is done with what a gateway says of a payment. Success is never undone. What failed or expired still succeeds when
/// the gateway proves it. Money that came and can't pay what it was for is the customer's credit, and money of another
/// amount than was asked for is an operator's to decide. What the gateway does not know stays open until its time is over
/// once its payer was told where to pay, and fails soon where nobody was.
///
/// Source: rule "Settling" in ARCHITECTURE, section Buying.
#[must_use]
pub fn settle(standing: &Standing, outcome: &Outcome, now: Instant) -> Settlement {
    let is_open = standing.status == PaymentStatus::Pending;
    match outcome {
        Outcome::Paid(capture) if capture.amount != standing.expected => Settlement::Quarantined,
        Outcome::Paid(_) => {
            let orders_waits = standing.order == Some(OrderStatus::AwaitingPayment) && standing.is_covered;
            match (standing.status, standing.purpose) {
                (PaymentStatus::Succeeded, _) => Settlement::Credited,
                (_, PaymentPurpose::TopUp) => Settlement::Paid,
                (_, PaymentPurpose::Order) if orders_waits => Settlement::Paid,
                (_, PaymentPurpose::Order | PaymentPurpose::Invoice) => Settlement::Credited,
            }
        }
        _ if !is_open => Settlement::Nothing,
        Outcome::Review => Settlement::Reviewed,
        Outcome::Failed {
            decline: Decline::Expired,
            ..
        } => Settlement::Expired,
        Outcome::Failed { decline, detail } => Settlement::Failed {
            decline: *decline,
            detail: detail.clone(),
        },
        Outcome::Unknown if !standing.is_handed_out => {
            if now < standing.tried_at + TimeDelta::minutes(UNKNOWN_MINUTES) {
                return Settlement::Nothing;
            }
            Settlement::Failed {
                decline: Decline::Rejected,
                detail: "the gateway knows no such payment".to_owned(),
            }
        }
        Outcome::Pending | Outcome::Unknown if now >= standing.expires_at + TimeDelta::minutes(SLACK_MINUTES) => {
            Settlement::Expired
        }
        Outcome::Pending | Outcome::Unknown => Settlement::Nothing,
    }
}

/// When a gateway is asked about an open payment next, after it was asked so often: after 1, 2, 4 and 8 minutes while the
/// payer may pay, once when the time is over, and then, while it gives no answer, less and less often for thirty days.
/// Nothing after that: an operator has to look.
///
/// Source: rule "Asking" in ARCHITECTURE, section Buying.
#[must_use]
pub fn next_check(created_at: Instant, expires_at: Instant, checks: i32, now: Instant) -> Option<Instant> {
    let doublings = u32::try_from(checks.clamp(0, 10)).unwrap_or(0);
    let last_call = expires_at + TimeDelta::minutes(SLACK_MINUTES);
    if now < last_call {
        let wait = TimeDelta::minutes((1_i64 << doublings).min(15));
        return Some((now + wait).min(last_call));
    }
    if now >= created_at + TimeDelta::days(ASKED_DAYS) {
        return None;
    }
    let overdue = now.signed_duration_since(last_call);
    let wait = overdue.clamp(TimeDelta::minutes(1), TimeDelta::days(1));
    Some(now + wait)
}

/// When a gateway is asked next about a payment that has ended here and can still be paid there: some gateways take money for
/// longer than they are asked to. Nothing a day after the payer's time.
///
/// Source: rule "Asking" in ARCHITECTURE, section Buying.
#[must_use]
pub fn next_check_of_ended(expires_at: Instant, now: Instant) -> Option<Instant> {
    (now < expires_at + TimeDelta::days(1)).then(|| now + TimeDelta::hours(1))
}

/// Whether an operator may say what became of a refund that its gateway has said nothing of: a day after it was decided. Until
/// then the gateway is likely to say it itself.
///
/// Source: rule "Refunds to the source" in ARCHITECTURE, section Buying.
#[must_use]
pub fn refund_is_overdue(created_at: Instant, now: Instant) -> bool {
    now >= created_at + TimeDelta::days(1)
}

/// How a payment is shared between the wallet and a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The part that is held in the wallet until the gateway's part is there.
    pub credit: Money,
    /// The gateway's part.
    pub gateway: Money,
}

/// How `due` is shared when all available credit is used and a gateway pays the rest: what the gateway would not take, for
/// being too little, is left to it by using less credit. Nothing for the gateway when credit pays all.
///
/// Source: rule "Top up and pay" in ARCHITECTURE, section Buying. Errors: CURRENCY_MISMATCH, AMOUNT_OUT_OF_RANGE.
pub fn share(due: Money, available: Money, least_of_gateway: Money) -> Result<Shared, Refusal> {
    let credit = due.at_most(available.max_zero())?;
    let rest = due.minus(credit)?;
    let gateway = if rest.is_zero() {
        rest
    } else {
        // No more than is due: where even that is too little, the gateway's limit refuses it.
        due.at_most(if rest.minus(least_of_gateway)?.is_negative() {
            least_of_gateway
        } else {
            rest
        })?
    };
    Ok(Shared {
        credit: due.minus(gateway)?,
        gateway,
    })
}

/// What a hold is spent from when it is captured: promotional money first, as ever. Errors: INCONSISTENT when the wallet
/// has less than was held.
pub fn capture_hold(held: Money, cash: Money, promotional: Money) -> Result<Funding, Refusal> {
    let funding = Funding::of(held, held.at_most(promotional.max_zero())?)?;
    if cash.minus(funding.cash)?.is_negative() {
        return Err(Refusal::inconsistent("a wallet has less than is held of it"));
    }
    Ok(funding)
}

/// The amounts within which a wallet is topped up at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUpLimits {
    /// The least.
    pub least: Money,
    /// The most.
    pub most: Money,
}

impl TopUpLimits {
    /// Those of a currency *(ours)*: 10,000 to 500,000,000 dong; 1 to 20,000 dollars or what has as many decimals.
    #[must_use]
    pub fn of(currency: Currency) -> Self {
        let (least, most) = match currency {
            Currency::Vnd => (10_000, 500_000_000),
            other => (other.minor_per_unit(), other.minor_per_unit().saturating_mul(20_000)),
        };
        Self {
            least: Money::of(least, currency),
            most: Money::of(most, currency),
        }
    }

    /// What is offered to be chosen, within the limits.
    #[must_use]
    pub fn suggested(&self) -> Vec<Money> {
        let currency = self.least.currency();
        let choices: &[i64] = match currency {
            Currency::Vnd => &[100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000],
            _ => &[1_000, 2_000, 5_000, 10_000, 20_000, 50_000],
        };
        choices.iter().map(|minor| Money::of(*minor, currency)).collect()
    }

    /// Whether an amount is within them. Errors: TOP_UP_LIMIT naming them.
    pub fn check(&self, amount: Money) -> Result<(), Refusal> {
        within(amount, self.least, self.most, RefusalCode::TopUpLimit, "A top-up")
    }
}

/// Whether an amount is within a gateway's limits. Errors: GATEWAY_LIMIT naming them; CURRENCY_MISMATCH.
pub fn check_gateway_limits(amount: Money, least: Money, most: Money, name: &str) -> Result<(), Refusal> {
    within(
        amount,
        least,
        most,
        RefusalCode::GatewayLimit,
        &format!("A payment through {name}"),
    )
}

fn within(amount: Money, least: Money, most: Money, code: RefusalCode, what: &str) -> Result<(), Refusal> {
    if amount.minus(least)?.is_negative() || most.minus(amount)?.is_negative() {
        return Err(Refusal::new(
            code,
            format!("{what} is {least} to {most}. Choose an amount between, or pay another way."),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::gateway::Capture;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    fn minute(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).unwrap()
    }

    fn standing(purpose: PaymentPurpose, status: PaymentStatus, order: Option<OrderStatus>) -> Standing {
        Standing {
            purpose,
            status,
            expected: vnd(50_000),
            tried_at: minute(0),
            is_handed_out: false,
            expires_at: minute(15),
            order,
            is_covered: true,
        }
    }

    fn paid(minor: i64) -> Outcome {
        Outcome::Paid(Capture {
            transaction: "T1".to_owned(),
            amount: vnd(minor),
        })
    }

    fn failed(decline: Decline) -> Outcome {
        Outcome::Failed {
            decline,
            detail: "51".to_owned(),
        }
    }

    #[rstest]
    #[case(PaymentStatus::Pending, Some(OrderStatus::AwaitingPayment), Settlement::Paid)]
    #[case(PaymentStatus::Failed, Some(OrderStatus::AwaitingPayment), Settlement::Paid)]
    #[case(PaymentStatus::Expired, Some(OrderStatus::AwaitingPayment), Settlement::Paid)]
    #[case(PaymentStatus::Pending, Some(OrderStatus::Cancelled), Settlement::Credited)]
    #[case(PaymentStatus::Expired, Some(OrderStatus::Cancelled), Settlement::Credited)]
    #[case(PaymentStatus::Pending, Some(OrderStatus::InProgress), Settlement::Credited)]
    #[case(PaymentStatus::Pending, Some(OrderStatus::Fulfilled), Settlement::Credited)]
    #[case(PaymentStatus::Succeeded, Some(OrderStatus::Fulfilled), Settlement::Credited)]
    fn money_for_an_order_pays_it_while_it_waits_and_is_credit_else(
        #[case] status: PaymentStatus,
        #[case] order: Option<OrderStatus>,
        #[case] expected: Settlement,
    ) {
        let standing = standing(PaymentPurpose::Order, status, order);
        assert_eq!(settle(&standing, &paid(50_000), minute(1)), expected);
    }

    #[rstest]
    #[case(false, 3, false)]
    #[case(false, 4, true)]
    #[case(true, 4, false)]
    #[case(true, 16, false)]
    fn what_a_gateway_does_not_know_is_open_while_its_payer_can_go_there(
        #[case] is_handed_out: bool,
        #[case] minutes: i64,
        #[case] has_failed: bool,
    ) {
        let standing = Standing {
            is_handed_out,
            tried_at: minute(1),
            ..standing(PaymentPurpose::TopUp, PaymentStatus::Pending, None)
        };
        let settled = settle(&standing, &Outcome::Unknown, minute(minutes));
        assert_eq!(matches!(settled, Settlement::Failed { .. }), has_failed, "{settled:?}");
        let standing = Standing {
            is_handed_out: true,
            ..standing
        };
        assert_eq!(settle(&standing, &Outcome::Unknown, minute(17)), Settlement::Expired);
    }

    #[test]
    fn what_has_ended_and_can_be_paid_there_is_asked_about_for_a_day() {
        assert_eq!(next_check_of_ended(minute(15), minute(77)), Some(minute(137)));
        assert_eq!(next_check_of_ended(minute(15), minute(15 + 24 * 60)), None);
    }

    #[test]
    fn money_whose_credit_part_is_not_held_any_more_is_credit() {
        let standing = Standing {
            is_covered: false,
            ..standing(
                PaymentPurpose::Order,
                PaymentStatus::Pending,
                Some(OrderStatus::AwaitingPayment),
            )
        };
        assert_eq!(settle(&standing, &paid(50_000), minute(1)), Settlement::Credited);
    }

    #[test]
    fn a_top_up_is_paid_whenever_its_money_comes_and_a_second_time_as_credit() {
        for status in [PaymentStatus::Pending, PaymentStatus::Failed, PaymentStatus::Expired] {
            let standing = standing(PaymentPurpose::TopUp, status, None);
            assert_eq!(settle(&standing, &paid(50_000), minute(99)), Settlement::Paid);
        }
        let standing = standing(PaymentPurpose::TopUp, PaymentStatus::Succeeded, None);
        assert_eq!(settle(&standing, &paid(50_000), minute(1)), Settlement::Credited);
    }

    #[test]
    fn another_amount_or_currency_is_quarantined_whatever_else() {
        for status in [PaymentStatus::Pending, PaymentStatus::Succeeded] {
            let standing = standing(PaymentPurpose::TopUp, status, None);
            assert_eq!(settle(&standing, &paid(49_999), minute(1)), Settlement::Quarantined);
            let dollars = Outcome::Paid(Capture {
                transaction: "T1".to_owned(),
                amount: Money::of(50_000, Currency::Usd),
            });
            assert_eq!(settle(&standing, &dollars, minute(1)), Settlement::Quarantined);
        }
    }

    #[test]
    fn success_is_never_undone() {
        let standing = standing(PaymentPurpose::TopUp, PaymentStatus::Succeeded, None);
        let others = [
            Outcome::Pending,
            Outcome::Review,
            Outcome::Unknown,
            failed(Decline::Declined),
            failed(Decline::Expired),
        ];
        for outcome in others {
            assert_eq!(
                settle(&standing, &outcome, minute(99)),
                Settlement::Nothing,
                "{outcome:?}"
            );
        }
    }

    #[rstest]
    #[case(Outcome::Pending, 1, Settlement::Nothing)]
    #[case(Outcome::Pending, 16, Settlement::Nothing)]
    #[case(Outcome::Pending, 17, Settlement::Expired)]
    #[case(Outcome::Unknown, 2, Settlement::Nothing)]
    #[case(Outcome::Review, 99, Settlement::Reviewed)]
    #[case(failed(Decline::Expired), 1, Settlement::Expired)]
    #[case(failed(Decline::InsufficientFunds), 1, Settlement::Failed { decline: Decline::InsufficientFunds, detail: "51".to_owned() })]
    fn what_is_open_waits_for_its_time_to_be_over(
        #[case] outcome: Outcome,
        #[case] at: i64,
        #[case] expected: Settlement,
    ) {
        let standing = standing(PaymentPurpose::TopUp, PaymentStatus::Pending, None);
        assert_eq!(settle(&standing, &outcome, minute(at)), expected);
    }

    #[test]
    fn what_the_gateway_never_heard_of_fails_when_it_should_have() {
        let standing = standing(PaymentPurpose::TopUp, PaymentStatus::Pending, None);
        let settled = settle(&standing, &Outcome::Unknown, minute(3));
        assert!(matches!(
            settled,
            Settlement::Failed {
                decline: Decline::Rejected,
                ..
            }
        ));
    }

    #[test]
    fn a_gateway_is_asked_often_at_first_at_the_end_and_then_ever_less() {
        let (created, expires) = (minute(0), minute(15));
        let mut at = created;
        let mut asked = Vec::new();
        let mut checks = 0;
        while let Some(next) = next_check(created, expires, checks, at) {
            assert!(next > at);
            at = next;
            checks += 1;
            asked.push((at - created).num_minutes());
        }
        assert_eq!(asked[..6], [1, 3, 7, 15, 17, 18]);
        assert!(asked.len() < 60, "{} times", asked.len());
        assert!(*asked.last().unwrap() >= 30 * 24 * 60);
    }

    #[rstest]
    #[case(100_000, 30_000, 30_000, 70_000)]
    #[case(100_000, 0, 0, 100_000)]
    #[case(100_000, -5, 0, 100_000)]
    #[case(100_000, 100_000, 100_000, 0)]
    #[case(100_000, 500_000, 100_000, 0)]
    #[case(100_000, 99_500, 99_000, 1_000)]
    #[case(600, 300, 0, 600)]
    fn all_credit_is_used_but_for_what_the_gateway_takes_at_least(
        #[case] due: i64,
        #[case] available: i64,
        #[case] credit: i64,
        #[case] gateway: i64,
    ) {
        let shared = share(vnd(due), vnd(available), vnd(1_000)).unwrap();
        assert_eq!((shared.credit.minor(), shared.gateway.minor()), (credit, gateway));
    }

    #[test]
    fn a_hold_is_spent_from_promotional_money_first() {
        let funding = capture_hold(vnd(100), vnd(80), vnd(60)).unwrap();
        assert_eq!((funding.promotional.minor(), funding.cash.minor()), (60, 40));
        assert!(capture_hold(vnd(100), vnd(30), vnd(60)).is_err());
    }

    #[test]
    fn a_top_up_has_its_limits_and_what_is_suggested_is_within_them() {
        for currency in [Currency::Vnd, Currency::Usd] {
            let limits = TopUpLimits::of(currency);
            for amount in limits.suggested() {
                limits.check(amount).unwrap();
            }
            for outside in [limits.least.minor() - 1, limits.most.minor() + 1] {
                let refused = limits.check(Money::of(outside, currency)).unwrap_err();
                assert_eq!(refused.code, RefusalCode::TopUpLimit);
            }
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_never_use_more_credit_than_there_is(due in 1i64..1_000_000, available in -10i64..1_000_000, least in 0i64..20_000) {
            let shared = share(vnd(due), vnd(available), vnd(least)).unwrap();
            prop_assert_eq!(shared.credit.minor() + shared.gateway.minor(), due);
            prop_assert!(shared.credit.minor() >= 0 && shared.credit.minor() <= available.max(0));
            prop_assert!(shared.gateway.is_zero() || shared.gateway.minor() >= least.min(due));
        }
    }
}
