//! A bank's statement: what its lines say, and which payment a transfer's memo names.

use super::money::{Currency, Money, Sign};
use super::refusal::{Refusal, RefusalCode};

/// The most lines of a statement that is read at once.
pub const MOST_LINES: usize = 2_000;
/// The longest text of one column, in characters.
const MOST_TEXT: usize = 500;
/// The most candidates that a memo is taken for.
const MOST_CANDIDATES: usize = 50;

/// Money that came to our account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands in the statement, from 1; the header is line 1.
    pub number: usize,
    /// The bank's own number of it: one transfer has one, in whichever statement it stands.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// What the payer wrote, or the bank made of it.
    pub memo: String,
    /// Who sent it, where the bank tells.
    pub payer: String,
}

/// What a statement says: the money that came in. What went out is left out.
///
/// It is comma-separated text with a header that names `reference`, `amount`, `currency` and `memo`, in any order; `payer`
/// and whatever else may be there. Quoted fields may hold commas, quotes and line breaks.
///
/// Source: rule "Bank transfers" in ARCHITECTURE, section Buying. Errors: STATEMENT_INVALID naming line and column; nothing of
/// a statement with one bad line is taken.
pub fn read(text: &str) -> Result<Vec<Line>, Refusal> {
    let rows = rows(text.trim_start_matches('\u{feff}'))?;
    let mut rows = rows.into_iter();
    let (_, header) = rows.next().ok_or_else(|| wrong(1, "it is empty"))?;
    let names: Vec<String> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let column = |name: &str| names.iter().position(|known| known == name);
    let needed = |name: &str| column(name).ok_or_else(|| wrong(1, &format!("there is no column {name}")));
    let (reference, amount, currency, memo) = (
        needed("reference")?,
        needed("amount")?,
        needed("currency")?,
        needed("memo")?,
    );
    let payer = column("payer");
    let mut lines = Vec::new();
    for (number, row) in rows {
        if row.len() == 1 && row.first().is_some_and(|only| only.trim().is_empty()) {
            continue;
        }
        if lines.len() == MOST_LINES {
            return Err(wrong(
                number,
                &format!("there are more than {MOST_LINES} lines: send it in parts"),
            ));
        }
        let cell = |index: usize, name: &str| {
            let text = row.get(index).map(|cell| cell.trim());
            let text = text.ok_or_else(|| wrong(number, &format!("there is no {name}")))?;
            if text.chars().count() > MOST_TEXT {
                return Err(wrong(number, &format!("{name} is longer than {MOST_TEXT} characters")));
            }
            Ok(text.to_owned())
        };
        let said = cell(amount, "amount")?;
        let money: Currency = cell(currency, "currency")?
            .parse()
            .map_err(|_| wrong(number, "currency is none that is known"))?;
        if said.starts_with('-') {
            continue;
        }
        // Banks write dong with decimals, which are none.
        let said = match said.split_once('.') {
            Some((whole, decimals)) if decimals.bytes().all(|byte| byte == b'0') => whole,
            _ => &said,
        };
        let amount = Money::from_decimal_text(said, money, Sign::Positive)
            .map_err(|refusal| wrong(number, &format!("amount: {}", refusal.message)))?;
        let reference = cell(reference, "reference")?;
        if reference.is_empty() || reference.len() > 128 || !reference.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(number, "reference has to be 1 to 128 visible ASCII characters"));
        }
        lines.push(Line {
            number,
            reference,
            amount,
            memo: cell(memo, "memo")?,
            payer: match payer {
                Some(payer) => cell(payer, "payer")?,
                None => String::new(),
            },
        });
    }
    Ok(lines)
}

fn wrong(line: usize, why: &str) -> Refusal {
    Refusal::new(RefusalCode::StatementInvalid, format!("Line {line}: {why}."))
}

/// The rows of comma-separated text, each with the number of its first line.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, Refusal> {
    let mut rows = Vec::new();
    let (mut row, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begun) = (1, 1);
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' => {
                line += 1;
                if quoted {
                    cell.push('\n');
                } else {
                    row.push(std::mem::take(&mut cell));
                    rows.push((begun, std::mem::take(&mut row)));
                    begun = line;
                }
            }
            other => cell.push(other),
        }
    }
    if quoted {
        return Err(wrong(begun, "a quote is not closed"));
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push((begun, row));
    }
    Ok(rows)
}

