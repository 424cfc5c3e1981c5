//! The proof of the books: what must agree, each written as one portable query that finds where it does not.
//!
//! It is SQL by hand on purpose: a proof that shared code with what it checks would share its mistakes. Each query
//! answers rows of (where, what one side says, what the other says), and finds none when all is well.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};

use super::Db;
use crate::error::Error;

/// Two sides that should agree and do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What should agree.
    pub law: &'static str,
    /// Where it does not: an account's or a document's code.
    pub place: String,
    /// What one side says.
    pub one_side: i64,
    /// What the other says.
    pub other_side: i64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} against {} at {}",
            self.law, self.one_side, self.other_side, self.place
        )
    }
}

#[derive(Debug, FromQueryResult)]
struct Row {
    place: String,
    one_side: i64,
    other_side: i64,
}

/// At most this many differences of a law are told: the first ones are enough to begin with.
const MOST_PER_LAW: u32 = 20;

/// The laws, by name.
const LAWS: &[(&str, &str)] = &[
    (
        "the legs of a ledger transaction sum to zero",
        "select a.code || ' ' || t.cause as place, cast(sum(p.amount_minor) as bigint) as one_side, cast(0 as bigint) as other_side
         from ledger_posting p join ledger_transaction t on t.id = p.transaction_id join account a on a.id = t.account_id
         group by t.id, a.code, t.cause having sum(p.amount_minor) <> 0",
    ),
    (
        "every ledger transaction has legs",
        "select a.code || ' ' || t.cause as place, cast(0 as bigint) as one_side, cast(2 as bigint) as other_side
         from ledger_transaction t join account a on a.id = t.account_id
         where not exists (select 1 from ledger_posting p where p.transaction_id = t.id)",
    ),
    (
        "the cash of the credit wallet is what the books owe the customer",
        "select a.code as place, w.cash_minor as one_side, cast(coalesce(-s.total, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'CUSTOMER_CASH' group by account_id) s on s.account_id = w.account_id
         where w.kind = 'CREDIT' and w.cash_minor <> coalesce(-s.total, 0)",
    ),
    (
        "the promotional part of the credit wallet is what the books owe the customer",
        "select a.code as place, w.promotional_minor as one_side, cast(coalesce(-s.total, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'CUSTOMER_PROMOTIONAL' group by account_id) s on s.account_id = w.account_id
         where w.kind = 'CREDIT' and w.promotional_minor <> coalesce(-s.total, 0)",
    ),
    (
        "the proof-of-concept wallet is what the books owe the customer",
        "select a.code as place, w.cash_minor + w.promotional_minor as one_side, cast(coalesce(-s.total, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'POC' group by account_id) s on s.account_id = w.account_id
         where w.kind = 'POC' and w.cash_minor + w.promotional_minor <> coalesce(-s.total, 0)",
    ),
    (
        "a wallet's history sums to its balance",
        "select a.code as place, w.cash_minor + w.promotional_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select wallet_id, sum(cash_minor + promotional_minor) as total, sum(cash_minor) as cash from wallet_entry group by wallet_id) s on s.wallet_id = w.id
         where w.cash_minor + w.promotional_minor <> coalesce(s.total, 0) or w.cash_minor <> coalesce(s.cash, 0)",
    ),
    (
        "a wallet's history has no gap",
        "select a.code as place, w.entry_sequence as one_side, cast(coalesce(s.lines, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select wallet_id, count(*) as lines, max(sequence) as newest from wallet_entry group by wallet_id) s on s.wallet_id = w.id
         where w.entry_sequence <> coalesce(s.lines, 0) or w.entry_sequence <> coalesce(s.newest, 0)",
    ),
    (
        "each line of a wallet's history carries on from the one before",
        "select a.code as place, e.cash_after_minor + e.promotional_after_minor as one_side,
           coalesce(b.cash_after_minor + b.promotional_after_minor, 0) + e.cash_minor + e.promotional_minor as other_side
         from wallet_entry e join account a on a.id = e.account_id
         left join wallet_entry b on b.wallet_id = e.wallet_id and b.sequence = e.sequence - 1
         where e.cash_after_minor <> coalesce(b.cash_after_minor, 0) + e.cash_minor
            or e.promotional_after_minor <> coalesce(b.promotional_after_minor, 0) + e.promotional_minor",
    ),
    (
        "a line of a wallet's history is what its ledger transaction posted",
        "select a.code as place, e.cash_minor + e.promotional_minor as one_side, cast(coalesce(-s.total, 0) as bigint) as other_side
         from wallet_entry e join account a on a.id = e.account_id
         left join (select transaction_id, sum(amount_minor) as total from ledger_posting
                    where ledger_account in ('CUSTOMER_CASH', 'CUSTOMER_PROMOTIONAL', 'POC') group by transaction_id) s on s.transaction_id = e.transaction_id
         where e.cash_minor + e.promotional_minor <> coalesce(-s.total, 0)",
    ),
    (
        "what is held of a wallet is the sum of its open holds",
        "select a.code as place, w.held_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from wallet w join account a on a.id = w.account_id
         left join (select wallet_id, sum(amount_minor) as total from hold where status = 'OPEN' group by wallet_id) s on s.wallet_id = w.id
         where w.held_minor <> coalesce(s.total, 0)",
    ),
    (
        "orders in progress are the items that are being provisioned",
        "select a.code as place, cast(coalesce(-p.total, 0) as bigint) as one_side, cast(coalesce(i.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'ORDERS_IN_PROGRESS' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(case when charged_minor > credited_minor then charged_minor - credited_minor else 0 end) as total
                    from order_item where status = 'PROVISIONING' group by account_id) i on i.account_id = a.id
         where coalesce(-p.total, 0) <> coalesce(i.total, 0)",
    ),
    (
        "tax payable is the tax of the invoices less that of their credit notes",
        "select a.code as place, cast(coalesce(-p.total, 0) as bigint) as one_side, cast(coalesce(i.total, 0) - coalesce(c.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'TAX_PAYABLE' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(tax_minor) as total from invoice where status <> 'VOID' group by account_id) i on i.account_id = a.id
         left join (select account_id, sum(tax_minor) as total from credit_note group by account_id) c on c.account_id = a.id
         where coalesce(-p.total, 0) <> coalesce(i.total, 0) - coalesce(c.total, 0)",
    ),
    (
        "what is deferred, recognised and given off is the net of the invoices less that of their credit notes",
        "select a.code as place, cast(coalesce(-p.total, 0) as bigint) as one_side, cast(coalesce(i.total, 0) - coalesce(c.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account in ('DEFERRED_REVENUE', 'REVENUE', 'DISCOUNTS') group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(net_minor - coupon_minor) as total from invoice where status <> 'VOID' group by account_id) i on i.account_id = a.id
         left join (select account_id, sum(amount_minor - tax_minor) as total from credit_note group by account_id) c on c.account_id = a.id
         where coalesce(-p.total, 0) <> coalesce(i.total, 0) - coalesce(c.total, 0)",
    ),
    (
        "discounts are the coupons of the invoices less those of their credit notes",
        "select a.code as place, cast(coalesce(p.total, 0) as bigint) as one_side, cast(coalesce(i.total, 0) - coalesce(c.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'DISCOUNTS' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(coupon_minor) as total from invoice where status <> 'VOID' group by account_id) i on i.account_id = a.id
         left join (select account_id, sum(coupon_minor) as total from credit_note group by account_id) c on c.account_id = a.id
         where coalesce(p.total, 0) <> coalesce(i.total, 0) - coalesce(c.total, 0)",
    ),
    (
        "a posting is of its transaction's account, and a transaction of its account's currency",
        "select a.code || ' ' || t.cause as place, cast(count(*) as bigint) as one_side, cast(0 as bigint) as other_side
         from ledger_transaction t join account a on a.id = t.account_id join ledger_posting p on p.transaction_id = t.id
         where p.account_id <> t.account_id or t.currency <> a.currency group by a.code, t.cause",
    ),
    (
        "a payment takes from each part of the wallet what it says",
        "select y.code as place, y.promotional_minor as one_side, cast(coalesce(s.promotional, 0) as bigint) as other_side
         from payment y
         left join (select t.payment_id, sum(case when p.ledger_account = 'CUSTOMER_PROMOTIONAL' then p.amount_minor else 0 end) as promotional,
                           sum(case when p.ledger_account = 'CUSTOMER_CASH' then p.amount_minor else 0 end) as cash
                    from ledger_transaction t join ledger_posting p on p.transaction_id = t.id
                    where t.cause = 'ORDER_PAYMENT' group by t.payment_id) s on s.payment_id = y.id
         where y.status = 'SUCCEEDED' and y.purpose = 'ORDER' and not y.became_credit
           and (y.promotional_minor <> coalesce(s.promotional, 0) or y.cash_minor <> coalesce(s.cash, 0))",
    ),
    (
        "what a failed item gives back goes to the parts it came from",
        "select o.code as place, i.charged_promotional_minor as one_side, cast(coalesce(s.promotional, 0) as bigint) as other_side
         from order_item i join orders o on o.id = i.order_id
         left join (select t.order_item_id, -sum(case when p.ledger_account = 'CUSTOMER_PROMOTIONAL' then p.amount_minor else 0 end) as promotional,
                           -sum(case when p.ledger_account = 'CUSTOMER_CASH' then p.amount_minor else 0 end) as cash
                    from ledger_transaction t join ledger_posting p on p.transaction_id = t.id
                    where t.cause = 'PROVISIONING_REFUND' group by t.order_item_id) s on s.order_item_id = i.id
         where i.status = 'REFUNDED' and (i.charged_promotional_minor <> coalesce(s.promotional, 0)
            or (case when i.charged_minor > i.credited_minor then i.charged_minor - i.credited_minor else 0 end) - i.charged_promotional_minor <> coalesce(s.cash, 0))",
    ),
    (
        "what gateways owe us is what they captured, less what went back",
        "select a.code as place, cast(coalesce(p.total, 0) as bigint) as one_side, cast(coalesce(c.total, 0) - coalesce(q.total, 0) - coalesce(r.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'GATEWAY_CLEARING' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(amount_minor) as total from gateway_capture group by account_id) c on c.account_id = a.id
         left join (select account_id, sum(amount_minor) as total from gateway_refund where status = 'SUCCEEDED' group by account_id) r on r.account_id = a.id
         left join (select account_id, sum(case when capture_id is null and status = 'CREDITED' then -amount_minor
                                               when capture_id is not null and status = 'RETURNED' then amount_minor else 0 end) as total
                    from quarantine group by account_id) q on q.account_id = a.id
         where coalesce(p.total, 0) <> coalesce(c.total, 0) - coalesce(q.total, 0) - coalesce(r.total, 0)",
    ),
    (
        "what is promised back to payers is what their gateways were asked for",
        "select a.code as place, cast(coalesce(-p.total, 0) as bigint) as one_side, cast(coalesce(r.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'REFUNDS_PAYABLE' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(amount_minor) as total from gateway_refund where status = 'PENDING' group by account_id) r on r.account_id = a.id
         where coalesce(-p.total, 0) <> coalesce(r.total, 0)",
    ),
    (
        "what went back of a capture, or is on its way, is the sum of its refunds",
        "select c.transaction_ref as place, c.refunded_minor as one_side, cast(coalesce(r.total, 0) as bigint) as other_side
         from gateway_capture c
         left join (select capture_id, sum(amount_minor) as total from gateway_refund where status <> 'FAILED' group by capture_id) r on r.capture_id = c.id
         where c.refunded_minor <> coalesce(r.total, 0)",
    ),
    (
        "what is in suspense is what is in quarantine",
        "select a.code as place, cast(coalesce(-p.total, 0) as bigint) as one_side, cast(coalesce(q.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'SUSPENSE' group by account_id) p on p.account_id = a.id
         left join (select account_id, sum(amount_minor) as total from quarantine where status = 'OPEN' group by account_id) q on q.account_id = a.id
         where coalesce(-p.total, 0) <> coalesce(q.total, 0)",
    ),
    (
        "a payment through a gateway has succeeded when its money was captured, and only then",
        "select y.code as place, case when y.status = 'SUCCEEDED' then y.gateway_minor else 0 end as one_side, cast(coalesce(c.total, 0) as bigint) as other_side
         from payment y
         join gateway_payment g on g.payment_id = y.id
         left join (select payment_id, sum(amount_minor) as total, sum(case when used_for = 'PAID' then 1 else 0 end) as paid
                    from gateway_capture where used_for <> 'QUARANTINE' group by payment_id) c on c.payment_id = y.id
         where (y.status = 'SUCCEEDED' and (coalesce(c.total, 0) < y.gateway_minor or c.paid > 1)) or (y.status <> 'SUCCEEDED' and coalesce(c.total, 0) <> 0)",
    ),
    (
        "a payment that is not open any more holds nothing",
        "select y.code as place, h.amount_minor as one_side, cast(0 as bigint) as other_side
         from hold h join payment y on y.id = h.payment_id where h.status = 'OPEN' and y.status <> 'PENDING'",
    ),
    (
        "a transfer's two halves are what was moved",
        "select f.code || ' to ' || t.code as place, c.amount_minor as one_side,
           cast(case when coalesce(-o.total, 0) <> c.amount_minor then coalesce(-o.total, 0) else coalesce(i.total, 0) end as bigint) as other_side
         from credit_transfer c join account f on f.id = c.from_account_id join account t on t.id = c.to_account_id
         left join (select transaction_id, account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'PARTNER'
                    group by transaction_id, account_id) o on o.transaction_id = c.from_transaction_id and o.account_id = c.from_account_id
         left join (select transaction_id, account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'PARTNER'
                    group by transaction_id, account_id) i on i.transaction_id = c.to_transaction_id and i.account_id = c.to_account_id
         where coalesce(-o.total, 0) <> c.amount_minor or coalesce(i.total, 0) <> c.amount_minor",
    ),
    (
        "what is booked with partners is what came by transfers less what went",
        "select a.code as place, cast(coalesce(p.total, 0) as bigint) as one_side, cast(coalesce(i.total, 0) - coalesce(o.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(amount_minor) as total from ledger_posting where ledger_account = 'PARTNER' group by account_id) p on p.account_id = a.id
         left join (select to_account_id, sum(amount_minor) as total from credit_transfer group by to_account_id) i on i.to_account_id = a.id
         left join (select from_account_id, sum(amount_minor) as total from credit_transfer group by from_account_id) o on o.from_account_id = a.id
         where coalesce(p.total, 0) <> coalesce(i.total, 0) - coalesce(o.total, 0)",
    ),
    (
        "an order that waits or was cancelled has nothing done",
        "select o.code as place, cast(count(*) as bigint) as one_side, cast(0 as bigint) as other_side
         from orders o join order_item i on i.order_id = o.id
         where (o.status = 'AWAITING_PAYMENT' and (i.status <> 'AWAITING_PAYMENT' or o.paid_at is not null))
            or (o.status = 'CANCELLED' and (i.status <> 'CANCELLED' or o.paid_at is not null))
         group by o.id, o.code",
    ),
    (
        "an order is the sum of its items",
        "select o.code as place, o.charged_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from orders o left join (select order_id, sum(charged_minor) as total from order_item group by order_id) s on s.order_id = o.id
         where o.charged_minor <> coalesce(s.total, 0)",
    ),
    (
        "an order's payments are what was to be paid",
        "select o.code as place, o.due_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from orders o left join (select order_id, sum(amount_minor) as total from payment where status = 'SUCCEEDED' and not became_credit group by order_id) s on s.order_id = o.id
         where o.paid_at is not null and o.due_minor <> coalesce(s.total, 0)",
    ),
    (
        "what is to be paid of an order, and what goes back, is the sum over its items",
        "select o.code as place, o.due_minor - o.refund_minor as one_side, cast(coalesce(s.due - s.refund, 0) as bigint) as other_side
         from orders o
         left join (select order_id, sum(case when charged_minor > credited_minor then charged_minor - credited_minor else 0 end) as due,
                           sum(case when credited_minor > charged_minor then credited_minor - charged_minor else 0 end) as refund
                    from order_item group by order_id) s on s.order_id = o.id
         where o.due_minor <> coalesce(s.due, 0) or o.refund_minor <> coalesce(s.refund, 0)",
    ),
    (
        "what is unused of replaced periods is credited by notes",
        "select o.code as place, i.credited_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from order_item i join orders o on o.id = i.order_id
         left join (select order_item_id, sum(amount_minor) as total from credit_note group by order_item_id) s on s.order_item_id = i.id
         where (i.status = 'FULFILLED' and i.credited_minor <> coalesce(s.total, 0)) or (i.status <> 'FULFILLED' and coalesce(s.total, 0) <> 0)",
    ),
    (
        "what is unused goes back, or into the new period",
        "select o.code as place, case when i.credited_minor > i.charged_minor then i.credited_minor - i.charged_minor else 0 end as one_side,
           cast(coalesce(s.back, 0) as bigint) as other_side
         from order_item i join orders o on o.id = i.order_id
         left join (select t.order_item_id, -sum(case when p.ledger_account in ('CUSTOMER_CASH', 'CUSTOMER_PROMOTIONAL') then p.amount_minor else 0 end) as back
                    from ledger_transaction t join ledger_posting p on p.transaction_id = t.id
                    where t.cause = 'UNUSED_REFUND' group by t.order_item_id) s on s.order_item_id = i.id
         where i.status = 'FULFILLED' and (case when i.credited_minor > i.charged_minor then i.credited_minor - i.charged_minor else 0 end) <> coalesce(s.back, 0)",
    ),
    (
        "the promotional money of a period was paid for it, or was unused of those it replaced",
        "select r.name as place, cast(sum(d.charged_promotional_minor) as bigint) as one_side, cast(0 as bigint) as other_side
         from paid_period d join resource r on r.id = d.resource_id
         where d.charged_promotional_minor < 0 or d.charged_promotional_minor > d.charged_minor group by r.id, r.name",
    ),
    (
        "no two open periods of a resource overlap",
        "select r.name as place, cast(count(*) as bigint) as one_side, cast(0 as bigint) as other_side
         from paid_period d join paid_period e on e.resource_id = d.resource_id and e.id <> d.id and e.status = 'PAID'
           and e.starts_at < d.ends_at and d.starts_at < e.ends_at
         join resource r on r.id = d.resource_id where d.status = 'PAID' group by r.id, r.name",
    ),
    (
        "a credit note is the sum of its lines",
        "select c.code as place, c.amount_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from credit_note c left join (select credit_note_id, sum(amount_minor) as total, sum(tax_minor) as tax from credit_note_line group by credit_note_id) s on s.credit_note_id = c.id
         where c.amount_minor <> coalesce(s.total, 0) or c.tax_minor <> coalesce(s.tax, 0)",
    ),
    (
        "the promotional part of an order's items is that of its payment",
        "select o.code as place, cast(p.promotional_minor as bigint) as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from orders o join payment p on p.order_id = o.id and p.status = 'SUCCEEDED' and not p.became_credit
         left join (select order_id, sum(charged_promotional_minor) as total from order_item group by order_id) s on s.order_id = o.id
         where p.promotional_minor <> coalesce(s.total, 0)",
    ),
    (
        "an invoice is the sum of its lines",
        "select i.code as place, i.total_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from invoice i left join (select invoice_id, sum(total_minor) as total from invoice_line group by invoice_id) s on s.invoice_id = i.id
         where i.total_minor <> coalesce(s.total, 0)",
    ),
    (
        "an invoice's net, tax and coupon are those of its lines",
        "select i.code as place, i.net_minor + i.tax_minor - i.coupon_minor as one_side, cast(coalesce(s.net + s.tax - s.coupon, 0) as bigint) as other_side
         from invoice i left join (select invoice_id, sum(net_minor) as net, sum(tax_minor) as tax, sum(coupon_minor) as coupon from invoice_line group by invoice_id) s on s.invoice_id = i.id
         where i.net_minor <> coalesce(s.net, 0) or i.tax_minor <> coalesce(s.tax, 0) or i.coupon_minor <> coalesce(s.coupon, 0)",
    ),
    (
        "a fulfilled item has one invoice, over what was charged",
        "select o.code as place, i.charged_minor as one_side, cast(coalesce(s.total, -1) as bigint) as other_side
         from order_item i join orders o on o.id = i.order_id
         left join (select d.order_item_id, sum(v.total_minor) as total from invoice v join paid_period d on d.id = v.period_id
                    where v.status <> 'VOID' group by d.order_item_id having count(*) = 1) s on s.order_item_id = i.id
         where i.status = 'FULFILLED' and (i.action in ('CREATE', 'RENEW', 'RESIZE') or (i.action = 'RECOVER' and i.charged_minor > 0)) and i.charged_minor <> coalesce(s.total, -1)",
    ),
    (
        "what is credited of an invoice is the sum of its credit notes",
        "select i.code as place, i.credited_minor as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from invoice i left join (select invoice_id, sum(amount_minor) as total from credit_note group by invoice_id) s on s.invoice_id = i.id
         where i.credited_minor <> coalesce(s.total, 0)",
    ),
    (
        "a fulfilled item has one paid period, charged as it was",
        "select o.code as place, i.charged_minor as one_side, cast(coalesce(s.total, -1) as bigint) as other_side
         from order_item i join orders o on o.id = i.order_id
         left join (select order_item_id, sum(charged_minor) as total from paid_period group by order_item_id having count(*) = 1) s on s.order_item_id = i.id
         where i.status = 'FULFILLED' and (i.action in ('CREATE', 'RENEW', 'RESIZE') or (i.action = 'RECOVER' and i.charged_minor > 0)) and i.charged_minor <> coalesce(s.total, -1)",
    ),
    (
        "a coupon's redemptions are counted",
        "select c.code as place, c.redeemed as one_side, cast(coalesce(s.total, 0) as bigint) as other_side
         from coupon c left join (select coupon_id, count(*) as total from coupon_redemption where status = 'REDEEMED' group by coupon_id) s on s.coupon_id = c.id
         where c.redeemed <> coalesce(s.total, 0)",
    ),
    (
        "an account's events have no gap",
        "select a.code as place, a.event_sequence as one_side, cast(coalesce(s.newest, 0) as bigint) as other_side
         from account a left join (select account_id, max(sequence) as newest, min(sequence) as oldest, count(*) as total from account_event group by account_id) s on s.account_id = a.id
         where a.event_sequence <> coalesce(s.newest, 0) or coalesce(s.newest - s.oldest + 1, 0) <> coalesce(s.total, 0)",
    ),
    (
        "document codes have no gap",
        "select a.code || ' orders' as place, cast(coalesce(c.last, 0) as bigint) as one_side, cast(coalesce(o.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(last) as last from code_counter where kind = 'ORDER' group by account_id) c on c.account_id = a.id
         left join (select account_id, count(*) as total from orders group by account_id) o on o.account_id = a.id
         where coalesce(c.last, 0) <> coalesce(o.total, 0)",
    ),
    (
        "payment codes have no gap",
        "select a.code || ' payments' as place, cast(coalesce(c.last, 0) as bigint) as one_side, cast(coalesce(o.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(last) as last from code_counter where kind = 'PAYMENT' group by account_id) c on c.account_id = a.id
         left join (select account_id, count(*) as total from payment group by account_id) o on o.account_id = a.id
         where coalesce(c.last, 0) <> coalesce(o.total, 0)",
    ),
    (
        "credit note codes have no gap",
        "select a.code || ' credit notes' as place, cast(coalesce(c.last, 0) as bigint) as one_side, cast(coalesce(o.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(last) as last from code_counter where kind = 'CREDIT_NOTE' group by account_id) c on c.account_id = a.id
         left join (select account_id, count(*) as total from credit_note group by account_id) o on o.account_id = a.id
         where coalesce(c.last, 0) <> coalesce(o.total, 0)",
    ),
    (
        "invoice codes have no gap",
        "select a.code || ' invoices' as place, cast(coalesce(c.last, 0) as bigint) as one_side, cast(coalesce(o.total, 0) as bigint) as other_side
         from account a
         left join (select account_id, sum(last) as last from code_counter where kind = 'INVOICE' group by account_id) c on c.account_id = a.id
         left join (select account_id, count(*) as total from invoice group by account_id) o on o.account_id = a.id
         where coalesce(c.last, 0) <> coalesce(o.total, 0)",
    ),
];

/// Looks for differences, law by law, in one reading of the store.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn differences(db: &Db) -> Result<Vec<Difference>, Error> {
    // A transaction that only reads: all laws see the same instant, while others go on writing.
    db.snapshot(async |tx| {
        let tx = &*tx;
        let backend = tx.get_database_backend();
        let mut differences = Vec::new();
        for (law, sql) in LAWS {
            let statement = Statement::from_string(backend, format!("{sql} limit {MOST_PER_LAW}"));
            let rows = Row::find_by_statement(statement).all(&**tx).await?;
            differences.extend(rows.into_iter().map(|row| Difference {
                law,
                place: row.place,
                one_side: row.one_side,
                other_side: row.other_side,
            }));
        }
        Ok(differences)
    })
    .await
}
