//! What must be true of a small world, whoever did what in it: told in the words of the business, from the rows, from what they
//! were a step before, and from the gateway's own list. None of it is taken from the rules that it judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_graphql::{Executor as _, Request};
use billing_gateway::app::App;
use billing_gateway::gateways::sandbox::{Record, Standing};
use billing_gateway::graphql::{self, Caller, Permission};
use entity::enums::{
    CaptureUse, HoldPurpose, HoldStatus, LinkStatus, OrderStatus, PaymentMethod, PaymentPurpose, PaymentStatus,
    QuarantineStatus, RedemptionStatus, RefundStatus, Role, WalletAction,
};
use entity::{order, payment};
use uuid::Uuid;

use super::acts::{LOST, MONTHLY_LIMIT};
use super::rows::Rows;

/// What the walk knows that no row tells.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The checkout whose button was pressed in this step, when nothing else happened in it.
    pub(super) pressed: Option<String>,
    /// The captures that we are bound to learn of: their payment waited for them.
    bound: BTreeSet<String>,
}

/// The gateway's numbers of all captures of a checkout.
fn transactions(record: &Record) -> Vec<String> {
    (1..=record.captures)
        .map(|number| format!("{}-{number}", record.reference))
        .collect()
}

/// The captures of which the gateway told us truly, and heard that we took it.
fn told(record: &Record) -> impl Iterator<Item = &String> {
    record.deliveries.iter().filter_map(|delivery| match &delivery.says {
        Standing::Paid { transaction }
            if delivery
                .answers
                .iter()
                .any(|answer| (200..300).contains(answer) && *answer != LOST) =>
        {
            Some(transaction)
        }
        _ => None,
    })
}

fn is_paid(order: &order::Model) -> bool {
    !matches!(order.status, OrderStatus::AwaitingPayment | OrderStatus::Cancelled)
}

/// The payment that paid an order.
fn paying<'r>(rows: &'r Rows, order: &order::Model) -> Vec<&'r payment::Model> {
    let succeeded = |payment: &&payment::Model| payment.status == PaymentStatus::Succeeded && !payment.became_credit;
    rows.payments
        .iter()
        .filter(|payment| payment.order_id == Some(order.id))
        .filter(succeeded)
        .collect()
}

/// What must be true at any moment.
pub(super) fn check(rows: &Rows) {
    nothing_is_served_without_money(rows);
    all_money_has_its_place(rows);
    what_is_held_waits_for_its_payment(rows);
    nothing_goes_back_twice(rows);
    the_wallet_is_the_sum_of_what_happened(rows);
    quotes_and_coupons_are_used_once(rows);
    nobody_else_is_asked_for_more_than_one_payment(rows);
    what_is_linked_is_charged_while_it_is(rows);
}

fn nobody_else_is_asked_for_more_than_one_payment(rows: &Rows) {
    for order in &rows.orders {
        let open = rows.payments.iter().filter(|payment| {
            payment.order_id == Some(order.id)
                && payment.method == PaymentMethod::OnBehalf
                && payment.status == PaymentStatus::Pending
        });
        assert!(open.count() <= 1, "{}", order.code);
        let good = rows
            .links
            .iter()
            .filter(|link| link.order_id == order.id && link.ended_at.is_none());
        assert!(good.count() <= 1, "{}", order.code);
    }
}

fn what_is_linked_is_charged_while_it_is(rows: &Rows) {
    let defaults = rows.methods.iter().filter(|method| method.is_default);
    assert!(defaults.count() <= 1, "{:?}", rows.methods);
    for method in &rows.methods {
        let is_linked = method.status == LinkStatus::Active;
        assert_eq!(
            is_linked,
            method.linked_at.is_some() && method.ended_at.is_none(),
            "{method:?}"
        );
        assert!(is_linked || !method.is_default, "{method:?}");
        assert!(!is_linked || method.token.is_some(), "{method:?}");
    }
    for attempt in rows.attempts.values() {
        let Some(id) = attempt.method_id else { continue };
        let method = rows.methods.iter().find(|method| method.id == id).unwrap();
        let charged = rows
            .records
            .get(&attempt.reference)
            .is_some_and(|record| record.captures > 0);
        assert!(
            !charged || method.linked_at.is_some(),
            "{attempt:?} charged what was never linked"
        );
    }
}