/// The code of a payment as a payer writes it into a memo: without the hyphens that banks drop.
#[must_use]
pub fn memo_of(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// What a memo may name, as [`memo_of`] writes it: banks change case, drop signs and write words around it, so that which of
/// these is a payment's is for who knows the payments to say.
#[must_use]
pub fn candidates(memo: &str) -> Vec<String> {
    let plain: Vec<u8> = memo
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| byte.to_ascii_uppercase())
        .collect();
    let mut found = Vec::new();
    for start in 0..plain.len() {
        // Kind, account, year, number: PAY ACME 2026 000017.
        for account in 1..=32 {
            let end = start + 3 + account + 10;
            let Some(text) = plain.get(start..end) else { break };
            let (kind, digits) = (&text[..3], &text[3 + account..]);
            if kind == b"PAY" && digits.iter().all(u8::is_ascii_digit) && digits.starts_with(b"2") {
                found.push(text.iter().map(|byte| char::from(*byte)).collect());
                if found.len() == MOST_CANDIDATES {
                    return found;
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_statement_is_read_whatever_its_order_and_quotes() {
        let text = "\u{feff}Date,Memo,Reference,Currency,Amount,Payer,Branch\r\n\
                    2026-11-27,\"Payment, \"\"PAY-ACME-2026-000017\"\"\nthanks\",FT1,VND,181000,NGUYEN AN,HCM\r\n\
                    2026-11-27,fee,FT2,VND,-5500,,\r\n\r\n\
                    2026-11-28,none,FT3,VND,50000.00,TRAN BINH,HN\n";
        let lines = read(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            Line {
                number: 2,
                reference: "FT1".to_owned(),
                amount: Money::of(181_000, Currency::Vnd),
                memo: "Payment, \"PAY-ACME-2026-000017\"\nthanks".to_owned(),
                payer: "NGUYEN AN".to_owned(),
            }
        );
        assert_eq!((lines[1].number, lines[1].amount.minor()), (6, 50_000));
    }

    #[rstest]
    #[case("", "Line 1: it is empty")]
    #[case("reference,amount,currency\n", "Line 1: there is no column memo")]
    #[case("reference,amount,currency,memo\nFT1,1.5,VND,x\n", "Line 2: amount")]
    #[case("reference,amount,currency,memo\nFT1,0,VND,x\n", "Line 2: amount")]
    #[case("reference,amount,currency,memo\nFT1,1,XYZ,x\n", "Line 2: currency")]
    #[case("reference,amount,currency,memo\n,1,VND,x\n", "Line 2: reference")]
    #[case("reference,amount,currency,memo\nFT1,1\n", "Line 2: there is no")]
    #[case("reference,amount,currency,memo\nFT1,1,VND,\"x\n", "Line 2: a quote is not closed")]
    fn what_can_not_be_read_is_named(#[case] text: &str, #[case] message: &str) {
        let refused = read(text).unwrap_err();
        assert_eq!(refused.code, RefusalCode::StatementInvalid);
        assert!(refused.message.starts_with(message), "{}", refused.message);
    }

    #[rstest]
    #[case("PAY-ACME-2026-000017")]
    #[case("MBVCB.123456.pay acme 2026 000017.CT tu 0011 toi 0022")]
    #[case("payacme2026000017")]
    #[case("Nap tien PAYACME2026000017-271126-10:12:33 999")]
    fn a_code_is_found_in_what_a_bank_makes_of_it(#[case] memo: &str) {
        assert!(
            candidates(memo).contains(&"PAYACME2026000017".to_owned()),
            "{:?}",
            candidates(memo)
        );
    }

    #[test]
    fn what_names_nothing_has_no_candidates() {
        for memo in ["", "thanks", "ORD-ACME-2026-000017", "PAY ACME", "PAY 2026 000017"] {
            assert!(candidates(memo).is_empty(), "{memo}");
        }
    }

    proptest! {
        #[test]
        fn any_code_is_found_within_any_words(account in "[A-Z][A-Z0-9]{1,11}", number in 1u32..1_000_000, before in "[a-z .:-]{0,20}", after in "[a-z .:-]{0,20}") {
            let code = format!("PAY-{account}-2026-{number:06}");
            let memo = format!("{before}{code}{after}");
            prop_assert!(candidates(&memo).contains(&memo_of(&code)));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}") {
            let _ = read(&text);
            prop_assert!(candidates(&text).len() <= 50);
        }
    }
}
