//! What must be true after every step, whatever was done: the laws of the proof of the books, over the tables in memory,
//! and that what comes back never exceeds what was paid, nor comes back as another kind of money.

use std::collections::BTreeMap;

use entity::enums::{LedgerAccount, LedgerCause, OrderAction, OrderItemStatus, PeriodStatus};
use entity::order_item;
use uuid::Uuid;

use super::oracle::Split;
use super::world::World;
use crate::store::ledger::Entry;

fn posted(entry: &Entry, account: LedgerAccount) -> i64 {
    let postings = entry.transaction.postings().iter();
    postings
        .filter(|posting| posting.account == account)
        .map(|posting| posting.amount_minor)
        .sum()
}

/// What an entry gives to the customer.
fn given(entry: &Entry) -> Split {
    Split {
        cash: -posted(entry, LedgerAccount::CustomerCash),
        promotional: -posted(entry, LedgerAccount::CustomerPromotional),
    }
}

/// What was paid for an item from the wallet.
const fn paid(item: &order_item::Model) -> Split {
    let due = item.charged_minor - item.credited_minor;
    let due = if due > 0 { due } else { 0 };
    Split {
        cash: due - item.charged_promotional_minor,
        promotional: item.charged_promotional_minor,
    }
}

type Sums<K, V> = BTreeMap<K, V>;

fn sum_of<K: Ord>(sums: &Sums<K, Split>, key: &K) -> Split {
    sums.get(key).copied().unwrap_or_default()
}

fn add<K: Ord>(sums: &mut Sums<K, Split>, key: K, more: Split) {
    let sum = sums.entry(key).or_default();
    *sum = sum.plus(more);
}

pub(super) fn hold(world: &World) {
    the_books_balance(world);
    invoices_are_what_their_lines_are(world);
    notes_take_back_no_more_than_was_invoiced(world);
    items_are_done_as_they_were_paid(world);
    periods_stay_as_they_were(world);
}

fn the_books_balance(world: &World) {
    let tables = &world.tables;
    let mut books: BTreeMap<LedgerAccount, i64> = BTreeMap::new();
    let mut shown: BTreeMap<Uuid, Split> = BTreeMap::new();
    for entry in &tables.entries {
        let mut sum = 0;
        for posting in entry.transaction.postings() {
            sum += posting.amount_minor;
            *books.entry(posting.account).or_default() += posting.amount_minor;
        }
        assert_eq!(sum, 0, "an entry sums to zero");
        if given(entry) != Split::default() {
            shown.insert(entry.id, given(entry));
        }
    }
    for movement in &tables.movements {
        let moved = Split {
            cash: movement.cash_minor,
            promotional: movement.promotional_minor,
        };
        assert_eq!(
            shown.remove(&movement.transaction),
            Some(moved),
            "the wallet moves as the books do"
        );
    }
    assert!(shown.is_empty(), "what the books move, the wallet moves");
    let books = |account| books.get(&account).copied().unwrap_or_default();
    assert_eq!(
        Split {
            cash: -books(LedgerAccount::CustomerCash),
            promotional: -books(LedgerAccount::CustomerPromotional)
        },
        world.wallet,
        "the wallet is what the books owe"
    );
    let in_progress = tables
        .items
        .values()
        .filter(|item| item.status == OrderItemStatus::Provisioning);
    let in_progress: i64 = in_progress.map(|item| paid(item).total()).sum();
    assert_eq!(-books(LedgerAccount::OrdersInProgress), in_progress, "in progress");
    let (mut net, mut tax, mut coupon) = (0, 0, 0);
    for invoice in tables.invoices.values() {
        net += invoice.net_minor;
        tax += invoice.tax_minor;
        coupon += invoice.coupon_minor;
    }
    for note in &tables.notes {
        // A note has no net of its own: its amount is net and tax less the coupon.
        net -= note.amount_minor - note.tax_minor + note.coupon_minor;
        tax -= note.tax_minor;
        coupon -= note.coupon_minor;
    }
    assert_eq!(-books(LedgerAccount::DeferredRevenue), net, "deferred revenue");
    assert_eq!(-books(LedgerAccount::TaxPayable), tax, "tax payable");
    assert_eq!(books(LedgerAccount::Discounts), coupon, "discounts");
}

fn invoices_are_what_their_lines_are(world: &World) {
    for invoice in world.tables.invoices.values() {
        let (mut net, mut tax, mut coupon, mut total) = (0, 0, 0, 0);
        for line in &world.tables.lines[&invoice.id] {
            assert_eq!(
                line.total_minor,
                line.net_minor + line.tax_minor - line.coupon_minor,
                "a line adds up"
            );
            net += line.net_minor;
            tax += line.tax_minor;
            coupon += line.coupon_minor;
            total += line.total_minor;
        }
        assert_eq!(
            (net, tax, coupon, total, total),
            (
                invoice.net_minor,
                invoice.tax_minor,
                invoice.coupon_minor,
                invoice.total_minor,
                invoice.paid_minor
            ),
            "an invoice is the sum of its lines"
        );
    }
}

