//! A store in memory, and what the commands do with it: they read, the rules and `fulfil` decide, and what they answer is
//! written here as the tables would take it, with the conditions that the statements carry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::enums::{
    BillingMode, CodeKind, FundsKind, Language, Life, OrderAction, OrderItemStatus, PeriodStatus, StepKind, StepStatus,
    WalletAction,
};
use entity::{
    account, credit_note, credit_note_line, invoice, invoice_line, order_item, paid_period, resource, schedule_step,
};
use uuid::Uuid;

use super::foretold::{Parts, Wish};
use super::oracle::{Instant, Split};
use crate::commands::fulfil::purchase::{new_item, new_resource};
use crate::commands::fulfil::{self, Catalogue, Deed, catalogue_product};
use crate::domain::coupon::CouponTerms;
use crate::domain::funding::Funding;
use crate::domain::lifecycle::{self, Event, State};
use crate::domain::money::{Currency, Money};
use crate::domain::quote::{
    self as rules, CreateItem, DeleteItem, PricedItem, PricedQuote, QuoteRequest, RecoverItem, RenewItem,
    RequestedItem, ResizeItem,
};
use crate::domain::schedule::{Plan, StepKey};
use crate::domain::{ledger, order as order_rules};
use crate::error::Error;
use crate::ids;
use crate::store::Scope;
use crate::store::codes::Codes;
use crate::store::fulfilment::{self, Provisioned};
use crate::store::ledger::{Entry, Movement};
use crate::store::pricing::Sellable;
use crate::store::purchases::{Rows, Standing};

/// The tables, as far as money and time are in them.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) resources: BTreeMap<Uuid, resource::Model>,
    pub(super) periods: BTreeMap<Uuid, paid_period::Model>,
    /// Each period as it was when it was written.
    pub(super) written: BTreeMap<Uuid, paid_period::Model>,
    pub(super) invoices: BTreeMap<Uuid, invoice::Model>,
    pub(super) lines: BTreeMap<Uuid, Vec<invoice_line::Model>>,
    pub(super) notes: Vec<credit_note::Model>,
    pub(super) note_lines: BTreeMap<Uuid, Vec<credit_note_line::Model>>,
    pub(super) items: BTreeMap<Uuid, order_item::Model>,
    pub(super) entries: Vec<Entry>,
    pub(super) movements: Vec<Movement>,
    pub(super) steps: BTreeSet<(Uuid, Uuid, String)>,
    pub(super) codes: BTreeSet<String>,
}

/// What a transaction writes when nothing refuses it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) rows: Rows,
    pub(super) entries: Vec<Entry>,
    pub(super) movements: Vec<Movement>,
    /// How many invoices and credit notes codes were taken for.
    documents: (usize, usize),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) shop: Vec<Sellable>,
    pub(super) account: account::Model,
    pub(super) zone: Tz,
    pub(super) currency: Currency,
    pub(super) now: Instant,
    pub(super) wallet: Split,
    pub(super) tables: Tables,
    numbers: HashMap<CodeKind, i64>,
}

impl World {
    pub(super) fn of(shop: Vec<Sellable>, zone: Tz, currency: Currency, now: Instant) -> Self {
        let account = account::Model {
            id: ids::new_id(),
            code: "ACME".into(),
            name: "Acme".into(),
            zone: zone.name().into(),
            language: Language::En,
            mode: BillingMode::Prepaid,
            currency: currency.code().into(),
            event_sequence: 0,
            created_at: now,
            version: 1,
        };
        Self {
            shop,
            account,
            zone,
            currency,
            now,
            wallet: Split::default(),
            tables: Tables::default(),
            numbers: HashMap::new(),
        }
    }

    pub(super) fn money(&self, minor: i64) -> Money {
        Money::of(minor, self.currency)
    }

    fn codes(&mut self, wanted: &[(CodeKind, usize)]) -> Codes {
        let mut next = HashMap::new();
        for (kind, count) in wanted.iter().filter(|(_, count)| *count > 0) {
            let taken = self.numbers.entry(*kind).or_insert(1);
            next.insert(*kind, *taken);
            *taken += i64::try_from(*count).unwrap();
        }
        Codes::from(&self.account.code, 2026, next)
    }

