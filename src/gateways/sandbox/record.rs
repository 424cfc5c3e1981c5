//! What the sandbox knows of one checkout, and what its buttons do: values in, values out.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::super::{Attempt, Link};
use crate::domain::gateway::Decline;
use crate::domain::money::{Currency, Money};

/// After how many minutes a notification that was not taken comes again, each time.
const AGAIN_MINUTES: [i64; 4] = [1, 5, 15, 60];
/// How late a slow notification is, in minutes.
const SLOW_MINUTES: i64 = 10;

/// A button of the page, or what the control API says: everything that a gateway may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Press {
    /// Pays, and tells so.
    Approve,
    /// Not enough money.
    DeclineFunds,
    /// Over a limit.
    DeclineLimit,
    /// The card is too old.
    DeclineExpiredMethod,
    /// Taken for fraud.
    DeclineFraud,
    /// Without a reason.
    Decline,
    /// The payer gives up.
    Cancel,
    /// Has to confirm in person: nothing is final yet.
    Challenge,
    /// Pays, and tells so ten minutes later.
    ApproveSlowly,
    /// Pays, and never tells so: only who asks learns it.
    ApproveSilently,
    /// Pays, and tells so three times.
    ApproveRepeatedly,
    /// Pays and tells so, and afterwards tells that it is open and that it failed.
    ApproveOutOfOrder,
    /// Pays another amount.
    WrongAmount,
    /// Pays in another currency.
    WrongCurrency,
    /// Tells it to another merchant's name.
    WrongMerchant,
    /// Tells it with a signature that is not its own.
    Forge,
    /// Tells it with a signature of an hour ago.
    Stale,
    /// Pays a second time.
    PayTwice,
    /// Pays though the payer's time has run out.
    PayLate,
    /// Debits, and looks into it.
    Review,
    /// Ends the looking into it well.
    Clear,
    /// Pays, and does not answer the next three questions.
    ApproveUnreachable,
    /// Refuses to begin.
    RefuseBegin,
    /// Begins, and does not answer.
    LoseBegin,
    /// Gives the next refund back ten minutes later.
    RefundSlowly,
    /// Takes the next refund on, and does not send it.
    RefundFails,
    /// Takes the next refund on, and does not answer.
    LoseRefund,
    /// Links; what is charged there has not enough money.
    LinkWithoutFunds,
    /// Links; what is charged there has to be confirmed in person.
    LinkChallenged,
    /// Links; what is charged there is taken, and not answered.
    LinkLost,
    /// Links; what is charged there is looked into.
    LinkReviewed,
    /// The owner unlinks it.
    Unlink,
}

impl Press {
    /// All of them, in the order of the page.
    pub const ALL: &'static [Self] = &[
        Self::Approve,
        Self::DeclineFunds,
        Self::DeclineLimit,
        Self::DeclineExpiredMethod,
        Self::DeclineFraud,
        Self::Decline,
        Self::Cancel,
        Self::Challenge,
        Self::ApproveSlowly,
        Self::ApproveSilently,
        Self::ApproveRepeatedly,
        Self::ApproveOutOfOrder,
        Self::WrongAmount,
        Self::WrongCurrency,
        Self::WrongMerchant,
        Self::Forge,
        Self::Stale,
        Self::PayTwice,
        Self::PayLate,
        Self::Review,
        Self::Clear,
        Self::ApproveUnreachable,
        Self::RefuseBegin,
        Self::LoseBegin,
        Self::RefundSlowly,
        Self::RefundFails,
        Self::LoseRefund,
        Self::LinkWithoutFunds,
        Self::LinkChallenged,
        Self::LinkLost,
        Self::LinkReviewed,
        Self::Unlink,
    ];
}

/// Where a checkout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// To be paid.
    Open,
    /// Debited, and looked into.
    Review,
    /// Paid.
    Paid {
        /// The number of the newest capture.
        transaction: String,
    },
    /// Declined.
    Declined {
        /// Why.
        decline: Decline,
    },
    /// Too late.
    Expired,
}

/// A notification, sent or to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event: the same when it is sent again.
    pub event: String,
    /// What it says.
    pub says: Standing,
    /// The amount that it says, where it is not the record's.
    pub amount: Option<Money>,
    /// Whether its signature is another's.
    pub forged: bool,
    /// Whether its signature is old.
    pub stale: bool,
    /// Whether it is for another merchant.
    pub wrong_merchant: bool,
    /// When it is due.
    pub at: DateTime<Utc>,
    /// How it was answered, each time.
    pub answers: Vec<u16>,
    /// Whether it is sent no more.
    pub done: bool,
}

