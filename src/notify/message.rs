//! What a request says: the thing itself, as it is when the request is sent.

use std::collections::HashMap;

use chrono::SecondsFormat;
use entity::raw_json::RawJson;
use entity::{account_event, expiry_alert, product, resource, resource_type, webhook_delivery};
use sea_orm::ConnectionTrait;
use serde::Deserialize as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::lifecycle;
use crate::domain::quote::PricedItem;
use crate::error::Error;
use crate::ids::global::{Kind, text};
use crate::store::{Scope, alerts, catalogue, event_log, orders, resources};

/// What the bodies of some requests are made of.
pub(super) struct Subjects {
    events: HashMap<(Uuid, i64), account_event::Model>,
    resources: HashMap<Uuid, resource::Model>,
    products: HashMap<Uuid, product::Model>,
    types: HashMap<Uuid, resource_type::Model>,
    alerts: HashMap<Uuid, expiry_alert::Model>,
    documents: HashMap<Uuid, Value>,
}

impl Subjects {
    /// Reads what these requests are about: seven statements at most, however many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub(super) async fn read(db: &impl ConnectionTrait, rows: &[webhook_delivery::Model]) -> Result<Self, Error> {
        let scope = Scope::engine();
        let wanted: Vec<(Uuid, i64)> = rows
            .iter()
            .filter_map(|row| Some((row.account_id, row.event_sequence?)))
            .collect();
        let events = event_log::by_places(db, &scope, &wanted).await?;
        let of_events = events.iter().filter_map(|event| event.resource_id);
        let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.resource_id).chain(of_events).collect();
        ids.sort_unstable();
        ids.dedup();
        let resources = resources::by_ids(db, &scope, &ids).await?;
        let products: Vec<Uuid> = resources.iter().map(|row| row.product_id).collect();
        let products = catalogue::products_by_ids(db, &scope, &products).await?;
        let types: Vec<Uuid> = resources.iter().map(|row| row.resource_type_id).collect();
        let types = catalogue::types_by_ids(db, &scope, &types).await?;
        let alerts: Vec<Uuid> = events.iter().filter_map(|event| event.alert_id).collect();
        let alerts = alerts::by_ids(db, &scope, &alerts).await?;
        let items: Vec<Uuid> = rows.iter().filter_map(|row| row.order_item_id).collect();
        let documents = orders::documents(db, &scope, &items).await?;
        Ok(Self {
            events: events
                .into_iter()
                .map(|event| ((event.account_id, event.sequence), event))
                .collect(),
            resources: resources.into_iter().map(|row| (row.id, row)).collect(),
            products: products.into_iter().map(|row| (row.id, row)).collect(),
            types: types.into_iter().map(|row| (row.id, row)).collect(),
            alerts: alerts.into_iter().map(|row| (row.id, row)).collect(),
            documents: documents.into_iter().collect(),
        })
    }

    /// The body of a request: `type`, `timestamp` and `data`, as the specification advises.
    ///
    /// # Errors
    /// [`Error::Internal`] for a row that is not one of ours.
    pub(super) fn body(&self, row: &webhook_delivery::Model) -> Result<String, Error> {
        let event = row
            .event_sequence
            .and_then(|sequence| self.events.get(&(row.account_id, sequence)));
        let resource = row.resource_id.or_else(|| event.and_then(|event| event.resource_id));
        let mut data = json!({ "accountId": text(Kind::Account, row.account_id) });
        let put = |data: &mut Value, name: &str, value: Option<Value>| {
            if let (Some(object), Some(value)) = (data.as_object_mut(), value) {
                object.insert(name.to_owned(), value);
            }
        };
        put(&mut data, "sequence", row.event_sequence.map(Value::from));
        put(&mut data, "resource", resource.and_then(|id| self.resource(id)));
        if let Some(event) = event {
            let named = [
                ("orderId", Kind::Order, event.order_id),
                ("paymentId", Kind::Payment, event.payment_id),
                ("invoiceId", Kind::Invoice, event.invoice_id),
                ("walletId", Kind::Wallet, event.wallet_id),
            ];
            for (name, kind, key) in named {
                put(&mut data, name, key.map(|key| text(kind, key).into()));
            }
            let alert = event.alert_id.and_then(|id| self.alerts.get(&id));
            put(&mut data, "alert", alert.map(told));
        }
        if let Some(item) = row.order_item_id {
            put(&mut data, "taskId", Some(text(Kind::ProvisioningTask, item).into()));
            let wanted = self.documents.get(&item).map(PricedItem::deserialize).transpose()?;
            put(&mut data, "wanted", wanted.map(|item| components(&item)));
        }
        let body = json!({ "type": row.told, "timestamp": instant(row.happened_at), "data": data });
        Ok(body.to_string())
    }

    fn resource(&self, id: Uuid) -> Option<Value> {
        let row = self.resources.get(&id)?;
        Some(json!({
            "id": text(Kind::Resource, row.id),
            "name": row.name,
            "externalId": row.external_id,
            "product": self.products.get(&row.product_id).map(|product| &product.code),
            "resourceType": self.types.get(&row.resource_type_id).map(|kind| &kind.code),
            "status": lifecycle::display_status(row.life, row.power),
            "power": row.power,
            "expiresAt": row.paid_until.map(instant),
            "autoRenew": row.auto_renew,
            "configuration": configuration(&row.configuration),
        }))
    }
}

fn told(alert: &expiry_alert::Model) -> Value {
    json!({
        "id": text(Kind::ExpiryAlert, alert.id),
        "step": alert.step,
        "daysLeft": alert.days_left,
        "expiresAt": instant(alert.expires_at),
        "releasesAt": alert.releases_at.map(instant),
        "failure": alert.failure,
    })
}

/// Codes and quantities of a stored configuration.
fn configuration(stored: &RawJson) -> Value {
    let part = |part: &Value| json!({ "code": part["code"], "quantity": part["quantity"] });
    stored
        .read::<Value>()
        .unwrap_or_default()
        .as_array()
        .map(|parts| parts.iter().map(part).collect())
        .unwrap_or_default()
}

fn components(item: &PricedItem) -> Value {
    let parts = item.configuration();
    parts
        .iter()
        .map(|part| json!({ "code": part.code, "quantity": part.quantity }))
        .collect()
}

fn instant(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
