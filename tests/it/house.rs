//! The house's own rules, read from its source: which room may import which, and what stands nowhere.
//!
//! Comments, texts and test modules are left out first; what remains is searched for paths from the crate's root, in
//! `use` trees and in the middle of code, whether they are written with `crate::` or with `super::`. ARCHITECTURE.md
//! says why each direction is as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod source;

use source::{Source, blank, imports, is_word, line_of, places, root, sources, tree, without_tests, words};

/// Which rooms each room may import, besides itself. What is not named here has no direction yet, and fails.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &[]),
    ("ids", &[]),
    // The error wraps what rules refuse, and asks the database's room what a failure means.
    ("error", &["domain", "db"]),
    ("config", &["db", "domain"]),
    ("db", &["error", "ids", "clock"]),
    ("store", &["db", "domain", "error", "ids", "clock"]),
    ("gateways", &["domain", "error", "ids", "clock"]),
    ("live", &["store", "app", "db", "error", "ids"]),
    (
        "app",
        &["store", "live", "db", "gateways", "config", "error", "ids", "clock"],
    ),
    (
        "commands",
        &["domain", "store", "gateways", "db", "app", "error", "ids", "clock"],
    ),
    (
        "engine",
        &["commands", "store", "db", "domain", "app", "error", "ids", "clock"],
    ),
    ("notify", &["store", "db", "domain", "app", "error", "ids", "clock"]),
    (
        "graphql",
        // The engine, for the clock of development and for forecasts: it is what would happen.
        &[
            "commands", "engine", "store", "domain", "live", "app", "error", "db", "ids", "clock",
            // What each declares that it can do.
            "gateways",
        ],
    ),
    ("http", &["graphql", "app", "config", "error", "ids", "clock"]),
];

/// Where everything is put together; these may import all.
const BUILDERS: &[&str] = &["run", "main", "lib"];

/// Crates of the world outside that a rule never touches.
const NOT_IN_DOMAIN: &[&str] = &[
    "sea_orm",
    "sqlx",
    "tokio",
    "async_graphql",
    "async_graphql_axum",
    "axum",
    "reqwest",
    "futures_util",
    "rand",
];

/// Longer files have a second room in them.
const MOST_LINES: usize = 700;

fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}

#[test]
fn rooms_import_in_one_direction() {
    let rooms = sources("src");
    assert!(rooms.len() > 20, "the source was not found below {}", root().display());
    let known: BTreeSet<String> = rooms
        .iter()
        .filter_map(|source| source.modules.first().cloned())
        .collect();
    let mut broken = Vec::new();
    for source in &rooms {
        let room = source.modules[0].as_str();
        if BUILDERS.contains(&room) {
            continue;
        }
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| *name == room) else {
            broken.push(format!(
                "{}: the room `{room}` has no direction in tests/it/house.rs",
                source.name
            ));
            continue;
        };
        for import in imports(source) {
            let target = import.segments[0].as_str();
            if known.contains(target) && target != room && !allowed.contains(&target) {
                broken.push(format!(
                    "{}:{}: `{room}` may not import `{}` (it may import {})",
                    source.name,
                    import.line,
                    import.segments.join("::"),
                    if allowed.is_empty() {
                        "nothing but itself".to_owned()
                    } else {
                        allowed.join(", ")
                    },
                ));
            }
        }
    }
    none("Rooms import in one direction (ARCHITECTURE, \"The house\")", &broken);
}

#[test]
fn no_command_calls_a_command() {
    let mut broken = Vec::new();
    for source in sources("src/commands") {
        // mod.rs names the commands; it does nothing. `fulfil` is no command: nobody can ask for it, and it begins no
        // transaction; it is what orders, reports and renewals do in theirs. `collect` is none either: it is what is done
        // with a gateway's word, whoever brings it.
        let Some(own) = source.modules.first().filter(|own| *own != "mod") else {
            continue;
        };
        let source = Source {
            modules: [vec!["commands".to_owned()], source.modules.clone()].concat(),
            ..source
        };
        for import in imports(&source) {
            if let [room, other, ..] = import.segments.as_slice()
                && room == "commands"
                && other != own
                && other != "fulfil"
                && other != "collect"
                && [format!("src/commands/{other}.rs"), format!("src/commands/{other}")]
                    .iter()
                    .any(|path| root().join(path).exists())
            {
                broken.push(format!("{}:{}: names the command `{other}`", source.name, import.line));
            }
        }
    }
    none(
        "No command calls a command: what two share is a rule (domain), a write (store), or what `fulfil` and `collect` do",
        &broken,
    );
}

