use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::approvals::TotpSecret;
use crate::base::ManualClock;
use crate::config::{Allowed, Sources, compile};
use crate::pdp::Memory;
use crate::store::Flaky;

const POLICIES: &str = r#"
[[person]]
id = "ana"
groups = ["operators"]
[[person]]
id = "ben"
groups = ["leads"]
[[person]]
id = "cem"
groups = ["operators"]
"#;

struct World {
    people: People,
    snapshot: Snapshot,
    store: Arc<Flaky>,
    hand: ManualClock,
    clock: Clock,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("people.toml"), POLICIES).unwrap();
        let sources = Sources {
            directories: vec![policies],
            credentials: Allowed::default(),
            stand_in: None,
        };
        let (snapshot, _) = compile(&sources, &mut Memory::default()).unwrap();
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let (clock, hand) = Clock::manual(start);
        let store = Arc::new(Flaky::default());
        let file = directory.path().join("new/operator.key");
        let people = People::open(&file, Arc::clone(&store) as _, clock.clone()).await;
        Self {
            people: people.unwrap(),
            snapshot,
            store,
            hand,
            clock,
            file,
            _directory: directory,
        }
    }

    /// The same store, as a second start finds it.
    async fn restart(&mut self) {
        let store = Arc::clone(&self.store) as _;
        let people = People::open(&self.file, store, self.clock.clone()).await;
        self.people = people.unwrap();
    }

    fn known(&self, key: &str) -> Option<Known> {
        self.people.by_key(key, &self.snapshot)
    }

    fn operator(&self) -> Known {
        let key = fs::read_to_string(&self.file).unwrap();
        self.known(key.trim()).unwrap()
    }

    async fn make_key(&self, by: &Known, person: &str) -> Result<String, PersonalError> {
        let made = self.people.make_key(by, person, &self.snapshot).await?;
        Ok(made.key.expose().clone())
    }

    /// A person with a key that the built-in operator has made.
    async fn with_key(&self, person: &str) -> Known {
        let key = self.make_key(&self.operator(), person).await.unwrap();
        self.known(&key).unwrap()
    }

    fn code(&self, secret: &TotpSecret) -> String {
        let now = self.clock.wall();
        let codes = (0..1_000_000).map(|code| format!("{code:06}"));
        let step = u64::try_from(now.as_second() / 30).unwrap();
        codes
            .into_iter()
            .find(|code| secret.step_of(code, now) == Some(step))
            .unwrap()
    }
}

