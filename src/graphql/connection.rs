//! Lists as Relay knows them: connections, edges, opaque cursors, forward and backward, by keyset.

use async_graphql::{Context, Lookahead, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use uuid::Uuid;

use super::errors::{ApiError, Result};
use crate::domain::{text, time};
use crate::store::page::{End, Key, Page, Place};

/// The largest page.
pub(crate) const MOST_ROWS: i32 = 100;
/// The longest cursor that is looked at.
const MOST_CHARACTERS: usize = 512;

/// Which list a cursor is of: one of another list is refused. The numbers are part of cursors that clients keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum List {
    ResourcesByExpiry = 1,
    ResourcesByCreation = 2,
    Orders = 3,
    Payments = 4,
    Invoices = 5,
    Alerts = 6,
    Entries = 7,
    Products = 8,
    Tasks = 9,
    Forecast = 10,
    WebhookDeliveries = 11,
    MailDeliveries = 12,
    Quarantine = 13,
}

/// Where a page stands in its list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether there is more behind the page.
    pub(crate) has_next_page: bool,
    /// Whether there is more before the page.
    pub(crate) has_previous_page: bool,
    /// The cursor of the page's first row.
    pub(crate) start_cursor: Option<String>,
    /// The cursor of the page's last row.
    pub(crate) end_cursor: Option<String>,
}

/// A page with the places of its rows. Their cursors are made for who asks.
#[derive(Clone, Debug)]
pub(crate) struct Cut<T> {
    list: List,
    rows: Vec<(Place, T)>,
    has_next: bool,
    has_previous: bool,
}

impl<T> Cut<T> {
    /// Puts its place to each row of a page.
    pub(crate) fn new<R>(
        slice: &crate::store::page::Slice<R>,
        list: List,
        place: impl Fn(&R) -> Place,
        row: impl Fn(&R) -> T,
    ) -> Self {
        Self {
            list,
            rows: slice.rows.iter().map(|read| (place(read), row(read))).collect(),
            has_next: slice.has_next,
            has_previous: slice.has_previous,
        }
    }

    /// Its rows.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(_, row)| row)
    }

    /// Its rows with their cursors.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (String, &T)> {
        self.rows.iter().map(|(place, row)| (cursor(self.list, place), row))
    }

    /// Where it stands.
    pub(crate) fn info(&self) -> PageInfo {
        let cursor = |row: Option<&(Place, T)>| row.map(|(place, _)| cursor(self.list, place));
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: cursor(self.rows.first()),
            end_cursor: cursor(self.rows.last()),
        }
    }
}

