//! What a transaction sends together: all of it or nothing, and as much of it as there is.

use billing_gateway::db::writes::Writes;
use billing_gateway::error::Error;
use billing_gateway::store::event_log::{self, News};
use billing_gateway::store::ledger::{self as books, Movement};
use billing_gateway::store::purchases::Rows;
use billing_gateway::store::{Scope, event_log::kept};
use entity::enums::{EventType, TagKind, WalletAction, WalletKind};
use entity::{account_event, resource, resource_tag, wallet, wallet_entry};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

use crate::support::{World, execute, on_every_store, server};

fn operator() -> Scope {
    Scope::Operator {
        principal: "writer".to_owned(),
    }
}

on_every_store! {
    async fn a_change_that_does_not_find_its_row_undoes_what_was_sent_with_it(world: World) {
        world.grant("CASH", "300000").await;
        let (app, scope, now) = (&world.app, operator(), world.app.clock.now());
        let before = wallet::Entity::find().all(app.db.read()).await.unwrap();
        let lines = wallet_entry::Entity::find().all(app.db.read()).await.unwrap();
        let told = account_event::Entity::find().count(app.db.read()).await.unwrap();
        let tries = AtomicU32::new(0);
        let done = app.db.write("stale", async |tx| {
            let tx = &*tx;
            tries.fetch_add(1, Ordering::Relaxed);
            let mut read = books::lock_wallet(tx, &scope, world.account, WalletKind::Credit).await?;
            // As if it had been read before somebody else moved it.
            read.version -= 1;
            let movement = Movement {
                id: Uuid::from_u128(7),
                transaction: lines[0].transaction_id,
                action: WalletAction::Grant,
                details: "stale".to_owned(),
                cash_minor: 1,
                promotional_minor: 0,
                order: None,
            };
            let mut writes = Writes::of(tx);
            event_log::append(&mut writes, &scope, world.account, &[News::of(EventType::WalletCredited)], now)?;
            books::move_wallet(&mut writes, &scope, &read, vec![movement], now)?;
            writes.send(tx).await
        });
        assert!(matches!(done.await, Err(Error::Unavailable(_))));
        assert_eq!(tries.into_inner(), 8, "it is run again, and not for ever");
        assert_eq!(wallet::Entity::find().all(app.db.read()).await.unwrap(), before);
        assert_eq!(wallet_entry::Entity::find().count(app.db.read()).await.unwrap(), 1);
        assert_eq!(account_event::Entity::find().count(app.db.read()).await.unwrap(), told);
    }

    async fn a_wallet_is_answered_as_it_was_written(world: World) {
        world.grant("CASH", "300000").await;
        let (app, scope, now) = (&world.app, operator(), world.app.clock.now());
        let entry = wallet_entry::Entity::find().one(app.db.read()).await.unwrap().unwrap();
        for (spent, held) in [(0, 1_000), (100, 0), (200, -300), (0, 0)] {
            let answered = app.db.write("answered", async |tx| {
                let tx = &*tx;
                let read = books::lock_wallet(tx, &scope, world.account, WalletKind::Credit).await?;
                let movement = Movement {
                    id: Uuid::now_v7(),
                    transaction: entry.transaction_id,
                    action: WalletAction::OrderPayment,
                    details: "spent".to_owned(),
                    cash_minor: -spent,
                    promotional_minor: 0,
                    order: None,
                };
                let movements = (spent > 0).then_some(movement).into_iter().collect();
                let mut writes = Writes::of(tx);
                let answered = books::change_wallet(&mut writes, &scope, &read, movements, held, now)?;
                writes.send(tx).await?;
                Ok(answered)
            });
            let answered = answered.await.unwrap();
            let written = wallet::Entity::find_by_id(answered.id).one(app.db.read()).await.unwrap();
            assert_eq!(Some(answered), written);
        }
        // Nothing of it was in the books.
        let undone = "UPDATE wallet SET cash_minor = cash_minor + 300, held_minor = 0 WHERE cash_minor = 299700";
        execute(app, undone).await;
        execute(app, "DELETE FROM wallet_entry WHERE details = 'spent' AND cash_minor = -100").await;
        execute(app, "DELETE FROM wallet_entry WHERE details = 'spent'").await;
        execute(app, "UPDATE wallet SET entry_sequence = 1 WHERE cash_minor = 300000").await;
    }

    async fn more_values_than_a_statement_takes_are_written_all_the_same(world: World) {
        world.grant("CASH", "300000").await;
        world.buy(server("s-general-1x1")).await;
        let (app, scope, now) = (&world.app, operator(), world.app.clock.now());
        let bought = resource::Entity::find().one(app.db.read()).await.unwrap().unwrap();
        let first = kept(app.db.read(), &scope, world.account).await.unwrap().unwrap().newest + 1;
        let newest = app.db.write("many", async |tx| {
            let tx = &*tx;
            let mut rows = Rows::default();
            for number in 0..14_000 {
                rows.tags.push(resource_tag::Model {
                    resource_id: bought.id,
                    key: format!("key-{number}"),
                    account_id: bought.account_id,
                    kind: TagKind::System,
                    value: "many".to_owned(),
                });
            }
            let mut writes = Writes::of(tx);
            rows.write(&mut writes, &scope)?;
            let news = vec![News::of(EventType::ResourceProvisioned).resource(bought.id); 2_500];
            event_log::append(&mut writes, &scope, world.account, &news, now)?;
            writes.send(tx).await
        });
        assert_eq!(newest.await.unwrap(), Some(first + 2_499));
        assert!(resource_tag::Entity::find().count(app.db.read()).await.unwrap() >= 14_000);
        // The proof finds a gap in the numbers, if there is one.
        world.books_agree().await;
    }
}
