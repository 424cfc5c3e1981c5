//! What a product says about the life of its resources.

use entity::enums::{GraceService, LifecyclePolicy};

/// Days after the end of what is paid at which a resource of the standard policy is suspended.
pub const STANDARD_SUSPEND_DAYS: u32 = 15;
/// Days after the end of what is paid at which a resource of the standard policy is released.
pub const STANDARD_RELEASE_DAYS: u32 = 30;

/// What a product says about the life of its resources. A row of the catalogue fills it; nothing here is a default.
///
/// Source: rule "Policies" in ARCHITECTURE, section Life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyTerms {
    /// What happens around the end of what is paid.
    pub policy: LifecyclePolicy,
    /// How a resource is served in grace.
    pub grace_service: GraceService,
    /// Days from the end of what is paid to the release, for `TRASH`; `STANDARD` has its own 30.
    pub release_days: u32,
    /// Days a resource deleted by the customer stays recoverable; 0 deletes at once.
    pub trash_days: u32,
    /// Whether customers may not switch auto-renewal off.
    pub auto_renew_locked: bool,
}

impl PolicyTerms {
    /// Whether auto-renewal stops when the last attempt of a plan fails. Where customers may not switch it off, it goes
    /// on with the next plan.
    ///
    /// Source: rule "Auto-renewal" in ARCHITECTURE, section Life.
    #[must_use]
    pub const fn stops_renewing(&self) -> bool {
        matches!(self.policy, LifecyclePolicy::Standard) && !self.auto_renew_locked
    }

    /// Days from the end of what is paid to the release.
    #[must_use]
    pub const fn release_offset_days(&self) -> u32 {
        match self.policy {
            LifecyclePolicy::Standard => STANDARD_RELEASE_DAYS,
            LifecyclePolicy::Trash => self.release_days,
        }
    }

    /// The terms of a resource that the customer deleted: it waits for its release, counted from the deletion.
    ///
    /// Source: rule "Delete" in ARCHITECTURE, section Money.
    #[must_use]
    pub const fn in_trash(self) -> Self {
        Self {
            policy: LifecyclePolicy::Trash,
            release_days: self.trash_days,
            ..self
        }
    }
}
