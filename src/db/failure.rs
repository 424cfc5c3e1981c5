//! What a database error means: whether to try again, whose fault it is.

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use crate::error::Error;

/// The class of a database error: another writer in the way or a lost connection is [`Error::Unavailable`], the rest
/// is [`Error::Internal`]: the rules are checked before the store is asked, so a constraint that fires is a defect.
#[must_use]
pub fn classify(error: &DbErr) -> Error {
    let text = error.to_string();
    if is_passing(error) {
        Error::Unavailable(text.into())
    } else {
        Error::Internal(text.into())
    }
}

/// Whether the same statements may succeed when they are run again.
fn is_passing(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_ref() {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether a commit that failed like this may have been kept all the same: the connection was lost, or the server was
/// going away when it answered. What the database itself refuses to commit, it has undone.
#[must_use]
pub fn may_have_happened(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_ref() {
                sqlx::Error::Database(error) => error.code().is_some_and(|code| is_farewell(&code)),
                _ => true,
            }
        }
        _ => true,
    }
}

/// PostgreSQL ends the connection: shut down, crashed, or cut off.
fn is_farewell(code: &str) -> bool {
    code.len() == 5 && (matches!(code, "57P01" | "57P02") || code.starts_with("08"))
}

/// PostgreSQL: serialization failure, deadlock, lock not available, connection exceptions, shutting down, too many
/// connections. SQLite: busy and locked, with their extended codes in the upper bytes.
fn is_passing_code(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(
            code,
            "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "53300"
        ) || code.starts_with("08");
    }
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Whether a unique index refused a row.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sea_orm::sqlx;
    use sea_orm::{DbErr, RuntimeErr};

    use super::{is_farewell, is_passing_code, may_have_happened};

    #[test]
    fn a_commit_without_an_answer_may_have_happened() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = DbErr::Exec(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Io(lost))));
        assert!(may_have_happened(&lost));
        for code in ["57P01", "08006"] {
            assert!(is_farewell(code), "{code}");
        }
        for code in ["5", "40001", "40P01", "23505"] {
            assert!(!is_farewell(code), "{code}");
        }
    }

    #[test]
    fn busy_deadlock_and_lost_connections_pass_and_broken_constraints_do_not() {
        for passing in ["5", "6", "517", "261", "40001", "40P01", "57P01", "08006"] {
            assert!(is_passing_code(passing), "{passing}");
        }
        for lasting in ["19", "2067", "1", "23505", "23514", "42P01"] {
            assert!(!is_passing_code(lasting), "{lasting}");
        }
    }
}
