//! Prices, explained: in data and in words.

use async_graphql::{Context, Enum, Object, SimpleObject};
use entity::enums::{DayCount, Language, OrderAction, PriceUnit, TaxMode, TermUnit};
use serde::Deserialize as _;
use uuid::Uuid;

use super::errors::Result;
use super::resource::Resource;
use super::scalars::{DateTime, Decimal, Money};
use super::session::Reach as _;
use crate::domain::explain::{self, RoundedFigure};
use crate::domain::quote::PricedItem;
use crate::domain::term::Term;
use crate::domain::{Share, UnitPrice, pricing};
use crate::error::Error;

/// Which component a line is for, as it was called.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct LineComponent {
    /// Its short name.
    pub(crate) code: String,
    /// Its name.
    pub(crate) name: String,
    /// What one unit of it is.
    pub(crate) unit_label: String,
}

/// Which figure was rounded.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(crate) enum RoundedAmount {
    /// Unit price by quantity by time, less the discount.
    List,
    /// The tax.
    Tax,
}

/// One rounding, halves away from zero, to the currency's minor unit.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct Rounding {
    /// What was rounded.
    figure: RoundedAmount,
    /// Its exact value in minor units, cut after four decimals; an ellipsis says that it goes on.
    exact_minor: String,
    /// What it became.
    rounded: Money,
    /// Whether rounding changed it.
    changed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct PricedLine {
    line: pricing::PricedLine,
    coupon_code: Option<String>,
    account: Uuid,
}

/// One component, priced. Net and tax make the gross; gross less the coupon's share is what is charged.
#[Object]
impl PricedLine {
    /// The component.
    async fn component(&self) -> LineComponent {
        LineComponent {
            code: self.line.component.code.clone(),
            name: self.line.component.name.clone(),
            unit_label: self.line.component.unit_label.clone(),
        }
    }

    /// The price of one unit: a rate, not an amount of money.
    async fn unit_price(&self) -> Decimal {
        rate(self.line.unit_price)
    }

    /// What the unit price is for.
    async fn unit(&self) -> PriceUnit {
        self.line.unit
    }

    /// The minutes that the unit price is for; null when it is for no time.
    async fn unit_minutes(&self) -> Option<i64> {
        pricing::unit_minutes(self.line.unit)
    }

    /// How many units.
    async fn quantity(&self) -> i64 {
        self.line.quantity
    }

    /// The minutes that the price is made for.
    async fn minutes(&self) -> i64 {
        self.line.minutes.get()
    }

    /// What is taken off for everybody, in percent.
    async fn discount_percent(&self) -> Decimal {
        percent(self.line.discount)
    }

    /// The tax rate, in percent.
    async fn tax_percent(&self) -> Decimal {
        percent(self.line.tax_rate)
    }

    /// Whether the price includes the tax.
    async fn tax_mode(&self) -> TaxMode {
        self.line.tax_mode
    }

    /// Unit price by quantity by time, less the discount, rounded.
    async fn list(&self) -> Money {
        self.line.list.into()
    }

    /// Without tax.
    async fn net(&self) -> Money {
        self.line.net.into()
    }

    /// The tax.
    async fn tax(&self) -> Money {
        self.line.tax.into()
    }

    /// With tax, before the coupon.
    async fn gross(&self) -> Money {
        self.line.gross.into()
    }

    /// The coupon's code, when it counts.
    async fn coupon_code(&self) -> Option<&str> {
        self.coupon_code.as_deref()
    }

    /// The line's share of the coupon.
    async fn coupon(&self) -> Money {
        self.line.coupon.into()
    }

    /// What is to be paid for it.
    async fn charged(&self) -> Money {
        self.line.charged.into()
    }

    /// Each rounding that made its amounts.
    async fn roundings(&self) -> Result<Vec<Rounding>> {
        Ok(self
            .explained(Language::En)?
            .roundings
            .into_iter()
            .map(Rounding::from)
            .collect())
    }

    /// Why it costs that, in a sentence.
    async fn explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which language; the account's when absent.")] language: Option<Language>,
    ) -> Result<String> {
        Ok(self.explained(spoken(ctx, self.account, language).await?)?.text)
    }
}

impl PricedLine {
    fn explained(&self, language: Language) -> Result<explain::LineExplanation> {
        Ok(explain::line(&self.line, self.coupon_code.as_deref(), language).map_err(Error::from)?)
    }
}

impl From<explain::Rounding> for Rounding {
    fn from(rounding: explain::Rounding) -> Self {
        Self {
            figure: match rounding.figure {
                RoundedFigure::List => RoundedAmount::List,
                RoundedFigure::Tax => RoundedAmount::Tax,
            },
            exact_minor: rounding.exact_minor,
            rounded: rounding.rounded.into(),
            changed: rounding.changed,
        }
    }
}

/// The language that is asked for, or the account's.
async fn spoken(ctx: &Context<'_>, account: Uuid, asked: Option<Language>) -> Result<Language> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    let account = ctx.loaders()?.accounts.load(account).await?;
    Ok(account.map_or(Language::En, |account| account.language))
}

fn rate(price: UnitPrice) -> Decimal {
    Decimal(price.to_decimal().to_string())
}

fn percent(share: Share) -> Decimal {
    Decimal(share.percent().to_string())
}

