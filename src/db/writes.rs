//! Writes that are sent together. What a transaction writes at its end is known before the first row goes: it goes in
//! one round trip, whose price is a wake-up of two threads on SQLite and a journey over the network on PostgreSQL.
//!
//! PostgreSQL gets one statement, in which each write is a common table expression. SQLite knows no such writes: it
//! gets the statements one behind the other in one text. Order matters there (parents before children), and no write
//! may depend on what another one of them changes, except on the number that `count_up` counts.

use std::fmt::{self, Write as _};

use sea_orm::sea_query::{
    Expr, InsertStatement, PostgresQueryBuilder, Query, QueryBuilder, SelectStatement, SqlWriter as _, SqlWriterValues,
    SqliteQueryBuilder, SubQueryStatement, UpdateStatement,
};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use super::Tx;
use super::at_once::{AtOnce, Besides};
use crate::error::Error;

/// PostgreSQL takes 65,535 values in a statement.
const MOST_VALUES: usize = 60_000;
/// What a guarded write answers when it found its row.
const GUARDED: &str = "guarded";
/// What the database's log says of a statement whose guards did not hold.
const CHANGED: &str = "what is written here changed since it was read: nothing was written, and it is done again";
/// What the counted number is answered as.
const COUNTED: &str = "counted";

/// One of the writes.
#[derive(Debug)]
pub(super) enum Part {
    /// New rows that are values and nothing else.
    Rows(RowValues),
    /// New rows, of whatever expressions.
    Insert(InsertStatement),
    /// A new row that must not be there.
    Claimed(InsertStatement),
    /// A row that must still stand so.
    Still(RowValues),
    /// A change that must find exactly so many rows.
    Guarded(UpdateStatement, i64),
    /// The change that counts a number up.
    Counted(UpdateStatement),
}

/// Rows of one table: values, and nothing that would have to be computed. They are most of what is written, and become
/// text without an expression for each of their values.
#[derive(Debug)]
pub(crate) struct RowValues {
    /// The table.
    pub(crate) table: &'static str,
    /// The columns that are given.
    pub(crate) columns: Vec<&'static str>,
    /// The values, row after row, in the order of the columns.
    pub(crate) values: Vec<Value>,
}

impl RowValues {
    fn insert_into(self, builder: &impl QueryBuilder, sql: &mut SqlWriterValues) -> fmt::Result {
        write!(sql, "INSERT INTO \"{}\" (", self.table)?;
        for (position, column) in self.columns.iter().enumerate() {
            let before = if position == 0 { "\"" } else { ", \"" };
            write!(sql, "{before}{column}\"")?;
        }
        sql.write_str(") VALUES ")?;
        for (position, value) in self.values.into_iter().enumerate() {
            sql.write_str(match (position, position % self.columns.len()) {
                (0, _) => "(",
                (_, 0) => "), (",
                _ => ", ",
            })?;
            sql.push_param(value, builder);
        }
        sql.write_str(")")
    }

    fn select_into(self, builder: &impl QueryBuilder, sql: &mut SqlWriterValues) -> fmt::Result {
        write!(sql, "SELECT 1 AS {GUARDED} FROM \"{}\"", self.table)?;
        for (position, (column, value)) in self.columns.iter().zip(self.values).enumerate() {
            let before = if position == 0 { "WHERE" } else { "AND" };
            write!(sql, " {before} \"{column}\"")?;
            if value == value.as_null() {
                sql.write_str(" IS NULL")?;
            } else {
                sql.write_str(" = ")?;
                sql.push_param(value, builder);
            }
        }
        Ok(())
    }
}

/// Writes to be sent together.
#[derive(Debug)]
pub struct Writes {
    backend: DbBackend,
    /// Each with how many values it binds, about.
    parts: Vec<(Part, usize)>,
    /// Which of them counts.
    counted: Option<usize>,
}

impl Writes {
    /// None yet, for a transaction of this store.
    #[must_use]
    pub fn of(tx: &Tx) -> Self {
        Self {
            backend: tx.get_database_backend(),
            parts: Vec::new(),
            counted: None,
        }
    }

    /// Adds new rows that are values.
    pub(crate) fn rows(&mut self, rows: RowValues) {
        let values = rows.values.len();
        self.parts.push((Part::Rows(rows), values));
    }

    /// Adds that a row must still have these values; else nothing of the whole is kept. Nothing is locked.
    pub(crate) fn still(&mut self, row: RowValues) {
        let values = row.values.len();
        self.parts.push((Part::Still(row), values));
    }

    /// Adds new rows of whatever expressions, which bind so many values.
    pub(crate) fn insert(&mut self, rows: InsertStatement, values: usize) {
        self.parts.push((Part::Insert(rows), values));
    }

