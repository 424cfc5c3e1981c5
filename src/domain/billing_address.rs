//! To whom invoices are written: an enterprise by its tax code, or a person by their number.

use entity::enums::BillingAddressKind;
use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, RefusalCode};
use super::{mail, text};

/// The most addresses of an account.
pub const MOST_ADDRESSES: usize = 20;
/// The most lines of one, below the name.
const MOST_LINES: usize = 5;
/// The longest name and the longest line, in characters.
const MOST_CHARACTERS: usize = 200;
/// What the digits of a tax code count, before its check digit.
const WEIGHTS: [u32; 9] = [31, 29, 23, 19, 17, 13, 7, 5, 3];

/// A billing address as it is kept, and as invoices keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingAddress {
    /// What kind of customer it names.
    pub kind: BillingAddressKind,
    /// The name of the enterprise or of the person.
    pub name: String,
    /// Where they are: street, ward, province.
    pub address_lines: Vec<String>,
    /// The tax code of an enterprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_code: Option<String>,
    /// The number of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_number: Option<String>,
    /// Where electronic invoices are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// By what a customer is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Identity {
    /// An enterprise, by its tax code.
    TaxCode(String),
    /// A person, by their number.
    PersonalNumber(String),
}

/// A billing address as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Given {
    /// By what the customer is known.
    pub identity: Identity,
    /// The name.
    pub name: String,
    /// Where they are.
    pub address_lines: Vec<String>,
    /// Where electronic invoices are sent.
    pub email: Option<String>,
}

impl BillingAddress {
    /// A billing address that an invoice can be written to.
    ///
    /// Source: rule "Billing addresses" in ARCHITECTURE, section Money. Errors: INVALID_TEXT, INVALID_TAX_CODE,
    /// INVALID_PERSONAL_NUMBER, INVALID_EMAIL.
    pub fn checked(given: Given) -> Result<Self, Refusal> {
        let name = text::line(&given.name, MOST_CHARACTERS).map_err(|refusal| refusal.under("name"))?;
        if given.address_lines.is_empty() || given.address_lines.len() > MOST_LINES {
            let message = format!("Write the address in 1 to {MOST_LINES} lines.");
            return Err(Refusal::new(RefusalCode::InvalidText, message).under("addressLines"));
        }
        let lines = given.address_lines.iter().enumerate().map(|(place, line)| {
            text::line(line, MOST_CHARACTERS).map_err(|refusal| refusal.under(place).under("addressLines"))
        });
        let address_lines = lines.collect::<Result<Vec<_>, _>>()?;
        let email = given.email.as_deref().map(mail::address).transpose();
        let email = email.map_err(|refusal| refusal.under("email"))?;
        let (kind, tax_code, personal_number) = match given.identity {
            Identity::TaxCode(written) => {
                let code = tax_code(&written).map_err(|refusal| refusal.under("taxCode").under("identity"))?;
                (BillingAddressKind::Enterprise, Some(code), None)
            }
            Identity::PersonalNumber(written) => {
                let number =
                    personal_number(&written).map_err(|refusal| refusal.under("personalNumber").under("identity"))?;
                (BillingAddressKind::Personal, None, Some(number))
            }
        };
        Ok(Self {
            kind,
            name,
            address_lines,
            tax_code,
            personal_number,
            email,
        })
    }
}

/// A Vietnamese tax code: 10 digits, the last of which checks the others, or those and the 3 digits of a branch.
/// Errors: INVALID_TAX_CODE.
fn tax_code(written: &str) -> Result<String, Refusal> {
    let wrong = |message: &str| Refusal::new(RefusalCode::InvalidTaxCode, message);
    let form = "Write the tax code in 10 digits, with those of a branch 0123456789-001.";
    let code = written.trim();
    let (own, branch) = match code.split_once('-') {
        Some((own, branch)) => (own, Some(branch)),
        None => (code, None),
    };
    let digits = |part: &str, many: usize| part.len() == many && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(own, 10) || !branch.is_none_or(|branch| digits(branch, 3) && branch != "000") {
        return Err(wrong(form));
    }
    let mut values = own.bytes().map(|byte| u32::from(byte.saturating_sub(b'0')));
    let sum: u32 = WEIGHTS
        .iter()
        .zip(&mut values)
        .map(|(weight, digit)| weight * digit)
        .sum();
    // A remainder of nothing has no check digit: no such code is given out.
    if values.next() != Some(10 - sum % 11) {
        return Err(wrong(
            "This is not a tax code: its tenth digit does not fit the others. Look for a typing error.",
        ));
    }
    Ok(code.to_owned())
}