/// The lines of a stored configuration.
pub(crate) fn lines(stored: &serde_json::Value, account: Uuid) -> Result<Vec<PricedLine>> {
    let lines = Vec::<pricing::PricedLine>::deserialize(stored).map_err(Error::from)?;
    Ok(lines
        .into_iter()
        .map(|line| PricedLine {
            line,
            coupon_code: None,
            account,
        })
        .collect())
}

/// The lines of a stored order item.
pub(crate) fn lines_of_item(stored: &serde_json::Value, account: Uuid) -> Result<Vec<PricedLine>> {
    let item = PricedItem::deserialize(stored).map_err(Error::from)?;
    Ok(item
        .lines
        .into_iter()
        .map(|line| PricedLine {
            line,
            coupon_code: None,
            account,
        })
        .collect())
}

#[derive(Clone, Debug)]
pub(crate) struct QuotedItem {
    pub(crate) item: PricedItem,
    pub(crate) coupon_code: Option<String>,
    pub(crate) account: Uuid,
}

/// One action on one resource, priced.
#[Object]
impl QuotedItem {
    /// What it does.
    async fn action(&self) -> OrderAction {
        self.item.action
    }

    /// What the resource is called.
    async fn name(&self) -> &str {
        &self.item.name
    }

    /// The product's short name.
    async fn product_code(&self) -> &str {
        &self.item.product_code
    }

    /// The product's name.
    async fn product_name(&self) -> &str {
        &self.item.product_name
    }

    /// The resource type's short name.
    async fn resource_type_code(&self) -> &str {
        &self.item.resource_type_code
    }

    /// The resource type's name.
    async fn resource_type_name(&self) -> &str {
        &self.item.resource_type_name
    }

    /// The resource it is about; null for new ones.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Option<Resource>> {
        let Some(key) = self.item.resource_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.resources.load(key).await?.map(Resource::from))
    }

    /// For how long, and how its minutes were counted; null for a deletion.
    async fn period(&self) -> Option<QuotedPeriod> {
        let span = self.item.span?;
        let (unit, amount, until) = match self.item.term {
            Some(term @ (Term::Months(amount) | Term::Days(amount))) => (term.unit(), Some(i64::from(amount)), None),
            Some(Term::Until(until)) => (TermUnit::Until, None, Some(DateTime(until))),
            None => (TermUnit::Until, None, Some(DateTime(span.end))),
        };
        Some(QuotedPeriod {
            unit,
            amount,
            until,
            starts_at: span.start.into(),
            ends_at: span.end.into(),
            zone: self.item.zone.name().to_owned(),
            day_count: span.day_count,
            length_minutes: span.length.get(),
            priced_minutes: span.priced.get(),
        })
    }

    /// Whether the engine will renew it.
    async fn auto_renew(&self) -> bool {
        self.item.auto_renew
    }

    /// Its components, priced.
    async fn lines(&self) -> Vec<PricedLine> {
        let line = |line: &pricing::PricedLine| PricedLine {
            line: line.clone(),
            coupon_code: self.coupon_code.clone(),
            account: self.account,
        };
        self.item.lines.iter().map(line).collect()
    }

    /// Without tax.
    async fn net(&self) -> Money {
        self.item.totals.net.into()
    }

    /// The tax.
    async fn tax(&self) -> Money {
        self.item.totals.tax.into()
    }

    /// With tax, before the coupon.
    async fn gross(&self) -> Money {
        self.item.totals.gross.into()
    }

    /// Its share of the coupon.
    async fn coupon(&self) -> Money {
        self.item.totals.coupon.into()
    }

    /// What its new period costs: gross less coupon.
    async fn charged(&self) -> Money {
        self.item.totals.charged.into()
    }

    /// What is unused of the periods it replaces.
    async fn credited(&self) -> Result<Money> {
        let credited = self.item.credited().and_then(|credited| credited.total());
        Ok(credited.map_err(Error::from)?.into())
    }

    /// What is to be paid for it: what is charged less what is unused, if that is above zero.
    async fn due(&self) -> Result<Money> {
        Ok(self.item.due().map_err(Error::from)?.into())
    }

    /// What goes back to the credit wallet: what is unused less what is charged, if that is above zero.
    async fn refund(&self) -> Result<Money> {
        Ok(self.item.refund().map_err(Error::from)?.into())
    }

    /// How its minutes were counted, in a sentence. Each line explains its own amount.
    async fn explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which language; the account's when absent.")] language: Option<Language>,
    ) -> Result<String> {
        let language = spoken(ctx, self.account, language).await?;
        let explained = explain::item(&self.item, self.coupon_code.as_deref(), language).map_err(Error::from)?;
        Ok(explained.minutes_text)
    }
}

/// For how long something is bought, and how its minutes were counted.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct QuotedPeriod {
    /// The unit of the term; UNTIL where the end was not chosen but given.
    unit: TermUnit,
    /// How many units; null for a chosen end.
    amount: Option<i64>,
    /// The chosen end; null for a number of months or days.
    until: Option<DateTime>,
    /// The first instant as it is planned. A new resource's period starts when it is provisioned.
    starts_at: DateTime,
    /// The end as it is planned, exclusive.
    ends_at: DateTime,
    /// The IANA time zone it is laid down in.
    zone: String,
    /// How its length is counted.
    day_count: DayCount,
    /// Its length by that count, in minutes.
    length_minutes: i64,
    /// The minutes that the price is made for: a month is priced as 30 days.
    priced_minutes: i64,
}
