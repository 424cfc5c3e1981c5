//! The changes of the store, in order. One set serves SQLite and PostgreSQL.
//!
//! A migration that has been released is never edited: a later one changes what it made. Enum values stand here as
//! literals, because a migration tells what was true when it was written. Each is one transaction with the note that it
//! was made, on both databases.

pub use sea_orm_migration::prelude::*;

mod columns;
mod m20261123_000001_accounts;
mod m20261123_000002_catalogue;
mod m20261123_000003_purchases;
mod m20261123_000004_resources;
mod m20261123_000005_invoices;
mod m20261123_000006_telling;
mod m20261123_000007_engine;
mod m20261126_000008_actions;
mod m20261126_000009_renewals;
mod m20261126_000010_mail;
mod m20261126_000011_webhooks;
mod m20261126_000012_calls;
mod m20261127_000013_gateways;
mod m20261127_000014_linked;
mod m20261127_000015_histories;
mod m20261127_000016_links;

/// All changes, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_accounts::Migration),
            Box::new(m20261123_000002_catalogue::Migration),
            Box::new(m20261123_000003_purchases::Migration),
            Box::new(m20261123_000004_resources::Migration),
            Box::new(m20261123_000005_invoices::Migration),
            Box::new(m20261123_000006_telling::Migration),
            Box::new(m20261123_000007_engine::Migration),
            Box::new(m20261126_000008_actions::Migration),
            Box::new(m20261126_000009_renewals::Migration),
            Box::new(m20261126_000010_mail::Migration),
            Box::new(m20261126_000011_webhooks::Migration),
            Box::new(m20261126_000012_calls::Migration),
            Box::new(m20261127_000013_gateways::Migration),
            Box::new(m20261127_000014_linked::Migration),
            Box::new(m20261127_000015_histories::Migration),
            Box::new(m20261127_000016_links::Migration),
        ]
    }
}
