//! The values of a field's arguments (GraphQL September 2025 §2.10): literals, and what variables stand for.

use apollo_parser::cst::{CstNode as _, Field, OperationDefinition, Value as Written};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Why the arguments of a field are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ArgumentFault {
    /// A text with escapes or in a block: what stands in it depends on who reads it.
    #[error("a text with `\\` or in a block is not read: send it in a variable")]
    Escaped,
    /// Not exactly one field of the root is selected, or one by a fragment.
    #[error("select exactly one field of the root, without fragments")]
    Fields,
    /// A number that is none, or too large.
    #[error("a number is too large")]
    Number,
    /// A name twice among arguments, variables or the fields of an object.
    #[error("a name stands twice among its arguments")]
    Twice,
    /// A variable that the operation does not declare.
    #[error("a variable is not declared")]
    Undeclared,
}

/// The arguments of a field of an operation.
pub(super) fn arguments(
    operation: &OperationDefinition,
    field: &Field,
    given: &Map<String, Value>,
) -> Result<Value, ArgumentFault> {
    let variables = Variables::read(operation, given)?;
    let mut read = Map::new();
    let arguments = field.arguments().into_iter();
    for argument in arguments.flat_map(|all| all.arguments()) {
        let name = argument.name().map(|name| name.text().to_string());
        add(&mut read, name, argument.value(), &variables)?;
    }
    Ok(Value::Object(read))
}

/// What each declared variable stands for; nothing where none is given and there is no default.
struct Variables(Map<String, Value>, Vec<String>);

impl Variables {
    fn read(
        operation: &OperationDefinition,
        given: &Map<String, Value>,
    ) -> Result<Self, ArgumentFault> {
        let mut variables = Self(Map::new(), Vec::new());
        let definitions = operation.variable_definitions().into_iter();
        for definition in definitions.flat_map(|all| all.variable_definitions()) {
            let name = definition.variable().and_then(|variable| variable.name());
            let name = name.ok_or(ArgumentFault::Undeclared)?.text().to_string();
            if variables.1.contains(&name) {
                return Err(ArgumentFault::Twice);
            }
            let default = definition
                .default_value()
                .and_then(|default| default.value());
            let value = match (given.get(&name), default) {
                (Some(value), _) => Some(value.clone()),
                // A default has no variables.
                (None, Some(default)) => resolve(&default, &Self(Map::new(), Vec::new()))?,
                (None, None) => None,
            };
            if let Some(value) = value {
                variables.0.insert(name.clone(), value);
            }
            variables.1.push(name);
        }
        Ok(variables)
    }
}

/// Adds a named value, where it is one. A variable that stands for nothing leaves it out (§6.4.1).
fn add(
    to: &mut Map<String, Value>,
    name: Option<String>,
    value: Option<Written>,
    variables: &Variables,
) -> Result<(), ArgumentFault> {
    let (Some(name), Some(value)) = (name, value) else {
        return Err(ArgumentFault::Undeclared);
    };
    if to.contains_key(&name) {
        return Err(ArgumentFault::Twice);
    }
    if let Some(value) = resolve(&value, variables)? {
        to.insert(name, value);
    }
    Ok(())
}

fn resolve(written: &Written, variables: &Variables) -> Result<Option<Value>, ArgumentFault> {
    let text = || written.syntax().text().to_string().trim().to_owned();
    Ok(Some(match written {
        Written::Variable(variable) => {
            let name = variable.name().map(|name| name.text().to_string());
            let name = name.filter(|name| variables.1.contains(name));
            let name = name.ok_or(ArgumentFault::Undeclared)?;
            return Ok(variables.0.get(&name).cloned());
        }
        Written::StringValue(_) => {
            let text = text();
            let plain = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            let plain = plain.filter(|plain| !plain.contains(['"', '\\']));
            Value::String(plain.ok_or(ArgumentFault::Escaped)?.to_owned())
        }
        Written::IntValue(_) => {
            let number: i64 = text().parse().map_err(|_| ArgumentFault::Number)?;
            number.into()
        }
        Written::FloatValue(_) => {
            let number = text().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or(ArgumentFault::Number)?)
        }
        Written::BooleanValue(truth) => Value::Bool(truth.true_token().is_some()),
        Written::NullValue(_) => Value::Null,
        Written::EnumValue(_) => Value::String(text()),
        Written::ListValue(list) => {
            let items = list.values().map(|item| {
                let item = resolve(&item, variables)?;
                Ok(item.unwrap_or(Value::Null))
            });
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Written::ObjectValue(object) => {
            let mut read = Map::new();
            for field in object.object_fields() {
                let name = field.name().map(|name| name.text().to_string());
                add(&mut read, name, field.value(), variables)?;
            }
            Value::Object(read)
        }
    }))
}