/// What is added by itself keeps to the month's limit, what is under way counted.
fn a_month_is_not_exceeded(before: &Rows, now: &Rows) -> bool {
    let by_itself = |rows: &Rows| -> Vec<(String, i64)> {
        let added = rows.payments.iter().filter(|payment| {
            payment.purpose == PaymentPurpose::TopUp
                && payment.method == PaymentMethod::LinkedAccount
                && matches!(payment.status, PaymentStatus::Pending | PaymentStatus::Succeeded)
        });
        added
            .map(|payment| {
                let local = payment.created_at.with_timezone(&chrono_tz::Asia::Ho_Chi_Minh);
                (local.format("%Y-%m").to_string(), payment.amount_minor)
            })
            .collect()
    };
    let (old, new) = (by_itself(before), by_itself(now));
    let mut months: BTreeMap<String, i64> = BTreeMap::new();
    for (month, amount) in &new {
        *months.entry(month.clone()).or_default() += amount;
    }
    assert!(
        new.len() <= old.len() || months.values().all(|added| *added <= MONTHLY_LIMIT),
        "{months:?}"
    );
    new.len() > old.len()
}

fn nothing_is_served_without_money(rows: &Rows) {
    for order in &rows.orders {
        let paying = paying(rows, order);
        let items: Vec<_> = rows.items.iter().filter(|item| item.order_id == order.id).collect();
        if !is_paid(order) {
            assert!(
                paying.is_empty(),
                "{} is not paid, and its payment succeeded",
                order.code
            );
            let used = rows.captures.iter().find(|capture| {
                capture.used_for == CaptureUse::Paid
                    && rows
                        .payment(capture.payment_id)
                        .is_some_and(|payment| payment.order_id == Some(order.id))
            });
            assert!(used.is_none(), "{} is not paid, and took {used:?}", order.code);
            let served = items.iter().any(|item| {
                rows.resources
                    .iter()
                    .any(|row| row.id == item.resource_id && row.order_item_id == Some(item.id))
            });
            assert!(!served, "{} is not paid, and served", order.code);
            continue;
        }
        let [payment] = paying.as_slice() else {
            panic!("{} is paid by {} payments", order.code, paying.len());
        };
        assert_eq!(payment.amount_minor, order.due_minor, "{}", order.code);
        assert_eq!(
            payment.amount_minor,
            payment.cash_minor + payment.promotional_minor + payment.gateway_minor,
            "{}",
            order.code
        );
        let taken: Vec<i64> = rows
            .captures
            .iter()
            .filter(|capture| capture.payment_id == payment.id && capture.used_for == CaptureUse::Paid)
            .map(|capture| capture.amount_minor)
            .collect();
        let expected: &[i64] = if payment.gateway_minor > 0 {
            &[payment.gateway_minor]
        } else {
            &[]
        };
        assert_eq!(taken, expected, "{}", order.code);
    }
}

