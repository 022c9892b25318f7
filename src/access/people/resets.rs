//! Resets: how a person who has lost a key or a second factor starts anew. It takes two operators.

use std::collections::BTreeSet;
use std::time::Duration;

use super::records::{drop_factor, drop_reset, put_reset};
use super::{Known, People, PersonalError};
use crate::base::BootInstant;
use crate::config::Snapshot;
use crate::model::{PersonId, codes};

/// How long the second operator may take.
pub(super) const OPEN_FOR: Duration = Duration::from_hours(1);

codes! {
    /// What is forgotten.
    ResetOf {
        /// Keys and second factor.
        All = "all",
        /// The keys: an operator can make a first one again.
        Keys = "keys",
        /// The second factor: the person can enrol another.
        Totp = "totp",
    }
}

/// A reset that waits for the second operator.
#[derive(Clone, Debug)]
pub(super) struct Reset {
    pub(super) of: ResetOf,
    /// Who asked for it, and who has had that key in hand.
    pub(super) asked_by: BTreeSet<PersonId>,
    pub(super) until: BootInstant,
}

/// What an operator has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetAsked {
    /// What will be forgotten.
    pub of: ResetOf,
    /// How long another operator may take to confirm it.
    pub within: Duration,
}

impl People {
    /// Asks for a reset; it happens when another operator confirms it.
    ///
    /// # Errors
    ///
    /// When there is no such person, or the store can't keep it: nothing is asked for then.
    pub async fn ask_reset(
        &self,
        by: &Known,
        person: &str,
        of: ResetOf,
        snapshot: &Snapshot,
    ) -> Result<ResetAsked, PersonalError> {
        let unknown = || PersonalError::Unknown(person.to_owned());
        let person = &snapshot.person(person).ok_or_else(unknown)?.id;
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let reset = Reset {
            of,
            asked_by: by.behind().cloned().collect(),
            until: now + OPEN_FOR,
        };
        let mut changes = self.state().forget_resets(now);
        changes.push(put_reset(person, &reset, now, self.clock.wall()));
        self.store.commit(changes).await?;
        self.state().resets.insert(person.clone(), reset);
        let within = OPEN_FOR;
        Ok(ResetAsked { of, within })
    }

    /// Confirms a reset that another operator has asked for; it has happened when this returns.
    ///
    /// # Errors
    ///
    /// When none waits, or the same operator asked for it. Where the store can't keep it, it stands in memory,
    /// and can be confirmed again.
    pub async fn confirm_reset(&self, by: &Known, person: &str) -> Result<ResetOf, PersonalError> {
        let unknown = |_| PersonalError::Unknown(person.to_owned());
        let person: PersonId = person.parse().map_err(unknown)?;
        let _turn = self.turn.lock().await;
        let (of, changes) = {
            let mut state = self.state();
            let mut changes = state.forget_resets(self.clock.now());
            let reset = state.resets.get(&person);
            let reset = reset.ok_or_else(|| PersonalError::ResetUnknown(person.clone()))?;
            if !by.is_apart_from(&reset.asked_by) {
                return Err(PersonalError::SameOperator);
            }
            let of = reset.of;
            changes.push(drop_reset(&person));
            if matches!(of, ResetOf::All | ResetOf::Keys) {
                state.keys.forget(&person);
            }
            changes.extend(state.keys.unkept(&person));
            if matches!(of, ResetOf::All | ResetOf::Totp) {
                changes.push(drop_factor(&person));
                state.factors.remove(&person);
            }
            (of, changes)
        };
        self.store.commit(changes).await?;
        let mut state = self.state();
        state.resets.remove(&person);
        state.keys.kept(&person);
        Ok(of)
    }
}
