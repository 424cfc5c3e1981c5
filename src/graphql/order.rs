//! Orders: what was bought at once, what became of each item.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription};
use entity::enums::{CancelReason, OrderAction, OrderItemStatus, OrderStatus, PaymentMethod};
use entity::{order, payment};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use uuid::Uuid;

use super::caller::{Needs, Permission};
use super::connection::{Cut, List, connection, page};
use super::coupon::Coupon;
use super::errors::Result;
use super::gateway::{NextAction, trouble};
use super::ids::{self, Kind, global};
use super::loaders::ListKey;
use super::pay_by::{PaymentInput, ShareAction};
use super::payment::Payment;
use super::price::{PricedLine, lines_of_item};
use super::product::Product;
use super::quote::Quote;
use super::resource::Resource;
use super::scalars::{DateTime, Money, instant, money};
use super::session::{Reach as _, Session};
use super::user_error::{UserError, refused, wrong_id};
use crate::commands::order as commands;
use crate::commands::payments;
use crate::domain::order as rules;
use crate::error::Error;
use crate::live;
use crate::store::orders::{self, Item};
use crate::store::page::Page;

#[derive(Clone, Debug)]
pub(crate) struct Order(pub(crate) Arc<order::Model>);

/// Items bought at once.
#[Object]
impl Order {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::Order, self.0.id)
    }

    /// Its human code, without gaps within the account and the year.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// Where it stands.
    async fn status(&self) -> OrderStatus {
        self.0.status
    }

    /// Its items: one action on one resource each.
    async fn items(&self, ctx: &Context<'_>) -> Result<Vec<OrderItem>> {
        Ok(ctx
            .loaders()?
            .items_of_order
            .must(self.0.id)
            .await?
            .into_iter()
            .map(OrderItem)
            .collect())
    }

    /// Net and tax, before the coupon.
    async fn gross(&self) -> Result<Money> {
        money(self.0.gross_minor, &self.0.currency)
    }

    /// What the coupon took off.
    async fn coupon(&self) -> Result<Money> {
        money(self.0.coupon_minor, &self.0.currency)
    }

    /// The tax within.
    async fn tax(&self) -> Result<Money> {
        money(self.0.tax_minor, &self.0.currency)
    }

    /// What its new periods cost: gross less coupon. It is what its invoices say.
    async fn charged(&self) -> Result<Money> {
        money(self.0.charged_minor, &self.0.currency)
    }

    /// What was to be paid: what was charged, less what was unused of the periods it replaced, item by item.
    async fn due(&self) -> Result<Money> {
        money(self.0.due_minor, &self.0.currency)
    }

    /// What goes back to the credit wallet as its items are done.
    async fn refund(&self) -> Result<Money> {
        money(self.0.refund_minor, &self.0.currency)
    }

    /// The coupon that was used.
    async fn applied_coupon(&self, ctx: &Context<'_>) -> Result<Option<Coupon>> {
        let Some(coupon) = self.0.coupon_id else {
            return Ok(None);
        };
        Ok(ctx.loaders()?.coupons.load(coupon).await?.map(Coupon))
    }

    /// Its payments, oldest first.
    #[graphql(guard = "Needs(Permission::ListPayments)")]
    async fn payments(&self, ctx: &Context<'_>) -> Result<Option<Vec<Payment>>> {
        let payments = ctx.loaders()?.payments_of_order.must(self.0.id).await?;
        Ok(Some(payments.into_iter().map(Payment).collect()))
    }

    /// The link by which somebody else was asked to pay it; null when nobody was, or it can't be used any more.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn payment_link(&self, ctx: &Context<'_>) -> Result<Option<ShareAction>> {
        ShareAction::of_order(ctx, &self.0).await
    }

    /// The quote it was made from.
    async fn quote(&self, ctx: &Context<'_>) -> Result<Option<Quote>> {
        ctx.loaders()?
            .quotes
            .load(self.0.quote_id)
            .await?
            .map(Quote::read)
            .transpose()
    }

    /// Who placed it.
    async fn placed_by(&self) -> &str {
        &self.0.principal
    }

    /// Where the customer is sent back to.
    async fn return_url(&self) -> Option<&str> {
        self.0.return_url.as_deref()
    }

    /// When it was placed.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// Until when it waits for its payment; null when it does not wait.
    async fn expires_at(&self) -> Option<DateTime> {
        instant(
            self.0
                .expires_at
                .filter(|_| self.0.status == OrderStatus::AwaitingPayment),
        )
    }

    /// Why it was given up before it was paid.
    async fn cancelled_because(&self) -> Option<CancelReason> {
        self.0.cancelled_because
    }

    /// When its money was taken.
    async fn paid_at(&self) -> Option<DateTime> {
        instant(self.0.paid_at)
    }

    /// When its last item came to its end.
    async fn completed_at(&self) -> Option<DateTime> {
        instant(self.0.completed_at)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct OrderItem(pub(crate) Arc<Item>);

/// One action on one resource, priced and paid.
#[Object]
impl OrderItem {
    /// Its global id.
    pub(crate) async fn id(&self) -> ID {
        global(Kind::OrderItem, self.0.id)
    }

    /// Its place in the order, from 0.
    async fn position(&self) -> i32 {
        self.0.position
    }

    /// What it does.
    async fn action(&self) -> OrderAction {
        self.0.action
    }

    /// Where it stands.
    async fn status(&self) -> OrderItemStatus {
        self.0.status
    }

    /// The product.
    async fn product(&self, ctx: &Context<'_>) -> Result<Product> {
        Ok(Product(ctx.loaders()?.products.must(self.0.product_id).await?))
    }

    /// The resource.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Option<Resource>> {
        Ok(ctx
            .loaders()?
            .resources
            .load(self.0.resource_id)
            .await?
            .map(Resource::from))
    }

    /// Net and tax, before the coupon.
    async fn gross(&self) -> Result<Money> {
        money(self.0.gross_minor, &self.0.currency)
    }

    /// Its share of the coupon.
    async fn coupon(&self) -> Result<Money> {
        money(self.0.coupon_minor, &self.0.currency)
    }

    /// The tax within.
    async fn tax(&self) -> Result<Money> {
        money(self.0.tax_minor, &self.0.currency)
    }

    /// What its new period costs: gross less coupon.
    async fn charged(&self) -> Result<Money> {
        money(self.0.charged_minor, &self.0.currency)
    }

    /// What was unused of the periods it replaced. What is charged above it was paid, what is below it goes back.
    async fn credited(&self) -> Result<Money> {
        money(self.0.credited_minor, &self.0.currency)
    }

    /// How much of what was paid for it was promotional money.
    async fn promotional(&self) -> Result<Money> {
        money(self.0.charged_promotional_minor, &self.0.currency)
    }

    /// Its components, as they were priced.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<PricedLine>> {
        lines_of_item(
            &*ctx.loaders()?.item_documents.must(self.0.id).await?,
            self.0.account_id,
        )
    }

    /// Why the product could not provision it.
    async fn failure_reason(&self) -> Option<&str> {
        self.0.failure_reason.as_deref()
    }

    /// When it was ordered.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it came to its end.
    async fn completed_at(&self) -> Option<DateTime> {
        instant(self.0.completed_at)
    }
}