fn notes_take_back_no_more_than_was_invoiced(world: &World) {
    let tables = &world.tables;
    let mut credited: BTreeMap<Uuid, i64> = BTreeMap::new();
    let mut of_lines: BTreeMap<(Uuid, i32), (i64, i64)> = BTreeMap::new();
    let mut taxes: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for note in &tables.notes {
        let (mut amount, mut tax) = (0, 0);
        for line in &tables.note_lines[&note.id] {
            amount += line.amount_minor;
            tax += line.tax_minor;
            let sum = of_lines.entry((note.invoice_id, line.position)).or_default();
            *sum = (sum.0 + line.amount_minor, sum.1 + line.tax_minor);
        }
        assert_eq!(
            (amount, tax),
            (note.amount_minor, note.tax_minor),
            "a note is the sum of its lines"
        );
        *credited.entry(note.invoice_id).or_default() += note.amount_minor;
        let sum = taxes.entry(note.invoice_id).or_default();
        *sum = (sum.0 + note.tax_minor, sum.1 + note.coupon_minor);
    }
    for (invoice, (tax, coupon)) in taxes {
        let invoice = &tables.invoices[&invoice];
        assert!(
            tax <= invoice.tax_minor && coupon <= invoice.coupon_minor,
            "tax and coupon of notes"
        );
    }
    for ((invoice, position), (amount, tax)) in of_lines {
        let line = &tables.lines[&invoice][usize::try_from(position).unwrap()];
        assert!(
            amount <= line.total_minor && tax <= line.tax_minor,
            "a line is not credited twice"
        );
    }
    for invoice in tables.invoices.values() {
        let noted = credited.get(&invoice.id).copied().unwrap_or_default();
        assert_eq!(
            invoice.credited_minor, noted,
            "what is credited of an invoice is in its notes"
        );
        assert!(noted <= invoice.total_minor, "credit notes never exceed the invoice");
    }
}

fn items_are_done_as_they_were_paid(world: &World) {
    let tables = &world.tables;
    let mut noted: BTreeMap<Uuid, i64> = BTreeMap::new();
    for note in &tables.notes {
        *noted.entry(note.order_item_id).or_default() += note.amount_minor;
    }
    let mut opened: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for period in tables.periods.values() {
        let sum = opened.entry(period.order_item_id).or_default();
        *sum = (sum.0 + 1, sum.1 + period.charged_minor);
    }
    let mut payments: Sums<Uuid, Split> = Sums::new();
    let mut unused: Sums<Uuid, Split> = Sums::new();
    let mut returned: Sums<Uuid, Split> = Sums::new();
    for entry in &tables.entries {
        match entry.transaction.cause() {
            LedgerCause::OrderPayment => add(&mut payments, entry.order.unwrap(), given(entry)),
            LedgerCause::UnusedRefund => {
                add(&mut unused, entry.order_item.unwrap(), given(entry));
                add(&mut returned, entry.resource.unwrap(), given(entry));
            }
            LedgerCause::ProvisioningRefund => {
                assert_eq!(
                    given(entry),
                    paid(&tables.items[&entry.order_item.unwrap()]),
                    "a failure gives back"
                );
                add(&mut returned, entry.resource.unwrap(), given(entry));
            }
            _ => {}
        }
    }
    let mut paid_in: Sums<Uuid, Split> = Sums::new();
    for item in tables.items.values() {
        add(&mut paid_in, item.resource_id, paid(item));
        add(&mut payments, item.order_id, paid(item));
        let fulfilled = item.status == OrderItemStatus::Fulfilled;
        let credited = noted.get(&item.id).copied().unwrap_or_default();
        assert_eq!(
            credited,
            if fulfilled { item.credited_minor } else { 0 },
            "what is unused is credited by notes"
        );
        let back = if fulfilled {
            (item.credited_minor - item.charged_minor).max(0)
        } else {
            0
        };
        assert_eq!(
            sum_of(&unused, &item.id).total(),
            back,
            "what is unused goes back, or on"
        );
        let opens = match item.action {
            OrderAction::Create | OrderAction::Renew | OrderAction::Resize => true,
            OrderAction::Recover => item.charged_minor > 0,
            OrderAction::Delete | OrderAction::StopPoc => false,
        };
        if fulfilled && opens {
            assert_eq!(
                opened.get(&item.id),
                Some(&(1, item.charged_minor)),
                "one period, charged as it was"
            );
        }
    }
    for (order, left) in payments {
        assert_eq!(left, Split::default(), "order {order} is paid as its items are");
    }
    for (resource, back) in returned {
        let paid = sum_of(&paid_in, &resource);
        assert!(
            back.cash <= paid.cash && back.promotional <= paid.promotional,
            "resource {resource} got back {back:?} of {paid:?}"
        );
    }
}

fn periods_stay_as_they_were(world: &World) {
    let tables = &world.tables;
    let mut open: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
    for (id, period) in &tables.periods {
        let written = &tables.written[id];
        assert!(
            (0..=period.charged_minor).contains(&period.charged_promotional_minor),
            "a part of it"
        );
        assert_eq!(
            (
                period.charged_minor,
                period.starts_at,
                period.ends_at,
                period.priced_minutes
            ),
            (
                written.charged_minor,
                written.starts_at,
                written.ends_at,
                written.priced_minutes
            ),
            "a paid period stays as it was"
        );
        if period.status == PeriodStatus::Paid {
            open.entry(period.resource_id)
                .or_default()
                .push((period.starts_at, period.ends_at));
        }
    }
    for (resource, mut spans) in open {
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(
                pair[0].1 <= pair[1].0,
                "two open periods of {resource} overlap: {pair:?}"
            );
        }
    }
}
