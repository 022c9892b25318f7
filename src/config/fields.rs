//! Reads a TOML table key by key and says everything that is wrong with it, not the first thing
//! only: a derived deserializer stops at the first wrong key, with no place for a missing one.

mod convert;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::convert::{decimal, json};
use super::diagnostics::Diagnostics;
use super::suggest::did_you_mean;
use super::text::{At, Place, Text};

/// Values that replace those of the file, by dotted path.
pub(super) type Overrides = BTreeMap<String, At<String>>;

/// Where the values of tables come from, beside the tables themselves.
pub(super) struct Origin<'d> {
    pub(super) text: &'d Arc<Text>,
    pub(super) overrides: &'d Overrides,
    pub(super) problems: &'d mut Diagnostics,
}

/// One table that is being read. Every key that is asked for is known; [`Fields::finish`] reports
/// the others.
pub(super) struct Fields<'d, 'i> {
    /// How messages call the table, such as `[[agent]]`.
    what: String,
    /// Where it is in the file's tree, with a dot at the end unless empty.
    path: String,
    place: Place,
    table: DeTable<'i>,
    known: Vec<&'static str>,
    origin: Origin<'d>,
}

impl<'d, 'i> Fields<'d, 'i> {
    /// Starts to read the table of a whole file.
    pub(super) fn of_file(table: Spanned<DeTable<'i>>, origin: Origin<'d>) -> Self {
        Self {
            what: "the file".into(),
            path: String::new(),
            place: Place::new(origin.text, 0..0),
            table: table.into_inner(),
            known: Vec::new(),
            origin,
        }
    }

    /// Where the table starts.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Where problems go.
    pub(super) const fn problems(&mut self) -> &mut Diagnostics {
        self.origin.problems
    }

    /// A text.
    pub(super) fn string(&mut self, key: &'static str) -> Option<At<String>> {
        let value = match self.take(key)? {
            Taken::Override(value) => return Some(value),
            Taken::Value(value) => value,
        };
        let place = self.at(value.span());
        match value.into_inner() {
            DeValue::String(text) => Some(At {
                value: text.into_owned(),
                place,
            }),
            other => self.wrong_type(&place, key, "a text in quotes", &other),
        }
    }

    /// A text that has to be there.
    pub(super) fn required(&mut self, key: &'static str) -> Option<At<String>> {
        self.require(key);
        self.string(key)
    }

