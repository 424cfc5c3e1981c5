//! Everything that a small world's store holds about paying, read at once.

use std::collections::BTreeMap;

use billing_gateway::app::App;
use billing_gateway::gateways::sandbox::Record;
use entity::enums::{Life, OrderItemStatus};
use entity::{
    coupon_redemption, gateway_capture, gateway_payment, gateway_refund, hold, order, order_item, payment,
    payment_link, payment_method, quarantine, resource, sandbox_record, wallet, wallet_entry,
};
use sea_orm::{ColumnTrait as _, DerivePartialModel, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

/// What is looked at of an order item: not its document.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "order_item::Entity")]
pub(super) struct Item {
    pub(super) id: Uuid,
    pub(super) order_id: Uuid,
    pub(super) resource_id: Uuid,
    pub(super) status: OrderItemStatus,
    pub(super) charged_minor: i64,
    pub(super) credited_minor: i64,
}

/// What is looked at of a resource.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "resource::Entity")]
pub(super) struct Resource {
    pub(super) id: Uuid,
    pub(super) life: Life,
    pub(super) order_item_id: Option<Uuid>,
}

pub(super) struct Rows {
    pub(super) wallet: wallet::Model,
    pub(super) entries: Vec<wallet_entry::Model>,
    pub(super) orders: Vec<order::Model>,
    pub(super) items: Vec<Item>,
    pub(super) resources: Vec<Resource>,
    pub(super) payments: Vec<payment::Model>,
    pub(super) attempts: BTreeMap<Uuid, gateway_payment::Model>,
    pub(super) captures: Vec<gateway_capture::Model>,
    pub(super) refunds: Vec<gateway_refund::Model>,
    pub(super) quarantine: Vec<quarantine::Model>,
    pub(super) holds: Vec<hold::Model>,
    pub(super) redemptions: Vec<coupon_redemption::Model>,
    pub(super) links: Vec<payment_link::Model>,
    pub(super) methods: Vec<payment_method::Model>,
    /// What the sandbox knows of payments, by our reference.
    pub(super) records: BTreeMap<String, Record>,
}

impl Rows {
    /// Reads the rows of one account; in the order in which they were made, so that the same walk finds the same ones.
    pub(super) async fn read(app: &App, account: Uuid) -> Self {
        let db = app.db.read();
        let records = sandbox_record::Entity::find().all(db).await.unwrap();
        let records = records
            .into_iter()
            .filter(|row| row.id != "next")
            .map(|row| (row.id, serde_json::from_value(row.document).unwrap()))
            .filter(|(_, record): &(String, Record)| !record.is_link)
            .collect();
        let attempts = gateway_payment::Entity::find().all(db).await.unwrap();
        Self {
            wallet: wallet::Entity::find()
                .filter(wallet::Column::AccountId.eq(account))
                .filter(wallet::Column::Kind.eq(entity::enums::WalletKind::Credit))
                .one(db)
                .await
                .unwrap()
                .unwrap(),
            entries: wallet_entry::Entity::find()
                .filter(wallet_entry::Column::AccountId.eq(account))
                .order_by_asc(wallet_entry::Column::Sequence)
                .all(db)
                .await
                .unwrap(),
            orders: order::Entity::find()
                .order_by_asc(order::Column::Code)
                .all(db)
                .await
                .unwrap(),
            items: order_item::Entity::find()
                .order_by_asc(order_item::Column::Id)
                .into_partial_model()
                .all(db)
                .await
                .unwrap(),
            resources: resource::Entity::find()
                .order_by_asc(resource::Column::Id)
                .into_partial_model()
                .all(db)
                .await
                .unwrap(),
            payments: payment::Entity::find()
                .order_by_asc(payment::Column::Code)
                .all(db)
                .await
                .unwrap(),
            attempts: attempts.into_iter().map(|row| (row.payment_id, row)).collect(),
            captures: gateway_capture::Entity::find()
                .order_by_asc(gateway_capture::Column::Id)
                .all(db)
                .await
                .unwrap(),
            refunds: gateway_refund::Entity::find()
                .order_by_asc(gateway_refund::Column::Id)
                .all(db)
                .await
                .unwrap(),
            quarantine: quarantine::Entity::find()
                .order_by_asc(quarantine::Column::Id)
                .all(db)
                .await
                .unwrap(),
            holds: hold::Entity::find()
                .order_by_asc(hold::Column::Id)
                .all(db)
                .await
                .unwrap(),
            redemptions: coupon_redemption::Entity::find().all(db).await.unwrap(),
            links: payment_link::Entity::find()
                .order_by_asc(payment_link::Column::Id)
                .all(db)
                .await
                .unwrap(),
            methods: payment_method::Entity::find()
                .order_by_asc(payment_method::Column::Id)
                .all(db)
                .await
                .unwrap(),
            records,
        }
    }

    pub(super) fn payment(&self, id: Uuid) -> Option<&payment::Model> {
        self.payments.iter().find(|payment| payment.id == id)
    }

    /// The payment that has this reference at its gateway.
    pub(super) fn payment_of(&self, reference: &str) -> Option<&payment::Model> {
        let attempt = self.attempts.values().find(|attempt| attempt.reference == reference)?;
        self.payment(attempt.payment_id)
    }
}
