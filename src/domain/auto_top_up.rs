//! Topping a wallet up by itself: what may be asked for, and when it is done.

use chrono::{Datelike as _, Months, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use entity::enums::PaymentStatus;

use super::money::Money;
use super::payment::TopUpLimits;
use super::refusal::{Refusal, RefusalCode};
use super::time::{self, Instant};

/// After how many charges in a row that were declined it stops.
pub const MOST_DECLINES: i32 = 3;
/// How long nothing is charged again after a charge was declined.
const AFTER_A_DECLINE: TimeDelta = TimeDelta::days(1);

/// What somebody asks for: below this, add so much, and at most so much in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Below which available credit.
    pub below: Money,
    /// How much is added at once.
    pub amount: Money,
    /// The most that is added in a month.
    pub monthly_limit: Money,
}

impl Terms {
    /// Whether they may be so. Errors: TOP_UP_LIMIT, AUTO_TOP_UP_INVALID, naming the field.
    pub fn check(&self) -> Result<(), Refusal> {
        let invalid = |field, message: &str| Err(Refusal::new(RefusalCode::AutoTopUpInvalid, message).under(field));
        TopUpLimits::of(self.amount.currency())
            .check(self.amount)
            .map_err(|refusal| refusal.under("amount"))?;
        if self.below.minor() < 0 {
            return invalid(
                "below",
                "The credit below which it is topped up can't be less than nothing.",
            );
        }
        if self.monthly_limit.minus(self.amount)?.is_negative() {
            return invalid(
                "monthlyLimit",
                "The limit of a month is less than one top-up. Raise it, or top up less.",
            );
        }
        Ok(())
    }
}

/// What is known when a wallet is below what its owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// What became of the last charge, and when it came to its end.
    pub last: Option<(PaymentStatus, Option<Instant>)>,
    /// How many before it were declined in a row.
    pub declined: i32,
    /// What was added in this month, and still may be.
    pub added: Money,
}

/// What is done about a wallet that is below what its owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is charged now; so many were declined in a row before.
    Charge {
        /// How many.
        declined: i32,
    },
    /// Nothing before then.
    Wait {
        /// Until when.
        until: Instant,
        /// How many were declined in a row.
        declined: i32,
    },
    /// It stops: it was declined too often.
    Stop,
}

/// What is done: one charge at a time, a day after one that was declined, never more than the month's limit, and after three in a
/// row that were declined nothing until its owner says so.
///
/// Source: rule "Auto top-up" in ARCHITECTURE, section Buying. Errors: AMOUNT_OUT_OF_RANGE.
pub fn step(terms: &Terms, situation: &Situation, zone: Tz, now: Instant) -> Result<Step, Refusal> {
    let declined = match situation.last {
        Some((PaymentStatus::Pending, _)) => {
            return Ok(Step::Wait {
                until: now + TimeDelta::minutes(1),
                declined: situation.declined,
            });
        }
        Some((PaymentStatus::Succeeded, _)) => 0,
        Some((PaymentStatus::Failed | PaymentStatus::Expired, ended)) => {
            let declined = situation.declined + 1;
            if declined >= MOST_DECLINES {
                return Ok(Step::Stop);
            }
            let until = ended.unwrap_or(now) + AFTER_A_DECLINE;
            if until > now {
                return Ok(Step::Wait { until, declined });
            }
            declined
        }
        None => situation.declined,
    };
    if terms
        .monthly_limit
        .minus(situation.added.plus(terms.amount)?)?
        .is_negative()
    {
        let until = next_month(zone, now);
        return Ok(Step::Wait { until, declined });
    }
    Ok(Step::Charge { declined })
}

/// When the month of an instant began in a zone.
#[must_use]
pub fn month_began(zone: Tz, now: Instant) -> Instant {
    first_of(zone, now, 0)
}

fn next_month(zone: Tz, now: Instant) -> Instant {
    first_of(zone, now, 1)
}

