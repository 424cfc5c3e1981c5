//! The books: what each cause posts. A transaction that does not balance can't be made.

use entity::enums::{FundsKind, LedgerAccount, LedgerCause};
use serde::{Deserialize, Serialize};

use super::funding::Funding;
use super::money::{Currency, Money};
use super::period::Unused;
use super::refusal::Refusal;

/// One side of a transaction: a debit above zero, a credit below, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account of the books.
    pub account: LedgerAccount,
    /// A debit above zero, a credit below; never zero.
    pub amount_minor: i64,
}

/// Postings that add up to zero, and why they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    cause: LedgerCause,
    currency: Currency,
    postings: Vec<Posting>,
}

/// A side of a transaction before it is made: an account and an amount that is not below zero.
enum Side {
    Debit(LedgerAccount, Money),
    Credit(LedgerAccount, Money),
}

impl Transaction {
    /// A transaction of these postings; what is zero is left out, and several postings of one account stay apart.
    ///
    /// Source: rule "Double entry" in ARCHITECTURE, section Books. Errors: INCONSISTENT when they do not add up to
    /// zero.
    pub fn new(cause: LedgerCause, currency: Currency, postings: Vec<Posting>) -> Result<Self, Refusal> {
        let sum: i128 = postings.iter().map(|posting| i128::from(posting.amount_minor)).sum();
        if sum != 0 {
            return Err(Refusal::inconsistent(format!(
                "a transaction of {cause} is out of balance by {sum}"
            )));
        }
        let postings = postings
            .into_iter()
            .filter(|posting| posting.amount_minor != 0)
            .collect();
        Ok(Self {
            cause,
            currency,
            postings,
        })
    }

    /// Why it is made.
    #[must_use]
    pub const fn cause(&self) -> LedgerCause {
        self.cause
    }

    /// The currency of all its postings.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Its postings, none of them zero; none at all when nothing moved.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// Whether nothing moved: there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.postings.is_empty()
    }

    fn of_sides(cause: LedgerCause, currency: Currency, sides: Vec<Side>) -> Result<Self, Refusal> {
        let mut postings = Vec::with_capacity(sides.len());
        for side in sides {
            let (account, amount, sign) = match side {
                Side::Debit(account, amount) => (account, amount, 1),
                Side::Credit(account, amount) => (account, amount, -1),
            };
            if amount.currency() != currency {
                return Err(Refusal::inconsistent("a transaction mixes currencies"));
            }
            let amount_minor = amount
                .minor()
                .checked_mul(sign)
                .ok_or_else(|| Refusal::inconsistent("a posting is out of range"))?;
            postings.push(Posting { account, amount_minor });
        }
        Self::new(cause, currency, postings)
    }
}

/// An operator's grant: adjustments to the customer's cash or promotional money.
/// Errors: INCONSISTENT when the amount is not above zero.
pub fn grant(kind: FundsKind, amount: Money) -> Result<Transaction, Refusal> {
    if !amount.is_positive() {
        return Err(Refusal::inconsistent("a grant is not above zero"));
    }
    let customer = match kind {
        FundsKind::Cash => LedgerAccount::CustomerCash,
        FundsKind::Promotional => LedgerAccount::CustomerPromotional,
    };
    Transaction::of_sides(
        LedgerCause::Grant,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::Adjustments, amount),
            Side::Credit(customer, amount),
        ],
    )
}

/// An order paid from credit: the customer's money to orders in progress.
pub fn order_payment(funding: &Funding) -> Result<Transaction, Refusal> {
    let total = funding.total()?;
    Transaction::of_sides(
        LedgerCause::OrderPayment,
        total.currency(),
        vec![
            Side::Debit(LedgerAccount::CustomerPromotional, funding.promotional),
            Side::Debit(LedgerAccount::CustomerCash, funding.cash),
            Side::Credit(LedgerAccount::OrdersInProgress, total),
        ],
    )
}

/// An order paid through a gateway: what the gateway took, and the part that was held in the wallet, to orders in progress.
pub fn order_collected(credit: &Funding, gateway: Money) -> Result<Transaction, Refusal> {
    let total = credit.total()?.plus(gateway)?;
    Transaction::of_sides(
        LedgerCause::OrderPayment,
        total.currency(),
        vec![
            Side::Debit(LedgerAccount::GatewayClearing, gateway),
            Side::Debit(LedgerAccount::CustomerPromotional, credit.promotional),
            Side::Debit(LedgerAccount::CustomerCash, credit.cash),
            Side::Credit(LedgerAccount::OrdersInProgress, total),
        ],
    )
}

/// Money that a gateway took, to the customer's wallet: a top-up, or what its order could not be paid with any more.
pub fn top_up(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::TopUp,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::GatewayClearing, amount),
            Side::Credit(LedgerAccount::CustomerCash, amount),
        ],
    )
}