/// The personal number of a Vietnamese citizen: 12 digits. Errors: INVALID_PERSONAL_NUMBER.
fn personal_number(written: &str) -> Result<String, Refusal> {
    let number = written.trim();
    if number.len() == 12 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(number.to_owned())
    } else {
        let message = "Write the personal number in 12 digits.";
        Err(Refusal::new(RefusalCode::InvalidPersonalNumber, message))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0303490096", true)]
    #[case(" 0100233488 ", true)]
    #[case("0314409058-002", true)]
    #[case("0303490097", false)]
    #[case("0303490906", false)]
    #[case("0000000000", false)]
    #[case("0314409058-000", false)]
    #[case("0314409058002", false)]
    #[case("0314409058-02", false)]
    #[case("030349009", false)]
    #[case("03034900960", false)]
    #[case("030349009a", false)]
    #[case("٠٣٠٣٤٩٠٠٩٦", false)]
    #[case("", false)]
    fn a_tax_code_checks_itself(#[case] written: &str, #[case] good: bool) {
        match tax_code(written) {
            Ok(code) => assert!(good && code == written.trim(), "{written}"),
            Err(refusal) => assert!(!good && refusal.code == RefusalCode::InvalidTaxCode, "{written}"),
        }
    }

    #[test]
    fn one_wrong_digit_is_always_found() {
        for place in 0..10 {
            for digit in b'0'..=b'9' {
                let mut code = *b"0303490096";
                code[place] = digit;
                let code = String::from_utf8(code.to_vec()).unwrap();
                assert_eq!(tax_code(&code).is_ok(), code == "0303490096", "{code}");
            }
        }
    }

    fn an() -> Given {
        Given {
            identity: Identity::PersonalNumber("001099012345".to_owned()),
            name: " Nguyễn Thị An ".to_owned(),
            address_lines: vec!["12 Lê Lợi".to_owned(), "Quận 1, TP. Hồ Chí Minh".to_owned()],
            email: Some("An@Example.com".to_owned()),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = BillingAddress::checked(an()).unwrap();
        assert_eq!(
            (good.name.as_str(), good.email.as_deref()),
            ("Nguyễn Thị An", Some("an@example.com"))
        );
        assert_eq!((good.kind, good.tax_code), (BillingAddressKind::Personal, None));
        let refused = |change: fn(&mut Given)| {
            let mut given = an();
            change(&mut given);
            let refusal = BillingAddress::checked(given).unwrap_err();
            (refusal.code.as_str(), refusal.path.join("."))
        };
        let megabyte = |given: &mut Given| given.identity = Identity::TaxCode("1".repeat(1_000_000));
        assert_eq!(refused(megabyte), ("INVALID_TAX_CODE", "identity.taxCode".to_owned()));
        let short = |given: &mut Given| given.identity = Identity::PersonalNumber("00109901234".to_owned());
        assert_eq!(
            refused(short),
            ("INVALID_PERSONAL_NUMBER", "identity.personalNumber".to_owned())
        );
        assert_eq!(refused(|given| given.name.clear()), ("INVALID_TEXT", "name".to_owned()));
        assert_eq!(
            refused(|given| given.address_lines.clear()),
            ("INVALID_TEXT", "addressLines".to_owned())
        );
        assert_eq!(
            refused(|given| given.address_lines[1].clear()),
            ("INVALID_TEXT", "addressLines.1".to_owned())
        );
        assert_eq!(
            refused(|given| given.email = Some("an".to_owned())),
            ("INVALID_EMAIL", "email".to_owned())
        );
    }
}
