//! Paying on behalf: a link by which somebody without an account pays an order of somebody who has one.

pub mod page;

use chrono::TimeDelta;
use entity::enums::{Language, OrderAction, OrderStatus};

use super::explain::money_text;
use super::money::Money;
use super::quote::PricedQuote;
use super::refusal::{Refusal, RefusalCode};
use super::time::Instant;

/// For how many days a link is good.
///
/// Source: rule "On behalf" in ARCHITECTURE, section Buying.
pub const LINK_DAYS: i64 = 3;
/// How many payments are begun by one link at most, one after the other.
pub const MOST_PAYMENTS: usize = 20;
/// How many things are named; of more it is said how many there are.
const NAMED: usize = 10;

/// Until when a link is good: for three days, and never so long that a payment begun in its last moment would outlive the
/// order. Errors: ORDER_EXPIRED when that would be no time at all.
pub fn good_until(now: Instant, order_most: Instant, payer_takes: TimeDelta) -> Result<Instant, Refusal> {
    let until = (now + TimeDelta::days(LINK_DAYS)).min(order_most - payer_takes);
    if until > now {
        return Ok(until);
    }
    Err(Refusal::new(
        RefusalCode::OrderExpired,
        "This order waits not long enough any more for somebody else to pay it. Make a new quote and order it.",
    ))
}

/// What can be done with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A payment can be begun, or gone on with.
    Open,
    /// What was begun is not known to have failed or succeeded: another payment would pay twice.
    Underway,
    /// The order is paid, by this link or another way. A link pays once.
    Paid,
    /// The order is not to be paid any more, or another link took this one's place.
    Over,
    /// Its time has run out.
    Expired,
}

/// A link as it was made and where its order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Until when it is good.
    pub expires_at: Instant,
    /// Whether another one took its place.
    pub is_replaced: bool,
    /// Where its order stands.
    pub order: OrderStatus,
    /// How many payments were begun by it.
    pub payments: usize,
    /// Whether one of them is open, and its payer can go on with it.
    pub goes_on: bool,
    /// Whether one of them can't be gone on with, and has come to no end yet.
    pub is_underway: bool,
}

impl Link {
    /// What can be done with it.
    ///
    /// Source: rule "On behalf" in ARCHITECTURE, section Buying.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        match self.order {
            OrderStatus::AwaitingPayment if self.is_underway => Standing::Underway,
            OrderStatus::AwaitingPayment if self.is_replaced => Standing::Over,
            OrderStatus::AwaitingPayment if self.goes_on => Standing::Open,
            OrderStatus::AwaitingPayment if self.expires_at <= now => Standing::Expired,
            OrderStatus::AwaitingPayment if self.payments >= MOST_PAYMENTS => Standing::Over,
            OrderStatus::AwaitingPayment => Standing::Open,
            OrderStatus::Cancelled => Standing::Over,
            _ => Standing::Paid,
        }
    }
}

/// What somebody is asked to pay, and for whom: all that they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the account calls itself.
    pub account: String,
    /// The language of the account.
    pub language: Language,
    /// What is bought, as its page says it.
    pub what: Vec<String>,
    /// What is bought, as a message to a stranger says it: without the names that the customer has chosen, or anybody could
    /// have us send their words to anybody.
    pub products: Vec<String>,
    /// How much is to be paid.
    pub amount: Money,
}

impl Asked {
    /// What a quote asks for. Errors: AMOUNT_OUT_OF_RANGE.
    pub fn of(account: String, language: Language, priced: &PricedQuote) -> Result<Self, Refusal> {
        let named = priced.items.iter().take(NAMED);
        let mut what: Vec<String> = named
            .map(|item| {
                let does = action(item.action, language);
                format!("{does}: {} ({})", item.name, item.product_name)
            })
            .collect();
        let mut products: Vec<String> = Vec::new();
        for item in priced.items.iter().take(NAMED) {
            let told = format!("{}: {}", action(item.action, language), item.product_name);
            if !products.contains(&told) {
                products.push(told);
            }
        }
        let more = priced.items.len().saturating_sub(NAMED);
        if more > 0 {
            let more = match language {
                Language::En => format!("and {more} more"),
                Language::Vi => format!("và {more} mục khác"),
            };
            products.push(more.clone());
            what.push(more);
        }
        Ok(Self {
            account,
            language,
            what,
            products,
            amount: priced.due()?,
        })
    }

