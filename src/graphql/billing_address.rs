//! To whom an account's invoices are written.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::billing_address;
use entity::enums::BillingAddressKind;
use uuid::Uuid;

use super::caller::{Needs, Permission};
use super::errors::Result;
use super::ids::{self, Kind, global};
use super::scalars::DateTime;
use super::session::Reach as _;
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::billing_addresses as commands;
use crate::domain::billing_address as rules;
use crate::error::Error;

#[derive(Clone, Debug)]
pub(crate) struct BillingAddress {
    row: Arc<billing_address::Model>,
    document: rules::BillingAddress,
}

impl BillingAddress {
    pub(crate) fn of(row: Arc<billing_address::Model>) -> Result<Self> {
        let document = read(&row.document)?;
        Ok(Self { row, document })
    }
}

/// To whom an account's invoices are written. Each invoice keeps the default one as it was when it was issued.
#[Object]
impl BillingAddress {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::BillingAddress, self.row.id)
    }

    /// What kind of customer it names.
    async fn kind(&self) -> BillingAddressKind {
        self.document.kind
    }

    /// The name of the enterprise or of the person.
    async fn name(&self) -> &str {
        &self.document.name
    }

    /// Where they are, in lines.
    async fn address_lines(&self) -> &[String] {
        &self.document.address_lines
    }

    /// The tax code of an enterprise.
    async fn tax_code(&self) -> Option<&str> {
        self.document.tax_code.as_deref()
    }

    /// The personal number of a person.
    async fn personal_number(&self) -> Option<&str> {
        self.document.personal_number.as_deref()
    }

    /// Where electronic invoices are sent.
    async fn email(&self) -> Option<&str> {
        self.document.email.as_deref()
    }

    /// Whether invoices are written to it; one of an account's addresses is the default one.
    async fn is_default(&self) -> bool {
        self.row.is_default
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When it was changed last.
    async fn changed_at(&self) -> DateTime {
        self.row.changed_at.into()
    }
}

/// To whom an invoice was written: the account's default billing address, as it was.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct InvoiceAddress {
    /// What kind of customer it names.
    kind: BillingAddressKind,
    /// The name of the enterprise or of the person.
    name: String,
    /// Where they are, in lines.
    address_lines: Vec<String>,
    /// The tax code of an enterprise.
    tax_code: Option<String>,
    /// The personal number of a person.
    personal_number: Option<String>,
    /// Where electronic invoices are sent.
    email: Option<String>,
}

impl InvoiceAddress {
    /// What an invoice keeps.
    pub(crate) fn read(stored: &serde_json::Value) -> Result<Self> {
        let kept = read(stored)?;
        Ok(Self {
            kind: kept.kind,
            name: kept.name,
            address_lines: kept.address_lines,
            tax_code: kept.tax_code,
            personal_number: kept.personal_number,
            email: kept.email,
        })
    }
}

fn read(stored: &serde_json::Value) -> Result<rules::BillingAddress> {
    Ok(serde::Deserialize::deserialize(stored).map_err(Error::from)?)
}

/// The billing addresses of an account, the default one first.
pub(crate) async fn of_account(ctx: &Context<'_>, account: Uuid) -> Result<Vec<BillingAddress>> {
    let found = ctx.loaders()?.billing_addresses_of_account.must(account).await?;
    found.into_iter().map(BillingAddress::of).collect()
}

/// By what a customer is known.
#[derive(Clone, Debug, OneofObject)]
pub(crate) enum BillingIdentityInput {
    /// An enterprise, by its tax code: 10 digits, or 10 digits, a hyphen and the 3 digits of a branch.
    TaxCode(String),
    /// A person, by their personal number: 12 digits.
    PersonalNumber(String),
}

/// A billing address to be made or changed.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SetBillingAddressInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// Which one is changed; a new one is made when absent.
    billing_address_id: Option<ID>,
    /// By what the customer is known: this says whether it is an enterprise or a person.
    identity: BillingIdentityInput,
    /// The name of the enterprise or of the person, 1 to 200 characters.
    name: String,
    /// Where they are: 1 to 5 lines of 1 to 200 characters.
    address_lines: Vec<String>,
    /// Where electronic invoices are sent.
    email: Option<String>,
    /// Makes it the default one, in place of the one that is. The first one is so by itself; the default one stays so until
    /// another one is made it.
    #[graphql(default)]
    is_default: bool,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and makes nothing twice.
    idempotency_key: String,
}

