//! The words of telling: what an account is told, what a product's service is to do, where a message stands.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

stored_enum! {
    /// What an account is told.
    EventType {
        /// A resource's end is near, or past.
        ExpiryReminder = "EXPIRY_REMINDER",
        /// What was paid for a resource has ended.
        ResourceExpired = "RESOURCE_EXPIRED",
        /// A resource was stopped because nobody renewed it.
        ResourceSuspended = "RESOURCE_SUSPENDED",
        /// A resource will be deleted for good.
        FinalNotice = "FINAL_NOTICE",
        /// A resource was deleted for good because nobody renewed it.
        ResourceReleased = "RESOURCE_RELEASED",
        /// An order was paid.
        OrderPaid = "ORDER_PAID",
        /// All items of an order came to their end.
        OrderCompleted = "ORDER_COMPLETED",
        /// An order was given up before it was paid.
        OrderCancelled = "ORDER_CANCELLED",
        /// A resource was provisioned.
        ResourceProvisioned = "RESOURCE_PROVISIONED",
        /// A resource could not be provisioned.
        ProvisioningFailed = "PROVISIONING_FAILED",
        /// A payment succeeded.
        PaymentSucceeded = "PAYMENT_SUCCEEDED",
        /// A payment failed.
        PaymentFailed = "PAYMENT_FAILED",
        /// Money came in that is not what was to be paid: it is looked into.
        PaymentHeld = "PAYMENT_HELD",
        /// An account or card was linked, unlinked, or made the default.
        PaymentMethodChanged = "PAYMENT_METHOD_CHANGED",
        /// Topping up by itself stopped: what was to be charged was declined too often, or is gone.
        AutoTopUpStopped = "AUTO_TOP_UP_STOPPED",
        /// Money came back.
        Refunded = "REFUNDED",
        /// An invoice was issued.
        InvoiceIssued = "INVOICE_ISSUED",
        /// A wallet's balance changed by a grant, a top-up or a correction.
        WalletCredited = "WALLET_CREDITED",
        /// Credit left a wallet for another account's.
        WalletDebited = "WALLET_DEBITED",
        /// A longer life was paid for a resource, by hand or by the engine.
        ResourceRenewed = "RESOURCE_RENEWED",
        /// The engine could not renew a resource: the wallet has less available than it costs.
        RenewalFailed = "RENEWAL_FAILED",
        /// The last attempt to renew a resource failed: the engine renews it no more.
        AutoRenewStopped = "AUTO_RENEW_STOPPED",
        /// A resource came back from the trash.
        ResourceRecovered = "RESOURCE_RECOVERED",
        /// A resource has another configuration.
        ResourceResized = "RESOURCE_RESIZED",
        /// The customer deleted a resource.
        ResourceDeleted = "RESOURCE_DELETED",
        /// A resource was tagged, or its renewal was chosen.
        ResourceChanged = "RESOURCE_CHANGED",
        /// The customer switched a resource off.
        ResourceStopped = "RESOURCE_STOPPED",
        /// The customer switched a resource on.
        ResourceStarted = "RESOURCE_STARTED",
        /// The customer switched a resource off and on.
        ResourceRebooted = "RESOURCE_REBOOTED",
        /// A webhook took nothing for so long that nothing is sent there any more.
        WebhookDisabled = "WEBHOOK_DISABLED",
        /// An invoice was reduced.
        CreditNoteIssued = "CREDIT_NOTE_ISSUED",
    }
}

stored_enum! {
    /// Where a delivery stands.
    DeliveryStatus {
        /// To be sent.
        Pending = "PENDING",
        /// Being handed over; what became of it is not known yet. Requests are never in it: they may come twice.
        Sending = "SENDING",
        /// Taken by the other side.
        Delivered = "DELIVERED",
        /// Given up; an operator may send it again.
        Dead = "DEAD",
    }
}

stored_enum! {
    /// What a product's service is told to do with a resource.
    ProductCall {
        /// Make it, and report the task.
        Provision = "PROVISION",
        /// Give it another configuration, and report the task.
        Resize = "RESIZE",
        /// Switch it on, or let it go on.
        Start = "START",
        /// Switch it off: the customer said so.
        Stop = "STOP",
        /// Switch it off and on.
        Reboot = "REBOOT",
        /// Serve it as its product serves what is not paid for: what was paid has ended.
        Limit = "LIMIT",
        /// Stop it and keep its data: nobody renewed it.
        Suspend = "SUSPEND",
        /// Keep it out of sight: the customer gave it up, and may have it back.
        Delete = "DELETE",
        /// Destroy it, with its data.
        Release = "RELEASE",
    }
}

stored_enum! {
    /// Whether a webhook is sent to.
    WebhookStatus {
        /// It is.
        Enabled = "ENABLED",
        /// It is not: by its owner, or because it took nothing for too long.
        Disabled = "DISABLED",
        /// It was given up.
        Deleted = "DELETED",
    }
}

stored_enum! {
    /// How a delivery goes out.
    DeliveryChannel {
        /// By e-mail.
        Email = "EMAIL",
        /// By signed webhook.
        Webhook = "WEBHOOK",
    }
}

stored_enum! {
    /// What e-mail may be about. A recipient chooses; that a resource will be or was deleted for good is always told.
    MailCategory {
        /// The end of what is paid: reminders, the end itself, the suspension.
        Expiry = "EXPIRY",
        /// Renewals: done, failed, stopped.
        Renewal = "RENEWAL",
        /// Money and documents: payments, refunds, credit, invoices, credit notes.
        Billing = "BILLING",
        /// Resources: provisioned or not, resized, recovered, deleted by the customer; and webhooks that are switched off.
        Resources = "RESOURCES",
    }
}

stored_enum! {
    /// Where a recipient of an account's e-mail stands.
    RecipientStatus {
        /// Was sent a link, and has not confirmed; gets nothing else.
        Pending = "PENDING",
        /// Gets e-mail.
        Confirmed = "CONFIRMED",
        /// Was taken off the list, and gets nothing more.
        Removed = "REMOVED",
    }
}