    /// Adds a change that must find exactly one row as its conditions say; else nothing of the whole is kept.
    pub(crate) fn guarded(&mut self, change: UpdateStatement) {
        self.guarded_rows(change, 1);
    }

    /// Adds a change that must find exactly so many rows as its conditions say; else nothing of the whole is kept.
    pub(crate) fn guarded_rows(&mut self, change: UpdateStatement, rows: i64) {
        self.parts.push(guarded(change, rows));
    }

    /// Adds a change that counts a number (a column) of one row up, and answers the number's new value as later writes of these
    /// can use it. Once, and last but for those that use it: its row stays locked.
    ///
    /// # Errors
    /// [`Error::Internal`] when these writes count already.
    pub(crate) fn count_up(
        &mut self,
        mut change: UpdateStatement,
        number: &str,
        found_by: SelectStatement,
    ) -> Result<Expr, Error> {
        if self.counted.is_some() {
            return Err(Error::internal("these writes count a number already"));
        }
        self.counted = Some(self.parts.len());
        change.returning(Query::returning().expr(Expr::cust(format!("{number} as {COUNTED}"))));
        self.parts.push((Part::Counted(change), 5));
        let from = if self.backend == DbBackend::Postgres {
            Query::select().column(COUNTED).from(COUNTED).to_owned()
        } else {
            found_by
        };
        Ok(Expr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(from))))
    }

    /// Sends them, and answers the number that was counted up, if one was.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a guarded change did not find its row as it was read: the transaction runs again.
    /// [`Error::NotFound`] when the row whose number is counted is missing.
    pub async fn send(self, tx: &Tx) -> Result<Option<i64>, Error> {
        let counts = self.counted.is_some();
        let rows = if self.backend == DbBackend::Postgres {
            self.send_as_expressions(tx).await?
        } else {
            self.send_as_text(tx).await?
        };
        if counts && rows.counted.is_none() {
            return Err(Error::NotFound("account"));
        }
        Ok(rows.counted)
    }

    /// One statement; more when there are too many values for one.
    async fn send_as_expressions(self, tx: &Tx) -> Result<Answers, Error> {
        if let Some(at_once) = tx.at_once() {
            return self.send_at_once(at_once).await;
        }
        // The writes that use the counted number stay with it.
        let last_group = self.counted.unwrap_or(self.parts.len());
        let mut answers = Answers::default();
        let mut group = Vec::new();
        let mut bound = 0;
        for (position, (part, values)) in self.parts.into_iter().enumerate() {
            if !group.is_empty() && bound + values > MOST_VALUES && position <= last_group {
                answers.add(&tx.query_all_raw(with(std::mem::take(&mut group), false)?).await?)?;
                bound = 0;
            }
            bound += values;
            group.push(part);
        }
        if !group.is_empty() {
            answers.add(&tx.query_all_raw(with(group, false)?).await?)?;
        }
        Ok(answers)
    }

    /// One statement that is all of the transaction, with what others had it write besides.
    async fn send_at_once(self, at_once: &AtOnce) -> Result<Answers, Error> {
        let Besides { before, after } = at_once.take_besides();
        let parts = before.into_iter().chain(self.parts).chain(after);
        let (parts, values): (Vec<Part>, Vec<usize>) = parts.unzip();
        if values.iter().sum::<usize>() > MOST_VALUES {
            return Err(AtOnce::refusal().into());
        }
        let mut answers = Answers::default();
        answers.add(&at_once.send(with(parts, true)?).await?)?;
        Ok(answers)
    }

    /// All statements behind each other, in one text.
    async fn send_as_text(self, tx: &Tx) -> Result<Answers, Error> {
        if self.parts.is_empty() {
            return Ok(Answers::default());
        }
        let mut sql = SqlWriterValues::new("?", false);
        let mut answers = Answers::default();
        for (part, _) in self.parts {
            answers.awaited += part.awaits();
            part.write_into(SqliteQueryBuilder, &mut sql).map_err(Error::internal)?;
            sql.write_str("; ").map_err(Error::internal)?;
        }
        let rows = tx.query_all_raw(statement(self.backend, sql)).await?;
        answers.add(&rows)?;
        Ok(answers)
    }
}

impl Part {
    /// How many rows it has to find.
    const fn awaits(&self) -> i64 {
        match self {
            Self::Still(_) | Self::Claimed(_) => 1,
            Self::Guarded(_, rows) => *rows,
            Self::Rows(_) | Self::Insert(_) | Self::Counted(_) => 0,
        }
    }