fn first_of(zone: Tz, now: Instant, months: u32) -> Instant {
    let day = time::local_day(now, zone);
    let first = NaiveDate::from_ymd_opt(day.year(), day.month(), 1)
        .and_then(|first| first.checked_add_months(Months::new(months)))
        .unwrap_or(day);
    time::start_of_day(first, zone)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use rstest::rstest;

    use super::super::money::Currency;
    use super::*;

    const ZONE: Tz = chrono_tz::Asia::Ho_Chi_Minh;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    fn terms() -> Terms {
        Terms {
            below: vnd(50_000),
            amount: vnd(100_000),
            monthly_limit: vnd(250_000),
        }
    }

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    /// Noon of 6 March 2023.
    fn now() -> Instant {
        at("2023-03-06T05:00:00Z")
    }

    fn after(last: Option<(PaymentStatus, Option<Instant>)>, declined: i32, added: i64) -> Step {
        let situation = Situation {
            last,
            declined,
            added: vnd(added),
        };
        step(&terms(), &situation, ZONE, now()).unwrap()
    }

    #[test]
    fn it_charges_up_to_the_limit_of_the_month() {
        assert_eq!(after(None, 0, 0), Step::Charge { declined: 0 });
        assert_eq!(after(None, 0, 150_000), Step::Charge { declined: 0 });
        let until = at("2023-03-31T17:00:00Z");
        assert_eq!(after(None, 0, 150_001), Step::Wait { until, declined: 0 });
    }

    #[test]
    fn one_charge_at_a_time() {
        let until = now() + TimeDelta::minutes(1);
        let pending = Some((PaymentStatus::Pending, None));
        assert_eq!(after(pending, 2, 100_000), Step::Wait { until, declined: 2 });
    }

    #[rstest]
    #[case(PaymentStatus::Failed)]
    #[case(PaymentStatus::Expired)]
    fn after_a_decline_it_waits_a_day_and_after_three_it_stops(#[case] status: PaymentStatus) {
        let ended = now() - TimeDelta::hours(1);
        let until = ended + TimeDelta::days(1);
        assert_eq!(
            after(Some((status, Some(ended))), 0, 0),
            Step::Wait { until, declined: 1 }
        );
        let long_ago = now() - TimeDelta::days(2);
        assert_eq!(
            after(Some((status, Some(long_ago))), 1, 0),
            Step::Charge { declined: 2 }
        );
        assert_eq!(after(Some((status, Some(long_ago))), 2, 0), Step::Stop);
    }

    #[test]
    fn a_success_forgets_the_declines() {
        let succeeded = Some((PaymentStatus::Succeeded, Some(now())));
        assert_eq!(after(succeeded, 2, 100_000), Step::Charge { declined: 0 });
    }

    #[test]
    fn a_month_is_one_of_the_accounts_zone() {
        assert_eq!(
            month_began(ZONE, at("2023-03-31T16:59:59Z")),
            at("2023-02-28T17:00:00Z")
        );
        assert_eq!(
            month_began(ZONE, at("2023-03-31T17:00:00Z")),
            at("2023-03-31T17:00:00Z")
        );
    }

    #[rstest]
    #[case(Terms { below: vnd(-1), ..terms() }, RefusalCode::AutoTopUpInvalid)]
    #[case(Terms { monthly_limit: vnd(99_999), ..terms() }, RefusalCode::AutoTopUpInvalid)]
    #[case(Terms { amount: vnd(9_999), ..terms() }, RefusalCode::TopUpLimit)]
    fn terms_that_make_no_sense_are_refused(#[case] terms: Terms, #[case] code: RefusalCode) {
        assert_eq!(terms.check().unwrap_err().code, code);
    }

    #[test]
    fn terms_may_be_as_tight_as_one_top_up_a_month() {
        let tight = Terms {
            below: vnd(0),
            monthly_limit: vnd(100_000),
            ..terms()
        };
        tight.check().unwrap();
    }
}