/// Money that a gateway took and that is not what was to be paid: it waits in suspense.
pub fn quarantine(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::Quarantine,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::GatewayClearing, amount),
            Side::Credit(LedgerAccount::Suspense, amount),
        ],
    )
}

/// Quarantined money, to the customer's wallet.
pub fn quarantine_credited(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::QuarantineCredited,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::Suspense, amount),
            Side::Credit(LedgerAccount::CustomerCash, amount),
        ],
    )
}

/// Quarantined money, sent back to its payer outside of the gateway.
pub fn quarantine_returned(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::QuarantineReturned,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::Suspense, amount),
            Side::Credit(LedgerAccount::GatewayClearing, amount),
        ],
    )
}

/// Money that is to go back to its payer leaves the customer's wallet.
pub fn refund_to_source(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::GatewayRefund,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::CustomerCash, amount),
            Side::Credit(LedgerAccount::RefundsPayable, amount),
        ],
    )
}

/// The gateway has sent it.
pub fn refund_sent(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::GatewayRefund,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::RefundsPayable, amount),
            Side::Credit(LedgerAccount::GatewayClearing, amount),
        ],
    )
}

/// The gateway did not send it: the customer has it again.
pub fn refund_failed(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::GatewayRefundFailed,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::RefundsPayable, amount),
            Side::Credit(LedgerAccount::CustomerCash, amount),
        ],
    )
}

/// What the gateway had sent came back to it, and so to the customer: a closed card, a bank that refused it.
pub fn refund_came_back(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::GatewayRefundFailed,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::GatewayClearing, amount),
            Side::Credit(LedgerAccount::CustomerCash, amount),
        ],
    )
}

/// Credit that a partner moves to a customer leaves the partner's books.
pub fn transfer_out(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::Transfer,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::CustomerCash, amount),
            Side::Credit(LedgerAccount::Partner, amount),
        ],
    )
}

/// It comes into the customer's: the two postings to the partner's account are each other's mirror.
pub fn transfer_in(amount: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::Transfer,
        amount.currency(),
        vec![
            Side::Debit(LedgerAccount::Partner, amount),
            Side::Credit(LedgerAccount::CustomerCash, amount),
        ],
    )
}

/// An item provisioned: what was charged for it leaves orders in progress, and with the coupon's share, given as a
/// discount, becomes deferred revenue and tax. Errors: INCONSISTENT unless `net + tax - coupon = charged`.
pub fn provisioned(charged: Money, net: Money, tax: Money, coupon: Money) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::Provisioned,
        charged.currency(),
        vec![
            Side::Debit(LedgerAccount::OrdersInProgress, charged),
            Side::Debit(LedgerAccount::Discounts, coupon),
            Side::Credit(LedgerAccount::DeferredRevenue, net),
            Side::Credit(LedgerAccount::TaxPayable, tax),
        ],
    )
}

/// An item failed: what was charged for it goes back to where it came from.
pub fn provisioning_refund(charged: &Funding) -> Result<Transaction, Refusal> {
    let total = charged.total()?;
    Transaction::of_sides(
        LedgerCause::ProvisioningRefund,
        total.currency(),
        vec![
            Side::Debit(LedgerAccount::OrdersInProgress, total),
            Side::Credit(LedgerAccount::CustomerPromotional, charged.promotional),
            Side::Credit(LedgerAccount::CustomerCash, charged.cash),
        ],
    )
}

/// The unused part of a period goes back: its deferred revenue and tax are undone, and so is the coupon's share.
pub fn unused_refund(unused: &Unused) -> Result<Transaction, Refusal> {
    Transaction::of_sides(
        LedgerCause::UnusedRefund,
        unused.tax.currency(),
        vec![
            Side::Debit(LedgerAccount::DeferredRevenue, unused.net),
            Side::Debit(LedgerAccount::TaxPayable, unused.tax),
            Side::Credit(LedgerAccount::Discounts, unused.coupon),
            Side::Credit(LedgerAccount::CustomerPromotional, unused.refund.promotional),
            Side::Credit(LedgerAccount::CustomerCash, unused.refund.cash),
        ],
    )
}

