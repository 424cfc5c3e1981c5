#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use super::*;

fn measured(text: &str) -> Result<Measured, Refused> {
    checked(text, None, serde_json::json!({}))
}

fn checked(text: &str, name: Option<&str>, variables: serde_json::Value) -> Result<Measured, Refused> {
    let limits = GuardLimits {
        list_sizes: BTreeMap::from([("lines".to_owned(), 10)]),
        ..GuardLimits::default()
    };
    check(
        &limits,
        &Documents::default(),
        text,
        name,
        &Variables::from_json(variables),
    )
    .map(|checked| checked.measured)
}

fn limit(text: &str) -> &'static str {
    match measured(text) {
        Err(Refused::Limit { limit, .. }) => limit,
        other => panic!("{text:.80}: {other:?}"),
    }
}

/// Fragments f0 to f(levels), each spreading the next twice.
fn bomb(levels: usize) -> String {
    let mut text = "{ ...f0 }".to_owned();
    for level in 0..levels {
        text.push_str(&format!(" fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1));
    }
    text + &format!(" fragment f{levels} on Query {{ __typename }}")
}

#[test]
fn a_bomb_of_fragments_is_refused_by_its_measure() {
    let limits = GuardLimits {
        fragment_chain: 1_000,
        ..GuardLimits::default()
    };
    // 2^60 fields: whoever walks them does not come back.
    let refused = check(&limits, &Documents::default(), &bomb(60), None, &Variables::default()).unwrap_err();
    assert!(
        matches!(
            refused,
            Refused::Limit {
                limit: "SELECTIONS",
                ..
            }
        ),
        "{refused:?}"
    );
    assert_eq!(limit(&bomb(25)), "SELECTIONS");
    assert_eq!(limit(&bomb(60)), "FRAGMENT_CHAIN");
    // The same bomb where no operation spreads it.
    assert_eq!(limit(&bomb(25).replacen("{ ...f0 }", "{ a }", 1)), "SELECTIONS");
}

#[test]
fn a_fragment_that_spreads_itself_is_refused() {
    for text in [
        "{ ...a } fragment a on Q { ...a }",
        "{ ...a } fragment a on Q { b { ...b } } fragment b on Q { ... on Q { ...a } }",
        "{ x } fragment a on Q { ...b } fragment b on Q { ...a }",
    ] {
        assert!(matches!(measured(text), Err(Refused::Cycle { .. })), "{text}");
    }
}

#[test]
fn depth_counts_fields_through_fragments_and_leaves_introspection_apart() {
    assert_eq!(measured("{ a { b { c } } }").unwrap().depth, 3);
    assert_eq!(
        measured("{ ...x } fragment x on Q { a { ... on A { ...y } } } fragment y on A { b { c } }")
            .unwrap()
            .depth,
        3
    );
    let deep = |levels: usize| format!("{{ {} a {} }}", "a {".repeat(levels - 1), "}".repeat(levels - 1));
    assert_eq!(measured(&deep(12)).unwrap().depth, 12);
    assert_eq!(limit(&deep(13)), "DEPTH");
    let types = |levels: usize| {
        format!(
            "{{ __schema {{ types {{ fields {{ type {{ {} name {} }} }} }} }} }}",
            "ofType {".repeat(levels),
            "}".repeat(levels)
        )
    };
    let introspection = measured(&types(9)).unwrap();
    assert_eq!((introspection.depth, introspection.introspects), (1, true));
    assert_eq!(limit(&types(16)), "INTROSPECTION_DEPTH");
    assert_eq!(
        limit("{ __type(name: \"A\") { fields { type { fields { type { fields { name } } } } } } }"),
        "INTROSPECTION_LISTS"
    );
}

#[test]
fn aliases_directives_root_fields_and_tokens_are_bounded() {
    let many = |count: usize, one: &str| format!("{{ r {{ {} }} }}", one.repeat(count));
    assert!(measured(&many(30, "a: b ")).is_ok());
    assert_eq!(limit(&many(31, "a: b ")), "ALIASES");
    assert!(measured(&many(50, "b @skip(if: false) ")).is_ok());
    assert_eq!(limit(&many(51, "b @skip(if: false) ")), "DIRECTIVES");
    assert_eq!(limit(&format!("{{ {} }}", "b ".repeat(21))), "ROOT_FIELDS");
    // Spread, aliases count each time.
    assert_eq!(
        limit("{ r { ...x ...x ...x ...x } } fragment x on R { a:a b:a c:a d:a e:a f:a g:a h:a }"),
        "ALIASES"
    );
    assert!(measured(&many(1_990, "b ")).is_ok());
    assert_eq!(limit(&many(2_000, "b ")), "TOKENS");
}

#[test]
fn cost_is_what_lists_multiply() {
    let cost = |text: &str| measured(text).unwrap().cost;
    assert_eq!(cost("{ __typename }"), 0);
    assert_eq!(cost("{ viewer { name } }"), 1);
    assert_eq!(cost("{ resources(first: 20) { edges { node { id } } } }"), 60);
    assert_eq!(
        cost("{ resources(first: 20) { nodes { id invoices(last: 3) { nodes { lines { total } } } } } }"),
        20 * (2 + 3 * (2 + 10))
    );
    assert_eq!(cost("{ nodes(ids: [\"a\", \"b\"]) { id } }"), 2);
    assert_eq!(cost("mutation { a { b } c { d } }"), 22);
    // A page is never counted bigger than a page can be; that it is too big is the resolver's to say.
    assert_eq!(cost("{ resources(first: 1000000) { id } }"), 100);
    assert_eq!(cost("{ resources(first: null) { id } }"), 1);
    assert_eq!(limit("{ a(first: 100) { b(first: 100) { c } } }"), "COST");

    let text = "query Q($n: Int = 7) { resources(first: $n) { id } }";
    assert_eq!(checked(text, None, serde_json::json!({})).unwrap().cost, 7);
    assert_eq!(checked(text, None, serde_json::json!({ "n": 9 })).unwrap().cost, 9);
    assert_eq!(
        checked(text, None, serde_json::json!({ "n": "many" })).unwrap().cost,
        100
    );
    assert_eq!(checked(text, None, serde_json::json!({ "n": -1 })).unwrap().cost, 100);
}

#[test]
fn only_the_operation_that_runs_costs_and_it_must_be_clear_which() {
    let text = "query A { a } query B { b(first: 50) { c } }";
    assert_eq!(checked(text, Some("B"), serde_json::json!({})).unwrap().cost, 50);
    assert_eq!(checked(text, Some("A"), serde_json::json!({})).unwrap().cost, 0);
    for (text, name) in [(text, None), (text, Some("C")), ("{ a }", Some("A"))] {
        assert!(matches!(
            checked(text, name, serde_json::json!({})),
            Err(Refused::Operation { .. })
        ));
    }
    assert!(checked("query A { a }", None, serde_json::json!({})).is_ok());
}

#[test]
fn a_required_variable_must_have_a_value() {
    let text = "query($id: ID!, $n: Int! = 3, $x: Int) { a }";
    assert!(checked(text, None, serde_json::json!({ "id": "1" })).is_ok());
    for given in [
        serde_json::json!({}),
        serde_json::json!({ "id": null }),
        serde_json::json!({ "id": "1", "n": null }),
    ] {
        assert!(matches!(checked(text, None, given), Err(Refused::Variable { .. })));
    }
}

#[test]
fn brackets_cannot_reach_the_parsers_stack() {
    for open in ["{a", "[", "{a(b:[", "{a(b:{c:"] {
        assert_eq!(limit(&open.repeat(30_000)), "NESTING", "{open}");
    }
    // Nor hidden behind what is not a string: the parser reads the first two quotes as an empty one.
    for hidden in ["{a(b:[\"\"\" x\"]){", "{a(b:\"\\\"){", "{a(b:\"x\n\"){"] {
        let text = format!("{hidden}{}", "a{".repeat(900));
        assert!(matches!(measured(&text), Err(Refused::Syntax { .. })), "{hidden}");
    }
    // What stands in strings and comments is not counted.
    let quiet = "{ a(b: \"{[({[({\\\"{{\", c: \"\"\" {{{{ \\\"\"\" {{{ \" \"\"\") # {{{{{{ \"\n b }";
    assert_eq!(lexer::scan(quiet, 14, 2), Ok(12));
}

#[test]
fn syntax_errors_say_where_on_one_line() {
    for text in [
        "{",
        "",
        "}",
        "{ a ",
        "{ a(b: $) }",
        "query { a } { b }",
        "fragment a on B { c }",
        "\u{1F600}",
        "{ a(b: 01) }",
    ] {
        match measured(text) {
            Err(Refused::Syntax { message, .. }) => {
                assert!(!message.contains('\n') && message.ends_with('.'), "{message}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_variable_counts_at_every_place_that_names_it() {
    let list: Vec<u32> = (0..999).collect();
    let variables = || serde_json::json!({ "v": list, "t": "x".repeat(6_399) });
    let found = |text: &str| match checked(text, None, variables()) {
        Ok(measured) => (measured.variables, false),
        Err(Refused::Limit {
            limit: "VARIABLES",
            allowed: 20_000,
            found,
        }) => (found.unwrap(), true),
        other => panic!("{text:.80}: {other:?}"),
    };
    let declared = "query($v: [Int!], $t: String)";
    assert_eq!(found(&format!("{declared} {{ a(v: $v) }}")), (1_000, false));
    assert_eq!(found(&format!("{declared} {{ a(v: $t) }}")), (100, false));
    assert_eq!(
        found(&format!("{declared} {{ a(v: {{ b: [$v, $v] }}) @c(v: $v) }}")),
        (3_000, false)
    );
    let many = "$v ".repeat(21);
    assert_eq!(found(&format!("{declared} {{ a(v: [{many}]) }}")), (21_000, true));
    // Also where fragments are spread, and in one that nothing spreads.
    let twice = "fragment f on Q { ...g ...g } fragment g on Q { a(v: [$v $v $v $v $v $v]) }";
    assert_eq!(found(&format!("{declared} {{ ...f }} {twice}")), (12_000, false));
    assert_eq!(
        found(&format!("{declared} {{ ...f x {{ ...f }} }} {twice}")),
        (24_000, true)
    );
    assert_eq!(
        found(&format!("{{ b }} fragment f on Q {{ a(v: [{many}]) }}")),
        (21_000, true)
    );
    // A default is copied like a value that is sent.
    let defaults = format!(
        "query($d: [Int!] = [{}]) {{ a(v: [{}]) }}",
        "1 ".repeat(599),
        "$d ".repeat(40)
    );
    assert_eq!(found(&defaults), (24_000, true));
}

#[test]
fn what_is_kept_of_a_measure_is_for_who_sends_no_variables() {
    let (limits, documents) = (GuardLimits::default(), Documents::default());
    let measure = |text: &str, name: Option<&str>, variables: serde_json::Value| {
        check(&limits, &documents, text, name, &Variables::from_json(variables))
            .map(|checked| (checked.measured, checked.defaults.len()))
    };
    let text = "query A($n: Int) { list(first: $n) { a } }";
    let nothing = serde_json::json!({});
    let first = measure(text, None, nothing.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(measure(text, None, nothing.clone()).unwrap(), first);
        let more = measure(text, None, serde_json::json!({ "n": 90 })).unwrap();
        assert!(more.0.cost > first.0.cost, "{more:?} {first:?}");
        let wrong = measure(text, Some("B"), nothing.clone());
        assert!(matches!(wrong, Err(Refused::Operation { .. })), "{wrong:?}");
    }
    // A default is handed on with each request, and what is refused is refused again.
    for _ in 0..2 {
        let (_, defaults) = measure("query A($n: Int = 5) { list(first: $n) { a } }", None, nothing.clone()).unwrap();
        assert_eq!(defaults, 1);
        let missing = measure("query A($n: Int!) { list(first: $n) { a } }", None, nothing.clone());
        assert!(matches!(missing, Err(Refused::Variable { .. })), "{missing:?}");
    }
}
