//! A walk through random lives: each step is chosen, foretold, done and compared.

mod compare;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use chrono_tz::{America, Asia, Europe, Tz};
use entity::enums::{
    DayCount, FundsKind, GraceService, Life, LifecyclePolicy, OrderAction, OrderItemStatus, PeriodStatus, PriceUnit,
    ProvisioningMode, TaxMode,
};
use entity::{component, price, product, resource_type};
use uuid::Uuid;

use self::compare::compare_quotes;
use super::foretold::{Foretold, Item, Oracle, Parts, Wish};
use super::laws;
use super::oracle::{Calendar, Instant, Split};
use super::world::{World, Written};
use crate::domain::coupon::{CouponTerms, CouponValue};
use crate::domain::funding::Funding;
use crate::domain::money::{Currency, Money};
use crate::domain::quote::{ConfiguredComponent, PricedItem, PricedQuote};
use crate::domain::rate::Share;
use crate::domain::refusal::RefusalCode;
use crate::domain::term::Term;
use crate::error::Error;
use crate::ids::{self, Chance};
use crate::store::pricing::Sellable;

/// How often what happened.
pub(super) type Tally = BTreeMap<String, u32>;

/// The most resources that live at once.
const MOST_ALIVE: usize = 7;

pub(super) struct Walk {
    chance: Chance,
    world: World,
    oracle: Oracle,
    coupons: Vec<CouponTerms>,
    /// Quotes that wait to be ordered.
    parked: Vec<(serde_json::Value, Foretold)>,
    pub(super) tally: Tally,
}

fn code_of(error: &Error) -> RefusalCode {
    match error {
        Error::Refused(refusal) => refusal.code,
        error => panic!("{error}"),
    }
}

fn split_of(funding: &Funding) -> Split {
    Split {
        cash: funding.cash.minor(),
        promotional: funding.promotional.minor(),
    }
}

