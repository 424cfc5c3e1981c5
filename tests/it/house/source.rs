//! Reads Rust as the house test needs it: without comments, texts and test modules, and with the paths from the crate's
//! root that a file names.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A source file without its comments, texts and test modules. Line numbers are those of the file.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The path as people write it: `src/domain/money.rs`.
    pub(super) name: String,
    /// The modules it is: `["domain", "money"]`.
    pub(super) modules: Vec<String>,
    pub(super) code: String,
    pub(super) raw: String,
}

/// A path from the crate's root that a file names.
pub(super) struct Import {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder that is not a test, in a steady order.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths.into_iter().map(|path| read(&path, folder)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, paths);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            paths.push(path);
        }
    }
}

fn read(path: &Path, folder: &str) -> Source {
    let raw = fs::read_to_string(path).unwrap();
    let below = path.strip_prefix(root().join(folder)).unwrap();
    let mut modules: Vec<String> = below
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if modules
        .last()
        .is_some_and(|last| last == "mod" || last == "lib" || last == "main")
        && modules.len() > 1
    {
        modules.pop();
    }
    Source {
        name: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
        path: path.to_owned(),
        modules,
        code: without_tests(blank(&raw)),
        raw,
    }
}

/// The text with comments, strings and character literals made blank; every line stays where it was.
pub(super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    let hide = |out: &mut String, range: Range<usize>| {
        for hidden in range {
            out.push(if at(hidden) == '\n' { '\n' } else { ' ' });
        }
    };
    while index < chars.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => Some((index..chars.len()).find(|end| at(*end) == '\n').unwrap_or(chars.len())),
            ('/', '*') => Some(end_of_block_comment(&chars, index)),
            ('"', _) => Some(end_of_text(&chars, index)),
            ('r', '"' | '#')
                if !is_word(if index == 0 { ' ' } else { at(index - 1) }) || at(index.wrapping_sub(1)) == 'b' =>
            {
                end_of_raw_text(&chars, index)
            }
            ('\'', '\\') => (index + 3..chars.len()).find(|end| at(*end) == '\'').map(|end| end + 1),
            // A lifetime has no closing quote after one character.
            ('\'', _) if at(index + 2) == '\'' => Some(index + 3),
            _ => None,
        };
        match end {
            Some(end) => {
                hide(&mut out, index..end);
                index = end;
            }
            None => {
                out.push(at(index));
                index += 1;
            }
        }
    }
    out
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut index = start;
    while index + 1 < chars.len() {
        match (chars[index], chars[index + 1]) {
            ('/', '*') => {
                depth += 1;
                index += 2;
            }
            ('*', '/') => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    chars.len()
}

fn end_of_text(chars: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < chars.len() {
        match chars[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`; nothing when the `r` begins a raw identifier.
fn end_of_raw_text(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..]
        .iter()
        .take_while(|character| **character == '#')
        .count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closing = |index: usize| chars[index] == '"' && (1..=hashes).all(|hash| chars.get(index + hash) == Some(&'#'));
    (start + 2 + hashes..chars.len())
        .find(|index| closing(*index))
        .map(|index| index + 1 + hashes)
}

/// The code with every `#[cfg(test)] mod … { … }` made blank.
pub(super) fn without_tests(code: String) -> String {
    let mut code = code;
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let rest = &code[start..];
        let opened = rest.find(['{', ';']).map(|place| start + place);
        let is_module = opened.is_some_and(|opened| words(&code[start..opened]).any(|word| word == "mod"));
        from = start + 1;
        if let (true, Some(opened)) = (is_module, opened)
            && code.as_bytes()[opened] == b'{'
        {
            let end = closing_brace(&code, opened);
            let hidden: String = code[start..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' })
                .collect();
            code.replace_range(start..end, &hidden);
        }
    }
    code
}

/// One past the brace that closes the one at `opened`.
fn closing_brace(code: &str, opened: usize) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in code.bytes().enumerate().skip(opened) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_word(character))
        .filter(|word| !word.is_empty())
}

/// Where each word of the code stands.
pub(super) fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(place, _)| place).filter(move |place| {
        let before = code[..*place].chars().next_back().unwrap_or(' ');
        let after = code[place + word.len()..].chars().next().unwrap_or(' ');
        !is_word(before) && !is_word(after)
    })
}

pub(super) fn line_of(code: &str, place: usize) -> usize {
    code[..place].matches('\n').count() + 1
}

/// The spans of modules that are written inside the file: one more `super` leads out of each.
fn inline_modules(code: &str) -> Vec<Range<usize>> {
    places(code, "mod")
        .filter_map(|place| {
            let opened = place + code[place..].find(['{', ';'])?;
            (code.as_bytes()[opened] == b'{').then(|| opened..closing_brace(code, opened))
        })
        .collect()
}

/// Every path from the crate's root that a file names.
pub(super) fn imports(source: &Source) -> Vec<Import> {
    let code = source.code.as_str();
    let inline = inline_modules(code);
    let mut found = Vec::new();
    for start in ["crate", "super"] {
        for place in places(code, start) {
            // `pub(crate)`, `super::super` from its second word, and paths that merely pass through the word.
            let is_start = !code[..place].trim_end().ends_with("::");
            if !is_start || !code[place + start.len()..].trim_start().starts_with("::") {
                continue;
            }
            for path in tree(code, place) {
                let segments = if start == "crate" {
                    path[1..].to_vec()
                } else {
                    let supers = path.iter().take_while(|segment| *segment == "super").count();
                    let inside = inline.iter().filter(|span| span.contains(&place)).count();
                    let Some(out) = supers.checked_sub(inside) else {
                        continue;
                    };
                    if out == 0 || out > source.modules.len() {
                        continue;
                    }
                    let kept = source.modules.len() - out;
                    source.modules[..kept].iter().chain(&path[supers..]).cloned().collect()
                };
                if !segments.is_empty() {
                    found.push(Import {
                        segments,
                        line: line_of(code, place),
                    });
                }
            }
        }
    }
    found
}

/// The paths of the `use` tree, or of the plain path, that begins at a place.
pub(super) fn tree(code: &str, place: usize) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut index = place;
    branch(code.as_bytes(), &mut index, Vec::new(), &mut paths);
    paths
}

fn skip_blanks(code: &[u8], index: &mut usize) {
    while code.get(*index).is_some_and(u8::is_ascii_whitespace) {
        *index += 1;
    }
}

fn branch(code: &[u8], index: &mut usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    loop {
        skip_blanks(code, index);
        match code.get(*index) {
            Some(b'{') => {
                *index += 1;
                loop {
                    skip_blanks(code, index);
                    match code.get(*index) {
                        None => return,
                        Some(b'}') => {
                            *index += 1;
                            return;
                        }
                        Some(b',') => *index += 1,
                        Some(_) => {
                            let before = *index;
                            branch(code, index, path.clone(), paths);
                            // `as name` and what else may stand between two branches.
                            while code.get(*index).is_some_and(|byte| !matches!(byte, b',' | b'}')) {
                                *index += 1;
                            }
                            assert!(*index > before, "the reader of use trees stands still");
                        }
                    }
                }
            }
            Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => {
                let start = *index;
                while code
                    .get(*index)
                    .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                {
                    *index += 1;
                }
                path.push(String::from_utf8_lossy(&code[start..*index]).into_owned());
                skip_blanks(code, index);
                if code.get(*index..*index + 2) != Some(b"::".as_slice()) {
                    paths.push(path);
                    return;
                }
                *index += 2;
            }
            _ => {
                paths.push(path);
                return;
            }
        }
    }
}