    /// Resources as they stand, with their periods that were not closed and had not ended.
    fn standing(&self, ids: &[Uuid], at: Instant) -> HashMap<Uuid, Standing> {
        let stand = |id: &Uuid| {
            let of_resource = self.tables.periods.values().filter(|row| row.resource_id == *id);
            let mut all: Vec<paid_period::Model> = of_resource.cloned().collect();
            all.sort_by_key(|row| row.sequence);
            let newest = all.last().map_or(0, |row| row.sequence);
            all.retain(|row| row.status == PeriodStatus::Paid && row.ends_at > at);
            let standing = Standing {
                resource: self.tables.resources[id].clone(),
                periods: all,
                newest,
            };
            (*id, standing)
        };
        ids.iter().map(stand).collect()
    }

    pub(super) fn price(&self, wishes: &[Wish], coupon: Option<&CouponTerms>) -> Result<PricedQuote, Error> {
        let named: Vec<Uuid> = wishes
            .iter()
            .filter_map(|wish| match wish {
                Wish::Create { .. } => None,
                Wish::Renew(id, _) | Wish::Recover(id, _) | Wish::Resize(id, _) | Wish::Delete(id) => Some(*id),
            })
            .collect();
        let catalogue = Catalogue {
            sold: self.shop.clone(),
            standing: self.standing(&named, self.now),
            currency: self.currency,
        };
        let by_code = |product: usize, parts: &Parts| {
            let sold = &self.shop[product];
            let asked = parts
                .iter()
                .map(|(place, quantity)| (sold.components[*place].0.code.clone(), *quantity))
                .collect();
            catalogue.components(sold, asked)
        };
        let mut items = Vec::new();
        for wish in wishes {
            items.push(match wish {
                Wish::Create {
                    product,
                    parts,
                    quantity,
                    term,
                } => RequestedItem::Create(CreateItem {
                    product: catalogue_product(&self.shop[*product]),
                    components: by_code(*product, parts)?,
                    quantity: *quantity,
                    term: *term,
                    name: None,
                    auto_renew: false,
                }),
                Wish::Renew(id, term) => RequestedItem::Renew(RenewItem {
                    existing: catalogue.existing(*id)?,
                    term: *term,
                }),
                Wish::Recover(id, term) => RequestedItem::Recover(RecoverItem {
                    existing: catalogue.existing(*id)?,
                    term: *term,
                }),
                Wish::Resize(id, parts) => {
                    let existing = catalogue.existing(*id)?;
                    let product = self.tables.resources[id].product_id;
                    let product = self.shop.iter().position(|sold| sold.product.id == product).unwrap();
                    let components = by_code(product, parts)?;
                    RequestedItem::Resize(ResizeItem { existing, components })
                }
                Wish::Delete(id) => RequestedItem::Delete(DeleteItem {
                    existing: catalogue.existing(*id)?,
                }),
            });
        }
        let asked = QuoteRequest {
            items: &items,
            coupon,
            zone: self.zone,
            currency: self.currency,
            now: self.now,
        };
        Ok(rules::price(&asked)?)
    }

    fn sold(&self, code: &str) -> &Sellable {
        self.shop.iter().find(|sold| sold.product.code == code).unwrap()
    }

    fn invoices_of(&self, item: &PricedItem) -> HashMap<Uuid, Uuid> {
        let replaced = item.replaced.iter().map(|replaced| replaced.period_id);
        let invoices = self.tables.invoices.values();
        replaced
            .filter_map(|period| {
                let invoice = invoices.clone().find(|row| row.period_id == Some(period))?;
                Some((period, invoice.id))
            })
            .collect()
    }

