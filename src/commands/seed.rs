//! Fills an empty store with a catalogue and two accounts, so that there is something to buy and somebody to buy it.

use chrono::{DateTime, Utc};
use entity::enums::{
    BillingMode, DayCount, GraceService, Language, LifecyclePolicy, PriceUnit, ProvisioningMode, TaxMode, WalletKind,
};
use entity::{account, component, price, product, resource_type, wallet};
use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::ids;

/// What seeding made.
#[derive(Clone, Debug)]
pub struct Seeded {
    /// The accounts: code and key.
    pub accounts: Vec<(String, Uuid)>,
}

struct Product {
    code: &'static str,
    name: &'static str,
    description: &'static str,
    lifecycle: LifecyclePolicy,
    provisioning: ProvisioningMode,
    day_count: DayCount,
    release_days: i32,
    refunds_on_delete: bool,
    auto_renew_locked: bool,
    types: &'static [Type],
}

struct Type {
    code: &'static str,
    name: &'static str,
    components: &'static [Component],
}

struct Component {
    code: &'static str,
    name: &'static str,
    unit_label: &'static str,
    maximum: i32,
    unit: PriceUnit,
    /// Millionths of a dong.
    unit_price_micros: i64,
}

const fn monthly(
    code: &'static str,
    name: &'static str,
    unit_label: &'static str,
    maximum: i32,
    dong: i64,
) -> Component {
    Component {
        code,
        name,
        unit_label,
        maximum,
        unit: PriceUnit::ThirtyDays,
        unit_price_micros: dong * 1_000_000,
    }
}

const CATALOGUE: &[Product] = &[
    Product {
        code: "vserver",
        name: "vServer",
        description: "Virtual servers and their disks.",
        lifecycle: LifecyclePolicy::Standard,
        provisioning: ProvisioningMode::Reported,
        day_count: DayCount::Thirty360,
        release_days: 30,
        refunds_on_delete: true,
        auto_renew_locked: false,
        types: &[
            Type {
                code: "server",
                name: "Server",
                components: &[
                    monthly("s-general-1x1", "General purpose, 1 vCPU, 1 GB", "instance", 1, 181_000),
                    monthly("s-general-2x4", "General purpose, 2 vCPU, 4 GB", "instance", 1, 520_000),
                    monthly("dev.v1.small1x1", "Development, 1 vCPU, 1 GB", "instance", 1, 90_000),
                    monthly("root-disk-20gb", "Root disk, 20 GB, 3000 IOPS", "disk", 1, 35_000),
                ],
            },
            Type {
                code: "volume",
                name: "Volume",
                components: &[monthly("disk-20gb", "Disk, 20 GB", "disk", 100, 35_000)],
            },
            Type {
                code: "snapshot",
                name: "Snapshot",
                components: &[Component {
                    code: "snapshot-gb",
                    name: "Snapshot storage",
                    unit_label: "GB",
                    maximum: 100_000,
                    unit: PriceUnit::Hour,
                    unit_price_micros: 7_700_000,
                }],
            },
        ],
    },
    Product {
        code: "vstorage",
        name: "vStorage",
        description: "Object storage by the project.",
        lifecycle: LifecyclePolicy::Trash,
        provisioning: ProvisioningMode::Instant,
        day_count: DayCount::Thirty360,
        release_days: 7,
        refunds_on_delete: true,
        auto_renew_locked: false,
        types: &[Type {
            code: "project",
            name: "Project",
            components: &[monthly(
                "storage-100gb",
                "Storage, 100 GB",
                "block of 100 GB",
                1_000,
                150_000,
            )],
        }],
    },
    Product {
        code: "vmonitor",
        name: "vMonitor",
        description: "Logs and metrics by quota.",
        lifecycle: LifecyclePolicy::Trash,
        provisioning: ProvisioningMode::Instant,
        day_count: DayCount::Thirty360,
        release_days: 3,
        refunds_on_delete: false,
        auto_renew_locked: true,
        types: &[Type {
            code: "log-quota",
            name: "Log quota",
            components: &[monthly("log-10gb", "Logs, 10 GB", "block of 10 GB", 1_000, 120_000)],
        }],
    },
    Product {
        code: "vdb",
        name: "vDB",
        description: "Managed databases.",
        lifecycle: LifecyclePolicy::Standard,
        provisioning: ProvisioningMode::Reported,
        day_count: DayCount::Thirty360,
        release_days: 30,
        refunds_on_delete: true,
        auto_renew_locked: false,
        types: &[Type {
            code: "database",
            name: "Database",
            components: &[
                monthly("db-1x2", "Database, 1 vCPU, 2 GB", "instance", 1, 410_000),
                monthly("db-disk-20gb", "Database disk, 20 GB", "disk", 50, 45_000),
            ],
        }],
    },
    Product {
        code: "vcontainer",
        name: "vContainer",
        description: "Kubernetes clusters.",
        lifecycle: LifecyclePolicy::Standard,
        provisioning: ProvisioningMode::Reported,
        day_count: DayCount::ActualMinutes,
        release_days: 30,
        refunds_on_delete: true,
        auto_renew_locked: false,
        types: &[Type {
            code: "cluster",
            name: "Cluster",
            components: &[monthly("node-2x4", "Node, 2 vCPU, 4 GB", "node", 100, 600_000)],
        }],
    },
];

