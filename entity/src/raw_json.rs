//! JSON that is read when somebody asks for it: lists carry it in every row, and most who list do not look at it.

use sea_orm::sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr};
use sea_orm::sqlx::Row as _;
use sea_orm::sqlx::types::Json;
use sea_orm::{ColIdx, ColumnType, DbErr, QueryResult, TryGetError, TryGetable, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// JSON as the database wrote it.
#[derive(Clone, Debug)]
pub struct RawJson(Box<str>);

impl RawJson {
    /// A value as JSON.
    ///
    /// # Errors
    /// When it is none that JSON has: a map with keys that are no text.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_string(value)?.into()))
    }

    /// The value that it is.
    ///
    /// # Errors
    /// When it is another one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

/// Databases write the same value in their own ways.
impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        let value = |json: &Self| json.read::<serde_json::Value>().ok();
        self.0 == other.0 || value(self).is_some_and(|own| Some(own) == value(other))
    }
}

impl Eq for RawJson {}

impl From<RawJson> for Value {
    /// What is no JSON is none, and the tables refuse that.
    fn from(json: RawJson) -> Self {
        Self::Json(json.read().ok().map(Box::new))
    }
}

impl Nullable for RawJson {
    fn null() -> Value {
        Value::Json(None)
    }
}

impl ValueType for RawJson {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::Json(Some(json)) => Ok(Self(json.to_string().into())),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "RawJson".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::Json
    }

    fn column_type() -> ColumnType {
        ColumnType::JsonBinary
    }
}

impl TryGetable for RawJson {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let Some(row) = row.try_as_pg_row() else {
            return Ok(Self(String::try_get_by(row, index)?.into()));
        };
        let json: Option<Json<Box<RawValue>>> = row
            .try_get(index.as_sqlx_postgres_index())
            .map_err(|error| TryGetError::DbErr(DbErr::Type(error.to_string())))?;
        let json = json.ok_or_else(|| TryGetError::Null(format!("{index:?}")))?;
        Ok(Self(json.0.get().into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_what_was_written_however_it_is_spaced() -> Result<(), serde_json::Error> {
        let written = RawJson::of(&json!([{ "a": 1, "b": "x" }]))?;
        let stored = RawJson(r#"[ {"b": "x", "a": 1} ]"#.into());
        assert_eq!(written, stored);
        assert_ne!(written, RawJson::of(&json!([]))?);
        assert_ne!(
            RawJson("{".into()),
            RawJson("[".into()),
            "what is no JSON is itself alone"
        );
        assert_eq!(stored.read::<Vec<serde_json::Value>>()?.len(), 1);
        assert!(stored.read::<u8>().is_err());
        assert_eq!(
            Value::from(stored),
            Value::Json(Some(Box::new(json!([{ "a": 1, "b": "x" }]))))
        );
        assert_eq!(Value::from(RawJson("{".into())), Value::Json(None));
        let back = <RawJson as ValueType>::try_from(Value::from(written.clone()));
        assert_eq!(back.ok(), Some(written));
        Ok(())
    }
}
