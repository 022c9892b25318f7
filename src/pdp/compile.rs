//! From texts to policies: every problem of every file at once, or none.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::Digest;
use crate::model::{AgentId, Entitlement, EntitlementId, GroupName, OperationId};
use crate::telemetry::Counter;

use super::catalogue::{Directory, KnownOperation, Names};
use super::check::{Checked, Checker, Draft};
use super::context::Addresses;
use super::fact::Fact;
use super::history::Groups;
use super::index::Index;
use super::lint::{Written, lint};
use super::memory::Statements as Cut;
use super::prepared::Shared;
use super::problem::{Finding, Problem, Severity};
use super::reads::Reads;
use super::scan;
use super::schema::{self, District};
use super::{Catalogue, Memory, Requirement, Rule};

/// The number of the next policies.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The text of one `*.cedar` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How problems and rules name the file.
    pub file: Arc<str>,
    /// What stands in it.
    pub text: Arc<str>,
}

/// Why texts are no policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Every problem of every file, errors and warnings, in the order of the files.
    pub problems: Vec<Problem>,
    /// The rules that want people's agreement, as far as they can be made out: the file, where the rule's head
    /// stands in it, in bytes, and the group that has to agree.
    pub approvals: Vec<(Arc<str>, Range<usize>, GroupName)>,
}

/// Compiled rules: immutable, shared by all who ask.
pub struct Policies {
    /// No other policies of this process have the same.
    pub(super) number: u64,
    pub(super) directory: Directory,
    pub(super) rules: Vec<Rule>,
    pub(super) index: Index,
    /// Of what every question is put together with, what some rule reads.
    wanted: Wanted,
    /// What of the rules that grants at rest are asked about can change.
    turning: bool,
    /// Where the head of each rule stands in its file, in bytes.
    heads: Vec<Range<usize>>,
    /// The entitlements that a rule forbids everyone to ask for, and its number.
    closed: BTreeMap<EntitlementId, usize>,
    pub(super) addresses: Addresses,
    pub(super) shared: Shared,
    /// Counts the questions that only Cedar's own authorizer could answer.
    pub(super) put_to_cedar: Counter,
    schema: String,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies of {} rules", self.rules.len())
    }
}

/// Signals that are looked up for each question, where some rule reads them.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    country: bool,
    habits: bool,
    risk: bool,
}

impl Wanted {
    fn of(reads: &Reads) -> Self {
        Self {
            country: reads.country(),
            habits: reads.habits(),
            risk: reads.has(Fact::Risk),
        }
    }
}

impl Policies {
    /// Compiles all files against the catalogue. The files are taken in the order of their names, so
    /// the same files give the same answers in whatever order they are given.
    ///
    /// # Errors
    ///
    /// Every problem of every file at once.
    pub fn compile(
        catalogue: &Catalogue<'_>,
        sources: &[Source],
        memory: &mut Memory,
    ) -> Result<(Self, Vec<Problem>), Refused> {
        let mut problems = schema::problems_of_names(catalogue);
        let schema = schema::schema(catalogue, &District::Whole);
        let digest = Digest::of(schema.as_bytes());
        let groups = Groups::of(catalogue);
        let checker = Checker::new(*catalogue, groups.clone(), memory.validators());
        if problems.is_empty() && !memory.knows_schema(digest) {
            match checker.prove() {
                Ok(()) => memory.keep_schema(digest),
                Err(problem) => problems.push(problem),
            }
        }
        let statements = Statements {
            checker,
            digest,
            sound: problems.is_empty(),
        };
        let mut files: Vec<&Source> = sources.iter().collect();
        files.sort_by(|a, b| a.file.cmp(&b.file));
        memory.begin();
        let checked = statements.check_all(&files, memory);
        memory.end();

        let mut book = Book::new(catalogue);
        for (file, checked) in files.iter().zip(checked) {
            book.enter(file, checked);
        }
        problems.append(&mut book.problems);
        let wrong = problems.iter().any(|one| one.severity == Severity::Error);
        if wrong && !statements.sound {
            return Err(book.refused(problems));
        }
        // What is doubtful is told beside what is wrong.
        let lints = lint(catalogue, &book.rules, &book.written);
        problems.extend(lints.problems);
        if wrong {
            return Err(book.refused(problems));
        }
        let written = book.written.into_iter();
        let (heads, drafts) = written.map(|one| (one.head, one.draft)).unzip();
        let index = Index::new(drafts);
        let reads = index.all_reads();
        let directory = match Directory::new(catalogue, groups, &index.principals(), &reads) {
            Ok(directory) => directory,
            Err(problem) => {
                problems.push(problem);
                let approvals = Vec::new();
                return Err(Refused {
                    problems,
                    approvals,
                });
            }
        };
        Ok((
            Self {
                number: NEXT.fetch_add(1, Ordering::Relaxed),
                directory,
                rules: book.rules,
                wanted: Wanted::of(&reads),
                turning: index.has_turning(),
                index,
                heads,
                closed: lints.closed,
                addresses: Addresses::new(),
                shared: Shared::new(),
                put_to_cedar: memory.put_to_cedar(),
                schema,
            },
            problems,
        ))
    }

