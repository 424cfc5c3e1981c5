//! What each action should cost, charge and give back, and what it should make of its resource: told before it is done.

use std::collections::{BTreeMap, BTreeSet};

use entity::enums::{Life, LifecyclePolicy, OrderAction, ProvisioningMode};
use entity::{price, product};
use uuid::Uuid;

use super::oracle::{self, Calendar, Instant, Laid, Left, Line, Period, Split, nearest, share, split};
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::refusal::RefusalCode;
use crate::domain::term::Term;
use crate::store::pricing::Sellable;

/// Components by their place in the catalogue, and how many of each.
pub(super) type Parts = Vec<(usize, i64)>;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Create {
        product: usize,
        parts: Parts,
        quantity: i64,
        term: Term,
    },
    Renew(Uuid, Term),
    Recover(Uuid, Option<Term>),
    Resize(Uuid, Parts),
    Delete(Uuid),
}

impl Wish {
    const fn resource(&self) -> Option<Uuid> {
        match self {
            Self::Create { .. } => None,
            Self::Renew(id, _) | Self::Recover(id, _) | Self::Resize(id, _) | Self::Delete(id) => Some(*id),
        }
    }
}

/// One action on one resource, as it should be priced.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) action: OrderAction,
    pub(super) resource: Option<Uuid>,
    pub(super) product: usize,
    pub(super) term: Option<Term>,
    pub(super) laid: Option<Laid>,
    pub(super) lines: Vec<Line>,
    pub(super) replaced: Vec<Left>,
    basis: Option<(Option<Uuid>, Option<Instant>)>,
}

impl Item {
    pub(super) fn sum(&self, of: fn(&Line) -> i64) -> i64 {
        self.lines.iter().map(of).sum()
    }

    pub(super) fn charged(&self) -> i64 {
        self.sum(|line| line.charged)
    }

    pub(super) fn unused(&self) -> Split {
        self.replaced
            .iter()
            .fold(Split::default(), |sum, left| sum.plus(left.back))
    }

    pub(super) fn due(&self) -> i64 {
        (self.charged() - self.unused().total()).max(0)
    }

    /// What goes back to the wallet.
    pub(super) fn back(&self) -> Split {
        let unused = self.unused();
        unused.back((unused.total() - self.charged()).max(0))
    }

    /// What the new period counts as paid: what is unused, less what goes back, and what is paid for it now.
    fn paid(&self, payment: Split) -> Split {
        self.unused().minus(self.back()).plus(payment)
    }

    pub(super) fn at_once(&self, shop: &[Sellable]) -> bool {
        let made_by_product = matches!(self.action, OrderAction::Create | OrderAction::Resize);
        !made_by_product || shop[self.product].product.provisioning == ProvisioningMode::Instant
    }
}

/// What is asked for, as it should be priced.
#[derive(Clone, Debug)]
pub(super) struct Foretold {
    pub(super) items: Vec<Item>,
    pub(super) at: Instant,
}

/// How an order should be paid.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) total: Split,
    /// What each item pays of it.
    pub(super) shares: Vec<Split>,
    /// What goes back at once.
    pub(super) back: Split,
}

/// A resource as it should stand.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) product: usize,
    pub(super) life: Life,
    pub(super) parts: Vec<(Uuid, i64)>,
    pub(super) paid_until: Option<Instant>,
    pub(super) anchor: Option<u32>,
    pub(super) trashed_at: Option<Instant>,
    pub(super) latest: Option<Uuid>,
    pub(super) busy: bool,
    pub(super) periods: Vec<Period>,
    /// What the customer has paid for it, and what came back, in all its life.
    pub(super) paid: Split,
    pub(super) returned: Split,
    /// How often it was renewed and resized since it began anew.
    pub(super) renewals: u32,
    pub(super) resizes: u32,
}

impl Resource {
    fn not_ended(&self, at: Instant) -> impl Iterator<Item = &Period> {
        self.periods
            .iter()
            .filter(move |period| period.replaced.is_none() && period.laid.end > at)
    }
}

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) calendar: Calendar,
    /// Minor units in one of the currency.
    pub(super) minor: i64,
    pub(super) wallet: Split,
    pub(super) resources: BTreeMap<Uuid, Resource>,
    /// What waits for a product's report, and what was paid for it.
    pub(super) tasks: BTreeMap<Uuid, (Item, Split)>,
}