    /// An order, as `order::write` decides it: nothing is changed but by what it answers.
    pub(super) fn order(&mut self, document: &serde_json::Value) -> Result<Written, Error> {
        let now = self.now;
        let scope = Scope::engine();
        let priced: PricedQuote = serde_json::from_value(document.clone())?;
        rules::check_orderable(
            entity::enums::QuoteStatus::Open,
            rules::expires_at(priced.priced_at),
            now,
            false,
        )?;
        rules::check_ends_ahead(&priced, now)?;
        let due = priced.due()?;
        order_rules::check_payment_given(due, due.is_positive())?;
        let named: Vec<Uuid> = priced.items.iter().filter_map(|item| item.resource_id).collect();
        let mut standing = self.standing(&named, priced.priced_at);
        for item in priced.items.iter().filter(|item| item.action != OrderAction::Create) {
            let stands = item.resource_id.and_then(|id| standing.get(&id));
            fulfil::check(stands, item, &self.sold(&item.product_code).product, now)?;
        }
        let (mut documents, mut back) = ((0, 0), Funding::zero(self.currency));
        for item in &priced.items {
            if fulfil::at_once(item.action, &self.sold(&item.product_code).product) {
                let (invoices, notes) = fulfil::documents(item)?;
                documents = (documents.0 + invoices, documents.1 + notes);
                back = back.plus(&item.credited()?.refund(item.refund()?)?)?;
            }
        }
        let funding = order_rules::split_funding(
            due,
            self.money(self.wallet.cash).plus(back.cash)?,
            self.money(self.wallet.promotional).plus(back.promotional)?,
            self.money(0),
        )?;
        let dues: Vec<Money> = priced.items.iter().map(PricedItem::due).collect::<Result<_, _>>()?;
        let shares = funding.over_items(&dues)?;
        let mut codes = self.codes(&[
            (CodeKind::Order, 1),
            (CodeKind::Invoice, documents.0),
            (CodeKind::CreditNote, documents.1),
        ]);
        let mut written = Written {
            documents,
            ..Written::default()
        };
        let order_id = ids::new_id();
        let order_code = codes.next(CodeKind::Order)?;
        let mut paid = None;
        if due.is_positive() {
            let mut entry = Entry::new(ledger::order_payment(&funding)?);
            entry.order = Some(order_id);
            paid = Some(self.movement(&entry, WalletAction::OrderPayment, -1, &funding));
            written.entries.push(entry);
        }
        let tags = serde_json::json!({});
        for ((position, item), share) in (0..).zip(&priced.items).zip(&shares) {
            let product = &self.sold(&item.product_code).product;
            let at_once = fulfil::at_once(item.action, product);
            let new = match item.action {
                OrderAction::Create => Some(new_resource(
                    ids::new_id(),
                    &self.account,
                    product,
                    item,
                    scope.principal(),
                    now,
                )?),
                _ => None,
            };
            let id = new.as_ref().map(|new| new.id).or(item.resource_id).unwrap();
            let row = new_item(
                order_id,
                &self.account,
                position,
                product,
                id,
                item,
                share,
                at_once,
                now,
            )?;
            let coupon_code = priced.coupon_code.as_deref();
            if let Some(mut resource) = new {
                if at_once {
                    let done = Provisioned {
                        item: &row,
                        priced: item,
                        product,
                        zone: self.zone,
                        coupon_code,
                        payment: None,
                        tags: &tags,
                        now,
                    };
                    let (entry, _) = fulfilment::add(&mut written.rows, &mut resource, &mut codes, done)?;
                    written.entries.push(entry);
                }
                written.rows.resources.push(resource);
            } else {
                let mut stands = standing.remove(&id).unwrap();
                if at_once {
                    let deed = Deed {
                        product,
                        zone: self.zone,
                        item: &row,
                        order_code: &order_code,
                        priced: item,
                        paid: *share,
                        payment: None,
                        coupon_code,
                        tags: &tags,
                        invoices: &self.invoices_of(item),
                        waited: StepStatus::Superseded,
                        now,
                    };
                    let done = fulfil::carry_out(&mut written.rows, &mut codes, stands, &deed)?;
                    written.entries.extend(done.entries);
                    written.movements.extend(done.refund);
                } else {
                    stands.resource.order_item_id = Some(row.id);
                    written.rows.changed.push(stands.resource);
                }
            }
            written.rows.items.push(row);
        }
        written.movements.extend(paid);
        Ok(written)
    }

