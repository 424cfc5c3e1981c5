//! The life of a resource: one exhaustive table of what each event makes of each state. Life and power are two axes;
//! the status that is shown derives from both.

use entity::enums::{GraceService, Life, LifecyclePolicy, Power, ResourceAction, ResourceStatus};

use super::policy::PolicyTerms;
use super::refusal::{Refusal, RefusalCode};

/// Where a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// In its life.
    pub life: Life,
    /// Whether the customer has switched it off.
    pub power: Power,
}

/// What can happen to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The product's service made it.
    ProvisionSucceeded,
    /// The product's service could not make it.
    ProvisionFailed,
    /// The end of what is paid has come.
    PeriodEnded,
    /// The time of grace is over.
    SuspendDue,
    /// The time to come back is over.
    ReleaseDue,
    /// A longer life was paid for, from the old end on.
    Renewed {
        /// Whether the new end is still ahead. A renewal long after the end may not reach the present.
        covers_now: bool,
    },
    /// A new period from now on was paid for, or what is paid is still ahead.
    Recovered,
    /// Another configuration was paid for.
    Resized,
    /// The customer gave it up.
    DeletedByCustomer,
    /// The customer switched it off.
    Stop,
    /// The customer switched it on.
    Start,
    /// The customer switched it off and on.
    Reboot,
    /// The customer chose whether the engine renews it.
    SetAutoRenew {
        /// On or off.
        enabled: bool,
    },
}

impl Event {
    /// Every event, with each of its choices.
    pub const ALL: &'static [Self] = &[
        Self::ProvisionSucceeded,
        Self::ProvisionFailed,
        Self::PeriodEnded,
        Self::SuspendDue,
        Self::ReleaseDue,
        Self::Renewed { covers_now: true },
        Self::Renewed { covers_now: false },
        Self::Recovered,
        Self::Resized,
        Self::DeletedByCustomer,
        Self::Stop,
        Self::Start,
        Self::Reboot,
        Self::SetAutoRenew { enabled: true },
        Self::SetAutoRenew { enabled: false },
    ];

    /// What it is called when it is refused.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProvisionSucceeded => "PROVISION_SUCCEEDED",
            Self::ProvisionFailed => "PROVISION_FAILED",
            Self::PeriodEnded => "EXPIRE",
            Self::SuspendDue => "SUSPEND",
            Self::ReleaseDue => "RELEASE",
            Self::Renewed { .. } => "RENEW",
            Self::Recovered => "RECOVER",
            Self::Resized => "RESIZE",
            Self::DeletedByCustomer => "DELETE",
            Self::Stop => "STOP",
            Self::Start => "START",
            Self::Reboot => "REBOOT",
            Self::SetAutoRenew { .. } => "SET_AUTO_RENEW",
        }
    }
}

/// The event that a customer's action becomes when it is done.
#[must_use]
pub const fn event_of(action: ResourceAction) -> Event {
    match action {
        ResourceAction::Renew => Event::Renewed { covers_now: true },
        ResourceAction::Recover => Event::Recovered,
        ResourceAction::Resize => Event::Resized,
        ResourceAction::Delete => Event::DeletedByCustomer,
        ResourceAction::Stop => Event::Stop,
        ResourceAction::Start => Event::Start,
        ResourceAction::Reboot => Event::Reboot,
        ResourceAction::SetAutoRenew => Event::SetAutoRenew { enabled: true },
    }
}

/// What an event makes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Where the resource stood.
    pub from: State,
    /// Where it stands now.
    pub to: State,
}

impl Transition {
    /// Whether the life changed.
    #[must_use]
    pub fn changes_life(&self) -> bool {
        self.from.life != self.to.life
    }
}

