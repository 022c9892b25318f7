//! Which operation of a GraphQL document is asked for, where that has exactly one answer
//! (GraphQL September 2025 §6.1).
//!
//! A document comes from outside: its length, depth and number of tokens are bounded.

mod arguments;
#[cfg(test)]
mod tests;

use apollo_parser::Parser;
use apollo_parser::cst::{Definition, Field, OperationDefinition, OperationType, Selection};
pub use arguments::ArgumentFault;
use arguments::arguments;
use serde_json::{Map, Value};
use thiserror::Error;

/// The deepest nesting of a document that is read.
const DEEPEST: usize = 64;

/// The most tokens of a document that are read.
const MOST_TOKENS: usize = 10_000;

/// What a document asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlCall {
    /// The kind of the selected operation.
    pub kind: GraphqlType,
    /// Its name, if it has one. That is the client's word and says nothing about what is selected.
    pub name: Option<String>,
    /// The field that it selects of the root, if it is one alone. Its name, not its alias.
    pub field: Option<String>,
    /// The arguments of that field as a JSON object, with the variables' values in their places.
    pub arguments: Result<Value, ArgumentFault>,
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphqlType {
    /// A write followed by a fetch.
    Mutation,
    /// A fetch.
    Query,
    /// A fetch for each of the coming events.
    Subscription,
}

impl GraphqlType {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutation => "mutation",
            Self::Query => "query",
            Self::Subscription => "subscription",
        }
    }
}

/// Why it can't be told which operation a document asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphqlFault {
    /// The document has several operations and none is named.
    #[error("the document has several operations: say which with `operationName`")]
    Ambiguous,
    /// A character that some parsers take for the end of a line and others don't.
    #[error("`{}` can't stand in a document", .0.escape_unicode())]
    Character(char),
    /// Something else than operations and fragments.
    #[error("a document that is executed has operations and fragments only")]
    Definition,
    /// Two operations of one name, or an operation without a name beside others.
    #[error("two operations of the document can't be told apart")]
    Duplicate,
    /// Deeper or longer than what is read.
    #[error("the document is longer or nested deeper than is read")]
    Limit,
    /// No operation of that name, or none at all.
    #[error("the document has no such operation")]
    Missing,
    /// Not a GraphQL document.
    #[error("it is not a GraphQL document")]
    Syntax,
}

/// Finds the operation that `name` selects in a document; without a name, the only one. `variables` are those of
/// the request.
///
/// # Errors
///
/// See [`GraphqlFault`].
pub fn graphql_call(
    document: &str,
    name: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<GraphqlCall, GraphqlFault> {
    if let Some(odd) = document.chars().find(|c| is_odd(*c)) {
        return Err(GraphqlFault::Character(odd));
    }
    let tree = Parser::new(document)
        .recursion_limit(DEEPEST)
        .token_limit(MOST_TOKENS)
        .parse();
    let mut errors = tree.errors().peekable();
    if errors.peek().is_some() {
        let limit = errors.any(apollo_parser::Error::is_limit);
        return Err(if limit {
            GraphqlFault::Limit
        } else {
            GraphqlFault::Syntax
        });
    }
    let mut operations = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => {
                let name = operation.name().map(|name| name.text().to_string());
                operations.push((name, operation));
            }
            Definition::FragmentDefinition(_) => {}
            _ => return Err(GraphqlFault::Definition),
        }
    }
    let mut names: Vec<_> = operations.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair.first() == pair.last());
    let nameless = names.len() > 1 && names.iter().any(|name| name.is_none());
    if twice || nameless {
        return Err(GraphqlFault::Duplicate);
    }
    if name.is_none() && operations.len() > 1 {
        return Err(GraphqlFault::Ambiguous);
    }
    let found = operations
        .into_iter()
        .find(|(found, _)| name.is_none() || found.as_deref() == name);
    let (name, operation) = found.ok_or(GraphqlFault::Missing)?;
    Ok(GraphqlCall {
        kind: kind(operation.operation_type())?,
        name,
        field: only_field(&operation).and_then(|field| Some(field.name()?.text().to_string())),
        arguments: match only_field(&operation) {
            Some(field) => arguments(&operation, &field, variables),
            None => Err(ArgumentFault::Fields),
        },
    })
}

/// Control characters other than those of ordinary lines, the separators that Unicode has for lines, and
/// marks of byte order: parsers of different age differ on them.
fn is_odd(character: char) -> bool {
    (character.is_control() && !matches!(character, '\t' | '\n' | '\r'))
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn kind(found: Option<OperationType>) -> Result<GraphqlType, GraphqlFault> {
    let Some(found) = found else {
        // The shorthand `{ … }`.
        return Ok(GraphqlType::Query);
    };
    if found.mutation_token().is_some() {
        Ok(GraphqlType::Mutation)
    } else if found.subscription_token().is_some() {
        Ok(GraphqlType::Subscription)
    } else if found.query_token().is_some() {
        Ok(GraphqlType::Query)
    } else {
        Err(GraphqlFault::Syntax)
    }
}

fn only_field(operation: &OperationDefinition) -> Option<Field> {
    let mut selections = operation.selection_set()?.selections();
    match (selections.next(), selections.next()) {
        (Some(Selection::Field(field)), None) => Some(field),
        _ => None,
    }
}