impl Walk {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let zones: [Tz; 3] = [Asia::Ho_Chi_Minh, Europe::Paris, America::Sao_Paulo];
        let zone = zones[place(&mut chance, 3)];
        let currency = if chance.below(4) == 0 {
            Currency::Usd
        } else {
            Currency::Vnd
        };
        let micros = i64::from(chance.below(1_000_000));
        let start = 1_451_606_400 + i64::from(chance.below(8 * 31_536_000));
        let now = DateTime::from_timestamp_micros(start * 1_000_000 + micros).unwrap();
        let mut walk = Self {
            oracle: Oracle {
                calendar: Calendar::of(zone),
                minor: currency.minor_per_unit(),
                wallet: Split::default(),
                resources: BTreeMap::new(),
                tasks: BTreeMap::new(),
            },
            world: World::of(Vec::new(), zone, currency, now),
            chance,
            coupons: Vec::new(),
            parked: Vec::new(),
            tally: Tally::new(),
        };
        walk.world.shop = (0..5).map(|number| walk.sold(number)).collect();
        walk.coupons = (0..4).map(|number| walk.coupon(number)).collect();
        walk
    }

    fn below(&mut self, end: u32) -> u32 {
        self.chance.below(end)
    }

    fn likely(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    /// A product of two lots: policy, day count, what it gives back and how long it keeps, as chance will have it.
    fn sold(&mut self, number: u32) -> Sellable {
        let one_of = |walk: &mut Self, of: [i32; 3]| of[place(&mut walk.chance, 3)];
        let product = product::Model {
            id: ids::new_id(),
            code: format!("product-{number}"),
            name: format!("Product {number}"),
            description: String::new(),
            lifecycle: LifecyclePolicy::ALL[place(&mut self.chance, 2)],
            day_count: DayCount::ALL[place(&mut self.chance, 2)],
            // The first is made by a service that reports.
            provisioning: if number == 0 {
                ProvisioningMode::Reported
            } else {
                ProvisioningMode::Instant
            },
            grace_service: GraceService::Full,
            release_days: one_of(self, [1, 3, 7]),
            trash_days: one_of(self, [0, 3, 7]),
            refunds_on_delete: self.likely(70),
            auto_renew_locked: false,
            has_webhook: false,
            created_at: self.world.now,
        };
        let resource_type = resource_type::Model {
            id: ids::new_id(),
            product_id: product.id,
            code: format!("type-{number}"),
            name: format!("Type {number}"),
        };
        let components = (0..4)
            .map(|position| {
                let row = component::Model {
                    id: ids::new_id(),
                    resource_type_id: resource_type.id,
                    code: format!("component-{position}"),
                    name: format!("Component {position}"),
                    unit_label: "GB".into(),
                    minimum: 0,
                    maximum: 9,
                    position,
                };
                let price = self.price(row.id);
                (row, Some(price))
            })
            .collect();
        Sellable {
            product,
            resource_type,
            components,
        }
    }

    fn price(&mut self, component_id: Uuid) -> price::Model {
        let unit = match self.below(8) {
            0 => PriceUnit::Hour,
            1 => PriceUnit::Once,
            _ => PriceUnit::ThirtyDays,
        };
        let most: u32 = match (self.below(6), unit) {
            (0, _) => 1,
            (1, _) => 40,
            (_, PriceUnit::Hour) => 100,
            (2, _) => 5_000,
            _ => 900_000,
        };
        let units = i64::from(self.below(most)) / if self.world.currency == Currency::Usd { 100 } else { 1 };
        let decimals = if self.likely(30) {
            i64::from(self.below(1_000_000))
        } else {
            0
        };
        let discounts = [0, 0, 0, 50_000, 125_000, 333_333, 1_000_000];
        let taxes = [0, 80_000, 100_000, 100_000, 100_000, 77_777];
        price::Model {
            id: ids::new_id(),
            component_id,
            currency: self.world.currency.code().into(),
            unit,
            unit_price_micros: units * 1_000_000 + decimals,
            discount_micros: discounts[place(&mut self.chance, 7)],
            tax_micros: taxes[place(&mut self.chance, 6)],
            tax_mode: TaxMode::ALL[place(&mut self.chance, 2)],
            valid_from: self.world.now,
            valid_until: None,
        }
    }

    fn coupon(&mut self, number: u32) -> CouponTerms {
        let amount = |walk: &mut Self, most: u32| {
            let minor = 1 + i64::from(walk.below(most));
            walk.world.money(minor)
        };
        let value = if number.is_multiple_of(2) {
            CouponValue::Percent(Share::from_micros(1 + i64::from(self.below(1_000_000))).unwrap())
        } else {
            CouponValue::Fixed(amount(self, 300_000))
        };
        CouponTerms {
            code: format!("COUPON-{number}"),
            value,
            currency: self.world.currency,
            valid_from: self.world.now,
            valid_until: self
                .likely(20)
                .then(|| self.world.now + TimeDelta::days(i64::from(self.below(900)))),
            product_codes: if self.likely(40) {
                vec!["product-0".into(), "product-1".into(), "product-2".into()]
            } else {
                Vec::new()
            },
            minimum_order: self.likely(30).then(|| amount(self, 100_000)),
            maximum_discount: self.likely(30).then(|| amount(self, 100_000)),
            total_limit: None,
            per_account_limit: None,
            redeemed: 0,
            redeemed_by_account: 0,
        }
    }

    pub(super) fn step(&mut self) {
        match self.below(100) {
            0..=6 => self.grant(),
            7..=8 => self.prices_change(),
            9..=30 => self.time_passes(),
            31..=36 => self.a_product_reports(),
            37..=40 => self.order_what_was_parked(),
            _ => self.buy(),
        }
        laws::hold(&self.world);
    }

    /// What is compared once, for it costs too much at each step.
    pub(super) fn end(&mut self) {
        let tasks: Vec<Uuid> = self.tasks();
        for task in tasks {
            self.report(task, true);
        }
        assert!(self.tasks().is_empty());
        laws::hold(&self.world);
        let all: Vec<Uuid> = self.oracle.resources.keys().copied().collect();
        for id in all {
            self.compare(id);
        }
    }

    fn grant(&mut self) {
        let most = if self.world.currency == Currency::Usd {
            40_000
        } else {
            4_000_000
        };
        let amount = 1 + i64::from(self.below(most));
        let promotional = self.likely(50);
        if promotional {
            self.oracle.wallet.promotional += amount;
        } else {
            self.oracle.wallet.cash += amount;
        }
        let kind = if promotional {
            FundsKind::Promotional
        } else {
            FundsKind::Cash
        };
        self.world.write(self.world.grant(kind, amount));
        self.count("grant");
    }

    fn prices_change(&mut self) {
        let product = place(&mut self.chance, self.world.shop.len());
        let which = place(&mut self.chance, 4);
        let sold = self.likely(85);
        let id = self.world.shop[product].components[which].0.id;
        let price = self.price(id);
        self.world.shop[product].components[which].1 = sold.then_some(price);
        self.count("prices change");
    }

    fn time_passes(&mut self) {
        let by = match self.below(10) {
            0..=2 => TimeDelta::minutes(i64::from(self.below(300))),
            3..=5 => TimeDelta::minutes(i64::from(self.below(8 * 1_440))),
            6 => TimeDelta::minutes(i64::from(self.below(45 * 1_440))),
            _ => self.until_some_end(),
        };
        let seconds = i64::from(self.below(60));
        self.world.time_passes(by + TimeDelta::seconds(seconds));
        if self.likely(90) {
            self.engine_looks();
        }
        self.count("time passes");
    }

    /// How long it is to just before, or just after, the end of some period.
    fn until_some_end(&mut self) -> TimeDelta {
        let now = self.world.now;
        let periods = self
            .oracle
            .resources
            .values()
            .flat_map(|resource| &resource.periods)
            .filter(|period| period.replaced.is_none() && period.laid.end > now)
            .map(|period| period.laid.end);
        let ends: Vec<Instant> = periods.collect();
        let Some(end) = self.chance.one_of(&ends).copied() else {
            return TimeDelta::hours(1);
        };
        let off = TimeDelta::seconds(i64::from(self.below(900)) - 720);
        (end - now + off).clamp(TimeDelta::zero(), TimeDelta::days(40))
    }

    fn engine_looks(&mut self) {
        self.world.engine_looks();
        self.oracle.engine_looks(&self.world.shop, self.world.now);
        for (id, row) in &self.world.tables.resources {
            assert_eq!(row.life, self.oracle.resources[id].life, "the life of {id} by time");
        }
    }

    fn tasks(&self) -> Vec<Uuid> {
        let items = self.world.tables.items.values();
        items
            .filter(|item| item.status == OrderItemStatus::Provisioning)
            .map(|item| item.id)
            .collect()
    }

    fn a_product_reports(&mut self) {
        let tasks = self.tasks();
        match self.chance.one_of(&tasks).copied() {
            Some(task) => {
                let succeeds = self.likely(80);
                self.report(task, succeeds);
            }
            None => self.buy(),
        }
    }

    fn report(&mut self, task: Uuid, succeeds: bool) {
        let item = self.world.tables.items[&task].clone();
        let id = item.resource_id;
        let foretold = self.oracle.tasks[&task].clone();
        let reported = self.world.report(task, succeeds);
        if !succeeds {
            self.world.write(reported.unwrap());
            self.oracle.failed(id, &foretold.0, foretold.1);
            self.count("report of failure");
        } else {
            let period = reported.as_ref().ok().and_then(|written| written.rows.periods.first());
            let keys = (task, period.map(|row| row.id));
            let now = self.world.now;
            let told = self
                .oracle
                .done(&self.world.shop, &foretold.0, id, keys, foretold.1, now);
            match (reported, told) {
                (Ok(written), Ok(())) => {
                    self.oracle.resources.get_mut(&id).unwrap().busy = false;
                    self.oracle.wallet = self.oracle.wallet.plus(foretold.0.back());
                    self.world.write(written);
                    self.count("report of success");
                }
                (Err(error), Err(code)) => {
                    assert_eq!(code_of(&error), code);
                    self.count("report refused");
                    return self.report(task, false);
                }
                (reported, told) => panic!("{reported:?}, and foretold {told:?}"),
            }
        }
        self.compare(id);
        self.compare_wallet();
    }

    fn buy(&mut self) {
        let wishes = self.wishes();
        let coupon = if self.likely(35) {
            self.chance.one_of(&self.coupons).cloned()
        } else {
            None
        };
        let now = self.world.now;
        let priced = self.world.price(&wishes, coupon.as_ref());
        let foretold = self.oracle.price(&self.world.shop, &wishes, coupon.as_ref(), now);
        let (priced, foretold) = match (priced, foretold) {
            (Ok(priced), Ok(foretold)) => (priced, foretold),
            (Err(error), Err(code)) => {
                assert_eq!(code_of(&error), code, "{error} of {wishes:?}");
                return self.count(&format!("refused: {code}"));
            }
            (priced, foretold) => panic!("{priced:?}, and foretold {foretold:?}"),
        };
        compare_quotes(&priced, &foretold);
        let document = serde_json::to_value(&priced).unwrap();
        if self.likely(8) {
            self.parked.push((document, foretold));
            return self.count("parked");
        }
        if self.likely(25) {
            let seconds = i64::from(self.below(14 * 60));
            self.world.time_passes(TimeDelta::seconds(seconds));
            if self.likely(70) {
                self.engine_looks();
            }
        }
        self.order(&document, &foretold);
    }

    fn order_what_was_parked(&mut self) {
        if self.parked.is_empty() {
            return self.buy();
        }
        let which = place(&mut self.chance, self.parked.len());
        let (document, foretold) = self.parked.swap_remove(which);
        self.order(&document, &foretold);
    }

    fn order(&mut self, document: &serde_json::Value, foretold: &Foretold) {
        let now = self.world.now;
        let written = self.world.order(document);
        let payment = self.oracle.pay(&self.world.shop, foretold, now);
        let (written, payment) = match (written, payment) {
            (Ok(written), Ok(payment)) => (written, payment),
            (Err(error), Err(code)) => {
                assert_eq!(code_of(&error), code, "{error}");
                return self.count(&format!("refused: {code}"));
            }
            (written, payment) => panic!("{written:?}, and foretold {payment:?}"),
        };
        let moved = written.movements.iter().fold(Split::default(), |sum, movement| {
            sum.plus(Split {
                cash: movement.cash_minor,
                promotional: movement.promotional_minor,
            })
        });
        assert_eq!(
            moved,
            payment.back.minus(payment.total),
            "what the wallet gives and gets"
        );
        self.oracle.wallet = self.oracle.wallet.plus(moved);
        if payment.total.cash > 0 && payment.total.promotional > 0 {
            self.count("paid from both parts");
        }
        let mut touched = Vec::new();
        for ((item, row), share) in foretold.items.iter().zip(&written.rows.items).zip(&payment.shares) {
            let id = row.resource_id;
            self.tally_item(item, id, *share);
            if item.action == OrderAction::Create {
                self.oracle.born(id, item);
            }
            let resource = self.oracle.resources.get_mut(&id).unwrap();
            resource.paid = resource.paid.plus(*share);
            if item.at_once(&self.world.shop) {
                let period = opened_by(&written, row.id);
                let told = self
                    .oracle
                    .done(&self.world.shop, item, id, (row.id, period), *share, now);
                told.unwrap();
            } else {
                resource.busy = item.action != OrderAction::Create;
                self.oracle.tasks.insert(row.id, (item.clone(), *share));
            }
            touched.push(id);
        }
        self.world.write(written);
        for id in touched {
            self.compare(id);
        }
        self.compare_wallet();
    }

    fn compare_wallet(&self) {
        assert_eq!(self.world.wallet, self.oracle.wallet, "the wallet");
    }

    fn tally_item(&mut self, item: &Item, id: Uuid, share: Split) {
        self.count(item.action.as_str());
        if item.sum(|line| line.coupon) > 0 {
            self.count(&format!("{} with a coupon", item.action));
        }
        if share.cash > 0 && share.promotional > 0 {
            self.count(&format!("{} paid from both parts", item.action));
        }
        let back = item.back();
        if back.cash > 0 && back.promotional > 0 {
            self.count(&format!("{} gives back to both parts", item.action));
        }
        if item.replaced.len() > 1 {
            self.count(&format!("{} of renewed time", item.action));
        }
        match item.action {
            OrderAction::Resize if item.due() > 0 => self.count("RESIZE up"),
            OrderAction::Resize if back.total() > 0 => self.count("RESIZE down"),
            OrderAction::Recover if item.lines.is_empty() => self.count("RECOVER free"),
            OrderAction::Delete if back.total() > 0 => self.count("DELETE that gives back"),
            _ => {}
        }
        let Some(before) = self.oracle.resources.get(&id) else {
            return;
        };
        let (renewed, resized) = (before.renewals > 0, before.resizes > 0);
        match item.action {
            OrderAction::Renew if resized => self.count("RENEW after a resize"),
            OrderAction::Delete if renewed && resized => self.count("DELETE after both"),
            _ => {}
        }
    }

    fn wishes(&mut self) -> Vec<Wish> {
        let mut alive: Vec<Uuid> = self
            .oracle
            .resources
            .iter()
            .filter(|(_, resource)| !matches!(resource.life, Life::Deleted | Life::Failed))
            .map(|(id, _)| *id)
            .collect();
        let room = MOST_ALIVE.saturating_sub(alive.len());
        let mut wishes = Vec::new();
        for _ in 0..=self.below(3).saturating_sub(self.below(2)) {
            let new = room > 0 && (alive.len() < 2 || self.likely(12));
            if new || alive.is_empty() {
                wishes.push(self.create());
                continue;
            }
            let which = place(&mut self.chance, alive.len());
            // Now and then one is named twice.
            let id = if self.likely(98) {
                alive.swap_remove(which)
            } else {
                alive[which]
            };
            wishes.push(self.action(id));
        }
        wishes
    }

    fn create(&mut self) -> Wish {
        let product = place(&mut self.chance, self.world.shop.len());
        Wish::Create {
            product,
            parts: self.parts(),
            quantity: if self.likely(80) { 1 } else { 2 },
            term: self.term(self.world.now),
        }
    }

    fn parts(&mut self) -> Parts {
        let mut parts = Parts::new();
        let count = 1 + self.below(3);
        let first = self.below(4);
        for number in 0..count {
            let quantity = if self.likely(99) {
                1 + i64::from(self.below(9))
            } else {
                i64::from(self.below(2)) * 10
            };
            parts.push((usize::try_from((first + number) % 4).unwrap(), quantity));
        }
        parts
    }

    fn term(&mut self, start: Instant) -> Term {
        match self.below(10) {
            0..=4 => Term::Months(1 + self.below(3) * self.below(3)),
            5..=6 => Term::Days(1 + self.below(40)),
            7 => Term::Until(start + TimeDelta::seconds(i64::from(self.below(7_200)) - 600)),
            _ => Term::Until(start + TimeDelta::seconds(i64::from(self.below(80 * 86_400)))),
        }
    }

    /// What is asked for a resource: mostly something that its life allows.
    fn action(&mut self, id: Uuid) -> Wish {
        let resource = &self.oracle.resources[&id];
        let (life, start) = (resource.life, resource.paid_until.unwrap_or(self.world.now));
        let trash = self.world.shop[resource.product].product.lifecycle == LifecyclePolicy::Trash;
        let any = self.likely(10);
        let kind = match life {
            _ if any => self.below(4),
            Life::Active => [0, 0, 0, 2, 2, 2, 3][place(&mut self.chance, 7)],
            Life::Grace => [0, 0, 3][place(&mut self.chance, 3)],
            Life::Suspended if trash => 1,
            Life::Suspended => [0, 0, 3][place(&mut self.chance, 3)],
            _ => 1,
        };
        match kind {
            0 => Wish::Renew(id, self.term(start)),
            1 => {
                let resource = &self.oracle.resources[&id];
                let now = self.world.now;
                let mut periods = resource.periods.iter();
                let ahead = periods.any(|period| period.replaced.is_none() && period.laid.end > now);
                let term = ahead != self.likely(97);
                Wish::Recover(id, term.then(|| self.term(now)))
            }
            2 => Wish::Resize(id, self.parts()),
            _ => Wish::Delete(id),
        }
    }
}

fn place(chance: &mut Chance, count: usize) -> usize {
    usize::try_from(chance.below(u32::try_from(count).unwrap())).unwrap()
}

fn opened_by(written: &Written, item: Uuid) -> Option<Uuid> {
    let mut periods = written.rows.periods.iter();
    periods.find(|row| row.order_item_id == item).map(|row| row.id)
}
