//! Texts that come from outside: names, codes, keys. Bounded before anything else is done with them.

use super::refusal::{Refusal, RefusalCode};

/// The longest name of a resource.
pub const MAX_NAME: usize = 64;
/// The longest reason, note or description.
pub const MAX_REASON: usize = 255;
/// The longest idempotency key.
pub const MAX_KEY: usize = 255;
/// The longest coupon code.
pub const MAX_COUPON_CODE: usize = 32;

/// One line of text: trimmed, 1 to `max` characters, no control characters, nothing invisible that reorders others.
/// Errors: INVALID_TEXT.
pub fn line(text: &str, max: usize) -> Result<String, Refusal> {
    // Four bytes are the longest character: what is longer can't fit, and is not looked at.
    let trimmed = if text.len() > max.saturating_mul(4).saturating_add(64) {
        None
    } else {
        Some(text.trim())
    };
    trimmed
        .filter(|text| !text.is_empty() && text.chars().count() <= max && !text.chars().any(is_unwanted))
        .map(str::to_owned)
        .ok_or_else(|| {
            Refusal::new(
                RefusalCode::InvalidText,
                format!("Write one line of 1 to {max} characters, without control characters."),
            )
        })
}

/// An idempotency key: 1 to 255 visible ASCII characters, as they are. Errors: IDEMPOTENCY_KEY_INVALID.
pub fn idempotency_key(key: &str) -> Result<&str, Refusal> {
    if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(key)
    } else {
        Err(Refusal::new(
            RefusalCode::IdempotencyKeyInvalid,
            format!("Send a key of 1 to {MAX_KEY} visible ASCII characters, for example a UUID, new for each intent."),
        ))
    }
}

/// A coupon code as it is stored: trimmed, in capitals, 3 to 32 of A-Z, 0-9, `-` and `_`. Errors: INVALID_TEXT.
pub fn coupon_code(code: &str) -> Result<String, Refusal> {
    let wrong = || {
        Refusal::new(
            RefusalCode::InvalidText,
            format!("Write a code of 3 to {MAX_COUPON_CODE} letters A to Z, digits, - or _."),
        )
    };
    if code.len() > MAX_COUPON_CODE * 4 {
        return Err(wrong());
    }
    let code = code.trim().to_ascii_uppercase();
    let well_formed = (3..=MAX_COUPON_CODE).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_');
    if well_formed { Ok(code) } else { Err(wrong()) }
}

/// Whether a text may be the short name of something in the catalogue: 1 to 64 visible ASCII characters. Another is not
/// looked for: there is none, and a database may not even be asked for a text that it can't hold.
#[must_use]
pub fn may_be_short_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_unwanted(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", Some("web"))]
    #[case("  máy chủ số 1 ", Some("máy chủ số 1"))]
    #[case("12345678901234567890", Some("12345678901234567890"))]
    #[case("123456789012345678901", None)]
    #[case("", None)]
    #[case("   ", None)]
    #[case("a\nb", None)]
    #[case("a\u{0}b", None)]
    #[case("a\u{202E}b", None)]
    fn lines_are_bounded_and_visible(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(line(text, 20).ok().as_deref(), expected);
    }

    #[test]
    fn a_megabyte_is_refused_everywhere() {
        let text = "a".repeat(1_000_000);
        assert_eq!(line(&text, 64).unwrap_err().code, RefusalCode::InvalidText);
        assert_eq!(
            idempotency_key(&text).unwrap_err().code,
            RefusalCode::IdempotencyKeyInvalid
        );
        assert_eq!(coupon_code(&text).unwrap_err().code, RefusalCode::InvalidText);
    }

    #[rstest]
    #[case("k", true)]
    #[case("7c1e4c0e-8f3a-4f3e-9d55-2f6f7d1d8c11", true)]
    #[case("", false)]
    #[case("with space", false)]
    #[case("ключ", false)]
    fn keys_are_visible_ascii(#[case] key: &str, #[case] accepted: bool) {
        assert_eq!(idempotency_key(key).is_ok(), accepted);
    }

    #[test]
    fn coupon_codes_are_capitals() {
        assert_eq!(coupon_code(" launch10 ").unwrap(), "LAUNCH10");
        for wrong in ["", "AB", "A B C", "ĐÀ-NẴNG", "A%B"] {
            assert_eq!(
                coupon_code(wrong).unwrap_err().code,
                RefusalCode::InvalidText,
                "{wrong}"
            );
        }
    }
}
