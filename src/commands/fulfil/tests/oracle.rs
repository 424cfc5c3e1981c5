//! What should happen, worked out slowly and obviously from the rules as they are written, with none of the code that is
//! tested: whole numbers of 128 bits, days walked one by one, remainders served one by one.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use entity::enums::{DayCount, PriceUnit, TaxMode};
use entity::price;
use uuid::Uuid;

use crate::domain::refusal::RefusalCode;
use crate::domain::term::Term;

pub(super) type Instant = DateTime<Utc>;

const DAY: i64 = 1_440;
const MILLION: i128 = 1_000_000;

/// `numerator / denominator` to the nearest whole number, halves away from zero.
pub(super) fn nearest(numerator: i128, denominator: i128) -> i64 {
    let size = (2 * numerator.abs() + denominator) / (2 * denominator);
    i64::try_from(size * numerator.signum()).unwrap()
}

/// `amount x part / whole`, rounded once.
pub(super) fn share(amount: i64, part: i64, whole: i64) -> i64 {
    nearest(i128::from(amount) * i128::from(part), i128::from(whole))
}

/// A total by weights: each part cut down, and the units that are left served one by one to whoever lost most.
pub(super) fn split(total: i64, weights: &[i64]) -> Vec<i64> {
    let nothing = weights.iter().all(|weight| *weight == 0);
    let weights: Vec<i128> = weights
        .iter()
        .map(|weight| if nothing { 1 } else { i128::from(*weight) })
        .collect();
    let sum: i128 = weights.iter().sum();
    let exact: Vec<i128> = weights.iter().map(|weight| i128::from(total) * weight).collect();
    let mut parts: Vec<i128> = exact.iter().map(|exact| exact / sum).collect();
    let mut lost: Vec<Option<i128>> = exact.iter().map(|exact| Some(exact % sum)).collect();
    while parts.iter().sum::<i128>() < i128::from(total) {
        let most = lost.iter().flatten().max().copied().unwrap();
        let first = lost.iter().position(|lost| *lost == Some(most)).unwrap();
        parts[first] += 1;
        lost[first] = None;
    }
    parts.into_iter().map(|part| i64::try_from(part).unwrap()).collect()
}

/// An amount by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) cash: i64,
    pub(super) promotional: i64,
}

impl Split {
    pub(super) const fn total(self) -> i64 {
        self.cash + self.promotional
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            cash: self.cash + other.cash,
            promotional: self.promotional + other.promotional,
        }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            cash: self.cash - other.cash,
            promotional: self.promotional - other.promotional,
        }
    }

    /// What goes back of it: the promotional part by its share, the rest cash.
    pub(super) fn back(self, amount: i64) -> Self {
        if self.total() == 0 {
            return Self::default();
        }
        let promotional = share(amount, self.promotional, self.total());
        Self {
            cash: amount - promotional,
            promotional,
        }
    }
}

/// The days of some decades, walked through once.
#[derive(Debug)]
pub(super) struct Calendar {
    zone: Tz,
    first: NaiveDate,
    /// How many minutes the days before each day are worth, by months of thirty days.
    worth_before: Vec<i64>,
}

fn last_day_of(year: i32, month: u32) -> u32 {
    (28..=31)
        .rev()
        .find(|day| NaiveDate::from_ymd_opt(year, month, *day).is_some())
        .unwrap()
}

impl Calendar {
    pub(super) fn of(zone: Tz) -> Self {
        let first = NaiveDate::from_ymd_opt(2014, 1, 1).unwrap();
        let mut worth_before = vec![0];
        let mut day = first;
        while day.year() < 2046 {
            let worth = match (day.month(), day.day()) {
                (_, 31) => 0,
                // February's last day makes up for those it lacks.
                (2, last) if last == last_day_of(day.year(), 2) => (31 - i64::from(last)) * DAY,
                _ => DAY,
            };
            worth_before.push(worth_before.last().unwrap() + worth);
            day = day.succ_opt().unwrap();
        }
        Self {
            zone,
            first,
            worth_before,
        }
    }

    pub(super) fn reading(&self, at: Instant) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    /// When a clock shows this: at first, if it does so twice; when it goes on, if it never does.
    pub(super) fn instant(&self, reading: NaiveDateTime) -> Instant {
        let mut shown = reading;
        let mut found = self.zone.from_local_datetime(&shown).earliest();
        if found.is_none() {
            shown = shown.date().and_hms_opt(0, 0, 0).unwrap();
            while shown <= reading || found.is_none() {
                shown += TimeDelta::minutes(1);
                found = self.zone.from_local_datetime(&shown).earliest();
            }
        }
        found.unwrap().with_timezone(&Utc)
    }

    /// The minutes that have come of a day when it is this late in it.
    fn within(&self, at: Instant) -> (i64, i64) {
        let day = self.reading(at).date();
        let midnight = self.instant(day.and_hms_opt(0, 0, 0).unwrap());
        let minutes = if day.day() == 31 {
            0
        } else {
            (minute(at) - minute(midnight)).min(DAY)
        };
        ((day - self.first).num_days(), minutes)
    }

    pub(super) fn length(&self, day_count: DayCount, from: Instant, to: Instant) -> i64 {
        match day_count {
            DayCount::ActualMinutes => minute(to) - minute(from),
            DayCount::Thirty360 => {
                let worth = |at: Instant| {
                    let (day, minutes) = self.within(at);
                    self.worth_before[usize::try_from(day).unwrap()] + minutes
                };
                worth(to) - worth(from)
            }
        }
    }

    pub(super) fn days_later(&self, at: Instant, days: i64) -> Instant {
        self.instant(self.reading(at) + TimeDelta::days(days))
    }

