//! From texts to policies: every problem of every file at once, or none.

mod book;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::base::Digest;
use crate::model::GroupName;

use super::catalogue::Directory;
use super::check::{Checked, Checker};
use super::history::Groups;
use super::index::Index;
use super::lint::lint;
use super::memory::Statements as Cut;
use super::policies::Compiled;
use super::problem::{Problem, Severity};
use super::scan;
use super::schema::{self, District};
use super::{Catalogue, Memory, Policies};
use book::Book;

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
        let compiled = Compiled {
            directory,
            rules: book.rules,
            index,
            reads,
            heads,
            closed: lints.closed,
            put_to_cedar: memory.put_to_cedar(),
            schema,
        };
        Ok((Self::new(compiled), problems))
    }
}

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