/// What an event makes of a resource.
///
/// Source: rule "Lifecycle" in ARCHITECTURE, section Life. Errors: STATE_CONFLICT, which names the state that is shown
/// and the customer's actions that are allowed in it.
pub fn decide(terms: &PolicyTerms, from: State, event: Event) -> Result<Transition, Refusal> {
    if let Some(to) = outcome(terms, from, event) {
        return Ok(Transition { from, to });
    }
    let shown = display_status(from.life, from.power);
    let allowed = allowed(terms, from)
        .into_iter()
        .map(|action| action.as_str().to_owned())
        .collect();
    let mut refusal = Refusal::state_conflict(event.name(), shown.as_str(), allowed);
    if event == (Event::SetAutoRenew { enabled: false })
        && outcome(terms, from, Event::SetAutoRenew { enabled: true }).is_some()
    {
        refusal.code = RefusalCode::StateConflict;
        refusal.message = "This product is always renewed automatically. Delete the resource to give it up.".to_owned();
    }
    Err(refusal)
}

/// The actions a customer may take in a state, in the order they are declared.
///
/// Source: rule "Lifecycle" in ARCHITECTURE, section Life.
#[must_use]
pub fn allowed(terms: &PolicyTerms, state: State) -> Vec<ResourceAction> {
    ResourceAction::ALL
        .iter()
        .copied()
        .filter(|action| outcome(terms, state, event_of(*action)).is_some())
        .collect()
}

/// The status that is shown.
#[must_use]
pub const fn display_status(life: Life, power: Power) -> ResourceStatus {
    match (life, power) {
        (Life::Provisioning, _) => ResourceStatus::Provisioning,
        (Life::Active, Power::Running) => ResourceStatus::Active,
        (Life::Active, Power::Stopped) => ResourceStatus::Stopped,
        (Life::Grace, _) => ResourceStatus::Grace,
        (Life::Suspended, _) => ResourceStatus::Suspended,
        (Life::Trashed, _) => ResourceStatus::Trashed,
        (Life::Deleted, _) => ResourceStatus::Deleted,
        (Life::Failed, _) => ResourceStatus::Failed,
    }
}

/// Whether nothing can happen to it any more.
#[must_use]
pub const fn is_over(life: Life) -> bool {
    match life {
        Life::Deleted | Life::Failed => true,
        Life::Provisioning | Life::Active | Life::Grace | Life::Suspended | Life::Trashed => false,
    }
}

