//! Measures a document before anything validates or runs it, in time linear in its text.
//!
//! Validators walk a fragment each time it is spread, so thirty levels of fragments that spread the next twice are a
//! billion steps from one kilobyte. Here every fragment is measured once and its measure is added where it is spread.
//! Validators also copy a variable's value each time it is named, so a large one named a thousand times is gigabytes.
//! The parser is recursive, so the text is scanned for its tokens and brackets before it is parsed. The document is
//! parsed once and handed on, and kept for who sends the same.

mod documents;
mod lexer;
mod measure;
mod roots;

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType};
use async_graphql::parser::{Error as ParseError, parse_query};
use async_graphql::{Name, Pos, Positioned, ServerError, Value, Variables};

use super::config::GuardLimits;
use super::params::short;
use super::reply::{code, coded};
pub(super) use documents::Documents;
use measure::{Breach, Walk};

/// What an operation asks for, after fragments are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Levels of fields; what is below `__schema` and `__type` is measured apart.
    pub depth: u32,
    /// What it may cost, in objects.
    pub cost: u64,
    /// Fields and spreads the validator would walk.
    pub selections: u64,
    /// What validation copies of variables, in nodes.
    pub variables: u64,
    /// Whether it reads the schema.
    pub introspects: bool,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not GraphQL.
    Syntax {
        /// What was expected, on one line.
        message: String,
        /// Where.
        at: Vec<Pos>,
    },
    /// It asks for more than a limit allows.
    Limit {
        /// Which limit, in upper case: `DEPTH`, `COST`, ...
        limit: &'static str,
        /// What is allowed.
        allowed: u64,
        /// What it asks for; `None` when the count was stopped at the limit.
        found: Option<u64>,
    },
    /// A fragment spreads itself.
    Cycle {
        /// The fragment.
        fragment: String,
    },
    /// Which of its operations to run is not clear.
    Operation {
        /// Why, in a sentence.
        message: String,
    },
    /// Its root can't be run as it is written.
    Root {
        /// Why, in a sentence.
        message: String,
        /// Where.
        at: Pos,
    },
    /// A variable that must have a value has none.
    Variable {
        /// Its name.
        name: String,
        /// Where it is declared.
        at: Pos,
    },
}

impl Refused {
    /// The error a caller reads: a sentence, a code, and the facts of the limit.
    pub(super) fn into_error(self) -> ServerError {
        match self {
            Self::Syntax { message, at } => {
                let mut error = coded(code::PARSE_FAILED, message);
                error.locations = at;
                error
            }
            Self::Limit { limit, allowed, found } => {
                let words = limit.to_ascii_lowercase().replace('_', " ");
                let message = match found {
                    Some(found) => format!("The document's {words} is {found}, and {allowed} is allowed."),
                    None => format!("The document's {words} is more than the {allowed} allowed."),
                };
                let mut error = coded(code::LIMIT_EXCEEDED, message);
                let facts = error.extensions.get_or_insert_default();
                facts.set("limit", limit);
                facts.set("allowed", allowed);
                if let Some(found) = found {
                    facts.set("found", found);
                }
                error
            }
            Self::Cycle { fragment } => coded(
                code::VALIDATION_FAILED,
                format!("The fragment \"{}\" spreads itself.", short(&fragment)),
            ),
            Self::Operation { message } => coded(code::OPERATION_RESOLUTION_FAILURE, message),
            Self::Root { message, at } => {
                let mut error = coded(code::VALIDATION_FAILED, message);
                error.locations = vec![at];
                error
            }
            Self::Variable { name, at } => {
                let message = format!("The variable \"${}\" is required and has no value.", short(&name));
                let mut error = coded(code::BAD_USER_INPUT, message);
                error.locations = vec![at];
                error
            }
        }
    }
}

/// A document that may be validated.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) document: ExecutableDocument,
    pub(super) kind: OperationType,
    pub(super) measured: Measured,
    /// The defaults of the variables that were not sent.
    pub(super) defaults: Vec<(Name, Value)>,
}

/// Scans, parses and measures a document; one that is known is only measured, for its variables, and not even that for who
/// sends none.
///
/// Errors: the first of syntax, limits, cycles, operation, root and variables that does not hold.
pub(super) fn check(
    limits: &GuardLimits,
    documents: &Documents,
    text: &str,
    operation_name: Option<&str>,
    variables: &Variables,
) -> Result<Checked, Refused> {
    let known = documents.of(text, |text| {
        lexer::scan(text, limits.tokens, limits.nesting)?;
        parse_query(text).map_err(syntax)
    })?;
    // What it measures depends on its variables alone: their values, and their defaults.
    let plain = operation_name.is_none() && variables.is_empty();
    if let Some((kind, measured)) = known.plain.get().copied().filter(|_| plain) {
        return Ok(Checked {
            document: known.document.clone(),
            kind,
            measured,
            defaults: Vec::new(),
        });
    }
    let checked = newly_checked(limits, &known.document, operation_name, variables)?;
    if plain && checked.defaults.is_empty() {
        known.plain.get_or_init(|| (checked.kind, checked.measured));
    }
    Ok(checked)
}

