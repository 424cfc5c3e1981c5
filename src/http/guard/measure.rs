//! The walk: each selection set's measure is the sum of its fields' and of what its spreads stand for.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};
use async_graphql_value::Value as Literal;

use super::Refused;
use crate::http::config::GuardLimits;

/// Lists of the schema that lead from a type to types; nested, they multiply the whole schema by itself.
const TYPE_LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];
/// How many of them may be nested: what the community's introspection query and its tools need.
const MOST_TYPE_LISTS: u32 = 2;

/// Text weighs like a node of a variable for each of so many bytes.
const BYTES_OF_A_NODE: usize = 64;

/// What a selection set stands for. Counts saturate: a bomb measures as very much, not as little.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    pub(super) depth: u32,
    pub(super) cost: u64,
    pub(super) selections: u64,
    pub(super) aliases: u64,
    pub(super) directives: u64,
    pub(super) root_fields: u64,
    /// What validation copies of variables: the size of each, once for each place that names it.
    pub(super) variables: u64,
    pub(super) introspects: bool,
    /// Fragments that spread one another below this place, at most.
    chain: u32,
    type_lists: u32,
}

impl Measure {
    /// Adds what stands beside it.
    fn add(&mut self, other: &Self) {
        self.depth = self.depth.max(other.depth);
        self.type_lists = self.type_lists.max(other.type_lists);
        self.chain = self.chain.max(other.chain);
        self.introspects |= other.introspects;
        for (sum, more) in [
            (&mut self.cost, other.cost),
            (&mut self.selections, other.selections),
            (&mut self.aliases, other.aliases),
            (&mut self.directives, other.directives),
            (&mut self.root_fields, other.root_fields),
            (&mut self.variables, other.variables),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What ends a walk.
pub(super) enum Breach<'d> {
    Cycle(&'d Name),
    Chain,
    IntrospectionDepth(u32),
    IntrospectionLists,
}

enum Known {
    Open,
    Done(Measure),
}

/// One walk over one document; every fragment is entered once.
pub(super) struct Walk<'d> {
    limits: &'d GuardLimits,
    document: &'d ExecutableDocument,
    chosen: &'d OperationDefinition,
    variables: &'d Variables,
    /// Sizes of the variables met so far.
    sizes: HashMap<&'d Name, u64>,
    known: HashMap<&'d Name, Known>,
}

impl<'d> Walk<'d> {
    pub(super) fn new(
        limits: &'d GuardLimits,
        document: &'d ExecutableDocument,
        chosen: &'d OperationDefinition,
        variables: &'d Variables,
    ) -> Self {
        Self {
            limits,
            document,
            chosen,
            variables,
            sizes: HashMap::new(),
            known: HashMap::with_capacity(document.fragments.len()),
        }
    }

    pub(super) fn operation(&mut self, operation: &'d OperationDefinition) -> Result<Measure, Breach<'d>> {
        let mut measure = self.selection_set(&operation.selection_set.node, 0)?;
        self.add_directives(&mut measure, &operation.directives);
        for variable in &operation.variable_definitions {
            self.add_directives(&mut measure, &variable.node.directives);
        }
        if operation.ty == OperationType::Mutation {
            let base = measure.root_fields.saturating_mul(self.limits.mutation_cost);
            measure.cost = measure.cost.saturating_add(base);
        }
        Ok(measure)
    }

    /// A fragment's measure, `chain` fragments below an operation. An unknown fragment measures nothing: validation
    /// refuses it by name.
    pub(super) fn fragment(&mut self, name: &'d Name, chain: u32) -> Result<Measure, Breach<'d>> {
        match self.known.get(name) {
            Some(Known::Done(measure)) => return Ok(*measure),
            Some(Known::Open) => return Err(Breach::Cycle(name)),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Measure::default());
        };
        if chain >= self.limits.fragment_chain {
            return Err(Breach::Chain);
        }
        self.known.insert(name, Known::Open);
        let mut measure = self.selection_set(&fragment.node.selection_set.node, chain.saturating_add(1))?;
        self.add_directives(&mut measure, &fragment.node.directives);
        // Said of the fragment, not of the way to it: which one is measured first must not matter.
        measure.chain = measure.chain.saturating_add(1);
        if measure.chain > self.limits.fragment_chain {
            return Err(Breach::Chain);
        }
        self.known.insert(name, Known::Done(measure));
        Ok(measure)
    }

    fn selection_set(&mut self, set: &'d SelectionSet, chain: u32) -> Result<Measure, Breach<'d>> {
        let mut sum = Measure::default();
        for item in &set.items {
            let (mut measure, directives) = match &item.node {
                Selection::Field(field) => (self.field(&field.node, chain)?, &field.node.directives),
                Selection::FragmentSpread(spread) => (
                    self.fragment(&spread.node.fragment_name.node, chain)?,
                    &spread.node.directives,
                ),
                Selection::InlineFragment(inline) => (
                    self.selection_set(&inline.node.selection_set.node, chain)?,
                    &inline.node.directives,
                ),
            };
            measure.selections = measure.selections.saturating_add(1);
            self.add_directives(&mut measure, directives);
            sum.add(&measure);
        }
        Ok(sum)
    }

    fn add_directives(&mut self, measure: &mut Measure, directives: &'d [Positioned<Directive>]) {
        measure.directives = measure.directives.saturating_add(wide(directives.len()));
        for directive in directives {
            self.add_variables(measure, &directive.node.arguments);
        }
    }

    fn add_variables(&mut self, measure: &mut Measure, arguments: &'d [(Positioned<Name>, Positioned<Literal>)]) {
        for (_, value) in arguments {
            let copied = self.copied(&value.node);
            measure.variables = measure.variables.saturating_add(copied);
        }
    }

    /// The sizes of the variables that a literal names, once for each time. The scan has bounded how deep it goes.
    fn copied(&mut self, literal: &'d Literal) -> u64 {
        match literal {
            Literal::Variable(name) => match self.sizes.get(name) {
                Some(size) => *size,
                None => {
                    let size = self.variable(name).map_or(1, weight);
                    self.sizes.insert(name, size);
                    size
                }
            },
            Literal::List(items) => items
                .iter()
                .fold(0, |sum, item| u64::saturating_add(sum, self.copied(item))),
            Literal::Object(fields) => fields
                .values()
                .fold(0, |sum, value| u64::saturating_add(sum, self.copied(value))),
            _ => 0,
        }
    }

    fn field(&mut self, field: &'d Field, chain: u32) -> Result<Measure, Breach<'d>> {
        let name = field.name.node.as_str();
        let below = self.selection_set(&field.selection_set.node, chain)?;
        let mut measure = below;
        if matches!(name, "__schema" | "__type") {
            let depth = below.depth.saturating_add(1);
            if depth > self.limits.introspection_depth {
                return Err(Breach::IntrospectionDepth(depth));
            }
            if below.type_lists > MOST_TYPE_LISTS {
                return Err(Breach::IntrospectionLists);
            }
            measure.introspects = true;
            measure.depth = 1;
            measure.type_lists = 0;
            measure.cost = 1;
        } else {
            measure.depth = below.depth.saturating_add(1);
            measure.type_lists = below.type_lists.saturating_add(u32::from(TYPE_LISTS.contains(&name)));
            let leaf = field.selection_set.node.items.is_empty();
            let own = self.limits.field_costs.get(name).copied().unwrap_or(u64::from(!leaf));
            measure.cost = own
                .saturating_add(below.cost)
                .saturating_mul(if leaf { 1 } else { self.size(field) });
        }
        self.add_variables(&mut measure, &field.arguments);
        measure.aliases = below.aliases.saturating_add(u64::from(field.alias.is_some()));
        measure.root_fields = 1;
        Ok(measure)
    }

    /// How many objects a field may answer: what `first` or `last` says, the length of `ids`, or what is configured.
    fn size(&self, field: &Field) -> u64 {
        let most = self.limits.page_size.max(1);
        let mut size = None;
        for (name, value) in &field.arguments {
            let asked = match name.node.as_str() {
                "first" | "last" => self.number(&value.node, most),
                "ids" => self.length(&value.node, most),
                _ => continue,
            };
            size = size.max(asked);
        }
        let size = size.or_else(|| self.limits.list_sizes.get(field.name.node.as_str()).copied());
        size.unwrap_or(1).clamp(1, most)
    }

    /// `None` for null, which is the same as an argument that is not there. What is no number counts as the most.
    fn number(&self, literal: &Literal, most: u64) -> Option<u64> {
        match literal {
            Literal::Null => None,
            Literal::Number(number) => Some(number.as_u64().unwrap_or(most)),
            Literal::Variable(name) => match self.variable(name) {
                None | Some(Value::Null) => None,
                Some(Value::Number(number)) => Some(number.as_u64().unwrap_or(most)),
                Some(_) => Some(most),
            },
            _ => Some(most),
        }
    }

    fn length(&self, literal: &Literal, most: u64) -> Option<u64> {
        match literal {
            Literal::Null => None,
            Literal::List(list) => Some(wide(list.len())),
            Literal::Variable(name) => match self.variable(name) {
                None | Some(Value::Null) => None,
                Some(Value::List(list)) => Some(wide(list.len())),
                Some(_) => Some(1),
            },
            Literal::Object(_) | Literal::Binary(_) => Some(most),
            _ => Some(1),
        }
    }

    /// A variable's value, or the default the chosen operation declares.
    fn variable(&self, name: &Name) -> Option<&Value> {
        self.variables.get(name).or_else(|| {
            let declared = self
                .chosen
                .variable_definitions
                .iter()
                .find(|variable| variable.node.name.node == *name)?;
            declared.node.default_value.as_ref().map(|value| &value.node)
        })
    }
}

/// Compares an operation's measure with the limits; cost and variables count only for the one that runs.
pub(super) fn hold(measure: &Measure, limits: &GuardLimits, runs: bool) -> Result<(), Refused> {
    let cost = if runs { measure.cost } else { 0 };
    let variables = if runs { measure.variables } else { 0 };
    hold_selections(measure.selections, limits)?;
    hold_variables(variables, limits)?;
    for (limit, found, allowed) in [
        ("DEPTH", u64::from(measure.depth), u64::from(limits.depth)),
        ("ALIASES", measure.aliases, limits.aliases),
        ("DIRECTIVES", measure.directives, limits.directives),
        ("ROOT_FIELDS", measure.root_fields, limits.root_fields),
        ("COST", cost, limits.cost),
    ] {
        if found > allowed {
            return Err(Refused::Limit {
                limit,
                allowed,
                found: Some(found),
            });
        }
    }
    Ok(())
}

/// Compares what a validator would walk with the limit.
pub(super) fn hold_selections(found: u64, limits: &GuardLimits) -> Result<(), Refused> {
    if found > limits.selections {
        return Err(Refused::Limit {
            limit: "SELECTIONS",
            allowed: limits.selections,
            found: Some(found),
        });
    }
    Ok(())
}

/// Compares what a validator would copy of variables with the limit.
pub(super) fn hold_variables(found: u64, limits: &GuardLimits) -> Result<(), Refused> {
    if found > limits.variables {
        return Err(Refused::Limit {
            limit: "VARIABLES",
            allowed: limits.variables,
            found: Some(found),
        });
    }
    Ok(())
}

/// How much a value is: its nodes, and one more for each 64 bytes of text. JSON's reader and the scan have bounded how
/// deep it goes.
fn weight(value: &Value) -> u64 {
    let below = match value {
        Value::String(text) => wide(text.len() / BYTES_OF_A_NODE),
        Value::List(items) => items.iter().map(weight).fold(0, u64::saturating_add),
        Value::Object(fields) => fields.values().map(weight).fold(0, u64::saturating_add),
        _ => 0,
    };
    below.saturating_add(1)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
