//! The QR code of a bank transfer within Viet Nam: an EMVCo code that the payer shows to their bank's app, in the form of the
//! Napas network. Fields of a two-digit tag, a two-digit length and a value, closed by a checksum.

use super::money::{Currency, Money};
use super::refusal::{Refusal, RefusalCode};

/// The longest memo that all banks keep.
const MOST_MEMO: usize = 25;
/// The longest account number.
const MOST_ACCOUNT: usize = 19;

/// A transfer that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VietQr<'a> {
    /// The bank's number in the network: six digits.
    pub bank_bin: &'a str,
    /// The account's number there: letters and digits.
    pub account_number: &'a str,
    /// How much: dong, above zero.
    pub amount: Money,
    /// What the payer's bank is told it is for: letters, digits, spaces and hyphens.
    pub memo: &'a str,
}

impl VietQr<'_> {
    /// What the code is drawn from.
    ///
    /// Errors: CURRENCY_MISMATCH for what is not dong, INVALID_TEXT naming the part that no code holds.
    pub fn payload(&self) -> Result<String, Refusal> {
        if self.amount.currency() != Currency::Vnd || !self.amount.is_positive() {
            return Err(Refusal::new(
                RefusalCode::CurrencyMismatch,
                "A transfer within the network is of dong, above zero.",
            ));
        }
        let within = |text: &str, most: usize, also: &[u8]| {
            (1..=most).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
        };
        let is_bin = self.bank_bin.len() == 6 && self.bank_bin.bytes().all(|byte| byte.is_ascii_digit());
        for (good, part) in [
            (is_bin, "bankBin"),
            (within(self.account_number, MOST_ACCOUNT, b""), "accountNumber"),
            (within(self.memo, MOST_MEMO, b" -"), "memo"),
        ] {
            if !good {
                return Err(
                    Refusal::new(RefusalCode::InvalidText, "This does not fit into a transfer's code.").under(part),
                );
            }
        }
        let beneficiary = [field("00", self.bank_bin), field("01", self.account_number)].concat();
        let merchant = [
            field("00", "A000000727"),
            field("01", &beneficiary),
            field("02", "QRIBFTTA"),
        ]
        .concat();
        let open = [
            field("00", "01"),
            // Good for one payment.
            field("01", "12"),
            field("38", &merchant),
            field("53", "704"),
            field("54", &self.amount.minor().to_string()),
            field("58", "VN"),
            field("62", &field("08", self.memo)),
            // The checksum counts its own tag and length.
            "6304".to_owned(),
        ]
        .concat();
        let checksum = crc(open.as_bytes());
        Ok(format!("{open}{checksum:04X}"))
    }
}

/// A field; no value here is longer than 99.
fn field(tag: &str, value: &str) -> String {
    format!("{tag}{:02}{value}", value.len())
}

/// CRC-16/CCITT-FALSE.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn of<'a>(bank_bin: &'a str, account_number: &'a str, minor: i64, memo: &'a str) -> VietQr<'a> {
        VietQr {
            bank_bin,
            account_number,
            amount: Money::of(minor, Currency::Vnd),
            memo,
        }
    }

    /// The fields of a code, one level of them.
    fn fields(mut text: &str) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        while !text.is_empty() {
            let length: usize = text[2..4].parse().unwrap();
            found.push((&text[..2], &text[4..4 + length]));
            text = &text[4 + length..];
        }
        found
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc(b"123456789"), 0x29B1);
    }

    #[test]
    fn a_transfer_is_written_field_by_field() {
        let payload = of("970436", "0011001234567", 181_000, "PAYACME2026000017")
            .payload()
            .unwrap();
        assert!(
            payload.starts_with(
                "00020101021238570010A00000072701270006970436011300110012345670208QRIBFTTA53037045406181000\
             5802VN62210817PAYACME20260000176304"
            ),
            "{payload}"
        );
        let (open, checksum) = payload.split_at(payload.len() - 4);
        assert_eq!(checksum, format!("{:04X}", crc(open.as_bytes())));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() {
        for (qr, part) in [
            (of("97043", "1", 1, "A"), "bankBin"),
            (of("97043X", "1", 1, "A"), "bankBin"),
            (of("970436", "", 1, "A"), "accountNumber"),
            (of("970436", "12345678901234567890", 1, "A"), "accountNumber"),
            (of("970436", "1", 1, ""), "memo"),
            (of("970436", "1", 1, "nạp ví"), "memo"),
            (of("970436", "1", 1, "12345678901234567890123456"), "memo"),
        ] {
            assert_eq!(qr.payload().unwrap_err().path, [part], "{qr:?}");
        }
        assert_eq!(
            of("970436", "1", 0, "A").payload().unwrap_err().code,
            RefusalCode::CurrencyMismatch
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(account in "[A-Z0-9]{1,19}", minor in 1i64..1_000_000_000_000, memo in "[A-Z0-9 -]{1,25}") {
            let payload = of("970436", &account, minor, &memo).payload().unwrap();
            let all = fields(&payload);
            let tags: Vec<&str> = all.iter().map(|(tag, _)| *tag).collect();
            prop_assert_eq!(tags, ["00", "01", "38", "53", "54", "58", "62", "63"]);
            prop_assert_eq!(all[4].1, minor.to_string());
            prop_assert_eq!(fields(all[6].1), [("08", memo.as_str())]);
            prop_assert_eq!(fields(fields(all[2].1)[1].1), [("00", "970436"), ("01", account.as_str())]);
        }
    }
}
