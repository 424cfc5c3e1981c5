//! Bank statements.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};

use super::caller::OperatorOnly;
use super::errors::Result;
use super::payment::Payment;
use super::session::Reach as _;
use super::user_error::{UserError, refused};
use crate::commands::statement as commands;

/// A bank's statement.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct ImportStatementInput {
    /// Comma-separated text with a header: `reference`, `amount`, `currency` and `memo`, in any order; `payer` and others may be
    /// there. At most 2,000 lines. Amounts below zero are left out.
    csv: String,
}

/// What became of a line of a statement.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(crate) enum StatementLineOutcome {
    /// It paid what it was for.
    Paid,
    /// It is the customer's credit: what it was for could not be paid with it any more.
    Credited,
    /// It waits for an operator, in `quarantine`.
    Quarantined,
    /// It had been taken before.
    Repeated,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StatementLine(commands::Taken);

/// A line of a statement, and what became of it.
#[Object]
impl StatementLine {
    /// Its number in the statement; the header is line 1.
    async fn line(&self) -> i32 {
        i32::try_from(self.0.line).unwrap_or(i32::MAX)
    }

    /// What became of it.
    async fn outcome(&self) -> StatementLineOutcome {
        match self.0.became {
            commands::Became::Paid => StatementLineOutcome::Paid,
            commands::Became::Credited => StatementLineOutcome::Credited,
            commands::Became::Quarantined => StatementLineOutcome::Quarantined,
            commands::Became::Repeated => StatementLineOutcome::Repeated,
        }
    }

    /// The payment that it was for.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        let Some(payment) = self.0.payment else { return Ok(None) };
        Ok(ctx.loaders()?.payments.load(payment).await?.map(Payment))
    }
}

/// What a statement brought.
#[derive(Debug, SimpleObject)]
pub(crate) struct ImportStatementPayload {
    /// Each line of money that came in; null when it was refused.
    lines: Option<Vec<StatementLine>>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct StatementMutations;

#[Object]
impl StatementMutations {
    /// Takes a bank's statement in: each line pays what its memo names, or waits in quarantine. Each is taken once, by the bank's
    /// number of it, however often it is sent. For operators.
    ///
    /// Codes: STATEMENT_INVALID.
    #[graphql(guard = "OperatorOnly")]
    async fn import_statement(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The statement.")] input: ImportStatementInput,
    ) -> Result<Option<ImportStatementPayload>> {
        let session = ctx.session()?;
        let taken = match commands::import(&session.app, &session.scope, &input.csv).await {
            Ok(taken) => taken,
            Err(error) => {
                return Ok(Some(ImportStatementPayload {
                    lines: None,
                    user_errors: refused(error)?,
                }));
            }
        };
        session.forget();
        Ok(Some(ImportStatementPayload {
            lines: Some(taken.into_iter().map(StatementLine).collect()),
            user_errors: Vec::new(),
        }))
    }
}