#[test]
fn the_rulebook_is_pure() {
    let mut broken = Vec::new();
    for source in sources("src/domain") {
        let code = source.code.as_str();
        for krate in NOT_IN_DOMAIN {
            for place in places(code, krate) {
                broken.push(format!("{}:{}: names `{krate}`", source.name, line_of(code, place)));
            }
        }
        for word in ["async", "await"] {
            for place in places(code, word) {
                broken.push(format!("{}:{}: is `{word}`", source.name, line_of(code, place)));
            }
        }
        for place in places(code, "entity") {
            for path in tree(code, place)
                .iter()
                .filter(|path| path.len() > 1 && path[1] != "enums")
            {
                broken.push(format!(
                    "{}:{}: imports `{}`",
                    source.name,
                    line_of(code, place),
                    path.join("::")
                ));
            }
        }
    }
    none(
        "domain is values in, a decision out: of the world it knows only the words of entity::enums",
        &broken,
    );
}

#[test]
fn no_float_comes_near_money() {
    let mut broken = Vec::new();
    for folder in ["src/domain", "src/commands", "src/store", "entity/src", "migration/src"] {
        for source in sources(folder) {
            for float in ["f32", "f64"] {
                for place in places(&source.code, float) {
                    broken.push(format!(
                        "{}:{}: has `{float}`",
                        source.name,
                        line_of(&source.code, place)
                    ));
                }
            }
        }
    }
    none(
        "Amounts are whole minor units, rates whole millionths: no binary floating point near money",
        &broken,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let mut broken = Vec::new();
    for folder in ["src", "entity/src", "migration/src"] {
        for source in sources(folder) {
            for word in ["todo", "unimplemented", "dbg"] {
                for place in places(&source.code, word) {
                    if source.code[place + word.len()..].trim_start().starts_with('!') {
                        broken.push(format!(
                            "{}:{}: has `{word}!`",
                            source.name,
                            line_of(&source.code, place)
                        ));
                    }
                }
            }
        }
    }
    none("What is not finished is not here", &broken);
}

#[test]
fn files_are_of_a_size_that_can_be_read() {
    let mut broken = Vec::new();
    for folder in ["src", "entity/src", "migration/src", "tests", "benches"] {
        let mut paths = Vec::new();
        collect_all(&root().join(folder), &mut paths);
        for path in paths {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines >= MOST_LINES {
                broken.push(format!(
                    "{}: has {lines} lines",
                    path.strip_prefix(root()).unwrap().display()
                ));
            }
        }
    }
    none(
        &format!("A file of {MOST_LINES} lines or more has a second room in it"),
        &broken,
    );
}

/// Every Rust file below a folder, tests included.
fn collect_all(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_all(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

#[test]
fn tables_have_no_behaviour() {
    let mut broken = Vec::new();
    for source in sources("entity/src") {
        // The words have their text, and JSON is read; nothing else in this crate does anything.
        if ["enums.rs", "raw_json.rs"]
            .iter()
            .any(|types| source.path.ends_with(types))
        {
            continue;
        }
        for place in places(&source.code, "fn") {
            broken.push(format!(
                "{}:{}: has a function",
                source.name,
                line_of(&source.code, place)
            ));
        }
        for place in places(&source.code, "impl") {
            let head: Vec<&str> = words(&source.code[place..]).take(4).collect();
            if head != ["impl", "ActiveModelBehavior", "for", "ActiveModel"] {
                broken.push(format!(
                    "{}:{}: has an `{}`",
                    source.name,
                    line_of(&source.code, place),
                    head.join(" ")
                ));
            }
        }
    }
    none(
        "A table is a table: what a row can do is decided in domain and written in store",
        &broken,
    );
}

/// The rules that a text of documentation cites: name, and section when one is told.
fn cited(raw: &str) -> Vec<(String, Option<String>)> {
    let prose: Vec<&str> = raw
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("///")
                .or_else(|| line.trim().strip_prefix("//!"))
        })
        .map(str::trim)
        .collect();
    let prose = prose.join(" ");
    let mut found = Vec::new();
    for (place, _) in prose.match_indices(" in ARCHITECTURE") {
        let before = &prose[..place];
        let Some(start) = before.rfind("rule \"").max(before.rfind("rules \"")) else {
            continue;
        };
        if before.len() - start > 200 {
            continue;
        }
        let section = prose[place..].strip_prefix(" in ARCHITECTURE, section ").map(|rest| {
            rest.chars()
                .take_while(|character| is_word(*character))
                .collect::<String>()
        });
        for name in before[start..].split('"').skip(1).step_by(2) {
            found.push((name.to_owned(), section.clone()));
        }
    }
    found
}

/// The rules of ARCHITECTURE.md: a paragraph that begins with the bold name, under the heading of its section.
fn written(text: &str) -> BTreeSet<(String, String)> {
    let mut section = String::new();
    let mut rules = BTreeSet::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        } else if let Some((name, _)) = line.strip_prefix("**").and_then(|rest| rest.split_once(".**")) {
            rules.insert((section.clone(), name.to_owned()));
        }
    }
    rules
}

