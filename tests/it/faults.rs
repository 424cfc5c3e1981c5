//! The store lets go at the worst moment: nothing is lost, nothing happens twice, and nobody has to restart.

use billing_gateway::commands::credit::{self, Grant};
use billing_gateway::commands::order::{PayBy, PlaceOrder, place_order};
use billing_gateway::commands::quote::{Create, PriceRequest, create};
use billing_gateway::domain::term::Term;
use billing_gateway::engine;
use billing_gateway::store::Scope;
use entity::enums::FundsKind;
use entity::{expiry_alert, order, wallet_entry};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};

use crate::support::cutter::{Cut, Cutter};
use crate::support::{World, at, on_every_store, project};

const CUTS: [Cut; 8] = [
    Cut::Before,
    Cut::After,
    Cut::After,
    Cut::Before,
    Cut::After,
    Cut::Before,
    Cut::Before,
    Cut::After,
];

on_every_store! {
    async fn a_commit_whose_answer_is_lost_happened_once_all_the_same(world: World) {
        if world.database().starts_with("sqlite") {
            // SQLite is in the process: its commit's answer can't be lost without it.
            return world;
        }
        let wire = Cutter::before(world.database()).await;
        let app = world.over(wire.url()).await;
        let operator = Scope::Operator { principal: "operator".to_owned() };
        let owner = Scope::Account { account: world.account, principal: "owner".to_owned() };
        for (round, cut) in CUTS.into_iter().enumerate() {
            let grant = Grant {
                account: world.account,
                funds: FundsKind::Cash,
                amount: "500000".to_owned(),
                reason: "cut".to_owned(),
                idempotency_key: format!("grant-{round}"),
            };
            wire.cut_next(cut);
            credit::grant(&app, &operator, grant).await.unwrap();
            assert!(wire.has_cut());

            let wanted = Create {
                product: "vserver".to_owned(),
                resource_type: "server".to_owned(),
                components: vec![("s-general-1x1".to_owned(), 1)],
                quantity: 1,
                term: Term::Months(1),
                name: None,
            };
            let request = PriceRequest { account: world.account, creates: vec![wanted], coupon_code: None };
            wire.cut_next(cut);
            let quote = create(&app, &owner, request).await.unwrap().id;
            assert!(wire.has_cut());

            let pay = PlaceOrder {
                account: world.account,
                quote,
                payment: Some(PayBy::Credit),
                return_url: None,
                idempotency_key: format!("order-{round}"),
            };
            wire.cut_next(cut);
            place_order(&app, &owner, pay).await.unwrap();
            assert!(wire.has_cut());
            world.books_agree().await;
        }
        let db = world.app.db.read();
        assert_eq!(order::Entity::find().count(db).await.unwrap(), 8, "eight orders");
        assert_eq!(wallet_entry::Entity::find().count(db).await.unwrap(), 16, "eight grants and eight payments");
    }

    async fn an_engine_whose_commit_is_cut_tells_each_thing_once(world: World) {
        if world.database().starts_with("sqlite") {
            return world;
        }
        world.grant("CASH", "100000000").await;
        let mut resources = project();
        resources["quantity"] = serde_json::json!(5);
        world.buy(resources).await;
        let wire = Cutter::before(world.database()).await;
        let app = world.over(wire.url()).await;
        for (day, cut) in (1..).step_by(5).zip(CUTS) {
            wire.cut_next(cut);
            let until = at("2023-03-12T00:00:00+07:00") + chrono::TimeDelta::days(day);
            engine::advance(&app, until).await.unwrap();
            assert!(wire.has_cut());
            world.books_agree().await;
        }
        let told = expiry_alert::Entity::find().count(world.app.db.read()).await.unwrap();
        assert_eq!(told, 5 * 4, "each resource was told each step, once");
    }
}