/// What is unused of the periods that an item replaces: their deferred revenue, tax and coupons are undone. `refund` of it
/// goes back to the customer, the rest stays with the order, for the new period. Errors: INCONSISTENT when more is to go
/// back than is unused.
pub fn unused_replaced(unused: &[Unused], refund: &Funding) -> Result<Transaction, Refusal> {
    let currency = refund.cash.currency();
    let sum = |of: fn(&Unused) -> Money| Money::sum(currency, unused.iter().map(of));
    let credit = unused
        .iter()
        .try_fold(Funding::zero(currency), |sum, unused| sum.plus(&unused.refund))?;
    Transaction::of_sides(
        LedgerCause::UnusedRefund,
        currency,
        vec![
            Side::Debit(LedgerAccount::DeferredRevenue, sum(|unused| unused.net)?),
            Side::Debit(LedgerAccount::TaxPayable, sum(|unused| unused.tax)?),
            Side::Credit(LedgerAccount::Discounts, sum(|unused| unused.coupon)?),
            Side::Credit(LedgerAccount::CustomerPromotional, refund.promotional),
            Side::Credit(LedgerAccount::CustomerCash, refund.cash),
            Side::Credit(LedgerAccount::OrdersInProgress, credit.minus(refund)?.total()?),
        ],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::super::refusal::RefusalCode;
    use super::super::time::Minutes;
    use super::*;

    fn vnd(minor: i64) -> Money {
        Money::of(minor, Currency::Vnd)
    }

    fn posted(transaction: &Transaction, account: LedgerAccount) -> i64 {
        transaction
            .postings()
            .iter()
            .filter(|posting| posting.account == account)
            .map(|posting| posting.amount_minor)
            .sum()
    }

    #[test]
    fn what_does_not_balance_can_not_be_made() {
        let one_sided = vec![Posting {
            account: LedgerAccount::CustomerCash,
            amount_minor: 1,
        }];
        let refusal = Transaction::new(LedgerCause::Adjustment, Currency::Vnd, one_sided).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Inconsistent);
        assert!(provisioned(vnd(100), vnd(90), vnd(9), vnd(0)).is_err());
        let extremes = [i64::MAX, i64::MAX, i64::MIN, i64::MIN, 2];
        let extremes = extremes
            .map(|amount_minor| Posting {
                account: LedgerAccount::Suspense,
                amount_minor,
            })
            .to_vec();
        assert!(Transaction::new(LedgerCause::Adjustment, Currency::Vnd, extremes).is_ok());
    }

    #[test]
    fn currencies_do_not_mix() {
        assert!(provisioned(vnd(10), Money::of(10, Currency::Usd), vnd(0), vnd(0)).is_err());
    }

    #[test]
    fn a_grant_credits_the_customer() {
        let transaction = grant(FundsKind::Promotional, vnd(50_000)).unwrap();
        assert_eq!(posted(&transaction, LedgerAccount::CustomerPromotional), -50_000);
        assert_eq!(posted(&transaction, LedgerAccount::Adjustments), 50_000);
        assert!(grant(FundsKind::Cash, vnd(0)).is_err());
    }

    #[test]
    fn a_purchase_runs_through_orders_in_progress() {
        let funding = Funding::of(vnd(162_900), vnd(50_000)).unwrap();
        let paid = order_payment(&funding).unwrap();
        assert_eq!(posted(&paid, LedgerAccount::CustomerCash), 112_900);
        assert_eq!(posted(&paid, LedgerAccount::OrdersInProgress), -162_900);
        let done = provisioned(vnd(162_900), vnd(164_545), vnd(16_455), vnd(18_100)).unwrap();
        assert_eq!(posted(&done, LedgerAccount::OrdersInProgress), 162_900);
        assert_eq!(posted(&done, LedgerAccount::Discounts), 18_100);
        assert_eq!(posted(&done, LedgerAccount::DeferredRevenue), -164_545);
        assert_eq!(posted(&done, LedgerAccount::TaxPayable), -16_455);
        let failed = provisioning_refund(&funding).unwrap();
        for account in LedgerAccount::ALL {
            assert_eq!(posted(&paid, *account), -posted(&failed, *account), "{account}");
        }
    }

    #[test]
    fn the_halves_of_a_transfer_mirror_each_other() {
        let (out, incoming) = (transfer_out(vnd(50_000)).unwrap(), transfer_in(vnd(50_000)).unwrap());
        assert_eq!(posted(&out, LedgerAccount::CustomerCash), 50_000);
        for account in LedgerAccount::ALL {
            assert_eq!(posted(&out, *account), -posted(&incoming, *account), "{account}");
        }
    }

    #[test]
    fn nothing_moved_is_nothing_written() {
        assert!(order_payment(&Funding::zero(Currency::Vnd)).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn an_unused_refund_balances(amount in 0i64..1_000_000, granted in 0i64..=100, tax in 0i64..1_000, coupon in 0i64..1_000) {
            let unused = Unused {
                remaining: Minutes::new(1),
                refund: Funding::of(vnd(amount), vnd(amount * granted / 100)).unwrap(),
                tax: vnd(tax),
                coupon: vnd(coupon),
                net: vnd(amount - tax + coupon),
            };
            let transaction = unused_refund(&unused).unwrap();
            prop_assert_eq!(transaction.postings().iter().map(|posting| posting.amount_minor).sum::<i64>(), 0);
        }
    }
}