connection!(
    /// A part of a list of orders.
    OrderConnection,
    /// An order and its place in the list.
    OrderEdge,
    Order
);

/// A page of an account's orders.
pub(crate) async fn of_account(
    ctx: &Context<'_>,
    account: Uuid,
    status: Option<OrderStatus>,
    page: Page,
) -> Result<OrderConnection> {
    let slice = ctx
        .loaders()?
        .orders_of_account
        .must(ListKey::new(account, status, page))
        .await?;
    Ok(OrderConnection(Cut::new(
        &slice,
        List::Orders,
        |row| orders::place(row),
        |row| Order(Arc::clone(row)),
    )))
}

/// The queries of this room.
#[derive(Default)]
pub(crate) struct OrderQueries;

#[Object]
impl OrderQueries {
    /// The orders of an account, newest first.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose; the caller's own when absent.")] account_id: Option<ID>,
        #[graphql(desc = "Of one status only.")] status: Option<OrderStatus>,
        #[graphql(desc = "How many from the start, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Behind which cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before which cursor.")] before: Option<String>,
    ) -> Result<Option<OrderConnection>> {
        let page = page(List::Orders, first, after, last, before)?;
        let account = ctx.session()?.account(account_id.as_ref()).await?;
        of_account(ctx, account, status, page).await.map(Some)
    }
}