/// What setting a billing address did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetBillingAddressPayload {
    /// The address; null when it was refused.
    billing_address: Option<BillingAddress>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// A billing address to be given up.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct DeleteBillingAddressInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// Which one.
    billing_address_id: ID,
}

/// What deleting a billing address did.
#[derive(Debug, SimpleObject)]
pub(crate) struct DeleteBillingAddressPayload {
    /// The id of the address that is no more; null when it was refused.
    deleted_id: Option<ID>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct BillingAddressQueries;

#[Object]
impl BillingAddressQueries {
    /// To whom an account's invoices may be written, the default one first; at most 20.
    #[graphql(guard = "Needs(Permission::GetBilling)")]
    async fn billing_addresses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
    ) -> Result<Option<Vec<BillingAddress>>> {
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account).await.map(Some)
    }
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct BillingAddressMutations;

#[Object]
impl BillingAddressMutations {
    /// Makes a billing address, or changes one, once, however often it is sent. Invoices are written to the default one from
    /// then on; those that were issued keep theirs as it was.
    ///
    /// Codes: INVALID_ID, BILLING_ADDRESS_NOT_FOUND, LIMIT_EXCEEDED, INVALID_TEXT, INVALID_TAX_CODE, INVALID_PERSONAL_NUMBER,
    /// INVALID_EMAIL, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "Needs(Permission::ManageResources)")]
    async fn set_billing_address(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The address.")] input: SetBillingAddressInput,
    ) -> Result<Option<SetBillingAddressPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let refused_with = |user_errors| {
            Some(SetBillingAddressPayload {
                billing_address: None,
                user_errors,
            })
        };
        let address = match &input.billing_address_id {
            Some(id) => match ids::parse(id, Kind::BillingAddress) {
                Some(id) => Some(id),
                None => return Ok(refused_with(wrong_id("billingAddressId"))),
            },
            None => None,
        };
        let wanted = commands::SetAddress {
            account,
            address,
            given: rules::Given {
                identity: match input.identity {
                    BillingIdentityInput::TaxCode(code) => rules::Identity::TaxCode(code),
                    BillingIdentityInput::PersonalNumber(number) => rules::Identity::PersonalNumber(number),
                },
                name: input.name,
                address_lines: input.address_lines,
                email: input.email,
            },
            is_default: input.is_default,
            idempotency_key: input.idempotency_key,
        };
        let done = match commands::set(&session.app, &session.scope, wanted).await {
            Ok(done) => done,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        if done.replayed {
            session.was_replayed();
        }
        session.forget();
        // One that was deleted since is not there for a replay.
        let row = session.loaders().billing_addresses.load(done.address).await?;
        Ok(Some(SetBillingAddressPayload {
            billing_address: row.map(BillingAddress::of).transpose()?,
            user_errors: Vec::new(),
        }))
    }

    /// Gives a billing address up, but not the default one.
    ///
    /// Codes: INVALID_ID, BILLING_ADDRESS_NOT_FOUND, DEFAULT_BILLING_ADDRESS.
    #[graphql(guard = "Needs(Permission::ManageResources)")]
    async fn delete_billing_address(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which address.")] input: DeleteBillingAddressInput,
    ) -> Result<Option<DeleteBillingAddressPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let refused_with = |user_errors| {
            Some(DeleteBillingAddressPayload {
                deleted_id: None,
                user_errors,
            })
        };
        let Some(address) = ids::parse(&input.billing_address_id, Kind::BillingAddress) else {
            return Ok(refused_with(wrong_id("billingAddressId")));
        };
        let done = commands::delete(&session.app, &session.scope, account, address).await;
        session.forget();
        Ok(match done {
            Ok(()) => Some(DeleteBillingAddressPayload {
                deleted_id: Some(global(Kind::BillingAddress, address)),
                user_errors: Vec::new(),
            }),
            Err(error) => refused_with(refused(error)?),
        })
    }
}
