//! The sandbox's memory, in the store of the gateway that it is the other side of.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::sandbox_record;
use serde_json::Value;

use crate::db::Db;
use crate::error::Error;
use crate::gateways::sandbox::{Kept, Memory};
use crate::store::{Scope, sandbox};

/// Rows of the store.
#[derive(Debug)]
pub(super) struct InStore(pub(super) Db);

#[async_trait]
impl Memory for InStore {
    async fn read(&self, id: &str) -> Result<Option<Kept>, Error> {
        let row = sandbox::read(self.0.read(), &Scope::engine(), id).await?;
        Ok(row.map(|row| Kept {
            document: row.document,
            version: row.version,
        }))
    }

    async fn keep(
        &self,
        id: &str,
        document: Value,
        deliver_at: Option<DateTime<Utc>>,
        version: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let row = sandbox_record::Model {
            id: id.to_owned(),
            document,
            deliver_at,
            created_at: now,
            version: version.map_or(1, |version| version + 1),
        };
        self.0
            .write("sandbox", async |tx| {
                let tx = &*tx;
                sandbox::keep(tx, &Scope::engine(), row.clone()).await
            })
            .await
    }

    async fn due(&self, now: DateTime<Utc>, most: u64) -> Result<Vec<String>, Error> {
        sandbox::due(self.0.read(), &Scope::engine(), now, most).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Error> {
        sandbox::next_due(self.0.read(), &Scope::engine()).await
    }
}
