//! What a request may use, built once.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Clock;
use crate::db::Db;
use crate::live::Hub;

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
    /// Beginnings of URLs that customers may be sent back to.
    pub return_urls: Vec<String>,
    /// The most releases in one engine pass before all releases wait for an operator.
    pub most_releases: u64,
}
