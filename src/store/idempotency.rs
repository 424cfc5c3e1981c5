//! A mutation that moves money happens once for a key, however often it is sent.

use chrono::{DateTime, Utc};
use entity::idempotency_key;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel, QueryTrait as _};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Scope;
use crate::db::Tx;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::text;
use crate::error::Error;

/// What a claim found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used the key before: go on. A refusal undoes the claim with all the rest.
    New,
    /// The same was asked before, and made this.
    Done(Uuid),
}

/// What makes a repeated call the same call.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The account that is acted on.
    pub account: Uuid,
    /// The operation's name.
    pub operation: &'static str,
    /// The caller's key, 1 to 255 characters.
    pub key: &'a str,
}

/// Claims a key, for an outcome whose id is already known. A second call with the same key waits here until the first
/// has ended.
///
/// # Errors
/// Refused with IDEMPOTENCY_KEY_INVALID for a key that is empty or too long, and with IDEMPOTENCY_KEY_REUSED when it
/// stands for another input.
pub async fn claim(
    tx: &Tx,
    scope: &Scope,
    key: Key<'_>,
    input: &impl Serialize,
    outcome: Uuid,
    now: DateTime<Utc>,
) -> Result<Claim, Error> {
    text::idempotency_key(key.key).map_err(|refusal| refusal.under("idempotencyKey"))?;
    let input_hash = hash(input)?;
    let row = idempotency_key::Model {
        account_id: key.account,
        principal: scope.principal().to_owned(),
        operation: key.operation.to_owned(),
        key: key.key.to_owned(),
        input_hash: input_hash.clone(),
        outcome_id: outcome,
        created_at: now,
    };
    let id = (
        row.account_id,
        row.principal.clone(),
        row.operation.clone(),
        row.key.clone(),
    );
    let claiming =
        idempotency_key::Entity::insert(row.into_active_model()).on_conflict(OnConflict::new().do_nothing().to_owned());
    if let Some(at_once) = tx.at_once() {
        // A key that was used undoes the whole.
        at_once.claim(claiming.into_query(), 10);
        return Ok(Claim::New);
    }
    let written = claiming.exec_without_returning(&**tx).await?;
    if written == 1 {
        tx.is_replayable();
        return Ok(Claim::New);
    }
    let Some(first) = idempotency_key::Entity::find_by_id(id).one(&**tx).await? else {
        // The first call was undone between the two statements.
        return Err(Error::Unavailable("the idempotency key was in use a moment ago".into()));
    };
    if first.input_hash == input_hash {
        Ok(Claim::Done(first.outcome_id))
    } else {
        Err(Refusal::new(
            RefusalCode::IdempotencyKeyReused,
            "this idempotency key was used with another input: make a new key for a new purchase",
        )
        .under("idempotencyKey")
        .into())
    }
}

fn hash(input: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_vec(input)?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}
