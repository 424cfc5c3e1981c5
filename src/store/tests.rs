//! Lists in pages, read from a real store: both directions, missing keys, one parent and many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::enums::{InvoiceStatus, Life, Power, TagKind};
use entity::raw_json::RawJson;
use entity::{invoice, product, resource, resource_tag, resource_type};
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::page::{End, Page, Place};
use super::resources::{self, Filter, Listing, Sort};
use super::{Scope, invoices};
use crate::app::{App, Settings};
use crate::commands::seed;
use crate::db::Options;
use crate::db::statements::counted;

mod remembered;
mod tables;

struct Shelf {
    app: App,
    accounts: Vec<Uuid>,
    _folder: TempDir,
}

fn at(day: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(day)
}

async fn shelf() -> Shelf {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("reads.sqlite3").display());
    let settings = Settings {
        development: true,
        return_origins: Vec::new(),
        most_releases: 1,
    };
    let app = App::open(&Options::new(url, 2), settings).await.unwrap();
    let seeded = seed::seed(&app).await.unwrap().unwrap();
    Shelf {
        app,
        accounts: seeded.accounts.iter().map(|(_, key)| *key).collect(),
        _folder: folder,
    }
}

impl Shelf {
    fn scope(&self, account: usize) -> Scope {
        Scope::Account {
            account: self.accounts[account],
            principal: "reader".to_owned(),
        }
    }

    /// A resource whose paid time ends on a day; without a day it is still being made.
    async fn resource(&self, account: usize, number: u128, ends_on: Option<i64>) -> Uuid {
        let db = self.app.db.read();
        let kind = resource_type::Entity::find().one(db).await.unwrap().unwrap();
        let product = product::Entity::find_by_id(kind.product_id)
            .one(db)
            .await
            .unwrap()
            .unwrap();
        let name = format!("web 100%_{number}");
        let row = resource::Model {
            id: Uuid::from_u128(number),
            account_id: self.accounts[account],
            product_id: product.id,
            resource_type_id: kind.id,
            search_text: resources::search_text(&name, None),
            name,
            life: if ends_on.is_some() {
                Life::Active
            } else {
                Life::Provisioning
            },
            power: Power::Running,
            configuration: RawJson::of(&json!([])).unwrap(),
            external_id: None,
            period_id: None,
            plan_id: None,
            paid_until: ends_on.map(at),
            anchor_day: None,
            auto_renew: number.is_multiple_of(2),
            auto_renew_months: 1,
            next_step: None,
            next_due_at: None,
            attempts: 0,
            created_by: "reader".to_owned(),
            created_at: at(0),
            provisioned_at: None,
            trashed_at: None,
            order_item_id: None,
            ended_at: None,
            version: 1,
        };
        let id = row.id;
        self.insert::<resource::ActiveModel>(row).await;
        id
    }

    async fn invoice(&self, account: usize, number: u128, resource: Uuid, day: i64) {
        let row = invoice::Model {
            id: Uuid::from_u128(1_000 + number),
            account_id: self.accounts[account],
            resource_id: resource,
            period_id: None,
            order_id: None,
            code: format!("INV-{number}"),
            status: InvoiceStatus::Paid,
            currency: "VND".to_owned(),
            net_minor: 1,
            tax_minor: 0,
            coupon_minor: 0,
            total_minor: 1,
            paid_minor: 1,
            credited_minor: 0,
            description: String::new(),
            period_start: at(day),
            period_end: at(day + 1),
            billing_address: None,
            tags: json!({}),
            issued_at: at(day),
            due_at: None,
        };
        self.insert::<invoice::ActiveModel>(row).await;
    }

    async fn insert<A>(&self, row: <A::Entity as EntityTrait>::Model)
    where
        A: sea_orm::ActiveModelTrait + sea_orm::ActiveModelBehavior + Send + Sync,
        <A::Entity as EntityTrait>::Model: IntoActiveModel<A> + Clone + Send + Sync,
    {
        self.app
            .db
            .write("insert", async |tx| {
                let tx = &*tx;
                A::Entity::insert(row.clone().into_active_model())
                    .exec_without_returning(&**tx)
                    .await?;
                Ok(())
            })
            .await
            .unwrap();
    }