fn all_money_has_its_place(rows: &Rows) {
    let mut seen = BTreeSet::new();
    for capture in &rows.captures {
        assert!(
            seen.insert((&capture.gateway, &capture.transaction_ref)),
            "{capture:?} is there twice"
        );
        let payment = rows.payment(capture.payment_id).unwrap();
        let attempt = &rows.attempts[&payment.id];
        // The gateway says so too.
        if capture.gateway == "SANDBOX" {
            let record = &rows.records[&attempt.reference];
            assert!(
                transactions(record).contains(&capture.transaction_ref),
                "{capture:?}: {record:?}"
            );
            assert_eq!(capture.amount_minor, record.asked_amount().minor());
            assert_eq!(capture.currency, record.asked_amount().currency().code());
        }
        let fits = capture.amount_minor == attempt.amount_minor && capture.currency == attempt.currency;
        let credited: i64 = rows
            .entries
            .iter()
            .filter(|entry| entry.transaction_id == capture.transaction_id && entry.action == WalletAction::TopUp)
            .map(|entry| entry.cash_minor)
            .sum();
        let quarantined = rows
            .quarantine
            .iter()
            .filter(|row| row.capture_id == Some(capture.id))
            .count();
        match capture.used_for {
            CaptureUse::Paid if payment.purpose == PaymentPurpose::TopUp => {
                assert!(
                    fits && credited == capture.amount_minor && quarantined == 0,
                    "{capture:?}"
                );
            }
            CaptureUse::Paid => {
                assert!(fits && credited == 0 && quarantined == 0, "{capture:?}");
                let order = rows
                    .orders
                    .iter()
                    .find(|order| Some(order.id) == payment.order_id)
                    .unwrap();
                assert!(is_paid(order), "{capture:?}");
            }
            CaptureUse::Credit => assert!(
                fits && credited == capture.amount_minor && quarantined == 0,
                "{capture:?}"
            ),
            CaptureUse::Quarantine => assert!(!fits && credited == 0 && quarantined == 1, "{capture:?}"),
        }
    }
    for payment in rows.payments.iter().filter(|payment| payment.gateway_minor > 0) {
        let captures = rows
            .captures
            .iter()
            .filter(|capture| capture.payment_id == payment.id && capture.used_for != CaptureUse::Quarantine);
        assert_eq!(
            payment.status == PaymentStatus::Succeeded,
            captures.count() > 0,
            "{payment:?}"
        );
    }
}

fn what_is_held_waits_for_its_payment(rows: &Rows) {
    let open: Vec<_> = rows
        .holds
        .iter()
        .filter(|hold| hold.purpose == HoldPurpose::Payment && hold.status == HoldStatus::Open)
        .collect();
    for hold in &open {
        let payment = rows.payment(hold.payment_id.unwrap()).unwrap();
        assert_eq!(payment.status, PaymentStatus::Pending, "{hold:?} is open: {payment:?}");
        assert_eq!(hold.amount_minor, payment.amount_minor - payment.gateway_minor);
        assert_eq!(payment.method, PaymentMethod::TopUpAndPay);
        let order = rows
            .orders
            .iter()
            .find(|order| Some(order.id) == payment.order_id)
            .unwrap();
        assert_eq!(order.status, OrderStatus::AwaitingPayment, "{hold:?}");
    }
    let held: i64 = open.iter().map(|hold| hold.amount_minor).sum();
    assert_eq!(rows.wallet.held_minor, held);
    assert!(rows.wallet.cash_minor >= 0 && rows.wallet.promotional_minor >= 0);
    assert!(
        rows.wallet.cash_minor + rows.wallet.promotional_minor >= held,
        "more is held than there is"
    );
}

fn nothing_goes_back_twice(rows: &Rows) {
    let mut back: BTreeMap<Uuid, i64> = BTreeMap::new();
    for refund in &rows.refunds {
        let attempt = &rows.attempts[&refund.payment_id];
        if refund.status != RefundStatus::Failed {
            *back.entry(refund.capture_id).or_default() += refund.amount_minor;
        }
        let Some(record) = rows.records.get(&attempt.reference) else {
            continue;
        };
        let there = record.refunds.iter().find(|known| known.reference == refund.reference);
        match refund.status {
            RefundStatus::Succeeded => {
                let there = there.unwrap_or_else(|| panic!("{refund:?} is not in {record:?}"));
                assert!(
                    !there.fails && there.amount.minor() == refund.amount_minor,
                    "{refund:?}: {there:?}"
                );
            }
            RefundStatus::Failed => assert!(there.is_none_or(|there| there.fails), "{refund:?}: {there:?}"),
            RefundStatus::Pending => {}
        }
    }
    for capture in &rows.captures {
        let back = back.get(&capture.id).copied().unwrap_or_default();
        assert_eq!(capture.refunded_minor, back, "{capture:?}");
        assert!(back <= capture.amount_minor, "{capture:?}");
    }
    // And the gateway's list has nothing that we did not decide.
    for record in rows.records.values() {
        for known in &record.refunds {
            let ours = rows.refunds.iter().find(|refund| refund.reference == known.reference);
            assert!(
                ours.is_some_and(|refund| refund.amount_minor == known.amount.minor()),
                "{known:?}"
            );
        }
    }
}