    /// Whether any rule reads what a task has called of `operation`, or of a group that it is in.
    #[must_use]
    pub fn reads_history_of(&self, operation: &OperationId) -> bool {
        let operation = self.directory.operation(operation);
        operation.is_some_and(|one| one.history_is_read)
    }

    /// Whether rules know a group of operations by this name: a declared one, a service or a built-in one.
    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.directory.groups().get(name).is_some()
    }

    /// Whether any rule says what becomes of grants when it turns against them (`@on_change`).
    #[must_use]
    pub const fn has_turning(&self) -> bool {
        self.turning
    }

    /// Whether any rule reads how risky an agent looks.
    #[must_use]
    pub fn reads_risk(&self) -> bool {
        self.wanted.risk
    }

    /// The entitlements that no rule lets any agent ask for, whatever its conditions. Nothing where there
    /// are no agents: their groups may be filled later.
    #[must_use]
    pub fn out_of_reach(&self) -> BTreeSet<EntitlementId> {
        let mut entitlements = self.directory.entitlements();
        let principals = self.directory.anchors();
        // Asking is one action, whatever is asked for.
        let asking = entitlements.next().map(|(_, target)| &target.anchors);
        let named = asking.and_then(|anchors| self.index.permitted(anchors, &principals));
        let Some(named) = named.filter(|_| self.directory.has_agents()) else {
            return BTreeSet::new();
        };
        let all = self.directory.entitlements();
        let unnamed = all.filter(|(_, target)| !named.contains(&target.resource));
        unnamed.map(|(id, _)| id.clone()).collect()
    }

    /// The rules that want people's agreement: where each one's head stands in its file, in bytes, and the
    /// group that has to agree.
    pub fn approvals(&self) -> impl Iterator<Item = (&Rule, Range<usize>, &GroupName)> {
        approvals(self.rules.iter().zip(&self.heads))
    }

    /// The rules that want people's agreement to calls of an operation that no grant brings it for: where each
    /// one's head stands, the group, and such an operation. A grant brings the agreement of those whom its
    /// entitlement asks, or whom a rule does where that asks nobody.
    #[must_use]
    pub fn agreements_of_no_grant<'p>(
        &'p self,
        entitlements: &'p [Entitlement],
    ) -> Vec<(&'p Rule, Range<usize>, &'p GroupName, &'p OperationId)> {
        let mut covering: HashMap<&OperationId, Vec<&Entitlement>> = HashMap::new();
        for entitlement in entitlements {
            for operation in &entitlement.operations {
                covering.entry(operation).or_default().push(entitlement);
            }
        }
        let mut wanting: HashMap<&GroupName, Vec<usize>> = HashMap::new();
        for (number, rule) in self.rules.iter().enumerate() {
            for group in rule.requires.iter().filter_map(Requirement::approval) {
                wanting.entry(group).or_default().push(number);
            }
        }
        // What rules bring is looked for once for each entitlement and group, however many rules want it.
        let mut by_rule: HashMap<(&EntitlementId, &GroupName), bool> = HashMap::new();
        let mut brings = |entitlement: &'p Entitlement, group: &'p GroupName| {
            if let Some(rule) = &entitlement.approval {
                return rule.group == *group;
            }
            *by_rule.entry((&entitlement.id, group)).or_insert_with(|| {
                let target = self.directory.entitlement(&entitlement.id);
                let mut rules = wanting.get(group).into_iter().flatten();
                target.is_some_and(|target| rules.any(|rule| self.index.concerns(*rule, target)))
            })
        };
        let mut found = Vec::new();
        for (number, (rule, head)) in self.rules.iter().zip(&self.heads).enumerate() {
            for group in rule.requires.iter().filter_map(Requirement::approval) {
                let mut lacks = |(id, operation): &(&OperationId, &KnownOperation)| {
                    !operation.baseline
                        && self.index.concerns(number, &operation.target)
                        && covering
                            .get(id)
                            .is_some_and(|all| !all.iter().any(|one| brings(one, group)))
                };
                if let Some((operation, _)) = self.directory.operations().find(&mut lacks) {
                    found.push((rule, head.clone(), group, operation));
                }
            }
        }
        found
    }

    /// Whether any rule permits an agent to ask for an entitlement, under whichever conditions.
    #[must_use]
    pub fn may_ask(&self, agent: &AgentId, entitlement: &EntitlementId) -> bool {
        let agent = self.directory.agent(agent);
        let target = self.directory.entitlement(entitlement);
        let asked = agent.zip(target);
        asked.is_some_and(|(agent, target)| self.index.slice(agent, target).permits())
    }

    /// The rule that forbids everyone to ask for an entitlement, whatever the circumstances.
    #[must_use]
    pub fn closes(&self, entitlement: &str) -> Option<&Rule> {
        self.rules.get(*self.closed.get(entitlement)?)
    }

    /// Whether any rule reads what is usual for an agent, or whether its network is known.
    #[must_use]
    pub fn reads_habits(&self) -> bool {
        self.wanted.habits
    }

    /// Whether any rule reads the country of the source.
    #[must_use]
    pub fn reads_country(&self) -> bool {
        self.wanted.country
    }

    /// Every rule, in the order of the files.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that are not compiled and what each uses that isn't. They are asked of Cedar's own
    /// authorizer, with all rules that apply beside them: the answers are the same, and cost more.
    pub fn interpreted(&self) -> impl Iterator<Item = (&Rule, String)> {
        let uncovered = self.index.uncovered();
        uncovered.filter_map(|(number, what)| Some((self.rules.get(number)?, what.to_string())))
    }

    /// The generated schema in Cedar's own syntax.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