    fn months_later(&self, at: Instant, months: u32, anchor: u32) -> Instant {
        let reading = self.reading(at);
        let (mut year, mut month) = (reading.year(), reading.month());
        for _ in 0..months {
            month += 1;
            if month == 13 {
                (year, month) = (year + 1, 1);
            }
        }
        let day = anchor.min(last_day_of(year, month));
        let date = NaiveDate::from_ymd_opt(year, month, day).unwrap();
        self.instant(date.and_time(reading.time()))
    }

    /// A term from its start on.
    pub(super) fn lay_down(
        &self,
        term: Term,
        start: Instant,
        anchor: Option<u32>,
        day_count: DayCount,
    ) -> Result<Laid, RefusalCode> {
        let anchor = anchor.unwrap_or_else(|| self.reading(start).day());
        let laid = match term {
            Term::Months(months) => {
                let end = self.months_later(start, months, anchor);
                Laid {
                    start,
                    end,
                    length: self.length(day_count, start, end),
                    priced: i64::from(months) * 30 * DAY,
                    day_count,
                    anchor,
                }
            }
            Term::Days(days) => {
                let end = start + TimeDelta::days(i64::from(days));
                Laid {
                    start,
                    end,
                    length: i64::from(days) * DAY,
                    priced: i64::from(days) * DAY,
                    day_count: DayCount::ActualMinutes,
                    anchor: self.reading(end).day(),
                }
            }
            Term::Until(end) if end <= start => return Err(RefusalCode::EndNotAfterStart),
            Term::Until(end) => {
                let length = self.length(day_count, start, end);
                Laid {
                    start,
                    end,
                    length,
                    priced: length,
                    day_count,
                    anchor: self.reading(end).day(),
                }
            }
        };
        if laid.length <= 0 {
            return Err(RefusalCode::ZeroLength);
        }
        Ok(laid)
    }
}

fn minute(at: Instant) -> i64 {
    at.timestamp().div_euclid(60)
}

/// A term laid down in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Laid {
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) length: i64,
    pub(super) priced: i64,
    pub(super) day_count: DayCount,
    pub(super) anchor: u32,
}

/// One component with its price worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) component: Uuid,
    pub(super) unit_price: i64,
    pub(super) quantity: i64,
    pub(super) minutes: i64,
    pub(super) net: i64,
    pub(super) tax: i64,
    pub(super) gross: i64,
    pub(super) coupon: i64,
    pub(super) charged: i64,
}

/// The price of some units for some minutes. A minor unit is one of `minor` parts of the currency's.
pub(super) fn line(price: &price::Model, quantity: i64, minutes: i64, minor: i64) -> Line {
    let full = i128::from(price.unit_price_micros)
        * i128::from(minor)
        * i128::from(quantity)
        * (MILLION - i128::from(price.discount_micros));
    let (minutes_paid, minutes_of_price) = match price.unit {
        PriceUnit::ThirtyDays => (minutes, 30 * DAY),
        PriceUnit::Hour => (minutes, 60),
        PriceUnit::Once => (1, 1),
    };
    let list = nearest(
        full * i128::from(minutes_paid),
        i128::from(minutes_of_price) * MILLION * MILLION,
    );
    let rate = i128::from(price.tax_micros);
    let (net, tax) = match price.tax_mode {
        TaxMode::Inclusive => {
            let tax = nearest(i128::from(list) * rate, MILLION + rate);
            (list - tax, tax)
        }
        TaxMode::Exclusive => (list, nearest(i128::from(list) * rate, MILLION)),
    };
    Line {
        component: price.component_id,
        unit_price: price.unit_price_micros,
        quantity,
        minutes,
        net,
        tax,
        gross: net + tax,
        coupon: 0,
        charged: net + tax,
    }
}

/// What is left of a period at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) period: Uuid,
    pub(super) remaining: i64,
    pub(super) back: Split,
    pub(super) tax: i64,
    pub(super) coupon: i64,
}

/// A paid period.
#[derive(Clone, Debug)]
pub(super) struct Period {
    pub(super) id: Uuid,
    pub(super) item: Uuid,
    pub(super) laid: Laid,
    pub(super) lines: Vec<Line>,
    pub(super) paid: Split,
    /// When it was replaced, and what of it was left.
    pub(super) replaced: Option<(Instant, Left)>,
}

impl Period {
    fn sum(&self, of: fn(&Line) -> i64) -> i64 {
        self.lines.iter().map(of).sum()
    }

    /// What is left of it: all before it begins, nothing after its end, and between them what its day count says.
    pub(super) fn left(&self, calendar: &Calendar, at: Instant) -> Left {
        let Laid {
            start,
            end,
            length,
            day_count,
            ..
        } = self.laid;
        let remaining = if at <= start {
            length
        } else if at >= end {
            0
        } else {
            // One that was provisioned late is a minute long at least.
            calendar.length(day_count, at, end).min(length)
        };
        Left {
            period: self.id,
            remaining,
            back: self.paid.back(share(self.sum(|line| line.charged), remaining, length)),
            tax: share(self.sum(|line| line.tax), remaining, length),
            coupon: share(self.sum(|line| line.coupon), remaining, length),
        }
    }

    /// The lines of the credit note over what is left: amount and tax of each.
    pub(super) fn note(&self, left: &Left) -> Vec<(i64, i64)> {
        let weights = |of: fn(&Line) -> i64| -> Vec<i64> { self.lines.iter().map(of).collect() };
        let amounts = split(left.back.total(), &weights(|line| line.charged));
        let taxes = split(left.tax, &weights(|line| line.tax));
        amounts.into_iter().zip(taxes).collect()
    }
}
