//! To whom an account's invoices are written.

use entity::billing_address;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::domain::billing_address::{BillingAddress, Given, MOST_ADDRESSES};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::error::Error;
use crate::ids;
use crate::store::idempotency::{self, Claim, Key};
use crate::store::{Scope, accounts, billing_addresses};

/// A billing address to be made or changed.
#[derive(Clone, Debug, Serialize)]
pub struct SetAddress {
    /// Whose.
    pub account: Uuid,
    /// Which one is changed; a new one is made when absent.
    pub address: Option<Uuid>,
    /// What it is to say.
    pub given: Given,
    /// Whether it becomes the default one. One that is stays so.
    pub is_default: bool,
    /// The caller's key.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// What setting an address did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// The address.
    pub address: Uuid,
    /// Whether this is the outcome of an earlier call with the same key.
    pub replayed: bool,
}

/// Makes a billing address, or changes one. The first one of an account is its default one.
///
/// Source: rule "Billing addresses" in ARCHITECTURE, section Money.
///
/// # Errors
/// Refused with BILLING_ADDRESS_NOT_FOUND, LIMIT_EXCEEDED, INVALID_TEXT, INVALID_TAX_CODE, INVALID_PERSONAL_NUMBER,
/// INVALID_EMAIL, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
pub async fn set(app: &App, scope: &Scope, input: SetAddress) -> Result<Set, Error> {
    let document = serde_json::to_value(BillingAddress::checked(input.given.clone())?)?;
    let now = app.clock.now();
    let id = input.address.unwrap_or_else(ids::new_id);
    app.db
        .write("set_billing_address", async |tx| {
            let tx = &*tx;
            let key = Key {
                account: input.account,
                operation: "set_billing_address",
                key: &input.idempotency_key,
            };
            if let Claim::Done(address) = idempotency::claim(tx, scope, key, &input, id, now).await? {
                return Ok(Set {
                    address,
                    replayed: true,
                });
            }
            let present = lock(tx, scope, input.account).await?;
            let row = match present.iter().find(|row| Some(row.id) == input.address) {
                Some(row) => billing_address::Model {
                    document: document.clone(),
                    is_default: row.is_default || input.is_default,
                    changed_at: now,
                    ..row.clone()
                },
                None if input.address.is_some() => return Err(unknown().into()),
                None => billing_address::Model {
                    id,
                    account_id: input.account,
                    document: document.clone(),
                    is_default: present.is_empty() || input.is_default,
                    created_at: now,
                    changed_at: now,
                    deleted_at: None,
                },
            };
            if input.address.is_none() && present.len() >= MOST_ADDRESSES {
                let message = format!("An account has at most {MOST_ADDRESSES} billing addresses. Delete one first.");
                return Err(Refusal::new(RefusalCode::LimitExceeded, message).into());
            }
            // The old one first: there are never two.
            let moves = present.iter().any(|other| other.is_default && other.id != id);
            if row.is_default && moves {
                billing_addresses::no_default(tx, scope, input.account, now).await?;
            }
            if input.address.is_some() {
                billing_addresses::update(tx, scope, row).await?;
            } else {
                billing_addresses::insert(tx, scope, row).await?;
            }
            Ok(Set {
                address: id,
                replayed: false,
            })
        })
        .await
}

/// Gives a billing address up. Invoices that were written to it keep it.
///
/// Source: rule "Billing addresses" in ARCHITECTURE, section Money.
///
/// # Errors
/// Refused with BILLING_ADDRESS_NOT_FOUND, DEFAULT_BILLING_ADDRESS.
pub async fn delete(app: &App, scope: &Scope, account: Uuid, address: Uuid) -> Result<(), Error> {
    let now = app.clock.now();
    app.db
        .write("delete_billing_address", async |tx| {
            let tx = &*tx;
            let mut present = lock(tx, scope, account).await?;
            present.retain(|row| row.id == address);
            let row = present.pop().ok_or_else(unknown)?;
            if row.is_default {
                let message = "Invoices are written to this address. Make another one the default first.";
                return Err(Refusal::new(RefusalCode::DefaultBillingAddress, message)
                    .under("billingAddressId")
                    .into());
            }
            let given_up = billing_address::Model {
                deleted_at: Some(now),
                ..row
            };
            billing_addresses::update(tx, scope, given_up).await
        })
        .await
}

/// An account's addresses. Until the transaction ends nobody else changes them.
async fn lock(tx: &crate::db::Tx, scope: &Scope, account: Uuid) -> Result<Vec<billing_address::Model>, Error> {
    accounts::lock(tx, scope, account).await?;
    let mut found = billing_addresses::of_accounts(&**tx, scope, &[account]).await?;
    Ok(found.remove(&account).unwrap_or_default())
}

fn unknown() -> Refusal {
    Refusal::new(RefusalCode::BillingAddressNotFound, "There is no such billing address.").under("billingAddressId")
}