    async fn numbers(&self, account: usize, listing: &Listing, page: &Page) -> (Vec<u128>, bool, bool, Vec<Place>) {
        let own = self.accounts[account];
        let mut lists = resources::of_accounts(self.app.db.read(), &self.scope(account), &[own], listing, page)
            .await
            .unwrap();
        let slice = lists.remove(&own).unwrap();
        let places = slice
            .rows
            .iter()
            .map(|row| resources::place(&row.head, listing.sort))
            .collect();
        let numbers = slice.rows.iter().map(|row| row.head.id.as_u128()).collect();
        (numbers, slice.has_previous, slice.has_next, places)
    }
}

fn listing(sort: Sort, descending: bool, filter: Filter) -> Listing {
    Listing {
        filter,
        sort,
        descending,
        whole: false,
        with_product: false,
        with_type: false,
    }
}

#[tokio::test]
async fn a_list_is_read_whole_from_either_end_and_rows_without_a_key_come_last() {
    let shelf = shelf().await;
    // Two end on the same day, two have no end yet.
    for (number, day) in [
        (1, Some(5)),
        (2, None),
        (3, Some(3)),
        (4, Some(3)),
        (5, None),
        (6, Some(9)),
    ] {
        shelf.resource(0, number, day).await;
    }
    for (descending, expected) in [(false, [3, 4, 1, 6, 2, 5]), (true, [6, 1, 4, 3, 5, 2])] {
        let listing = listing(Sort::PaidUntil, descending, Filter::default());
        for size in 1..=6 {
            for end in [End::First, End::Last] {
                let (mut seen, mut from): (Vec<u128>, Option<Place>) = (Vec::new(), None);
                loop {
                    let (rows, before, after, places) = shelf
                        .numbers(
                            0,
                            &listing,
                            &Page {
                                end,
                                size,
                                from: from.clone(),
                            },
                        )
                        .await;
                    match end {
                        End::First => {
                            assert_eq!(before, from.is_some());
                            seen.extend(rows);
                            from = places.last().cloned();
                            if !after {
                                break;
                            }
                        }
                        End::Last => {
                            assert_eq!(after, from.is_some());
                            seen.splice(0..0, rows);
                            from = places.first().cloned();
                            if !before {
                                break;
                            }
                        }
                    }
                }
                assert_eq!(seen, expected, "{end:?}, {size} at a time, descending: {descending}");
            }
        }
    }
}

