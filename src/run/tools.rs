//! The subcommands that do one thing and stop.

use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta};
use entity::enums::Role;
use entity::{account, product};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::app::{self, App, Settings};
use crate::commands::seed;
use crate::config::{self, Mode, Seed, Store, Tick, Token};
use crate::db::{self, Db, proof};
use crate::error::Error;
use crate::graphql::Permission;
use crate::http::{Authenticator, Principal};
use crate::{clock, engine, live};

use super::serve::signing_secret;
use super::world;

pub(super) fn options(store: &Store) -> db::Options {
    db::Options::new(store.database_url.clone(), store.database_connections)
        .waiting(std::time::Duration::from_secs(store.database_wait_seconds))
}

fn settings(mode: Mode, most_releases: u64) -> Settings {
    Settings {
        development: mode == Mode::Development,
        return_origins: Vec::new(),
        most_releases,
    }
}

/// `migrate`.
///
/// # Errors
/// What the store said.
pub async fn migrate(store: &Store) -> Result<String, Error> {
    let db = Db::connect(&options(store)).await?;
    app::migrate(&db).await?;
    Ok("The store is up to date.".to_owned())
}

/// `seed`.
///
/// # Errors
/// What the store said.
pub async fn seed(wanted: &Seed) -> Result<String, Error> {
    let app = App::open(&options(&wanted.store), settings(Mode::Development, 100)).await?;
    if let Some(resources) = wanted.resources {
        let made = world::make(&app, world::SIZES, resources, wanted.seed).await?;
        return Ok(format!(
            "A catalogue, ACME and GLOBEX, and a world of {} accounts with {} resources. Its clock stands at {}.",
            made.accounts,
            made.resources,
            app.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true)
        ));
    }
    Ok(match seed::seed(&app).await? {
        Some(seeded) => {
            let accounts: Vec<String> = seeded
                .accounts
                .iter()
                .map(|(code, id)| format!("{code} {id}"))
                .collect();
            format!("A catalogue and two accounts:\n{}", accounts.join("\n"))
        }
        None => "The store has accounts already; nothing was changed.".to_owned(),
    })
}

/// `token`: a token for development, on one line.
///
/// # Errors
/// [`Error::NotFound`] for an account or product that is not there; [`Error::Configuration`] naming a missing option.
pub async fn token(options_given: &Token) -> Result<String, Error> {
    let store = &options_given.store;
    let secret = signing_secret(
        options_given.jwt_secret.as_ref(),
        Mode::Development,
        &config::secret_file(&store.database_url),
    )?;
    let role = options_given.role;
    let needs_account = matches!(role, Role::Owner | Role::BillingAdmin | Role::Viewer);
    let mut principal = Principal {
        subject: options_given.subject.clone(),
        account: None,
        serves: Vec::new(),
        role,
        permissions: Permission::of_role(role),
        product: None,
        expires_at: clock::machine_now() + TimeDelta::hours(i64::from(options_given.hours)),
    };
    if needs_account && options_given.account.is_none() {
        return Err(Error::configuration(format_args!(
            "--account is needed for the role {role}"
        )));
    }
    if role == Role::Product && options_given.product.is_none() {
        return Err(Error::configuration("--product is needed for the role PRODUCT"));
    }
    if role != Role::Partner && !options_given.serves.is_empty() {
        return Err(Error::configuration("--serves is for the role PARTNER"));
    }
    if options_given.account.is_some() || options_given.product.is_some() || !options_given.serves.is_empty() {
        let db = Db::connect(&options(store)).await?;
        if let Some(wanted) = &options_given.account {
            principal.account = Some(account_of(&db, wanted).await?);
        }
        for wanted in &options_given.serves {
            principal.serves.push(account_of(&db, wanted).await?);
        }
        if let Some(code) = &options_given.product {
            let found = product::Entity::find()
                .filter(product::Column::Code.eq(code.as_str()))
                .one(db.read())
                .await?;
            principal.product = Some(found.ok_or(Error::NotFound("product"))?.code);
        }
    }
    mint(&secret, &principal)
}

/// An account by its code or key.
async fn account_of(db: &Db, wanted: &str) -> Result<uuid::Uuid, Error> {
    let query = match config::as_uuid(wanted) {
        Some(id) => account::Entity::find_by_id(id),
        None => account::Entity::find().filter(account::Column::Code.eq(wanted)),
    };
    Ok(query.one(db.read()).await?.ok_or(Error::NotFound("account"))?.id)
}

/// Signs a token.
///
/// # Errors
/// [`Error::Internal`] for a secret that is too short.
pub fn mint(secret: &secrecy::SecretString, principal: &Principal) -> Result<String, Error> {
    Authenticator::hs256(secret)
        .map_err(Error::internal)?
        .mint(principal)
        .map_err(Error::internal)
}

/// The principal of a role in an account, with the role's own permissions, for some hours.
#[must_use]
pub fn principal(
    subject: &str,
    role: Role,
    account: Option<uuid::Uuid>,
    product: Option<&str>,
    hours: i64,
) -> Principal {
    Principal {
        subject: subject.to_owned(),
        account,
        serves: Vec::new(),
        role,
        permissions: Permission::of_role(role),
        product: product.map(str::to_owned),
        expires_at: clock::machine_now() + TimeDelta::hours(hours),
    }
}

/// `tick`.
///
/// # Errors
/// [`Error::Forbidden`] for `--until` in production; what the store said.
pub async fn tick(given: &Tick) -> Result<String, Error> {
    let app = App::open(&options(&given.store), settings(given.mode, given.most_releases)).await?;
    let app = Arc::new(app);
    let pass = async {
        match given.until {
            Some(until) => engine::advance(&app, until).await,
            None => engine::tick(&app).await,
        }
    };
    // The servers hear of each account as it is done, and of the last ones before this process ends.
    let passed = tokio::select! {
        passed = pass => passed?,
        () = live::announce(Arc::clone(&app)) => return Err(Error::internal("the relay ended")),
    };
    if let Err(error) = live::announce_now(&app).await {
        tracing::warn!(%error, "the servers could not be notified; their slow poll finds the alerts");
    }
    Ok(format!(
        "now {}: {} resources, {} steps, {} alerts, {} renewed, {} failed{}",
        app.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true),
        passed.resources,
        passed.steps,
        passed.alerts,
        passed.renewed,
        passed.failed,
        if passed.more { "; more is due" } else { "" }
    ))
}

/// `check-ledger`: the differences, none when the books agree.
///
/// # Errors
/// What the store said.
pub async fn check_ledger(store: &Store) -> Result<Vec<proof::Difference>, Error> {
    let db = Db::connect(&options(store)).await?;
    proof::differences(&db).await
}