fn approvals<'r>(
    rules: impl Iterator<Item = (&'r Rule, &'r Range<usize>)>,
) -> impl Iterator<Item = (&'r Rule, Range<usize>, &'r GroupName)> {
    rules.flat_map(|(rule, head)| {
        let groups = rule.requires.iter().filter_map(Requirement::approval);
        groups.map(move |group| (rule, head.clone(), group))
    })
}

/// A file and a line.
type Place = (Arc<str>, usize);

/// Where a statement stands in its file, and what is known of it.
type Placed = (Range<usize>, Arc<Checked>);

/// Looks at statements, remembering.
struct Statements<'a> {
    checker: Checker<'a>,
    digest: Digest,
    sound: bool,
}

impl Statements<'_> {
    fn check_all(&self, files: &[&Source], memory: &mut Memory) -> Vec<Vec<Placed>> {
        let mut all = Vec::new();
        for file in files {
            let cut = self.cut(file, memory);
            let placed = cut.iter().map(|(span, key)| {
                let text = file.text.get(span.clone()).unwrap_or_default();
                (span.clone(), self.check(text, *key, memory))
            });
            all.push(placed.collect());
        }
        all
    }

    /// Cuts a file into statements, which is done already where it is what it was.
    fn cut(&self, file: &Source, memory: &mut Memory) -> Cut {
        let key = |text: &str| Digest::of_parts(&[self.digest.as_bytes(), text.as_bytes()]);
        let whole = key(&file.text);
        memory.recall_file(&file.file, &whole).unwrap_or_else(|| {
            let spans = scan::statements(&file.text).into_iter();
            let cut: Cut = spans
                .map(|span| {
                    let text = file.text.get(span.clone()).unwrap_or_default();
                    let key = key(text);
                    (span, key)
                })
                .collect();
            memory.keep_file(&file.file, whole, Arc::clone(&cut));
            cut
        })
    }

    fn check(&self, text: &str, key: Digest, memory: &mut Memory) -> Arc<Checked> {
        if !self.sound {
            return Arc::new(self.checker.check(text, false));
        }
        memory.recall(&key).unwrap_or_else(|| {
            let checked = Arc::new(self.checker.check(text, true));
            memory.keep(key, Arc::clone(&checked));
            checked
        })
    }
}

