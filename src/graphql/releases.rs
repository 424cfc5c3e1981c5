//! Releases that wait for an operator.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::caller::OperatorOnly;
use super::errors::Result;
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::releases as commands;

/// An operator's approval.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ApproveReleasesInput {
    /// Whatever the client likes to find again in the answer.
    client_mutation_id: Option<String>,
}

/// What an approval did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ApproveReleasesPayload {
    /// Whether releases had been halted and go on now; null when it was refused.
    resumed: Option<bool>,
    /// What the client sent along.
    client_mutation_id: Option<String>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct ReleaseMutations;

#[Object]
impl ReleaseMutations {
    /// Lets releases go on that a halted engine keeps back. For operators. It has no codes of its own.
    #[graphql(guard = "OperatorOnly")]
    async fn approve_releases(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval.")] input: ApproveReleasesInput,
    ) -> Result<Option<ApproveReleasesPayload>> {
        let session = ctx.session()?;
        let client_mutation_id = input.client_mutation_id;
        Ok(Some(match commands::approve(&session.app, &session.scope).await {
            Ok(resumed) => ApproveReleasesPayload {
                resumed: Some(resumed),
                client_mutation_id,
                user_errors: Vec::new(),
            },
            Err(error) => ApproveReleasesPayload {
                resumed: None,
                client_mutation_id,
                user_errors: refused(error)?,
            },
        }))
    }
}
