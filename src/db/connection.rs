//! What the queries of a transaction go to.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::at_once::AtOnce;

/// What the queries of a transaction go to.
#[derive(Debug)]
pub enum Connection {
    /// A transaction that was begun, and is committed when its body has ended.
    Begun(DatabaseTransaction),
    /// One that is a single statement: what is read before it is read without a lock.
    AtOnce(AtOnce),
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Begun(tx) => tx.get_database_backend(),
            Self::AtOnce(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Begun(tx) => tx.execute_raw(statement).await,
            Self::AtOnce(_) => Err(AtOnce::refusal()),
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Begun(tx) => tx.execute_unprepared(sql).await,
            Self::AtOnce(_) => Err(AtOnce::refusal()),
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Begun(tx) => tx.query_one_raw(statement).await,
            Self::AtOnce(at_once) => Ok(at_once.read(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Begun(tx) => tx.query_all_raw(statement).await,
            Self::AtOnce(at_once) => at_once.read(statement).await,
        }
    }
}
