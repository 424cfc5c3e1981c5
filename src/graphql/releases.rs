//! Releases that wait for an operator.

use async_graphql::{Context, Object, SimpleObject};

use super::caller::OperatorOnly;
use super::errors::Result;
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::releases as commands;

/// What an approval did.
#[derive(Debug, SimpleObject)]
pub(crate) struct ApproveReleasesPayload {
    /// Whether releases had been halted and go on now; null when it was refused.
    resumed: Option<bool>,
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
    async fn approve_releases(&self, ctx: &Context<'_>) -> Result<Option<ApproveReleasesPayload>> {
        let session = ctx.session()?;
        Ok(Some(match commands::approve(&session.app, &session.scope).await {
            Ok(resumed) => ApproveReleasesPayload {
                resumed: Some(resumed),
                user_errors: Vec::new(),
            },
            Err(error) => ApproveReleasesPayload {
                resumed: None,
                user_errors: refused(error)?,
            },
        }))
    }
}
