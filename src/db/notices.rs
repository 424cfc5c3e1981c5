//! Short messages between the processes of one PostgreSQL store. They may be lost; SQLite has none.

use sea_orm::sqlx::postgres::{PgListener, PgPoolOptions};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use super::Db;
use crate::error::Error;

/// Whether this store carries notices.
#[must_use]
pub fn carries(db: &Db) -> bool {
    db.backend() == DbBackend::Postgres
}

/// Sends a notice of less than 8,000 bytes to whoever listens to the channel.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn send(db: &Db, channel: &str, text: &str) -> Result<(), Error> {
    let notify = "select pg_notify($1, $2)";
    let statement = Statement::from_sql_and_values(db.backend(), notify, [channel.into(), text.into()]);
    db.read.query_one_raw(statement).await?;
    Ok(())
}

/// The notices of a channel, on a connection of their own.
#[derive(Debug)]
pub struct Notices {
    listener: PgListener,
}

/// Listens to a channel.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn listen(db: &Db, channel: &str) -> Result<Notices, Error> {
    let options = db.read.get_postgres_connection_pool().connect_options();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with((*options).clone());
    let mut listener = PgListener::connect_with(&pool).await.map_err(lost)?;
    listener.listen(channel).await.map_err(lost)?;
    Ok(Notices { listener })
}

impl Notices {
    /// The next notice; nothing when the connection was lost and is there again, so that some may have been missed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection is lost for good.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let notice = self.listener.try_recv().await.map_err(lost)?;
        Ok(notice.map(|notice| notice.payload().to_owned()))
    }
}

fn lost(error: sea_orm::sqlx::Error) -> Error {
    Error::Unavailable(error.to_string().into())
}