fn may(action: OrderAction, life: Life, product: &product::Model) -> Result<(), RefusalCode> {
    let standard = product.lifecycle == LifecyclePolicy::Standard;
    let allowed = match action {
        OrderAction::Renew | OrderAction::Delete => {
            matches!(life, Life::Active | Life::Grace) || (life == Life::Suspended && standard)
        }
        OrderAction::Resize => life == Life::Active,
        OrderAction::Recover => life == Life::Trashed || (life == Life::Suspended && !standard),
        _ => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(RefusalCode::StateConflict)
    }
}

fn price_of(sold: &Sellable, component: Uuid) -> Result<&price::Model, RefusalCode> {
    let (_, price) = sold.components.iter().find(|(row, _)| row.id == component).unwrap();
    price.as_ref().ok_or(RefusalCode::PriceNotAvailable)
}

impl Oracle {
    /// What is asked for, priced; or the reason why it is not.
    pub(super) fn price(
        &self,
        shop: &[Sellable],
        wishes: &[Wish],
        coupon: Option<&CouponTerms>,
        now: Instant,
    ) -> Result<Foretold, RefusalCode> {
        for wish in wishes {
            if wish.resource().is_some_and(|id| self.resources[&id].busy) {
                return Err(RefusalCode::StateConflict);
            }
            let (product, parts) = match wish {
                Wish::Create { product, parts, .. } => (*product, parts),
                Wish::Resize(id, parts) => (self.resources[id].product, parts),
                _ => continue,
            };
            for (place, _) in parts {
                price_of(&shop[product], shop[product].components[*place].0.id)?;
            }
        }
        let mut named = BTreeSet::new();
        if wishes.iter().filter_map(Wish::resource).any(|id| !named.insert(id)) {
            return Err(RefusalCode::DuplicateResource);
        }
        let mut items = Vec::new();
        for wish in wishes {
            self.price_wish(shop, wish, now, &mut items)?;
        }
        if let Some(terms) = coupon {
            take_off(shop, &mut items, terms, now)?;
        }
        Ok(Foretold { items, at: now })
    }