/// The balance, counted again from what was paid in, spent and given back.
fn the_wallet_is_the_sum_of_what_happened(rows: &Rows) {
    let by = |action: WalletAction| -> i64 {
        let entries = rows.entries.iter().filter(|entry| entry.action == action);
        entries.map(|entry| entry.cash_minor + entry.promotional_minor).sum()
    };
    let from_gateways: i64 = rows
        .captures
        .iter()
        .filter(|capture| {
            let payment = rows.payment(capture.payment_id).unwrap();
            capture.used_for == CaptureUse::Credit
                || (capture.used_for == CaptureUse::Paid && payment.purpose == PaymentPurpose::TopUp)
        })
        .map(|capture| capture.amount_minor)
        .sum();
    let from_quarantine: i64 = rows
        .quarantine
        .iter()
        .filter(|row| row.status == QuarantineStatus::Credited)
        .map(|row| row.amount_minor)
        .sum();
    assert_eq!(by(WalletAction::TopUp), from_gateways + from_quarantine);
    let spent: i64 = rows
        .payments
        .iter()
        .filter(|payment| payment.purpose == PaymentPurpose::Order && payment.status == PaymentStatus::Succeeded)
        .map(|payment| payment.cash_minor + payment.promotional_minor)
        .sum();
    assert_eq!(by(WalletAction::OrderPayment), -spent);
    let failed_back: i64 = rows
        .refunds
        .iter()
        .filter(|refund| refund.status == RefundStatus::Failed)
        .map(|refund| refund.amount_minor)
        .sum();
    let sent_back: i64 = rows.refunds.iter().map(|refund| refund.amount_minor).sum();
    let balance = by(WalletAction::Grant) + from_gateways + from_quarantine - spent - sent_back;
    let unprovisioned = by(WalletAction::Refund) + by(WalletAction::RefundToSource) + sent_back - failed_back;
    let given_back: i64 = rows
        .items
        .iter()
        .filter(|item| item.status == entity::enums::OrderItemStatus::Refunded)
        .map(|item| item.charged_minor - item.credited_minor)
        .sum();
    assert_eq!(unprovisioned, given_back, "what could not be provisioned came back");
    assert_eq!(
        rows.wallet.cash_minor + rows.wallet.promotional_minor,
        balance + failed_back + given_back
    );
}

fn quotes_and_coupons_are_used_once(rows: &Rows) {
    let mut quotes = BTreeSet::new();
    for order in rows
        .orders
        .iter()
        .filter(|order| order.status != OrderStatus::Cancelled)
    {
        assert!(
            quotes.insert(order.quote_id),
            "{} is the second order of its quote",
            order.code
        );
    }
    let mut used = 0;
    for order in rows.orders.iter().filter(|order| order.coupon_id.is_some()) {
        let redeemed: Vec<_> = rows.redemptions.iter().filter(|row| row.order_id == order.id).collect();
        assert_eq!(redeemed.len(), 1, "{}", order.code);
        let expected = order.status != OrderStatus::Cancelled;
        assert_eq!(
            redeemed[0].status == RedemptionStatus::Redeemed,
            expected,
            "{}: {redeemed:?}",
            order.code
        );
        used += u32::from(expected);
    }
    assert!(used <= 5, "the coupon was used {used} times");
}

