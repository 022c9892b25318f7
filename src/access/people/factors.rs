//! Second factors: enrolment, and the check at the moment of an approval.

use std::collections::VecDeque;
use std::time::Duration;

use super::records::{put_factor, put_failures};
use super::{Known, People, PersonalError, State};
use crate::approvals::TotpSecret;
use crate::base::BootInstant;
use crate::model::PersonId;

/// So many wrong codes …
const MOST_FAILURES: usize = 5;

/// … within this time, and none is looked at until the first of them is older. A guesser has 480 tries
/// a day at three codes in a million.
pub(super) const FAILURES_WITHIN: Duration = Duration::from_mins(15);

/// A person's second factor.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) secret: TotpSecret,
    /// Whether a code of it has been shown; before that it counts for nothing.
    pub(super) confirmed: bool,
    /// The last time step whose code was used.
    pub(super) last_step: u64,
}

/// When wrong codes came, the oldest first. A restart forgets none of them.
#[derive(Debug, Default)]
pub(super) struct Attempts(pub(super) VecDeque<BootInstant>);

impl Attempts {
    fn check(&mut self, now: BootInstant) -> Result<(), PersonalError> {
        while let Some(first) = self.0.front()
            && now >= *first + FAILURES_WITHIN
        {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(first) if self.0.len() >= MOST_FAILURES => {
                let left = (*first + FAILURES_WITHIN) - now;
                Err(PersonalError::Locked(left.as_secs().saturating_add(1)))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl People {
    /// Whether a person has a second factor that counts.
    #[must_use]
    pub fn has_factor(&self, person: &PersonId) -> bool {
        let state = self.state();
        state.factors.get(person).is_some_and(|one| one.confirmed)
    }

    /// Begins to enrol a second factor. It counts once [`People::confirm_factor`] has seen a code of it.
    ///
    /// # Errors
    ///
    /// When it is another's to do, or there is one that counts.
    pub async fn enrol_factor(
        &self,
        by: &Known,
        person: &str,
    ) -> Result<TotpSecret, PersonalError> {
        let person = oneself(by, person)?;
        let _turn = self.turn.lock().await;
        if self.has_factor(person) {
            return Err(PersonalError::FactorExists);
        }
        let factor = Factor {
            secret: TotpSecret::random(),
            confirmed: false,
            last_step: 0,
        };
        let change = put_factor(person, &factor);
        self.store.commit(vec![change]).await?;
        let secret = factor.secret.clone();
        self.state().factors.insert(person.clone(), factor);
        Ok(secret)
    }

    /// Makes the second factor count, `code` being one of it.
    ///
    /// # Errors
    ///
    /// When it is another's to do, none is being enrolled, or the code is wrong.
    pub async fn confirm_factor(
        &self,
        by: &Known,
        person: &str,
        code: &str,
    ) -> Result<(), PersonalError> {
        let person = oneself(by, person)?;
        self.use_code(person, code, false).await
    }

    /// Checks a code and uses it up: none is good twice, nor is one older than the last.
    ///
    /// # Errors
    ///
    /// When there is no second factor, the code is wrong or was used, or too many were wrong.
    pub async fn check_code(&self, person: &PersonId, code: &str) -> Result<(), PersonalError> {
        self.use_code(person, code, true).await
    }

    async fn use_code(
        &self,
        person: &PersonId,
        code: &str,
        confirmed: bool,
    ) -> Result<(), PersonalError> {
        let _turn = self.turn.lock().await;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let (change, used) = {
            let mut state = self.state();
            let State {
                factors, attempts, ..
            } = &mut *state;
            let factor = factors.get_mut(person);
            let factor = factor.ok_or(PersonalError::FactorMissing)?;
            if factor.confirmed != confirmed {
                return Err(match confirmed {
                    true => PersonalError::FactorMissing,
                    false => PersonalError::FactorExists,
                });
            }
            let attempts = attempts.entry(person.clone()).or_default();
            attempts.check(now)?;
            match factor.secret.step_of(code, wall) {
                // Who has a code that was right once guesses nothing: it is refused, and not counted.
                Some(step) if step <= factor.last_step => return Err(PersonalError::CodeUsed),
                // Used up in memory first: a store that fails must not make it good again.
                Some(step) => {
                    factor.last_step = step;
                    factor.confirmed = true;
                    (put_factor(person, factor), Ok(()))
                }
                None => {
                    attempts.0.push_back(now);
                    let change = put_failures(person, attempts, now, wall);
                    (change, Err(PersonalError::CodeWrong))
                }
            }
        };
        // A wrong code is counted for good before anybody learns that it was wrong.
        self.store.commit(vec![change]).await?;
        used
    }
}

fn oneself<'a>(by: &'a Known, person: &str) -> Result<&'a PersonId, PersonalError> {
    if by.id().as_str() == person {
        return Ok(by.id());
    }
    let unknown = |_| PersonalError::Unknown(person.to_owned());
    Err(PersonalError::NotYours(person.parse().map_err(unknown)?))
}