/// The table. `None` refuses. Every life answers every event by name: a new one of either does not compile until it
/// has its answers here.
fn outcome(terms: &PolicyTerms, state: State, event: Event) -> Option<State> {
    use Event as E;
    let become_life = |life: Life| Some(State { life, ..state });
    let stay = Some(state);
    let given_up = || {
        become_life(if terms.trash_days == 0 {
            Life::Deleted
        } else {
            Life::Trashed
        })
    };
    // Auto-renewal may be switched on wherever a customer still has the resource, and off unless the product forbids.
    let auto_renew = |enabled: bool| {
        if enabled || !terms.auto_renew_locked {
            stay
        } else {
            None
        }
    };

    match state.life {
        Life::Provisioning => match event {
            E::ProvisionSucceeded => become_life(Life::Active),
            E::ProvisionFailed => become_life(Life::Failed),
            E::SetAutoRenew { enabled } => auto_renew(enabled),
            E::PeriodEnded | E::SuspendDue | E::ReleaseDue | E::Renewed { .. } | E::Recovered | E::Resized => None,
            E::DeletedByCustomer | E::Stop | E::Start | E::Reboot => None,
        },
        Life::Active => match event {
            E::PeriodEnded => match terms.policy {
                LifecyclePolicy::Standard => become_life(Life::Grace),
                LifecyclePolicy::Trash => become_life(Life::Suspended),
            },
            E::Renewed { .. } | E::Resized => stay,
            E::DeletedByCustomer => given_up(),
            E::Stop | E::Start | E::Reboot => switched(state, event),
            E::SetAutoRenew { enabled } => auto_renew(enabled),
            E::ProvisionSucceeded | E::ProvisionFailed | E::SuspendDue | E::ReleaseDue | E::Recovered => None,
        },
        Life::Grace => match event {
            E::SuspendDue => become_life(Life::Suspended),
            E::Renewed { covers_now } => become_life(if covers_now { Life::Active } else { Life::Grace }),
            E::DeletedByCustomer => given_up(),
            // Limited service leaves only the way down: what is off stays off.
            E::Stop => switched(state, event),
            E::Start | E::Reboot => match terms.grace_service {
                GraceService::Full => switched(state, event),
                GraceService::Limited => None,
            },
            E::SetAutoRenew { enabled } => auto_renew(enabled),
            // No paid time is left to change, and the release comes after the suspension, never past it.
            E::Resized | E::ReleaseDue => None,
            E::ProvisionSucceeded | E::ProvisionFailed | E::PeriodEnded | E::Recovered => None,
        },
        Life::Suspended => match event {
            E::ReleaseDue => become_life(Life::Deleted),
            // The standard policy continues at the old end, the trash policy begins anew: each knows one way back.
            E::Renewed { covers_now } => match terms.policy {
                LifecyclePolicy::Standard => become_life(if covers_now { Life::Active } else { Life::Suspended }),
                LifecyclePolicy::Trash => None,
            },
            E::Recovered => match terms.policy {
                LifecyclePolicy::Standard => None,
                LifecyclePolicy::Trash => become_life(Life::Active),
            },
            E::DeletedByCustomer => match terms.policy {
                LifecyclePolicy::Standard => given_up(),
                // It lies in the trash already; its release is on its way.
                LifecyclePolicy::Trash => None,
            },
            E::SetAutoRenew { enabled } => auto_renew(enabled),
            E::ProvisionSucceeded | E::ProvisionFailed | E::PeriodEnded | E::SuspendDue | E::Resized => None,
            E::Stop | E::Start | E::Reboot => None,
        },
        Life::Trashed => match event {
            E::Recovered => become_life(Life::Active),
            E::ReleaseDue => become_life(Life::Deleted),
            E::ProvisionSucceeded | E::ProvisionFailed | E::PeriodEnded | E::SuspendDue => None,
            E::Renewed { .. } | E::Resized | E::DeletedByCustomer | E::SetAutoRenew { .. } => None,
            E::Stop | E::Start | E::Reboot => None,
        },
        Life::Deleted | Life::Failed => match event {
            E::ProvisionSucceeded | E::ProvisionFailed | E::PeriodEnded | E::SuspendDue | E::ReleaseDue => None,
            E::Renewed { .. } | E::Recovered | E::Resized | E::DeletedByCustomer | E::SetAutoRenew { .. } => None,
            E::Stop | E::Start | E::Reboot => None,
        },
    }
}

