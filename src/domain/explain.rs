//! Why something costs what it costs: every figure of a line, every rounding, how its minutes were counted; as data
//! and as a sentence, in English and Vietnamese. Derived from what was priced, so it always agrees with it.

use std::fmt::Write as _;

use entity::enums::{DayCount, Language, PriceUnit, TaxMode};
use serde::{Deserialize, Serialize};

use super::exact::Fraction;
use super::money::Money;
use super::pricing::{PriceRow, PricedLine, exact_list, exact_tax, unit_minutes};
use super::quote::PricedItem;
use super::rate::{Share, UnitPrice};
use super::refusal::Refusal;
use super::term::{Span, Term};
use super::time::{Instant, Minutes, PricedMinutes, to_local_text};

/// How many decimals of a value are shown before its rounding.
const SHOWN_DECIMALS: u32 = 4;

/// Which figure was rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RoundedFigure {
    /// Unit price x quantity x time, less the discount.
    List,
    /// The tax.
    Tax,
}

/// One rounding, halves away from zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounding {
    /// What was rounded.
    pub figure: RoundedFigure,
    /// Its exact value in minor units, cut after four decimals; an ellipsis says that it goes on.
    pub exact_minor: String,
    /// What it became.
    pub rounded: Money,
    /// Whether rounding changed it.
    pub changed: bool,
}

/// How the minutes of an item were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedMinutes {
    /// For how long it was bought, where that was chosen.
    pub term: Option<Term>,
    /// The first instant, as it was planned.
    pub start: Instant,
    /// The end, as it was planned.
    pub end: Instant,
    /// The IANA name of the zone it was laid down in.
    pub zone: String,
    /// What its length is measured by.
    pub day_count: DayCount,
    /// Its length.
    pub length: Minutes,
    /// The minutes the price is made for.
    pub priced: PricedMinutes,
}

/// One line, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineExplanation {
    /// The component.
    pub component_code: String,
    /// The price of one unit.
    pub unit_price: UnitPrice,
    /// What it is for.
    pub unit: PriceUnit,
    /// The minutes it is for; none when it is for no time.
    pub unit_minutes: Option<i64>,
    /// How many units.
    pub quantity: i64,
    /// The priced minutes.
    pub minutes: PricedMinutes,
    /// What is taken off for everybody.
    pub discount: Share,
    /// The list value.
    pub list: Money,
    /// The tax rate.
    pub tax_rate: Share,
    /// Whether the price includes the tax.
    pub tax_mode: TaxMode,
    /// The tax.
    pub tax: Money,
    /// The coupon, when it takes something off this line.
    pub coupon_code: Option<String>,
    /// Its share.
    pub coupon: Money,
    /// What is to be paid.
    pub charged: Money,
    /// Each rounding.
    pub roundings: Vec<Rounding>,
    /// All of it in a sentence.
    pub text: String,
}

/// One item, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemExplanation {
    /// How its minutes were counted; nothing for a deletion, which has no period.
    pub minutes: Option<CountedMinutes>,
    /// That in a sentence.
    pub minutes_text: String,
    /// Each of its lines.
    pub lines: Vec<LineExplanation>,
}

/// Explains an item and each of its lines. Errors: those of the arithmetic that made it, which it repeats.
///
/// Source: rule "Explanations" in ARCHITECTURE, section Money.
pub fn item(item: &PricedItem, coupon_code: Option<&str>, language: Language) -> Result<ItemExplanation, Refusal> {
    let lines = item
        .lines
        .iter()
        .map(|priced| line(priced, coupon_code, language))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ItemExplanation {
        minutes: item.span.map(|span| CountedMinutes {
            term: item.term,
            start: span.start,
            end: span.end,
            zone: item.zone.name().to_owned(),
            day_count: span.day_count,
            length: span.length,
            priced: span.priced,
        }),
        minutes_text: item_text(item, language)?,
        lines,
    })
}

/// Explains a line. Errors: those of the arithmetic that made it, which it repeats.
pub fn line(line: &PricedLine, coupon_code: Option<&str>, language: Language) -> Result<LineExplanation, Refusal> {
    let price = PriceRow {
        unit: line.unit,
        unit_price: line.unit_price,
        discount: line.discount,
        tax: line.tax_rate,
        tax_mode: line.tax_mode,
        currency: line.list.currency(),
    };
    let exact = exact_list(&price, line.quantity, line.minutes)?;
    let tax = exact_tax(line.list, line.tax_rate, line.tax_mode)?;
    let rounding = |figure: RoundedFigure, exact: Fraction, rounded: Money| Rounding {
        figure,
        exact_minor: exact.to_text(SHOWN_DECIMALS),
        rounded,
        changed: !exact.is_whole(),
    };
    let coupon_code = coupon_code.filter(|_| !line.coupon.is_zero()).map(str::to_owned);
    Ok(LineExplanation {
        component_code: line.component.code.clone(),
        unit_price: line.unit_price,
        unit: line.unit,
        unit_minutes: unit_minutes(line.unit),
        quantity: line.quantity,
        minutes: line.minutes,
        discount: line.discount,
        list: line.list,
        tax_rate: line.tax_rate,
        tax_mode: line.tax_mode,
        tax: line.tax,
        text: line_text(line, coupon_code.as_deref(), &exact, language),
        coupon_code,
        coupon: line.coupon,
        charged: line.charged,
        roundings: vec![
            rounding(RoundedFigure::List, exact, line.list),
            rounding(RoundedFigure::Tax, tax, line.tax),
        ],
    })
}