    /// What a product reports of a task, as `provisioning::succeed` and `fail` decide it.
    pub(super) fn report(&mut self, task: Uuid, succeeded: bool) -> Result<Written, Error> {
        let now = self.now;
        let mut item = self.tables.items[&task].clone();
        let priced: PricedItem = serde_json::from_value(item.document.clone())?;
        let due = (item.charged_minor - item.credited_minor).max(0);
        let paid = Funding::of(self.money(due), self.money(item.charged_promotional_minor))?;
        let mut written = Written::default();
        let mut resource = self.tables.resources[&item.resource_id].clone();
        if !succeeded {
            item.status = OrderItemStatus::Refunded;
            if item.action == OrderAction::Create {
                resource.life = Life::Failed;
            } else {
                resource.order_item_id = None;
            }
            let mut entry = Entry::new(ledger::provisioning_refund(&paid)?);
            entry.order_item = Some(item.id);
            entry.resource = Some(resource.id);
            if due > 0 {
                written
                    .movements
                    .push(self.movement(&entry, WalletAction::Refund, 1, &paid));
            }
            written.entries.push(entry);
            written.rows.changed.push(resource);
            written.rows.items.push(item);
            return Ok(written);
        }
        written.documents = fulfil::documents(&priced)?;
        let mut codes = self.codes(&[
            (CodeKind::Invoice, written.documents.0),
            (CodeKind::CreditNote, written.documents.1),
        ]);
        let product = &self.sold(&priced.product_code).product;
        let tags = serde_json::json!({});
        if priced.action == OrderAction::Create {
            let done = Provisioned {
                item: &item,
                priced: &priced,
                product,
                zone: self.zone,
                coupon_code: None,
                payment: None,
                tags: &tags,
                now,
            };
            let (entry, _) = fulfilment::add(&mut written.rows, &mut resource, &mut codes, done)?;
            written.entries.push(entry);
            written.rows.changed.push(resource);
        } else {
            let at = priced.span.map_or(now, |span| span.start);
            let stands = self.standing(&[item.resource_id], at).remove(&item.resource_id);
            let deed = Deed {
                product,
                zone: self.zone,
                item: &item,
                order_code: "ORD",
                priced: &priced,
                paid,
                payment: None,
                coupon_code: None,
                tags: &tags,
                invoices: &self.invoices_of(&priced),
                waited: StepStatus::Superseded,
                now,
            };
            let done = fulfil::carry_out(&mut written.rows, &mut codes, stands.unwrap(), &deed)?;
            written.entries.extend(done.entries);
            written.movements.extend(done.refund);
        }
        item.status = OrderItemStatus::Fulfilled;
        written.rows.items.push(item);
        Ok(written)
    }

    fn movement(&self, entry: &Entry, action: WalletAction, sign: i64, funding: &Funding) -> Movement {
        Movement {
            id: ids::new_id(),
            transaction: entry.id,
            action,
            details: String::new(),
            cash_minor: sign * funding.cash.minor(),
            promotional_minor: sign * funding.promotional.minor(),
            order: entry.order,
        }
    }

    /// An operator gives credit.
    pub(super) fn grant(&self, kind: FundsKind, minor: i64) -> Written {
        let entry = Entry::new(ledger::grant(kind, self.money(minor)).unwrap());
        let (total, promotional) = match kind {
            FundsKind::Cash => (self.money(minor), self.money(0)),
            FundsKind::Promotional => (self.money(minor), self.money(minor)),
        };
        let funding = Funding::of(total, promotional).unwrap();
        Written {
            movements: vec![self.movement(&entry, WalletAction::Grant, 1, &funding)],
            entries: vec![entry],
            ..Written::default()
        }
    }