/// Every seeded price includes a tax of 10 %.
const TAX_MICROS: i64 = 100_000;

/// Writes the catalogue and two accounts, and answers them. A store that has accounts is left as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn seed(app: &App) -> Result<Option<Seeded>, Error> {
    let now = app.clock.now();
    app.db
        .write("seed", async |tx| {
            let tx = &*tx;
            if account::Entity::find().count(&**tx).await? > 0 {
                return Ok(None);
            }
            let rows = catalogue(now);
            product::Entity::insert_many(rows.products.into_iter().map(IntoActiveModel::into_active_model))
                .exec_without_returning(&**tx)
                .await?;
            resource_type::Entity::insert_many(rows.types.into_iter().map(IntoActiveModel::into_active_model))
                .exec_without_returning(&**tx)
                .await?;
            component::Entity::insert_many(rows.components.into_iter().map(IntoActiveModel::into_active_model))
                .exec_without_returning(&**tx)
                .await?;
            price::Entity::insert_many(rows.prices.into_iter().map(IntoActiveModel::into_active_model))
                .exec_without_returning(&**tx)
                .await?;
            let accounts = vec![
                open(tx, "ACME", "ACME Joint Stock Company", Language::En, now).await?,
                open(tx, "GLOBEX", "Globex Viet Nam", Language::Vi, now).await?,
            ];
            Ok(Some(Seeded { accounts }))
        })
        .await
}

/// Whether a store has accounts.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn has_accounts(app: &App) -> Result<bool, Error> {
    Ok(account::Entity::find().count(app.db.read()).await? > 0)
}

#[derive(Default)]
struct Rows {
    products: Vec<product::Model>,
    types: Vec<resource_type::Model>,
    components: Vec<component::Model>,
    prices: Vec<price::Model>,
}

fn catalogue(now: DateTime<Utc>) -> Rows {
    let mut rows = Rows::default();
    // Prices have been valid for long, so that a development clock may be moved back.
    let valid_from = DateTime::from_timestamp(946_684_800, 0).unwrap_or(now);
    for product in CATALOGUE {
        let product_id = ids::new_id();
        rows.products.push(product::Model {
            id: product_id,
            code: product.code.to_owned(),
            name: product.name.to_owned(),
            description: product.description.to_owned(),
            lifecycle: product.lifecycle,
            day_count: product.day_count,
            provisioning: product.provisioning,
            grace_service: GraceService::Full,
            release_days: product.release_days,
            trash_days: 7,
            refunds_on_delete: product.refunds_on_delete,
            auto_renew_locked: product.auto_renew_locked,
            has_webhook: false,
            created_at: now,
        });
        for kind in product.types {
            let resource_type_id = ids::new_id();
            rows.types.push(resource_type::Model {
                id: resource_type_id,
                product_id,
                code: kind.code.to_owned(),
                name: kind.name.to_owned(),
            });
            for (position, part) in (0_i32..).zip(kind.components) {
                let component_id = ids::new_id();
                rows.components.push(component::Model {
                    id: component_id,
                    resource_type_id,
                    code: part.code.to_owned(),
                    name: part.name.to_owned(),
                    unit_label: part.unit_label.to_owned(),
                    minimum: 1,
                    maximum: part.maximum,
                    position,
                });
                rows.prices.push(price::Model {
                    id: ids::new_id(),
                    component_id,
                    currency: "VND".to_owned(),
                    unit: part.unit,
                    unit_price_micros: part.unit_price_micros,
                    discount_micros: 0,
                    tax_micros: TAX_MICROS,
                    tax_mode: TaxMode::Inclusive,
                    valid_from,
                    valid_until: None,
                });
            }
        }
    }
    rows
}

/// Opens an account with an empty credit wallet.
///
/// # Errors
/// [`Error::Internal`] when the code is taken.
pub async fn open(
    tx: &crate::db::Tx,
    code: &str,
    name: &str,
    language: Language,
    now: DateTime<Utc>,
) -> Result<(String, Uuid), Error> {
    let id = ids::new_id();
    let opened = account::Model {
        id,
        code: code.to_owned(),
        name: name.to_owned(),
        zone: "Asia/Ho_Chi_Minh".to_owned(),
        language,
        mode: BillingMode::Prepaid,
        currency: "VND".to_owned(),
        event_sequence: 0,
        created_at: now,
        version: 1,
    };
    account::Entity::insert(opened.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    let credit = wallet::Model {
        id: ids::new_id(),
        account_id: id,
        kind: WalletKind::Credit,
        currency: "VND".to_owned(),
        cash_minor: 0,
        promotional_minor: 0,
        held_minor: 0,
        entry_sequence: 0,
        ends_at: None,
        created_at: now,
        version: 1,
    };
    wallet::Entity::insert(credit.into_active_model())
        .exec_without_returning(&**tx)
        .await?;
    Ok((code.to_owned(), id))
}