/// The rules as they are entered, file by file.
struct Book {
    names: Names,
    /// Where each id is taken.
    taken: HashMap<Arc<str>, Place>,
    rules: Vec<Rule>,
    written: Vec<Written>,
    problems: Vec<Problem>,
}

impl Book {
    fn new(catalogue: &Catalogue<'_>) -> Self {
        Self {
            names: Names::of(catalogue),
            taken: HashMap::new(),
            rules: Vec::new(),
            written: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn enter(&mut self, source: &Source, statements: Vec<Placed>) {
        let stem = Path::new(&*source.file).file_stem();
        let stem = stem.map_or_else(
            || source.file.to_string(),
            |one| one.to_string_lossy().into(),
        );
        let (mut line, mut counted) = (1, 0);
        for (number, (span, checked)) in (1..).zip(statements) {
            let before = source.text.get(counted..span.start).unwrap_or_default();
            line += before.matches('\n').count();
            counted = span.start;
            let mut findings = checked.findings.clone();
            let unknown = self.find_unknown_names(&checked, &mut findings);
            if let Some(draft) = &checked.draft {
                let statement = source.text.get(span.clone()).unwrap_or_default();
                let id = draft.annotations.id.clone().unwrap_or_else(|| {
                    let id = format!("{stem}.{number}");
                    findings.extend(unnamed(&id, statement));
                    id.into()
                });
                let place = (Arc::clone(&source.file), line);
                findings.extend(self.take(&id, &place, statement));
                let head = &draft.clauses.head;
                self.written.push(Written {
                    head: head.start + span.start..head.end + span.start,
                    draft: Arc::clone(draft),
                    idle: checked.idle || unknown,
                    limit: checked.limit,
                });
                self.enter_rule(id, place, draft);
            }
            findings.sort_by_key(|one| (one.span.start, one.span.end));
            let findings = findings.iter();
            self.problems
                .extend(findings.map(|one| one.in_file(&source.file, span.start)));
        }
    }

    /// Tells whether there are any.
    fn find_unknown_names(&self, checked: &Checked, findings: &mut Vec<Finding>) -> bool {
        let mut unknown = Vec::new();
        for (uid, span) in &checked.names {
            if let Some((severity, message, hint)) = self.names.unknown(uid) {
                unknown.push(Finding {
                    span: span.clone(),
                    severity,
                    message,
                    hint,
                });
            }
        }
        // That a rule can never apply is then only a consequence.
        let any = !unknown.is_empty();
        if any {
            findings.retain(|one| one.severity == Severity::Error);
        }
        findings.append(&mut unknown);
        any
    }

    /// Takes an id, or says who has it.
    fn take(&mut self, id: &Arc<str>, place: &Place, statement: &str) -> Option<Finding> {
        if let Some((file, line)) = self.taken.get(id) {
            return Some(Finding::error(
                given_id(statement).unwrap_or(0..statement.len()),
                format!("line {line} of {file} has a rule `{id}` already"),
                Some("ids name rules in records and refusals: give each its own".to_owned()),
            ));
        }
        self.taken.insert(Arc::clone(id), place.clone());
        None
    }

    fn refused(&self, problems: Vec<Problem>) -> Refused {
        let heads = self.written.iter().map(|one| &one.head);
        let wanted = approvals(self.rules.iter().zip(heads));
        let wanted =
            wanted.map(|(rule, head, group)| (Arc::clone(&rule.file), head, group.clone()));
        Refused {
            problems,
            approvals: wanted.collect(),
        }
    }

    fn enter_rule(&mut self, id: Arc<str>, (file, line): Place, draft: &Draft) {
        self.rules.push(Rule {
            id,
            file,
            line,
            message: draft.annotations.message.clone(),
            requires: draft.annotations.requires.clone(),
            on_change: draft.annotations.on_change,
            effect: draft.effect,
        });
    }
}

/// Says that a rule has no id of its own. Where one is given but can't be read, that is said already.
fn unnamed(id: &str, statement: &str) -> Option<Finding> {
    given_id(statement).is_none().then(|| {
        Finding::warning(
            0..statement.len(),
            format!("this rule has no `@id`: it is called `{id}` until the file changes"),
            Some("write `@id(\"…\")` before it".to_owned()),
        )
    })
}

/// Where a rule's id is given.
fn given_id(statement: &str) -> Option<Range<usize>> {
    let annotations = scan::annotations(statement).into_iter();
    let mut ids = annotations.filter(|(name, _)| *name == "id");
    ids.next().map(|(_, span)| span)
}