/// What one step may do to what was there before it. Answers what was come by.
pub(super) fn compare(before: &Rows, now: &Rows, known: &mut Known) -> Vec<&'static str> {
    let mut came_by = Vec::new();
    for payment in &now.payments {
        let Some(old) = before.payment(payment.id) else {
            continue;
        };
        let new_captures = || {
            now.captures
                .iter()
                .filter(|capture| capture.payment_id == payment.id)
                .any(|capture| before.captures.iter().all(|old| old.id != capture.id))
        };
        match (old.status, payment.status) {
            (old, new) if old == new => {}
            (PaymentStatus::Pending, PaymentStatus::Failed) => came_by.push("a payment that failed"),
            (PaymentStatus::Pending, PaymentStatus::Expired) => came_by.push("a payment that expired"),
            (PaymentStatus::Pending, PaymentStatus::Succeeded) => assert!(new_captures(), "{payment:?}"),
            (PaymentStatus::Failed | PaymentStatus::Expired, PaymentStatus::Succeeded) => {
                assert!(new_captures(), "{payment:?}");
                came_by.push("a failed payment that succeeded");
            }
            (old, new) => panic!("{} was {old} and is {new}", payment.code),
        }
        assert_eq!(
            (
                old.gateway_minor,
                old.order_id,
                &old.code,
                old.became_credit && !payment.became_credit
            ),
            (payment.gateway_minor, payment.order_id, &payment.code, false)
        );
        if payment.status == PaymentStatus::Succeeded
            && old.status != PaymentStatus::Succeeded
            && payment.purpose == PaymentPurpose::TopUp
        {
            came_by.push("a top-up");
        }
    }
    for order in &now.orders {
        let old = before.orders.iter().find(|old| old.id == order.id);
        let was_paid = old.is_some_and(is_paid);
        assert!(!was_paid || is_paid(order), "{} was paid", order.code);
        assert!(
            old.is_none_or(|old| old.status != OrderStatus::Cancelled) || order.status == OrderStatus::Cancelled,
            "{} was given up",
            order.code
        );
        if is_paid(order) && !was_paid {
            let payment = paying(now, order)[0];
            came_by.push(match payment.method {
                PaymentMethod::Gateway => "an order paid through the gateway",
                PaymentMethod::BankTransfer => "an order paid by transfer",
                PaymentMethod::TopUpAndPay => "an order paid from both",
                PaymentMethod::OnBehalf => "an order paid on behalf",
                PaymentMethod::LinkedAccount => "an order paid by what is linked",
                _ => "an order paid from credit",
            });
        }
        if order.status == OrderStatus::Cancelled && old.is_none_or(|old| old.status != OrderStatus::Cancelled) {
            came_by.push("an order given up");
        }
    }
    if a_month_is_not_exceeded(before, now) {
        came_by.push("a top-up by itself");
    }
    for capture in &now.captures {
        match before.captures.iter().find(|old| old.id == capture.id) {
            Some(old) => assert_eq!(
                (old.amount_minor, old.used_for, old.transaction_id),
                (capture.amount_minor, capture.used_for, capture.transaction_id)
            ),
            None => match capture.used_for {
                CaptureUse::Credit => came_by.push("money that became credit"),
                CaptureUse::Quarantine => came_by.push("money in quarantine"),
                CaptureUse::Paid => {}
            },
        }
    }
    assert!(now.captures.len() >= before.captures.len());
    for row in &now.quarantine {
        let old = before.quarantine.iter().find(|old| old.id == row.id);
        let old = old.map_or(QuarantineStatus::Open, |old| old.status);
        assert!(old == QuarantineStatus::Open || old == row.status, "{row:?} was {old}");
        if old != row.status {
            came_by.push("a quarantine decided");
        }
    }
    for refund in &now.refunds {
        let old = before.refunds.iter().find(|old| old.id == refund.id);
        let old = old.map_or(RefundStatus::Pending, |old| old.status);
        assert!(
            old == RefundStatus::Pending || old == refund.status,
            "{refund:?} was {old}"
        );
        match refund.status {
            new if new == old => {}
            RefundStatus::Succeeded => came_by.push("a refund to the source"),
            RefundStatus::Failed => came_by.push("a refund that failed"),
            RefundStatus::Pending => {}
        }
    }
    note_what_we_are_bound_to_learn(before, now, known);
    came_by
}

/// A capture whose payment waited for it is asked for until the payment has its end; one of which the gateway told us is known
/// at once.
fn note_what_we_are_bound_to_learn(before: &Rows, now: &Rows, known: &mut Known) {
    if let Some(reference) = &known.pressed
        && let Some(record) = now.records.get(reference)
        && let Standing::Paid { transaction } = &record.standing
        && before
            .payment_of(reference)
            .is_some_and(|payment| payment.status == PaymentStatus::Pending)
    {
        known.bound.insert(transaction.clone());
    }
    let taken: BTreeSet<&String> = now.captures.iter().map(|capture| &capture.transaction_ref).collect();
    for record in now.records.values() {
        for transaction in told(record) {
            assert!(
                taken.contains(transaction),
                "{transaction} was taken, and is nowhere: {record:?}"
            );
        }
    }
}

