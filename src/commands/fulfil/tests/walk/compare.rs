//! What was done, held against what was foretold.

use super::super::oracle;
use super::*;

impl Walk {
    /// One resource, with its periods, invoices and credit notes, against what was foretold.
    pub(super) fn compare(&mut self, id: Uuid) {
        let tables = &self.world.tables;
        let (row, told) = (&tables.resources[&id], &self.oracle.resources[&id]);
        assert_eq!(
            (
                row.life,
                row.paid_until,
                row.period_id,
                row.trashed_at,
                row.order_item_id.is_some()
            ),
            (told.life, told.paid_until, told.latest, told.trashed_at, told.busy),
            "{id}"
        );
        assert_eq!(row.anchor_day.map(|day| u32::try_from(day).unwrap()), told.anchor);
        let configuration: Vec<ConfiguredComponent> = row.configuration.read().unwrap();
        let parts = configuration.iter().map(|part| (part.component_id, part.quantity));
        assert!(parts.eq(told.parts.iter().copied()), "the configuration of {id}");
        let waits = row.next_due_at.is_some();
        let over = matches!(row.life, Life::Deleted | Life::Failed | Life::Provisioning);
        assert_eq!(waits, !over, "who lives waits for a step: {row:?}");
        let kept = tables.periods.values().filter(|period| period.resource_id == id);
        assert_eq!(kept.count(), told.periods.len());
        for (sequence, period) in (1..).zip(&told.periods) {
            self.compare_period(sequence, period);
        }
        assert!(told.returned.cash <= told.paid.cash && told.returned.promotional <= told.paid.promotional);
    }

    fn compare_period(&self, sequence: i32, told: &oracle::Period) {
        let tables = &self.world.tables;
        let row = &tables.periods[&told.id];
        let laid = oracle::Laid {
            start: row.starts_at,
            end: row.ends_at,
            length: row.length_minutes,
            priced: row.priced_minutes,
            day_count: row.day_count,
            ..told.laid
        };
        assert_eq!(
            (row.sequence, row.order_item_id, laid),
            (sequence, told.item, told.laid)
        );
        let sum = |of: fn(&oracle::Line) -> i64| told.lines.iter().map(of).sum::<i64>();
        let told_sums = (
            sum(|line| line.gross),
            sum(|line| line.coupon),
            sum(|line| line.tax),
            told.paid.total(),
        );
        let sums = (row.gross_minor, row.coupon_minor, row.tax_minor, row.charged_minor);
        assert_eq!(sums, told_sums, "what a period was charged");
        assert_eq!(row.charged_promotional_minor, told.paid.promotional);
        // But for its state, it is as it was written.
        let mut written = tables.written[&told.id].clone();
        (written.status, written.closed_at) = (row.status, row.closed_at);
        assert_eq!(
            *row, written,
            "a paid period keeps configuration, prices and what was charged"
        );

        let mut invoices = tables
            .invoices
            .values()
            .filter(|invoice| invoice.period_id == Some(told.id));
        let invoice = invoices.next().unwrap();
        assert!(invoices.next().is_none(), "one invoice");
        assert_eq!((invoice.period_start, invoice.period_end), (row.starts_at, row.ends_at));
        for (line, told) in tables.lines[&invoice.id].iter().zip(&told.lines) {
            let line = (
                line.unit_price_micros,
                line.quantity,
                line.minutes,
                line.net_minor,
                line.tax_minor,
                line.coupon_minor,
                line.total_minor,
            );
            let told = (
                told.unit_price,
                told.quantity,
                told.minutes,
                told.net,
                told.tax,
                told.coupon,
                told.charged,
            );
            assert_eq!(line, told, "a line of an invoice");
        }
        assert_eq!(tables.lines[&invoice.id].len(), told.lines.len());

        let mut notes = tables.notes.iter().filter(|note| note.invoice_id == invoice.id);
        let note = notes.next();
        assert!(notes.next().is_none(), "a period is replaced once");
        let Some((at, left)) = &told.replaced else {
            assert!(note.is_none() && row.status == PeriodStatus::Paid && row.closed_at.is_none());
            return;
        };
        assert_eq!((row.status, row.closed_at), (PeriodStatus::Closed, Some(*at)));
        if left.back.total() == 0 && left.tax == 0 && left.coupon == 0 {
            assert!(note.is_none(), "nothing is noted of nothing");
            return;
        }
        let note = note.unwrap();
        assert_eq!(
            (note.amount_minor, note.tax_minor, note.coupon_minor),
            (left.back.total(), left.tax, left.coupon),
            "a credit note"
        );
        let lines = &tables.note_lines[&note.id];
        let lines: Vec<(i64, i64)> = lines.iter().map(|line| (line.amount_minor, line.tax_minor)).collect();
        assert_eq!(lines, told.note(left), "the lines of a credit note");
    }
}

pub(super) fn compare_quotes(priced: &PricedQuote, told: &Foretold) {
    assert_eq!(priced.items.len(), told.items.len());
    for (item, told) in priced.items.iter().zip(&told.items) {
        compare_items(item, told);
    }
    let due: i64 = told.items.iter().map(Item::due).sum();
    let back: i64 = told.items.iter().map(|item| item.back().total()).sum();
    let minor = |money: Money| money.minor();
    assert_eq!(
        (minor(priced.due().unwrap()), minor(priced.refund().unwrap())),
        (due, back)
    );
}

fn compare_items(item: &PricedItem, told: &Item) {
    assert_eq!((item.action, item.resource_id), (told.action, told.resource));
    let laid = item.span.map(|span| oracle::Laid {
        start: span.start,
        end: span.end,
        length: span.length.get(),
        priced: span.priced.get(),
        day_count: span.day_count,
        anchor: span.anchor_day,
    });
    assert_eq!(laid, told.laid, "{item:?}");
    let lines: Vec<oracle::Line> = item
        .lines
        .iter()
        .map(|line| oracle::Line {
            component: line.component.id,
            unit_price: line.unit_price.micros(),
            quantity: line.quantity,
            minutes: line.minutes.get(),
            net: line.net.minor(),
            tax: line.tax.minor(),
            gross: line.gross.minor(),
            coupon: line.coupon.minor(),
            charged: line.charged.minor(),
        })
        .collect();
    assert_eq!(lines, told.lines, "the lines of {item:?}");
    let replaced: Vec<oracle::Left> = item
        .replaced
        .iter()
        .map(|replaced| oracle::Left {
            period: replaced.period_id,
            remaining: replaced.unused.remaining.get(),
            back: split_of(&replaced.unused.refund),
            tax: replaced.unused.tax.minor(),
            coupon: replaced.unused.coupon.minor(),
        })
        .collect();
    assert_eq!(replaced, told.replaced, "what is unused of {item:?}");
    let sums = &item.totals;
    assert_eq!(
        [sums.net, sums.tax, sums.gross, sums.coupon, sums.charged].map(Money::minor),
        [
            told.sum(|line| line.net),
            told.sum(|line| line.tax),
            told.sum(|line| line.gross),
            told.sum(|line| line.coupon),
            told.charged()
        ],
        "the sums of {item:?}"
    );
}
