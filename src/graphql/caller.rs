//! Who calls, and what they may do. Every root field has a guard from here; nothing else decides about permissions.

use std::fmt;
use std::str::FromStr;

use async_graphql::{Context, Enum, Guard};
use entity::enums::Role;
use uuid::Uuid;

use super::errors::Result;
use super::session::Reach as _;
use crate::error::Error;
use crate::store::Scope;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a caller may be allowed to do. Source: rule "Who may do what" in ARCHITECTURE.
        #[derive(Clone, Copy, Debug, Enum, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission { $($(#[$doc])* $name,)+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The published name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            const fn needed(self) -> &'static str {
                match self { $(Self::$name => concat!("the permission ", stringify!($name)),)+ }
            }
        }

        impl FromStr for Permission {
            type Err = Error;

            fn from_str(text: &str) -> std::result::Result<Self, Error> {
                match text {
                    $(stringify!($name) => Ok(Self::$name),)+
                    _ => Err(Error::NotFound("permission")),
                }
            }
        }
    };
}

permissions! {
    /// Sees the usage report and the cost explorer.
    ListUsages,
    /// Exports them.
    ExportUsages,
    /// Sees the lists of orders and invoices.
    ListBillings,
    /// Sees one invoice.
    GetBilling,
    /// Exports invoices.
    ExportBillings,
    /// Sees payments.
    ListPayments,
    /// Exports payments.
    ExportPayments,
    /// Sees the credit history.
    ListCredit,
    /// Exports the credit history.
    ExportCredits,
    /// Sees the wallets' balances.
    GetUserBalance,
    /// Tops the wallet up.
    BuyCredit,
    /// Quotes, orders and pays.
    PayOrder,
    /// Renews, resizes, stops, starts and deletes resources.
    ManageResources,
    /// Changes customer tags.
    ManageTags,
    /// Changes the account's budget.
    ManageBudget,
}

impl Permission {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn reads(self) -> bool {
        !matches!(
            self,
            Self::BuyCredit | Self::PayOrder | Self::ManageResources | Self::ManageTags | Self::ManageBudget
        )
    }

    /// What a role may do by itself: the owner all, the billing administrator all but what is the owner's own (tags,
    /// budget), and whoever reads accounts what changes nothing. A product's service has its tasks and no permission.
    #[must_use]
    pub fn of_role(role: Role) -> Permissions {
        let those = |may: fn(Self) -> bool| {
            Self::ALL
                .iter()
                .copied()
                .filter(|permission| may(*permission))
                .collect()
        };
        match role {
            Role::Owner => those(|_| true),
            Role::BillingAdmin => those(|permission| !matches!(permission, Self::ManageTags | Self::ManageBudget)),
            Role::Viewer | Role::Operator | Role::Partner => those(Self::reads),
            Role::Product => Permissions::default(),
        }
    }
}

/// A set of permissions: small, as every caller has one and every waiting subscriber keeps its caller.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u32);

const _: () = assert!(Permission::ALL.len() <= 32, "a set has a bit for each");

impl Permissions {
    const fn bit(permission: Permission) -> u32 {
        1 << permission as u32
    }

    /// Whether one is among them.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .iter()
            .copied()
            .filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<T: IntoIterator<Item = Permission>>(those: T) -> Self {
        Self(
            those
                .into_iter()
                .fold(0, |bits, permission| bits | Self::bit(permission)),
        )
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Who calls, as a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject.
    pub principal: String,
    /// What it is.
    pub role: Role,
    /// The account it acts for, if it has one of its own.
    pub account: Option<Uuid>,
    /// The accounts a partner serves.
    pub accounts: Vec<Uuid>,
    /// The product it serves.
    pub product: Option<String>,
    /// What it may do.
    pub permissions: Permissions,
}

impl Caller {
    /// A caller. A token's list of permissions narrows what its role may do, and never widens it.
    #[must_use]
    pub fn new(
        principal: String,
        role: Role,
        account: Option<Uuid>,
        product: Option<String>,
        permissions: Permissions,
    ) -> Self {
        let permissions = Permission::of_role(role).and(permissions);
        let accounts = account.into_iter().collect();
        Self {
            principal,
            role,
            account,
            accounts,
            product,
            permissions,
        }
    }

