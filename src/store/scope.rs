//! Who asks: the first argument of every store function, so that an unscoped query can't be written.

use sea_orm::Condition;
use sea_orm::sea_query::{Expr, ExprTrait, IntoColumnRef};
use uuid::Uuid;

/// Whose rows a caller may see or touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One customer account.
    Account {
        /// The account.
        account: Uuid,
        /// The token's subject.
        principal: String,
    },
    /// The people who run the cloud: every account.
    Operator {
        /// The token's subject.
        principal: String,
    },
    /// The service of one product: that product's tasks, on every account.
    Product {
        /// The product's code.
        product: String,
        /// The token's subject.
        principal: String,
    },
    /// A partner: its own account and the customer accounts it serves.
    Partner {
        /// Its own account, if it has one: the one whose credit it may move.
        own: Option<Uuid>,
        /// The accounts, its own included.
        accounts: Vec<Uuid>,
        /// The token's subject.
        principal: String,
    },
}

impl Scope {
    /// The engine, which acts for every account.
    #[must_use]
    pub fn engine() -> Self {
        Self::Operator {
            principal: "engine".to_owned(),
        }
    }

    /// Who asks, as it is written beside what they change.
    #[must_use]
    pub fn principal(&self) -> &str {
        match self {
            Self::Account { principal, .. }
            | Self::Operator { principal }
            | Self::Product { principal, .. }
            | Self::Partner { principal, .. } => principal,
        }
    }

    /// Whether rows of this account may be seen.
    #[must_use]
    pub fn covers(&self, account: Uuid) -> bool {
        match self {
            Self::Account { account: own, .. } => *own == account,
            Self::Operator { .. } => true,
            Self::Product { .. } => false,
            Self::Partner { accounts, .. } => accounts.contains(&account),
        }
    }

    /// The condition that keeps other accounts' rows out: put on every query of a table with an account column.
    /// A product service owns no account: it sees none of these rows.
    #[must_use]
    pub fn accounts(&self, column: impl IntoColumnRef) -> Condition {
        let column = Expr::col(column);
        match self {
            Self::Account { account, .. } => Condition::all().add(column.eq(*account)),
            Self::Operator { .. } => Condition::all(),
            Self::Product { .. } => Condition::all().add(Expr::cust("1 = 0")),
            Self::Partner { accounts, .. } => Condition::all().add(column.is_in(accounts.iter().copied())),
        }
    }
}
