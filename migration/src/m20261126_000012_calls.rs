//! The calls of a product's service are told in the order in which they were made: what waits for a resource is found.

use sea_orm_migration::prelude::*;

use crate::columns::partial_index;

const NAME: &str = "webhook_delivery_waiting_call";

/// The calls of a product's service are told in the order in which they were made.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["resource_id", "id"];
        let waiting = "product_id is not null and next_attempt_at is not null";
        let mut index = partial_index("webhook_delivery", &columns, waiting);
        manager.create_index(index.name(NAME).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(Index::drop().name(NAME).table("webhook_delivery").to_owned())
            .await
    }
}