#[test]
fn every_rule_that_code_cites_is_written_down() {
    let rules = written(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let mut broken = Vec::new();
    for folder in ["src", "entity/src", "migration/src"] {
        for source in sources(folder) {
            for (name, section) in cited(&source.raw) {
                let stands = rules.iter().any(|(in_section, rule)| {
                    *rule == name && section.as_ref().is_none_or(|section| section == in_section)
                });
                if !stands {
                    let section = section
                        .map(|section| format!(", section {section}"))
                        .unwrap_or_default();
                    broken.push(format!(
                        "{}: cites rule \"{name}\" in ARCHITECTURE{section}",
                        source.name
                    ));
                }
            }
        }
    }
    none(
        "A rule that a docstring names is a paragraph of ARCHITECTURE.md that begins with **its name.**",
        &broken,
    );
}

#[test]
fn the_reader_sees_through_trees_texts_and_tests() {
    let raw = r##"
//! crate::http is only talked about here.
use crate::{app::App, store::{self, Scope, orders as o}};
use super::super::db::Tx;
const TEXT: &str = "crate::graphql"; /* crate::run /* and */ again */
const RAW: &str = r#"crate::live "quoted" "#;
pub(crate) fn lifetimes<'a>(quote: char) -> &'a str { if quote == '"' { crate::clock::now() } else { "" } }
mod inner { use super::Sibling; use super::super::cousin::Thing; }
#[cfg(test)]
pub(crate) mod tests { use crate::engine::tick; fn f() { {} } }
"##;
    let source = Source {
        path: PathBuf::new(),
        name: String::new(),
        modules: vec!["commands".into(), "order".into()],
        code: without_tests(blank(raw)),
        raw: raw.to_owned(),
    };
    let found: Vec<(String, usize)> = imports(&source)
        .into_iter()
        .map(|import| (import.segments.join("::"), import.line))
        .collect();
    let found: Vec<(&str, usize)> = found.iter().map(|(path, line)| (path.as_str(), *line)).collect();
    assert_eq!(
        found,
        [
            ("app::App", 3),
            ("store::self", 3),
            ("store::Scope", 3),
            ("store::orders", 3),
            ("clock::now", 7),
            ("db::Tx", 4),
            ("commands::cousin::Thing", 8),
        ]
    );
    assert_eq!(raw.lines().count(), source.code.lines().count());
}

#[test]
fn cited_rules_are_found_over_line_ends() {
    let raw = "/// Source: rule \"Start\n/// at provisioning\" in ARCHITECTURE, section Time. Errors: none.\n\
               //! Source: rules \"List value\" and \"Tax\" in ARCHITECTURE, section Money.";
    let rules: Vec<String> = cited(raw)
        .into_iter()
        .map(|(name, section)| format!("{name}/{}", section.unwrap()))
        .collect();
    assert_eq!(rules, ["Start at provisioning/Time", "List value/Money", "Tax/Money"]);
    assert_eq!(
        written("## A\n### Time\n**Term.** x\n"),
        BTreeSet::from([("Time".to_owned(), "Term".to_owned())])
    );
}