    /// The same caller, serving these accounts beside its own. For partners.
    #[must_use]
    pub fn serving(mut self, accounts: &[Uuid]) -> Self {
        for account in accounts {
            if !self.accounts.contains(account) {
                self.accounts.push(*account);
            }
        }
        self
    }

    /// Whose rows it may see.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when a token of its role must name an account or a product and does not.
    pub fn scope(&self) -> std::result::Result<Scope, Error> {
        let principal = self.principal.clone();
        Ok(match self.role {
            Role::Owner | Role::BillingAdmin | Role::Viewer => Scope::Account {
                account: self.account.ok_or(Error::Unauthenticated)?,
                principal,
            },
            Role::Product => Scope::Product {
                product: self.product.clone().ok_or(Error::Unauthenticated)?,
                principal,
            },
            Role::Operator => Scope::Operator { principal },
            Role::Partner => Scope::Partner {
                own: self.account,
                accounts: self.accounts.clone(),
                principal,
            },
        })
    }

    /// Whether it may do this.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the permission.
    pub fn require(&self, permission: Permission) -> std::result::Result<(), Error> {
        if self.permissions.contains(permission) {
            Ok(())
        } else {
            Err(Error::Forbidden(permission.needed()))
        }
    }
}

/// Lets in whoever has a valid token.
pub(crate) struct SignedIn;

impl Guard for SignedIn {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        ctx.caller()?;
        Ok(())
    }
}

/// Lets in whoever reads accounts: customers, partners and operators, not the services of products.
pub(crate) struct ReadsAccounts;

impl Guard for ReadsAccounts {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(reads_accounts(ctx.caller()?)?)
    }
}

fn reads_accounts(caller: &Caller) -> Result<()> {
    match caller.role {
        Role::Product => Err(Error::Forbidden("a role that reads accounts").into()),
        Role::Owner | Role::BillingAdmin | Role::Viewer | Role::Operator | Role::Partner => Ok(()),
    }
}

/// Lets in who has a permission.
pub(crate) struct Needs(pub(crate) Permission);

impl Guard for Needs {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(needs(ctx.caller()?, self.0)?)
    }
}

fn needs(caller: &Caller, permission: Permission) -> Result<()> {
    Ok(caller.require(permission)?)
}

/// Lets in who manages resources: who has the permission, and the services of products, for their own.
pub(crate) struct ManagesResources;

impl Guard for ManagesResources {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        let caller = ctx.caller()?;
        match caller.role {
            Role::Product => Ok(()),
            _ => Ok(needs(caller, Permission::ManageResources)?),
        }
    }
}

/// Lets operators in.
pub(crate) struct OperatorOnly;

impl Guard for OperatorOnly {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(has_role(ctx.caller()?, &[Role::Operator], "the role OPERATOR")?)
    }
}

/// Lets partners in.
pub(crate) struct PartnerOnly;

impl Guard for PartnerOnly {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(has_role(ctx.caller()?, &[Role::Partner], "the role PARTNER")?)
    }
}

/// Lets the services of products in, and operators.
pub(crate) struct ProductOrOperator;

impl Guard for ProductOrOperator {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(has_role(
            ctx.caller()?,
            &[Role::Product, Role::Operator],
            "the role PRODUCT or OPERATOR",
        )?)
    }
}

fn has_role(caller: &Caller, roles: &[Role], needed: &'static str) -> Result<()> {
    if roles.contains(&caller.role) {
        Ok(())
    } else {
        Err(Error::Forbidden(needed).into())
    }
}