#[tokio::test]
async fn the_first_key_is_made_once_for_its_owner_alone() {
    let mut world = World::new().await;
    let key = fs::read_to_string(&world.file).unwrap();
    let mode = fs::metadata(&world.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.restart().await;
    let again = fs::read_to_string(&world.file).unwrap();
    assert_eq!(again, key, "a second start keeps it");
    assert!(world.known(key.trim()).unwrap().is_operator());
    for wrong in ["", "pk_", "pk_00000000000000000000000000"] {
        assert!(world.known(wrong).is_none(), "{wrong}");
    }
}

#[tokio::test]
async fn a_file_that_holds_something_else_is_not_a_key() {
    let world = World::new().await;
    fs::write(&world.file, "hello").unwrap();
    let opened = People::open(
        &world.file,
        Arc::clone(&world.store) as _,
        world.clock.clone(),
    )
    .await;
    assert!(matches!(opened, Err(PeopleError::Malformed(_))));
}

#[tokio::test]
async fn an_operator_makes_a_first_key_and_no_other() {
    let mut world = World::new().await;
    let operator = world.operator();
    let first = world.make_key(&operator, "ben").await.unwrap();
    let ben = world.known(&first).unwrap();
    assert_eq!(ben.id().as_str(), "ben");
    assert_eq!(ben.hands, ["operator".parse().unwrap()].into());
    let refused = PersonalError::HasKey("ben".parse().unwrap());
    assert_eq!(world.make_key(&operator, "ben").await.unwrap_err(), refused);

    // Not either where the key is gone, by whomever, and not after a restart.
    world
        .people
        .remove_key(&operator, "ben", &ben.key)
        .await
        .unwrap();
    assert!(world.known(&first).is_none());
    assert_eq!(world.make_key(&operator, "ben").await.unwrap_err(), refused);
    world.restart().await;
    assert!(world.known(&first).is_none());
    assert_eq!(world.make_key(&operator, "ben").await.unwrap_err(), refused);

    let own = world.make_key(&operator, "operator").await;
    assert!(own.is_ok(), "one's own");
    let ana = world.with_key("ana").await;
    let built_in = world.make_key(&ana, "operator").await.unwrap_err();
    assert_eq!(built_in, PersonalError::HasKey("operator".parse().unwrap()));
    let unknown = world.make_key(&operator, "nobody").await.unwrap_err();
    assert_eq!(unknown, PersonalError::Unknown("nobody".to_owned()));
}

#[tokio::test]
async fn people_make_and_remove_their_own_keys_and_nobody_elses() {
    let mut world = World::new().await;
    let ben = world.with_key("ben").await;
    let second = world.make_key(&ben, "ben").await.unwrap();
    let also_ben = world.known(&second).unwrap();
    assert_eq!(
        also_ben.hands, ben.hands,
        "who made the first could make this"
    );
    let refused = world.make_key(&ben, "ana").await.unwrap_err();
    assert_eq!(refused, PersonalError::NotYours("ana".parse().unwrap()));
    world.with_key("ana").await;
    let anas = world.people.keys_of(&"ana".parse().unwrap());
    let removed = world.people.remove_key(&ben, "ana", &anas[0].id).await;
    assert_eq!(
        removed,
        Err(PersonalError::NotYours("ana".parse().unwrap()))
    );
    world
        .people
        .remove_key(&ben, "ben", &ben.key)
        .await
        .unwrap();
    world.restart().await;
    assert_eq!(world.people.keys_of(ben.id()).len(), 1);
    assert!(world.known(&second).is_some());
}

#[tokio::test]
async fn a_person_has_so_many_keys() {
    let world = World::new().await;
    let ben = world.with_key("ben").await;
    for _ in 1..16 {
        world.make_key(&ben, "ben").await.unwrap();
    }
    let full = world.make_key(&ben, "ben").await.unwrap_err();
    assert_eq!(full, PersonalError::TooManyKeys(16));
}

#[tokio::test]
async fn a_second_factor_is_its_persons_own_and_each_code_is_good_once() {
    let mut world = World::new().await;
    let (operator, ben) = (world.operator(), world.with_key("ben").await);
    let by_operator = world.people.enrol_factor(&operator, "ben").await;
    let not_yours = PersonalError::NotYours("ben".parse().unwrap());
    assert_eq!(by_operator.unwrap_err(), not_yours);
    let secret = world.people.enrol_factor(&ben, "ben").await.unwrap();
    let id = ben.id();
    assert!(!world.people.has_factor(id), "not before a code was shown");
    let code = world.code(&secret);
    let early = world.people.check_code(id, &code).await;
    assert_eq!(early, Err(PersonalError::FactorMissing));

    world
        .people
        .confirm_factor(&ben, "ben", &code)
        .await
        .unwrap();
    let again = world.people.check_code(id, &code).await;
    assert_eq!(again, Err(PersonalError::CodeUsed));
    world.restart().await;
    let again = world.people.check_code(id, &code).await;
    assert_eq!(again, Err(PersonalError::CodeUsed), "not after a restart");
    // However often it is shown: only wrong codes are guesses.
    for _ in 0..10 {
        let again = world.people.check_code(id, &code).await;
        assert_eq!(again, Err(PersonalError::CodeUsed));
    }
    world.hand.advance(Duration::from_secs(30));
    let next = world.code(&secret);
    world.people.check_code(id, &next).await.unwrap();
    let twice = world.people.enrol_factor(&ben, "ben").await.unwrap_err();
    assert_eq!(twice, PersonalError::FactorExists);
}

#[tokio::test]
async fn guessing_is_stopped_and_then_the_right_code_is_too() {
    let mut world = World::new().await;
    let ben = world.with_key("ben").await;
    let secret = world.people.enrol_factor(&ben, "ben").await.unwrap();
    let code = world.code(&secret);
    world
        .people
        .confirm_factor(&ben, "ben", &code)
        .await
        .unwrap();
    world.hand.advance(Duration::from_secs(60));
    for _ in 0..5 {
        let wrong = world.people.check_code(ben.id(), "no").await;
        assert_eq!(wrong, Err(PersonalError::CodeWrong));
        // A restart is no fresh start.
        world.restart().await;
    }
    let right = world.code(&secret);
    let locked = world.people.check_code(ben.id(), &right).await;
    assert!(
        matches!(locked, Err(PersonalError::Locked(_))),
        "{locked:?}"
    );
    world.hand.advance(Duration::from_mins(15));
    let right = world.code(&secret);
    world.people.check_code(ben.id(), &right).await.unwrap();
}

#[tokio::test]
async fn a_reset_takes_two_operators_whose_keys_were_never_in_one_hand() {
    let mut world = World::new().await;
    let (operator, ben) = (world.operator(), world.with_key("ben").await);
    let ana = world.with_key("ana").await;
    let secret = world.people.enrol_factor(&ben, "ben").await.unwrap();
    let code = world.code(&secret);
    world
        .people
        .confirm_factor(&ben, "ben", &code)
        .await
        .unwrap();

    let none = world.people.confirm_reset(&operator, "ben").await;
    assert!(matches!(none, Err(PersonalError::ResetUnknown(_))));
    async fn ask(world: &World, by: &Known) {
        let of = ResetOf::All;
        let asked = world.people.ask_reset(by, "ben", of, &world.snapshot);
        asked.await.unwrap();
    }
    ask(&world, &operator).await;
    world.restart().await;
    let same = world.people.confirm_reset(&operator, "ben").await;
    assert_eq!(same, Err(PersonalError::SameOperator));
    let puppet = world.people.confirm_reset(&ana, "ben").await;
    assert_eq!(puppet, Err(PersonalError::SameOperator), "it made her key");

    // Cem's key, as if Cem had always had it.
    let cem = Known {
        hands: BTreeSet::new(),
        ..world.with_key("cem").await
    };
    world.hand.advance(Duration::from_mins(59));
    world.restart().await;
    world.hand.advance(Duration::from_mins(1));
    let late = world.people.confirm_reset(&cem, "ben").await;
    assert!(matches!(late, Err(PersonalError::ResetUnknown(_))));
    ask(&world, &operator).await;
    let done = world.people.confirm_reset(&cem, "ben").await;
    assert_eq!(done, Ok(ResetOf::All));
    world.restart().await;
    let twice = world.people.confirm_reset(&cem, "ben").await;
    assert!(matches!(twice, Err(PersonalError::ResetUnknown(_))));
    assert!(!world.people.has_factor(ben.id()));
    assert!(world.people.keys_of(ben.id()).is_empty());
    assert!(world.make_key(&operator, "ben").await.is_ok());
}

#[tokio::test]
async fn a_removal_that_the_store_could_not_keep_is_tried_again() {
    let mut world = World::new().await;
    let (operator, ben) = (world.operator(), world.with_key("ben").await);
    let second = world.make_key(&ben, "ben").await.unwrap();
    let second = world.known(&second).unwrap();
    for lost in [&ben, &second] {
        world.store.fail(true);
        for _ in 0..2 {
            let removed = world.people.remove_key(&operator, "ben", &lost.key).await;
            assert!(
                matches!(removed, Err(PersonalError::Store(_))),
                "{removed:?}"
            );
            assert!(!world.people.still_stands(lost, &world.snapshot));
        }
        world.store.fail(false);
        let removed = world.people.remove_key(&operator, "ben", &lost.key).await;
        removed.unwrap();
        world.restart().await;
        assert!(!world.people.still_stands(lost, &world.snapshot));
        let twice = world.people.remove_key(&operator, "ben", &lost.key).await;
        assert!(
            matches!(twice, Err(PersonalError::KeyUnknown(..))),
            "{twice:?}"
        );
    }
    let another = world.make_key(&operator, "ben").await.unwrap_err();
    assert_eq!(another, PersonalError::HasKey("ben".parse().unwrap()));
}

#[tokio::test]
async fn a_key_that_is_made_takes_along_the_removals_before_it() {
    let mut world = World::new().await;
    let ben = world.with_key("ben").await;
    let lost = world.make_key(&ben, "ben").await.unwrap();
    let id = world.known(&lost).unwrap().key;
    world.store.fail(true);
    let removed = world.people.remove_key(&ben, "ben", &id).await;
    removed.unwrap_err();
    world.store.fail(false);
    world.make_key(&ben, "ben").await.unwrap();
    world.restart().await;
    assert!(world.known(&lost).is_none());
    assert_eq!(world.people.keys_of(ben.id()).len(), 2);
}

#[tokio::test]
async fn a_reset_that_the_store_could_not_keep_can_be_confirmed_again() {
    let mut world = World::new().await;
    let (operator, ben) = (world.operator(), world.with_key("ben").await);
    let stolen = world.make_key(&ben, "ben").await.unwrap();
    let gone = world.make_key(&ben, "ben").await.unwrap();
    let id = world.known(&gone).unwrap().key;
    let cem = Known {
        hands: BTreeSet::new(),
        ..world.with_key("cem").await
    };
    let asked = world
        .people
        .ask_reset(&operator, "ben", ResetOf::Keys, &world.snapshot);
    asked.await.unwrap();
    world.store.fail(true);
    let removed = world.people.remove_key(&ben, "ben", &id).await;
    removed.unwrap_err();
    let confirmed = world.people.confirm_reset(&cem, "ben").await;
    assert!(
        matches!(confirmed, Err(PersonalError::Store(_))),
        "{confirmed:?}"
    );
    assert!(world.known(&stolen).is_none(), "in memory it has happened");
    world.store.fail(false);
    let confirmed = world.people.confirm_reset(&cem, "ben").await;
    assert_eq!(confirmed, Ok(ResetOf::Keys));
    world.restart().await;
    assert!(world.known(&stolen).is_none());
    assert!(world.known(&gone).is_none());
    assert!(world.make_key(&operator, "ben").await.is_ok());
}
