//! Writes that are sent together. What a transaction writes at its end is known before the first row goes: it goes in
//! one round trip, whose price is a wake-up of two threads on SQLite and a journey over the network on PostgreSQL.
//!
//! PostgreSQL gets one statement, in which each write is a common table expression. SQLite knows no such writes: it
//! gets the statements one behind the other in one text. Order matters there (parents before children), and no write
//! may depend on what another one of them changes, except on the number that `count_up` counts.

use sea_orm::sea_query::{
    CommonTableExpression, Expr, InsertStatement, Query, SelectStatement, SqliteQueryBuilder, SubQueryStatement,
    UpdateStatement, Values, WithQuery,
};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use super::Tx;
use super::at_once::{AtOnce, Besides};
use crate::error::Error;

/// PostgreSQL takes 65,535 values in a statement.
const MOST_VALUES: usize = 60_000;
/// What a guarded write answers when it found its row.
const GUARDED: &str = "guarded";
/// What the counted number is answered as.
const COUNTED: &str = "counted";

/// One of the writes.
#[derive(Debug)]
pub(super) enum Part {
    /// New rows.
    Insert(InsertStatement),
    /// A new row that must not be there.
    Claimed(InsertStatement),
    /// A change that must find exactly so many rows.
    Guarded(UpdateStatement, i64),
    /// The change that counts a number up.
    Counted(UpdateStatement),
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

    /// Adds new rows, which bind so many values.
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
                answers.add(&tx.query_all(&with(std::mem::take(&mut group), false)).await?)?;
                bound = 0;
            }
            bound += values;
            group.push(part);
        }
        if !group.is_empty() {
            answers.add(&tx.query_all(&with(group, false)).await?)?;
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
        let statement = self.backend.build(&with(parts, true));
        let mut answers = Answers::default();
        answers.add(&at_once.send(statement).await?)?;
        Ok(answers)
    }

    /// All statements behind each other. Each binds its own values, which are numbered through.
    async fn send_as_text(self, tx: &Tx) -> Result<Answers, Error> {
        let mut text = String::new();
        let mut values: Vec<Value> = Vec::new();
        let mut answers = Answers::default();
        for (part, _) in &self.parts {
            let (sql, Values(bound)) = match part {
                Part::Insert(rows) | Part::Claimed(rows) => rows.build(SqliteQueryBuilder),
                Part::Guarded(change, _) | Part::Counted(change) => change.build(SqliteQueryBuilder),
            };
            if let Part::Guarded(_, rows) = part {
                answers.awaited += rows;
            }
            text.push_str(&sql);
            text.push_str("; ");
            values.extend(bound);
        }
        if !text.is_empty() {
            let statement = Statement::from_sql_and_values(self.backend, text, values);
            let rows = tx.query_all_raw(statement).await?;
            answers.add(&rows)?;
        }
        answers.check()?;
        Ok(answers)
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
fn with(parts: Vec<Part>, at_once: bool) -> WithQuery {
    // Each is moved into the whole: the short way, by clauses that are finished on their own, copies all of their values twice.
    let mut whole = WithQuery::new();
    let mut answer = Query::select();
    let mut guards = Vec::new();
    let mut awaited = 0;
    let mut counts = false;
    for (position, part) in parts.into_iter().enumerate() {
        let name = match part {
            Part::Insert(_) => format!("w{position}"),
            Part::Guarded(..) | Part::Claimed(_) => format!("g{position}"),
            Part::Counted(_) => COUNTED.to_owned(),
        };
        let mut expression = CommonTableExpression::new();
        expression.table_name(name.clone());
        match part {
            Part::Insert(rows) => expression.query(rows),
            Part::Claimed(row) => {
                awaited += 1;
                guards.push(format!("(select count(*) from {name})"));
                expression.query(row)
            }
            Part::Guarded(change, rows) => {
                awaited += rows;
                guards.push(format!("(select count(*) from {name})"));
                expression.query(change)
            }
            Part::Counted(change) => {
                counts = true;
                expression.query(change)
            }
        };
        whole.cte(expression);
    }
    let found = if guards.is_empty() {
        "0::bigint".to_owned()
    } else {
        guards.join(" + ")
    };
    if at_once {
        // A division by zero is an error of the statement. It depends on rows, so that it is not found before they are.
        answer.expr_as(
            Expr::cust(format!("1 / (case when {found} = {awaited} then 1 else 0 end)")),
            "whole",
        );
    } else {
        answer.expr_as(Expr::cust(found), GUARDED);
        answer.expr_as(Expr::cust(format!("{awaited}::bigint")), "awaited");
    }
    if counts {
        answer.expr_as(Expr::cust(format!("(select {COUNTED} from {COUNTED})")), COUNTED);
    }
    whole.query(answer);
    whole
}
