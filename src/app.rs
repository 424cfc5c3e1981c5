//! What a request may use, built once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use migration::{Migrator, MigratorTrait as _};
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::Db;
use crate::error::Error;
use crate::live::Hub;
use crate::store::{Scope, state};

/// Everything that commands and queries share. There is no other state: no globals.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub db: Db,
    /// Business time.
    pub clock: Clock,
    /// Wakes subscribers.
    pub hub: Arc<Hub>,
    /// Names the store in cursors.
    pub epoch: Uuid,
    /// This process, as it signs leases.
    pub process: Uuid,
    /// What configuration decides about the business.
    pub settings: Settings,
}

/// What configuration decides about the business.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether development's conveniences (moving the clock) are allowed.
    pub development: bool,
    /// Origins that customers may be sent back to.
    pub return_origins: Vec<String>,
    /// The most releases in one engine pass before all releases wait for an operator.
    pub most_releases: u64,
}

impl App {
    /// Opens a store, brings its tables up to date and takes over its clock.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store can't be reached; [`Error::Internal`] when its tables can't be brought up
    /// to date; [`Error::Configuration`] when its clock was moved and this is production.
    pub async fn open(options: &crate::db::Options, settings: Settings) -> Result<Self, Error> {
        let db = Db::connect(options).await?;
        migrate(&db).await?;
        let clock = Clock::default();
        let state = db
            .write("open_store", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                state::read_or_make(tx, &Scope::engine(), clock.now()).await
            })
            .await?;
        if state.clock_offset_micros != 0 && !settings.development {
            return Err(Error::configuration(
                "this store's clock was moved: it is a development store and can't be served in production mode",
            ));
        }
        clock.set_offset_micros(state.clock_offset_micros);
        Ok(Self {
            db,
            clock,
            hub: Arc::new(Hub::default()),
            epoch: state.epoch,
            process: crate::ids::new_id(),
            settings,
        })
    }

    /// Moves the business clock of the whole store so that `instant` is the present.
    ///
    /// # Errors
    /// [`Error::Forbidden`] in production.
    pub async fn set_clock(&self, instant: DateTime<Utc>) -> Result<(), Error> {
        if !self.settings.development {
            return Err(Error::Forbidden("development mode"));
        }
        let offset = Clock::offset_for(instant);
        self.db
            .write("set_clock", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                state::set_clock_offset(tx, &Scope::engine(), offset).await
            })
            .await?;
        self.clock.set_offset_micros(offset);
        Ok(())
    }

    /// Takes over the store's clock offset, which another process may have moved.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn follow_clock(&self) -> Result<(), Error> {
        if let Some(state) = state::read(self.db.read(), &Scope::engine()).await? {
            self.clock.set_offset_micros(state.clock_offset_micros);
        }
        Ok(())
    }
}

/// Brings the store's tables up to date. Processes that begin at once take turns.
///
/// # Errors
/// [`Error::Internal`] with what the store said.
pub async fn migrate(db: &Db) -> Result<(), Error> {
    db.alone("migrate", async |connection| {
        Migrator::up(&connection, None)
            .await
            .map_err(|error| Error::internal(format_args!("migrating: {error}")))
    })
    .await
}