    /// Writes, as the tables would: keys are new, conditions hold.
    pub(super) fn write(&mut self, written: Written) {
        let Written {
            rows,
            entries,
            movements,
            documents,
        } = written;
        assert_eq!(
            (rows.invoices.len(), rows.credit_notes.len()),
            documents,
            "codes have no gap"
        );
        let tables = &mut self.tables;
        for row in rows.resources {
            assert!(tables.resources.insert(row.id, row).is_none(), "a new resource is new");
        }
        for row in rows.periods {
            assert!(row.ends_at > row.starts_at && row.length_minutes > 0 && row.priced_minutes >= 0);
            tables.written.insert(row.id, row.clone());
            assert!(tables.periods.insert(row.id, row).is_none(), "a new period is new");
        }
        for row in rows.invoices {
            assert!(tables.codes.insert(row.code.clone()), "{} is given twice", row.code);
            assert!(tables.invoices.insert(row.id, row).is_none(), "a new invoice is new");
        }
        for row in rows.lines {
            tables.lines.entry(row.invoice_id).or_default().push(row);
        }
        for row in rows.credit_notes {
            assert!(tables.codes.insert(row.code.clone()), "{} is given twice", row.code);
            assert!(row.amount_minor >= 0 && row.tax_minor >= 0 && row.coupon_minor >= 0);
            tables.notes.push(row);
        }
        for row in rows.credit_note_lines {
            tables.note_lines.entry(row.credit_note_id).or_default().push(row);
        }
        for row in rows.items {
            tables.items.insert(row.id, row);
        }
        for (id, at) in rows.closed {
            let row = tables.periods.get_mut(&id).expect("what is closed is there");
            assert_eq!(row.status, PeriodStatus::Paid, "a period is closed once");
            (row.status, row.closed_at) = (PeriodStatus::Closed, Some(at));
        }
        for (id, amount) in rows.credited {
            let row = tables.invoices.get_mut(&id).expect("what is credited is there");
            row.credited_minor += amount;
            assert!(row.credited_minor <= row.total_minor, "an invoice has that much left");
        }
        for row in rows.changed {
            assert!(lifecycle::is_over(row.life) <= row.next_due_at.is_none());
            tables.resources.insert(row.id, row).expect("what is changed is there");
        }
        for row in rows.steps {
            note_step(&mut tables.steps, &row);
        }
        for movement in movements {
            self.wallet.cash += movement.cash_minor;
            self.wallet.promotional += movement.promotional_minor;
            tables.movements.push(movement);
        }
        assert!(
            self.wallet.cash >= 0 && self.wallet.promotional >= 0,
            "the wallet covers it"
        );
        // Those without a leg are not posted.
        tables
            .entries
            .extend(entries.into_iter().filter(|entry| !entry.transaction.is_empty()));
    }

    /// Handles the steps that are due, without the brakes of the engine. A step that the life of its resource does not
    /// know would stop the engine for good.
    pub(super) fn engine_looks(&mut self) {
        let now = self.now;
        let products: HashMap<Uuid, _> = self.shop.iter().map(|sold| (sold.product.id, &sold.product)).collect();
        let due = |row: &&mut resource::Model| row.next_due_at.is_some_and(|due| due <= now);
        for row in self.tables.resources.values_mut().filter(due) {
            let terms = fulfilment::policy_terms(products[&row.product_id]).unwrap();
            let (terms, end) = fulfilment::plan_of(row, &terms).unwrap();
            let schedule = Plan {
                terms: &terms,
                paid_until: end,
                zone: self.zone,
                auto_renew: row.auto_renew,
                release_at: None,
            }
            .schedule();
            let waited: StepKey = row.next_step.as_deref().unwrap().parse().unwrap();
            let mut next = schedule.step(waited);
            while let Some(step) = next.filter(|step| step.is_due(now)) {
                let key = (row.id, row.plan_id.unwrap(), step.key().to_string());
                assert!(self.tables.steps.insert(key), "a step leaves one row");
                let event = match step.kind {
                    StepKind::Expire => Some(Event::PeriodEnded),
                    StepKind::Suspend => Some(Event::SuspendDue),
                    StepKind::Release => Some(Event::ReleaseDue),
                    _ => None,
                };
                // It was suspended in an earlier plan.
                let event = event.filter(|event| *event != Event::SuspendDue || row.life != Life::Suspended);
                if let Some(event) = event {
                    let state = State {
                        life: row.life,
                        power: row.power,
                    };
                    row.life = lifecycle::decide(&terms, state, event).unwrap().to.life;
                }
                next = schedule.next_after(Some(step.key()));
            }
            row.next_step = next.map(|step| step.key().to_string());
            row.next_due_at = next.map(|step| step.due_at);
        }
    }

    pub(super) fn time_passes(&mut self, by: TimeDelta) {
        self.now += by;
    }
}

fn note_step(steps: &mut BTreeSet<(Uuid, Uuid, String)>, row: &schedule_step::Model) {
    let key = (row.resource_id, row.period_id, row.step.clone());
    assert!(steps.insert(key), "a step leaves one row");
}