/// What the sandbox knows of one checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What its merchant calls it.
    pub reference: String,
    /// What is to be paid.
    pub amount: Money,
    /// What it is for.
    pub description: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Until when it may be paid.
    pub expires_at: DateTime<Utc>,
    /// Where the payer comes back to.
    pub return_url: String,
    /// Where it stands.
    pub standing: Standing,
    /// How many captures it made.
    pub captures: u32,
    /// What was taken, where it is not the amount.
    pub taken: Option<Money>,
    /// How many questions it does not answer.
    pub silent_queries: u32,
    /// Its notifications, the oldest first.
    pub deliveries: Vec<Delivery>,
    /// What went back of it, the oldest first.
    #[serde(default)]
    pub refunds: Vec<Refunded>,
    /// Whether nothing is paid: an account is linked.
    #[serde(default)]
    pub is_link: bool,
    /// What happens to what is charged at the account, where it is not paid.
    #[serde(default)]
    pub charged: Option<Press>,
}

/// A refund, as it is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunded {
    /// What its merchant calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// Since when it is done; ahead for one that is on its way.
    pub done_at: DateTime<Utc>,
    /// Whether it fails when it is done.
    pub fails: bool,
}

impl Record {
    /// A new one, open.
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        Self {
            reference: attempt.reference.clone(),
            amount: attempt.amount,
            description: attempt.description.clone(),
            created_at: attempt.created_at,
            expires_at: attempt.expires_at,
            return_url: attempt.return_url.clone(),
            standing: Standing::Open,
            captures: 0,
            taken: None,
            silent_queries: 0,
            deliveries: Vec::new(),
            refunds: Vec::new(),
            is_link: false,
            charged: None,
        }
    }

    /// An account that is to be linked, open.
    #[must_use]
    pub fn of_link(link: &Link) -> Self {
        Self {
            reference: link.reference.clone(),
            amount: Money::zero(Currency::Vnd),
            description: "Link your sandbox account".to_owned(),
            created_at: link.created_at,
            expires_at: link.expires_at,
            return_url: link.return_url.clone(),
            standing: Standing::Open,
            captures: 0,
            taken: None,
            silent_queries: 0,
            deliveries: Vec::new(),
            refunds: Vec::new(),
            is_link: true,
            charged: None,
        }
    }

    /// Whether a token charges it.
    #[must_use]
    pub fn is_charged_by(&self, token: &str) -> bool {
        self.is_link && matches!(&self.standing, Standing::Paid { transaction } if transaction == token)
    }

    /// Where it stands at an instant: what nobody paid in time has expired.
    #[must_use]
    pub fn standing_at(&self, now: DateTime<Utc>) -> Standing {
        match &self.standing {
            Standing::Open if now >= self.expires_at => Standing::Expired,
            standing => standing.clone(),
        }
    }

    /// What it says it took when it is asked.
    #[must_use]
    pub fn asked_amount(&self) -> Money {
        self.taken.unwrap_or(self.amount)
    }

    /// When the next notification is due.
    #[must_use]
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.deliveries
            .iter()
            .filter(|delivery| !delivery.done)
            .map(|delivery| delivery.at)
            .min()
    }

    /// Presses a button. What makes no sense any more changes nothing: paid stays paid, however often it is clicked.
    pub fn press(&mut self, press: Press, now: DateTime<Utc>) {
        let standing = self.standing_at(now);
        let is_open = standing == Standing::Open;
        match press {
            Press::Approve if is_open => self.pay(now),
            Press::ApproveSlowly if is_open => self.pay(now + TimeDelta::minutes(SLOW_MINUTES)),
            Press::ApproveSilently if is_open => {
                self.pay(now);
                self.be_silent();
            }
            Press::ApproveUnreachable if is_open => {
                self.pay(now);
                self.be_silent();
                self.silent_queries = 3;
            }
            Press::ApproveRepeatedly if is_open => {
                self.pay(now);
                self.repeat_last();
                self.repeat_last();
            }
            Press::ApproveOutOfOrder if is_open => {
                self.pay(now);
                self.tell(Standing::Open, now);
                self.tell(
                    Standing::Declined {
                        decline: Decline::Declined,
                    },
                    now,
                );
            }
            Press::WrongAmount if is_open => {
                self.taken = Some(Money::of(self.amount.minor() - 1, self.amount.currency()));
                self.pay(now);
            }
            Press::WrongCurrency if is_open => {
                let other = if self.amount.currency() == Currency::Usd {
                    Currency::Vnd
                } else {
                    Currency::Usd
                };
                self.taken = Some(Money::of(self.amount.minor(), other));
                self.pay(now);
            }
            Press::WrongMerchant if is_open => self.pay_and(now, |delivery| delivery.wrong_merchant = true),
            Press::Forge if is_open => self.pay_and(now, |delivery| delivery.forged = true),
            Press::Stale if is_open => self.pay_and(now, |delivery| delivery.stale = true),
            Press::PayTwice => {
                self.pay(now);
                self.pay(now);
            }
            Press::PayLate if is_open || standing == Standing::Expired => self.pay(now),
            Press::Review if is_open => {
                self.standing = Standing::Review;
                self.tell(Standing::Review, now);
            }
            Press::Clear if standing == Standing::Review => self.pay(now),
            Press::LinkWithoutFunds if is_open && self.is_link => self.link(Press::DeclineFunds, now),
            Press::LinkChallenged if is_open && self.is_link => self.link(Press::Challenge, now),
            Press::LinkLost if is_open && self.is_link => self.link(Press::LoseBegin, now),
            Press::LinkReviewed if is_open && self.is_link => self.link(Press::Review, now),
            Press::Unlink if self.is_link && matches!(standing, Standing::Paid { .. }) => {
                self.decline(Decline::MethodRevoked, now);
            }
            Press::Challenge if is_open => self.tell(Standing::Open, now),
            Press::DeclineFunds if is_open => self.decline(Decline::InsufficientFunds, now),
            Press::DeclineLimit if is_open => self.decline(Decline::LimitReached, now),
            Press::DeclineExpiredMethod if is_open => self.decline(Decline::MethodRevoked, now),
            Press::DeclineFraud if is_open => self.decline(Decline::Suspicious, now),
            Press::Decline if is_open => self.decline(Decline::Declined, now),
            Press::Cancel if is_open => self.decline(Decline::Cancelled, now),
            _ => {}
        }
    }

    /// Gives something back, once for a reference, and answers whether it may: never more than it took.
    pub fn give_back(&mut self, reference: &str, amount: Money, prepared: Option<Press>, now: DateTime<Utc>) -> bool {
        if self.refunds.iter().any(|known| known.reference == reference) {
            return true;
        }
        let taken = self.asked_amount().minor() * i64::from(self.captures);
        let back: i64 = self
            .refunds
            .iter()
            .filter(|known| !(known.fails && known.done_at <= now))
            .map(|known| known.amount.minor())
            .sum();
        if !matches!(self.standing, Standing::Paid { .. }) || back + amount.minor() > taken {
            return false;
        }
        let slowly = matches!(prepared, Some(Press::RefundSlowly | Press::RefundFails));
        self.refunds.push(Refunded {
            reference: reference.to_owned(),
            amount,
            done_at: if slowly {
                now + TimeDelta::minutes(SLOW_MINUTES)
            } else {
                now
            },
            fails: prepared == Some(Press::RefundFails),
        });
        true
    }

    /// Notes how a notification was answered: one that was not taken comes again, four times at most.
    pub fn answered(&mut self, position: usize, status: u16, now: DateTime<Utc>) {
        let Some(delivery) = self.deliveries.get_mut(position) else {
            return;
        };
        delivery.answers.push(status);
        let again = AGAIN_MINUTES.get(delivery.answers.len() - 1);
        match again {
            Some(minutes) if !(200..300).contains(&status) => delivery.at = now + TimeDelta::minutes(*minutes),
            _ => delivery.done = true,
        }
    }

    fn link(&mut self, charged: Press, now: DateTime<Utc>) {
        self.charged = Some(charged);
        self.pay(now);
    }

    /// Is not charged: its payer has to confirm in person.
    pub fn is_challenged(&mut self, now: DateTime<Utc>) {
        self.decline(Decline::ChallengeRequired, now);
    }

    /// Ends a link, as the merchant wishes: nobody is told.
    pub fn end(&mut self) {
        self.standing = Standing::Declined {
            decline: Decline::MethodRevoked,
        };
    }

    fn pay(&mut self, told_at: DateTime<Utc>) {
        self.captures += 1;
        self.standing = Standing::Paid {
            transaction: format!("{}-{}", self.reference, self.captures),
        };
        self.tell(self.standing.clone(), told_at);
    }

    fn pay_and(&mut self, now: DateTime<Utc>, change: impl Fn(&mut Delivery)) {
        self.pay(now);
        if let Some(delivery) = self.deliveries.last_mut() {
            change(delivery);
        }
    }

    fn decline(&mut self, decline: Decline, now: DateTime<Utc>) {
        self.standing = Standing::Declined { decline };
        self.tell(self.standing.clone(), now);
    }

    fn tell(&mut self, says: Standing, at: DateTime<Utc>) {
        self.deliveries.push(Delivery {
            event: format!("evt-{}-{}", self.reference, self.deliveries.len() + 1),
            says,
            amount: self.taken,
            forged: false,
            stale: false,
            wrong_merchant: false,
            at,
            answers: Vec::new(),
            done: false,
        });
    }

    /// Sends nothing more of what was to be told. It is not forgotten: an event's number is never used again.
    fn be_silent(&mut self) {
        for delivery in &mut self.deliveries {
            delivery.done = true;
        }
    }

    fn repeat_last(&mut self) {
        if let Some(last) = self.deliveries.last().cloned() {
            self.deliveries.push(last);
        }
    }
}
