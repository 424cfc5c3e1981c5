//! What a request may use, built once.

mod memory;

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use entity::store_state;
use migration::{Migrator, MigratorTrait as _};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::{Db, notices};
use crate::error::Error;
use crate::gateways::sandbox::Sandbox;
use crate::gateways::{Gateway, Gateways};
use crate::live::Hub;
use crate::store::remembered::Remembered;
use crate::store::{Scope, state};

/// Everything that commands and queries share. There is no other state: no globals.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub db: Db,
    /// Business time.
    pub clock: Arc<Clock>,
    /// Wakes subscribers.
    pub hub: Arc<Hub>,
    /// Names the store in cursors.
    pub epoch: Uuid,
    /// This process, as it signs leases.
    pub process: Uuid,
    /// What configuration decides about the business.
    pub settings: Settings,
    /// Quotes that this process made, and what their accounts pay from.
    pub remembered: Remembered,
    /// The payment gateways.
    pub gateways: Gateways,
    /// The sandbox among them; development only.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Under which address people and gateways reach this process.
    public_url: OnceLock<String>,
    /// Held while the store's clock offset is moved or taken over: who read an older one never stores it later.
    following: Mutex<()>,
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
    /// Opens a store, brings its tables up to date and takes over its clock. The first production process makes it a
    /// store of production, whose clock no process moves any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store can't be reached; [`Error::Internal`] when its tables can't be brought up
    /// to date; [`Error::Configuration`] when its clock was moved and this is production.
    pub async fn open(options: &crate::db::Options, settings: Settings) -> Result<Self, Error> {
        let db = Db::connect(options).await?;
        migrate(&db).await?;
        let clock = Arc::new(Clock::default());
        let production = !settings.development;
        let state = db
            .write("open_store", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                let engine = Scope::engine();
                let state = state::read_or_make(tx, &engine, clock.now()).await?;
                if production && !state.production {
                    // Under the lock, so that nobody moves the clock meanwhile.
                    still(&state::lock(tx, &engine).await?)?;
                    state::set_production(tx, &engine).await?;
                } else if production {
                    still(&state)?;
                }
                Ok(state)
            })
            .await?;
        clock.set_offset_micros(state.clock_offset_micros);
        let sandbox = settings.development.then(|| {
            let memory = Arc::new(memory::InStore(db.clone()));
            Arc::new(Sandbox::new(memory, Arc::clone(&clock), state.epoch))
        });
        let gateways = sandbox.iter().map(|sandbox| Arc::clone(sandbox) as Arc<dyn Gateway>);
        Ok(Self {
            gateways: Gateways::of(gateways.collect()),
            sandbox,
            remembered: Remembered::default(),
            public_url: OnceLock::new(),
            clock,
            hub: Arc::new(Hub::new(notices::carries(&db))),
            db,
            epoch: state.epoch,
            process: crate::ids::new_id(),
            settings,
            following: Mutex::new(()),
        })
    }

    /// Adds the gateways that are configured to those that are there.
    #[must_use]
    pub fn with_gateways(mut self, configured: Vec<Arc<dyn Gateway>>) -> Self {
        self.gateways = Gateways::of(configured.into_iter().chain(self.gateways.all().cloned()).collect());
        self
    }

    /// Under which address people and gateways reach this process. Nothing but a process that serves begins a payment, and
    /// one that serves knows.
    #[must_use]
    pub fn public_url(&self) -> &str {
        self.public_url.get().map_or("http://localhost", String::as_str)
    }

    /// Says under which address this process is reached; once.
    pub fn is_reached_at(&self, url: String) {
        // Said before, it stays.
        let _ = self.public_url.set(url.trim_end_matches('/').to_owned());
    }

    /// Moves the business clock of the whole store so that `instant` is the present.
    ///
    /// # Errors
    /// [`Error::Forbidden`] in production; [`Error::Configuration`] for a store that was run in it, whatever the mode of
    /// this process.
    pub async fn set_clock(&self, instant: DateTime<Utc>) -> Result<(), Error> {
        self.move_clock(instant, false).await
    }

    /// Moves the business clock forward, as [`App::set_clock`] does, and notes that the engine makes its pass at the
    /// instant: no other process sees the one without the other and takes the time between for one without an engine.
    ///
    /// # Errors
    /// Those of [`App::set_clock`].
    pub async fn advance_clock(&self, instant: DateTime<Utc>) -> Result<(), Error> {
        self.move_clock(instant, true).await
    }

    async fn move_clock(&self, instant: DateTime<Utc>, as_a_pass: bool) -> Result<(), Error> {
        if !self.settings.development {
            return Err(Error::Forbidden("development mode"));
        }
        let _following = self.following.lock().await;
        let offset = self
            .db
            .write("set_clock", async |tx| {
                let tx = &*tx;
                tx.is_replayable();
                let engine = Scope::engine();
                let state = state::lock(tx, &engine).await?;
                if state.production {
                    return Err(Error::configuration(
                        "this store was run in production: its clock can't be moved. Move time in a store of its own, \
                         named by --database-url or BILLING_DATABASE_URL",
                    ));
                }
                let mut offset = Clock::offset_for(instant);
                if as_a_pass {
                    offset = offset.max(state.clock_offset_micros);
                    state::note_pass(tx, &engine, instant).await?;
                }
                state::set_clock_offset(tx, &engine, offset).await?;
                Ok(offset)
            })
            .await?;
        self.clock.set_offset_micros(offset);
        Ok(())
    }

    /// Takes over the store's clock offset, which another process may have moved.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer; [`Error::Configuration`] in production when there is an
    /// offset: it is not taken over.
    pub async fn follow_clock(&self) -> Result<(), Error> {
        let _following = self.following.lock().await;
        if let Some(state) = state::read(self.db.read(), &Scope::engine()).await? {
            if !self.settings.development {
                still(&state)?;
            }
            self.clock.set_offset_micros(state.clock_offset_micros);
        }
        Ok(())
    }
}

/// Whether a store's clock is the machine's, as it is in production. Errors: [`Error::Configuration`] when it was moved.
fn still(state: &store_state::Model) -> Result<(), Error> {
    if state.clock_offset_micros == 0 {
        return Ok(());
    }
    Err(Error::configuration(
        "this store's clock was moved: it is a development store and can't be served in production mode",
    ))
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

#[cfg(test)]
mod tests;