/// An amount as it is written for people: `181,000 VND` in English, `181.000 VND` in Vietnamese.
#[must_use]
pub fn money_text(amount: Money, language: Language) -> String {
    format!("{} {}", number(&amount.to_decimal_text(), language), amount.currency())
}

/// The words of a language. Everything that differs between the two stands here.
struct Words {
    per_thirty_days: &'static str,
    per_hour: &'static str,
    minutes: &'static str,
    discount: &'static str,
    rounded: &'static str,
    tax: &'static str,
    tax_included: &'static str,
    tax_added: &'static str,
    no_tax: &'static str,
    coupon: &'static str,
    to_pay: &'static str,
}

const ENGLISH: Words = Words {
    per_thirty_days: "per 30 days",
    per_hour: "per hour",
    minutes: "min",
    discount: "discount",
    rounded: "rounded to",
    tax: "tax",
    tax_included: "included",
    tax_added: "added",
    no_tax: "no tax",
    coupon: "coupon",
    to_pay: "to pay",
};

const VIETNAMESE: Words = Words {
    per_thirty_days: "cho 30 ngày",
    per_hour: "cho mỗi giờ",
    minutes: "phút",
    discount: "giảm giá",
    rounded: "làm tròn thành",
    tax: "thuế",
    tax_included: "đã gồm trong giá",
    tax_added: "cộng thêm",
    no_tax: "không có thuế",
    coupon: "mã giảm giá",
    to_pay: "phải trả",
};

const fn words(language: Language) -> &'static Words {
    match language {
        Language::En => &ENGLISH,
        Language::Vi => &VIETNAMESE,
    }
}

/// `181,000 VND per 30 days x 1 x 43,200 min / 43,200 min = 181,000 VND; tax 10 % included: 16,455 VND; coupon
/// LAUNCH10: -18,100 VND; to pay 162,900 VND`
fn line_text(line: &PricedLine, coupon_code: Option<&str>, exact: &Fraction, language: Language) -> String {
    let words = words(language);
    let currency = line.list.currency();
    let plain = |text: &str| number(text, language);
    let count = |value: i64| plain(&value.to_string());

    let mut text = format!("{} {currency}", plain(&line.unit_price.to_string()));
    match line.unit {
        PriceUnit::ThirtyDays => append(&mut text, &[" ", words.per_thirty_days]),
        PriceUnit::Hour => append(&mut text, &[" ", words.per_hour]),
        PriceUnit::Once => {}
    }
    append(&mut text, &[" x ", &count(line.quantity)]);
    if let Some(unit_minutes) = unit_minutes(line.unit) {
        let (minutes, unit_minutes) = (count(line.minutes.get()), count(unit_minutes));
        append(
            &mut text,
            &[
                " x ",
                &minutes,
                " ",
                words.minutes,
                " / ",
                &unit_minutes,
                " ",
                words.minutes,
            ],
        );
    }
    if !line.discount.is_zero() {
        let share = plain(&line.discount.to_string());
        append(&mut text, &[" x (1 - ", words.discount, " ", &share, ")"]);
    }
    let list = money_text(line.list, language);
    if exact.is_whole() {
        append(&mut text, &[" = ", &list]);
    } else {
        append(
            &mut text,
            &[" = ", &plain(&in_units(exact, line)), ", ", words.rounded, " ", &list],
        );
    }

    if line.tax_rate.is_zero() {
        append(&mut text, &["; ", words.no_tax]);
    } else {
        let how = match line.tax_mode {
            TaxMode::Inclusive => words.tax_included,
            TaxMode::Exclusive => words.tax_added,
        };
        let rate = plain(&line.tax_rate.to_string());
        append(
            &mut text,
            &[
                "; ",
                words.tax,
                " ",
                &rate,
                " ",
                how,
                ": ",
                &money_text(line.tax, language),
            ],
        );
    }
    if !line.coupon.is_zero() {
        let code = coupon_code.map(|code| format!(" {code}")).unwrap_or_default();
        append(
            &mut text,
            &["; ", words.coupon, &code, ": -", &money_text(line.coupon, language)],
        );
    }
    append(
        &mut text,
        &["; ", words.to_pay, " ", &money_text(line.charged, language)],
    );
    text
}