    /// The amount in the account's language.
    #[must_use]
    pub fn amount(&self) -> String {
        money_text(self.amount, self.language)
    }
}

const fn action(action: OrderAction, language: Language) -> &'static str {
    match (action, language) {
        (OrderAction::Create, Language::En) => "New",
        (OrderAction::Create, Language::Vi) => "Mua mới",
        (OrderAction::Renew, Language::En) => "Renewal",
        (OrderAction::Renew, Language::Vi) => "Gia hạn",
        (OrderAction::Resize, Language::En) => "Resize",
        (OrderAction::Resize, Language::Vi) => "Thay đổi cấu hình",
        (OrderAction::Recover, Language::En) => "Recovery",
        (OrderAction::Recover, Language::Vi) => "Khôi phục",
        (OrderAction::Delete, Language::En) => "Deletion",
        (OrderAction::Delete, Language::Vi) => "Xóa",
        (OrderAction::StopPoc, Language::En) => "End of the trial",
        (OrderAction::StopPoc, Language::Vi) => "Kết thúc dùng thử",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use chrono::{DateTime, TimeDelta};
    use entity::enums::OrderStatus;
    use rstest::rstest;

    use super::{Link, MOST_PAYMENTS, Standing, good_until};
    use crate::domain::refusal::RefusalCode;

    #[rstest]
    #[case(OrderStatus::AwaitingPayment, 1, false, (0, false, false), Standing::Open)]
    #[case(OrderStatus::AwaitingPayment, 1, false, (MOST_PAYMENTS - 1, false, false), Standing::Open)]
    #[case(OrderStatus::AwaitingPayment, 1, false, (MOST_PAYMENTS, false, false), Standing::Over)]
    #[case(OrderStatus::AwaitingPayment, 1, false, (MOST_PAYMENTS, true, false), Standing::Open)]
    #[case(OrderStatus::AwaitingPayment, 1, false, (1, false, true), Standing::Underway)]
    #[case(OrderStatus::AwaitingPayment, 0, false, (1, false, true), Standing::Underway)]
    #[case(OrderStatus::AwaitingPayment, 0, false, (1, true, false), Standing::Open)]
    #[case(OrderStatus::AwaitingPayment, 0, false, (1, false, false), Standing::Expired)]
    #[case(OrderStatus::AwaitingPayment, 1, true, (1, true, false), Standing::Over)]
    #[case(OrderStatus::Cancelled, 1, false, (0, false, false), Standing::Over)]
    #[case(OrderStatus::InProgress, 1, false, (1, false, false), Standing::Paid)]
    #[case(OrderStatus::Refunded, 0, true, (1, false, false), Standing::Paid)]
    fn a_link_pays_once_while_its_order_waits(
        #[case] order: OrderStatus,
        #[case] seconds_left: i64,
        #[case] is_replaced: bool,
        #[case] (payments, goes_on, is_underway): (usize, bool, bool),
        #[case] standing: Standing,
    ) {
        let now = DateTime::UNIX_EPOCH;
        let link = Link {
            expires_at: now + TimeDelta::seconds(seconds_left),
            is_replaced,
            order,
            payments,
            goes_on,
            is_underway,
        };
        assert_eq!(link.standing(now), standing);
    }

    #[test]
    fn a_link_is_good_for_three_days_and_never_outlives_what_its_order_waits() {
        let now = DateTime::UNIX_EPOCH;
        let takes = TimeDelta::minutes(20);
        let until = |hours| good_until(now, now + TimeDelta::hours(hours), takes);
        assert_eq!(until(96).unwrap(), now + TimeDelta::days(3));
        assert_eq!(until(72).unwrap(), now + TimeDelta::days(3) - takes);
        assert_eq!(until(1).unwrap(), now + TimeDelta::minutes(40));
        let late = good_until(now, now + takes, takes).unwrap_err();
        assert_eq!(late.code, RefusalCode::OrderExpired);
    }
}