/// Declares a connection and its edge.
macro_rules! connection {
    ($(#[$doc:meta])* $connection:ident, $(#[$edge_doc:meta])* $edge:ident, $node:ty) => {
        #[derive(Clone, Debug)]
        pub(crate) struct $connection(pub(crate) $crate::graphql::connection::Cut<$node>);

        $(#[$doc])*
        #[async_graphql::Object]
        impl $connection {
            /// The page's rows, each with its cursor.
            async fn edges(&self) -> $crate::graphql::in_place::Rows<$edge> {
                self.0.edges().map(|(cursor, node)| $edge { cursor, node: $crate::graphql::in_place::InPlace(node.clone()) }).collect()
            }

            /// The page's rows alone.
            async fn nodes(&self) -> $crate::graphql::in_place::Rows<$node> {
                self.0.nodes().cloned().collect()
            }

            /// Where the page stands in the list.
            async fn page_info(&self) -> $crate::graphql::in_place::InPlace<$crate::graphql::connection::PageInfo> {
                $crate::graphql::in_place::InPlace(self.0.info())
            }
        }

        $(#[$edge_doc])*
        #[derive(Clone, Debug, async_graphql::SimpleObject)]
        pub(crate) struct $edge {
            /// The row.
            node: $crate::graphql::in_place::InPlace<$node>,
            /// Its place in the list, to page from.
            cursor: String,
        }
    };
}
pub(crate) use connection;

/// The four arguments of a page, checked: exactly one of `first` and `last`, 1 to 100, with a cursor of this list.
pub(crate) fn page(
    list: List,
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Result<Page> {
    let (end, size, from) = match (first, after, last, before) {
        (Some(size), after, None, None) => (End::First, size, after),
        (None, None, Some(size), before) => (End::Last, size, before),
        (None, _, None, _) => {
            return Err(ApiError::bad_page(format!(
                "Say how many rows: `first` or `last`, 1 to {MOST_ROWS}."
            )));
        }
        _ => {
            return Err(ApiError::bad_page(
                "Page in one direction: `first` with `after`, or `last` with `before`.",
            ));
        }
    };
    let size = u16::try_from(size)
        .ok()
        .filter(|size| (1..=MOST_ROWS).contains(&i32::from(*size)))
        .ok_or_else(|| ApiError::bad_page(format!("A page has 1 to {MOST_ROWS} rows.")))?;
    let from = from
        .map(|text| {
            place(list, &text)
                .ok_or_else(|| ApiError::bad_page("This cursor is not one of this list. Begin again without it."))
        })
        .transpose()?;
    Ok(Page { end, size, from })
}

/// A place as clients keep it.
fn cursor(list: List, place: &Place) -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.push(list as u8);
    let (tag, key) = match &place.key {
        Key::Nothing => (0, Vec::new()),
        Key::Instant(instant) => (1, instant.timestamp_micros().to_be_bytes().to_vec()),
        Key::Number(number) => (2, number.to_be_bytes().to_vec()),
        Key::Text(text) => (3, text.as_bytes().to_vec()),
    };
    bytes.push(tag);
    bytes.extend_from_slice(place.id.as_bytes());
    bytes.extend_from_slice(&key);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor names. One that was made by hand may name what no database can be asked for.
fn place(list: List, cursor: &str) -> Option<Place> {
    if cursor.len() > MOST_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (head, rest) = bytes.split_at_checked(2)?;
    let (id, key) = rest.split_at_checked(16)?;
    let number = || key.try_into().ok().map(i64::from_be_bytes);
    if *head.first()? != list as u8 {
        return None;
    }
    let key = match (*head.get(1)?, list) {
        (0, List::ResourcesByExpiry) if key.is_empty() => Key::Nothing,
        (
            1,
            List::ResourcesByExpiry
            | List::ResourcesByCreation
            | List::Orders
            | List::Payments
            | List::Invoices
            | List::Tasks
            | List::WebhookDeliveries
            | List::MailDeliveries,
        ) => Key::Instant(time::checked_instant(DateTime::from_timestamp_micros(number()?)?).ok()?),
        (2, List::Alerts | List::Entries | List::Forecast) => Key::Number(number()?),
        (3, List::Products) => Key::Text(
            String::from_utf8(key.to_vec())
                .ok()
                .filter(|code| text::may_be_short_name(code))?,
        ),
        _ => return None,
    };
    Some(Place {
        key,
        id: Uuid::from_slice(id).ok()?,
    })
}

/// Whether a field of a connection's rows is selected.
pub(crate) fn selects(ctx: &Context<'_>, field: &str) -> bool {
    rows(ctx).iter().any(|row| row.field(field).exists())
}

/// What is selected of a connection's rows.
pub(crate) fn rows<'c>(ctx: &'c Context<'_>) -> [Lookahead<'c>; 2] {
    rows_of(&ctx.look_ahead())
}

/// What is selected of the rows of a connection that is looked ahead at.
pub(crate) fn rows_of<'c>(connection: &Lookahead<'c>) -> [Lookahead<'c>; 2] {
    [connection.field("nodes"), connection.field("edges").field("node")]
}

/// Whether one of these fields is selected.
pub(crate) fn selects_any(of: &Lookahead<'_>, fields: &[&str]) -> bool {
    fields.iter().any(|field| of.field(field).exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use chrono::DateTime;
    use uuid::Uuid;

    use super::{List, cursor, page, place};
    use crate::store::page::{End, Key, Place};

    #[test]
    fn a_cursor_is_of_its_list_only() {
        let by_time = Place {
            key: Key::Instant(DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap()),
            id: Uuid::from_u128(9),
        };
        for (list, at) in [
            (List::Orders, by_time.clone()),
            (
                List::ResourcesByExpiry,
                Place {
                    key: Key::Nothing,
                    id: Uuid::from_u128(9),
                },
            ),
            (List::Entries, Place::unique(Key::Number(i64::MAX))),
            (List::Products, Place::unique(Key::Text("vserver".to_owned()))),
        ] {
            assert_eq!(place(list, &cursor(list, &at)), Some(at));
        }
        assert_eq!(place(List::Payments, &cursor(List::Orders, &by_time)), None);
        for junk in ["", "A", "AAAA", "~", &"A".repeat(1_000_000)] {
            assert_eq!(place(List::Orders, junk), None);
        }
    }

    #[test]
    fn a_page_goes_one_way_and_is_bounded() {
        let own = || Some(cursor(List::Entries, &Place::unique(Key::Number(3))));
        assert_eq!(page(List::Entries, Some(5), own(), None, None).unwrap().end, End::First);
        assert_eq!(
            page(List::Entries, None, None, Some(100), own()).unwrap().end,
            End::Last
        );
        for (first, after, last, before) in [
            (None, None, None, None),
            (None, own(), None, None),
            (Some(1), None, Some(1), None),
            (Some(1), None, None, own()),
            (None, own(), Some(1), None),
            (Some(0), None, None, None),
            (Some(-1), None, None, None),
            (Some(101), None, None, None),
            (None, None, Some(i32::MAX), None),
            (Some(1), Some("junk".to_owned()), None, None),
        ] {
            assert!(page(List::Entries, first, after, last, before).is_err());
        }
    }
}