fn append(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
}

/// The exact value in units of the currency.
fn in_units(exact: &Fraction, line: &PricedLine) -> String {
    let currency = line.list.currency();
    let digits = SHOWN_DECIMALS.max(currency.exponent() + 2);
    exact
        .over(currency.minor_per_unit())
        .map_or_else(|_| exact.to_text(digits), |units| units.to_text(digits))
}

/// How the minutes were counted, and what the unused time of earlier periods takes off or gives back.
fn item_text(item: &PricedItem, language: Language) -> Result<String, Refusal> {
    let mut text = item
        .span
        .map_or_else(String::new, |span| minutes_text(item, &span, language));
    if item.replaced.is_empty() {
        return Ok(text);
    }
    let refund = item.refund()?;
    let shown = |amount: Money| money_text(amount, language);
    let (charged, credited) = (shown(item.totals.charged), shown(item.credited()?.total()?));
    if !text.is_empty() {
        text.push_str(". ");
    }
    text.push_str(&match (language, item.span.is_some(), refund.is_positive()) {
        (Language::En, false, _) => format!("{credited} of what was paid is unused and goes back"),
        (Language::Vi, false, _) => format!("{credited} đã trả chưa dùng đến và được hoàn lại"),
        (Language::En, true, false) => {
            format!(
                "{charged} less {credited} that is unused: {} to be paid",
                shown(item.due()?)
            )
        }
        (Language::Vi, true, false) => {
            format!(
                "{charged} trừ {credited} chưa dùng đến: phải trả {}",
                shown(item.due()?)
            )
        }
        (Language::En, true, true) => {
            format!("{charged} less {credited} that is unused: {} goes back", shown(refund))
        }
        (Language::Vi, true, true) => {
            format!("{charged} trừ {credited} chưa dùng đến: hoàn lại {}", shown(refund))
        }
    });
    Ok(text)
}

fn minutes_text(item: &PricedItem, span: &Span, language: Language) -> String {
    let count = |value: i64| number(&value.to_string(), language);
    let priced = count(span.priced.get());
    let (start, end) = (to_local_text(span.start, item.zone), to_local_text(span.end, item.zone));
    let zone = item.zone.name();
    let mut text = String::new();
    // Writing to a String can't fail; the result is there for other writers.
    let _ = match (language, item.term.unwrap_or(Term::Until(span.end))) {
        (Language::En, Term::Months(months)) => {
            let unit = if months == 1 { "month" } else { "months" };
            write!(
                text,
                "{months} {unit} of 30 days: {priced} min; {start} to {end} ({zone})"
            )
        }
        (Language::Vi, Term::Months(months)) => {
            write!(
                text,
                "{months} tháng, mỗi tháng 30 ngày: {priced} phút; từ {start} đến {end} ({zone})"
            )
        }
        (Language::En, Term::Days(days)) => {
            let unit = if days == 1 { "day" } else { "days" };
            write!(
                text,
                "{} {unit} of 24 hours: {priced} min; {start} to {end} ({zone})",
                count(i64::from(days))
            )
        }
        (Language::Vi, Term::Days(days)) => {
            let days = count(i64::from(days));
            write!(
                text,
                "{days} ngày, mỗi ngày 24 giờ: {priced} phút; từ {start} đến {end} ({zone})"
            )
        }
        (Language::En, Term::Until(_)) => {
            let how = match span.day_count {
                DayCount::Thirty360 => "counted with 30 days in every month",
                DayCount::ActualMinutes => "counted minute by minute",
            };
            write!(text, "{start} to {end} ({zone}), {how}: {priced} min")
        }
        (Language::Vi, Term::Until(_)) => {
            let how = match span.day_count {
                DayCount::Thirty360 => "tính mỗi tháng 30 ngày",
                DayCount::ActualMinutes => "tính theo số phút thực tế",
            };
            write!(text, "từ {start} đến {end} ({zone}), {how}: {priced} phút")
        }
    };
    text
}

