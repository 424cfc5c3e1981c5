//! Tables as text, for programs and for people who open them in a spreadsheet: RFC 4180, and nothing in it is a formula.

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Empty,
    /// A number of ours, an amount or a code word: it stands as it is.
    Plain(&'a str),
    /// What somebody wrote.
    Text(&'a str),
}

impl<'a> Cell<'a> {
    /// A text that may be missing.
    #[must_use]
    pub const fn of(text: Option<&'a str>) -> Self {
        match text {
            Some(text) => Self::Text(text),
            None => Self::Empty,
        }
    }
}

/// Adds a row. A text that a spreadsheet would take for a formula gets an apostrophe before it, which a spreadsheet shows
/// as a mark of text; amounts stay numbers, below zero too.
pub fn add_row(out: &mut String, cells: &[Cell<'_>]) {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match cell {
            Cell::Empty => {}
            Cell::Plain(text) => quote(out, "", text),
            Cell::Text(text) => quote(out, if is_formula(text) { "'" } else { "" }, text),
        }
    }
    out.push_str("\r\n");
}

fn quote(out: &mut String, before: &str, text: &str) {
    if !text.contains(['"', ',', '\r', '\n']) {
        out.push_str(before);
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(before);
    for character in text.chars() {
        if character == '"' {
            out.push('"');
        }
        out.push(character);
    }
    out.push('"');
}

/// Whether a spreadsheet may take a text for a formula: by its first character that is not a blank, wide ones included.
fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n'])
        || text
            .trim_start()
            .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn row(cells: &[Cell<'_>]) -> String {
        let mut out = String::new();
        add_row(&mut out, cells);
        out
    }

    #[rstest]
    #[case(Cell::Empty, "\r\n")]
    #[case(Cell::Plain("-5000"), "-5000\r\n")]
    #[case(Cell::Text("Máy chủ số 1"), "Máy chủ số 1\r\n")]
    #[case(Cell::Text("a,b"), "\"a,b\"\r\n")]
    #[case(Cell::Text("say \"no\""), "\"say \"\"no\"\"\"\r\n")]
    #[case(Cell::Text("two\nlines"), "\"two\nlines\"\r\n")]
    #[case(Cell::Text("=1+1"), "'=1+1\r\n")]
    #[case(Cell::Text("+84 90"), "'+84 90\r\n")]
    #[case(Cell::Text("-5000"), "'-5000\r\n")]
    #[case(Cell::Text("@SUM(A1)"), "'@SUM(A1)\r\n")]
    #[case(Cell::Text("  =1"), "'  =1\r\n")]
    #[case(Cell::Text("\t1"), "'\t1\r\n")]
    #[case(Cell::Text("\u{ff1d}1"), "'\u{ff1d}1\r\n")]
    #[case(
        Cell::Text("=HYPERLINK(\"http://x\",\"y\")"),
        "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"\r\n"
    )]
    fn cells_are_quoted_and_never_formulas(#[case] cell: Cell<'_>, #[case] expected: &str) {
        assert_eq!(row(&[cell]), expected);
    }

    /// Reads one row as RFC 4180 says.
    fn read(text: &str) -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        let mut characters = text.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(character) = characters.next() {
            let cell = cells.last_mut().unwrap();
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                other => cell.push(other),
            }
        }
        cells
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("\\PC{0,9}|[\"',\r\n=+@ -]{0,5}", 1..5)) {
            let cells: Vec<_> = texts.iter().map(|text| Cell::Text(text)).collect();
            for (read, text) in read(&row(&cells)).iter().zip(&texts) {
                prop_assert_eq!(read.strip_prefix('\'').filter(|_| is_formula(text)).unwrap_or(read), text);
                prop_assert!(!is_formula(read));
            }
        }
    }
}
