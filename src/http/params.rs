//! A GraphQL request's parameters, from JSON or from a query string; nothing is guessed, every wrong one is named.

use async_graphql::{Name, Value, Variables};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// The four parameters of GraphQL over HTTP, checked for their types.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Variables,
    pub(super) extensions: Map<String, Json>,
}

/// Why parameters could not be read: one sentence for the caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParams(pub(super) String);

/// A body's requests: one, or a batch.
#[derive(Debug)]
pub(super) enum Body {
    One(Params),
    Batch(Vec<Params>),
}

/// Reads a JSON body. A batch of more than `batch_limit` requests, or an empty one, is refused.
pub(super) fn from_body(bytes: &[u8], batch_limit: usize) -> Result<Body, BadParams> {
    let begins_with = bytes.trim_ascii_start().first();
    if begins_with.is_none() {
        return Err(BadParams(
            "The body is empty: send a JSON object with \"query\".".to_owned(),
        ));
    }
    // What most send is read as what it is. What does not fit says here only that, and below what is wrong with it. (The
    // library would take an array for the fields in their order.)
    if begins_with == Some(&b'{')
        && let Ok(plain) = serde_json::from_slice::<Plain>(bytes)
    {
        return plain.params().map(Body::One);
    }
    match parse(bytes)? {
        Json::Array(_) if batch_limit == 0 => Err(BadParams(
            "Batches are not accepted: send one request at a time.".to_owned(),
        )),
        Json::Array(requests) if requests.is_empty() || requests.len() > batch_limit => {
            Err(BadParams(format!("A batch has 1 to {batch_limit} requests.")))
        }
        Json::Array(requests) => requests
            .into_iter()
            .map(from_json)
            .collect::<Result<_, _>>()
            .map(Body::Batch),
        request => from_json(request).map(Body::One),
    }
}

/// One request, as nearly all are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    query: String,
    operation_name: Option<String>,
    variables: Option<Map<String, Json>>,
    extensions: Option<Map<String, Json>>,
}

impl Plain {
    fn params(self) -> Result<Params, BadParams> {
        Ok(Params {
            query: self.query,
            operation_name: self.operation_name,
            variables: variables(self.variables.unwrap_or_default())?,
            extensions: self.extensions.unwrap_or_default(),
        })
    }
}

/// Reads one request that is JSON already.
pub(super) fn from_json(request: Json) -> Result<Params, BadParams> {
    let Json::Object(mut object) = request else {
        return Err(BadParams(format!(
            "A request is a JSON object, not {}.",
            kind(&request)
        )));
    };
    let query = match object.remove("query") {
        Some(Json::String(query)) => query,
        None | Some(Json::Null) => return Err(BadParams("The parameter \"query\" is missing.".to_owned())),
        Some(other) => return Err(wrong("query", "a string", &other)),
    };
    let operation_name = match object.remove("operationName") {
        None | Some(Json::Null) => None,
        Some(Json::String(name)) => Some(name),
        Some(other) => return Err(wrong("operationName", "a string", &other)),
    };
    let variables = variables(map("variables", object.remove("variables"))?)?;
    let extensions = map("extensions", object.remove("extensions"))?;
    Ok(Params {
        query,
        operation_name,
        variables,
        extensions,
    })
}

/// Reads a query string's pairs; `variables` and `extensions` are JSON text. A parameter given twice is refused.
pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> Result<Params, BadParams> {
    let mut object = Map::new();
    for (name, text) in pairs {
        let value = match name.as_str() {
            "query" | "operationName" => Json::String(text),
            "variables" | "extensions" if text.is_empty() => Json::Null,
            "variables" | "extensions" => {
                parse(text.as_bytes()).map_err(|_| BadParams(format!("The parameter \"{name}\" is not JSON.")))?
            }
            _ => continue,
        };
        if object.insert(name.clone(), value).is_some() {
            return Err(BadParams(format!("The parameter \"{name}\" is given twice.")));
        }
    }
    from_json(Json::Object(object))
}

fn parse(bytes: &[u8]) -> Result<Json, BadParams> {
    serde_json::from_slice(bytes).map_err(|error| {
        BadParams(format!(
            "The body is not valid JSON: see line {}, column {}.",
            error.line(),
            error.column()
        ))
    })
}

fn map(name: &str, value: Option<Json>) -> Result<Map<String, Json>, BadParams> {
    match value {
        None | Some(Json::Null) => Ok(Map::new()),
        Some(Json::Object(map)) => Ok(map),
        Some(other) => Err(wrong(name, "an object", &other)),
    }
}

fn variables(map: Map<String, Json>) -> Result<Variables, BadParams> {
    let mut variables = Variables::default();
    for (name, value) in map {
        let value = Value::from_json(value)
            .map_err(|_| BadParams(format!("The variable \"{}\" cannot be read.", short(&name))))?;
        variables.insert(Name::new(name), value);
    }
    Ok(variables)
}

/// A name from outside, cut so that an answer never repeats a long text.
pub(super) fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(64).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn wrong(name: &str, wanted: &str, got: &Json) -> BadParams {
    BadParams(format!("The parameter \"{name}\" must be {wanted}, not {}.", kind(got)))
}

const fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