    fn write_into<B: QueryBuilder>(self, builder: B, sql: &mut SqlWriterValues) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.insert_into(&builder, sql)?,
            Self::Still(row) => row.select_into(&builder, sql)?,
            Self::Insert(rows) | Self::Claimed(rows) => rows.build_collect_into(builder, sql),
            Self::Guarded(change, _) | Self::Counted(change) => change.build_collect_into(builder, sql),
        }
        Ok(())
    }
}

fn statement(backend: DbBackend, sql: SqlWriterValues) -> Statement {
    let (sql, values) = sql.into_parts();
    Statement {
        sql,
        values: Some(values),
        db_backend: backend,
    }
}

/// A change that must find exactly so many rows, and how many values it binds, about.
fn guarded(mut change: UpdateStatement, rows: i64) -> (Part, usize) {
    change.returning(Query::returning().expr(Expr::cust(format!("1 as {GUARDED}"))));
    let values = usize::try_from(rows).unwrap_or_default();
    (Part::Guarded(change, rows), values.saturating_add(40))
}

impl AtOnce {
    /// Adds a row that must not be there yet, before all else; else nothing of the whole is kept.
    pub(crate) fn claim(&self, mut row: InsertStatement, values: usize) {
        row.returning(Query::returning().expr(Expr::cust(format!("1 as {GUARDED}"))));
        self.add_before(Part::Claimed(row), values);
    }

    /// Adds a change that must find exactly one row as its conditions say, behind what the transaction writes; else
    /// nothing of the whole is kept.
    pub(crate) fn guarded_behind(&self, change: UpdateStatement) {
        let (part, values) = guarded(change, 1);
        self.add_after(part, values);
    }
}

/// What guarded and counted changes answered.
#[derive(Debug, Default)]
struct Answers {
    awaited: i64,
    found: i64,
    counted: Option<i64>,
}

impl Answers {
    fn add(&mut self, rows: &[QueryResult]) -> Result<(), Error> {
        for row in rows {
            let names = row.column_names();
            if names.iter().any(|name| name == GUARDED) {
                self.found += row.try_get::<i64>("", GUARDED)?;
            }
            if names.iter().any(|name| name == "awaited") {
                self.awaited += row.try_get::<i64>("", "awaited")?;
            }
            if names.iter().any(|name| name == COUNTED) {
                self.counted = row.try_get::<Option<i64>>("", COUNTED)?;
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        if self.found == self.awaited {
            Ok(())
        } else {
            Err(Error::Unavailable("what is to be written changed meanwhile".into()))
        }
    }
}

/// PostgreSQL's one statement: each write an expression, and a row of what the guarded and counted ones answered.
/// Foreign keys are checked at its end, so that parents and children may stand in any order. One that is all of a
/// transaction fails when a guarded change did not find its row: there is no other way to undo it.
fn with(parts: Vec<Part>, at_once: bool) -> Result<Statement, Error> {
    let mut sql = SqlWriterValues::new("$", true);
    write_whole(parts, at_once, &mut sql).map_err(Error::internal)?;
    Ok(statement(DbBackend::Postgres, sql))
}

fn write_whole(parts: Vec<Part>, at_once: bool, sql: &mut SqlWriterValues) -> fmt::Result {
    let mut guards = Vec::new();
    let mut awaited = 0;
    let mut counts = false;
    for (position, part) in parts.into_iter().enumerate() {
        let name = match &part {
            Part::Rows(_) | Part::Insert(_) => format!("w{position}"),
            Part::Counted(_) => {
                counts = true;
                COUNTED.to_owned()
            }
            Part::Still(_) | Part::Guarded(..) | Part::Claimed(_) => {
                awaited += part.awaits();
                let name = format!("g{position}");
                guards.push(format!("(select count(*) from {name})"));
                name
            }
        };
        let before = if position == 0 { "WITH" } else { "," };
        write!(sql, "{before} {name} AS (")?;
        part.write_into(PostgresQueryBuilder, sql)?;
        sql.write_str(")")?;
    }
    let found = if guards.is_empty() {
        "0::bigint".to_owned()
    } else {
        guards.join(" + ")
    };
    if at_once {
        // What is no number is an error of the statement, and says in the database's log why there is one. It depends on
        // rows, so that it is not found before they are.
        write!(
            sql,
            " SELECT (case when {found} = {awaited} then '1' else '{CHANGED}' end)::int AS \"whole\""
        )?;
    } else {
        write!(sql, " SELECT {found} AS {GUARDED}, {awaited}::bigint AS awaited")?;
    }
    if counts {
        write!(sql, ", (select {COUNTED} from {COUNTED}) AS {COUNTED}")?;
    }
    Ok(())
}
