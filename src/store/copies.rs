//! Accounts copied whole: from one store into another, and as often as a synthetic world needs them. For development.
//!
//! A copy of a consistent account is a consistent account: each key becomes another one, everywhere it stands, and the
//! catalogue is shared. Keys tell where they come from: the number of the copy, then the key's place in the original.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{
    Alias, ColumnType, Expr, ExprTrait as _, JoinType, Query, SelectStatement, SimpleExpr, UnionType,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DbBackend,
    EntityName as _, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _, Value,
};
use uuid::Uuid;

use super::Scope;
use super::insert::insert;
use crate::db::Tx;
use crate::db::writes::Writes;
use crate::error::Error;

/// Keys of the catalogue: a copy has them as they are.
const SHARED: &[&str] = &["product_id", "resource_type_id", "component_id", "coupon_id"];
/// The tables of the catalogue, parents first.
macro_rules! each_of_the_catalogue {
    ($call:ident($($argument:expr),*)) => {
        $call::<entity::product::Entity>($($argument),*).await?;
        $call::<entity::resource_type::Entity>($($argument),*).await?;
        $call::<entity::component::Entity>($($argument),*).await?;
        $call::<entity::price::Entity>($($argument),*).await?;
        $call::<entity::coupon::Entity>($($argument),*).await?;
    };
}

/// The tables of accounts, parents first.
macro_rules! each_of_an_account {
    ($call:ident($($argument:expr),*)) => {
        $call::<entity::account::Entity>($($argument),*).await?;
        $call::<entity::billing_address::Entity>($($argument),*).await?;
        $call::<entity::code_counter::Entity>($($argument),*).await?;
        $call::<entity::wallet::Entity>($($argument),*).await?;
        $call::<entity::quote::Entity>($($argument),*).await?;
        $call::<entity::order::Entity>($($argument),*).await?;
        $call::<entity::coupon_redemption::Entity>($($argument),*).await?;
        $call::<entity::hold::Entity>($($argument),*).await?;
        $call::<entity::resource::Entity>($($argument),*).await?;
        $call::<entity::order_item::Entity>($($argument),*).await?;
        $call::<entity::payment::Entity>($($argument),*).await?;
        $call::<entity::resource_tag::Entity>($($argument),*).await?;
        $call::<entity::paid_period::Entity>($($argument),*).await?;
        $call::<entity::invoice::Entity>($($argument),*).await?;
        $call::<entity::invoice_line::Entity>($($argument),*).await?;
        $call::<entity::credit_note::Entity>($($argument),*).await?;
        $call::<entity::credit_note_line::Entity>($($argument),*).await?;
        $call::<entity::ledger_transaction::Entity>($($argument),*).await?;
        $call::<entity::ledger_posting::Entity>($($argument),*).await?;
        $call::<entity::wallet_entry::Entity>($($argument),*).await?;
        $call::<entity::account_event::Entity>($($argument),*).await?;
        $call::<entity::expiry_alert::Entity>($($argument),*).await?;
        $call::<entity::schedule_step::Entity>($($argument),*).await?;
        $call::<entity::alert_recipient::Entity>($($argument),*).await?;
        $call::<entity::outbox_cursor::Entity>($($argument),*).await?;
        $call::<entity::outbox_delivery::Entity>($($argument),*).await?;
    };
}

/// The new keys of a world that is carried from one store to another: the same for the same world and seed.
#[derive(Debug)]
pub struct Keys {
    seed: u16,
    places: BTreeMap<Uuid, u64>,
}

impl Keys {
    /// What a key becomes; what is no key of this world stays.
    #[must_use]
    pub fn new_key(&self, old: Uuid) -> Uuid {
        match self.places.get(&old) {
            // The copy's number (0), version 8, the seed, the variant and the place.
            Some(place) => Uuid::from_u128(
                0x8000_u128 << 64
                    | u128::from(self.seed) << 64 & (0xfff << 64)
                    | 0x8000_0000_0000_0000
                    | u128::from(*place),
            ),
            None => old,
        }
    }

    fn renew(&self, value: Value) -> Value {
        match value {
            Value::Uuid(Some(old)) => Value::Uuid(Some(self.new_key(old))),
            Value::Json(Some(mut document)) => {
                self.renew_within(&mut document);
                Value::Json(Some(document))
            }
            other => other,
        }
    }

    fn renew_within(&self, document: &mut serde_json::Value) {
        match document {
            serde_json::Value::String(text) => {
                if let Ok(old) = Uuid::try_parse(text) {
                    *text = self.new_key(old).to_string();
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.renew_within(item)),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(|field| self.renew_within(field)),
            _ => {}
        }
    }
}

/// The keys of a whole store: catalogue and accounts. The store is a small one.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn keys(from: &DatabaseConnection, _scope: &Scope, seed: u16) -> Result<Keys, Error> {
    let mut keys = BTreeSet::new();
    let found = &mut keys;
    each_of_the_catalogue!(gather(from, found));
    each_of_an_account!(gather(from, found));
    // Keys are made in their order, which is the world's own.
    let places = keys.into_iter().zip(1..).collect();
    Ok(Keys { seed, places })
}