/// What a switch makes of the power. What is off can't be switched off or rebooted, what is on can't be switched on.
const fn switched(state: State, event: Event) -> Option<State> {
    let power = match (event, state.power) {
        (Event::Stop, Power::Running) => Power::Stopped,
        (Event::Start, Power::Stopped) | (Event::Reboot, Power::Running) => Power::Running,
        _ => return None,
    };
    Some(State {
        life: state.life,
        power,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rstest::rstest;

    use super::super::refusal::Facts;
    use super::*;

    const STANDARD: PolicyTerms = PolicyTerms {
        policy: LifecyclePolicy::Standard,
        grace_service: GraceService::Full,
        release_days: 30,
        trash_days: 7,
        auto_renew_locked: false,
    };
    const TRASH: PolicyTerms = PolicyTerms {
        policy: LifecyclePolicy::Trash,
        release_days: 3,
        ..STANDARD
    };

    fn running(life: Life) -> State {
        State {
            life,
            power: Power::Running,
        }
    }

    fn stopped(life: Life) -> State {
        State {
            life,
            power: Power::Stopped,
        }
    }

    #[rstest]
    #[case(STANDARD, Life::Provisioning, Event::ProvisionSucceeded, Life::Active)]
    #[case(STANDARD, Life::Provisioning, Event::ProvisionFailed, Life::Failed)]
    #[case(STANDARD, Life::Active, Event::PeriodEnded, Life::Grace)]
    #[case(STANDARD, Life::Grace, Event::SuspendDue, Life::Suspended)]
    #[case(STANDARD, Life::Suspended, Event::ReleaseDue, Life::Deleted)]
    #[case(STANDARD, Life::Grace, Event::Renewed { covers_now: true }, Life::Active)]
    #[case(STANDARD, Life::Grace, Event::Renewed { covers_now: false }, Life::Grace)]
    #[case(STANDARD, Life::Suspended, Event::Renewed { covers_now: true }, Life::Active)]
    #[case(STANDARD, Life::Suspended, Event::Renewed { covers_now: false }, Life::Suspended)]
    #[case(STANDARD, Life::Active, Event::DeletedByCustomer, Life::Trashed)]
    #[case(STANDARD, Life::Trashed, Event::Recovered, Life::Active)]
    #[case(STANDARD, Life::Trashed, Event::ReleaseDue, Life::Deleted)]
    #[case(TRASH, Life::Active, Event::PeriodEnded, Life::Suspended)]
    #[case(TRASH, Life::Suspended, Event::Recovered, Life::Active)]
    #[case(TRASH, Life::Suspended, Event::ReleaseDue, Life::Deleted)]
    #[case(PolicyTerms { trash_days: 0, ..STANDARD }, Life::Active, Event::DeletedByCustomer, Life::Deleted)]
    fn a_life_moves(#[case] terms: PolicyTerms, #[case] from: Life, #[case] event: Event, #[case] to: Life) {
        for state in [running(from), stopped(from)] {
            let transition = decide(&terms, state, event).unwrap();
            assert_eq!(transition.to.life, to);
            assert_eq!(transition.to.power, state.power, "the customer's switch is left alone");
        }
    }

    #[rstest]
    #[case(STANDARD, Life::Active, Event::SuspendDue)]
    #[case(STANDARD, Life::Active, Event::ReleaseDue)]
    #[case(STANDARD, Life::Grace, Event::ReleaseDue)]
    #[case(STANDARD, Life::Grace, Event::Resized)]
    #[case(STANDARD, Life::Suspended, Event::Recovered)]
    #[case(TRASH, Life::Suspended, Event::Renewed { covers_now: true })]
    #[case(STANDARD, Life::Provisioning, Event::DeletedByCustomer)]
    #[case(STANDARD, Life::Active, Event::ProvisionFailed)]
    #[case(STANDARD, Life::Trashed, Event::Renewed { covers_now: true })]
    fn what_does_not_fit_is_refused(#[case] terms: PolicyTerms, #[case] from: Life, #[case] event: Event) {
        assert_eq!(
            decide(&terms, running(from), event).unwrap_err().code,
            RefusalCode::StateConflict
        );
    }

    #[test]
    fn a_switch_changes_the_power_alone() {
        let off = decide(&STANDARD, running(Life::Active), Event::Stop).unwrap();
        assert_eq!(off.to, stopped(Life::Active));
        assert!(!off.changes_life());
        assert_eq!(
            decide(&STANDARD, stopped(Life::Active), Event::Start).unwrap().to,
            running(Life::Active)
        );
        assert_eq!(
            decide(&STANDARD, running(Life::Active), Event::Reboot).unwrap().to,
            running(Life::Active)
        );
        for (state, event) in [
            (stopped(Life::Active), Event::Stop),
            (stopped(Life::Active), Event::Reboot),
            (running(Life::Active), Event::Start),
            (running(Life::Suspended), Event::Stop),
        ] {
            assert!(decide(&STANDARD, state, event).is_err());
        }
    }

    #[test]
    fn limited_grace_can_only_be_switched_off() {
        let limited = PolicyTerms {
            grace_service: GraceService::Limited,
            ..STANDARD
        };
        assert!(decide(&limited, stopped(Life::Grace), Event::Start).is_err());
        assert!(decide(&limited, running(Life::Grace), Event::Reboot).is_err());
        assert!(decide(&limited, running(Life::Grace), Event::Stop).is_ok());
        assert!(decide(&STANDARD, stopped(Life::Grace), Event::Start).is_ok());
    }

    #[test]
    fn a_product_may_keep_auto_renewal_on() {
        let locked = PolicyTerms {
            auto_renew_locked: true,
            ..STANDARD
        };
        assert!(decide(&locked, running(Life::Active), Event::SetAutoRenew { enabled: true }).is_ok());
        let refusal = decide(&locked, running(Life::Active), Event::SetAutoRenew { enabled: false }).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::StateConflict);
        assert!(refusal.message.contains("always renewed"));
    }

    #[test]
    fn a_refusal_names_the_state_and_what_is_allowed() {
        let refusal = decide(&STANDARD, running(Life::Suspended), Event::Resized).unwrap_err();
        let expected = ["RENEW", "DELETE", "SET_AUTO_RENEW"].map(String::from).to_vec();
        assert_eq!(
            refusal.facts,
            Facts::State {
                state: "SUSPENDED".into(),
                allowed: expected
            }
        );
        let refusal = decide(&TRASH, stopped(Life::Active), Event::Stop).unwrap_err();
        let Facts::State { state, allowed } = refusal.facts else {
            panic!("no facts")
        };
        assert_eq!(state, "STOPPED");
        assert_eq!(allowed, ["RENEW", "RESIZE", "DELETE", "START", "SET_AUTO_RENEW"]);
    }

    #[test]
    fn every_state_answers_every_event_under_every_policy() {
        for policy in LifecyclePolicy::ALL {
            for grace_service in GraceService::ALL {
                for trash_days in [0, 7] {
                    for auto_renew_locked in [false, true] {
                        let terms = PolicyTerms {
                            policy: *policy,
                            grace_service: *grace_service,
                            release_days: 7,
                            trash_days,
                            auto_renew_locked,
                        };
                        for life in Life::ALL {
                            for power in Power::ALL {
                                answers(
                                    &terms,
                                    State {
                                        life: *life,
                                        power: *power,
                                    },
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    fn answers(terms: &PolicyTerms, state: State) {
        let shown = display_status(state.life, state.power);
        for event in Event::ALL {
            match decide(terms, state, *event) {
                Ok(transition) => {
                    assert_eq!(transition.from, state);
                    assert!(!is_over(state.life), "{state:?} is over and still answers {event:?}");
                    // Only a failed provisioning fails, only a release or a deletion deletes.
                    match transition.to.life {
                        Life::Failed => assert_eq!(*event, Event::ProvisionFailed),
                        Life::Deleted => assert!(matches!(event, Event::ReleaseDue | Event::DeletedByCustomer)),
                        Life::Provisioning => assert_eq!(state.life, Life::Provisioning),
                        Life::Active | Life::Grace | Life::Suspended | Life::Trashed => {}
                    }
                }
                Err(refusal) => {
                    assert_eq!(refusal.code, RefusalCode::StateConflict);
                    let Facts::State {
                        state: named,
                        allowed: names,
                    } = &refusal.facts
                    else {
                        panic!("no facts")
                    };
                    assert_eq!(named, shown.as_str());
                    let expected: Vec<&str> = allowed(terms, state).into_iter().map(ResourceAction::as_str).collect();
                    assert_eq!(names, &expected);
                }
            }
        }
        for action in allowed(terms, state) {
            assert!(decide(terms, state, event_of(action)).is_ok());
        }
    }
}
