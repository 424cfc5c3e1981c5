//! Coupons, read.

use entity::{coupon, order, quote};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query};
use uuid::Uuid;

use super::{Scope, page};
use crate::error::Error;

/// Those of these coupons that the caller knows: an operator all, a customer those on its own quotes and orders.
///
/// # Errors
/// [`Error::Unavailable`] when the store does not answer.
pub async fn by_ids(db: &impl ConnectionTrait, scope: &Scope, ids: &[Uuid]) -> Result<Vec<coupon::Model>, Error> {
    use coupon::{Column, Entity};
    let mut select = page::whole(Entity);
    select.and_where(Expr::col((Entity, Column::Id)).is_in(ids.iter().copied()));
    if !matches!(scope, Scope::Operator { .. }) {
        let mut quoted = Query::select();
        quoted
            .expr(Expr::val(1))
            .from(quote::Entity)
            .and_where(Expr::col((quote::Entity, quote::Column::CouponId)).equals((Entity, Column::Id)))
            .cond_where(scope.accounts((quote::Entity, quote::Column::AccountId)));
        let mut ordered = Query::select();
        ordered
            .expr(Expr::val(1))
            .from(order::Entity)
            .and_where(Expr::col((order::Entity, order::Column::CouponId)).equals((Entity, Column::Id)))
            .cond_where(scope.accounts((order::Entity, order::Column::AccountId)));
        select.cond_where(Condition::any().add(Expr::exists(quoted)).add(Expr::exists(ordered)));
    }
    page::rows(db, &select, page::model).await
}