/// What is ordered.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct PlaceOrderInput {
    /// For whom; the caller's own account when absent.
    account_id: Option<ID>,
    /// The quote.
    quote_id: ID,
    /// How it is paid. Needed exactly when something is to be paid.
    payment: Option<PaymentInput>,
    /// Where the customer is sent back to; on the allow-list.
    return_url: Option<String>,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and pays nothing twice.
    idempotency_key: String,
}

/// What placing an order did.
#[derive(Debug, SimpleObject)]
pub(crate) struct PlaceOrderPayload {
    /// The order; null when it was refused.
    order: Option<Order>,
    /// Its payment; null when it was refused, nothing was to be paid, or somebody else is asked to pay.
    payment: Option<Payment>,
    /// What the payer has to do next; null when nothing is to be done.
    next_action: Option<NextAction>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// An order that is paid.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct PayOrderInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The order.
    order_id: ID,
    /// How it is paid.
    payment: PaymentInput,
    /// Where the customer is sent back to; on the allow-list. The order's own when absent.
    return_url: Option<String>,
    /// A key of 1 to 255 visible ASCII characters, new for each intent. The same key and input again answers the first
    /// outcome and pays nothing twice.
    idempotency_key: String,
}

/// What paying an order did.
#[derive(Debug, SimpleObject)]
pub(crate) struct PayOrderPayload {
    /// The order; null when it was refused.
    order: Option<Order>,
    /// The payment; null when it was refused, or somebody else is asked to pay.
    payment: Option<Payment>,
    /// What the payer has to do next; null when nothing is to be done.
    next_action: Option<NextAction>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// An order that is cancelled.
#[derive(Clone, Debug, InputObject)]
pub(crate) struct CancelOrderInput {
    /// Whose; the caller's own account when absent.
    account_id: Option<ID>,
    /// The order.
    order_id: ID,
}

/// What cancelling an order did.
#[derive(Debug, SimpleObject)]
pub(crate) struct CancelOrderPayload {
    /// The order; null when it was refused.
    order: Option<Order>,
    /// Why it was refused; empty when it was not.
    user_errors: Vec<UserError>,
}

/// The mutations of this room.
#[derive(Default)]
pub(crate) struct OrderMutations;

#[Object]
impl OrderMutations {
    /// Orders a quote and pays it, once, however often it is sent. What is paid through a gateway waits for its money: the
    /// order is there, with its quote and its coupon, until it is paid, cancelled or too late.
    ///
    /// Codes: INVALID_ID, QUOTE_NOT_FOUND, QUOTE_EXPIRED, QUOTE_ALREADY_ORDERED, QUOTE_STALE, PAYMENT_REQUIRED,
    /// PAYMENT_NOT_NEEDED, INSUFFICIENT_CREDIT, STATE_CONFLICT, RETURN_URL_NOT_ALLOWED, UNKNOWN_GATEWAY, PAYMENT_METHOD_NOT_FOUND, INVALID_EMAIL, LIMIT_EXCEEDED, GATEWAY_LIMIT,
    /// GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED. With GATEWAY_REFUSED and
    /// GATEWAY_UNAVAILABLE the order is there as well: pay it with `payOrder`.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is ordered.")] input: PlaceOrderInput,
    ) -> Result<Option<PlaceOrderPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(PlaceOrderPayload {
                order: None,
                payment: None,
                next_action: None,
                user_errors: errors,
            })
        };
        let account = session.account(input.account_id.as_ref()).await?;
        let Some(quote) = ids::parse(&input.quote_id, Kind::Quote) else {
            return Ok(refused_with(wrong_id("quoteId")));
        };
        let payment = match input.payment.map(PaymentInput::by).transpose() {
            Ok(payment) => payment,
            Err(refusal) => return Ok(refused_with(refused(refusal.into())?)),
        };
        let order = commands::PlaceOrder {
            account,
            quote,
            payment,
            return_url: input.return_url,
            idempotency_key: input.idempotency_key,
        };
        let placed = match commands::place_order(&session.app, &session.scope, order).await {
            Ok(placed) => placed,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        let replayed = placed.written.is_none();
        let begun = match placed.collecting {
            Some(payment) => payments::begin(Arc::clone(&session.app), session.scope.clone(), payment).await?,
            None if replayed => begin_again(session, placed.order).await?,
            None => payments::Begun::Nothing,
        };
        session.forget();
        let loaders = session.loaders();
        if replayed {
            session.was_replayed();
        }
        let order = match placed.written {
            // What was charged at once has paid it meanwhile.
            Some(order) if placed.collecting.is_none() => Arc::new(order),
            _ => loaders.orders.must(placed.order).await?,
        };
        let shows = |field| ctx.look_ahead().field(field).exists();
        let payment = if shows("payment") || shows("nextAction") {
            newest_own(loaders.payments_of_order.must(placed.order).await?)
        } else {
            None
        };
        let payment = payment.map(Payment);
        let next_action = next_action(ctx, &order, payment.as_ref()).await?;
        Ok(Some(PlaceOrderPayload {
            order: Some(Order(order)),
            payment,
            next_action,
            user_errors: trouble(&begun)?,
        }))
    }

    /// Pays an order that waits, another way or once more, once, however often it is sent.
    ///
    /// Codes: INVALID_ID, ORDER_NOT_FOUND, ORDER_PAID, ORDER_CANCELLED, ORDER_EXPIRED, QUOTE_STALE, PAYMENT_REQUIRED,
    /// INSUFFICIENT_CREDIT, STATE_CONFLICT, RETURN_URL_NOT_ALLOWED, UNKNOWN_GATEWAY, PAYMENT_METHOD_NOT_FOUND, INVALID_EMAIL, LIMIT_EXCEEDED,
    /// GATEWAY_LIMIT, GATEWAY_REFUSED,
    /// GATEWAY_UNAVAILABLE, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn pay_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is paid.")] input: PayOrderInput,
    ) -> Result<Option<PayOrderPayload>> {
        let session = ctx.session()?;
        let refused_with = |errors| {
            Some(PayOrderPayload {
                order: None,
                payment: None,
                next_action: None,
                user_errors: errors,
            })
        };
        let account = session.account(input.account_id.as_ref()).await?;
        let Some(order) = ids::parse(&input.order_id, Kind::Order) else {
            return Ok(refused_with(wrong_id("orderId")));
        };
        let payment = match input.payment.by() {
            Ok(payment) => payment,
            Err(refusal) => return Ok(refused_with(refused(refusal.into())?)),
        };
        let paying = commands::PayOrder {
            account,
            order,
            payment,
            return_url: input.return_url,
            idempotency_key: input.idempotency_key,
        };
        let begun = match commands::pay_order(&session.app, &session.scope, paying).await {
            Ok(begun) => begun,
            Err(error) => return Ok(refused_with(refused(error)?)),
        };
        if begun.replayed {
            session.was_replayed();
        }
        let asked = if begun.collecting || begun.replayed {
            begin(session, begun.payment).await?
        } else {
            payments::Begun::Nothing
        };
        session.forget();
        let loaders = session.loaders();
        // There is none where somebody else is asked to pay.
        let payment = loaders.payments.load(begun.payment).await?.map(Payment);
        let order = loaders.orders.must(order).await?;
        Ok(Some(PayOrderPayload {
            next_action: next_action(ctx, &order, payment.as_ref()).await?,
            order: Some(Order(order)),
            payment,
            user_errors: trouble(&asked)?,
        }))
    }

    /// Cancels an order that waits for its payment. Its quote may be ordered again while it is good, its coupon is free, and
    /// money that comes for it after all is credit.
    ///
    /// Codes: INVALID_ID, ORDER_NOT_FOUND, ORDER_PAID, ORDER_EXPIRED.
    #[graphql(guard = "Needs(Permission::PayOrder)")]
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is cancelled.")] input: CancelOrderInput,
    ) -> Result<Option<CancelOrderPayload>> {
        let session = ctx.session()?;
        let account = session.account(input.account_id.as_ref()).await?;
        let Some(order) = ids::parse(&input.order_id, Kind::Order) else {
            return Ok(Some(CancelOrderPayload {
                order: None,
                user_errors: wrong_id("orderId"),
            }));
        };
        let cancelling = commands::CancelOrder { account, order };
        if let Err(error) = commands::cancel_order(&session.app, &session.scope, cancelling).await {
            return Ok(Some(CancelOrderPayload {
                order: None,
                user_errors: refused(error)?,
            }));
        }
        session.forget();
        Ok(Some(CancelOrderPayload {
            order: Some(Order(session.loaders().orders.must(order).await?)),
            user_errors: Vec::new(),
        }))
    }
}