    fn price_wish(
        &self,
        shop: &[Sellable],
        wish: &Wish,
        now: Instant,
        items: &mut Vec<Item>,
    ) -> Result<(), RefusalCode> {
        let lines = |product: usize, parts: &Parts, minutes: i64| -> Result<Vec<Line>, RefusalCode> {
            let sold = &shop[product];
            for (place, quantity) in parts {
                let component = &sold.components[*place].0;
                if *quantity < 1.max(i64::from(component.minimum)) || *quantity > i64::from(component.maximum) {
                    return Err(RefusalCode::InvalidQuantity);
                }
            }
            let priced = parts.iter().map(|(place, quantity)| {
                let price = price_of(sold, sold.components[*place].0.id)?;
                Ok(oracle::line(price, *quantity, minutes, self.minor))
            });
            priced.collect()
        };
        if let Wish::Create {
            product,
            parts,
            quantity,
            term,
        } = wish
        {
            let day_count = shop[*product].product.day_count;
            let laid = self.calendar.lay_down(*term, now, None, day_count)?;
            let item = Item {
                action: OrderAction::Create,
                resource: None,
                product: *product,
                term: Some(*term),
                laid: Some(laid),
                lines: lines(*product, parts, laid.priced)?,
                replaced: Vec::new(),
                basis: None,
            };
            items.extend((0..*quantity).map(|_| item.clone()));
            return Ok(());
        }
        let id = wish.resource().unwrap();
        let resource = &self.resources[&id];
        let product = &shop[resource.product].product;
        let mut item = Item {
            action: OrderAction::Delete,
            resource: Some(id),
            product: resource.product,
            term: None,
            laid: None,
            lines: Vec::new(),
            replaced: Vec::new(),
            basis: Some((resource.latest, resource.paid_until)),
        };
        let as_it_is = |minutes: i64| -> Result<Vec<Line>, RefusalCode> {
            let sold = &shop[resource.product];
            let parts = resource.parts.iter();
            parts
                .map(|(component, quantity)| {
                    Ok(oracle::line(
                        price_of(sold, *component)?,
                        *quantity,
                        minutes,
                        self.minor,
                    ))
                })
                .collect()
        };
        let left = || -> Vec<Left> {
            resource
                .not_ended(now)
                .map(|period| period.left(&self.calendar, now))
                .collect()
        };
        match wish {
            Wish::Create { .. } => unreachable!("a new resource has no periods"),
            Wish::Renew(_, term) => {
                may(OrderAction::Renew, resource.life, product)?;
                let start = resource.paid_until.unwrap();
                let laid = self
                    .calendar
                    .lay_down(*term, start, resource.anchor, product.day_count)?;
                item.action = OrderAction::Renew;
                item.term = Some(*term);
                item.laid = Some(laid);
                item.lines = as_it_is(laid.priced)?;
            }
            Wish::Recover(_, term) => {
                may(OrderAction::Recover, resource.life, product)?;
                item.action = OrderAction::Recover;
                let furthest = resource.not_ended(now).map(|period| period.laid.end).max();
                // What the customer gave up and got nothing back for.
                let free = furthest.filter(|_| resource.life == Life::Trashed);
                match (free, term) {
                    (Some(end), None) => {
                        item.laid = Some(Laid {
                            start: now,
                            end,
                            length: self.calendar.length(product.day_count, now, end),
                            priced: 0,
                            day_count: product.day_count,
                            anchor: resource.anchor.unwrap(),
                        });
                    }
                    (None, Some(term)) => {
                        let laid = self.calendar.lay_down(*term, now, None, product.day_count)?;
                        item.term = Some(*term);
                        item.laid = Some(laid);
                        item.lines = as_it_is(laid.priced)?;
                    }
                    (Some(_), Some(_)) | (None, None) => return Err(RefusalCode::InvalidTerm),
                }
            }
            Wish::Resize(_, parts) => {
                may(OrderAction::Resize, resource.life, product)?;
                item.action = OrderAction::Resize;
                let mut priced = 0;
                let mut measures = BTreeSet::new();
                lines(resource.product, parts, 1)?;
                for period in resource.not_ended(now) {
                    let left = period.left(&self.calendar, now);
                    if left.remaining > 0 {
                        measures.insert(period.laid.day_count);
                        priced += share(period.laid.priced, left.remaining, period.laid.length);
                    }
                }
                let day_count = match measures.len() {
                    0 => return Err(RefusalCode::PeriodEnded),
                    1 => *measures.first().unwrap(),
                    _ => product.day_count,
                };
                let end = resource.not_ended(now).map(|period| period.laid.end).max().unwrap();
                item.laid = Some(Laid {
                    start: now,
                    end,
                    length: self.calendar.length(day_count, now, end).max(1),
                    priced,
                    day_count,
                    anchor: resource.anchor.unwrap(),
                });
                item.lines = lines(resource.product, parts, priced)?;
                item.replaced = left();
            }
            Wish::Delete(_) => {
                may(OrderAction::Delete, resource.life, product)?;
                let left = left();
                // What is worth nothing is not given back: it stays paid.
                if product.refunds_on_delete && left.iter().any(|left| left.back.total() > 0) {
                    item.replaced = left;
                }
            }
        }
        items.push(item);
        Ok(())
    }

