//! The human codes of documents: gap-free per account, kind and year, because a number that is undone was never given.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use entity::enums::CodeKind;
use entity::{account, code_counter};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter as _, QueryTrait as _};

use super::Scope;
use crate::db::Tx;
use crate::db::at_once::AtOnce;
use crate::error::Error;

/// Codes that were taken in one statement, given out one by one.
#[derive(Debug)]
pub struct Codes {
    account: String,
    year: i32,
    next: HashMap<CodeKind, i64>,
    last: HashMap<CodeKind, i64>,
}

impl Codes {
    /// Codes from these numbers on, without a store that counts them.
    #[cfg(test)]
    pub(crate) fn from(account: &str, year: i32, next: HashMap<CodeKind, i64>) -> Self {
        Self {
            account: account.to_owned(),
            year,
            next,
            last: HashMap::new(),
        }
    }

    /// The last number of each kind that was taken.
    #[must_use]
    pub fn last(self) -> HashMap<CodeKind, i64> {
        self.last
    }

    /// The next code of a kind: `ORD-ACME-2026-000017`.
    ///
    /// # Errors
    /// [`Error::Internal`] when more are asked for than were taken.
    pub fn next(&mut self, kind: CodeKind) -> Result<String, Error> {
        let next = self
            .next
            .get_mut(&kind)
            .ok_or_else(|| Error::internal("no code of this kind was taken"))?;
        let number = *next;
        *next += 1;
        let prefix = match kind {
            CodeKind::Order => "ORD",
            CodeKind::Invoice => "INV",
            CodeKind::CreditNote => "CRN",
            CodeKind::Payment => "PAY",
        };
        Ok(format!("{prefix}-{}-{}-{number:06}", self.account, self.year))
    }
}

/// The business year of an instant: the one in the account's zone.
#[must_use]
pub fn year_of(zone: Tz, now: DateTime<Utc>) -> i32 {
    now.with_timezone(&zone).year()
}

/// Takes codes of several kinds at once, for documents of the business year of `now`.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn take(
    tx: &Tx,
    _scope: &Scope,
    account: &account::Model,
    zone: Tz,
    now: DateTime<Utc>,
    wanted: &[(CodeKind, usize)],
) -> Result<Codes, Error> {
    let year = year_of(zone, now);
    let mut rows = Vec::with_capacity(wanted.len());
    for (kind, count) in wanted.iter().filter(|(_, count)| *count > 0) {
        let last = i64::try_from(*count).map_err(Error::internal)?;
        rows.push(code_counter::Model {
            account_id: account.id,
            kind: *kind,
            year,
            last,
        });
    }
    let counts: HashMap<CodeKind, i64> = rows.iter().map(|row| (row.kind, row.last)).collect();
    let (mut next, mut last) = (HashMap::new(), HashMap::new());
    if !rows.is_empty() {
        // One order for everyone, so that two transactions never wait for each other.
        rows.sort_by_key(|row| row.kind);
        let taken = code_counter::Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
            .on_conflict(
                OnConflict::columns([
                    code_counter::Column::AccountId,
                    code_counter::Column::Kind,
                    code_counter::Column::Year,
                ])
                .value(
                    code_counter::Column::Last,
                    Expr::col((code_counter::Entity, code_counter::Column::Last))
                        .add(Expr::col(("excluded", code_counter::Column::Last))),
                )
                .to_owned(),
            )
            .exec_with_returning(&**tx)
            .await?;
        for row in taken {
            next.insert(row.kind, row.last - counts.get(&row.kind).copied().unwrap_or(0) + 1);
            last.insert(row.kind, row.last);
        }
    }
    Ok(Codes {
        account: account.code.clone(),
        year,
        next,
        last,
    })
}

/// Takes codes that come next after numbers that were read and not locked: whoever takes one of them meanwhile undoes the
/// whole.
///
/// # Errors
/// [`Error::Unavailable`] when there is no document of a kind yet: the first ones of a year are counted in a transaction.
pub fn take_as_read(
    at_once: &AtOnce,
    _scope: &Scope,
    account: &account::Model,
    year: i32,
    read: &HashMap<CodeKind, i64>,
    wanted: &[(CodeKind, usize)],
) -> Result<Codes, Error> {
    use code_counter::{Column, Entity};
    let (mut next, mut last) = (HashMap::new(), HashMap::new());
    let mut wanted: Vec<_> = wanted.iter().filter(|(_, count)| *count > 0).collect();
    // One order for everyone, as they are taken in.
    wanted.sort_by_key(|(kind, _)| *kind);
    for (kind, count) in wanted {
        let Some(before) = read.get(kind) else {
            return Err(Error::Unavailable(
                "no document of this kind and year is numbered yet".into(),
            ));
        };
        let after = before + i64::try_from(*count).map_err(Error::internal)?;
        let counting = Entity::update_many()
            .col_expr(Column::Last, Expr::val(after))
            .filter(Column::AccountId.eq(account.id))
            .filter(Column::Kind.eq(*kind))
            .filter(Column::Year.eq(year))
            .filter(Column::Last.eq(*before));
        at_once.guarded_behind(counting.into_query());
        next.insert(*kind, before + 1);
        last.insert(*kind, after);
    }
    Ok(Codes {
        account: account.code.clone(),
        year,
        next,
        last,
    })
}