async fn gather<E>(from: &DatabaseConnection, keys: &mut BTreeSet<Uuid>) -> Result<(), Error>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    for row in E::find().all(from).await? {
        let row = row.into_active_model();
        for column in E::Column::iter() {
            if let ActiveValue::Set(Value::Uuid(Some(key))) | ActiveValue::Unchanged(Value::Uuid(Some(key))) =
                row.get(column)
            {
                keys.insert(key);
            }
        }
    }
    Ok(())
}

/// Writes all of a small store, its catalogue and its accounts, into one that has neither, under its new keys.
///
/// # Errors
/// [`Error::Unavailable`] when a store does not answer.
pub async fn carry(from: &DatabaseConnection, tx: &Tx, _scope: &Scope, keys: &Keys) -> Result<(), Error> {
    each_of_the_catalogue!(carry_table(from, tx, keys));
    each_of_an_account!(carry_table(from, tx, keys));
    Ok(())
}

async fn carry_table<E>(from: &DatabaseConnection, tx: &Tx, keys: &Keys) -> Result<(), Error>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    let mut rows = Vec::new();
    for row in E::find().all(from).await? {
        let mut row = row.into_active_model();
        for column in E::Column::iter() {
            if let ActiveValue::Set(value) | ActiveValue::Unchanged(value) = row.get(column) {
                row.set(column, keys.renew(value));
            }
        }
        rows.push(row);
    }
    let mut writes = Writes::of(tx);
    insert::<E::ActiveModel, _>(&mut writes, rows);
    writes.send(tx).await?;
    Ok(())
}

/// Copies accounts of the store with all that is theirs, once for each number; the original has number 0. The database
/// does it by itself.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn copy(tx: &Tx, _scope: &Scope, accounts: &[Uuid], numbers: &[u32]) -> Result<(), Error> {
    if accounts.is_empty() || numbers.is_empty() {
        return Ok(());
    }
    each_of_an_account!(copy_table(tx, accounts, numbers));
    Ok(())
}

async fn copy_table<E: EntityTrait>(tx: &Tx, accounts: &[Uuid], numbers: &[u32]) -> Result<(), Error> {
    let (table, copies) = (E::default(), Alias::new("copies"));
    let mut select = Query::select();
    for column in E::Column::iter() {
        select.expr(copied::<E>(tx.get_database_backend(), column));
    }
    select
        .from(table)
        .join_subquery(
            JoinType::InnerJoin,
            counted(numbers),
            copies,
            SimpleExpr::Constant(Value::Bool(Some(true))),
        )
        .and_where(owned_by::<E>(accounts));
    let mut insert = Query::insert();
    insert.into_table(table).columns(E::Column::iter());
    insert.select_from(select).map_err(Error::internal)?;
    tx.execute(&insert).await?;
    Ok(())
}

/// A column as it is in a copy.
fn copied<E: EntityTrait>(backend: DbBackend, column: E::Column) -> SimpleExpr {
    let (table, name) = (E::default(), column.as_str());
    let of = |name: &str| format!("\"{}\".\"{name}\"", table.table_name());
    if table.table_name() == entity::account::Entity.table_name() && name == "code" {
        return Expr::cust(format!("{} || '-' || copies.n", of(name)));
    }
    if *column.def().get_column_type() != ColumnType::Uuid || SHARED.contains(&name) {
        return Expr::col((table, column));
    }
    let old = of(name);
    Expr::cust(if backend == DbBackend::Postgres {
        format!("(lpad(to_hex(copies.n), 12, '0') || substr(replace({old}::text, '-', ''), 13))::uuid")
    } else {
        // hex() of nothing is an empty text.
        format!("case when {old} is not null then unhex(printf('%012x', copies.n) || substr(hex({old}), 13)) end")
    })
}

/// The rows of these accounts.
fn owned_by<E: EntityTrait>(accounts: &[Uuid]) -> SimpleExpr {
    let table = E::default();
    let column = |name: &'static str| Expr::col((table, Alias::new(name)));
    let within = |parent: &'static str| {
        Query::select()
            .column("id")
            .from(parent)
            .and_where(Expr::col("account_id").is_in(accounts.iter().copied()))
            .to_owned()
    };
    let has = |name: &str| E::Column::iter().any(|column| column.as_str() == name);
    if table.table_name() == entity::account::Entity.table_name() {
        column("id").is_in(accounts.iter().copied())
    } else if has("account_id") {
        column("account_id").is_in(accounts.iter().copied())
    } else if has("invoice_id") {
        column("invoice_id").in_subquery(within("invoice"))
    } else {
        column("credit_note_id").in_subquery(within("credit_note"))
    }
}

/// The numbers as rows.
fn counted(numbers: &[u32]) -> SelectStatement {
    let row = |number: &u32| Query::select().expr_as(Expr::val(i64::from(*number)), "n").to_owned();
    let mut rows = numbers.iter().map(row);
    let mut all = rows.next().unwrap_or_default();
    for row in rows {
        all.union(UnionType::All, row);
    }
    all
}

/// Lets the database look at what its tables hold: PostgreSQL plans by it, and does so by itself only minutes later.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn look_at_tables(tx: &Tx, _scope: &Scope) -> Result<(), Error> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared("analyze").await?;
    }
    Ok(())
}