    /// How an order is paid when it is placed now; or the reason why it is not taken.
    pub(super) fn pay(&self, shop: &[Sellable], quote: &Foretold, now: Instant) -> Result<Payment, RefusalCode> {
        if (now - quote.at).num_seconds() >= 15 * 60 {
            return Err(RefusalCode::QuoteExpired);
        }
        for item in &quote.items {
            if let (true, Some(Term::Until(end))) = (item.action != OrderAction::Renew, item.term)
                && end <= now
            {
                return Err(RefusalCode::QuoteStale);
            }
        }
        for item in &quote.items {
            let Some(id) = item.resource else { continue };
            let resource = &self.resources[&id];
            if resource.busy {
                return Err(RefusalCode::StateConflict);
            }
            may(item.action, resource.life, &shop[item.product].product)?;
            if item.basis != Some((resource.latest, resource.paid_until)) {
                return Err(RefusalCode::QuoteStale);
            }
            let ended = resource.paid_until.is_some_and(|end| end <= now);
            if item.action == OrderAction::Delete && item.back().total() > 0 && ended {
                return Err(RefusalCode::QuoteStale);
            }
        }
        let at_once = quote.items.iter().filter(|item| item.at_once(shop));
        let back = at_once.fold(Split::default(), |sum, item| sum.plus(item.back()));
        let dues: Vec<i64> = quote.items.iter().map(Item::due).collect();
        let due: i64 = dues.iter().sum();
        let available = self.wallet.plus(back);
        if due > available.total() {
            return Err(RefusalCode::InsufficientCredit);
        }
        let promotional = due.min(available.promotional);
        let shares = split(promotional, &dues).into_iter().zip(&dues);
        Ok(Payment {
            total: Split {
                cash: due - promotional,
                promotional,
            },
            shares: shares
                .map(|(promotional, due)| Split {
                    cash: due - promotional,
                    promotional,
                })
                .collect(),
            back,
        })
    }

    /// A new resource, before it is there.
    pub(super) fn born(&mut self, id: Uuid, item: &Item) {
        let resource = Resource {
            product: item.product,
            life: Life::Provisioning,
            parts: item.lines.iter().map(|line| (line.component, line.quantity)).collect(),
            paid_until: None,
            anchor: None,
            trashed_at: None,
            latest: None,
            busy: false,
            periods: Vec::new(),
            paid: Split::default(),
            returned: Split::default(),
            renewals: 0,
            resizes: 0,
        };
        self.resources.insert(id, resource);
    }

    /// What an action that is done now makes of its resource, `payment` being what was paid for it. `key` is the order
    /// item, `period` the period that it opens.
    pub(super) fn done(
        &mut self,
        shop: &[Sellable],
        item: &Item,
        id: Uuid,
        (key, period): (Uuid, Option<Uuid>),
        payment: Split,
        now: Instant,
    ) -> Result<(), RefusalCode> {
        let product = &shop[item.product].product;
        let laid = match (item.action, item.laid, item.term) {
            (OrderAction::Create | OrderAction::Recover, Some(laid), Some(term)) => {
                Some(self.laid_down_again(laid, term, product, now)?)
            }
            (_, laid, _) => laid,
        };
        let resource = self.resources.get_mut(&id).unwrap();
        for left in &item.replaced {
            let period = resource.periods.iter_mut().find(|period| period.id == left.period);
            period.unwrap().replaced = Some((now, *left));
        }
        resource.returned = resource.returned.plus(item.back());
        if let Some(period) = period {
            let laid = laid.unwrap();
            resource.periods.push(Period {
                id: period,
                item: key,
                laid,
                lines: item.lines.clone(),
                paid: item.paid(payment),
                replaced: None,
            });
            resource.latest = Some(period);
            resource.paid_until = Some(laid.end);
            resource.anchor = Some(laid.anchor);
        }
        match item.action {
            OrderAction::Create => resource.life = Life::Active,
            OrderAction::Renew => {
                if laid.unwrap().end > now {
                    resource.life = Life::Active;
                }
                resource.renewals += 1;
            }
            OrderAction::Recover => {
                resource.life = Life::Active;
                resource.paid_until = laid.map(|laid| laid.end);
                resource.trashed_at = None;
                (resource.renewals, resource.resizes) = (0, 0);
            }
            OrderAction::Resize => {
                resource.parts = item.lines.iter().map(|line| (line.component, line.quantity)).collect();
                resource.resizes += 1;
            }
            _ => {
                if !item.replaced.is_empty() {
                    resource.paid_until = Some(now);
                }
                if product.trash_days > 0 {
                    resource.life = Life::Trashed;
                    resource.trashed_at = Some(now);
                } else {
                    resource.life = Life::Deleted;
                }
            }
        }
        Ok(())
    }