fn newly_checked(
    limits: &GuardLimits,
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
) -> Result<Checked, Refused> {
    let operation = &chosen(document, operation_name)?.node;

    let mut walk = Walk::new(limits, document, operation, variables);
    let mut spread_at_most = 0;
    let mut copied_at_most = 0;
    for fragment in document.fragments.keys() {
        let spread = walk.fragment(fragment, 0).map_err(|breach| refused(breach, limits))?;
        spread_at_most = spread.selections.max(spread_at_most);
        copied_at_most = spread.variables.max(copied_at_most);
    }
    // Also of fragments that no operation spreads: the validator would look.
    measure::hold_selections(spread_at_most, limits)?;
    measure::hold_variables(copied_at_most, limits)?;
    let mut measured = Measured::default();
    for (_, definition) in document.operations.iter() {
        let whole = walk
            .operation(&definition.node)
            .map_err(|breach| refused(breach, limits))?;
        // Only the chosen operation runs and costs; but the validator walks them all.
        let runs = std::ptr::eq(&raw const definition.node, operation);
        measure::hold(&whole, limits, runs)?;
        measured.introspects |= whole.introspects;
        measured.selections = measured.selections.saturating_add(whole.selections);
        if runs {
            measured.depth = whole.depth;
            measured.cost = whole.cost;
            measured.variables = whole.variables;
        }
    }
    measure::hold_selections(measured.selections, limits)?;
    roots::check(document, operation)?;
    check_variables(operation, variables)?;
    let kind = operation.ty;
    let defaults = defaults(operation, variables);
    Ok(Checked {
        document: document.clone(),
        kind,
        measured,
        defaults,
    })
}

fn refused(breach: Breach<'_>, limits: &GuardLimits) -> Refused {
    match breach {
        Breach::Cycle(fragment) => Refused::Cycle {
            fragment: fragment.to_string(),
        },
        Breach::Chain => Refused::Limit {
            limit: "FRAGMENT_CHAIN",
            allowed: u64::from(limits.fragment_chain),
            found: None,
        },
        Breach::IntrospectionDepth(found) => Refused::Limit {
            limit: "INTROSPECTION_DEPTH",
            allowed: u64::from(limits.introspection_depth),
            found: Some(u64::from(found)),
        },
        Breach::IntrospectionLists => Refused::Limit {
            limit: "INTROSPECTION_LISTS",
            allowed: 2,
            found: None,
        },
    }
}

/// The parser's message is a drawing of several lines; its last line says what was expected.
fn syntax(error: ParseError) -> Refused {
    let at: Vec<Pos> = error.positions().collect();
    let message = match &error {
        ParseError::Syntax { message, start, .. } => {
            let expected = message
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .trim_start_matches("= ");
            format!(
                "Syntax error at line {}, column {}: {expected}.",
                start.line, start.column
            )
        }
        other => format!("Syntax error: {}.", other.to_string().trim_end_matches('.')),
    };
    Refused::Syntax { message, at }
}

fn chosen<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Result<&'d Positioned<OperationDefinition>, Refused> {
    let refuse = |message: String| Err(Refused::Operation { message });
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => match operations.get(name) {
            Some(operation) => Ok(operation),
            None => refuse(format!("The document has no operation named \"{}\".", short(name))),
        },
        (DocumentOperations::Single(_), Some(name)) => {
            refuse(format!("The document has no operation named \"{}\".", short(name)))
        }
        (DocumentOperations::Multiple(operations), None) => match operations.values().next() {
            Some(operation) if operations.len() == 1 => Ok(operation),
            _ => refuse("The document has several operations: name one in \"operationName\".".to_owned()),
        },
    }
}

/// A variable of a non-null type without a default must be given and not be null: the operation must not start.
fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Refused> {
    for definition in &operation.variable_definitions {
        let declared = &definition.node;
        let name: &Name = &declared.name.node;
        let given = variables.get(name);
        let missing = match given {
            Some(value) => *value == Value::Null,
            None => declared.default_value.is_none(),
        };
        if missing && !declared.var_type.node.nullable {
            return Err(Refused::Variable {
                name: name.to_string(),
                at: definition.pos,
            });
        }
    }
    Ok(())
}

/// The engine reads defaults for arguments, but not for `@skip` and `@include`: it is given them as if they were sent.
fn defaults(operation: &OperationDefinition, variables: &Variables) -> Vec<(Name, Value)> {
    let declared = operation.variable_definitions.iter().map(|definition| &definition.node);
    declared
        .filter(|declared| !variables.contains_key(&declared.name.node))
        .filter_map(|declared| {
            let default = declared.default_value.as_ref()?;
            Some((declared.name.node.clone(), default.node.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
