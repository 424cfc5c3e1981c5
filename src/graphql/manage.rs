//! What customers change of their resources without paying for it: the switch, auto-renewal, tags.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::enums::Role;
use uuid::Uuid;

use super::caller::{ManagesResources, Needs, Permission};
use super::errors::Result;
use super::quote;
use super::resource::Resource;
use super::session::{Reach as _, Session};
use super::user_error::{UserError, refused};
use crate::commands::auto_renew::{self, SetAutoRenew};
use crate::commands::power::{self, Switch};
use crate::commands::tags::{self, TagResources};
use crate::domain::many::{self, MOST_RESOURCES};
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// A resource to be switched.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SwitchResourceInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The resource.
    resource_id: ID,
}

/// What switching a resource did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SwitchResourcePayload {
    /// The resource as it now is; null when it was refused, and for a product's service.
    resource: Option<Resource>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// Resources that the engine is to renew, or not.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct SetAutoRenewInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The resources, 1 to 100.
    resource_ids: Vec<ID>,
    /// On or off.
    enabled: bool,
    /// By how many months each renewal goes on, 1 to 120; left as it is when absent.
    months: Option<i64>,
}

/// What became of one of many resources.
#[derive(Debug, SimpleObject)]
pub(crate) struct ResourceResult {
    /// The resource, as it was named.
    resource_id: ID,
    /// The resource as it now is; null when there is none.
    resource: Option<Resource>,
    /// Why it was left as it is; empty when it was not.
    user_errors: Vec<UserError>,
}

/// What setting auto-renewal did.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetAutoRenewPayload {
    /// What became of each resource, in the order they were named; empty when the whole was refused.
    results: Vec<ResourceResult>,
    /// Why the whole was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// A tag to be written.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct TagInput {
    /// The key: one line of 1 to 64 characters.
    key: String,
    /// The value: one line of 1 to 256 characters.
    value: String,
}

/// Tags to be written to resources and removed from them.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct TagResourcesInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The resources, 1 to 100.
    resource_ids: Vec<ID>,
    /// Tags that are written; one that is there gets another value. At most 50.
    #[graphql(default)]
    set: Vec<TagInput>,
    /// Keys of tags that are removed; one that is not there is none. At most 50.
    #[graphql(default)]
    remove: Vec<String>,
}

