//! Counts tokens and open brackets in raw text. It reads strings and comments exactly as the parser does, so that no
//! bracket can hide from it; what is neither is counted and left for the parser to refuse.

use async_graphql::Pos;

use super::Refused;

/// Errors: too many tokens, too many brackets open at once, a string that does not end.
pub(super) fn scan(text: &str, most_tokens: usize, most_nesting: usize) -> Result<usize, Refused> {
    let bytes = text.as_bytes();
    let mut tokens = 0_usize;
    let mut nesting = 0_usize;
    let mut at = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            0xEF if bytes[at..].starts_with("\u{feff}".as_bytes()) => {
                at += 3;
                continue;
            }
            b'#' => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| !matches!(byte, b'\n' | b'\r'))
                    .count();
                continue;
            }
            b'"' => at = string_end(bytes, at).ok_or_else(|| unterminated(text, at))?,
            b'{' | b'(' | b'[' => {
                nesting += 1;
                if nesting > most_nesting {
                    let allowed = u64::try_from(most_nesting).unwrap_or(u64::MAX);
                    return Err(Refused::Limit {
                        limit: "NESTING",
                        allowed,
                        found: None,
                    });
                }
                at += 1;
            }
            b'}' | b')' | b']' => {
                nesting = nesting.saturating_sub(1);
                at += 1;
            }
            b'.' if bytes[at..].starts_with(b"...") => at += 3,
            byte if is_word(byte) => at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            _ => at += 1,
        }
        tokens += 1;
        if tokens > most_tokens {
            let allowed = u64::try_from(most_tokens).unwrap_or(u64::MAX);
            return Err(Refused::Limit {
                limit: "TOKENS",
                allowed,
                found: None,
            });
        }
    }
    Ok(tokens)
}

/// Names and numbers alike: where one ends matters only for the count.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+')
}

/// Where the string that begins at `at` ends; `None` when it does not.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    if bytes[at..].starts_with(b"\"\"\"") {
        next = at + 3;
        while next < bytes.len() {
            let rest = &bytes[next..];
            if rest.starts_with(b"\"\"\"") {
                return Some(next + 3);
            }
            next += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
        }
        return None;
    }
    while let Some(&byte) = bytes.get(next) {
        match byte {
            b'"' => return Some(next + 1),
            b'\n' | b'\r' => return None,
            b'\\' => next += 2,
            _ => next += 1,
        }
    }
    None
}

fn unterminated(text: &str, at: usize) -> Refused {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = format!("Syntax error at line {line}, column {column}: the string does not end.");
    Refused::Syntax {
        message,
        at: vec![Pos { line, column }],
    }
}