/// A plain decimal text with the separators of a language: thousands by comma and decimals by point in English, the
/// other way round in Vietnamese. What follows the digits (an ellipsis, a percent sign) stays.
fn number(text: &str, language: Language) -> String {
    let (thousands, point) = match language {
        Language::En => (',', '.'),
        Language::Vi => ('.', ','),
    };
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let (whole, tail) = rest.split_at(end);
    let mut written = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            written.push(thousands);
        }
        written.push(digit);
    }
    match tail.strip_prefix('.') {
        Some(decimals) => {
            written.push(point);
            written.push_str(decimals);
        }
        None => written.push_str(tail),
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::super::coupon::tests::ten_percent;
    use super::super::money::Currency;
    use super::super::pricing::price_line;
    use super::super::pricing::tests::{component, vnd_price};
    use super::super::quote::RequestedItem;
    use super::super::quote::tests::{quote_of, server};
    use super::super::time::tests::at;
    use super::*;

    fn explained(term: Term, language: Language) -> ItemExplanation {
        let terms = ten_percent();
        let quote = quote_of(&[RequestedItem::Create(server(term))], Some(&terms)).unwrap();
        item(&quote.items[0], quote.coupon_code.as_deref(), language).unwrap()
    }

    #[rstest]
    #[case(
        Language::En,
        "181,000 VND per 30 days x 1 x 43,200 min / 43,200 min = 181,000 VND; tax 10 % included: 16,455 VND; \
         coupon LAUNCH10: -18,100 VND; to pay 162,900 VND",
        "1 month of 30 days: 43,200 min; 2023-03-06 00:00 to 2023-04-06 00:00 (Asia/Ho_Chi_Minh)"
    )]
    #[case(
        Language::Vi,
        "181.000 VND cho 30 ngày x 1 x 43.200 phút / 43.200 phút = 181.000 VND; thuế 10 % đã gồm trong giá: 16.455 VND; \
         mã giảm giá LAUNCH10: -18.100 VND; phải trả 162.900 VND",
        "1 tháng, mỗi tháng 30 ngày: 43.200 phút; từ 2023-03-06 00:00 đến 2023-04-06 00:00 (Asia/Ho_Chi_Minh)"
    )]
    fn a_line_is_a_sentence(#[case] language: Language, #[case] line: &str, #[case] minutes: &str) {
        let explanation = explained(Term::Months(1), language);
        assert_eq!(explanation.lines[0].text, line);
        assert_eq!(explanation.minutes_text, minutes);
        let tax = &explanation.lines[0].roundings[1];
        assert_eq!((tax.exact_minor.as_str(), tax.changed), ("16454.5454…", true));
        assert!(!explanation.lines[0].roundings[0].changed);
    }

    #[test]
    fn each_rounding_is_shown() {
        let explanation = explained(Term::Days(20), Language::En);
        assert!(explanation.lines[0].text.starts_with(
            "181,000 VND per 30 days x 1 x 28,800 min / 43,200 min = 120,666.6666…, rounded to 120,667 VND; "
        ));
        assert_eq!(
            explanation.minutes_text,
            "20 days of 24 hours: 28,800 min; 2023-03-06 00:00 to 2023-03-26 00:00 (Asia/Ho_Chi_Minh)"
        );
    }

    #[test]
    fn a_chosen_end_says_how_it_was_counted() {
        let end = Term::Until(at("2023-06-06T00:00:00+07:00"));
        assert_eq!(
            explained(end, Language::En).minutes_text,
            "2023-03-06 00:00 to 2023-06-06 00:00 (Asia/Ho_Chi_Minh), counted with 30 days in every month: 129,600 min"
        );
        assert!(
            explained(end, Language::Vi)
                .minutes_text
                .contains("tính mỗi tháng 30 ngày: 129.600 phút")
        );
    }

    #[test]
    fn discounts_hours_and_added_tax_are_said() {
        let price = PriceRow {
            unit: PriceUnit::Hour,
            unit_price: UnitPrice::from_decimal_text("7.7").unwrap(),
            discount: Share::from_percent_text("12.5").unwrap(),
            tax_mode: TaxMode::Exclusive,
            currency: Currency::Usd,
            ..vnd_price("0")
        };
        let priced = price_line(&component("snapshot"), &price, 1_000, PricedMinutes::new(180)).unwrap();
        assert_eq!(
            line(&priced, None, Language::En).unwrap().text,
            "7.7 USD per hour x 1,000 x 180 min / 60 min x (1 - discount 12.5 %) = 20,212.50 USD; \
             tax 10 % added: 2,021.25 USD; to pay 22,233.75 USD"
        );
        let free = PriceRow {
            unit: PriceUnit::Once,
            tax: Share::ZERO,
            ..vnd_price("1000")
        };
        let priced = price_line(&component("traffic"), &free, 16, PricedMinutes::ZERO).unwrap();
        assert_eq!(
            line(&priced, None, Language::En).unwrap().text,
            "1,000 VND x 16 = 16,000 VND; no tax; to pay 16,000 VND"
        );
        assert!(
            line(&priced, None, Language::Vi)
                .unwrap()
                .text
                .ends_with("không có thuế; phải trả 16.000 VND")
        );
    }

    #[rstest]
    #[case("0", "0")]
    #[case("999", "999")]
    #[case("1000", "1,000")]
    #[case("-1234567.89", "-1,234,567.89")]
    #[case("12.5 %", "12.5 %")]
    fn numbers_have_their_separators(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(number(text, Language::En), expected);
    }
}