    /// Whether `key` is there and was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        let path = format!("{}{key}", self.path);
        self.table.contains_key(key) || self.origin.overrides.contains_key(&path)
    }

    /// Complains where `key` is not there.
    pub(super) fn require(&mut self, key: &'static str) {
        if !self.has(key) {
            let message = format!("{} needs `{key}`", self.what);
            self.origin.problems.error(&self.place, message);
        }
    }

    /// A text or a whole number, as text: durations, sizes and counts.
    pub(super) fn scalar(&mut self, key: &'static str) -> Option<At<String>> {
        let value = match self.take(key)? {
            Taken::Override(value) => return Some(value),
            Taken::Value(value) => value,
        };
        let place = self.at(value.span());
        let value = match value.into_inner() {
            DeValue::String(text) => text.into_owned(),
            DeValue::Integer(number) => decimal(&number),
            other => {
                return self.wrong_type(&place, key, "a text in quotes or a whole number", &other);
            }
        };
        Some(At { value, place })
    }

    /// A whole number above zero.
    pub(super) fn count(&mut self, key: &'static str) -> Option<At<u64>> {
        let value = match self.take(key)? {
            Taken::Override(value) => return self.positive(key, &value.place, &value.value),
            Taken::Value(value) => value,
        };
        let place = self.at(value.span());
        match value.into_inner() {
            DeValue::Integer(number) => self.positive(key, &place, &decimal(&number)),
            other => self.wrong_type(&place, key, "a whole number", &other),
        }
    }

    /// `true` or `false`; false where absent.
    pub(super) fn boolean(&mut self, key: &'static str) -> bool {
        let Some(Taken::Value(value)) = self.take(key) else {
            return false;
        };
        let place = self.at(value.span());
        match value.into_inner() {
            DeValue::Boolean(value) => value,
            other => self
                .wrong_type::<bool>(&place, key, "true or false", &other)
                .unwrap_or(false),
        }
    }

    /// A list of texts; empty where absent.
    pub(super) fn strings(&mut self, key: &'static str) -> Vec<At<String>> {
        let mut strings = Vec::new();
        for item in self.list(key, "a list of texts") {
            let place = self.at(item.span());
            match item.into_inner() {
                DeValue::String(text) => strings.push(At {
                    value: text.into_owned(),
                    place,
                }),
                other => {
                    self.wrong_type::<()>(&place, key, "a list of texts", &other);
                }
            }
        }
        strings
    }

    /// A list of texts that has to be there, with at least one in it.
    pub(super) fn some_strings(&mut self, key: &'static str) -> Vec<At<String>> {
        self.require(key);
        if let Some(list) = self.table.get(key)
            && list
                .get_ref()
                .as_array()
                .is_some_and(|list| list.is_empty())
        {
            let place = self.at(list.span());
            let message = format!("`{key}` can't be empty");
            self.origin.problems.error(&place, message);
        }
        self.strings(key)
    }

    /// A list of tables as JSON objects; empty where absent.
    pub(super) fn objects(&mut self, key: &'static str) -> Vec<At<Json>> {
        let mut objects = Vec::new();
        for item in self.list(key, "a list of tables") {
            let place = self.at(item.span());
            match item.into_inner() {
                table @ DeValue::Table(_) => objects.push(At {
                    value: json(&table),
                    place,
                }),
                other => {
                    self.wrong_type::<()>(&place, key, "a list of tables", &other);
                }
            }
        }
        objects
    }

    /// A value of any shape, as JSON.
    pub(super) fn json(&mut self, key: &'static str) -> Option<At<Json>> {
        match self.take(key)? {
            Taken::Override(value) => Some(value.with(Json::String(value.value.clone()))),
            Taken::Value(value) => {
                let place = self.at(value.span());
                let value = json(value.get_ref());
                Some(At { value, place })
            }
        }
    }

    /// A table of texts under names that the author chooses.
    pub(super) fn dictionary(&mut self, key: &'static str) -> Vec<(At<String>, At<String>)> {
        let Some(Taken::Value(value)) = self.take(key) else {
            return Vec::new();
        };
        let place = self.at(value.span());
        let table = match value.into_inner() {
            DeValue::Table(table) => table,
            other => {
                self.wrong_type::<()>(&place, key, "a table", &other);
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for (name, value) in table {
            let name = At {
                place: self.at(name.span()),
                value: name.into_inner().into_owned(),
            };
            let place = self.at(value.span());
            match value.into_inner() {
                DeValue::String(text) => entries.push((
                    name,
                    At {
                        value: text.into_owned(),
                        place,
                    },
                )),
                other => {
                    self.wrong_type::<()>(&place, &name.value, "a text in quotes", &other);
                }
            }
        }
        entries
    }

    /// A table inside this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Fields<'_, 'i>> {
        let path = format!("{}{key}.", self.path);
        let overridden = self.origin.overrides.keys().any(|k| k.starts_with(&path));
        let there = self.table.get(key).map(|value| value.get_ref().is_table());
        if there == Some(true) || (there.is_none() && overridden) {
            return Some(self.section(key));
        }
        if there.is_some() {
            // Says what is wrong with it.
            self.section(key);
        } else {
            self.known.push(key);
        }
        None
    }

    /// A table inside this one that counts as empty where it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Fields<'_, 'i> {
        let path = format!("{}{key}.", self.path);
        let what = if self.path.is_empty() {
            format!("[{key}]")
        } else {
            format!("`{key}`")
        };
        let (place, table) = match self.take(key) {
            Some(Taken::Value(value)) => {
                let place = self.at(value.span());
                match value.into_inner() {
                    DeValue::Table(table) => (place, table),
                    other => {
                        self.wrong_type::<()>(&place, key, "a table", &other);
                        (place, DeTable::new())
                    }
                }
            }
            Some(Taken::Override(_)) | None => (self.place.clone(), DeTable::new()),
        };
        self.inner(what, path, place, table)
    }

    /// Each of the `[[key]]` tables of this one.
    pub(super) fn each(&mut self, key: &'static str, mut read: impl FnMut(Fields<'_, 'i>)) {
        for item in self.list(key, "a list of tables") {
            let place = self.at(item.span());
            match item.into_inner() {
                DeValue::Table(table) => {
                    let path = format!("{}{key}.", self.path);
                    read(self.inner(format!("[[{}{key}]]", self.path), path, place, table));
                }
                other => {
                    self.wrong_type::<()>(&place, key, "a list of tables", &other);
                }
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.table) {
            let place = self.at(key.span());
            let key = key.into_inner();
            let hint = did_you_mean(&key, self.known.iter().copied())
                .unwrap_or_else(|| format!("the keys here are: {}", self.known.join(", ")));
            let message = format!("unknown key `{key}` in {}", self.what);
            self.origin.problems.error(&place, message).hint(hint);
        }
    }

    fn inner(
        &mut self,
        what: String,
        path: String,
        place: Place,
        table: DeTable<'i>,
    ) -> Fields<'_, 'i> {
        Fields {
            what,
            path,
            place,
            table,
            known: Vec::new(),
            origin: Origin {
                text: self.origin.text,
                overrides: self.origin.overrides,
                problems: self.origin.problems,
            },
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Taken<'i>> {
        self.known.push(key);
        let value = self.table.remove(key);
        match self.origin.overrides.get(&format!("{}{key}", self.path)) {
            Some(other) => Some(Taken::Override(other.clone())),
            None => value.map(Taken::Value),
        }
    }

    fn list(&mut self, key: &'static str, expected: &str) -> Vec<Spanned<DeValue<'i>>> {
        let Some(Taken::Value(value)) = self.take(key) else {
            return Vec::new();
        };
        let place = self.at(value.span());
        match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            other => self
                .wrong_type(&place, key, expected, &other)
                .unwrap_or_default(),
        }
    }

    fn positive(&mut self, key: &str, place: &Place, text: &str) -> Option<At<u64>> {
        let value = text
            .parse()
            .ok()
            .filter(|n| *n > 0 && i64::try_from(*n).is_ok());
        if value.is_none() {
            let message = format!("`{key}` must be a whole number above 0, not `{text}`");
            self.origin.problems.error(place, message);
        }
        Some(At {
            value: value?,
            place: place.clone(),
        })
    }

    fn wrong_type<T>(
        &mut self,
        place: &Place,
        key: &str,
        expected: &str,
        found: &DeValue<'_>,
    ) -> Option<T> {
        let found = match found {
            DeValue::Array(_) => "a list",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date",
            DeValue::Float(_) => "a number with a point",
            DeValue::Integer(_) => "a number",
            DeValue::String(_) => "a text",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{key}` must be {expected}, not {found}");
        let problem = self.origin.problems.error(place, message);
        if expected == "a list of tables" && found == "a table" {
            problem.hint(format!("write [[{}{key}]], with two brackets", self.path));
        }
        None
    }

    fn at(&self, span: Range<usize>) -> Place {
        Place::new(self.origin.text, span)
    }
}

enum Taken<'i> {
    Override(At<String>),
    Value(Spanned<DeValue<'i>>),
}