/// Whether nothing waits for time any more.
pub(super) fn is_over(rows: &Rows) -> bool {
    rows.orders
        .iter()
        .all(|order| order.status != OrderStatus::AwaitingPayment)
        && rows.refunds.iter().all(|refund| refund.status != RefundStatus::Pending)
}

/// What must be true when everything has come to its end.
pub(super) fn check_end(rows: &Rows, known: &Known) {
    let open: Vec<_> = rows
        .payments
        .iter()
        .filter(|payment| payment.status == PaymentStatus::Pending)
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    assert!(is_over(rows), "{:#?} {:#?}", rows.orders, rows.refunds);
    assert_eq!(rows.wallet.held_minor, 0);
    let taken: BTreeSet<&String> = rows.captures.iter().map(|capture| &capture.transaction_ref).collect();
    // Asked, a gateway tells the newest capture.
    let newest: BTreeSet<String> = rows
        .records
        .values()
        .filter_map(|record| transactions(record).pop())
        .collect();
    // A payment that another of its captures has ended is not asked for any more: only a notification tells of what was paid twice.
    let ended = |reference: &str| {
        taken
            .iter()
            .any(|other| other.rsplit_once('-').is_some_and(|(of, _)| of == reference))
    };
    for transaction in known.bound.intersection(&newest) {
        let (reference, _) = transaction.rsplit_once('-').unwrap();
        assert!(
            taken.contains(transaction) || ended(reference),
            "{transaction} was paid while we waited for it, and is nowhere: {:?} {:?}",
            rows.records.get(reference),
            rows.payment_of(reference)
        );
    }
}

/// What the customer is shown is what there is.
pub(super) async fn customer_sees(app: &Arc<App>, account: Uuid, rows: &Rows) {
    let caller = Caller::new(
        "customer".to_owned(),
        Role::Owner,
        Some(account),
        None,
        Permission::of_role(Role::Owner),
    );
    let query = "{ wallet { cash { amount } promotional { amount } held { amount } }
                   payments(first: 100) { nodes { code status becameCredit throughGateway { amount } refunds { amount { amount } status } } }
                   orders(first: 100) { nodes { code status } } }";
    let request = graphql::prepare(Request::new(query), app, Some(caller));
    let answer = graphql::schema(Arc::clone(app)).execute(request).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let data = answer.data.into_json().unwrap();
    let amount = |minor: i64| minor.to_string();
    assert_eq!(
        data["wallet"],
        serde_json::json!({ "cash": { "amount": amount(rows.wallet.cash_minor) },
                            "promotional": { "amount": amount(rows.wallet.promotional_minor) }, "held": { "amount": "0" } })
    );
    let orders = data["orders"]["nodes"].as_array().unwrap();
    assert_eq!(orders.len(), rows.orders.len().min(100));
    for shown in orders {
        let order = rows
            .orders
            .iter()
            .find(|order| shown["code"] == order.code.as_str())
            .unwrap();
        assert_eq!(shown["status"], order.status.to_string());
    }
    let payments = data["payments"]["nodes"].as_array().unwrap();
    assert_eq!(payments.len(), rows.payments.len().min(100));
    for shown in payments {
        let payment = rows
            .payments
            .iter()
            .find(|payment| shown["code"] == payment.code.as_str())
            .unwrap();
        assert_eq!(shown["status"], payment.status.to_string());
        assert_eq!(shown["becameCredit"], payment.became_credit);
        let refunds = rows.refunds.iter().filter(|refund| refund.payment_id == payment.id);
        assert_eq!(shown["refunds"].as_array().unwrap().len(), refunds.count());
        // And the gateway's list says the same.
        let Some(attempt) = rows.attempts.get(&payment.id) else {
            continue;
        };
        let Some(record) = rows.records.get(&attempt.reference) else {
            continue;
        };
        let is_paid = matches!(record.standing, Standing::Paid { .. });
        assert!(
            is_paid || payment.status != PaymentStatus::Succeeded,
            "{record:?}: {payment:?}"
        );
    }
}
