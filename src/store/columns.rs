//! Some of a table's columns, read by their places: what a list shows, without what it does not.

use sea_orm::{DbErr, QueryResult, TryGetable};

/// Reads a row's columns one after another.
#[derive(Debug)]
pub(crate) struct Columns<'r> {
    row: &'r QueryResult,
    next: usize,
}

impl<'r> Columns<'r> {
    /// From which place of the row on.
    pub(crate) const fn from(row: &'r QueryResult, place: usize) -> Self {
        Self { row, next: place }
    }

    /// The next column.
    pub(crate) fn next<T: TryGetable>(&mut self) -> Result<T, DbErr> {
        let value = self.row.try_get_by_index(self.next)?;
        self.next = self.next.saturating_add(1);
        Ok(value)
    }
}

/// Declares some columns of a table as a struct, with the columns to select and the way to read them: one list for the
/// three, so that the places cannot differ.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident of $table:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $column:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)+
        }

        impl $name {
            const COLUMNS: &[entity::$table::Column] = &[$(entity::$table::Column::$column),+];

            fn read(columns: &mut $crate::store::columns::Columns<'_>) -> Result<Self, sea_orm::DbErr> {
                Ok(Self { $($field: columns.next()?),+ })
            }
        }
    };
}
pub(crate) use columns;
