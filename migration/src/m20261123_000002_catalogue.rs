//! What is sold: products, resource types, components, prices and coupons.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, flag, index, instant, int, json, micros, minor, one_of, optional, references, text, unique, uuid,
};

/// What is sold: products, resource types, components, prices and coupons.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("product")
                    .col(uuid("id"))
                    .col(text("code", 64))
                    .col(text("name", 200))
                    .col(text("description", 500))
                    .col(one_of("lifecycle", &["STANDARD", "TRASH"]))
                    .col(one_of("day_count", &["THIRTY_360", "ACTUAL_MINUTES"]))
                    .col(one_of("provisioning", &["INSTANT", "REPORTED"]))
                    .col(one_of("grace_service", &["FULL", "LIMITED"]))
                    .col(int("release_days"))
                    .col(int("trash_days"))
                    .col(flag("refunds_on_delete"))
                    .col(flag("auto_renew_locked"))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .check(Expr::cust("release_days between 1 and 3650"))
                    .check(Expr::cust("trash_days between 0 and 3650"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("product", &["code"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("resource_type")
                    .col(uuid("id"))
                    .col(uuid("product_id"))
                    .col(text("code", 64))
                    .col(text("name", 200))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("resource_type", "product_id", "product"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("resource_type", &["product_id", "code"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("component")
                    .col(uuid("id"))
                    .col(uuid("resource_type_id"))
                    .col(text("code", 64))
                    .col(text("name", 200))
                    .col(text("unit_label", 32))
                    .col(int("minimum"))
                    .col(int("maximum"))
                    .col(int("position"))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("component", "resource_type_id", "resource_type"))
                    .check(Expr::cust("minimum >= 0 and maximum >= minimum and maximum <= 1000000"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("component", &["resource_type_id", "code"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("price")
                    .col(uuid("id"))
                    .col(uuid("component_id"))
                    .col(text("currency", 3))
                    .col(one_of("unit", &["THIRTY_DAYS", "HOUR", "ONCE"]))
                    .col(micros("unit_price_micros"))
                    .col(micros("discount_micros"))
                    .col(micros("tax_micros"))
                    .col(one_of("tax_mode", &["INCLUSIVE", "EXCLUSIVE"]))
                    .col(instant("valid_from"))
                    .col(optional(instant("valid_until")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("price", "component_id", "component"))
                    .check(Expr::cust("unit_price_micros between 0 and 1000000000000000"))
                    .check(Expr::cust("discount_micros between 0 and 1000000"))
                    .check(Expr::cust("tax_micros between 0 and 1000000"))
                    .check(Expr::cust("valid_until is null or valid_until > valid_from"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("price", &["component_id", "currency", "valid_from"]))
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("coupon")
                    .col(uuid("id"))
                    .col(text("code", 64))
                    .col(one_of("kind", &["PERCENT", "FIXED"]))
                    .col(optional(micros("percent_micros")))
                    .col(optional(minor("amount_minor")))
                    .col(text("currency", 3))
                    .col(instant("valid_from"))
                    .col(optional(instant("valid_until")))
                    .col(optional(minor("minimum_order_minor")))
                    .col(optional(minor("maximum_discount_minor")))
                    .col(optional(big("total_limit")))
                    .col(optional(big("per_account_limit")))
                    .col(big("redeemed"))
                    .col(json("product_codes"))
                    .col(text("created_by", 200))
                    .col(instant("created_at"))
                    .primary_key(Index::create().col("id"))
                    .check(Expr::cust("(kind = 'PERCENT' and percent_micros between 1 and 1000000 and amount_minor is null) or (kind = 'FIXED' and amount_minor between 1 and 1000000000000000 and percent_micros is null)"))
                    .check(Expr::cust("total_limit >= 1 and per_account_limit >= 1"))
                    .check(Expr::cust("minimum_order_minor > 0 and maximum_discount_minor > 0"))
                    .check(Expr::cust("redeemed >= 0 and (total_limit is null or redeemed <= total_limit)"))
                    .check(Expr::cust("valid_until is null or valid_until > valid_from"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("coupon", &["code"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("coupon_redemption")
                    .col(uuid("id"))
                    .col(uuid("coupon_id"))
                    .col(uuid("account_id"))
                    .col(uuid("order_id"))
                    .col(minor("amount_minor"))
                    .col(one_of("status", &["REDEEMED", "RETURNED"]))
                    .col(instant("created_at"))
                    .col(optional(instant("returned_at")))
                    .primary_key(Index::create().col("id"))
                    .foreign_key(&mut references("coupon_redemption", "coupon_id", "coupon"))
                    .foreign_key(&mut references("coupon_redemption", "account_id", "account"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("coupon_redemption", &["order_id"])).await?;
        manager
            .create_index(index("coupon_redemption", &["coupon_id", "account_id", "status"]))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "coupon_redemption",
            "coupon",
            "price",
            "component",
            "resource_type",
            "product",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