#[tokio::test]
async fn a_filter_takes_text_as_it_stands_and_all_that_it_names() {
    let shelf = shelf().await;
    for number in 1..=4 {
        shelf.resource(0, number, Some(number as i64)).await;
    }
    let tag = resource_tag::Model {
        resource_id: Uuid::from_u128(3),
        key: "team".to_owned(),
        account_id: shelf.accounts[0],
        kind: TagKind::Customer,
        value: "a".to_owned(),
    };
    shelf.insert::<resource_tag::ActiveModel>(tag).await;
    let filters = [
        (
            Filter {
                text: Some("WEB 100%_".to_owned()),
                ..Filter::default()
            },
            vec![1, 2, 3, 4],
        ),
        (
            Filter {
                text: Some("b 100%_3".to_owned()),
                ..Filter::default()
            },
            vec![3],
        ),
        (
            Filter {
                text: Some("web_100".to_owned()),
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                text: Some("\\".to_owned()),
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                auto_renew: Some(true),
                ..Filter::default()
            },
            vec![2, 4],
        ),
        (
            Filter {
                tag: Some(("team".to_owned(), None)),
                ..Filter::default()
            },
            vec![3],
        ),
        (
            Filter {
                tag: Some(("team".to_owned(), Some("b".to_owned()))),
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                states: vec![(Life::Grace, None)],
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                paid_until: Some((Some(at(1)), Some(at(3)))),
                ..Filter::default()
            },
            vec![2, 3],
        ),
        (
            Filter {
                product: Some("nothing".to_owned()),
                ..Filter::default()
            },
            vec![],
        ),
    ];
    for (filter, expected) in filters {
        let listing = listing(Sort::PaidUntil, false, filter.clone());
        assert_eq!(
            shelf.numbers(0, &listing, &Page::first(10)).await.0,
            expected,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn the_newest_invoices_of_many_resources_are_one_statement() {
    let shelf = shelf().await;
    let mut resources = Vec::new();
    for number in 1..=3 {
        let resource = shelf.resource(0, number, Some(30)).await;
        resources.push(resource);
        for day in 0..(2 * number as i64) {
            shelf.invoice(0, number * 100 + day as u128, resource, day).await;
        }
    }
    let listing = invoices::Listing {
        statuses: Vec::new(),
        with_resource: true,
        ..invoices::Listing::default()
    };
    let codes = |lists: &HashMap<Uuid, super::page::Slice<invoices::Listed>>| -> Vec<Vec<String>> {
        let list = |resource| {
            lists[resource]
                .rows
                .iter()
                .map(|row| row.invoice.head.code.clone())
                .collect()
        };
        resources.iter().map(list).collect()
    };
    let (scope, newest) = (shelf.scope(0), Page::first(3));
    let read = invoices::of_resources(shelf.app.db.read(), &scope, &resources, &listing, &newest);
    let (lists, statements) = counted(read).await;
    let lists = lists.unwrap();
    assert_eq!(statements, 1);
    assert_eq!(
        codes(&lists),
        [
            vec!["INV-101", "INV-100"],
            vec!["INV-203", "INV-202", "INV-201"],
            vec!["INV-305", "INV-304", "INV-303"]
        ]
    );
    let more: Vec<bool> = resources.iter().map(|resource| lists[resource].has_next).collect();
    assert_eq!(more, [false, true, true]);
    // From the other end, behind a place, still in the list's order.
    let before = invoices::place(&lists[&resources[2]].rows[0].invoice);
    let last = Page {
        end: End::Last,
        size: 2,
        from: Some(before),
    };
    let read = invoices::of_resources(shelf.app.db.read(), &scope, &resources, &listing, &last);
    // Those issued later than the place: none of the others was.
    assert!(codes(&read.await.unwrap()).iter().all(Vec::is_empty));
    let oldest = Page {
        end: End::Last,
        size: 2,
        from: None,
    };
    let lists = invoices::of_resources(shelf.app.db.read(), &scope, &resources, &listing, &oldest)
        .await
        .unwrap();
    assert_eq!(
        codes(&lists),
        [
            vec!["INV-101", "INV-100"],
            vec!["INV-201", "INV-200"],
            vec!["INV-301", "INV-300"]
        ]
    );
}

#[tokio::test]
async fn another_accounts_rows_are_not_there() {
    let shelf = shelf().await;
    let theirs = shelf.resource(1, 7, Some(1)).await;
    shelf.invoice(1, 7, theirs, 0).await;
    let (db, scope) = (shelf.app.db.read(), shelf.scope(0));
    let listing = listing(Sort::CreatedAt, false, Filter::default());
    let lists = resources::of_accounts(db, &scope, &[shelf.accounts[1]], &listing, &Page::first(10))
        .await
        .unwrap();
    assert!(lists[&shelf.accounts[1]].rows.is_empty());
    assert!(resources::by_ids(db, &scope, &[theirs]).await.unwrap().is_empty());
    assert!(resources::tags(db, &scope, &[theirs]).await.unwrap().is_empty());
    assert!(
        invoices::by_ids(db, &scope, &[Uuid::from_u128(1_007)])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        invoices::lines(db, &scope, &[Uuid::from_u128(1_007)])
            .await
            .unwrap()
            .is_empty()
    );
    let product = Scope::Product {
        product: "vserver".to_owned(),
        principal: "service".to_owned(),
    };
    assert!(resources::by_ids(db, &product, &[theirs]).await.unwrap().is_empty());
    assert_eq!(
        resources::by_ids(db, &Scope::engine(), &[theirs]).await.unwrap().len(),
        1
    );
}