/// What writing tags did.
#[derive(Debug, SimpleObject)]
pub(crate) struct TagResourcesPayload {
    /// What became of each resource, in the order they were named; empty when the whole was refused.
    results: Vec<ResourceResult>,
    /// Why the whole was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

async fn switched(ctx: &Context<'_>, input: SwitchResourceInput, switch: Switch) -> Result<SwitchResourcePayload> {
    let session = ctx.session()?;
    let account = match session.caller.role {
        // A product's service knows resources, not whose they are.
        Role::Product if input.account_id.is_none() => None,
        Role::Product => return Err(Error::Forbidden("a token of that account").into()),
        _ => Some(session.account(input.account_id.as_ref()).await?),
    };
    let done = match quote::resource(&input.resource_id) {
        Ok(resource) => power::switch(&session.app, &session.scope, account, resource, switch)
            .await
            .map(|()| resource),
        Err(refusal) => Err(refusal.under("resourceId").into()),
    };
    Ok(match done {
        Ok(resource) => {
            session.forget();
            SwitchResourcePayload {
                // The service of a product sees no rows of accounts.
                resource: session.loaders().resources.load(resource).await?.map(Resource::from),
                user_errors: Vec::new(),
            }
        }
        Err(error) => SwitchResourcePayload {
            resource: None,
            user_errors: refused(error)?,
        },
    })
}

/// The keys of these ids. An id that is none of ours is that of no resource: it gets a key that nothing has.
fn keys(ids: &[ID]) -> std::result::Result<Vec<Uuid>, Refusal> {
    if ids.len() > MOST_RESOURCES {
        return Err(many::too_many());
    }
    let nothing = |place: usize| Uuid::from_u64_pair(0, u64::try_from(place).unwrap_or(u64::MAX));
    let key = |(place, id)| quote::resource(id).unwrap_or_else(|_| nothing(place));
    Ok(ids.iter().enumerate().map(key).collect())
}

/// What became of each resource, or why the whole was refused.
async fn results(
    session: &Session,
    ids: Vec<ID>,
    done: std::result::Result<Vec<std::result::Result<(), Refusal>>, Error>,
) -> Result<(Vec<ResourceResult>, Vec<UserError>)> {
    let done = match done {
        Ok(done) => done,
        Err(error) => return Ok((Vec::new(), refused(error)?)),
    };
    session.forget();
    let loaders = session.loaders();
    let mut results = Vec::with_capacity(ids.len());
    for ((place, id), done) in ids.into_iter().enumerate().zip(done) {
        let resource = match quote::resource(&id) {
            Ok(key) => loaders.resources.load(key).await?.map(Resource::from),
            Err(_) => None,
        };
        let user_errors = match done {
            Ok(()) => Vec::new(),
            Err(refusal) => refused(refusal.under(place).under("resourceIds").into())?,
        };
        results.push(ResourceResult {
            resource_id: id,
            resource,
            user_errors,
        });
    }
    Ok((results, Vec::new()))
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct ManageMutations;

#[Object]
impl ManageMutations {
    /// Switches a resource off. It is still paid for, and still ends. For customers, and for the service of its product.
    ///
    /// Codes: RESOURCE_NOT_FOUND, STATE_CONFLICT.
    #[graphql(guard = "ManagesResources")]
    async fn stop_resource(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The resource.")] input: SwitchResourceInput,
    ) -> Result<Option<SwitchResourcePayload>> {
        switched(ctx, input, Switch::Stop).await.map(Some)
    }

    /// Switches a resource on.
    ///
    /// Codes: RESOURCE_NOT_FOUND, STATE_CONFLICT.
    #[graphql(guard = "ManagesResources")]
    async fn start_resource(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The resource.")] input: SwitchResourceInput,
    ) -> Result<Option<SwitchResourcePayload>> {
        switched(ctx, input, Switch::Start).await.map(Some)
    }

    /// Switches a resource off and on.
    ///
    /// Codes: RESOURCE_NOT_FOUND, STATE_CONFLICT.
    #[graphql(guard = "ManagesResources")]
    async fn reboot_resource(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The resource.")] input: SwitchResourceInput,
    ) -> Result<Option<SwitchResourcePayload>> {
        switched(ctx, input, Switch::Reboot).await.map(Some)
    }

    /// Lets the engine renew resources from credit, or not, and by how many months. Each resource has its own result.
    ///
    /// Codes: NOTHING_TO_BUY, TOO_MANY_ITEMS, DUPLICATE_RESOURCE, INVALID_TERM; of one resource: RESOURCE_NOT_FOUND,
    /// STATE_CONFLICT.
    #[graphql(guard = "Needs(Permission::ManageResources)")]
    async fn set_auto_renew(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The resources, and whether they are renewed.")] input: SetAutoRenewInput,
    ) -> Result<Option<SetAutoRenewPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let done = match keys(&input.resource_ids) {
            Ok(resources) => {
                let asked = SetAutoRenew {
                    account,
                    resources,
                    enabled: input.enabled,
                    months: input.months,
                };
                auto_renew::set(&session.app, &session.scope, asked).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        let (results, user_errors) = results(session, input.resource_ids, done).await?;
        Ok(Some(SetAutoRenewPayload { results, user_errors }))
    }

    /// Writes tags to resources and removes others. Each resource has its own result. For owners: their reports are
    /// grouped by tags.
    ///
    /// Codes: NOTHING_TO_BUY, TOO_MANY_ITEMS, DUPLICATE_RESOURCE, INVALID_TEXT; of one resource: RESOURCE_NOT_FOUND,
    /// SYSTEM_TAG, LIMIT_EXCEEDED, STATE_CONFLICT.
    #[graphql(guard = "Needs(Permission::ManageTags)")]
    async fn tag_resources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The resources and their tags.")] input: TagResourcesInput,
    ) -> Result<Option<TagResourcesPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let done = match keys(&input.resource_ids) {
            Ok(resources) => {
                let asked = TagResources {
                    account,
                    resources,
                    set: input.set.into_iter().map(|tag| (tag.key, tag.value)).collect(),
                    remove: input.remove,
                };
                tags::tag(&session.app, &session.scope, asked).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        let (results, user_errors) = results(session, input.resource_ids, done).await?;
        Ok(Some(TagResourcesPayload { results, user_errors }))
    }
}