    /// A product could not do what was ordered: all that was paid for it comes back.
    pub(super) fn failed(&mut self, id: Uuid, item: &Item, payment: Split) {
        let resource = self.resources.get_mut(&id).unwrap();
        resource.returned = resource.returned.plus(payment);
        resource.busy = false;
        if item.action == OrderAction::Create {
            resource.life = Life::Failed;
        }
        self.wallet = self.wallet.plus(payment);
    }

    /// A new period counts from when it really begins, and costs what it was to cost.
    fn laid_down_again(
        &self,
        laid: Laid,
        term: Term,
        product: &product::Model,
        now: Instant,
    ) -> Result<Laid, RefusalCode> {
        match term {
            Term::Until(end) if end <= now => Err(RefusalCode::EndNotAfterStart),
            Term::Until(end) => Ok(Laid {
                start: now,
                length: self.calendar.length(product.day_count, now, end).max(1),
                ..laid
            }),
            Term::Months(_) | Term::Days(_) => Ok(Laid {
                priced: laid.priced,
                ..self.calendar.lay_down(term, now, None, product.day_count)?
            }),
        }
    }

    /// What time makes of the resources, when an engine looks at it now.
    pub(super) fn engine_looks(&mut self, shop: &[Sellable], now: Instant) {
        for resource in self.resources.values_mut() {
            let product = &shop[resource.product].product;
            let standard = product.lifecycle == LifecyclePolicy::Standard;
            let passed = |from: Option<Instant>, days: i64| {
                from.is_some_and(|from| {
                    // Its own instant is itself, also in an hour that comes twice.
                    let then = if days == 0 {
                        from
                    } else {
                        self.calendar.days_later(from, days)
                    };
                    then <= now
                })
            };
            if resource.life == Life::Active && passed(resource.paid_until, 0) {
                resource.life = if standard { Life::Grace } else { Life::Suspended };
            }
            if resource.life == Life::Grace && passed(resource.paid_until, 15) {
                resource.life = Life::Suspended;
            }
            let kept = if standard { 30 } else { i64::from(product.release_days) };
            if resource.life == Life::Suspended && passed(resource.paid_until, kept)
                || resource.life == Life::Trashed && passed(resource.trashed_at, i64::from(product.trash_days))
            {
                resource.life = Life::Deleted;
            }
        }
    }
}

/// A coupon's shares, item by item and line by line.
fn take_off(shop: &[Sellable], items: &mut [Item], terms: &CouponTerms, now: Instant) -> Result<(), RefusalCode> {
    if now < terms.valid_from {
        return Err(RefusalCode::CouponNotYetValid);
    }
    if terms.valid_until.is_some_and(|until| until <= now) {
        return Err(RefusalCode::CouponExpired);
    }
    let mut weights = Vec::new();
    for item in &*items {
        let code = &shop[item.product].product.code;
        let bought = matches!(
            item.action,
            OrderAction::Create | OrderAction::Renew | OrderAction::Recover
        );
        let counts = bought && (terms.product_codes.is_empty() || terms.product_codes.contains(code));
        weights.push(if counts { item.sum(|line| line.gross) } else { 0 });
    }
    let sum: i64 = weights.iter().sum();
    if sum == 0 {
        return Err(RefusalCode::CouponNotApplicable);
    }
    if terms.minimum_order.is_some_and(|minimum| sum < minimum.minor()) {
        return Err(RefusalCode::CouponMinimumNotMet);
    }
    let wanted = match terms.value {
        CouponValue::Percent(percent) => nearest(i128::from(sum) * i128::from(percent.micros()), 1_000_000),
        CouponValue::Fixed(amount) => amount.minor(),
    };
    let most = terms.maximum_discount.map_or(sum, |most| most.minor());
    for (item, share) in items.iter_mut().zip(split(wanted.min(most).min(sum), &weights)) {
        let gross: Vec<i64> = item.lines.iter().map(|line| line.gross).collect();
        for (line, share) in item.lines.iter_mut().zip(split(share, &gross)) {
            line.coupon = share;
            line.charged = line.gross - share;
        }
    }
    Ok(())
}
