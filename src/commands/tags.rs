//! Customers' tags: of many resources at once, each with its own result. System tags are ours and stay.

use std::collections::{BTreeMap, BTreeSet};

use entity::enums::{EventType, TagKind};
use entity::resource_tag;
use uuid::Uuid;

use crate::app::App;
use crate::db::writes::Writes;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::{lifecycle, many, text};
use crate::error::Error;
use crate::store::event_log::{self, News};
use crate::store::{Scope, resources};

/// The most tags of a resource, system tags included.
pub const MOST_TAGS: usize = 50;
/// The longest key.
const MAX_KEY: usize = 64;
/// The longest value.
const MAX_VALUE: usize = 256;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TagResources {
    /// Whose resources.
    pub account: Uuid,
    /// The resources.
    pub resources: Vec<Uuid>,
    /// Tags that are written: key and value. One that is there gets another value.
    pub set: Vec<(String, String)>,
    /// Keys of tags that are removed. One that is not there is none.
    pub remove: Vec<String>,
}

/// Writes and removes tags. Answers what became of each resource, in the order they were named; those that were refused
/// leave the others as they are.
///
/// Source: rule "Tags" in ARCHITECTURE, section Life.
///
/// # Errors
/// Refused as a whole with NOTHING_TO_BUY, TOO_MANY_ITEMS, DUPLICATE_RESOURCE, INVALID_TEXT; one by one with
/// RESOURCE_NOT_FOUND, SYSTEM_TAG, LIMIT_EXCEEDED, STATE_CONFLICT.
pub async fn tag(app: &App, scope: &Scope, input: TagResources) -> Result<Vec<Result<(), Refusal>>, Error> {
    many::check(&input.resources)?;
    let (set, remove) = checked(input.set, input.remove)?;
    let now = app.clock.now();
    let (results, newest) = app
        .db
        .write("tag_resources", async |tx| {
            let tx = &*tx;
            tx.is_replayable();
            let rows = resources::lock(tx, scope, input.account, &input.resources).await?;
            let mut tags = resources::tags(&**tx, scope, &input.resources).await?;
            let (mut results, mut news) = (Vec::with_capacity(input.resources.len()), Vec::new());
            let (mut written, mut removed) = (Vec::new(), Vec::new());
            for id in &input.resources {
                let Some(row) = rows.get(id) else {
                    results.push(Err(many::missing()));
                    continue;
                };
                if lifecycle::is_over(row.life) {
                    let state = lifecycle::display_status(row.life, row.power);
                    results.push(Err(Refusal::state_conflict("TAG", state.as_str(), Vec::new())));
                    continue;
                }
                let before = tags.remove(id).unwrap_or_default();
                match changes(&before, &set, &remove) {
                    Err(refusal) => results.push(Err(refusal)),
                    Ok((new, gone)) => {
                        results.push(Ok(()));
                        if new.is_empty() && gone.is_empty() {
                            continue;
                        }
                        written.extend(new.into_iter().map(|(key, value)| resource_tag::Model {
                            resource_id: *id,
                            key,
                            account_id: input.account,
                            kind: TagKind::Customer,
                            value,
                        }));
                        removed.extend(gone.into_iter().map(|key| (*id, key)));
                        news.push(News::of(EventType::ResourceChanged).resource(*id));
                    }
                }
            }
            resources::write_tags(tx, scope, written, &removed).await?;
            let mut writes = Writes::of(tx);
            event_log::append(&mut writes, scope, input.account, &news, now)?;
            Ok((results, writes.send(tx).await?))
        })
        .await?;
    if let Some(newest) = newest {
        app.hub.wake(input.account, newest);
    }
    Ok(results)
}

fn checked(
    set: Vec<(String, String)>,
    remove: Vec<String>,
) -> Result<(BTreeMap<String, String>, BTreeSet<String>), Refusal> {
    if set.is_empty() && remove.is_empty() {
        let refusal = Refusal::new(
            RefusalCode::NothingToBuy,
            "Name at least one tag to write or to remove.",
        );
        return Err(refusal.under("set"));
    }
    for (field, count) in [("set", set.len()), ("remove", remove.len())] {
        if count > MOST_TAGS {
            let message = format!("Name at most {MOST_TAGS} tags at once.");
            return Err(Refusal::new(RefusalCode::TooManyItems, message).under(field));
        }
    }
    let mut written = BTreeMap::new();
    for (place, (key, value)) in set.into_iter().enumerate() {
        let within = |refusal: Refusal, field: &str| refusal.under(field).under(place).under("set");
        let key = text::line(&key, MAX_KEY).map_err(|refusal| within(refusal, "key"))?;
        let value = text::line(&value, MAX_VALUE).map_err(|refusal| within(refusal, "value"))?;
        if written.insert(key, value).is_some() {
            let refusal = Refusal::new(RefusalCode::InvalidText, "This key is named twice. Write one value.");
            return Err(within(refusal, "key"));
        }
    }
    let mut removed = BTreeSet::new();
    for (place, key) in remove.into_iter().enumerate() {
        let within = |refusal: Refusal| refusal.under(place).under("remove");
        let key = text::line(&key, MAX_KEY).map_err(within)?;
        if written.contains_key(&key) {
            let refusal = Refusal::new(RefusalCode::InvalidText, "This key is written and removed. Choose one.");
            return Err(within(refusal));
        }
        removed.insert(key);
    }
    Ok((written, removed))
}

/// What is really written and removed of a resource's tags.
type Changes = (Vec<(String, String)>, Vec<String>);

fn changes(
    before: &[resource_tag::Model],
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> Result<Changes, Refusal> {
    let named = |tag: &&resource_tag::Model| set.contains_key(&tag.key) || remove.contains(&tag.key);
    if let Some(tag) = before.iter().filter(named).find(|tag| tag.kind == TagKind::System) {
        let message = format!("{} is a system tag: it stays as it is. Take another key.", tag.key);
        return Err(Refusal::new(RefusalCode::SystemTag, message));
    }
    let value_of = |key: &String| before.iter().find(|tag| tag.key == *key).map(|tag| &tag.value);
    let new = set.iter().filter(|(key, value)| value_of(key) != Some(*value));
    let gone = before.iter().filter(|tag| remove.contains(&tag.key));
    let added = set.keys().filter(|key| value_of(key).is_none()).count();
    if before.len() + added > MOST_TAGS + gone.clone().count() {
        let message = format!("A resource has at most {MOST_TAGS} tags. Remove some first.");
        return Err(Refusal::new(RefusalCode::LimitExceeded, message));
    }
    Ok((
        new.map(|(key, value)| (key.clone(), value.clone())).collect(),
        gone.map(|tag| tag.key.clone()).collect(),
    ))
}