/// What has to be done next for an order: by its customer, or by who was asked to pay for them.
async fn next_action(ctx: &Context<'_>, order: &order::Model, payment: Option<&Payment>) -> Result<Option<NextAction>> {
    if let Some(own) = payment.filter(|payment| payment.0.method != PaymentMethod::OnBehalf) {
        return own.action(ctx).await;
    }
    Ok(ShareAction::of_order(ctx, order).await?.map(NextAction::Share))
}

/// Begins a payment at its gateway, if it has one.
async fn begin(session: &Session, payment: Uuid) -> Result<payments::Begun> {
    match payments::begin(Arc::clone(&session.app), session.scope.clone(), payment).await {
        Ok(begun) => Ok(begun),
        // It was paid from credit.
        Err(Error::NotFound(_)) => Ok(payments::Begun::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// The newest payment of an order that its customer makes: what somebody else begins by a link is theirs to go on with.
fn newest_own(of_order: Vec<Arc<payment::Model>>) -> Option<Arc<payment::Model>> {
    let is_own = |payment: &Arc<payment::Model>| payment.method != PaymentMethod::OnBehalf;
    of_order.into_iter().rev().find(is_own)
}

/// Begins the newest payment of an order that was placed before, if its gateway has not answered yet.
async fn begin_again(session: &Session, order: Uuid) -> Result<payments::Begun> {
    let of_order = session.loaders().payments_of_order.must(order).await?;
    match newest_own(of_order) {
        Some(payment) => begin(session, payment.id).await,
        None => Ok(payments::Begun::Nothing),
    }
}

/// The subscriptions of this room.
#[derive(Default)]
pub(crate) struct OrderSubscriptions;

#[Subscription]
impl OrderSubscriptions {
    /// An order: first as it is, then after each change of it or of its items; it completes when the order has come to
    /// its end.
    #[graphql(guard = "Needs(Permission::ListBillings)")]
    async fn order_updates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order.")] order_id: ID,
    ) -> Result<BoxStream<'static, Result<Option<Order>>>> {
        let session = Arc::clone(ctx.session()?);
        let none = || Error::NotFound("order");
        let key = ids::parse(&order_id, Kind::Order).ok_or_else(none)?;
        let order = session.loaders().orders.load(key).await?.ok_or_else(none)?;
        let changes = live::changes(Arc::clone(&session.app), session.scope.clone(), order.account_id).await?;
        let state = (session.resting(changes), session, None::<State>);
        Ok(
            stream::unfold(state, move |(mut changes, session, mut shown)| async move {
                if shown.as_ref().is_some_and(|(order, _)| rules::is_over(order.status)) {
                    return None;
                }
                loop {
                    changes.next().await?;
                    session.forget();
                    match present(&session, key).await {
                        Err(error) => return Some((Err(error), (changes, session, shown))),
                        Ok(None) => return None,
                        Ok(Some(now)) if shown.as_ref() != Some(&now) => {
                            let order = Order(Arc::clone(&now.0));
                            shown = Some(now);
                            return Some((Ok(Some(order)), (changes, session, shown)));
                        }
                        Ok(Some(_)) => {}
                    }
                }
            })
            .boxed(),
        )
    }
}

/// What a subscriber is shown: the order, and where its items stand.
type State = (Arc<order::Model>, Vec<OrderItemStatus>);

async fn present(session: &Session, key: Uuid) -> Result<Option<State>> {
    let loaders = session.loaders();
    let Some(order) = loaders.orders.load(key).await? else {
        return Ok(None);
    };
    let items = loaders.items_of_order.must(key).await?;
    Ok(Some((order, items.iter().map(|item| item.status).collect())))
}
